//! The loop: `select!` only makes an event (or the one call that makes it), the owner handles it.

use super::door::Spare;
use super::mailbox::{Desk, Letter};
use super::owner::Owner;
use super::premises::News;
use super::probe::Probed;
use super::spawn::Unmade;
use super::{server, upgrade};
use crate::keeper::FromKeeper;
use crate::logs::{PumpNotice, Source};
use crate::metrics::Sampler;
use crate::model::change::{Change, What};
use crate::model::usage::{HostUsage, Usage};
use crate::model::{Exit, Run};
use crate::node::NodeEvent;
use crate::supervisor::Event;
use crate::sys::clock;
use crate::sys::fault;
use anyhow::Context;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::Path;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// How often an exit code that is late is looked for.
const LOOK: Duration = Duration::from_millis(25);
const SIGKILL: i32 = 9;
/// Answers under way get this long when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(150);

/// Messages of the keeper in one turn: processes that end as fast as they are started must not keep us from clients.
const AT_ONCE: usize = 32;

/// Where events come from.
pub(super) struct Inputs {
    pub(super) from_sessions: mpsc::Receiver<Letter>,
    pub(super) from_node: mpsc::Receiver<NodeEvent>,
    pub(super) from_pump: mpsc::Receiver<PumpNotice>,
    pub(super) from_probes: mpsc::Receiver<Probed>,
    pub(super) from_home: mpsc::Receiver<News>,
    /// What sessions get, should the socket be bound anew.
    pub(super) desk: Desk,
}

type Sampled = (Sampler, Vec<(Run, Usage)>, HostUsage);

/// Runs until the fleet is shut down, or the keeper is gone.
pub(super) async fn run(
    mut owner: Owner,
    mut inputs: Inputs,
    mut server: JoinHandle<io::Result<()>>,
) -> anyhow::Result<()> {
    let mut keeper = watch(&owner.link).context("watch the keeper")?;
    let notices = watch(owner.notices.socket()).context("watch for READY=1")?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sampler = Some(Sampler::new());
    let (samples, mut sampled) = mpsc::channel::<Sampled>(1);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while owner.is_behind()
        || (!owner.ended || owner.trees.sweeping() || owner.suspects.ending()) && !owner.upgrade.is_done()
    {
        owner.show();
        // Sessions are tasks of the same thread, and something may always be ready here.
        tokio::task::yield_now().await;
        owner.begin_slice();
        if owner.is_behind() {
            owner.go_on();
            continue;
        }
        owner.see_to_trees();
        // It may have answered somebody, who looks while we wait.
        owner.show();
        let now = Instant::now();
        let rebuild = owner.rebuild.due();
        tokio::select! {
            ready = keeper.readable(), if rebuild.is_none() => {
                ready.context("wait for the keeper")?;
                if !owner.hear_keeper(&keeper)? {
                    owner.keeper_gone();
                    keeper = watch(&owner.link).context("watch the keeper")?;
                }
            }
            () = tokio::time::sleep_until(rebuild.unwrap_or(now)), if rebuild.is_some() => {
                owner.rebuild_keeper();
                keeper = watch(&owner.link).context("watch the keeper")?;
            }
            Some(letter) = inputs.from_sessions.recv() => owner.read(letter),
            Some(event) = inputs.from_node.recv() => owner.hear_node(event),
            Some(notice) = inputs.from_pump.recv() => owner.hear_pump(notice),
            Some(Probed { run, health }) = inputs.from_probes.recv() => {
                owner.happen(Event::Probed { run, health });
            }
            Some(news) = inputs.from_home.recv() => {
                if let Some(socket) = owner.hear_of_home(news) {
                    server.abort();
                    server = tokio::spawn(server::serve(socket, Spare::keep(), inputs.desk.clone()));
                }
            }
            ready = notices.readable() => {
                ready.context("wait for READY=1")?;
                owner.hear_notices(&notices)?;
            }
            () = tokio::time::sleep_until(owner.timers.next_at(now)) => owner.ring(),
            () = tokio::time::sleep_until(owner.trees.next_look(now)), if owner.trees.pending() => {}
            _ = look.tick(), if !owner.late.is_empty() => owner.look_for_codes(),
            _ = second.tick() => {
                owner.breathe();
                owner.look_at_scribe();
                if rebuild.is_none() && owner.link.is_headless() {
                    owner.keeper_gone();
                    keeper = watch(&owner.link).context("watch the keeper")?;
                }
                if let Some(sampler) = sampler.take() {
                    sample(sampler, owner.pids(), samples.clone());
                }
            }
            Some((back, usages, host)) = sampled.recv() => {
                sampler = Some(back);
                owner.host = host;
                owner.unsampled.retain(|run| !usages.iter().any(|(sampled, _)| sampled == run));
                owner.happen(Event::Sampled { usages });
            }
        }
    }
    owner.show();
    if owner.upgrade.is_done() {
        return upgrade::make_room(owner, inputs.from_sessions, server).await;
    }
    farewell(owner, server).await
}

