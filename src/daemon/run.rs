//! The loop: `select!` only makes an event (or the one call that makes it), the owner handles it.

use super::mailbox::Letter;
use super::owner::Owner;
use crate::keeper::{FromKeeper, Link};
use crate::logs::PumpNotice;
use crate::metrics::Sampler;
use crate::model::usage::{HostUsage, Usage};
use crate::model::{Exit, Run};
use crate::node::NodeEvent;
use crate::supervisor::Event;
use anyhow::Context;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// How often a tree that was told to end is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// Answers under way get this long when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(150);

/// Where events come from.
pub(super) struct Inputs {
    pub(super) from_sessions: mpsc::Receiver<Letter>,
    pub(super) from_node: mpsc::Receiver<NodeEvent>,
    pub(super) from_pump: mpsc::Receiver<PumpNotice>,
}

type Sampled = (Sampler, Vec<(Run, Usage)>, HostUsage);

/// Runs until the fleet is shut down, or the keeper is gone.
pub(super) async fn run(
    mut owner: Owner,
    mut inputs: Inputs,
    server: JoinHandle<io::Result<()>>,
) -> anyhow::Result<()> {
    let keeper = watch_link(&owner.link)?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sampler = Some(Sampler::new());
    let (samples, mut sampled) = mpsc::channel::<Sampled>(1);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !owner.ended {
        let now = Instant::now();
        tokio::select! {
            ready = keeper.readable() => {
                ready.context("wait for the keeper")?;
                owner.hear_keeper(&keeper)?;
            }
            Some(letter) = inputs.from_sessions.recv() => owner.read(letter),
            Some(event) = inputs.from_node.recv() => owner.hear_node(event),
            Some(notice) = inputs.from_pump.recv() => owner.hear_pump(notice),
            () = tokio::time::sleep_until(owner.timers.next_at(now)) => owner.ring(),
            _ = look.tick(), if owner.trees.pending() => owner.look_at_trees(),
            _ = second.tick() => {
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
    farewell(owner, server).await
}

/// The link as something to wait for. The link itself reads: its messages carry descriptors.
fn watch_link(link: &Link) -> anyhow::Result<UnixDatagram> {
    let own = StdDatagram::from(link.as_fd().try_clone_to_owned().context("watch the keeper")?);
    own.set_nonblocking(true).context("watch the keeper")?;
    UnixDatagram::from_std(own).context("watch the keeper")
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
    for path in [owner.home.socket(), owner.home.daemon_pid()] {
        // Gone already is as good.
        drop(std::fs::remove_file(path));
    }
    tokio::time::sleep(FAREWELL).await;
    server.abort();
    owner.link.shutdown().context("tell the keeper to end")
}

impl Owner {
    /// All that the keeper has said by now.
    fn hear_keeper(&mut self, keeper: &UnixDatagram) -> anyhow::Result<()> {
        let heard = keeper.try_io(Interest::READABLE, || {
            while let Some(message) = self.link.receive()? {
                self.hear(message);
            }
            // Says that the socket is empty: the next wait waits.
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        match heard {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e).context("hear the keeper"),
            _ => Ok(()),
        }
    }

    fn hear(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::Spawned { run, pid, .. } => self.spawned(run, pid),
            FromKeeper::SpawnFailed { run, errno, stage, .. } => {
                let what = format!("{stage}: {}", io::Error::from_raw_os_error(errno));
                self.happen(Event::SpawnFailed { run, what });
            }
            FromKeeper::Exited { run, pid, status, .. } => {
                self.exited(run, pid, Exit::from_wait_status(status));
            }
            // Only said at the start.
            FromKeeper::Welcome { .. } | FromKeeper::Entry(_) | FromKeeper::End => {}
        }
    }

    fn hear_node(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Online { run } => self.happen(Event::Online { run }),
            NodeEvent::Listening { run, address } => self.happen(Event::Listening { run, address }),
            NodeEvent::Ready { run } => self.happen(Event::SaidReady { run }),
            NodeEvent::Disconnected { run } => self.happen(Event::Disconnected { run }),
            NodeEvent::Reported { run, usage } => self.happen(Event::Reported { run, usage }),
            NodeEvent::Axm { run, axm } => self.happen(Event::AxmChanged { run, axm }),
            NodeEvent::BindFailed { run, address, what } => {
                tracing::warn!(run = %run, address, what, "failed to listen for a worker");
            }
            NodeEvent::Note { run, text } => tracing::warn!(run = %run, "{text}"),
            NodeEvent::Voluntary { run } => tracing::debug!(run = %run, "leaves by its own will"),
            NodeEvent::NodeVersion { .. } | NodeEvent::Message { .. } => {}
        }
    }

    fn hear_pump(&mut self, notice: PumpNotice) {
        use super::keep::complain;
        match notice {
            PumpNotice::PipeClosed { entry, stream, generation } => {
                let tag = super::spawn::pipe_tag(stream, generation);
                complain("drop a pipe", self.link.drop_fd(entry, tag));
            }
            PumpNotice::Closed { entry } => {
                if self.leaving.remove(&entry) {
                    complain("forget a worker", self.link.forget(entry));
                }
            }
            PumpNotice::Recovered { entry, stream, failures } => {
                tracing::info!(entry, ?stream, failures, "writes the log again");
            }
            PumpNotice::Trouble { entry, stream, what } => {
                tracing::error!(entry, ?stream, what, "failed to write a log");
            }
        }
    }

    fn ring(&mut self) {
        while let Some(key) = self.timers.due(Instant::now()) {
            self.happen(Event::TimerDue(key));
        }
    }

    fn look_at_trees(&mut self) {
        for run in self.trees.ended() {
            self.happen(Event::TreeGone { run });
        }
    }

    fn pids(&self) -> Vec<(Run, u32)> {
        self.processes.iter().map(|(run, process)| (*run, process.pid)).collect()
    }
}
