//! What the daemon has told of the fleet, and the samples collected since the screen opened.

use super::history::{History, Point};
use crate::model::change::Change;
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::usage::HostUsage;
use crate::model::{Stamp, State, WorkerId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// So many facts are kept for the events tab.
const MAX_CHANGES: usize = 1000;

/// The fleet as last heard of.
#[derive(Debug, Default)]
pub struct Fleet {
    workers: BTreeMap<WorkerId, Arc<WorkerView>>,
    /// Instances of each app name.
    instances: HashMap<String, usize>,
    histories: HashMap<WorkerId, History>,
    /// Sums of all workers, a point a second.
    pub total: History,
    /// The host, last second.
    pub host: HostUsage,
    /// The daemon.
    pub daemon: DaemonView,
    /// Oldest first.
    pub changes: VecDeque<Change>,
    /// A whole fleet has come since the start.
    pub known: bool,
    sampled: Option<Stamp>,
}

/// Sums over some workers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// CPU, memory, requests a second added; response times and loop delay of the worst.
    pub point: Point,
    /// Workers.
    pub workers: usize,
    /// Of them online.
    pub online: usize,
    /// On the way up, down or round: starting, stopping, waiting.
    pub moving: usize,
    /// Failed.
    pub failed: usize,
    /// Stopped.
    pub down: usize,
    /// Restarts.
    pub restarts: u64,
    /// Somebody reports requests.
    pub serves: bool,
}

impl Fleet {
    /// Takes a push over.
    pub fn merge(&mut self, whole: bool, workers: Vec<Arc<WorkerView>>, removed: &[WorkerId]) {
        if whole {
            self.workers.clear();
            self.known = true;
        }
        for worker in workers {
            self.workers.insert(worker.id, worker);
        }
        for id in removed {
            self.workers.remove(id);
        }
        self.histories.retain(|id, _| self.workers.contains_key(id));
        self.instances.clear();
        for worker in self.workers.values() {
            match self.instances.get_mut(&worker.app.name) {
                Some(count) => *count += 1,
                None => drop(self.instances.insert(worker.app.name.clone(), 1)),
            }
        }
    }

    /// Adds a point to every history, unless one was added within `least`.
    pub fn sample(&mut self, now: Stamp, least: std::time::Duration) {
        if !self.known || self.sampled.is_some_and(|before| now.since(before) < least) {
            return;
        }
        self.sampled = Some(now);
        let keep = History::room(self.workers.len());
        for worker in self.workers.values() {
            self.histories.entry(worker.id).or_default().push(Point::of(worker), keep);
        }
        let point = self.totals(self.workers.values()).point;
        self.total.push(point, History::room(1));
    }

    /// Notes a published fact.
    pub fn note(&mut self, change: Change) {
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    /// One worker.
    pub fn worker(&self, id: WorkerId) -> Option<&Arc<WorkerView>> {
        self.workers.get(&id)
    }

    /// All, by id.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = &Arc<WorkerView>> + Clone {
        self.workers.values()
    }

    /// How many instances an app has.
    pub fn instances(&self, name: &str) -> usize {
        self.instances.get(name).copied().unwrap_or(0)
    }

    /// Workers of an app, by id.
    pub fn of_app(&self, name: &str) -> Vec<WorkerId> {
        self.workers.values().filter(|w| w.app.name == name).map(|w| w.id).collect()
    }

    /// The last `n` points of these workers added up, oldest first.
    pub fn points(&self, ids: &[WorkerId], n: usize) -> Vec<Point> {
        let mut sums = vec![Point::default(); n];
        let mut longest = 0;
        for history in ids.iter().filter_map(|id| self.histories.get(id)) {
            longest = longest.max(history.len().min(n));
            for (sum, point) in sums.iter_mut().rev().zip(history.newest_first()) {
                sum.add(point);
            }
        }
        sums.split_off(n - longest)
    }

    /// Sums over these workers.
    pub fn totals<'a>(&self, workers: impl Iterator<Item = &'a Arc<WorkerView>>) -> Totals {
        let mut totals = Totals::default();
        for worker in workers {
            totals.workers += 1;
            totals.restarts += u64::from(worker.restarts);
            totals.serves |= worker.node.is_some();
            totals.point.add(&Point::of(worker));
            match worker.state {
                State::Running | State::Ready => totals.online += 1,
                State::Starting | State::Stopping | State::Backoff => totals.moving += 1,
                State::Failed => totals.failed += 1,
                State::Down => totals.down += 1,
            }
        }
        totals
    }

    /// Sums over workers given by id.
    pub fn totals_of(&self, ids: &[WorkerId]) -> Totals {
        self.totals(ids.iter().filter_map(|id| self.workers.get(id)))
    }
}
