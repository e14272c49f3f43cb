//! The fleet: all workers under one daemon, and the one door to them, [`Fleet::handle`]. Here events
//! and orders find their workers; what they do there is next door.

use super::again::Asked;
use super::effect::Effect;
use super::entry::{Entry, Phase};
use super::event::{Event, Ticket};
use super::oracle;
use super::order::{Pending, Wait};
use super::start::merged;
use super::turn::Turn;
use super::view::Places;
use super::worker::Worker;
use crate::model::change::What;
use crate::model::order::{Deed, Outcome, Refusal, Saved, Update};
use crate::model::select::{Candidate, SelectError, Selector};
use crate::model::snapshot::WorkerView;
use crate::model::usage::Usage;
use crate::model::{App, Epoch, Now, Order, Reason, Run, WorkerId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// All workers, and the orders about them that are not answered yet.
#[derive(Debug)]
pub struct Fleet {
    /// By id.
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Whose an entry is.
    pub(super) owners: HashMap<u64, WorkerId>,
    /// Workers whose reload waits for its turn.
    pub(super) rolling: BTreeSet<WorkerId>,
    /// Workers whose reload was abandoned in this turn, and their apps.
    pub(super) failed_reloads: Vec<(WorkerId, String)>,
    /// Workers that were changed in this turn.
    changed: BTreeSet<WorkerId>,
    /// Turns so far, in debug builds.
    pub(super) doubts: usize,
    /// Orders that are not answered yet, in the order they came.
    pub(super) pending: Vec<Pending>,
    /// The next worker's id.
    pub(super) next_id: u32,
    /// With which they begin.
    pub(super) first_id: u32,
    /// The next entry.
    pub(super) next_entry: u64,
    /// The highest epoch of those that were removed. New workers begin there: an id may be given out
    /// again, and timers of its last owner must stay stale.
    pub(super) past: Epoch,
    /// Starts so far, for `unique_id`.
    pub(super) starts: u64,
    /// The order that is being obeyed, if it may be asked again.
    pub(super) asked: Option<Asked>,
    ending: bool,
    places: Places,
}

impl Fleet {
    /// This entry, and this worker's id, are somebody's: never to be given out. For those that are not led.
    pub fn reserve(&mut self, entry: u64, worker: Option<WorkerId>) {
        if entry < Run::FIRST_RESERVED {
            self.next_entry = self.next_entry.max(entry.saturating_add(1));
        }
        if let Some(worker) = worker {
            self.first_id = self.first_id.max(worker.0.saturating_add(1));
            self.next_id = self.next_id.max(self.first_id);
        }
    }

    /// An empty fleet. `places` are for the file names in views.
    pub fn new(places: Places) -> Fleet {
        Fleet {
            workers: BTreeMap::new(),
            owners: HashMap::new(),
            rolling: BTreeSet::new(),
            failed_reloads: Vec::new(),
            changed: BTreeSet::new(),
            doubts: 0,
            pending: Vec::new(),
            next_id: 0,
            first_id: 0,
            next_entry: 1,
            past: Epoch::default(),
            starts: 0,
            asked: None,
            ending: false,
            places,
        }
    }

    /// Handles one event at `now`; what is to be done about it is appended to `effects`. Events about
    /// unknown or past runs, and timers of past states, change nothing.
    pub fn handle(&mut self, event: Event, now: Now, effects: &mut Vec<Effect>) {
        let first = effects.len();
        let mut turn = Turn { now, effects };
        self.take(event, &mut turn);
        self.roll(&mut turn);
        let (workers, changed) = (&self.workers, std::mem::take(&mut self.changed));
        self.pending.retain_mut(|pending| pending.is_open(&changed, workers, &mut turn));
        for effect in turn.effects.iter().skip(first) {
            if let Effect::Forget { run } = effect {
                self.owners.remove(&run.entry);
            }
        }
        if cfg!(debug_assertions) {
            self.doubts += 1;
            debug_assert_eq!(oracle::check_some(self), Ok(()));
        }
    }

    /// All workers by id. One that has not changed since the last call keeps its `Arc`.
    pub fn views(&mut self) -> Vec<Arc<WorkerView>> {
        self.workers.values_mut().map(|worker| worker.view(&self.places)).collect()
    }

    /// What `save` writes.
    pub fn dump(&self) -> Vec<Saved> {
        let saved = |worker: &Worker| {
            let record = &worker.current.record;
            Saved { app: App::clone(&record.app), instance: record.instance, desired: record.desired }
        };
        self.staying().map(saved).collect()
    }

    /// A shutdown was ordered.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    fn take(&mut self, event: Event, turn: &mut Turn<'_>) {
        match event {
            Event::Ordered { ticket, order } => self.ordered(ticket, order, turn),
            Event::Attached { found } => self.attach(found, turn),
            Event::Spawned { run, pid } => self.at(run, turn, |w, turn| w.spawned(run, pid, turn)),
            Event::SpawnFailed { run, what, may_pass } => {
                self.at(run, turn, |w, turn| w.spawn_failed(run, what, may_pass, turn));
            }
            Event::Online { run } => {
                self.at(run, turn, |w, turn| w.reported(run, |entry| entry.online = true, turn));
            }
            Event::Listening { run, address } => {
                self.at(run, turn, |w, turn| w.listening(run, address, turn));
            }
            Event::Listens { run, addresses } => {
                self.at(run, turn, |w, turn| w.listens(run, addresses, turn));
            }
            Event::SaidReady { run } => self.at(run, turn, |w, turn| w.said_ready(run, turn)),
            Event::Notified { run } => {
                self.at(run, turn, |w, turn| w.reported(run, |entry| entry.notified = true, turn));
            }
            Event::Probed { run, health } => {
                self.at(run, turn, |w, turn| w.reported(run, |entry| entry.health = Some(health), turn));
            }
            Event::Disconnected { run } => self.at(run, turn, |w, turn| w.disconnected(run, turn)),
            Event::Idle { run } => self.at(run, turn, |w, turn| w.idle(run, turn)),
            Event::Exited { run, exit, survivors } => {
                let at = turn.now;
                self.at(run, turn, |w, turn| w.exited(run, exit, survivors, at, turn));
            }
            Event::TreeGone { run } => self.at(run, turn, |w, turn| w.tree_gone(run, turn)),
            Event::TimerDue(key) => {
                if self.workers.get(&key.worker).is_some_and(|worker| worker.expects(key)) {
                    self.touch(key.worker, turn, |worker, turn| worker.due(key, turn));
                }
            }
            Event::Sampled { usages } => {
                for (run, usage) in usages {
                    self.sampled(run, usage, turn);
                }
            }
            Event::NodeVersion { run, version } => {
                self.at(run, turn, |w, turn| w.said_version(run, version, turn));
            }
            Event::Troubled { run, what } => self.at(run, turn, |w, turn| w.troubled(run, what, turn)),
            Event::Reported { run, usage } => self.note(run, turn, |entry| entry.node = Some(usage)),
            Event::LogTrouble { run, trouble } => self.at(run, turn, |worker, _| {
                if let Some((entry, _)) = worker.entry_mut(run) {
                    entry.log_trouble = trouble;
                }
            }),
            Event::AxmChanged { run, axm } => self.note(run, turn, |entry| entry.axm = Some(axm)),
        }
    }

    fn ordered(&mut self, ticket: Ticket, order: Order, turn: &mut Turn<'_>) {
        let last = matches!(order, Order::Shutdown);
        let waits = if self.ending { Err(Refusal::ShuttingDown) } else { self.obey(order, turn) };
        match waits {
            Ok(waits) => {
                let pending = Pending::new(ticket, waits, last);
                self.changed.extend(pending.awaited());
                self.pending.push(pending);
            }
            Err(refusal) => {
                turn.push(Effect::Reply { ticket, outcome: Outcome::Refused(refusal) });
            }
        }
    }

    /// Tells every worker what is wanted of it; the answer waits for what is returned.
    pub(super) fn obey(&mut self, order: Order, turn: &mut Turn<'_>) -> Result<Vec<Wait>, Refusal> {
        match order {
            Order::Start { apps, if_present } => self.start(&apps, if_present, turn),
            Order::Stop { select } => {
                let ids = self.select(&select)?;
                Ok(self.tell_all(ids, turn, |worker, turn| worker.stop(turn)))
            }
            Order::Restart { select, update } => {
                let ids = self.select(&select)?;
                Ok(self.tell_all(ids, turn, |worker, turn| {
                    worker.restart(worker.updated(&update), Reason::RestartRequested, turn)
                }))
            }
            Order::Reload { select, update, rolling } => {
                let ids = self.select(&select)?;
                let busy = |id: &&WorkerId| self.workers.get(id).is_some_and(Worker::is_reloading);
                if let Some(id) = ids.iter().find(busy) {
                    return Err(Refusal::ReloadInProgress { id: *id });
                }
                Ok(self.tell_all(ids, turn, |worker, turn| {
                    worker.reload(worker.updated(&update), Reason::ReloadRequested, rolling, turn)
                }))
            }
            Order::Delete { select } => {
                let ids = self.select(&select)?;
                Ok(self.tell_all(ids, turn, |worker, turn| worker.delete(turn)))
            }
            Order::Scale { name, to } => self.scale(&name, to, turn),
            Order::Reset { select } => {
                let ids = self.select(&select)?;
                Ok(self.tell_all(ids, turn, |worker, turn| worker.reset(turn)))
            }
            Order::Signal { select, signal } => {
                let ids = self.select(&select)?;
                Ok(self.tell_all(ids, turn, |worker, turn| worker.signal(signal, turn)))
            }
            Order::Resurrect { saved } => Ok(self.resurrect(saved, turn)),
            Order::Keyed { key, order } => self.obey_once(key, *order, turn),
            Order::Shutdown => {
                self.ending = true;
                let ids = self.workers.keys().copied().collect();
                Ok(self.tell_all(ids, turn, |worker, turn| worker.delete(turn)))
            }
        }
    }

    fn select(&self, selector: &Selector) -> Result<Vec<WorkerId>, SelectError> {
        selector.resolve(self.workers.values().map(|worker| {
            let app = &worker.current.record.app;
            let (name, namespace) = (app.name.as_str(), app.namespace.as_str());
            Candidate { id: worker.id, name, namespace, script: &app.program.script }
        }))
    }

    pub(super) fn tell_all(
        &mut self,
        ids: Vec<WorkerId>,
        turn: &mut Turn<'_>,
        verb: impl Fn(&mut Worker, &mut Turn<'_>) -> Deed,
    ) -> Vec<Wait> {
        ids.into_iter().filter_map(|id| self.tell(id, turn, &verb)).collect()
    }

    /// Tells one worker what is wanted of it.
    pub(super) fn tell(
        &mut self,
        id: WorkerId,
        turn: &mut Turn<'_>,
        verb: impl FnOnce(&mut Worker, &mut Turn<'_>) -> Deed,
    ) -> Option<Wait> {
        if let Some(wait) = self.waits_already(id) {
            return Some(wait);
        }
        let mark = self.mark(false);
        self.touch(id, turn, |worker, turn| {
            let before = std::mem::replace(&mut worker.current.record.ordered, mark);
            let deed = verb(worker, turn);
            if deed == Deed::Reloaded {
                // Its replacement will say so.
                worker.current.record.ordered = before;
                worker.reload_by = mark;
            }
            Wait::new(worker, deed)
        })
    }

    /// The only way to change a worker that is in the fleet: afterwards it is removed if it is over,
    /// and an app that nobody serves any more gives its ports up.
    pub(super) fn touch<T>(
        &mut self,
        id: WorkerId,
        turn: &mut Turn<'_>,
        change: impl FnOnce(&mut Worker, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let worker = self.workers.get_mut(&id)?;
        let was_live = worker.is_live();
        worker.dirty = true;
        self.changed.insert(id);
        let result = change(worker, turn);
        if worker.queued.is_some() {
            self.rolling.insert(id);
        }
        if std::mem::take(&mut worker.failed_reload) {
            self.failed_reloads.push((id, worker.name().to_owned()));
        }
        let rests = was_live && !worker.is_live();
        let over = worker.is_over();
        let name = worker.name().to_owned();
        if over && let Some(worker) = self.workers.remove(&id) {
            self.past = self.past.max(worker.clock);
            remove(&worker, turn);
        }
        if (rests || over) && !self.is_served(&name) {
            turn.push(Effect::CloseListeners { app: name });
        }
        Some(result)
    }

    /// True if some worker of the app has a process or will have one.
    pub(super) fn is_served(&self, name: &str) -> bool {
        self.workers.values().any(|worker| worker.name() == name && worker.is_live())
    }

    /// Tells the worker of a run what happened to it; nobody, if the run is past or unknown.
    fn at(&mut self, run: Run, turn: &mut Turn<'_>, what: impl FnOnce(&mut Worker, &mut Turn<'_>)) {
        if let Some(id) = self.owner(run) {
            self.touch(id, turn, what);
        }
    }

    /// Writes something down that is only shown.
    fn note(&mut self, run: Run, turn: &mut Turn<'_>, what: impl FnOnce(&mut Entry)) {
        self.at(run, turn, |worker, _| {
            if let Some((entry, _)) = worker.entry_mut(run)
                && entry.phase == Phase::Alive
            {
                what(entry);
            }
        });
    }

    fn sampled(&mut self, run: Run, usage: Usage, turn: &mut Turn<'_>) {
        self.at(run, turn, |worker, turn| worker.sampled(run, usage, turn));
    }

    fn owner(&self, run: Run) -> Option<WorkerId> {
        let id = *self.owners.get(&run.entry)?;
        self.workers.get(&id).is_some_and(|worker| worker.holds(run)).then_some(id)
    }

    /// A new entry for a worker.
    pub(super) fn open_entry(&mut self, id: WorkerId) -> u64 {
        let entry = self.next_entry;
        self.next_entry += 1;
        self.owners.insert(entry, id);
        entry
    }

    /// Workers that are not about to be removed.
    pub(super) fn staying(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(|worker| !worker.current.record.leaving)
    }

    /// Workers of this name that are about to be removed.
    pub(super) fn leaving(&self, name: &str) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(move |worker| worker.current.record.leaving && worker.name() == name)
    }
}

/// The last words about a worker that is taken out of the fleet.
pub(super) fn remove(worker: &Worker, turn: &mut Turn<'_>) {
    turn.forget(worker.current.record.run);
    turn.publish(&worker.current.record, What::Deleted);
}

impl Worker {
    /// Its app with an update over it; `None` if nothing changes.
    fn updated(&self, update: &Update) -> Option<Arc<App>> {
        let env = update.env.as_ref()?;
        let old = &self.current.record.app;
        Some(Arc::new(merged(old, App::clone(old), Some(env))))
    }
}
