//! `prettylist`: what `jlist` holds, as Node prints objects.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::{inspect, jlist};

/// Arguments of `prettylist`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints it, without a newline, as PM2.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    let fleet = ask::list(&mut cx.connect()?, true)?;
    Ok(cx.ui.data(inspect::inspect(&jlist::fleet(&fleet.workers)).as_bytes())?)
}
