//! `save`: remember the fleet.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::client::CallError;
use crate::proto::Code;

/// Arguments of `save`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Saves. An empty fleet is not saved without `--force`, and that is no failure.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    let mut client = cx.connect()?;
    cx.note("Saving current process list...")?;
    match ask::save(&mut client, cx.flags.force) {
        Ok((path, _count)) => cx.note(format!("Successfully saved in {path}")),
        Err(CliError::Call(CallError::Refused(wire))) if wire.code == Code::NothingToDo => {
            cx.warn(format!("{}: nothing was saved, --force saves an empty list", wire.message))
        }
        Err(other) => Err(other),
    }
}
