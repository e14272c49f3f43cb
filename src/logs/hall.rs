//! What the pump's threads share: all entries, and whose turn it is.
//!
//! One thread leads (`round`): it drives all streams and does all commands. Before it asks a disk for anything it takes
//! what it needs with it, a stream for example, and leaves the rest here, unlocked. If it does not come back
//! in time (`hang`), another one leads from then on; the old one brings back what it had when the disk lets it, and ends.
//!
//! Locks are taken in this order, and none while a disk is asked: `Run`, an intake, files or rotor, subscribers.

use super::command::{Command, Queue};
use super::draw::Step;
use super::fanout::Fanout;
use super::file::Files;
use super::intake::Shared;
use super::lanes::Lanes;
use super::late::Late;
use super::pipe::{Inlet, Stream};
use super::rotate::Rotor;
use super::spec::{PumpNotice, SinkSpec, Source};
use super::stuck::Stuck;
use super::tools::Tools;
use super::{error::LogError, hang};
use crate::model::StreamKind;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::pipe::Scratch;
use rustix::event::epoll;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Troubles wait in a queue of this length for an owner who does not listen.
const OWED_NOTICES: usize = 1024;
/// Epoll token of the command queue; streams have `entry << 1 | stream`.
pub(super) const COMMANDS: u64 = u64::MAX;

/// What the threads share.
#[derive(Debug)]
pub(super) struct Hall {
    pub(super) files: Files,
    // Ends before `run` does, whose end the owner notices: by then nobody moves files any more.
    pub(super) rotor: Rotor,
    run: Mutex<Run>,
    pub(super) queue: Arc<Queue>,
    pub(super) epoll: OwnedFd,
    pub(super) fanout: Fanout,
    pub(super) lanes: Lanes,
    scratch: Scratch,
    /// For the thread that watches.
    pub(super) watch: Condvar,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) source: Source,
    pub(super) sink: SinkSpec,
    pub(super) streams: [Slot; 2],
    /// It is over; something of it is still being written.
    pub(super) closing: bool,
}

/// A stream's place.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) intake: Shared,
    /// None: a thread has it, which asks a disk.
    pub(super) stream: Option<Box<Stream>>,
    /// It is yet to be told of the entry's sink.
    pub(super) stale: bool,
}

/// What a leader is out for.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) since_ms: u64,
    pub(super) token: Option<u64>,
}

/// The state of things.
#[derive(Debug)]
pub(super) struct Run {
    /// Number of the thread that leads.
    pub(super) leader: u64,
    /// Nobody leads: there was no thread to be had.
    pub(super) vacant: bool,
    pub(super) errand: Option<Errand>,
    pub(super) errands: u64,
    /// The watching thread is to be woken.
    pub(super) unwatched: bool,
    pub(super) commands: VecDeque<Command>,
    pub(super) entries: HashMap<u64, Entry>,
    pub(super) begun: bool,
    pub(super) stopped: bool,
    /// Tokens of streams that may have something to do. Pipes report edges, so a token stays until a step has
    /// found the pipes empty.
    pub(super) ready: BTreeSet<u64>,
    /// What is left of this round.
    pub(super) turn: BTreeSet<u64>,
    pub(super) stuck: HashMap<u64, Stuck>,
    /// Bytes in memory, by stream.
    pub(super) spilled: HashMap<u64, u64>,
    /// Dropped bytes that the owner was told of when all seemed well, by stream.
    pub(super) dropped: HashMap<u64, u64>,
    pub(super) late: Late,
    /// Entries closed before the start.
    pub(super) closing: Vec<u64>,
    pub(super) settling: Vec<oneshot::Sender<()>>,
    notices: mpsc::Sender<PumpNotice>,
    pub(super) owed: VecDeque<PumpNotice>,
    /// Room to look at spilled bytes in.
    pub(super) buffer: Vec<u8>,
}

