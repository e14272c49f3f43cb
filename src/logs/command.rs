//! What the pump is asked to do, and how that reaches its thread.

use super::attic::Plan;
use super::fanout::{Filter, LogLines, Subscription};
use super::seam::End;
use super::spec::{Held, SinkSpec, Source, SpillFiles};
use crate::model::StreamKind;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// What flushing came to: for each path the bytes freed.
pub type Flushed = Vec<(PathBuf, io::Result<u64>)>;

/// A subscription and the moment it began: what was written before is in the files up to their ends, what comes
/// later is delivered, and nothing is both or neither.
#[derive(Debug)]
pub struct Seam {
    /// What comes.
    pub live: Subscription,
    /// Each worker's last lines before, as they were read, oldest first.
    pub recent: Vec<LogLines>,
    /// Where the files end, in the order they were asked for.
    pub ends: Vec<End>,
}

/// A command.
#[derive(Debug)]
pub enum Command {
    /// `Pump::attach`.
    Attach { entry: u64, source: Source, sink: SinkSpec, held: Held },
    /// `Pump::begin`.
    Begin,
    /// `Pump::add_pipe`.
    AddPipe { entry: u64, stream: StreamKind, generation: u64, pipe: OwnedFd },
    /// `Pump::add_spill`.
    AddSpill { entry: u64, stream: StreamKind, files: SpillFiles },
    /// `Pump::set_source`.
    SetSource { entry: u64, source: Source },
    /// `Pump::set_sink`.
    SetSink { entry: u64, sink: SinkSpec },
    /// `Pump::close`.
    Close { entry: u64 },
    /// `Pump::flush`.
    Flush { paths: Vec<PathBuf>, reply: oneshot::Sender<Flushed> },
    /// `Pump::subscribe`.
    Subscribe {
        filter: Filter,
        recent: usize,
        capacity: usize,
        paths: Vec<PathBuf>,
        reply: oneshot::Sender<Seam>,
    },
    /// `Pump::plan`.
    Plan(Box<Plan>),
    /// `Pump::reopen`.
    Reopen,
    /// `Pump::settle`.
    Settle { reply: oneshot::Sender<()> },
    /// The last handle is gone.
    Stop,
}

/// Commands on their way. Not bounded by a number, as the owner must not wait for a hanging disk: what grows
/// with the number of workers carries descriptors, of which there are not too many.
#[derive(Debug)]
pub struct Queue {
    commands: Mutex<VecDeque<Command>>,
    /// Readable while there are some.
    pub wake: OwnedFd,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> io::Result<Queue> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Queue { commands: Mutex::default(), wake })
    }

    /// Adds one and wakes the pump.
    pub fn push(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        self.wake();
    }

    /// Wakes the pump.
    pub fn wake(&self) {
        if let Err(error) = rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            // EAGAIN: the counter is at its limit, so the pump is being woken anyway.
            tracing::debug!(%error, "failed to wake the log pump once more");
        }
    }

    /// All there are.
    pub fn take(&self) -> VecDeque<Command> {
        match rustix::io::read(&self.wake, &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => tracing::warn!(%error, "failed to read the log pump's eventfd"),
        }
        std::mem::take(&mut self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
