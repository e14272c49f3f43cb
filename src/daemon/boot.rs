//! From `pmon daemon` to a daemon that serves, or to one line that says why not.

use super::attach::{self, Handover};
use super::door::Spare;
use super::keep::Keeper;
use super::mailbox::{CHANGES, Desk, LETTERS};
use super::owner::{Outlets, Owner};
use super::premises::{self, Premises};
use super::run::{self, Inputs};
use super::scribe::Scribe;
use super::settings::Settings;
use super::states::States;
use super::{journal, lease, logbook, notify, orphans, scratch, server};
use crate::keeper::{Link, Tag};
use crate::logs::{Fanout, Pump};
use crate::model::skew;
use crate::model::snapshot::{DaemonView, Snapshot};
use crate::node::Hub;
use crate::supervisor::Fleet;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::fd::inherit;
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use anyhow::Context;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};

/// News of the home that may wait.
const NEWS: usize = 16;
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
    last_words(link.clone());
    crate::sys::limits::raise_open_files();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(serve(home, link, spare, ready))
}

/// A panic is told to the keeper, which tells the next daemon. One in a thread without which we are of no use ends us all: the
/// next daemon has it again.
fn last_words(link: Link) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let place = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("a panic without words");
        let text: String =
            text.chars().take(LAST_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        link.last_words(&format!("panicked{place}: {text}"));
        let vital = |thread: &str| thread.starts_with("pm-pump") || thread == "pm-node";
        if std::thread::current().name().is_some_and(vital) {
            std::process::abort();
        }
    }));
}

/// Characters of a panic that people are told.
const LAST_WORDS: usize = 300;

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
    let scribe = Scribe::start().context("start the thread that writes")?;
    journal::start(fanout.clone(), scribe.clone());
    let served = attend(home, link, spare, ready, fanout, scribe.clone()).await;
    // What was said last, also of why it failed.
    scribe.settled().await;
    served
}

async fn attend(
    home: &Home,
    link: Link,
    spare: Spare,
    ready: &mut Option<File>,
    fanout: Fanout,
    scribe: Scribe,
) -> anyhow::Result<()> {
    // From here on the keeper may take silence for a frost. Should it be gone, reading says so.
    drop(link.ping());
    let mut handover = attach::read(&link).context("read what the keeper holds")?;
    fault::pass("boot.read");
    let states = States::new(home, scribe.clone());
    let mark = home.mark();
    if handover.cut {
        tracing::warn!("the keeper is gone, another one takes its place");
        be_the_only_one(home, &link)?;
        if let Err(error) = link.rebuild(&mark) {
            // It is tried again when we serve.
            tracing::error!(%error, "failed to start another keeper");
        }
    }
    let scratch =
        scratch::taken(&mut handover, &link).context("make the pipe that logs are looked at through")?;
    if handover.cut || handover.search {
        fault::pass("boot.search");
        orphans::recover(&mut handover, &link, &states, &mark);
        fault::pass("boot.searched");
    }
    let (control, socket_file) = listen(home, &mut handover, &link)?;
    let notify = notify::socket(&mut handover, &link).context("make the socket for READY=1")?;
    fault::pass("boot.sockets");
    // On a full disk there must be a daemon too.
    scribe.write(home.daemon_pid(), std::process::id().to_string().into_bytes());
    scribe.write(home.preload(), crate::node::PRELOAD.as_bytes().to_vec());
    scribe.settled().await;

    fault::pass("boot.files");
    let (node_events, from_node) = mpsc::channel(EVENTS);
    let (notices, from_pump) = mpsc::channel(EVENTS);
    let (letters, from_sessions) = mpsc::channel(LETTERS);
    let (probed, from_probes) = mpsc::channel(EVENTS);
    let hub =
        Hub::start(Arc::new(Keeper(link.clone(), states)), node_events).context("start the Node thread")?;
    let pump = Pump::start(scratch, fanout.clone(), notices).context("start the log thread")?;
    let (snapshot, seen) = watch::channel(Arc::new(Snapshot::default()));
    let (changes, _nobody_yet) = broadcast::channel(CHANGES);
    // Before anything is attached, so that nothing is written unbounded.
    let settings = Arc::new(Settings::start(home.clone(), pump.clone(), &mut handover.told));
    let desk = Desk {
        home: home.clone(),
        letters,
        snapshot: seen,
        changes: changes.clone(),
        pump: pump.clone(),
        settings,
        fanout: fanout.clone(),
        scribe: scribe.clone(),
        saving: Arc::default(),
    };
    let view = DaemonView {
        pid: std::process::id(),
        keeper_pid: handover.keeper_pid,
        started: clock::now(),
        restarts: handover.restarts,
        version: skew::version().to_owned(),
        notices: Vec::new(),
        aside: Vec::new(),
    };
    let fleet = Fleet::new(crate::supervisor::Places { logs_dir: home.logs(), pids_dir: home.pids() });
    let outlets = Outlets { snapshot, changes, probed, notify, scribe: scribe.clone() };
    let mut owner = Owner::new(home.clone(), link.clone(), hub, pump, fleet, view, outlets);
    fault::pass("boot.doors");
    owner.look_for_preload();
    let lock = link.held(0, &[Tag::new(Tag::LOCK, 0)]).pop().map(|(_, lock)| lock);
    let premises = Premises::new(home, Arc::clone(&owner.keeper_pid), lock, socket_file);
    owner.take_over(handover);
    fault::pass("boot.taken");
    // Nobody knows what the last daemon did not get written.
    owner.write_everything();
    owner.say_to_people();
    let (news, from_home) = mpsc::channel(NEWS);
    scribe.watch(premises, news);
    lease::watch(home, desk.letters.clone());
    tokio::spawn(logbook::reopen_at_signal(desk.clone()));
    // Should the keeper be gone by now, the loop notices and another one is told.
    drop(link.ready());
    fault::pass("boot.ready");
    owner.confirm_suspects();
    let server = tokio::spawn(server::serve(control, spare, desk.clone()));
    if let Some(mut pipe) = ready.take() {
        // The client may have left.
        drop(writeln!(pipe, "ready"));
    }
    tracing::info!(pid = std::process::id(), home = %home.root().display(), "the daemon serves");
    let inputs = Inputs { from_sessions, from_node, from_pump, from_probes, from_home, desk };
    run::run(owner, inputs, server).await
}

/// The socket that was handed over, or a new one; and its file.
fn listen(home: &Home, handover: &mut Handover, link: &Link) -> anyhow::Result<(UnixListener, OwnedFd)> {
    let own = |kind| Tag { kind, index: 0 };
    if let Some(socket) = handover.control.take() {
        // From a daemon that did not keep it, the file is the one that is there, if one is.
        let file = handover.control_file.take().or_else(|| premises::mark(&home.socket()).ok());
        if let Some(file) = file {
            return Ok((server::inherited(socket), file));
        }
    }
    let path = home.socket();
    let socket = server::bind(home).with_context(|| format!("listen on `{}`", path.display()))?;
    fault::pass("boot.bound");
    let file = premises::mark(&path).with_context(|| format!("look at `{}`", path.display()))?;
    link.keep(0, own(Tag::CONTROL), socket.as_fd()).context("keep the control socket")?;
    link.keep(0, own(Tag::CONTROL_FILE), file.as_fd()).context("keep its file")?;
    Ok((socket, file))
}
