//! The handle to the pump: what it is asked goes into its queue, and nobody waits for its threads (`hall`).

use super::attic::Plan;
use super::command::{Command, Flushed, Queue, Seam};
use super::fanout::{Fanout, Filter};
use super::hall::Hall;
use super::spec::{Held, PumpNotice, SinkSpec, Source, SpillFiles};
use crate::model::StreamKind;
use crate::sys::pipe::Scratch;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

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
    /// Starts the threads. They move nothing before [`Pump::begin`]. If `notices` ends, the pump is dead.
    pub fn start(scratch: Scratch, fanout: Fanout, notices: mpsc::Sender<PumpNotice>) -> io::Result<Pump> {
        let queue = Arc::new(Queue::new()?);
        Hall::open(Arc::clone(&queue), scratch, fanout, notices)?;
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
