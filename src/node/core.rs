//! What the hub's thread owns: workers, listening sockets and the one epoll set. Here the workers' messages come in
//! and events go out; the cluster's part is in `cluster`, leaving in `drain`, the loop in `turn`.

use super::channel::{Channel, Read, unwatch};
use super::codec::{self, Flushed, Line};
use super::event::{Keep, NodeEvent};
use super::line;
use super::listener::Listener;
use super::message::{self, Incoming};
use super::trouble::Searcher;
use super::worker::{ChannelSpec, Worker};
use crate::model::Run;
use crate::sys::clock;
use crate::sys::fault;
use rustix::event::epoll;
use rustix::io::Errno;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// One read of a channel: what the kernel's socket buffer holds at most is a few of these.
const READ: usize = 64 << 10;

/// Between two reports of closed addresses, in milliseconds.
const PACE: u64 = 250;

/// What a token of the epoll set stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A worker's channel.
    Channel(Run),
    /// Socket `index` of a listener.
    Listener { entry: u64, index: u32 },
}

/// The state of the hub's thread.
pub(super) struct Core {
    pub(super) epoll: OwnedFd,
    pub(super) keep: Arc<dyn Keep>,
    pub(super) events: Sender<NodeEvent>,
    /// The daemon listens no more: end.
    pub(super) is_over: bool,
    pub(super) workers: BTreeMap<Run, Worker>,
    /// By the keeper's entry.
    pub(super) listeners: BTreeMap<u64, Listener>,
    /// Never reused, so that an event for a source that is gone finds nothing.
    pub(super) sources: BTreeMap<u64, Source>,
    last_token: u64,
    pub(super) last_entry: u64,
    pub(super) last_seq: u64,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    /// Milliseconds of the monotonic clock at the start of this turn.
    pub(super) now: u64,
    /// Something is due then.
    pub(super) wake_at: Option<u64>,
    /// A descriptor to give up for a connection when the system has no other.
    pub(super) spare: Option<OwnedFd>,
    pub(super) searcher: Searcher,
    /// Before this moment no closed addresses are told.
    addresses_after: u64,
}

impl Core {
    pub(super) fn new(epoll: OwnedFd, keep: Arc<dyn Keep>, events: Sender<NodeEvent>) -> Core {
        Core {
            epoll,
            keep,
            events,
            is_over: false,
            workers: BTreeMap::new(),
            listeners: BTreeMap::new(),
            sources: BTreeMap::new(),
            last_token: 0,
            last_entry: Run::FIRST_RESERVED - 1,
            // Above all numbers of a former daemon, so that answers meant for it match nothing. Not of the wall clock,
            // which may have been set back since.
            last_seq: clock::now().boot_ms * 256,
            buffer: vec![0; READ],
            scratch: vec![0; READ],
            now: millis(),
            wake_at: None,
            spare: None,
            searcher: Searcher::default(),
            addresses_after: 0,
        }
    }

    /// Takes a worker's channel.
    pub(super) fn add(&mut self, spec: ChannelSpec) {
        let run = spec.run;
        if self.workers.contains_key(&run) {
            self.remove(run);
        }
        let token = self.source(Source::Channel(run));
        let mut failed = None;
        let worker = Worker::new(spec, |fd| match Channel::open(fd, token, &self.epoll) {
            Ok(channel) => Some(channel),
            Err(e) => {
                failed = Some(e);
                None
            }
        });
        self.workers.insert(run, worker);
        self.rejoin(run);
        if let Some(e) = failed {
            self.emit(NodeEvent::Unheard { run, what: format!("watch its channel: {e}") });
            self.emit(NodeEvent::Disconnected { run });
        }
    }

    /// Its process is gone: hears what it still had to say and forgets it.
    pub(super) fn remove(&mut self, run: Run) {
        // At most what a socket buffer can hold: a child of the worker may go on writing for ever.
        for _ in 0..64 {
            if self.read(run).is_none() {
                break;
            }
        }
        self.disconnected(run);
        self.workers.remove(&run);
        self.depart(run);
    }

    /// Reads once from a worker and does what it says; `None` when there is nothing.
    pub(super) fn read(&mut self, run: Run) -> Option<()> {
        let channel = self.workers.get(&run)?.channel.as_ref()?;
        match channel.peek(&mut self.buffer) {
            Read::Nothing => None,
            Read::End => {
                self.disconnected(run);
                None
            }
            Read::Some(bytes) => {
                let buffer = std::mem::take(&mut self.buffer);
                self.hear(run, buffer.get(..bytes).unwrap_or_default());
                self.buffer = buffer;
                Some(())
            }
        }
    }

