//! What the owner has still to do, a slice of time after the other: an order to a thousand workers is carried out for all
//! of them before anything else is heard, but between two slices sessions answer, and the keeper hears that we live.
//!
//! ```text
//!   happen ──▶ events ── turn ──▶ deeds ── act ──▶ (an event)
//!                             └─▶ answers ── once the deeds are done ──▶ held
//! ```

use super::owner::Owner;
use crate::supervisor::{Effect, Event};
use crate::sys::fault;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// So long nobody else gets his turn.
const SLICE: Duration = Duration::from_millis(10);
/// The keeper hears from us as often, however much there is to do.
const BREATH: Duration = Duration::from_secs(1);

/// Events, and what is left of the turn under way.
#[derive(Debug, Default)]
pub(super) struct Work {
    events: VecDeque<Event>,
    deeds: VecDeque<Effect>,
    answers: Vec<Effect>,
    slice_ends: Option<Instant>,
    breathed: Option<Instant>,
}

impl Owner {
    /// True while something is left to do.
    pub(super) fn is_behind(&self) -> bool {
        !(self.work.events.is_empty() && self.work.deeds.is_empty() && self.work.answers.is_empty())
    }

    /// The others have had their turn.
    pub(super) fn begin_slice(&mut self) {
        self.work.slice_ends = Some(Instant::now() + SLICE);
    }

    /// One more slice of what is left.
    pub(super) fn go_on(&mut self) {
        if self.work.breathed.is_none_or(|at| at.elapsed() >= BREATH) {
            self.breathe();
        }
        self.work_until(self.work.slice_ends);
    }

    /// One turn for the event, and one for each that carrying it out brings about at once; later, if the slice is over.
    pub(super) fn happen(&mut self, event: Event) {
        self.work.events.push_back(event);
        self.work_until(self.work.slice_ends);
    }

    /// Everything that is left, at once.
    pub(super) fn finish(&mut self) {
        self.work_until(None);
    }

    /// The keeper has heard from us.
    pub(super) fn has_breathed(&mut self) {
        self.work.breathed = Some(Instant::now());
    }

    fn work_until(&mut self, end: Option<Instant>) {
        while self.is_behind() && end.is_none_or(|end| Instant::now() < end) {
            if let Some(deed) = self.work.deeds.pop_front() {
                fault::pass("turn.deed");
                if let Some(consequence) = self.act(deed) {
                    self.work.events.push_back(consequence);
                }
                continue;
            }
            self.held.append(&mut self.work.answers);
            if !self.held.is_empty() && !self.trees.sweeping() {
                self.reply_held();
            }
            if let Some(event) = self.work.events.pop_front() {
                let (answers, deeds) = self.turn(event);
                self.work.answers = answers;
                self.work.deeds = deeds.into();
            }
        }
    }
}
