//! The pump: one thread that drives all streams. It waits for pipes and commands, never for a subscriber or the
//! owner. (A disk that hangs hangs it; then workers go on until their pipes are full.)
//!
//! After a round it dawdles a little ([`Pace`]), so that a chatty stream costs one batch and not one a line, unless a pipe
//! was found half full.

use super::attic::Plan;
use super::command::{Command, Flushed, Queue, Seam};
use super::error::LogError;
use super::fanout::{Fanout, Filter};
use super::file::Files;
use super::ledger::Ledger;
use super::pace::Pace;
use super::pipe::{Inlet, Stream, Tools};
use super::record::Record;
use super::rotate::Rotor;
use super::seam;
use super::spec::{Held, PumpNotice, SinkSpec, Source, SpillFiles};
use super::stuck::{RETRY_MS, Stuck};
use crate::model::StreamKind;
use crate::sys::clock;
use crate::sys::pipe::{Null, Scratch, capacity};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Troubles wait in a queue of this length for an owner who does not listen.
const OWED_NOTICES: usize = 1024;
/// Epoll token of the command queue; streams have `entry << 1 | stream`.
const COMMANDS: u64 = u64::MAX;

/// A handle to the pump. The thread ends when the last one is dropped; what is held by the keeper then stays there.
#[derive(Clone)]
pub struct Pump {
    owner: Arc<Owner>,
}

struct Owner {
    queue: Arc<Queue>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.queue.push(Command::Stop);
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").finish_non_exhaustive()
    }
}

impl Pump {
    /// Starts the thread. It moves nothing before [`Pump::begin`]. If `notices` ends, the pump is dead.
    pub fn start(fanout: Fanout, notices: mpsc::Sender<PumpNotice>) -> io::Result<Pump> {
        let queue = Arc::new(Queue::new()?);
        let run = Run::new(Arc::clone(&queue), fanout, notices)?;
        std::thread::Builder::new().name("pm-pump".into()).spawn(move || run.run())?;
        Ok(Pump { owner: Arc::new(Owner { queue }) })
    }

    /// Takes over an entry: a new one, or one the keeper held. A batch that a killed daemon had begun is ended
    /// before anything else is written to its files.
    pub fn attach(&self, entry: u64, source: Source, sink: SinkSpec, held: Held) {
        self.push(Command::Attach { entry, source, sink, held });
    }

    /// All entries that the keeper holds have been attached: go. Not earlier, because a batch begun in a file
    /// must be ended before a stream of another entry writes to that file.
    pub fn begin(&self) {
        self.push(Command::Begin);
    }

    /// Reads from the pipe of a generation, after those of older ones, until its end. Add older ones first.
    pub fn add_pipe(&self, entry: u64, stream: StreamKind, generation: u64, pipe: OwnedFd) {
        self.push(Command::AddPipe { entry, stream, generation, pipe });
    }

    /// Gives a stream memory to spill to. The keeper must hold both descriptors by now.
    pub fn add_spill(&self, entry: u64, stream: StreamKind, files: SpillFiles) {
        self.push(Command::AddSpill { entry, stream, files });
    }

    /// The worker, its name or its process changed.
    pub fn set_source(&self, entry: u64, source: Source) {
        self.push(Command::SetSource { entry, source });
    }

    /// Its log settings changed.
    pub fn set_sink(&self, entry: u64, sink: SinkSpec) {
        self.push(Command::SetSink { entry, sink });
    }

    /// The entry is over: writes what is there, then closes all descriptors of it.
    pub fn close(&self, entry: u64) {
        self.push(Command::Close { entry });
    }

    /// Empties files, between batches.
    pub fn flush(&self, paths: Vec<PathBuf>) -> oneshot::Receiver<Flushed> {
        let (reply, answer) = oneshot::channel();
        self.push(Command::Flush { paths, reply });
        answer
    }

    /// Subscribes between two batches, and takes the last `recent` lines of each worker and the ends of `paths` at the
    /// same moment.
    pub fn subscribe(
        &self,
        filter: Filter,
        recent: usize,
        capacity: usize,
        paths: Vec<PathBuf>,
    ) -> oneshot::Receiver<Seam> {
        let (reply, answer) = oneshot::channel();
        self.push(Command::Subscribe { filter, recent, capacity, paths, reply });
        answer
    }

