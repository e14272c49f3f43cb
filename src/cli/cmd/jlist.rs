//! `jlist`: the fleet as JSON. Nothing but JSON ever goes to stdout.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::jlist;

/// Arguments of `jlist`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints it, without a newline, as PM2.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    let fleet = ask::list(&mut cx.connect()?, true)?;
    Ok(cx.ui.data(jlist::fleet(&fleet.workers).to_string().as_bytes())?)
}
