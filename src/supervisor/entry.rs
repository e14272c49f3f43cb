//! One entry of a worker: its record, and what is known of its process. A worker has one that is
//! current, during a reload a replacement, and those that retire. Which of them does what, and
//! when, is decided in `worker` and its neighbours; here an entry only knows how to move.

use super::effect::Effect;
use super::record::{Record, Role};
use super::turn::Turn;
use super::worker::{Cue, next};
use crate::model::app::Mode;
use crate::model::change::What;
use crate::model::snapshot::{Axm, LogTrouble};
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
    /// Its end, which is due, begins with a drain.
    pub(super) gently: bool,
    /// Of the live process.
    pub(super) pid: Option<u32>,
    /// The process is up: a fork when it is spawned, a cluster worker when it says so.
    pub(super) online: bool,
    /// It said `ready`.
    pub(super) said_ready: bool,
    /// It said `READY=1`.
    pub(super) notified: bool,
    /// How its health was when last asked; `None`: not asked yet.
    pub(super) health: Option<Result<(), String>>,
    /// Its Node channel is closed: it hears no message any more.
    pub(super) disconnected: bool,
    /// Last sample.
    pub(super) usage: Usage,
    /// Last report of Node.
    pub(super) node: Option<NodeUsage>,
    /// What the app says of itself.
    pub(super) axm: Option<Arc<Axm>>,
    /// What became of output that no file took.
    pub(super) log_trouble: Option<LogTrouble>,
}

impl Entry {
    /// An entry without a process.
    pub(super) fn vacant(record: Record) -> Entry {
        Entry {
            record,
            phase: Phase::Vacant,
            ending: Ending::No,
            gently: false,
            pid: None,
            online: false,
            said_ready: false,
            notified: false,
            health: None,
            disconnected: false,
            usage: Usage::default(),
            node: None,
            axm: None,
            log_trouble: None,
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
        self.record.node_version = None;
        self.record.trouble = None;
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
        record.draining = false;
        record.untold = false;
        record.listening.clear();
        *self = Entry::vacant(record);
    }

    /// What the reports so far amount to.
    pub(super) fn readiness(&self) -> Option<Cue> {
        let app = &self.record.app;
        // Whoever inherits its sockets serves from the start, but a process that is to replace another one
        // must have shown that it stays.
        let inherits = self.online && !app.sockets.is_empty() && self.record.role != Role::Replacement;
        if app.readiness.is_declared() {
            self.lacks().is_empty().then_some(Cue::Serve)
        } else if self.said_ready || !self.record.listening.is_empty() || inherits {
            Some(Cue::Serve)
        } else {
            self.online.then_some(Cue::Up)
        }
    }

    /// What was declared to make it ready and has not come yet, for people.
    pub(super) fn lacks(&self) -> Vec<String> {
        let declared = &self.record.app.readiness;
        let mut lacks = Vec::new();
        if declared.wait_ready && !self.said_ready {
            lacks.push("it has not said `ready`".to_owned());
        }
        if declared.notify && !self.notified {
            lacks.push("it has not sent READY=1".to_owned());
        }
        if declared.health.is_some() {
            match &self.health {
                Some(Ok(())) => {}
                Some(Err(what)) => lacks.push(what.clone()),
                None => lacks.push("its health is not known".to_owned()),
            }
        }
        lacks
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

    /// It can be told to finish what it has: by Node's cluster protocol, or by the preload if it inherits
    /// its sockets. Whether it has anything to finish is not known here: it may have been given a socket whose first
    /// word about that nobody has heard yet.
    pub(super) fn can_drain(&self) -> bool {
        let app = &self.record.app;
        let listens =
            app.mode == Mode::Cluster || (app.program.is_node() && app.preload && !app.sockets.is_empty());
        listens && self.phase == Phase::Alive
    }
}
