//! `unset`: back to the default.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `unset`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `module:key`, `module.key`, `module`, or `all`
    pub key: String,
}

/// Removes it. What was not set is no failure.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    ask::configure(&mut cx.connect()?, Vec::new(), vec![args.key])?;
    cx.note("Setting changed")
}
