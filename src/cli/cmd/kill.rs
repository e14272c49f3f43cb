//! `kill`: stop everything, then the daemon and its keeper.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::message::{self, Action};
use crate::client::{CallError, Client, ConnectError};
use crate::model::{Order, WorkerId};
use crate::sys::interrupt::readable;
use crate::sys::proc;
use std::os::fd::AsFd;
use std::time::Duration;

/// Daemon and keeper have nothing left to do, and so long for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Arguments of `kill`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// A fleet that was shut down leaves no state. If there is some, daemon and keeper have died, and perhaps the workers live:
/// only a daemon can find them.
fn orphans_may_live(cx: &Context) -> bool {
    let state =
        |file: std::fs::DirEntry| file.path().extension().is_some_and(|extension| extension == "json");
    std::fs::read_dir(cx.home.states()).is_ok_and(|states| states.flatten().any(state))
}

/// Kills. Unlike PM2 it does not start a daemon first to have one to stop.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    let mut client = match Client::connect(&cx.home) {
        Ok(client) => client,
        Err(ConnectError::NoDaemon(_)) if orphans_may_live(cx) => cx.connect()?,
        Err(ConnectError::NoDaemon(_)) => return cx.note("No daemon is running"),
        Err(other) => return Err(other.into()),
    };
    let fleet = ask::list(&mut client, false)?;
    // Held while they live, so neither can be taken for another process.
    let held = [fleet.daemon.pid, fleet.daemon.keeper_pid].map(proc::hold);
    let ids: Vec<WorkerId> = fleet.workers.iter().map(|w| w.id).collect();
    if !ids.is_empty() {
        cx.note(message::applying(Action::Delete, "all", &ids))?;
    }
    let touched = match ask::order(&mut client, Order::Shutdown) {
        // It went so fast that the answer was lost.
        Err(CliError::Call(CallError::Gone)) => Vec::new(),
        other => other?,
    };
    for one in &touched {
        cx.note(message::done(&one.name, one.id, one.deed))?;
    }
    cx.note("[v] All Applications Stopped")?;
    let mut stream = client.into_stream();
    while stream.next()?.is_some() {}
    for process in held.into_iter().flatten() {
        if !readable(process.as_fd(), PATIENCE) {
            let why = format!("the daemon has not ended after {} s", PATIENCE.as_secs());
            return Err(CliError::Said(why));
        }
    }
    cx.note("[v] Daemon Stopped")
}
