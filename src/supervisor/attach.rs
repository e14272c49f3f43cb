//! A new daemon takes over: the fleet is rebuilt from the records the keeper held and from what became
//! of their processes meanwhile. Orders died with the old daemon; nobody waits for them.

use super::effect::Effect;
use super::entry::{Ending, Entry, Phase};
use super::event::{Found, Process, TimerKind};
use super::fleet::{Fleet, remove};
use super::record::{Record, Role};
use super::turn::Turn;
use super::worker::{Cue, Worker};
use crate::model::{Desired, Exit, Reason, Stamp, State, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

/// An entry as it was found, and the end of its process if nobody has handled that.
struct Remains {
    entry: Entry,
    ended: Option<(Exit, Stamp)>,
}

impl Remains {
    fn of(found: Found, now: Stamp) -> Remains {
        let mut entry = Entry::vacant(found.record);
        mend(&mut entry.record, now);
        let ended = match found.process {
            Process::None => None,
            Process::Alive { pid, run } => {
                entry.record.run = run;
                entry.record.retry = None;
                entry.phase = Phase::Alive;
                entry.pid = Some(pid);
                entry.online = entry.record.state.is_online();
                None
            }
            Process::Ended { run, pid, exit, at } => {
                entry.record.run = run;
                entry.pid = Some(pid);
                Some((exit, at))
            }
        };
        Remains { entry, ended }
    }

    /// Which entry a worker goes on with: what is current goes before a replacement, that before what
    /// retires; of two that are current, the one written later, which is the promoted one; of two
    /// others, the one that lives.
    fn rank(&self) -> (u8, bool, u64) {
        let (role, lives) = match self.entry.record.role {
            Role::Current => (2, true),
            Role::Replacement => (1, self.entry.is_occupied()),
            Role::Retiring => (0, self.entry.is_occupied()),
        };
        (role, lives, self.entry.record.epoch.0)
    }
}

/// Puts right what no daemon of this version writes, so that the rest can rely on it.
fn mend(record: &mut Record, now: Stamp) {
    if record.leaving {
        record.desired = Desired::Down;
    }
    match (record.desired, record.state) {
        (Desired::Down, State::Starting | State::Running | State::Ready) => record.state = State::Stopping,
        (Desired::Down, State::Backoff) => record.state = State::Down,
        (Desired::Up, State::Down) => record.desired = Desired::Down,
        (Desired::Up, _) | (Desired::Down, State::Down | State::Stopping | State::Failed) => {}
    }
    record.next_start = match record.state {
        State::Backoff => Some(record.next_start.unwrap_or(now)),
        State::Down | State::Starting | State::Running | State::Ready => None,
        State::Stopping | State::Failed => None,
    };
}

impl Fleet {
    /// Rebuilds the fleet.
    pub(super) fn attach(&mut self, found: Vec<Found>, turn: &mut Turn<'_>) {
        let mut remains: BTreeMap<WorkerId, Vec<Remains>> = BTreeMap::new();
        for found in found {
            let record = &found.record;
            self.next_entry = self.next_entry.max(record.run.entry.saturating_add(1));
            self.next_id = self.next_id.max(record.worker.0.saturating_add(1));
            self.owners.insert(record.run.entry, record.worker);
            remains.entry(record.worker).or_default().push(Remains::of(found, turn.now));
        }
        let mut names = BTreeSet::new();
        for (id, remains) in remains {
            let Some(worker) = adopt(remains, turn) else { continue };
            names.insert(worker.name().to_owned());
            if worker.is_over() {
                remove(&worker, turn);
            } else {
                self.workers.insert(id, worker);
            }
        }
        // Only now is it known who serves.
        for app in names.into_iter().filter(|name| !self.is_served(name)) {
            turn.push(Effect::CloseListeners { app });
        }
    }
}

/// A worker made of all its entries.
fn adopt(mut remains: Vec<Remains>, turn: &mut Turn<'_>) -> Option<Worker> {
    remains.sort_by_key(Remains::rank);
    let last_epoch = remains.iter().map(|remains| remains.entry.record.epoch).max()?;
    let Remains { mut entry, ended } = remains.pop()?;
    if entry.record.role == Role::Retiring {
        // What it retired from is gone, so it has nothing to come back to.
        entry.record.leaving = true;
        mend(&mut entry.record, turn.now);
    }
    entry.record.role = Role::Current;
    let mut worker = Worker::new(entry);
    worker.clock = last_epoch;
    for other in remains {
        worker.resume_other(other.entry, turn);
    }
    worker.resume(ended, turn);
    // Nobody waits for a reload any more; unless its old process is gone, that one stays.
    worker.drop_reload(Entry::retire, turn);
    Some(worker)
}

impl Worker {
    fn resume_other(&mut self, mut entry: Entry, turn: &mut Turn<'_>) {
        if !entry.is_occupied() {
            turn.forget(entry.record.run);
        } else if entry.record.role == Role::Replacement && self.replacement.is_none() {
            self.replacement = Some(entry);
        } else {
            entry.record.role = Role::Retiring;
            if !entry.resume_ending(TimerKind::RetiringKill, turn) {
                entry.retire(None, &mut self.clock, turn);
            }
            self.retiring.push(entry);
        }
    }

    /// Goes on with the current entry where the old daemon stopped.
    fn resume(&mut self, ended: Option<(Exit, Stamp)>, turn: &mut Turn<'_>) {
        if self.current.is_occupied() {
            self.resume_alive(turn);
            return;
        }
        let (state, reason) = (self.state(), self.current.record.reason.clone());
        match state {
            State::Starting if ended.is_none() => {
                // The old daemon may never have got so far: not an end, so it is not counted.
                self.launches += 1;
                self.current.spawn(reason, &mut self.clock, turn);
            }
            State::Starting | State::Running | State::Ready => self.ended_meanwhile(Ending::No, ended, turn),
            State::Stopping if ended.is_some() => self.ended_meanwhile(Ending::Asked, ended, turn),
            State::Failed if reason == Reason::Unkillable && ended.is_some() => {
                self.ended_meanwhile(Ending::Stuck, ended, turn);
            }
            State::Stopping => self.gone(turn),
            State::Failed if reason == Reason::Unkillable => self.gone(turn),
            State::Backoff => {
                let due = self.current.record.next_start.unwrap_or(turn.now);
                turn.timer(&self.current.record, TimerKind::Start, due.since(turn.now));
            }
            State::Down | State::Failed => {}
        }
    }

    /// Handles an end that the old daemon had not handled, at the time it happened.
    fn ended_meanwhile(&mut self, ending: Ending, ended: Option<(Exit, Stamp)>, turn: &mut Turn<'_>) {
        let (exit, at) = ended.unwrap_or((Exit::Unknown, turn.now));
        self.current.phase = Phase::Alive;
        self.current.ending = ending;
        self.exited(self.current.record.run, exit, false, at, turn);
    }

    fn resume_alive(&mut self, turn: &mut Turn<'_>) {
        let record = &self.current.record;
        match record.state {
            State::Starting => {
                let timeout = record.app.readiness.listen_timeout;
                let due = record.started.unwrap_or(turn.now).after(timeout);
                self.arrived(record.run, due.since(turn.now), turn);
            }
            State::Running | State::Ready => {}
            State::Stopping => {
                if !self.current.resume_ending(TimerKind::Kill, turn) {
                    self.current.press(None, &mut self.clock, turn);
                }
            }
            State::Failed if record.reason == Reason::Unkillable => self.current.ending = Ending::Stuck,
            State::Down | State::Backoff | State::Failed => self.resume_unexpected(turn),
        }
    }

    /// There is a process where the record knows of none: it is taken over, or ended.
    fn resume_unexpected(&mut self, turn: &mut Turn<'_>) {
        let desired = self.desired();
        self.current.record.next_start = None;
        self.current.online = true;
        self.current.go(Cue::Adopt, Some(Reason::Adopted), &mut self.clock, turn);
        if desired == Desired::Down {
            self.end_current(Reason::StopRequested, Entry::press, turn);
        }
    }
}