/// A socket as something to wait for. Its owner reads: messages carry descriptors or credentials.
fn watch(socket: &impl AsFd) -> io::Result<UnixDatagram> {
    fault::at("run.watch")?;
    let own = StdDatagram::from(socket.as_fd().try_clone_to_owned()?);
    own.set_nonblocking(true)?;
    UnixDatagram::from_std(own)
}

/// Reading /proc for a thousand workers takes a while: not on the owner's thread.
fn sample(mut sampler: Sampler, processes: Vec<(Run, u32)>, back: mpsc::Sender<Sampled>) {
    tokio::task::spawn_blocking(move || {
        let usages = sampler.sample(&processes);
        let host = sampler.host();
        // The owner may have ended.
        drop(back.try_send((sampler, usages, host)));
    });
}

/// Everything is stopped: let the answers out, then go, and the keeper with us.
async fn farewell(owner: Owner, server: JoinHandle<io::Result<()>>) -> anyhow::Result<()> {
    tracing::info!("the daemon ends");
    owner.scribe.leave();
    // Somebody else's, where he has taken the home.
    if !owner.told.is_lost() {
        owner.scribe.remove(owner.home.socket());
        owner.scribe.remove_if(owner.home.daemon_pid(), std::process::id().to_string().into_bytes());
    }
    owner.scribe.settled().await;
    tokio::time::sleep(FAREWELL).await;
    server.abort();
    if owner.lease_over {
        // Whatever cannot be removed is for whoever cleans up after others.
        drop(std::fs::remove_dir_all(owner.home.root()));
    }
    owner.link.shutdown().context("tell the keeper to end")
}

impl Owner {
    /// Says that we are not frozen, sees whether the keeper is and whether the machine slept, and gives up waiting for what does not come.
    pub(super) fn breathe(&mut self) {
        self.has_breathed();
        // A keeper that is gone is noticed by the link's end.
        drop(self.link.ping());
        self.timers.see(clock::now().boot_ms);
        self.upgrade.give_up_late();
        self.press_suspects();
        fault::pass("run.breath");
    }

