//! What is due when. Nothing is ever cancelled: a stale key is ignored by the core.

use crate::supervisor::TimerKey;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use tokio::time::Instant;

/// Pending timers, soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    serial: u64,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    serial: u64,
    key: TimerKey,
}

impl Timers {
    /// Sets one.
    pub(super) fn set(&mut self, key: TimerKey, at: Instant) {
        self.serial += 1;
        self.heap.push(Reverse(Entry { at, serial: self.serial, key }));
    }

    /// When the soonest is due; far away if there is none.
    pub(super) fn next_at(&self, now: Instant) -> Instant {
        self.heap.peek().map_or(now + Duration::from_secs(86_400), |Reverse(entry)| entry.at)
    }

    /// Takes one that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<TimerKey> {
        if self.heap.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
            self.heap.pop().map(|Reverse(entry)| entry.key)
        } else {
            None
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, WorkerId};
    use crate::supervisor::event::TimerKind;

    #[tokio::test(start_paused = true)]
    async fn timers_come_out_in_order_and_not_early() {
        let key = |n| TimerKey { worker: WorkerId(n), epoch: Epoch(0), kind: TimerKind::Start };
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(key(2), now + Duration::from_millis(20));
        timers.set(key(1), now + Duration::from_millis(10));
        timers.set(key(3), now + Duration::from_millis(20));
        assert_eq!(timers.due(now), None);
        assert_eq!(timers.next_at(now), now + Duration::from_millis(10));
        let later = now + Duration::from_millis(20);
        let order: Vec<_> = std::iter::from_fn(|| timers.due(later)).map(|k| k.worker.0).collect();
        assert_eq!(order, [1, 2, 3]);
    }
}
