//! Ending processes: asked, then killed, then given up. Who is to end, and what follows, is decided
//! by the orders (`Fleet`), the reload and `life`.
//!
//! ```text
//!   No ─▶ Due (still spawning) ─▶ Asked ─▶ Killed ─▶ Stuck ─(asked again)─▶ Asked
//!    └──▶ Draining ──────────────▶ │
//! ```

use super::effect::Effect;
use super::entry::{Ending, Entry, Phase};
use super::event::TimerKind;
use super::record::Role;
use super::turn::Turn;
use super::worker::{Cue, Worker};
use crate::model::order::Deed;
use crate::model::{Desired, Epoch, Reason, State};
use std::sync::Arc;
use std::time::Duration;

/// How an end begins: [`Entry::press`] or [`Entry::retire`].
pub(super) type End = fn(&mut Entry, Option<Reason>, &mut Epoch, &mut Turn<'_>);

/// SIGKILL.
const KILL: i32 = 9;

/// A killed process gets at least this long to vanish before it is called unkillable: the kernel may
/// have much memory to give back, and `kill_timeout` may be tiny. PM2's default grace.
const VANISH: Duration = Duration::from_millis(1600);

impl Entry {
    /// Takes the next step towards its end: this is how an end begins, too.
    pub(super) fn press(&mut self, reason: Option<Reason>, clock: &mut Epoch, turn: &mut Turn<'_>) {
        let step = match (self.phase, self.ending) {
            (Phase::Vacant, _) => return,
            (Phase::Spawning, _) => Ending::Due,
            (Phase::Alive | Phase::Remnants, Ending::No | Ending::Due | Ending::Draining | Ending::Stuck) => {
                Ending::Asked
            }
            (Phase::Alive | Phase::Remnants, Ending::Asked) => Ending::Killed,
            (Phase::Alive | Phase::Remnants, Ending::Killed) => Ending::Stuck,
        };
        self.step(step, reason, clock, turn);
    }

    /// Begins its end gently, where that is possible.
    pub(super) fn retire(&mut self, reason: Option<Reason>, clock: &mut Epoch, turn: &mut Turn<'_>) {
        if self.can_drain() && matches!(self.ending, Ending::No | Ending::Due) {
            self.step(Ending::Draining, reason, clock, turn);
        } else {
            self.gently |= self.phase == Phase::Spawning;
            self.press(reason, clock, turn);
        }
    }

    /// Goes on with an end that the former daemon had begun; false if it had not. Who has not been told yet has all of
    /// his time.
    pub(super) fn resume_ending(&mut self, kind: TimerKind, turn: &mut Turn<'_>) -> bool {
        let Some(mut due) = self.record.kill_at else { return false };
        if self.record.untold {
            due = turn.now.after(self.record.app.stop.kill_timeout);
            self.record.kill_at = Some(due);
            turn.keep(&self.record);
        }
        let untold = std::mem::take(&mut self.record.untold);
        let (run, grace) = (self.record.run, due.since(turn.now));
        if self.record.draining {
            // It may have been told all the same; who has heard it hears no more in it. And it may have been up, and
            // have closed its sockets since: what it has begun it finishes.
            self.ending = Ending::Draining;
            self.online = true;
            turn.push(Effect::Drain { run, grace });
        } else {
            self.ending = Ending::Asked;
            if untold {
                let ask = self.ask();
                turn.push(ask);
            }
        }
        turn.timer(&self.record, kind, grace);
        true
    }

    /// What asks it to end.
    fn ask(&self) -> Effect {
        let (run, app) = (self.record.run, &self.record.app);
        if app.stop.shutdown_with_message && app.program.has_channel() && !self.disconnected {
            Effect::SayShutdown { run }
        } else {
            Effect::Signal { run, signal: app.stop.signal, tree: app.stop.treekill }
        }
    }

    fn step(&mut self, step: Ending, reason: Option<Reason>, clock: &mut Epoch, turn: &mut Turn<'_>) {
        let app = Arc::clone(&self.record.app);
        let run = self.record.run;
        let (deed, grace) = match step {
            Ending::No | Ending::Due | Ending::Stuck => (None, None),
            Ending::Draining => {
                let grace = app.stop.kill_timeout;
                (Some(Effect::Drain { run, grace }), Some(grace))
            }
            Ending::Asked => (Some(self.ask()), Some(app.stop.kill_timeout)),
            Ending::Killed => {
                let tree = app.stop.treekill;
                (Some(Effect::Signal { run, signal: KILL, tree }), Some(app.stop.kill_timeout.max(VANISH)))
            }
        };
        self.ending = step;
        self.record.draining = step == Ending::Draining;
        self.record.untold = matches!(step, Ending::Draining | Ending::Asked);
        self.record.kill_at = grace.map(|grace| turn.now.after(grace));
        let (cue, reason) = match step {
            Ending::Stuck => (Cue::Fail, Some(Reason::Unkillable)),
            Ending::No | Ending::Due | Ending::Draining | Ending::Asked | Ending::Killed => {
                (Cue::Stop, reason)
            }
        };
        if !self.go(cue, reason, clock, turn) {
            self.tick(clock);
            turn.keep(&self.record);
        }
        // Whoever carries it out says so in what is kept.
        self.record.untold = false;
        turn.effects.extend(deed);
        if let Some(grace) = grace {
            let kind = match (self.record.role, step) {
                (Role::Current, Ending::Killed) => TimerKind::Unkillable,
                (Role::Current, _) => TimerKind::Kill,
                (Role::Replacement | Role::Retiring, _) => TimerKind::RetiringKill,
            };
            turn.timer(&self.record, kind, grace);
        }
    }
}

impl Worker {
    /// Stops it: nothing of it shall run, and nothing shall start again.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_>) -> Deed {
        let deed = if self.is_live() { Deed::Stopped } else { Deed::Untouched };
        self.bring_down(Entry::press, turn);
        deed
    }

    /// Stops it and has it removed once nothing is left of it.
    pub(super) fn delete(&mut self, turn: &mut Turn<'_>) -> Deed {
        self.current.record.leaving = true;
        self.bring_down(Entry::press, turn);
        Deed::Deleted
    }

    /// Deletes it, but lets it finish what it has, where that is possible (scale down).
    pub(super) fn dismiss(&mut self, turn: &mut Turn<'_>) -> Deed {
        self.current.record.leaving = true;
        self.bring_down(Entry::retire, turn);
        Deed::Deleted
    }

    fn bring_down(&mut self, end: End, turn: &mut Turn<'_>) {
        self.current.record.desired = Desired::Down;
        self.drop_reload(end, turn);
        for entry in &mut self.retiring {
            if matches!(entry.ending, Ending::Draining | Ending::Stuck) {
                entry.press(None, &mut self.clock, turn);
            }
        }
        self.end_current(Reason::StopRequested, end, turn);
        if self.current.phase == Phase::Vacant {
            self.sweep(turn);
            self.current.record.next_start = None;
            if !self.current.go(Cue::Rest, Some(Reason::StopRequested), &mut self.clock, turn) {
                self.keep(turn);
            }
        }
        self.leave_behind(turn);
    }

    /// Ends what the current entry's processes have left, now that none of them lives.
    fn sweep(&self, turn: &mut Turn<'_>) {
        let record = &self.current.record;
        if record.run.generation > 0 && record.app.stop.treekill {
            turn.push(Effect::Sweep { run: record.run });
        }
    }

    /// Begins the end of the current process; if that has begun already, only its reason changes.
    pub(super) fn end_current(&mut self, reason: Reason, end: End, turn: &mut Turn<'_>) {
        if matches!(self.current.ending, Ending::No | Ending::Stuck) {
            end(&mut self.current, Some(reason), &mut self.clock, turn);
        } else {
            self.current.record.reason = reason;
            self.keep(turn);
        }
    }

    /// Hands the current process over to the retiring ones' fate.
    pub(super) fn retire(&mut self, mut entry: Entry, turn: &mut Turn<'_>) {
        entry.record.role = Role::Retiring;
        entry.retire(None, &mut self.clock, turn);
        self.retiring.push(entry);
    }

    /// A worker that is to be removed, but has an old process that cannot be killed, says so.
    pub(super) fn leave_behind(&mut self, turn: &mut Turn<'_>) {
        let held = !self.retiring.is_empty() && self.is_quiet() && !self.current.is_occupied();
        if self.current.record.leaving && held && self.state() != State::Failed {
            self.current.go(Cue::Fail, Some(Reason::Unkillable), &mut self.clock, turn);
        }
    }
}
