//! The pump's thread: one that drives all streams. It waits for pipes and commands, never for a subscriber or the
//! owner. (A disk that hangs hangs it; then workers go on until their pipes are full.)
//!
//! After a round it dawdles a little ([`Pace`]), so that a chatty stream costs one batch and not one a line, unless a pipe
//! was found half full.

use super::command::{Command, Queue};
use super::fanout::Fanout;
use super::file::Files;
use super::obey::AGAIN_MS;
use super::pace::Pace;
use super::pipe::{Stream, Tools};
use super::rotate::Rotor;
use super::spec::{PumpNotice, SinkSpec, Source};
use super::stuck::{RETRY_MS, Stuck};
use crate::model::StreamKind;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::pipe::{Null, Scratch};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Troubles wait in a queue of this length for an owner who does not listen.
const OWED_NOTICES: usize = 1024;
/// Epoll token of the command queue; streams have `entry << 1 | stream`.
const COMMANDS: u64 = u64::MAX;
pub(super) struct Entry {
    pub(super) source: Source,
    pub(super) sink: SinkSpec,
    pub(super) streams: [Stream; 2],
}

/// The thread's state.
pub(super) struct Run {
    pub(super) queue: Arc<Queue>,
    pub(super) epoll: OwnedFd,
    pub(super) tools: Tools,
    pub(super) entries: HashMap<u64, Entry>,
    pub(super) begun: bool,
    pub(super) stopped: bool,
    /// Orders for which the system had no room, in the order they came.
    pub(super) late: VecDeque<Command>,
    /// Entries of which it was told that something waits.
    pub(super) troubled: BTreeSet<u64>,
    /// Tokens of streams that may have something to do. Pipes report edges, so a token stays until a step has
    /// found the pipes empty.
    pub(super) ready: BTreeSet<u64>,
    pub(super) stuck: HashMap<u64, Stuck>,
    pace: Pace,
    /// Bytes in memory, by stream.
    pub(super) spilled: HashMap<u64, u64>,
    /// Entries closed before the start.
    pub(super) closing: Vec<u64>,
    pub(super) settling: Vec<oneshot::Sender<()>>,
    notices: mpsc::Sender<PumpNotice>,
    pub(super) owed: VecDeque<PumpNotice>,
}

