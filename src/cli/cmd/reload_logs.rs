//! `reloadLogs`: open the log files anew, after somebody else has moved them.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `reloadLogs`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Reopens them; nothing is written to the old files when this ends.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    ask::reopen_logs(&mut cx.connect()?)?;
    cx.note("All log files are opened anew")
}
