//! From `pmon daemon` to a daemon that serves, or to one line that says why not.

use super::attach;
use super::door::Spare;
use super::keep::Keeper;
use super::mailbox::{CHANGES, Desk, LETTERS};
use super::owner::{Outlets, Owner};
use super::run::{self, Inputs};
use super::settings::Settings;
use super::states::States;
use super::{journal, logbook, notify, orphans, server};
use crate::keeper::{Link, Tag};
use crate::logs::{Fanout, Pump};
use crate::model::snapshot::{DaemonView, Snapshot};
use crate::node::Hub;
use crate::supervisor::Fleet;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::fd::inherit;
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use crate::sys::replace::{self, Sync};
use anyhow::Context;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};

/// Events that may wait for the owner, from each of its threads.
const EVENTS: usize = 1024;

/// The body of `pmon daemon`: serves until the fleet is shut down. `ready` is the pipe on which to say `ready`, or
/// why not (completing "failed to start the daemon: ").
pub fn enter(home: &Home, ready: Option<i32>) -> anyhow::Result<()> {
    let mut ready = ready.and_then(|number| inherit(number).ok()).map(File::from);
    let done = start(home, &mut ready);
    if let (Err(error), Some(pipe)) = (&done, &mut ready) {
        // The client may have left.
        drop(writeln!(pipe, "{error:#}"));
    }
    done
}

fn start(home: &Home, ready: &mut Option<File>) -> anyhow::Result<()> {
    let link = Link::inherited().context("reach the keeper")?;
    let spare = Spare::keep();
    fault::pass("boot.begun");
    rustix::thread::set_name(c"pm-daemon").context("name the process")?;
    crate::sys::limits::raise_open_files();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(serve(home, link, spare, ready))
}

/// Keepers that are starting free their lock in this time (milliseconds), if they do not stay.
const PATIENCE: u64 = 1000;

/// A keeper that died before it gave us its lock has freed it: somebody may have started another one, whose daemon
/// looks for the fleet as we would. There must not be two.
fn be_the_only_one(home: &Home, link: &Link) -> anyhow::Result<()> {
    let tag = Tag::new(Tag::LOCK, 0);
    if link.held(0, &[tag]).is_empty() {
        let lock =
            Lock::patient(&home.keeper_lock(), PATIENCE, || false).context("take the keeper's lock")?;
        let lock = lock.context("take over: another keeper has done so")?;
        link.keep(0, tag, lock.as_fd()).context("keep the keeper's lock")?;
    }
    Ok(())
}

async fn serve(home: &Home, link: Link, spare: Spare, ready: &mut Option<File>) -> anyhow::Result<()> {
    let fanout = Fanout::new();
    journal::start(fanout.clone());
    // From here on the keeper may take silence for a frost. Should it be gone, reading says so.
    drop(link.ping());
    let mut handover = attach::read(&link).context("read what the keeper holds")?;
    fault::pass("boot.read");
    let states = States::new(home);
    let mark = format!("PMON_HOME={}", home.root().display());
    if handover.cut {
        tracing::warn!("the keeper is gone, another one takes its place");
        be_the_only_one(home, &link)?;
        if let Err(error) = link.rebuild(&mark) {
            // It is tried again when we serve.
            tracing::error!(%error, "failed to start another keeper");
        }
    }
    if handover.cut || handover.search {
        fault::pass("boot.search");
        orphans::recover(&mut handover, &link, &states, &mark);
        fault::pass("boot.searched");
    }
    let control = match &handover.control {
        Some(fd) => server::inherited(fd.try_clone().context("take the control socket")?),
        None => {
            let socket =
                server::bind(home).with_context(|| format!("listen on `{}`", home.socket().display()))?;
            fault::pass("boot.bound");
            link.keep(0, Tag { kind: Tag::CONTROL, index: 0 }, socket.as_fd())
                .context("keep the control socket")?;
            socket
        }
    };
    let notify = notify::socket(&mut handover, &link).context("make the socket for READY=1")?;
    fault::pass("boot.sockets");
    // A Node that is just starting must not read half a preload.
    replace::file(&home.preload(), crate::node::PRELOAD.as_bytes(), Sync::Cache).context("write")?;
    replace::file(&home.daemon_pid(), std::process::id().to_string().as_bytes(), Sync::Cache)
        .context("write")?;

    fault::pass("boot.files");
    let (node_events, from_node) = mpsc::channel(EVENTS);
    let (notices, from_pump) = mpsc::channel(EVENTS);
    let (letters, from_sessions) = mpsc::channel(LETTERS);
    let (probed, from_probes) = mpsc::channel(EVENTS);
    let hub =
        Hub::start(Arc::new(Keeper(link.clone(), states)), node_events).context("start the Node thread")?;
    let pump = Pump::start(fanout.clone(), notices).context("start the log thread")?;
    let (snapshot, seen) = watch::channel(Arc::new(Snapshot::default()));
    let (changes, _nobody_yet) = broadcast::channel(CHANGES);
    // Before anything is attached, so that nothing is written unbounded.
    let settings = Arc::new(Settings::start(home.clone(), pump.clone()));
    let desk = Desk {
        home: home.clone(),
        letters,
        snapshot: seen,
        changes: changes.clone(),
        pump: pump.clone(),
        settings,
        fanout: fanout.clone(),
    };
    let view = DaemonView {
        pid: std::process::id(),
        keeper_pid: handover.keeper_pid,
        started: clock::now(),
        restarts: handover.restarts,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let fleet = Fleet::new(crate::supervisor::Places { logs_dir: home.logs(), pids_dir: home.pids() });
    let outlets = Outlets { snapshot, changes, probed, notify };
    let mut owner = Owner::new(home.clone(), link.clone(), hub, pump, fleet, view, outlets);
    fault::pass("boot.doors");
    owner.take_over(handover);
    fault::pass("boot.taken");
    tokio::spawn(logbook::reopen_at_signal(desk.clone()));
    // Should the keeper be gone by now, the loop notices and another one is told.
    drop(link.ready());
    fault::pass("boot.ready");
    let server = tokio::spawn(server::serve(control, spare, desk));
    if let Some(mut pipe) = ready.take() {
        // The client may have left.
        drop(writeln!(pipe, "ready"));
    }
    tracing::info!(pid = std::process::id(), home = %home.root().display(), "the daemon serves");
    run::run(owner, Inputs { from_sessions, from_node, from_pump, from_probes }, server).await
}
