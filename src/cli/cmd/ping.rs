//! `ping`: see whether the daemon answers.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `ping`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints PM2's pong.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    ask::ping(&mut cx.connect()?)?;
    Ok(cx.ui.say("{ msg: 'pong' }")?)
}
