//! What a process reports, or what is reported about it: it was made, is up, serves, has ended.

use super::effect::Effect;
use super::entry::{Ending, Entry, Phase};
use super::event::TimerKind;
use super::record::Role;
use super::restart::{Verdict, judge};
use super::turn::Turn;
use super::worker::{Cue, Worker};
use crate::model::app::Mode;
use crate::model::change::What;
use crate::model::order::{Deed, Rolling};
use crate::model::usage::Usage;
use crate::model::{Desired, Exit, Reason, Run, Stamp, State};
use std::sync::Arc;
use std::time::Duration;

impl Worker {
    /// The process exists.
    pub(super) fn spawned(&mut self, run: Run, pid: u32, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if entry.phase != Phase::Spawning {
            return;
        }
        entry.phase = Phase::Alive;
        entry.pid = Some(pid);
        entry.record.retry = None;
        turn.publish(&entry.record, What::Spawned { pid });
        let timeout = entry.record.app.readiness.listen_timeout;
        self.arrived(run, timeout, turn);
    }

    /// The process is there: it is asked to end if that was due, else its readiness is awaited for `timeout`.
    pub(super) fn arrived(&mut self, run: Run, timeout: Duration, turn: &mut Turn<'_>) {
        let Some((entry, clock)) = self.entry_mut(run) else { return };
        if entry.ending == Ending::Due {
            match entry.gently {
                true => entry.retire(None, clock, turn),
                false => entry.press(None, clock, turn),
            }
            return;
        }
        entry.online |= entry.record.app.mode == Mode::Fork;
        if entry.record.app.readiness.health.is_some() {
            turn.push(Effect::Probe { run, app: Arc::clone(&entry.record.app) });
        }
        entry.advance(clock, turn);
        if entry.record.role == Role::Current && entry.record.state == State::Starting {
            turn.timer(&entry.record, TimerKind::Ready, timeout);
        }
        self.promote_if_ready(turn);
    }

    /// The process could not be made. Unless that `may_pass`, trying again would change nothing.
    pub(super) fn spawn_failed(&mut self, run: Run, what: String, may_pass: bool, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if entry.phase != Phase::Spawning {
            return;
        }
        match entry.record.role {
            Role::Current if entry.ending != Ending::No => self.gone(turn),
            Role::Current => {
                self.drop_reload(Entry::retire, turn);
                self.current.clear();
                let reason = Reason::SpawnFailed { what };
                if may_pass {
                    self.try_later(reason, turn);
                } else {
                    self.current.go(Cue::Fail, Some(reason), &mut self.clock, turn);
                }
            }
            Role::Replacement => {
                entry.phase = Phase::Vacant;
                self.abandon(format!("failed to {what}"), turn);
            }
            Role::Retiring => self.retired(run, turn),
        }
    }

    /// A report about readiness: `note` writes it down.
    pub(super) fn reported(&mut self, run: Run, note: impl FnOnce(&mut Entry), turn: &mut Turn<'_>) {
        let Some((entry, clock)) = self.entry_mut(run) else { return };
        match entry.phase {
            Phase::Vacant | Phase::Remnants => {}
            // The channel may be faster than the keeper: `arrived` makes use of it.
            Phase::Spawning => note(entry),
            Phase::Alive => {
                note(entry);
                entry.advance(clock, turn);
                self.promote_if_ready(turn);
            }
        }
    }

    /// It said that it is ready.
    pub(super) fn said_ready(&mut self, run: Run, turn: &mut Turn<'_>) {
        let note = |entry: &mut Entry| {
            entry.online = true;
            entry.said_ready = true;
        };
        self.reported(run, note, turn);
    }

    /// It listens on one more address.
    pub(super) fn listening(&mut self, run: Run, address: String, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if matches!(entry.phase, Phase::Spawning | Phase::Alive) && !entry.record.listening.contains(&address)
        {
            turn.publish(&entry.record, What::Listening { address: address.clone() });
            let before = entry.record.epoch;
            let note = |entry: &mut Entry| {
                entry.online = true;
                entry.record.listening.push(address);
            };
            self.reported(run, note, turn);
            // A move keeps the record; without one the address would be lost with this daemon.
            let unmoved = |entry: &Entry| entry.phase == Phase::Alive && entry.record.epoch == before;
            if let Some((entry, _)) = self.entry_mut(run).filter(|(entry, _)| unmoved(entry)) {
                turn.keep(&entry.record);
            }
        }
    }

    /// It has closed a server, or opened one again.
    pub(super) fn listens(&mut self, run: Run, addresses: Vec<String>, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if entry.phase == Phase::Alive && entry.record.listening != addresses {
            entry.record.listening = addresses;
            turn.keep(&entry.record);
        }
    }

    /// It said which Node runs it.
    pub(super) fn said_version(&mut self, run: Run, version: String, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if entry.record.node_version.as_ref() != Some(&version) {
            entry.record.node_version = Some(version);
            turn.keep_present(entry);
        }
    }

    /// Something is wrong that its state does not tell. It may be known only after the process has ended of it.
    pub(super) fn troubled(&mut self, run: Run, what: String, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        turn.publish(&entry.record, What::Note { text: format!("failed to {what}") });
        entry.record.trouble = Some(what);
        turn.keep_present(entry);
    }

    /// Its channel is closed: a drained process has nothing left to do.
    pub(super) fn disconnected(&mut self, run: Run, turn: &mut Turn<'_>) {
        let Some((entry, clock)) = self.entry_mut(run) else { return };
        entry.disconnected = true;
        if entry.ending == Ending::Draining {
            entry.press(None, clock, turn);
        }
    }

