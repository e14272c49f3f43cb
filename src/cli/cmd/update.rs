//! `update`: keeper and daemon go on as the program that runs this command; the workers do not notice.

use super::context::Context;
use crate::cli::error::CliError;
use crate::client::{CallError, Client, ConnectError};
use crate::proto::{Reply, Request};
use crate::sys::paths::Home;
use crate::sys::{clock, interrupt, proc};
use std::time::Duration;

/// Arguments of `update`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// The new daemon has so long to serve; one that does not is tried three times, which takes half a second.
const PATIENCE_MS: u64 = 10_000;
const LOOK: Duration = Duration::from_millis(30);

/// Who serves.
struct Serving {
    daemon: u32,
    keeper: u32,
    version: String,
}

/// Switches, and sees whether it is so.
pub fn run(cx: &Context, _args: Args) -> Result<(), CliError> {
    let mut client = match Client::connect(&cx.home) {
        Ok(client) => client,
        Err(ConnectError::NoDaemon(_)) => return cx.note("No daemon is running"),
        Err(other) => return Err(other.into()),
    };
    let before = serving(&mut client)?;
    let program = std::env::current_exe()?;
    match client.call(Request::Upgrade { program: program.clone() }) {
        // Killed in the middle, it may have happened all the same.
        Ok(Reply::Upgrading) | Err(CallError::Gone) => {}
        Ok(_other) => return Err(CliError::Answer),
        Err(refused) => return Err(refused.into()),
    }
    drop(client);
    let now = next(&cx.home, before.daemon)?;
    if !(proc::runs_this_program(now.daemon) && proc::runs_this_program(now.keeper)) {
        return Err(CliError::Said(format!(
            "Failed to update: `{}` did not come to serve, version {} (pid {}) goes on as before",
            program.display(),
            now.version,
            now.daemon
        )));
    }
    cx.note(format!(
        "Daemon and keeper are version {} now (pids {}, {})",
        now.version, now.daemon, now.keeper
    ))
}

fn serving(client: &mut Client) -> Result<Serving, CliError> {
    match client.call(Request::List { with_env: false })? {
        Reply::Fleet { daemon, .. } => {
            Ok(Serving { daemon: daemon.pid, keeper: daemon.keeper_pid, version: daemon.version })
        }
        _other => Err(CliError::Answer),
    }
}

/// The daemon after the one with this pid. While none lives, the keeper holds its socket: a client waits, it is not refused.
fn next(home: &Home, before: u32) -> Result<Serving, CliError> {
    let deadline = clock::now().boot_ms + PATIENCE_MS;
    loop {
        let found = Client::connect(home).map_err(CliError::from).and_then(|mut client| serving(&mut client));
        match found {
            Ok(serving) if serving.daemon != before => return Ok(serving),
            Err(error) if clock::now().boot_ms > deadline => return Err(error),
            Ok(_) if clock::now().boot_ms > deadline => {
                return Err(CliError::Said(format!(
                    "Failed to update: the daemon (pid {before}) goes on as before"
                )));
            }
            Ok(_) | Err(_) => interrupt::pause(LOOK),
        }
    }
}
