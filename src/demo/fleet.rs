//! The demo's fleet: started, watched until there is something to see, and ended, with its home.

use super::http::Connection;
use super::place::Place;
use crate::client::{CallError, Client, ConnectError};
use crate::model::order::IfPresent;
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::{App, Bytes, Order, State};
use crate::proto::{Reply, Request};
use crate::sys::clock;
use crate::sys::interrupt::{Interrupt, readable};
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use anyhow::{Context, bail};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A start, a first look and an end may each take this long: sixteen Nodes on one slow core.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const STEP: Duration = Duration::from_millis(100);

/// A running fleet. Dropping it ends it too, for the case of a panic.
#[derive(Debug)]
pub(super) struct Fleet {
    place: Place,
    over: bool,
}

impl Fleet {
    /// Starts keeper, daemon and app and waits until the app answers. Interrupted, it returns early.
    pub(super) fn start(place: Place, app: App, interrupt: Interrupt) -> anyhow::Result<Fleet> {
        let mut fleet = Fleet { place, over: false };
        let started = fleet.launch(app, interrupt);
        match started {
            Ok(()) => Ok(fleet),
            Err(error) => {
                fleet.end().context(error.to_string())?;
                Err(error)
            }
        }
    }

    pub(super) fn home(&self) -> &Home {
        self.place.home()
    }

    fn launch(&self, app: App, interrupt: Interrupt) -> anyhow::Result<()> {
        let port = app.env.0.get("PORT").and_then(|port| port.parse().ok()).unwrap_or(0);
        let mut client = Client::connect_or_start(self.home(), &mut |_notice| {})?;
        let order = Order::Start { apps: vec![app], if_present: IfPresent::Refuse };
        client.call(Request::Order { order }).context("start the demo's app")?;
        let deadline = Deadline::new();
        while !interrupt.asked() {
            let answers = Connection::open(port).and_then(|mut connection| connection.get("/"));
            let Err(why) = answers else { break };
            let (workers, _) = self.list()?;
            if let Some(failed) = workers.iter().find(|worker| worker.state == State::Failed) {
                bail!("start the demo's app: {} {}: {}", failed.app.name, failed.id, self.last_words(failed));
            }
            if deadline.is_over() {
                bail!("reach the demo's app on port {port}: {why}");
            }
            interrupt.wait(STEP);
        }
        Ok(())
    }

    /// Waits until every worker is online and has been sampled, and one has logged.
    pub(super) fn wait_until_seen(&self, interrupt: Interrupt) -> anyhow::Result<()> {
        let deadline = Deadline::new();
        while !interrupt.asked() {
            let (workers, _) = self.list()?;
            let sampled = |w: &Arc<WorkerView>| w.state.is_online() && w.usage.memory > Bytes(0);
            let logged = |w: &Arc<WorkerView>| {
                w.out_file
                    .as_ref()
                    .and_then(|path| std::fs::metadata(path).ok())
                    .is_some_and(|file| file.len() > 0)
            };
            if !workers.is_empty() && workers.iter().all(sampled) && workers.iter().any(logged) {
                break;
            }
            if deadline.is_over() {
                let seen = workers.iter().filter(|w| sampled(w)).count();
                bail!("see the demo's workers: {seen} of {} are online and sampled", workers.len());
            }
            interrupt.wait(STEP);
        }
        Ok(())
    }

    /// Stops everything, waits until daemon and keeper are gone, and removes the home. The home stays where that
    /// fails, and the error names it.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        let ended = self.shut_down();
        if ended.is_err() {
            self.place.keep();
        }
        ended.with_context(|| {
            format!("end the demo's fleet; its home `{}` stays", self.home().root().display())
        })
    }

    fn shut_down(&self) -> anyhow::Result<()> {
        let deadline = Deadline::new();
        loop {
            // Both are known only while they live, and neither can be another process once it is held.
            let held = match self.list() {
                Ok((_, daemon)) => hold(&daemon),
                Err(error) if no_daemon(&error) => break,
                Err(error) if deadline.is_over() => return Err(error),
                Err(_restarting) => {
                    pause();
                    continue;
                }
            };
            let told = Client::connect(self.home())?.call(Request::Order { order: Order::Shutdown });
            if let Err(CallError::Refused(error)) = told
                && error.code != crate::proto::Code::ShuttingDown
            {
                return Err(error.into());
            }
            for process in held {
                if !readable(process.as_fd(), deadline.left()) {
                    bail!("see daemon and keeper end within {} s", PATIENCE.as_secs());
                }
            }
            break;
        }
        // Held by the keeper and the daemon for as long as either lives: also by one that had not yet served.
        while Lock::attempt(&self.home().keeper_lock())?.is_none() {
            if deadline.is_over() {
                bail!("see the keeper end within {} s", PATIENCE.as_secs());
            }
            pause();
        }
        Ok(())
    }

    fn list(&self) -> anyhow::Result<(Vec<Arc<WorkerView>>, DaemonView)> {
        match Client::connect(self.home())?.call(Request::List { with_env: false })? {
            Reply::Fleet { workers, daemon, .. } => Ok((workers, daemon)),
            other => bail!("list the demo's fleet: the daemon answered {other:?}"),
        }
    }

    /// The last line that a worker wrote to its stderr, or why it is what it is.
    fn last_words(&self, worker: &WorkerView) -> String {
        let text = worker
            .error_file
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default();
        match text.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => line.to_owned(),
            None => worker.reason.to_string(),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Nobody is left to be told; the home stays if this fails.
        self.end().ok();
    }
}

/// Descriptors of daemon and keeper; readable when they have ended.
fn hold(daemon: &DaemonView) -> Vec<OwnedFd> {
    [daemon.pid, daemon.keeper_pid]
        .into_iter()
        .filter_map(|pid| rustix::process::Pid::from_raw(pid.cast_signed()))
        .filter_map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok())
        .collect()
}

fn no_daemon(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ConnectError>(), Some(ConnectError::NoDaemon(_)))
}

/// Some milliseconds, for what can only be asked again and again.
fn pause() {
    let nothing: &mut [rustix::event::PollFd<'_>] = &mut [];
    let span = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // A signal ends it early, and that is no harm.
    rustix::event::poll(nothing, Some(&span)).ok();
}

/// [`PATIENCE`] from now.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    started_ns: u64,
}

impl Deadline {
    fn new() -> Deadline {
        Deadline { started_ns: clock::monotonic_ns() }
    }

    fn left(self) -> Duration {
        PATIENCE.saturating_sub(Duration::from_nanos(clock::monotonic_ns().saturating_sub(self.started_ns)))
    }

    fn is_over(self) -> bool {
        self.left().is_zero()
    }
}
