//! Everything that can happen to the fleet.

use super::record::Record;
use crate::model::snapshot::{Axm, LogTrouble};
use crate::model::usage::{NodeUsage, Usage};
use crate::model::{Epoch, Exit, Order, Run, Stamp, WorkerId};
use std::sync::Arc;

/// Names one order, so that its answer finds the one who gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a timer was set for; the shell hands it back unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey {
    /// Whose.
    pub worker: WorkerId,
    /// State it was set in; ignored when that has passed.
    pub epoch: Epoch,
    /// What is due.
    pub kind: TimerKind,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerKind {
    /// The pending start of a worker in `Backoff`.
    Start,
    /// `listen_timeout` of a starting worker.
    Ready,
    /// End of the grace: SIGKILL.
    Kill,
    /// It should be gone since the SIGKILL.
    Unkillable,
    /// `listen_timeout` of a replacement (reload).
    ReplacementReady,
    /// End of the grace of a retiring process (reload).
    RetiringKill,
}

/// An event.
#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody orders something; answered by `Effect::Reply` with the same ticket.
    Ordered {
        /// For the answer.
        ticket: Ticket,
        /// What.
        order: Order,
    },
    /// First event of a daemon's life: what the keeper holds.
    Attached {
        /// All entries with a readable record.
        found: Vec<Found>,
    },
    /// The process of `Effect::Spawn` exists.
    Spawned {
        /// Which.
        run: Run,
        /// Its pid.
        pid: u32,
    },
    /// The process of `Effect::Spawn` could not be made.
    SpawnFailed {
        /// Which.
        run: Run,
        /// Completes "failed to …", with path and system error.
        what: String,
        /// The system was short of something: the same may work in a moment.
        may_pass: bool,
    },
    /// A Node cluster worker said `online`.
    Online {
        /// Which.
        run: Run,
    },
    /// It listens on one more address.
    Listening {
        /// Which.
        run: Run,
        /// For people.
        address: String,
    },
    /// It listens on these addresses and no others.
    Listens {
        /// Which.
        run: Run,
        /// For people.
        addresses: Vec<String>,
    },
    /// It said `ready` over its channel.
    SaidReady {
        /// Which.
        run: Run,
    },
    /// It said `READY=1` on the socket of sd_notify(3).
    Notified {
        /// Which.
        run: Run,
    },
    /// It was asked for its health.
    Probed {
        /// Which.
        run: Run,
        /// What was wrong, as a sentence about it.
        health: Result<(), String>,
    },
    /// Its Node channel is closed.
    Disconnected {
        /// Which.
        run: Run,
    },
    /// It was drained and holds no listening socket.
    Idle {
        /// Which.
        run: Run,
    },
    /// Its process ended.
    Exited {
        /// Which.
        run: Run,
        /// How.
        exit: Exit,
        /// Others of its tree, signalled by us, are still alive: `TreeGone` follows.
        survivors: bool,
    },
    /// Nothing of its tree is left.
    TreeGone {
        /// Which.
        run: Run,
    },
    /// A timer of `Effect::Timer` has run out.
    TimerDue(TimerKey),
    /// The second's samples, for runs that have a process.
    Sampled {
        /// Run and what it uses.
        usages: Vec<(Run, Usage)>,
    },
    /// A Node worker's report about itself.
    Reported {
        /// Which.
        run: Run,
        /// What.
        usage: NodeUsage,
    },
    /// The version of the Node that runs it.
    NodeVersion {
        /// Which.
        run: Run,
        /// `20.20.2`.
        version: String,
    },
    /// Something is wrong with it that its state does not tell: it may not listen where it wants to.
    Troubled {
        /// Which.
        run: Run,
        /// Completes "failed to …".
        what: String,
    },
    /// PM2-style metrics, actions or options changed.
    AxmChanged {
        /// Which.
        run: Run,
        /// All of it as it now is.
        axm: Arc<Axm>,
    },
    /// Its log files began or ceased to take its output, or the amounts changed.
    LogTrouble {
        /// Which.
        run: Run,
        /// All of it as it now is; `None`: all output is in the files.
        trouble: Option<LogTrouble>,
    },
}

/// One entry that the keeper holds.
#[derive(Debug, Clone)]
pub struct Found {
    /// As it was last written.
    pub record: Record,
    /// What became of its process.
    pub process: Process,
}

/// What became of the process of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// None was ever spawned for it, or its end was acknowledged.
    None,
    /// Alive.
    Alive {
        /// Its pid.
        pid: u32,
        /// Generation that lives (may be newer than the record's: SPAWN carries the newer record).
        run: Run,
    },
    /// It ended and nobody has handled that yet.
    Ended {
        /// Which generation.
        run: Run,
        /// Its pid.
        pid: u32,
        /// How.
        exit: Exit,
        /// When.
        at: Stamp,
    },
}
