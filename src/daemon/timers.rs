//! What is due when. Nothing is ever cancelled: a stale key is ignored by the core.
//!
//! The clock of timers stands still while the machine sleeps. For a grace that is right, the process slept too. A start that
//! was put off does not wait for longer: what was slept counts.

use crate::supervisor::TimerKey;
use crate::supervisor::event::TimerKind;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use tokio::time::Instant;

/// Pending timers, soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    serial: u64,
    /// Both clocks when they were last seen, the other one in milliseconds.
    seen: Option<(Instant, u64)>,
}

/// What both clocks may differ by between two looks without a sleep.
const SLEEP: Duration = Duration::from_millis(500);

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

    /// Looks whether the machine has slept: the boot clock goes on in that time.
    pub(super) fn see(&mut self, boot_ms: u64) {
        let now = Instant::now();
        let Some((then, boot_then)) = self.seen.replace((now, boot_ms)) else { return };
        let passed = Duration::from_millis(boot_ms.saturating_sub(boot_then));
        let slept = passed.saturating_sub(now - then);
        if slept < SLEEP {
            return;
        }
        tracing::info!(seconds = slept.as_secs(), "the machine has slept");
        let shift = |Reverse(mut entry): Reverse<Entry>| {
            if matches!(entry.key.kind, TimerKind::Start) {
                entry.at = entry.at.checked_sub(slept).unwrap_or(now).max(now);
            }
            Reverse(entry)
        };
        self.heap = self.heap.drain().map(shift).collect();
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

    #[tokio::test(start_paused = true)]
    async fn a_start_that_was_put_off_does_not_wait_for_a_machine_that_slept_and_a_grace_does() {
        let key = |kind| TimerKey { worker: WorkerId(1), epoch: Epoch(0), kind };
        let hour = Duration::from_secs(3600);
        let mut timers = Timers::default();
        timers.set(key(TimerKind::Start), Instant::now() + hour);
        timers.set(key(TimerKind::Kill), Instant::now() + hour);
        timers.see(1_000_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        timers.see(1_001_000);
        assert_eq!(timers.due(Instant::now()), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        timers.see(1_001_000 + 8 * 3_600_000);
        assert_eq!(timers.due(Instant::now()), Some(key(TimerKind::Start)));
        assert_eq!(timers.due(Instant::now()), None);
        assert_eq!(timers.next_at(Instant::now()), Instant::now() + hour - Duration::from_secs(2));
    }

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
