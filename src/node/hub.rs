//! The daemon's handle on the thread that speaks with Node workers. A thread of its own, so that neither logs nor
//! metrics nor a busy owner delay a connection. Orders go in by a queue and never wait; events come out by a channel.

use super::core::Core;
use super::custody::Custody;
use super::event::{Keep, NodeEvent};
use super::turn::{self, WAKE};
use super::worker::ChannelSpec;
use crate::model::Run;
use crate::sys::fault;
use rustix::event::epoll::{self, CreateFlags, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

/// Messages to workers that may wait for the thread. Other orders are few: some for each start and end of a worker.
const MAX_MESSAGES: usize = 4096;

/// Starts, feeds and (when the last clone is dropped) ends the thread `pm-node`.
#[derive(Clone)]
pub struct Hub {
    handle: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Starts the thread. It ends when all clones are dropped or nobody receives its events; the events' channel
    /// then closes. It waits for room in that channel, so whoever receives must never wait for the hub, and does not
    /// have to: no order below waits.
    pub fn start(keep: Arc<dyn Keep>, events: Sender<NodeEvent>) -> io::Result<Hub> {
        fault::at("hub.start")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), EventFlags::IN)?;
        let queue = Arc::new(Queue { commands: Mutex::new(VecDeque::new()), wake });
        let core = Core::new(epoll, keep, events);
        let theirs = Arc::clone(&queue);
        std::thread::Builder::new().name("pm-node".to_owned()).spawn(move || turn::run(core, &theirs))?;
        Ok(Hub { handle: Arc::new(Handle { queue }) })
    }

    /// Takes over a listening socket from a former daemon, with its record. Before its workers are added.
    /// `connections` are those that were kept.
    pub fn adopt_listener(
        &self,
        entry: u64,
        fds: Vec<(u32, OwnedFd)>,
        connections: Vec<(Custody, OwnedFd)>,
        blob: Vec<u8>,
    ) {
        self.push(Command::Adopt { entry, fds, connections, blob });
    }

    /// Takes a worker's channel.
    pub fn add(&self, spec: ChannelSpec) {
        self.push(Command::Add(Box::new(spec)));
    }

    /// Its process is gone: hears it out, gives the connections it had not taken to others, forgets it.
    pub fn remove(&self, run: Run) {
        self.push(Command::Remove(run));
    }

    /// Sends it a user message, as `process.on('message')` gets it. Lost if it does not read its channel.
    pub fn say(&self, run: Run, message: Value) {
        if self.handle.queue.len() < MAX_MESSAGES {
            self.push(Command::Say(run, message));
        }
    }

    /// Hands it, and no other worker, a connection to the listener it has on this TCP port, or on its first one.
    /// The answer says whether it has one; it may still refuse the connection, and then closes it.
    pub fn lend(&self, run: Run, port: Option<u16>, connection: OwnedFd) -> oneshot::Receiver<bool> {
        let (reply, answer) = oneshot::channel();
        self.push(Command::Lend { run, port, connection, reply });
        answer
    }

    /// Gives it no more connections and asks it to finish what it has. For `grace` it leaves idle kept-alive
    /// connections open for a request that may be on its way; it should be shorter than the time until SIGKILL.
    /// `Told` follows when that is on its channel, `Disconnected` when it has finished, `Idle` at once if it holds no
    /// socket.
    pub fn drain(&self, run: Run, grace: Duration) {
        self.push(Command::Drain(run, grace));
    }

    /// Says `shutdown` to it. `Told` follows when that is on its channel.
    pub fn shutdown(&self, run: Run) {
        self.push(Command::Shutdown(run));
    }

    /// It is about to be stopped by a signal or message: what it closes from now on, it closes for that reason, and
    /// the listening socket stays open for its successor.
    pub fn stopping(&self, run: Run) {
        self.push(Command::Stopping(run));
    }

    /// Closes the app's listening sockets.
    pub fn close_listeners(&self, app: &str) {
        self.push(Command::CloseListeners(app.into()));
    }

    fn push(&self, command: Command) {
        self.handle.queue.push(command);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.push(Command::Stop);
    }
}

/// An order to the thread.
#[derive(Debug)]
pub(super) enum Command {
    Adopt { entry: u64, fds: Vec<(u32, OwnedFd)>, connections: Vec<(Custody, OwnedFd)>, blob: Vec<u8> },
    Add(Box<ChannelSpec>),
    Remove(Run),
    Say(Run, Value),
    Lend { run: Run, port: Option<u16>, connection: OwnedFd, reply: oneshot::Sender<bool> },
    Drain(Run, Duration),
    Shutdown(Run),
    Stopping(Run),
    CloseListeners(Box<str>),
    Stop,
}

/// Orders on their way, and the eventfd that announces them.
pub(super) struct Queue {
    commands: Mutex<VecDeque<Command>>,
    wake: OwnedFd,
}

impl Queue {
    fn push(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        // Fails only when the counter is full, and then the thread is awake anyway.
        match rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            Ok(_) | Err(_) => {}
        }
    }

    fn len(&self) -> usize {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn next(&self) -> Option<Command> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Resets the eventfd.
    pub(super) fn quiet(&self) {
        match rustix::io::read(&self.wake, &mut [0; 8]) {
            Ok(_) | Err(_) => {}
        }
    }
}
