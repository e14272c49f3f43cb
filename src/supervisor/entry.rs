//! One entry of a worker: its record, and what is known of its process. A worker has one that is
//! current, during a reload a replacement, and those that retire. Which of them does what, and
//! when, is decided in `worker` and its neighbours; here an entry only knows how to move.

use super::effect::Effect;
use super::record::{Record, Role};
use super::turn::Turn;
use super::worker::{Cue, next};
use crate::model::app::Mode;
use crate::model::change::What;
use crate::model::snapshot::Axm;
use crate::model::usage::{NodeUsage, Usage};
use crate::model::{Epoch, Reason};
use std::sync::Arc;

/// What there is of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing.
    Vacant,
    /// `Effect::Spawn` is out.
    Spawning,
    /// It lives.
    Alive,
    /// It ended, but not yet all of the tree that was signalled with it.
    Remnants,
}

/// How far its end has come. Each step has a grace; when that is over, the next step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nobody wants it to end.
    No,
    /// To be asked as soon as it is spawned.
    Due,
    /// It gets no new connections and finishes what it has.
    Draining,
    /// The stop signal (or message) was sent.
    Asked,
    /// SIGKILL was sent.
    Killed,
    /// It outlived SIGKILL. Its end, should it come, is still noticed.
    Stuck,
}

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// What the keeper holds of it.
    pub(super) record: Record,
    /// What there is of its process.
    pub(super) phase: Phase,
    /// How far its end has come.
    pub(super) ending: Ending,
    /// Of the live process.
    pub(super) pid: Option<u32>,
    /// The process is up: a fork when it is spawned, a cluster worker when it says so.
    pub(super) online: bool,
    /// It said `ready`.
    pub(super) said_ready: bool,
    /// Last sample.
    pub(super) usage: Usage,
    /// Last report of Node.
    pub(super) node: Option<NodeUsage>,
    /// What the app says of itself.
    pub(super) axm: Option<Arc<Axm>>,
}

impl Entry {
    /// An entry without a process.
    pub(super) fn vacant(record: Record) -> Entry {
        Entry {
            record,
            phase: Phase::Vacant,
            ending: Ending::No,
            pid: None,
            online: false,
            said_ready: false,
            usage: Usage::default(),
            node: None,
            axm: None,
        }
    }

    /// Moves by the table; false if it does not apply in this state. A move counts the epoch up, is
    /// kept (`Cue::Start` spawns, which keeps too) and, for the current entry, published.
    pub(super) fn go(
        &mut self,
        cue: Cue,
        reason: Option<Reason>,
        clock: &mut Epoch,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(state) = next(self.record.state, cue) else { return false };
        self.record.state = state;
        if let Some(reason) = reason {
            self.record.reason = reason;
        }
        self.tick(clock);
        turn.push(match cue {
            Cue::Start => Effect::Spawn(self.record.clone()),
            Cue::Up | Cue::Serve | Cue::Adopt | Cue::Stop | Cue::Rest | Cue::Wait | Cue::Fail => {
                Effect::Keep(self.record.clone())
            }
        });
        if self.record.role == Role::Current {
            turn.publish(&self.record, What::State { state, reason: self.record.reason.clone() });
        }
        true
    }

    /// Takes the next epoch: timers set until now are stale.
    pub(super) fn tick(&mut self, clock: &mut Epoch) {
        *clock = clock.next();
        self.record.epoch = *clock;
    }

    /// Spawns the next run of the entry.
    pub(super) fn spawn(&mut self, reason: Reason, clock: &mut Epoch, turn: &mut Turn<'_>) {
        self.clear();
        self.record.run = self.record.run.next();
        self.record.started = Some(turn.now);
        self.record.next_start = None;
        self.phase = Phase::Spawning;
        self.go(Cue::Start, Some(reason), clock, turn);
    }

    /// Nothing of the process is left, nor of what was known about it.
    pub(super) fn clear(&mut self) {
        let mut record = self.record.clone();
        record.kill_at = None;
        record.listening.clear();
        *self = Entry::vacant(record);
    }

    /// What the reports so far amount to.
    pub(super) fn readiness(&self) -> Option<Cue> {
        let app = &self.record.app;
        if self.said_ready {
            Some(Cue::Serve)
        } else if app.readiness.wait_ready {
            None
        } else if !self.record.listening.is_empty() || (self.online && !app.sockets.is_empty()) {
            Some(Cue::Serve)
        } else {
            self.online.then_some(Cue::Up)
        }
    }

    /// Moves as the reports so far allow.
    pub(super) fn advance(&mut self, clock: &mut Epoch, turn: &mut Turn<'_>) {
        if let Some(cue) = self.readiness() {
            self.go(cue, None, clock, turn);
        }
    }

    /// True while there is, or may be, a process; a stuck one included.
    pub(super) fn is_occupied(&self) -> bool {
        self.phase != Phase::Vacant
    }

    /// True while something of it will still come or go by itself.
    pub(super) fn is_pending(&self) -> bool {
        self.is_occupied() && self.ending != Ending::Stuck
    }

    /// Node's cluster protocol is spoken with it, so it can be drained.
    pub(super) fn can_drain(&self) -> bool {
        self.record.app.mode == Mode::Cluster && self.online && self.phase == Phase::Alive
    }
}
