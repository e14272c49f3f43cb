//! One turn of the core: the time it happens at and the effects it has. Nothing is decided here.

use super::effect::Effect;
use super::entry::{Entry, Phase};
use super::event::{TimerKey, TimerKind};
use super::record::Record;
use crate::model::change::{Change, What};
use crate::model::{Now, Run};
use std::time::Duration;

/// What a turn knows and what it wants done.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// When.
    pub(super) now: Now,
    /// Appended to.
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    /// One more thing to do.
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Tells the world something about the worker of `record`.
    pub(super) fn publish(&mut self, record: &Record, what: What) {
        let name = record.app.name.clone();
        self.push(Effect::Publish(Change { at: self.now, worker: record.worker, name, what }));
    }

    /// Keeps the record as it is now.
    pub(super) fn keep(&mut self, record: &Record) {
        self.push(Effect::Keep(record.clone()));
    }

    /// Keeps what changed in an entry. While its process is being made the next move will.
    pub(super) fn keep_present(&mut self, entry: &Entry) {
        if entry.phase != Phase::Spawning {
            self.keep(&entry.record);
        }
    }

    /// Gives the entry up.
    pub(super) fn forget(&mut self, run: Run) {
        self.push(Effect::Forget { run });
    }

    /// Sets a timer that holds for the present epoch of `record`.
    pub(super) fn timer(&mut self, record: &Record, kind: TimerKind, after: Duration) {
        let key = TimerKey { worker: record.worker, epoch: record.epoch, kind };
        self.push(Effect::Timer { key, after });
    }
}