impl Run {
    pub(super) fn new(
        queue: Arc<Queue>,
        fanout: Fanout,
        notices: mpsc::Sender<PumpNotice>,
    ) -> io::Result<Run> {
        fault::at("pump.start")?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &queue.wake, epoll::EventData::new_u64(COMMANDS), epoll::EventFlags::IN)?;
        let tools = Tools {
            files: Files::default(),
            rotor: Rotor::new()?,
            scratch: Scratch::new()?,
            null: Null::open()?,
            fanout,
            rendered: Vec::new(),
        };
        Ok(Run {
            queue,
            epoll,
            tools,
            entries: HashMap::new(),
            begun: false,
            stopped: false,
            late: VecDeque::new(),
            troubled: BTreeSet::new(),
            ready: BTreeSet::new(),
            stuck: HashMap::new(),
            pace: Pace::default(),
            spilled: HashMap::new(),
            closing: Vec::new(),
            settling: Vec::new(),
            notices,
            owed: VecDeque::new(),
        })
    }

    pub(super) fn run(mut self) {
        while !self.stopped {
            self.wait();
            self.obey_all();
            if self.begun {
                self.tools.rotor.tick(&mut self.tools.files);
            }
            if self.begun {
                let patient = self.round();
                let pause = self.pace.pause(clock::monotonic_ns());
                if patient && !pause.is_zero() && !self.stopped {
                    self.dawdle(pause);
                }
            }
            self.report();
        }
    }

    /// Until a pipe or a command has something, or something is due.
    fn wait(&mut self) {
        let now = clock::now().boot_ms;
        let retry = self.stuck.values().map(|stuck| stuck.due_ms.saturating_sub(now)).min();
        let timeout = match (self.begun && !self.ready.is_empty(), self.owed.is_empty()) {
            (true, _) => Some(0),
            (false, false) => Some(retry.unwrap_or(RETRY_MS).min(RETRY_MS)),
            (false, true) => retry,
        };
        let due = self.tools.rotor.due_in().filter(|_| self.begun);
        let late = (!self.late.is_empty()).then_some(AGAIN_MS);
        let timeout = [timeout, due, late].into_iter().flatten().min().map(millis);
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => tracing::error!(%error, "failed to wait for log pipes"),
        }
        self.ready.extend(events.iter().map(|event| event.data.u64()).filter(|token| *token != COMMANDS));
    }

    /// One step for each stream that is ready. `true`: something was done and nothing is urgent.
    fn round(&mut self) -> bool {
        let now = clock::now().boot_ms;
        let due = self.stuck.iter().filter(|(_, stuck)| stuck.due_ms <= now).map(|(token, _)| *token);
        self.ready.extend(due);
        let tokens = std::mem::take(&mut self.ready);
        let mut busy = tokens.is_empty();
        for token in tokens {
            busy |= match self.stuck.get(&token) {
                Some(stuck) if stuck.due_ms > now => self.overflow(token, now),
                Some(_) | None => self.step(token, now),
            };
        }
        for reply in self.settling.drain(..) {
            // Whoever asked may have gone.
            let _gone = reply.send(());
        }
        !busy
    }

    /// One stream's step. `true`: it is in a hurry.
    pub(super) fn step(&mut self, token: u64, now: u64) -> bool {
        let (entry, stream) = of_token(token);
        let Some(Entry { source, streams, .. }) = self.entries.get_mut(&entry) else { return false };
        let slot = &mut streams[index(stream)];
        let outcome = slot.step(&mut self.tools, source);
        let overflowed = slot.overflowed();
        let spilled = overflowed.spilled;
        match outcome {
            Ok(step) => {
                self.pace.saw(step.filled);
                if let Some(stuck) = self.stuck.remove(&token) {
                    let failures = stuck.failures;
                    self.tell(PumpNotice::Recovered { entry, stream, failures, overflowed });
                }
                self.stepped(token, step, spilled)
            }
            Err(error) => {
                self.trouble(token, &error, overflowed, now);
                self.overflow(token, now)
            }
        }
    }

    /// Lets bytes gather; a command ends it.
    fn dawdle(&self, pause: Duration) {
        let mut watched = [PollFd::new(&self.queue.wake, PollFlags::IN)];
        if let Err(error) = poll(&mut watched, Some(&Timespec::try_from(pause).unwrap_or_default())) {
            tracing::debug!(%error, "failed to let log bytes gather");
        }
    }

    /// Gives the owner what it can take now.
    fn report(&mut self) {
        while let Some(notice) = self.tools.rotor.turned.pop_front() {
            self.tell(notice);
        }
        while let Some(notice) = self.owed.pop_front() {
            match self.notices.try_send(notice) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(notice)) => {
                    self.owed.push_front(notice);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.owed.clear(),
            }
        }
    }

    /// Queues a notice that the owner can do without.
    pub(super) fn tell(&mut self, notice: PumpNotice) {
        if self.owed.len() < OWED_NOTICES {
            self.owed.push_back(notice);
        }
    }
}

pub(super) fn tokens(entry: u64) -> [u64; 2] {
    [entry << 1, (entry << 1) | 1]
}

pub(super) fn of_token(token: u64) -> (u64, StreamKind) {
    (token >> 1, if token & 1 == 0 { StreamKind::Out } else { StreamKind::Err })
}

pub(super) fn index(stream: StreamKind) -> usize {
    match stream {
        StreamKind::Out => 0,
        StreamKind::Err => 1,
    }
}

fn millis(ms: u64) -> Timespec {
    let ms = ms.cast_signed();
    Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
}
