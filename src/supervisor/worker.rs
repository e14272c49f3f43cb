//! A worker, and the table of all its moves.
//!
//! ```text
//!            Start               Up               Serve
//!   Down ───────────▶ Starting ──────▶ Running ─────────▶ Ready      (Serve also from Starting)
//!                     └────────┬─────────┴──────────────────┘
//!                              │
//!      asked to end            │            ended by itself
//!            ┌─────────────────┴─────────────────┐
//!            ▼ Stop                              ▼ the restart policy says
//!        Stopping                          at once: Start ▶ Starting
//!            │ its tree is gone            later:   Wait  ▶ Backoff ─ Start ▶ Starting
//!            ├─ Rest  ▶ Down               never:   Rest  ▶ Down
//!            ├─ Start ▶ Starting           no more: Fail  ▶ Failed ─ Start ▶ Starting
//!            └─ Fail  ▶ Failed (outlived SIGKILL)
//! ```
//!
//! `docs/states.md` has the same as a table, with what causes each cue.

use super::entry::{Ending, Entry, Phase};
use super::event::{TimerKey, TimerKind};
use super::record::Ordered;
use super::turn::Turn;
use crate::model::change::What;
use crate::model::order::Rolling;
use crate::model::snapshot::WorkerView;
use crate::model::{App, Desired, Epoch, Reason, Run, State, WorkerId};
use std::sync::Arc;
use std::time::Duration;

/// What moves an entry from state to state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// A process is being made.
    Start,
    /// It is up.
    Up,
    /// It can serve.
    Serve,
    /// A new daemon finds a process where the record knows of none.
    Adopt,
    /// Its process is asked to end.
    Stop,
    /// Nothing is left of it and nothing more is wanted.
    Rest,
    /// It ended and is started again later.
    Wait,
    /// It is given up.
    Fail,
}

/// The table of all moves. `None`: the cue means nothing in this state.
pub(super) fn next(state: State, cue: Cue) -> Option<State> {
    use State::{Backoff, Down, Failed, Ready, Running, Starting, Stopping};
    match cue {
        Cue::Start => match state {
            Down | Starting | Running | Ready | Stopping | Backoff | Failed => Some(Starting),
        },
        Cue::Up => match state {
            Starting => Some(Running),
            Down | Running | Ready | Stopping | Backoff | Failed => None,
        },
        Cue::Serve => match state {
            Starting | Running => Some(Ready),
            Down | Ready | Stopping | Backoff | Failed => None,
        },
        Cue::Adopt => match state {
            Down | Backoff | Failed => Some(Running),
            Starting | Running | Ready | Stopping => None,
        },
        Cue::Stop => match state {
            Starting | Running | Ready | Failed => Some(Stopping),
            Down | Stopping | Backoff => None,
        },
        Cue::Rest => match state {
            Starting | Running | Ready | Stopping | Backoff | Failed => Some(Down),
            Down => None,
        },
        Cue::Wait => match state {
            Starting | Running | Ready => Some(Backoff),
            Down | Stopping | Backoff | Failed => None,
        },
        Cue::Fail => match state {
            Down | Starting | Running | Ready | Stopping => Some(Failed),
            Backoff | Failed => None,
        },
    }
}

/// One running copy of an app, as people see it.
#[derive(Debug)]
pub(super) struct Worker {
    /// PM2's `pm_id`.
    pub(super) id: WorkerId,
    /// The last epoch given to any of its entries.
    pub(super) clock: Epoch,
    /// What people see.
    pub(super) current: Entry,
    /// A reload's new process.
    pub(super) replacement: Option<Entry>,
    /// Old processes on their way out.
    pub(super) retiring: Vec<Entry>,
    /// A reload that waits for its turn.
    pub(super) queued: Option<Queued>,
    /// By which order, if that may be asked again.
    pub(super) reload_by: Option<Ordered>,
    /// How its present or last reload was ordered.
    pub(super) rolling: Rolling,
    /// Its last reload was abandoned; nobody has drawn the consequences yet.
    pub(super) failed_reload: bool,
    /// The new process of that reload.
    pub(super) abandoned: Option<Run>,
    /// Its last reload was given up before it was tried.
    pub(super) untried: bool,
    /// Spawns in the eyes of this daemon; orders wait by it.
    pub(super) launches: u64,
    /// Replacements that took over, likewise.
    pub(super) reloads: u64,
    /// Epoch in which the replacement was spawned: its deadline holds for that one.
    pub(super) replacement_since: Epoch,
    /// The view last given out.
    pub(super) seen: Option<Arc<WorkerView>>,
    /// Something has changed since.
    pub(super) dirty: bool,
}

/// A reload that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    /// What the replacement will run.
    pub(super) app: Arc<App>,
    /// Why.
    pub(super) reason: Reason,
}

impl Worker {
    /// A worker around its current entry.
    pub(super) fn new(current: Entry) -> Worker {
        Worker {
            id: current.record.worker,
            clock: current.record.epoch,
            current,
            replacement: None,
            retiring: Vec::new(),
            queued: None,
            reload_by: None,
            rolling: Rolling::default(),
            failed_reload: false,
            abandoned: None,
            untried: false,
            launches: 0,
            reloads: 0,
            replacement_since: Epoch::default(),
            seen: None,
            dirty: true,
        }
    }

