//! `describe`: everything about the workers that a word means.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::describe;
use crate::sys::clock;
use crate::sys::processes::Seen;

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id, name, namespace or /regex/
    pub target: String,
}

/// Describes one after the other.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let mut client = cx.connect()?;
    let fleet = ask::list(&mut client, true)?;
    let select = cx.selector(&args.target);
    let Ok(workers) = fleet.select(&select) else {
        return Err(CliError::Said(format!("{} doesn't exist", args.target)));
    };
    let ours = cx.caller().env;
    for one in fleet.aside(&select) {
        cx.warn(&one.what)?;
    }
    if workers.is_empty() {
        return Ok(());
    }
    // A daemon of an older version does not know: then these rows are missing.
    let logs = ask::log_sizes(&mut client, select).unwrap_or_default();
    let now = clock::now();
    for worker in &workers {
        // Of this machine, as the daemon is.
        let is_stopped = worker.pid.and_then(Seen::read).is_some_and(|seen| seen.stopped);
        cx.ui.say(&describe::describe(worker, is_stopped, &logs, &ours, now, cx.ui.colour))?;
    }
    Ok(())
}