impl Hall {
    /// Makes it, with a thread that leads and one that watches.
    pub(super) fn open(
        queue: Arc<Queue>,
        scratch: Scratch,
        fanout: Fanout,
        notices: mpsc::Sender<PumpNotice>,
    ) -> io::Result<()> {
        fault::at("pump.start")?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &queue.wake, epoll::EventData::new_u64(COMMANDS), epoll::EventFlags::IN)?;
        let run = Run {
            leader: 0,
            vacant: false,
            errand: None,
            errands: 0,
            unwatched: false,
            commands: VecDeque::new(),
            entries: HashMap::new(),
            begun: false,
            stopped: false,
            ready: BTreeSet::new(),
            turn: BTreeSet::new(),
            stuck: HashMap::new(),
            spilled: HashMap::new(),
            dropped: HashMap::new(),
            late: Late::default(),
            closing: Vec::new(),
            settling: Vec::new(),
            notices,
            owed: VecDeque::new(),
            buffer: Vec::new(),
        };
        let hall = Arc::new(Hall {
            run: Mutex::new(run),
            queue,
            epoll,
            files: Files::default(),
            rotor: Rotor::new()?,
            fanout,
            lanes: Lanes::default(),
            scratch,
            watch: Condvar::new(),
        });
        hang::lead(&hall, 0)?;
        hang::watch(hall)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tools(&self) -> io::Result<Tools> {
        let scratch = self.scratch.share();
        Tools::new(scratch, self.files.clone(), self.rotor.clone(), self.fanout.clone(), self.lanes.clone())
    }

    /// The leader goes to ask a disk.
    pub(super) fn set_out(&self, run: &mut Run, token: Option<u64>) {
        run.errand = Some(Errand { since_ms: clock::now().boot_ms, token });
        run.errands += 1;
        if run.unwatched {
            run.unwatched = false;
            self.watch.notify_one();
        }
    }

    /// A stream is back from its step. `true`: it is in a hurry.
    pub(super) fn land(
        &self,
        number: u64,
        token: u64,
        stream: Box<Stream>,
        outcome: Result<Step, LogError>,
    ) -> bool {
        let Some(intake) = self.bring(number, token, stream) else { return false };
        let overflowed = intake.lock().overflowed();
        let mut run = self.lock();
        match outcome {
            Ok(step) => {
                run.recovered(token, overflowed);
                self.stepped(&mut run, token, step, overflowed.spilled)
            }
            Err(error) => {
                let now = clock::now().boot_ms;
                run.trouble(token, &error, overflowed, now);
                self.overflow(&mut run, token, now)
            }
        }
    }

    /// A stream is back in its place; it hears first what changed meanwhile.
    pub(super) fn bring(&self, number: u64, token: u64, mut stream: Box<Stream>) -> Option<Shared> {
        let (id, kind) = of_token(token);
        let mut run = self.lock();
        while let Some(entry) = run.entries.get_mut(&id)
            && std::mem::take(&mut entry.streams[index(kind)].stale)
        {
            let sink = entry.sink.clone();
            drop(run);
            stream.set_sink(&sink, &self.files);
            run = self.lock();
        }
        if run.leader == number {
            run.errand = None;
        } else {
            run.ready.insert(token);
            self.queue.wake();
        }
        let entry = run.entries.get_mut(&id)?;
        let slot = &mut entry.streams[index(kind)];
        slot.stream = Some(stream);
        if entry.closing {
            self.queue.push(Command::Close { entry: id });
        }
        Some(entry.streams[index(kind)].intake.clone())
    }

    /// What follows from any step. `true`: the stream is in a hurry.
    pub(super) fn stepped(&self, run: &mut Run, token: u64, step: Step, spilled: u64) -> bool {
        let (entry, stream) = of_token(token);
        match spilled {
            0 => run.spilled.remove(&token),
            bytes => run.spilled.insert(token, bytes),
        };
        let closed = match run.entries.get(&entry) {
            Some(known) => std::mem::take(&mut known.streams[index(stream)].intake.lock().closed),
            None => Vec::new(),
        };
        for inlet in closed {
            self.unregister(&inlet);
            run.owed.push_back(PumpNotice::PipeClosed { entry, stream, generation: inlet.generation });
        }
        if step.more {
            run.ready.insert(token);
        }
        step.busy
    }

    /// The keeper's copy keeps the pipe open, so closing ours would not end the watch.
    pub(super) fn unregister(&self, inlet: &Inlet) {
        if let Err(error) = epoll::delete(&self.epoll, &inlet.pipe) {
            tracing::warn!(%error, "failed to stop watching a log pipe");
        }
    }
}

impl Run {
    /// Lends out a stream for a step.
    pub(super) fn depart(&mut self, token: u64) -> Option<(Box<Stream>, Source)> {
        let (id, kind) = of_token(token);
        let entry = self.entries.get_mut(&id)?;
        Some((entry.streams[index(kind)].stream.take()?, entry.source.clone()))
    }

    /// Gives the owner what it can take now.
    pub(super) fn report(&mut self, rotor: &Rotor) {
        while let Some(notice) = rotor.turned() {
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
