//! Streams whose files take nothing: when they are tried again, when they spill, how much, and what is told of it.

use super::error::LogError;
use super::pipe::Step;
use super::round::{Run, index, of_token, tokens};
use super::spec::{Overflowed, PumpNotice, SpillFiles};
use crate::model::StreamKind;

/// A stuck stream is tried again after this; later if more streams than this are stuck, as each try costs a copy.
pub(super) const RETRY_MS: u64 = 50;
/// Latest retry.
const RETRY_LIMIT_MS: u64 = 1000;
/// A stream that has been stuck for so long spills.
const SPILL_AFTER_MS: u64 = if cfg!(test) { 20 } else { 200 };
/// Memory for an entry's two streams, bytes.
const ENTRY_SPILL: u64 = if cfg!(test) { 512 << 10 } else { 16 << 20 };
/// Memory for all streams, bytes.
const TOTAL_SPILL: u64 = 128 << 20;
/// Each stream may have this much though the total is used up: enough to end a line in.
const LEAST_SPILL: u64 = 64 << 10;
/// Amounts of a stuck stream are told again after this.
const TELL_MS: u64 = 1000;

/// A stream that could not be written.
#[derive(Debug)]
pub(super) struct Stuck {
    since_ms: u64,
    pub(super) due_ms: u64,
    pub(super) failures: u64,
    what: String,
    errno: i32,
    /// Memory was asked for.
    wanted: bool,
    told: Overflowed,
    told_ms: u64,
}

impl Run {
    /// Makes room in the pipes of a stream that has been stuck for a while. `true`: it is in a hurry.
    pub(super) fn overflow(&mut self, token: u64, now: u64) -> bool {
        let (entry, stream) = of_token(token);
        let Some(stuck) = self.stuck.get_mut(&token) else { return false };
        let Some(known) = self.entries.get_mut(&entry) else { return false };
        let [first, second] = &mut known.streams;
        let (slot, sibling) = match stream {
            StreamKind::Out => (first, second),
            StreamKind::Err => (second, first),
        };
        // Who has spilled was stuck long enough, perhaps under another daemon.
        if now.saturating_sub(stuck.since_ms) < SPILL_AFTER_MS && slot.spill_bytes() == 0 {
            return false;
        }
        if !slot.has_spill() {
            if !std::mem::replace(&mut stuck.wanted, true) {
                self.owed.push_back(PumpNotice::SpillWanted { entry, stream });
            }
            return false;
        }
        let others = self.spilled.values().sum::<u64>().saturating_sub(slot.spill_bytes());
        let room = TOTAL_SPILL.saturating_sub(others).max(LEAST_SPILL);
        let room = room.min(ENTRY_SPILL.saturating_sub(sibling.spill_bytes()).max(LEAST_SPILL));
        let outcome = slot.overflow(&mut self.tools, room, stuck.errno);
        let overflowed = slot.overflowed();
        let stale = now.saturating_sub(stuck.told_ms) >= TELL_MS && overflowed != stuck.told;
        if stale || (overflowed.dropped > 0) != (stuck.told.dropped > 0) {
            (stuck.told, stuck.told_ms) = (overflowed, now);
            let what = stuck.what.clone();
            self.tell(PumpNotice::Trouble { entry, stream, what, overflowed });
        }
        let step = outcome.unwrap_or_else(|error| {
            tracing::error!(entry, what = error.told(), "failed to make room in a log pipe");
            Step::default()
        });
        self.stepped(token, step, overflowed.spilled)
    }

    /// What follows from any step. `true`: the stream is in a hurry.
    pub(super) fn stepped(&mut self, token: u64, step: Step, spilled: u64) -> bool {
        let (entry, stream) = of_token(token);
        match spilled {
            0 => self.spilled.remove(&token),
            bytes => self.spilled.insert(token, bytes),
        };
        let slot = self.entries.get_mut(&entry).map(|known| &mut known.streams[index(stream)]);
        for inlet in slot.map(|slot| std::mem::take(&mut slot.closed)).unwrap_or_default() {
            self.unregister(&inlet);
            self.owed.push_back(PumpNotice::PipeClosed { entry, stream, generation: inlet.generation });
        }
        if step.more {
            self.ready.insert(token);
        }
        step.busy
    }

    pub(super) fn trouble(&mut self, token: u64, error: &LogError, overflowed: Overflowed, now: u64) {
        let (entry, stream) = of_token(token);
        let what = error.told();
        let pause = (self.stuck.len() as u64).clamp(RETRY_MS, RETRY_LIMIT_MS);
        let stuck = self.stuck.entry(token).or_insert_with(|| Stuck {
            since_ms: now,
            due_ms: 0,
            failures: 0,
            what: String::new(),
            errno: 0,
            wanted: false,
            told: overflowed,
            told_ms: now,
        });
        stuck.errno = error.errno();
        stuck.due_ms = now + pause;
        stuck.failures += 1;
        if stuck.what != what {
            stuck.what.clone_from(&what);
            self.tell(PumpNotice::Trouble { entry, stream, what, overflowed });
        }
    }

    pub(super) fn add_spill(&mut self, entry: u64, stream: StreamKind, files: SpillFiles) {
        let token = tokens(entry)[index(stream)];
        let Some(known) = self.entries.get_mut(&entry) else { return };
        let slot = &mut known.streams[index(stream)];
        if let Err(error) = slot.set_spill(files) {
            self.told(entry, stream, &error);
            return;
        }
        let overflowed = slot.overflowed();
        match overflowed.spilled {
            0 => self.spilled.remove(&token),
            bytes => self.spilled.insert(token, bytes),
        };
        if overflowed.dropped > 0 && !self.stuck.contains_key(&token) {
            // Of an earlier daemon's time.
            self.tell(PumpNotice::Recovered { entry, stream, failures: 0, overflowed });
        }
        self.ready.insert(token);
    }

    /// A trouble that is not the files'.
    pub(super) fn told(&mut self, entry: u64, stream: StreamKind, error: &LogError) {
        let overflowed = Overflowed::default();
        self.tell(PumpNotice::Trouble { entry, stream, what: error.told(), overflowed });
    }
}
