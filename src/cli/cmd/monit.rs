//! `monit`: the screen.

use super::context::Context;
use crate::cli::error::CliError;
use crate::monit::Options;

/// Arguments of `monit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one frame as text and end
    #[arg(long)]
    pub once: bool,
    /// Columns and rows of that frame
    #[arg(long, value_name = "COLSxROWS", value_parser = size)]
    pub size: Option<(u16, u16)>,
    /// Look, but touch nothing
    #[arg(long)]
    pub read_only: bool,
}

/// Starts a daemon if there is none, then shows the screen until it is left.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    drop(cx.connect()?);
    let options = Options { once: args.once, size: args.size, read_only: args.read_only };
    Ok(crate::monit::run(&cx.home, options)?)
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parts = text.split_once('x').and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
    parts.filter(|(c, r)| *c > 0 && *r > 0).ok_or_else(|| "columns x rows, like 120x40".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_is_columns_and_rows() {
        assert_eq!(size("120x40"), Ok((120, 40)));
        assert!(size("120").is_err() && size("0x4").is_err() && size("x").is_err());
    }
}