    /// How logs are rotated, from now on. Before the first plan they are not.
    pub fn plan(&self, plan: Plan) {
        self.push(Command::Plan(Box::new(plan)));
    }

    /// Opens all files anew when they are next written to.
    pub fn reopen(&self) {
        self.push(Command::Reopen);
    }

    /// Answered when what was in the pipes at the call is in the files, and all earlier commands are done; stuck
    /// streams are not waited for.
    pub fn settle(&self) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        self.push(Command::Settle { reply });
        answer
    }

    fn push(&self, command: Command) {
        self.owner.queue.push(command);
    }
}

pub(super) struct Entry {
    source: Source,
    sink: SinkSpec,
    pub(super) streams: [Stream; 2],
}

/// The thread's state.
pub(super) struct Run {
    queue: Arc<Queue>,
    epoll: OwnedFd,
    pub(super) tools: Tools,
    pub(super) entries: HashMap<u64, Entry>,
    begun: bool,
    stopped: bool,
    /// Tokens of streams that may have something to do. Pipes report edges, so a token stays until a step has
    /// found the pipes empty.
    pub(super) ready: BTreeSet<u64>,
    pub(super) stuck: HashMap<u64, Stuck>,
    pace: Pace,
    /// Bytes in memory, by stream.
    pub(super) spilled: HashMap<u64, u64>,
    /// Entries closed before the start.
    closing: Vec<u64>,
    settling: Vec<oneshot::Sender<()>>,
    notices: mpsc::Sender<PumpNotice>,
    pub(super) owed: VecDeque<PumpNotice>,
}

