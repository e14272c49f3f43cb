//! Everything the core may want done.

use super::event::{Ticket, TimerKey};
use super::record::Record;
use crate::model::change::Change;
use crate::model::order::Outcome;
use crate::model::{App, Run};
use std::sync::Arc;
use std::time::Duration;

/// Something to do. The shell carries them out in this order within a turn: records, then publication
/// of the snapshot, then deeds, then replies; deeds among themselves in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Keep this record for the entry (replaces the last one).
    Keep(Record),
    /// The entry is over: forget its record and close what is held for it.
    Forget {
        /// Last run of the entry.
        run: Run,
    },
    /// Make the process; the record is kept in the same message. Answered by `Spawned` or `SpawnFailed`.
    Spawn(Record),
    /// Send a signal: to the process, or to its whole tree.
    Signal {
        /// Which.
        run: Run,
        /// Number.
        signal: i32,
        /// Descendants first, then itself.
        tree: bool,
    },
    /// End what runs before this one, and itself, have left behind: their processes have ended long ago.
    Sweep {
        /// Last run of the entry.
        run: Run,
    },
    /// Send the string `shutdown` over the Node channel.
    SayShutdown {
        /// Which.
        run: Run,
    },
    /// Stop giving it connections, ask it to finish what it has (Node: soft drain, then `disconnect`).
    Drain {
        /// Which.
        run: Run,
        /// It may take this long.
        grace: Duration,
    },
    /// Ask it for its health until it is well or gone; answered by `Probed`.
    Probe {
        /// Which.
        run: Run,
        /// What it is to run, with the question.
        app: Arc<App>,
    },
    /// Close the listening sockets held for this app name: nobody is left to serve them.
    CloseListeners {
        /// App name.
        app: String,
    },
    /// Hand `TimerDue` back after this time.
    Timer {
        /// To hand back.
        key: TimerKey,
        /// When.
        after: Duration,
    },
    /// Tell the world.
    Publish(Change),
    /// Answer an order.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// What came of it.
        outcome: Outcome,
    },
    /// Everything is stopped: end the daemon and its keeper.
    End,
}
