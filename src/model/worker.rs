//! Identities of workers and of their runs.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What people type: PM2's `pm_id`. Stays with a worker from start to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A counter bumped at each state change of a worker; timers carry it, stale ones are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next epoch.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// One process of a worker, from spawn to exit: an entry of the keeper and its generation.
///
/// A restart keeps the entry and adds one to `gen`. A reload runs old and new side by side, so the
/// replacement gets an entry of its own, which becomes the worker's when it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The keeper's entry; never 0, below [`Run::FIRST_RESERVED`], never reused while the keeper knows it.
    pub entry: u64,
    /// Incarnation within the entry, from 1.
    pub generation: u64,
}

impl Run {
    /// Entries from here on are not workers (listening sockets and the like).
    pub const FIRST_RESERVED: u64 = 1 << 40;

    /// The first run of an entry.
    pub fn first(entry: u64) -> Run {
        Run { entry, generation: 1 }
    }

    /// The run after this one in the same entry.
    #[must_use]
    pub fn next(self) -> Run {
        Run { entry: self.entry, generation: self.generation + 1 }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entry, self.generation)
    }
}
