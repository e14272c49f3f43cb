//! `resurrect`: start what was saved.

use super::act;
use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::message;

/// Arguments of `resurrect`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Resurrects. Nothing saved is no failure, as with PM2: boot scripts run this on fresh machines.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    let mut client = cx.connect()?;
    cx.note("Resurrecting")?;
    match ask::resurrect(&mut client) {
        Ok(touched) => act::report(cx, &touched)?,
        Err(error) if error.is_not_found() => {
            cx.ui.warn(&message::error(error.to_string(), cx.ui.error_colour))?;
        }
        Err(other) => return Err(other),
    }
    cx.show(&mut client)
}