    /// What the keeper has said, some of it at a time; `false` if that was its last.
    fn hear_keeper(&mut self, keeper: &UnixDatagram) -> anyhow::Result<bool> {
        let heard = keeper.try_io(Interest::READABLE, || {
            for _ in 0..AT_ONCE {
                if self.is_behind() {
                    break;
                }
                match self.link.receive()? {
                    Some(message) => self.hear(message),
                    // Says that the socket is empty: the next wait waits.
                    None => return Err(io::ErrorKind::WouldBlock.into()),
                }
            }
            Ok(())
        });
        match heard {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e).context("hear the keeper"),
            _ => Ok(true),
        }
    }

    fn hear(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::Spawned { run, pid, .. } => self.spawned(run, pid),
            FromKeeper::SpawnFailed { run, errno, stage, .. } => {
                self.pid_files.remove(&run);
                let error = io::Error::from_raw_os_error(errno);
                let Unmade { what, may_pass } = Unmade::because(stage, &error);
                self.happen(Event::SpawnFailed { run, what, may_pass });
            }
            FromKeeper::Exited { run, status, exit_boot_ms, .. }
                if self.suspect_ended(run, status, exit_boot_ms) => {}
            FromKeeper::Exited { run, status, .. } => {
                self.process_ended(run, Exit::from_wait_status(status));
            }
            FromKeeper::Welcome { keeper_pid, .. } => self.welcomed(keeper_pid),
            FromKeeper::Upgraded { refusal } => self.keeper_upgraded(refusal),
            // Pulse has heard it.
            FromKeeper::Pong => {}
            // Only said at the start.
            FromKeeper::Entry(_) | FromKeeper::End => {}
        }
    }

    fn hear_node(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Online { run } => self.happen(Event::Online { run }),
            NodeEvent::Listening { run, address } => self.happen(Event::Listening { run, address }),
            NodeEvent::Listens { run, addresses } => self.happen(Event::Listens { run, addresses }),
            NodeEvent::Ready { run } => self.happen(Event::SaidReady { run }),
            NodeEvent::Idle { run } => self.happen(Event::Idle { run }),
            NodeEvent::Told { run } => self.note_told(run),
            NodeEvent::Disconnected { run } => self.happen(Event::Disconnected { run }),
            NodeEvent::Reported { run, usage } => self.happen(Event::Reported { run, usage }),
            NodeEvent::Axm { run, axm } => self.happen(Event::AxmChanged { run, axm }),
            NodeEvent::Troubled { run, what } => self.happen(Event::Troubled { run, what }),
            NodeEvent::Unheard { run, what } => {
                self.happen(Event::Troubled { run, what });
                // Deaf it is of no use, and it would not notice: others hold its channel open.
                super::keep::complain("end a worker", self.link.kill(run, SIGKILL, false));
            }
            NodeEvent::NodeVersion { run, version } => self.happen(Event::NodeVersion { run, version }),
            NodeEvent::Note { run, text } => tracing::warn!(run = %run, "{text}"),
            NodeEvent::Voluntary { run } => tracing::debug!(run = %run, "leaves by its own will"),
            NodeEvent::Message { .. } => {}
        }
    }

    fn hear_pump(&mut self, notice: PumpNotice) {
        use super::keep::complain;
        match notice {
            PumpNotice::PipeClosed { entry, stream, generation } => {
                fault::pass("owner.pipe_closed");
                let tag = super::spawn::pipe_tag(stream, generation);
                complain("drop a pipe", self.link.drop_fd(entry, tag));
            }
            PumpNotice::Closed { entry } => {
                if self.leaving.remove(&entry) {
                    fault::pass("owner.forget");
                    complain("forget a worker", self.link.forget(entry));
                }
            }
            PumpNotice::Rotated { source, path, kept, bytes } => self.rotated(&source, &path, &kept, bytes),
            PumpNotice::Recovered { entry, stream, failures, overflowed } => {
                tracing::info!(
                    entry,
                    ?stream,
                    failures,
                    dropped = overflowed.dropped,
                    "writes the log again"
                );
                self.log_trouble(entry, stream, None, overflowed);
            }
            PumpNotice::Trouble { entry, stream, what, overflowed } => {
                tracing::error!(entry, ?stream, what, dropped = overflowed.dropped, "failed to write a log");
                self.log_trouble(entry, stream, Some(what), overflowed);
            }
            PumpNotice::SpillWanted { entry, stream } => self.give_spill(entry, stream),
        }
    }

    /// A line in the log, and for those who watch.
    fn rotated(&self, source: &Source, path: &Path, kept: &Path, bytes: u64) {
        let (path, kept) = (path.display(), kept.display());
        tracing::info!(app = %source.name, id = source.worker.0, %path, %kept, bytes, "rotated a log");
        let what = What::Note { text: format!("log rotated at {bytes} bytes: {kept}") };
        let name = source.name.to_string();
        // Nobody may be watching.
        drop(self.changes.send(Change { at: clock::now(), worker: source.worker, name, what }));
    }

    fn ring(&mut self) {
        while let Some(key) = self.timers.due(Instant::now()) {
            self.happen(Event::TimerDue(key));
        }
    }

    fn pids(&self) -> Vec<(Run, u32)> {
        self.processes.iter().map(|(run, process)| (*run, process.pid)).collect()
    }
}
