//! `describe`: everything about the workers that a word means.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::describe;
use crate::sys::clock;

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id, name, namespace or /regex/
    pub target: String,
}

/// Describes one after the other.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let fleet = ask::list(&mut cx.connect()?, true)?;
    let Ok(workers) = fleet.select(&cx.selector(&args.target)) else {
        return Err(CliError::Said(format!("{} doesn't exist", args.target)));
    };
    let ours = cx.caller().env;
    let now = clock::now();
    for worker in &workers {
        cx.ui.say(&describe::describe(worker, &ours, now, cx.ui.colour))?;
    }
    Ok(())
}
