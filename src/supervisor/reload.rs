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
use super::stop::End;
use super::turn::Turn;
use super::worker::{Cue, Queued, Worker};
use crate::model::app::Mode;
use crate::model::change::What;
use crate::model::order::{Deed, Rolling};
use crate::model::policy::{Readiness, Reload};
use crate::model::reason::millis;
use crate::model::{App, Desired, Exit, Reason, Run, Stamp, State, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a new process may take. One that only inherits its sockets shows by living for `min_uptime`
/// that it does not break at its start.
fn patience(app: &App) -> Duration {
    let Readiness { listen_timeout, .. } = app.readiness;
    if app.sockets.is_empty() || app.readiness.is_declared() {
        listen_timeout
    } else {
        listen_timeout.min(app.restart.min_uptime)
    }
}

/// Two processes of it can run side by side: they share the port by Node's cluster, or by inheriting it.
fn overlaps(app: &App) -> bool {
    app.mode == Mode::Cluster || !app.sockets.is_empty()
}

impl Worker {
    /// Queues a reload if it can be replaced without a gap, else restarts it.
    pub(super) fn reload(
        &mut self,
        app: Option<Arc<App>>,
        reason: Reason,
        rolling: Rolling,
        turn: &mut Turn<'_>,
    ) -> Deed {
        self.rolling = rolling;
        self.untried = false;
        self.abandoned = None;
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

    /// How many at a time the app says that waits to be run.
    fn queued_width(&self) -> Option<u32> {
        self.queued.as_ref()?.app.reload.width
    }

    /// Its turn has come: makes the replacement, in an entry of its own.
    fn replace(&mut self, entry: u64, turn: &mut Turn<'_>) {
        let Some(Queued { app, reason }) = self.queued.take() else { return };
        let mut record = self.current.record.clone();
        let timeout = patience(&app);
        record.app = app;
        record.role = Role::Replacement;
        record.ordered = self.reload_by.take();
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
        let app = &new.record.app;
        let inherits = !app.sockets.is_empty();
        let unsaid = !app.readiness.is_declared() && (inherits || self.current.record.state != State::Ready);
        if new.online && unsaid {
            new.go(if inherits { Cue::Serve } else { Cue::Up }, None, &mut self.clock, turn);
            self.promote(turn);
        } else if self.rolling.force && new.phase == Phase::Alive {
            new.go(Cue::Up, None, &mut self.clock, turn);
            self.promote(turn);
        } else {
            let waited = millis(patience(app));
            let mut why = new.lacks();
            if why.is_empty() {
                why.push(if new.online { "it does not listen" } else { "it is not up" }.to_owned());
            }
            let why = why.join(", ");
            self.abandon(format!("the new process was not ready within {waited} ms: {why}"), turn);
        }
    }

    /// The new process ended, and it was ordered to go on regardless: it is treated as the worker's own
    /// end, while the old one retires.
    pub(super) fn succeed_dead(&mut self, exit: Exit, at: Stamp, turn: &mut Turn<'_>) {
        self.promote(turn);
        self.died(exit, at, turn);
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
        self.abandoned = self.replacement.as_ref().map(|new| new.record.run);
        self.drop_reload(Entry::retire, turn);
        self.failed_reload = true;
        let text = format!("reload abandoned: {what}");
        self.current.record.reason = Reason::ReloadAbandoned { what };
        self.keep(turn);
        turn.publish(&self.current.record, What::Note { text });
    }

    /// No reload of it waits or is under way any more. The new process may have got connections already: how it ends
    /// is `end`.
    pub(super) fn drop_reload(&mut self, end: End, turn: &mut Turn<'_>) {
        self.queued = None;
        let Some(mut new) = self.replacement.take() else { return };
        if new.phase == Phase::Vacant {
            turn.forget(new.record.run);
        } else {
            new.record.role = Role::Retiring;
            end(&mut new, None, &mut self.clock, turn);
            self.retiring.push(new);
        }
    }
}

impl Worker {
    /// The reload that waits is not begun: that of worker `first` was abandoned.
    fn leave_untried(&mut self, first: WorkerId, turn: &mut Turn<'_>) {
        self.queued = None;
        self.untried = true;
        let what = format!("not tried after that of worker {first}");
        self.current.record.reason = Reason::ReloadAbandoned { what };
        self.keep(turn);
    }
}

impl Fleet {
    /// What is broken once is broken always: after an abandoned reload the app's others are not tried.
    fn stop_rolling(&mut self, turn: &mut Turn<'_>) {
        for (first, name) in std::mem::take(&mut self.failed_reloads) {
            let waits =
                |worker: &&Worker| worker.name() == name && worker.queued.is_some() && !worker.rolling.force;
            let ids: Vec<WorkerId> = self.workers.values().filter(waits).map(|worker| worker.id).collect();
            for id in ids {
                self.touch(id, turn, |worker, turn| worker.leave_untried(first, turn));
            }
        }
    }

    /// Makes the replacements whose turn has come: of each app only so many at a time.
    pub(super) fn roll(&mut self, turn: &mut Turn<'_>) {
        self.stop_rolling(turn);
        if self.rolling.is_empty() {
            return;
        }
        self.rolling.retain(|id| self.workers.get(id).is_some_and(|worker| worker.queued.is_some()));
        let mut apps: BTreeMap<&str, u32> = BTreeMap::new();
        for worker in self.workers.values() {
            *apps.entry(worker.name()).or_default() += u32::from(worker.replacement.is_some());
        }
        let mut due: Vec<WorkerId> = Vec::new();
        for id in &self.rolling {
            let Some(worker) = self.workers.get(id) else { continue };
            let Some(active) = apps.get_mut(worker.name()) else { continue };
            let width = worker.rolling.width.or(worker.queued_width()).unwrap_or(Reload::WIDTH);
            if *active < width.max(1) {
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
