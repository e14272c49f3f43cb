//! `pid`: pids, one a line.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `pid`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or id; everybody's if there is none
    pub target: Option<String>,
}

/// Prints them; an empty line and success where there is nothing, as scripts expect of PM2.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let fleet = ask::list(&mut cx.connect()?, false)?;
    let word = args.target.unwrap_or_else(|| "all".to_owned());
    let workers = fleet.select(&cx.selector(&word)).unwrap_or_default();
    let pids: Vec<String> = workers.iter().map(|w| w.pid.unwrap_or(0).to_string()).collect();
    Ok(cx.ui.data(format!("{}\n", pids.join("\n")).as_bytes())?)
}
