//! Replacing a process without a gap: the new one is made beside the old one and takes its place when
//! it is ready. If it ends, or is not ready in time, it is given up and the old one stays.
//!
//! ```text
//!   request ─▶ queued ─(its turn)─▶ replacement ─┬─ ready ────────────────▶ current; the old one retires
//!                                                ├─ the old one dies ─────▶ current, ready or not
//!                                                └─ ends, or is too late ─▶ abandoned; the old one stays
//! ```

use super::entry::{Entry, Phase};
use super::event::TimerKind;
use super::fleet::Fleet;
use super::record::Role;
use super::turn::Turn;
use super::worker::{Cue, Queued, Worker};
use crate::model::app::Mode;
use crate::model::change::What;
use crate::model::order::Deed;
use crate::model::reason::millis;
use crate::model::{App, Desired, Reason, Run, State, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How many workers of an app with `count` of them are replaced at the same time.
fn width(count: usize) -> usize {
    if count <= 2 { 1 } else { (count / 4).max(2) }
}

/// Two processes of it can run side by side: they share the port by Node's cluster, or by inheriting it.
fn overlaps(app: &App) -> bool {
    app.mode == Mode::Cluster || !app.sockets.is_empty()
}

impl Worker {
    /// Queues a reload if it can be replaced without a gap, else restarts it.
    pub(super) fn reload(&mut self, app: Option<Arc<App>>, reason: Reason, turn: &mut Turn<'_>) -> Deed {
        let record = &self.current.record;
        let next = app.as_ref().unwrap_or(&record.app);
        if self.is_online() && overlaps(&record.app) && overlaps(next) {
            let app = Arc::clone(next);
            self.queued = Some(Queued { app, reason });
            Deed::Reloaded
        } else {
            self.restart(app, reason, turn)
        }
    }

    /// Its turn has come: makes the replacement, in an entry of its own.
    fn replace(&mut self, entry: u64, turn: &mut Turn<'_>) {
        let Some(Queued { app, reason }) = self.queued.take() else { return };
        let mut record = self.current.record.clone();
        let timeout = app.readiness.listen_timeout;
        record.app = app;
        record.role = Role::Replacement;
        record.run = Run { entry, generation: 0 };
        record.restarts = record.restarts.saturating_add(1);
        record.created = turn.now;
        record.unstable_restarts = 0;
        record.backoff = Duration::ZERO;
        let mut replacement = Entry::vacant(record);
        replacement.spawn(reason, &mut self.clock, turn);
        turn.timer(&replacement.record, TimerKind::ReplacementReady, timeout);
        self.replacement_since = replacement.record.epoch;
        self.replacement = Some(replacement);
        self.launches += 1;
    }

    /// Lets the replacement take its place if it said that it can serve.
    pub(super) fn promote_if_ready(&mut self, turn: &mut Turn<'_>) {
        if self.replacement.as_ref().is_some_and(|new| new.record.state == State::Ready) {
            self.promote(turn);
        }
    }

    /// The replacement had its time. It may still take its place if it is up and the old one never
    /// said either that it can serve: such an app has no way to be ready.
    pub(super) fn replacement_overdue(&mut self, turn: &mut Turn<'_>) {
        let Some(new) = &mut self.replacement else { return };
        if new.online && self.current.record.state != State::Ready {
            new.go(Cue::Up, None, &mut self.clock, turn);
            self.promote(turn);
        } else {
            let waited = millis(new.record.app.readiness.listen_timeout);
            self.abandon(format!("the new process was not ready within {waited} ms"), turn);
        }
    }

    fn promote(&mut self, turn: &mut Turn<'_>) {
        if let Some(old) = self.succeed(turn) {
            self.retire(old, turn);
        }
    }

    /// The old process is gone: the replacement takes its place, ready or not.
    pub(super) fn take_over(&mut self, turn: &mut Turn<'_>) {
        let last_exit = self.current.record.last_exit;
        if let Some(new) = &mut self.replacement {
            new.record.last_exit = last_exit;
        }
        if let Some(old) = self.succeed(turn) {
            turn.forget(old.record.run);
        }
        if self.state() == State::Starting && self.current.phase == Phase::Alive {
            let timeout = self.current.record.app.readiness.listen_timeout;
            self.arrived(self.current.record.run, timeout, turn);
        }
    }

    /// Makes the replacement current: the new record is kept first, and its epoch is the higher one.
    fn succeed(&mut self, turn: &mut Turn<'_>) -> Option<Entry> {
        let mut new = self.replacement.take()?;
        new.record.role = Role::Current;
        new.record.desired = Desired::Up;
        new.tick(&mut self.clock);
        turn.keep(&new.record);
        let (state, reason) = (new.record.state, new.record.reason.clone());
        turn.publish(&new.record, What::State { state, reason });
        self.reloads += 1;
        self.queued = None;
        Some(std::mem::replace(&mut self.current, new))
    }

    /// Gives the replacement up: the old process stays.
    pub(super) fn abandon(&mut self, what: String, turn: &mut Turn<'_>) {
        let trouble = self.replacement.as_ref().and_then(|new| new.record.trouble.as_ref());
        let what = trouble.map(|trouble| format!("{what}, failed to {trouble}")).unwrap_or(what);
        self.drop_reload(turn);
        let text = format!("reload abandoned: {what}");
        self.current.record.reason = Reason::ReloadAbandoned { what };
        self.keep(turn);
        turn.publish(&self.current.record, What::Note { text });
    }

    /// No reload of it waits or is under way any more.
    pub(super) fn drop_reload(&mut self, turn: &mut Turn<'_>) {
        self.queued = None;
        let Some(mut new) = self.replacement.take() else { return };
        if new.phase == Phase::Vacant {
            turn.forget(new.record.run);
        } else {
            new.record.role = Role::Retiring;
            new.press(None, &mut self.clock, turn);
            self.retiring.push(new);
        }
    }
}

impl Fleet {
    /// Makes the replacements whose turn has come: of each app only so many at a time.
    pub(super) fn roll(&mut self, turn: &mut Turn<'_>) {
        if self.rolling.is_empty() {
            return;
        }
        self.rolling.retain(|id| self.workers.get(id).is_some_and(|worker| worker.queued.is_some()));
        let mut apps: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for worker in self.workers.values() {
            let (count, active) = apps.entry(worker.name()).or_default();
            *count += 1;
            *active += usize::from(worker.replacement.is_some());
        }
        let mut due: Vec<WorkerId> = Vec::new();
        for id in &self.rolling {
            let Some(worker) = self.workers.get(id) else { continue };
            let Some((count, active)) = apps.get_mut(worker.name()) else { continue };
            if *active < width(*count) {
                *active += 1;
                due.push(*id);
            }
        }
        for id in due {
            self.rolling.remove(&id);
            let entry = self.open_entry(id);
            self.touch(id, turn, |worker, turn| worker.replace(entry, turn));
        }
    }
}
