//! Invariants of the fleet, recomputed the plain way after every turn of a debug build.

use super::entry::{Ending, Entry, Phase};
use super::fleet::Fleet;
use super::record::Role;
use super::worker::Worker;
use crate::model::{Desired, State, WorkerId};
use std::collections::BTreeSet;

/// A check looks at every worker: of a larger fleet not every turn is checked.
const SMALL: usize = 64;

/// Checks all invariants, in so many turns that the fleet's size does not matter.
pub(super) fn check_some(fleet: &Fleet) -> Result<(), String> {
    let is_due = fleet.doubts.is_multiple_of(1 + fleet.workers.len() / SMALL);
    if is_due { check(fleet) } else { Ok(()) }
}

/// Checks all invariants; the first that does not hold is told in words.
pub fn check(fleet: &Fleet) -> Result<(), String> {
    let mut instances = BTreeSet::new();
    let mut entries = BTreeSet::new();
    for (id, worker) in &fleet.workers {
        let record = &worker.current.record;
        ensure(*id == worker.id && *id == record.worker, id, "is filed under another id")?;
        ensure(id.0 < fleet.next_id, id, "has an id that is still to be given out")?;
        ensure(instances.insert((worker.name(), record.instance)), id, "shares its instance number")?;
        for entry in worker.entries() {
            let number = entry.record.run.entry;
            ensure(entries.insert(number), id, "shares an entry")?;
            ensure(fleet.owners.get(&number) == Some(id), id, "has an entry that is not filed")?;
            ensure(number < fleet.next_entry, id, "has an entry that is still to be given out")?;
            ensure(entry.record.epoch <= worker.clock, id, "is ahead of its clock")?;
            entry_holds(id, entry)?;
        }
        roles_hold(id, worker)?;
        current_holds(id, worker)?;
        ensure(
            worker.queued.is_none() || fleet.rolling.contains(id),
            id,
            "waits for a turn that never comes",
        )?;
    }
    if let Some(entry) = fleet.owners.keys().find(|entry| !entries.contains(entry)) {
        return Err(format!("entry {entry} is filed, but nobody's"));
    }
    for pending in &fleet.pending {
        if let Some(id) = pending.awaited().find(|id| !fleet.workers.contains_key(id)) {
            return Err(format!("order {} waits for worker {id}, which is gone", pending.ticket.0));
        }
        if pending.awaited().next().is_none() {
            return Err(format!("order {} waits for nothing", pending.ticket.0));
        }
    }
    Ok(())
}

fn ensure(holds: bool, id: &WorkerId, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("worker {id} {what}")) }
}

fn entry_holds(id: &WorkerId, entry: &Entry) -> Result<(), String> {
    let state = entry.record.state;
    let process_fits = match state {
        State::Starting => matches!(entry.phase, Phase::Spawning | Phase::Alive),
        State::Running | State::Ready => entry.phase == Phase::Alive,
        State::Stopping => entry.phase != Phase::Vacant,
        State::Down | State::Backoff => entry.phase == Phase::Vacant,
        State::Failed => entry.phase == Phase::Vacant || entry.ending == Ending::Stuck,
    };
    if !process_fits {
        return Err(format!("worker {id} is {state:?} with a process that is {:?}", entry.phase));
    }
    let ending_fits = match entry.ending {
        Ending::No => state != State::Stopping,
        Ending::Due => state == State::Stopping && entry.phase == Phase::Spawning,
        Ending::Draining => state == State::Stopping && entry.phase == Phase::Alive,
        Ending::Asked | Ending::Killed => {
            state == State::Stopping && matches!(entry.phase, Phase::Alive | Phase::Remnants)
        }
        Ending::Stuck => state == State::Failed && entry.is_occupied(),
    };
    if !ending_fits {
        let (phase, ending) = (entry.phase, entry.ending);
        return Err(format!("worker {id} is {state:?}, {phase:?} while its end is {ending:?}"));
    }
    Ok(())
}

fn roles_hold(id: &WorkerId, worker: &Worker) -> Result<(), String> {
    ensure(worker.current.record.role == Role::Current, id, "has a current entry of another role")?;
    if let Some(new) = &worker.replacement {
        ensure(new.record.role == Role::Replacement, id, "has a replacement of another role")?;
        let fits = new.ending == Ending::No && new.is_occupied();
        ensure(fits, id, "has a replacement that is ending")?;
        ensure(worker.current.record.state.is_online(), id, "is being replaced while not online")?;
        ensure(worker.queued.is_none(), id, "waits for a reload while it is reloaded")?;
    }
    for old in &worker.retiring {
        ensure(old.record.role == Role::Retiring, id, "has a retiring entry of another role")?;
        ensure(old.ending != Ending::No && old.is_occupied(), id, "has a retiring entry that does not end")?;
    }
    Ok(())
}

fn current_holds(id: &WorkerId, worker: &Worker) -> Result<(), String> {
    let record = &worker.current.record;
    let desired_fits = match (record.desired, record.state) {
        (Desired::Down, State::Starting | State::Running | State::Ready | State::Backoff) => false,
        (Desired::Up, State::Down) => false,
        (Desired::Down, State::Down | State::Stopping | State::Failed) => true,
        (Desired::Up, _) => true,
    };
    if !desired_fits {
        return Err(format!("worker {id} is {:?} though {:?} is desired", record.state, record.desired));
    }
    let is_waiting = record.state == State::Backoff;
    ensure(is_waiting == record.next_start.is_some(), id, "has a pending start, or lacks one")?;
    ensure(!record.leaving || record.desired == Desired::Down, id, "is leaving, though it should run")?;
    ensure(!worker.is_over(), id, "is over, but still there")?;
    ensure(worker.queued.is_none() || record.state.is_online(), id, "waits for a reload while not online")
}
