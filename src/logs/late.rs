//! Orders for which the system had no room: they are tried again, and nothing about the same entry comes before them.

use super::command::Command;
use super::error::LogError;
use super::hall::Run;
use super::spec::{Overflowed, PumpNotice};
use crate::model::StreamKind;
use std::collections::{BTreeSet, VecDeque};

/// Time between two attempts.
pub(super) const AGAIN_MS: u64 = 50;

const BOTH: [StreamKind; 2] = [StreamKind::Out, StreamKind::Err];

/// What waits, in the order it came.
#[derive(Debug, Default)]
pub(super) struct Late {
    orders: VecDeque<Command>,
    /// Entries of which it was told.
    told: BTreeSet<u64>,
}

impl Late {
    /// True if there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// True if the order must wait for another one.
    pub(super) fn holds(&self, order: &Command) -> bool {
        order.entry().is_some_and(|entry| self.has(entry))
    }

    /// One more.
    pub(super) fn push(&mut self, order: Command) {
        self.orders.push_back(order);
    }

    /// All of it, to be tried again.
    pub(super) fn take(&mut self) -> VecDeque<Command> {
        std::mem::take(&mut self.orders)
    }

    fn has(&self, entry: u64) -> bool {
        self.orders.iter().any(|late| late.entry() == Some(entry))
    }
}

impl Run {
    /// Puts an order off, and says why: once, however often it is tried again.
    pub(super) fn put_off(&mut self, order: Command, error: &LogError) {
        if let Some(entry) = order.entry().filter(|entry| self.late.told.insert(*entry)) {
            for stream in BOTH {
                self.told(entry, stream, error);
            }
        }
        self.late.push(order);
    }

    /// Everything was tried: says whose orders do not wait any more.
    pub(super) fn caught_up(&mut self) {
        let (wait, done) = std::mem::take(&mut self.late.told).into_iter().partition(|e| self.late.has(*e));
        self.late.told = wait;
        let done: BTreeSet<u64> = done;
        for (entry, stream) in done.into_iter().flat_map(|entry| BOTH.map(|stream| (entry, stream))) {
            let overflowed = Overflowed::default();
            self.tell(PumpNotice::Recovered { entry, stream, failures: 1, overflowed });
        }
    }
}
