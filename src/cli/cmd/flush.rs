//! `flush`: empty log files.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `flush`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id or name; none: everybody's and the daemon's own
    pub target: Option<String>,
}

/// Flushes; says what that freed. A name that is not there is no failure, as with PM2.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let select = args.target.as_deref().map(|word| cx.selector(word));
    let files = match ask::flush(&mut cx.connect()?, select) {
        Err(error) if error.is_not_found() => Vec::new(),
        other => other?,
    };
    cx.note("Flushing:")?;
    let mut total = 0;
    for (path, freed) in files {
        total += freed;
        cx.note(format!("{path} ({freed} bytes)"))?;
    }
    cx.note(format!("{total} bytes freed"))?;
    cx.note("Logs flushed")
}