impl Run {
    fn new(queue: Arc<Queue>, fanout: Fanout, notices: mpsc::Sender<PumpNotice>) -> io::Result<Run> {
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

    fn run(mut self) {
        while !self.stopped {
            self.wait();
            for command in self.queue.take() {
                self.obey(command);
            }
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
        let timeout = [timeout, due].into_iter().flatten().min().map(millis);
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
    fn step(&mut self, token: u64, now: u64) -> bool {
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

    fn obey(&mut self, command: Command) {
        match command {
            Command::Attach { entry, source, sink, held } => self.attach(entry, source, &sink, held),
            Command::Begin => self.begin(),
            Command::AddPipe { entry, stream, generation, pipe } => {
                let inlet = Inlet { generation, capacity: capacity(&pipe), pipe };
                self.add(entry, stream, inlet);
            }
            Command::AddSpill { entry, stream, files } => self.add_spill(entry, stream, files),
            Command::SetSource { entry, source } => {
                if let Some(known) = self.entries.get_mut(&entry) {
                    known.source = source;
                    self.tools.enlist(&known.sink, &known.source);
                    self.tools.release(&known.sink);
                }
            }
            Command::SetSink { entry, sink } => {
                if let Some(known) = self.entries.get_mut(&entry).filter(|known| known.sink != sink) {
                    known.streams.iter_mut().for_each(|stream| stream.set_sink(&sink, &mut self.tools.files));
                    self.tools.enlist(&sink, &known.source);
                    self.tools.release(&std::mem::replace(&mut known.sink, sink));
                    // What was stuck may not be any more.
                    for token in tokens(entry) {
                        self.stuck.entry(token).and_modify(|stuck| stuck.due_ms = 0);
                        self.ready.insert(token);
                    }
                }
            }
            Command::Close { entry } if self.begun => self.close(entry),
            Command::Close { entry } => self.closing.push(entry),
            Command::Flush { paths, reply } => {
                let freed = paths.into_iter().map(|path| {
                    let freed = Files::truncate(&path);
                    (path, freed)
                });
                // Whoever asked may have gone.
                let _gone = reply.send(freed.collect());
            }
            Command::Subscribe { filter, recent, capacity, paths, reply } => {
                let told = self.entries.values().flat_map(|entry| &entry.streams).map(|stream| &stream.told);
                let ends = seam::ends(&paths, &self.tools.files, told);
                let (live, recent) = self.tools.fanout.subscribe_after(filter, recent, capacity);
                // Whoever asked may have gone.
                let _gone = reply.send(Seam { live, recent, ends });
            }
            Command::Plan(plan) => self.tools.rotor.plan(*plan),
            Command::Reopen => self.tools.files.reopen(),
            Command::Settle { reply } => {
                self.ready.extend(self.entries.keys().flat_map(|entry| tokens(*entry)));
                self.settling.push(reply);
            }
            Command::Stop => self.stopped = true,
        }
    }

    /// Ends what a killed daemon had begun, then lets everything flow.
    fn begin(&mut self) {
        self.begun = true;
        let streams = self.entries.values().flat_map(|entry| &entry.streams);
        let owing: Vec<u64> = streams.filter(|stream| stream.owes()).map(|stream| stream.token).collect();
        for token in owing {
            self.step(token, clock::now().boot_ms);
        }
        self.ready.extend(self.entries.keys().flat_map(|entry| tokens(*entry)));
        for entry in std::mem::take(&mut self.closing) {
            self.close(entry);
        }
    }

    fn attach(&mut self, entry: u64, source: Source, sink: &SinkSpec, held: Held) {
        let open = |stream| Ok((Record::open(&held.record, stream)?, Ledger::open(&held.record, stream)?));
        let (out, err) = match open(StreamKind::Out).and_then(|out| Ok((out, open(StreamKind::Err)?))) {
            Ok(both) => both,
            Err(error) => {
                for stream in [StreamKind::Out, StreamKind::Err] {
                    self.told(entry, stream, &error);
                }
                return;
            }
        };
        if self.entries.contains_key(&entry) {
            tracing::error!(entry, "an entry was attached to the log pump twice");
            return;
        }
        let [first, second] = tokens(entry);
        let files = &mut self.tools.files;
        let streams = [
            Stream::attach(first, StreamKind::Out, held.out_staging, out, sink, files),
            Stream::attach(second, StreamKind::Err, held.err_staging, err, sink, files),
        ];
        self.tools.enlist(sink, &source);
        self.entries.insert(entry, Entry { source, sink: sink.clone(), streams });
        self.ready.extend(tokens(entry));
    }

    fn add(&mut self, entry: u64, stream: StreamKind, inlet: Inlet) {
        let token = tokens(entry)[index(stream)];
        let Some(known) = self.entries.get_mut(&entry) else {
            tracing::error!(entry, "a pipe came for an entry that is not attached to the log pump");
            return;
        };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, &inlet.pipe, epoll::EventData::new_u64(token), flags) {
            self.told(entry, stream, &LogError::Pipe(error.into()));
            return;
        }
        known.streams[index(stream)].add(inlet);
        self.ready.insert(token);
    }

    fn close(&mut self, entry: u64) {
        self.owed.push_back(PumpNotice::Closed { entry });
        let Some(Entry { source, sink, mut streams }) = self.entries.remove(&entry) else { return };
        for (slot, token) in streams.iter_mut().zip(tokens(entry)) {
            if let Err(error) = slot.finish(&mut self.tools, &source) {
                let what = format!("{}; {} bytes or more are lost", error.told(), slot.kept());
                let (stream, overflowed) = (of_token(token).1, slot.overflowed());
                self.tell(PumpNotice::Trouble { entry, stream, what, overflowed });
            }
            slot.inlets.iter().chain(&slot.closed).for_each(|inlet| self.unregister(inlet));
            self.ready.remove(&token);
            self.stuck.remove(&token);
            self.spilled.remove(&token);
        }
        self.tools.release(&sink);
        if !self.entries.values().any(|other| other.source.worker == source.worker) {
            self.tools.fanout.forget(source.worker);
        }
    }

    /// The keeper's copy keeps the pipe open, so closing ours would not end the watch.
    pub(super) fn unregister(&self, inlet: &Inlet) {
        if let Err(error) = epoll::delete(&self.epoll, &inlet.pipe) {
            tracing::warn!(%error, "failed to stop watching a log pipe");
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