    /// The entry of this very run, if the worker has it, and the worker's clock.
    pub(super) fn entry_mut(&mut self, run: Run) -> Option<(&mut Entry, &mut Epoch)> {
        let Worker { current, replacement, retiring, clock, .. } = self;
        let entry = std::iter::once(current)
            .chain(replacement)
            .chain(retiring)
            .find(|entry| entry.record.run == run)?;
        Some((entry, clock))
    }

    /// Its entries, the current one first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.current).chain(&self.replacement).chain(&self.retiring)
    }

    /// True if one of its entries is at this run.
    pub(super) fn holds(&self, run: Run) -> bool {
        self.entries().any(|entry| entry.record.run == run)
    }

    /// App name.
    pub(super) fn name(&self) -> &str {
        &self.current.record.app.name
    }

    /// State, as people see it.
    pub(super) fn state(&self) -> State {
        self.current.record.state
    }

    /// What was asked.
    pub(super) fn desired(&self) -> Desired {
        self.current.record.desired
    }

    /// A reload of it is waiting or under way.
    pub(super) fn is_reloading(&self) -> bool {
        self.queued.is_some() || self.replacement.is_some()
    }

    /// It has a process or will have one without being asked again.
    pub(super) fn is_live(&self) -> bool {
        self.state() == State::Backoff || self.entries().any(Entry::is_occupied)
    }

    /// None of its processes will come or go by itself: they are gone, or stuck.
    pub(super) fn is_quiet(&self) -> bool {
        !self.entries().any(Entry::is_pending)
    }

    /// It was to be removed, and nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        self.current.record.leaving && !self.entries().any(Entry::is_occupied)
    }

    /// Makes the next process, and counts it as what `reason` says it is.
    pub(super) fn launch(&mut self, reason: Reason, turn: &mut Turn<'_>) {
        let record = &mut self.current.record;
        record.desired = Desired::Up;
        record.leaving = false;
        record.retry = None;
        match &reason {
            Reason::Started | Reason::RestartRequested | Reason::ReloadRequested => {
                record.created = turn.now;
                record.unstable_restarts = 0;
                record.backoff = Duration::ZERO;
            }
            Reason::MemoryLimit { .. } | Reason::Unkillable => {
                record.unstable_restarts = 0;
                record.backoff = Duration::ZERO;
            }
            Reason::NotAutostarted
            | Reason::StopRequested
            | Reason::Died(_)
            | Reason::EndedNoAutorestart(_)
            | Reason::EndedStopCode(_)
            | Reason::TooManyUnstable { .. }
            | Reason::SpawnFailed { .. }
            | Reason::ReloadAbandoned { .. }
            | Reason::Adopted => {}
        }
        if reason != Reason::Started {
            record.restarts = record.restarts.saturating_add(1);
        }
        self.launches += 1;
        self.current.spawn(reason, &mut self.clock, turn);
    }

    /// Joins the fleet without a process.
    pub(super) fn register(&mut self, turn: &mut Turn<'_>) {
        let record = &self.current.record;
        let (state, reason) = (record.state, record.reason.clone());
        self.current.tick(&mut self.clock);
        self.keep(turn);
        turn.publish(&self.current.record, What::State { state, reason });
    }

    /// Keeps what changed in the current record without a change of state: timers stay valid.
    pub(super) fn keep(&mut self, turn: &mut Turn<'_>) {
        turn.keep(&self.current.record);
    }

    /// True if the timer is about the present.
    pub(super) fn expects(&self, key: TimerKey) -> bool {
        let current = &self.current;
        let now = current.record.epoch == key.epoch;
        match key.kind {
            TimerKind::Start => now && current.record.state == State::Backoff,
            TimerKind::Ready => now && current.record.state == State::Starting,
            TimerKind::Kill => now && matches!(current.ending, Ending::Draining | Ending::Asked),
            TimerKind::Unkillable => now && current.ending == Ending::Killed,
            TimerKind::ReplacementReady => self.replacement.is_some() && self.replacement_since == key.epoch,
            TimerKind::RetiringKill => self.retiring.iter().any(|entry| entry.record.epoch == key.epoch),
        }
    }

    /// A timer that it expects is due.
    pub(super) fn due(&mut self, key: TimerKey, turn: &mut Turn<'_>) {
        match key.kind {
            TimerKind::Start => self.start_due(turn),
            TimerKind::Ready => {
                self.current.go(Cue::Up, None, &mut self.clock, turn);
            }
            TimerKind::Kill | TimerKind::Unkillable => self.current.press(None, &mut self.clock, turn),
            TimerKind::ReplacementReady => self.replacement_overdue(turn),
            TimerKind::RetiringKill => {
                for entry in &mut self.retiring {
                    if entry.record.epoch == key.epoch {
                        entry.press(None, &mut self.clock, turn);
                    }
                }
                self.leave_behind(turn);
            }
        }
    }

    /// True if its process is up and nobody has asked it to end.
    pub(super) fn is_online(&self) -> bool {
        self.state().is_online() && self.current.phase == Phase::Alive
    }
}