    /// It holds no socket and gets none any more: one that was not even up has nothing to finish.
    pub(super) fn idle(&mut self, run: Run, turn: &mut Turn<'_>) {
        let Some((entry, clock)) = self.entry_mut(run) else { return };
        if entry.ending == Ending::Draining && !entry.online {
            entry.press(None, clock, turn);
        }
    }

    /// The process ended at `at`.
    pub(super) fn exited(&mut self, run: Run, exit: Exit, survivors: bool, at: Stamp, turn: &mut Turn<'_>) {
        let regardless = self.rolling.force;
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if !matches!(entry.phase, Phase::Spawning | Phase::Alive) {
            return;
        }
        let wanted = entry.ending != Ending::No;
        entry.record.last_exit = Some(exit);
        entry.record.retry = None;
        let pid = entry.pid.take().unwrap_or_default();
        turn.publish(&entry.record, What::Exited { pid, exit, wanted });
        let signalled = matches!(entry.ending, Ending::Asked | Ending::Killed | Ending::Stuck);
        if signalled && survivors {
            entry.phase = Phase::Remnants;
            turn.keep(&entry.record);
            return;
        }
        match entry.record.role {
            Role::Current if wanted => self.gone(turn),
            Role::Current => self.died(exit, at, turn),
            Role::Replacement if regardless => self.succeed_dead(exit, at, turn),
            Role::Replacement => {
                entry.phase = Phase::Vacant;
                self.abandon(format!("the new process ended: {exit}"), turn);
            }
            Role::Retiring => self.retired(run, turn),
        }
    }

    /// Nothing of the tree is left.
    pub(super) fn tree_gone(&mut self, run: Run, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if entry.phase != Phase::Remnants {
            return;
        }
        match entry.record.role {
            Role::Current => self.gone(turn),
            Role::Replacement | Role::Retiring => self.retired(run, turn),
        }
    }

    /// What it uses. Over its limit it is reloaded; not before `min_uptime`, or an app whose plain
    /// start needs more than the limit would do nothing but start.
    pub(super) fn sampled(&mut self, run: Run, usage: Usage, turn: &mut Turn<'_>) {
        let Some((entry, _)) = self.entry_mut(run) else { return };
        if entry.phase != Phase::Alive {
            return;
        }
        entry.usage = usage;
        let record = &self.current.record;
        let Some(limit) = record.app.limits.max_memory else { return };
        let uptime = record.started.map_or(Duration::ZERO, |started| turn.now.since(started));
        let settled = self.is_online() && !self.is_reloading() && uptime >= record.app.restart.min_uptime;
        if record.run == run && settled && usage.memory > limit {
            let reason = Reason::MemoryLimit { used: usage.memory.get(), limit: limit.get() };
            self.reload(None, reason, Rolling::default(), turn);
        }
    }

    /// Zeroes its counters.
    pub(super) fn reset(&mut self, turn: &mut Turn<'_>) -> Deed {
        let record = &mut self.current.record;
        record.restarts = 0;
        record.unstable_restarts = 0;
        record.backoff = Duration::ZERO;
        record.created = turn.now;
        self.keep(turn);
        Deed::Reset
    }

    /// Sends a signal to its process, and to nobody else.
    pub(super) fn signal(&mut self, signal: i32, turn: &mut Turn<'_>) -> Deed {
        if self.current.phase != Phase::Alive {
            return Deed::Untouched;
        }
        turn.push(Effect::Signal { run: self.current.record.run, signal, tree: false });
        Deed::Signalled
    }

    /// What was asked to end has ended: what was wanted next follows.
    pub(super) fn gone(&mut self, turn: &mut Turn<'_>) {
        self.current.clear();
        match self.desired() {
            Desired::Up => {
                let reason = self.current.record.reason.clone();
                self.launch(reason, turn);
            }
            Desired::Down => {
                self.current.go(Cue::Rest, Some(Reason::StopRequested), &mut self.clock, turn);
                self.leave_behind(turn);
            }
        }
    }

    /// The current process ended at `at` and nobody had asked it to.
    pub(super) fn died(&mut self, exit: Exit, at: Stamp, turn: &mut Turn<'_>) {
        self.current.clear();
        if self.replacement.is_some() {
            self.take_over(turn);
            return;
        }
        let record = &mut self.current.record;
        if let Some(queued) = self.queued.take() {
            record.app = queued.app;
            self.reloads += 1;
        }
        let uptime = record.started.map_or(Duration::ZERO, |started| at.since(started));
        let judged = judge(&record.app.restart, record.unstable_restarts, record.backoff, uptime, exit);
        record.unstable_restarts = judged.unstable;
        record.backoff = judged.backoff;
        match judged.verdict {
            Verdict::Again(delay) => {
                let due = at.after(delay);
                let left = due.since(turn.now);
                if left.is_zero() {
                    self.launch(Reason::Died(exit), turn);
                } else {
                    record.next_start = Some(due);
                    self.current.go(Cue::Wait, Some(Reason::Died(exit)), &mut self.clock, turn);
                    turn.timer(&self.current.record, TimerKind::Start, left);
                }
            }
            Verdict::Rest(reason) => {
                record.desired = Desired::Down;
                self.current.go(Cue::Rest, Some(reason), &mut self.clock, turn);
            }
            Verdict::Fail(reason) => {
                self.current.go(Cue::Fail, Some(reason), &mut self.clock, turn);
            }
        }
    }

    /// An old process is gone.
    fn retired(&mut self, run: Run, turn: &mut Turn<'_>) {
        self.retiring.retain(|entry| entry.record.run != run);
        turn.forget(run);
        self.leave_behind(turn);
    }
}
