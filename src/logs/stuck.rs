//! Streams whose files take nothing: when they are tried again, when they spill, how much, and what is told of it.

use super::draw::Step;
use super::error::LogError;
use super::file::Files;
use super::hall::{Hall, Run, index, of_token, tokens};
use super::spec::{Overflowed, PumpNotice, SpillFiles};
use super::tools::files_of;
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
/// A disk that hangs, or another stream's batch that is waited for, for less than this is not worth a word.
const TELL_HANG_MS: u64 = 1000;
/// Amounts of a stuck stream are told again after this.
const TELL_MS: u64 = 1000;

/// A stream that could not be written.
#[derive(Debug)]
pub(super) struct Stuck {
    since_ms: u64,
    pub(super) due_ms: u64,
    failures: u64,
    /// Why, as it was told; empty: it was not.
    what: String,
    errno: i32,
    /// Memory was asked for.
    wanted: bool,
    told: Overflowed,
    told_ms: u64,
}

impl Hall {
    /// Makes room in the pipes of a stream that has been stuck for a while. `true`: it is in a hurry.
    pub(super) fn overflow(&self, run: &mut Run, token: u64, now: u64) -> bool {
        let (entry, stream) = of_token(token);
        let Some(stuck) = run.stuck.get_mut(&token) else { return false };
        let Some(known) = run.entries.get(&entry) else { return false };
        let [out, err] = &known.streams;
        let (slot, sibling) = match stream {
            StreamKind::Out => (out, err),
            StreamKind::Err => (err, out),
        };
        let siblings = sibling.intake.lock().spill_bytes();
        let mut intake = slot.intake.lock();
        // Who has spilled was stuck long enough, perhaps under another daemon.
        if now.saturating_sub(stuck.since_ms) < SPILL_AFTER_MS && intake.spill_bytes() == 0 {
            return false;
        }
        if !intake.has_spill() {
            if !std::mem::replace(&mut stuck.wanted, true) {
                run.owed.push_back(PumpNotice::SpillWanted { entry, stream });
            }
            return false;
        }
        let others = run.spilled.values().sum::<u64>().saturating_sub(intake.spill_bytes());
        let room = TOTAL_SPILL.saturating_sub(others).max(LEAST_SPILL);
        let room = room.min(ENTRY_SPILL.saturating_sub(siblings).max(LEAST_SPILL));
        let outcome = intake.overflow(&mut run.buffer, room, stuck.errno);
        let overflowed = intake.overflowed();
        drop(intake);
        let stale = now.saturating_sub(stuck.told_ms) >= TELL_MS && overflowed != stuck.told;
        if !stuck.what.is_empty() && (stale || (overflowed.dropped > 0) != (stuck.told.dropped > 0)) {
            (stuck.told, stuck.told_ms) = (overflowed, now);
            let what = stuck.what.clone();
            run.tell(PumpNotice::Trouble { entry, stream, what, overflowed });
        }
        let step = outcome.unwrap_or_else(|error| {
            tracing::error!(entry, what = error.told(), "failed to make room in a log pipe");
            Step::default()
        });
        self.stepped(run, token, step, overflowed.spilled)
    }
}

impl Run {
    /// Its stream should be stepped, and a thread has it that does not come back.
    pub(super) fn miss(&mut self, token: u64, files: &Files, now: u64) {
        let (entry, stream) = of_token(token);
        let Some(known) = self.entries.get(&entry) else { return };
        let Some((path, since_ms)) = files.hanging(files_of(&known.sink)).or_else(|| files.hung()) else {
            return;
        };
        let overflowed = known.streams[index(stream)].intake.lock().overflowed();
        self.trouble(token, &LogError::Hangs { path, since_ms }, overflowed, now);
    }

    /// It is written again. How much was dropped is known for certain when what was kept has been written: it is told again
    /// if that is more than was thought.
    pub(super) fn recovered(&mut self, token: u64, overflowed: Overflowed) {
        let (entry, stream) = of_token(token);
        let stuck = self.stuck.remove(&token);
        let dropped = overflowed.dropped;
        let more = dropped > 0 && self.dropped.insert(token, dropped) != Some(dropped);
        if more || stuck.as_ref().is_some_and(|stuck| !stuck.what.is_empty()) {
            let failures = stuck.map_or(0, |stuck| stuck.failures);
            self.tell(PumpNotice::Recovered { entry, stream, failures, overflowed });
        }
    }

    pub(super) fn trouble(&mut self, token: u64, error: &LogError, overflowed: Overflowed, now: u64) {
        let (entry, stream) = of_token(token);
        let what = error.told();
        let pause = (self.stuck.len() as u64).clamp(RETRY_MS, RETRY_LIMIT_MS);
        let since_ms = error.hangs_since().unwrap_or(now);
        let stuck = self.stuck.entry(token).or_insert_with(|| Stuck {
            since_ms,
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
        let waits = matches!(error, LogError::Reserved { .. }).then_some(stuck.since_ms);
        let is_short =
            error.hangs_since().or(waits).is_some_and(|since| now.saturating_sub(since) < TELL_HANG_MS);
        if stuck.what != what && !is_short {
            stuck.what.clone_from(&what);
            self.tell(PumpNotice::Trouble { entry, stream, what, overflowed });
        }
    }

    pub(super) fn add_spill(&mut self, entry: u64, stream: StreamKind, files: SpillFiles) {
        let token = tokens(entry)[index(stream)];
        let Some(known) = self.entries.get(&entry) else { return };
        let intake = known.streams[index(stream)].intake.clone();
        if let Err(error) = intake.lock().set_spill(files) {
            self.told(entry, stream, &error);
            return;
        }
        let overflowed = intake.lock().overflowed();
        match overflowed.spilled {
            0 => self.spilled.remove(&token),
            bytes => self.spilled.insert(token, bytes),
        };
        if overflowed.dropped > 0 && !self.stuck.contains_key(&token) {
            // Of an earlier daemon's time.
            self.recovered(token, overflowed);
        }
        self.ready.insert(token);
    }
}