    /// Line by line: each is taken off the socket when it is done, so that a question which this daemon does not live
    /// to answer is answered by the next. What it asks twice for that reason it gets once (`query_server`).
    fn hear(&mut self, run: Run, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let newline = memchr::memchr(b'\n', rest);
            if newline.is_none() && rest.len() < bytes.len() {
                // The head of a line stays too, until it is all there is.
                return;
            }
            let (piece, later) = rest.split_at(newline.map_or(rest.len(), |at| at + 1));
            let Some(channel) = self.channel(run) else { return };
            match channel.hear(piece) {
                Some(line) => self.line(run, line),
                None if channel.drop_binary() => self.note_binary(run),
                None => {}
            }
            let Some(channel) = self.workers.get(&run).and_then(|w| w.channel.as_ref()) else { return };
            channel.consume(piece.len(), &mut self.scratch);
            rest = later;
        }
    }

    fn channel(&mut self, run: Run) -> Option<&mut Channel> {
        self.workers.get_mut(&run)?.channel.as_mut()
    }

    /// Its channel has ended: nothing that it was handed is its any more.
    fn disconnected(&mut self, run: Run) {
        let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.take()) else { return };
        self.sources.remove(&channel.token());
        channel.close(&self.epoll);
        self.depart(run);
        self.emit(NodeEvent::Disconnected { run });
    }

    fn line(&mut self, run: Run, line: Line) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        let may_be_cut = std::mem::take(&mut worker.first_line_may_be_cut);
        let is_first = !std::mem::replace(&mut worker.was_heard, true);
        match line {
            Line::Whole(bytes) if bytes.is_empty() => {}
            Line::Whole(bytes) => match message::parse(&bytes) {
                Ok(incoming) => {
                    if is_first && worker.cluster && incoming != Incoming::Online {
                        self.not_node(run);
                    }
                    self.incoming(run, incoming);
                }
                Err(_) if may_be_cut => {}
                Err(_) if codec::is_binary(&bytes) => self.note_binary(run),
                Err(e) => self.note(run, format!("a line on its Node channel is not JSON: {e}")),
            },
            Line::TooLong(head, length) => {
                if message::begins_with_handle(&head) {
                    self.acknowledge_handle(run);
                }
                self.note(
                    run,
                    format!("a message of {length} bytes on its Node channel is too long, it is ignored"),
                );
            }
        }
    }

    fn note_binary(&mut self, run: Run) {
        self.note(
            run,
            "its Node channel carries binary data: the `advanced` serialization is not supported, only `json`"
                .to_owned(),
        );
    }

    fn incoming(&mut self, run: Run, incoming: Incoming) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        let cluster = worker.cluster;
        match incoming {
            Incoming::Online if cluster && !std::mem::replace(&mut worker.said.online, true) => {
                self.emit(NodeEvent::Online { run });
            }
            Incoming::QueryServer { seq, ask, data } if cluster => self.query_server(run, seq, *ask, data),
            Incoming::Listening(ask) if cluster => {
                let address = ask.display();
                if worker.listens_on(&address) {
                    self.emit(NodeEvent::Listening { run, address });
                }
            }
            Incoming::Close { key } if cluster => self.closed(run, &key),
            Incoming::Leaving if cluster => self.begins_to_leave(run),
            Incoming::ExitedAfterDisconnect { seq } if cluster => self.leaves(run, seq),
            Incoming::Accepted { ack, accepted } => self.answered(run, ack, accepted),
            Incoming::HandleAck => self.handle_arrived(run),
            Incoming::HandleNack => self.handle_refused(run),
            Incoming::Handle(inner) => {
                self.acknowledge_handle(run);
                if let Some(inner) = inner {
                    self.incoming(run, *inner);
                }
            }
            // What was asked of us is reported already.
            Incoming::ListenFailed { ask, errno }
                if worker.reported_last().as_ref() != Some(&ask.place()) =>
            {
                self.report(run, &ask, errno);
            }
            Incoming::Metrics(usage) => self.emit_if_room(NodeEvent::Reported { run, usage }),
            Incoming::Ready if !std::mem::replace(&mut worker.said.ready, true) => {
                self.emit(NodeEvent::Ready { run });
            }
            Incoming::NodeVersion(version) if !std::mem::replace(&mut worker.said.version, true) => {
                let version = version.chars().filter(|c| !c.is_control()).take(64).collect();
                self.emit(NodeEvent::NodeVersion { run, version });
            }
            Incoming::AxmMonitor(data) => worker.merge_monitor(data),
            Incoming::AxmAction(action) => worker.add_action(action),
            Incoming::AxmOption(data) => worker.merge_options(data),
            Incoming::Bus(value) => self.emit_if_room(NodeEvent::Message { run, value }),
            Incoming::Online
            | Incoming::QueryServer { .. }
            | Incoming::Listening(_)
            | Incoming::Close { .. }
            | Incoming::ExitedAfterDisconnect { .. }
            | Incoming::Leaving
            | Incoming::ListenFailed { .. }
            | Incoming::Ready
            | Incoming::NodeVersion(_)
            | Incoming::Other => {}
        }
    }

    /// Sends it a user message; lost if it has not read many earlier ones.
    pub(super) fn say(&mut self, run: Run, message: &Value) {
        let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) else { return };
        if channel.outbox.push_droppable(line::user(message)) {
            self.flush(run);
        } else {
            self.note(run, "it does not read its Node channel, a message was dropped".to_owned());
        }
    }

    /// Queues a line of the protocol for it.
    pub(super) fn tell(&mut self, run: Run, line: Vec<u8>) {
        if let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) {
            channel.outbox.push(line);
            self.flush(run);
        }
    }

    /// Else its whole queue stops. The handle itself is closed already.
    fn acknowledge_handle(&mut self, run: Run) {
        if let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) {
            channel.outbox.push_acknowledgement(line::handle_ack());
            self.flush(run);
        }
    }

    /// Writes what can be written to it.
    pub(super) fn flush(&mut self, run: Run) {
        let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) else { return };
        let flushed = channel.flush(&self.epoll);
        if channel.outbox.is_written() {
            self.all_is_written(run);
        }
        match flushed {
            Flushed::Done | Flushed::Full => {}
            Flushed::Later => self.wake_by(self.now + 10),
        }
    }

    /// Nothing waits for it any more: what it was told, it hears whatever becomes of us.
    fn all_is_written(&mut self, run: Run) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        if std::mem::take(&mut worker.is_being_told) {
            self.emit(NodeEvent::Told { run });
        }
        if self.workers.get_mut(&run).is_some_and(|worker| std::mem::take(&mut worker.is_owed)) {
            self.nothing_owed(run);
        }
    }

    /// Tells what changed since the last turn, once a worker. A worker that changes thousands of metrics a second
    /// costs the daemon one event a turn, and none while the daemon is busy.
    pub(super) fn publish(&mut self) {
        for (run, worker) in self.workers.iter_mut().filter(|(_, worker)| worker.axm_changed) {
            let axm = Arc::new(worker.axm.clone());
            worker.axm_changed = self.events.try_send(NodeEvent::Axm { run: *run, axm }).is_err();
        }
        if self.workers.values().any(|worker| worker.open_changed) {
            self.publish_addresses();
        }
    }

    /// A few times a second: a worker may listen and close as fast as it can.
    fn publish_addresses(&mut self) {
        if self.now < self.addresses_after {
            self.wake_by(self.addresses_after);
            return;
        }
        self.addresses_after = self.now + PACE;
        for (run, worker) in self.workers.iter_mut().filter(|(_, worker)| worker.open_changed) {
            let addresses = worker.open.iter().cloned().collect();
            worker.open_changed = self.events.try_send(NodeEvent::Listens { run: *run, addresses }).is_err();
        }
    }

    pub(super) fn note(&mut self, run: Run, text: String) {
        if self.workers.get_mut(&run).is_some_and(Worker::may_note) {
            self.emit(NodeEvent::Note { run, text });
        }
    }

    pub(super) fn emit(&mut self, event: NodeEvent) {
        self.is_over |= self.events.blocking_send(event).is_err();
    }

    fn emit_if_room(&self, event: NodeEvent) {
        match self.events.try_send(event) {
            Ok(()) | Err(_) => {}
        }
    }

    /// A new token for a source.
    pub(super) fn source(&mut self, source: Source) -> u64 {
        self.last_token += 1;
        self.sources.insert(self.last_token, source);
        self.last_token
    }

    /// Stops watching one socket of a listener.
    pub(super) fn forget_source(&mut self, token: u64, fd: &OwnedFd) {
        self.sources.remove(&token);
        unwatch(&self.epoll, fd);
    }

    /// The next number for a message to a worker.
    pub(super) fn seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    pub(super) fn wake_by(&mut self, at: u64) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn watch(&self, token: u64, fd: &OwnedFd, flags: epoll::EventFlags) -> Result<(), Errno> {
        fault::errno("core.watch")?;
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), flags)
    }
}

/// Milliseconds of the monotonic clock.
pub(super) fn millis() -> u64 {
    clock::monotonic_ns() / 1_000_000
}
