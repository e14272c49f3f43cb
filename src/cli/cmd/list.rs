//! `list`: the table, or with `-m` a list.

use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Shows the fleet.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    cx.show(&mut cx.connect()?)
}
