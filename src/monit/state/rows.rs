//! The rows of the table: apps that unfold into instances, filtered and sorted.

use super::filter::Filter;
use super::fleet::Fleet;
use crate::model::snapshot::WorkerView;
use crate::model::{Stamp, WorkerId};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a row is about; stays the same while rows come and go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// All instances of an app.
    App(String),
    /// One worker.
    Worker(WorkerId),
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// Header of an app with several instances.
    App {
        /// Its name.
        name: String,
        /// Its instances that pass the filter.
        ids: Vec<WorkerId>,
        /// They are not shown.
        folded: bool,
    },
    /// A worker.
    Worker {
        /// Which.
        id: WorkerId,
        /// Where it hangs: `None` for the only one of its app, `Some(last)` under a header.
        child: Option<bool>,
    },
}

impl Row {
    /// Its identity.
    pub fn key(&self) -> RowKey {
        match self {
            Row::App { name, .. } => RowKey::App(name.clone()),
            Row::Worker { id, .. } => RowKey::Worker(*id),
        }
    }

    /// The workers it stands for.
    pub fn ids(&self) -> Vec<WorkerId> {
        match self {
            Row::App { ids, .. } => ids.clone(),
            Row::Worker { id, .. } => vec![*id],
        }
    }
}

/// By what rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// By id.
    #[default]
    Id,
    /// By name.
    Name,
    /// What needs a look comes first.
    Status,
    /// Most restarts first.
    Restarts,
    /// Youngest first.
    Uptime,
    /// Most first.
    Cpu,
    /// Most first.
    Memory,
    /// Most requests first.
    Rate,
    /// Slowest first.
    P95,
}

impl Sort {
    /// In the order of the columns.
    pub const ALL: [Sort; 9] = [
        Sort::Status,
        Sort::Id,
        Sort::Name,
        Sort::Restarts,
        Sort::Uptime,
        Sort::Cpu,
        Sort::Memory,
        Sort::Rate,
        Sort::P95,
    ];

    /// The neighbour, round the end.
    pub fn step(self, forward: bool) -> Sort {
        let n = Sort::ALL.len();
        let at = Sort::ALL.iter().position(|s| *s == self).unwrap_or(0);
        Sort::ALL[if forward { (at + 1) % n } else { (at + n - 1) % n }]
    }

    /// The smaller key comes first.
    fn value(self, group: &[&Arc<WorkerView>], now: Stamp) -> f64 {
        let sum = |of: &dyn Fn(&WorkerView) -> f64| group.iter().map(|w| of(w)).sum::<f64>();
        let most = |of: &dyn Fn(&WorkerView) -> f64| group.iter().map(|w| of(w)).fold(0.0, f64::max);
        match self {
            Sort::Id | Sort::Name => 0.0,
            Sort::Status => -most(&urgency),
            Sort::Restarts => -sum(&|w| f64::from(w.restarts)),
            Sort::Uptime => group.iter().map(|w| w.uptime(now).as_secs_f64()).fold(f64::INFINITY, f64::min),
            Sort::Cpu => -sum(&|w| f64::from(w.usage.cpu)),
            Sort::Memory => -sum(&|w| w.usage.memory.get() as f64),
            Sort::Rate => -sum(&|w| w.node.map_or(0.0, |n| f64::from(n.rps))),
            Sort::P95 => -most(&|w| w.node.map_or(0.0, |n| f64::from(n.http_p95))),
        }
    }
}

fn urgency(worker: &WorkerView) -> f64 {
    use crate::model::State;
    match worker.state {
        State::Failed => 6.0,
        State::Backoff => 5.0,
        State::Stopping => 4.0,
        State::Starting => 3.0,
        State::Running | State::Ready => 2.0,
        State::Down => 1.0,
    }
}

/// How the table is arranged.
#[derive(Debug, Clone, Default)]
pub struct Arrangement {
    /// Only these.
    pub filter: Filter,
    /// By what.
    pub sort: Sort,
    /// The other way round.
    pub reversed: bool,
    /// Apps whose instances are hidden.
    pub folded: BTreeSet<String>,
}

impl Arrangement {
    /// All rows, in order.
    pub fn rows(&self, fleet: &Fleet, now: Stamp) -> Vec<Row> {
        let mut rows = Vec::new();
        for (workers, whole) in self.groups(fleet, now) {
            let Some(first) = workers.first() else { continue };
            if whole == 1 {
                rows.push(Row::Worker { id: first.id, child: None });
                continue;
            }
            let name = first.app.name.clone();
            let folded = self.folded.contains(&name);
            let ids: Vec<_> = workers.iter().map(|w| w.id).collect();
            let last = ids.last().copied();
            rows.push(Row::App { name, ids: ids.clone(), folded });
            if !folded {
                rows.extend(ids.into_iter().map(|id| Row::Worker { id, child: Some(Some(id) == last) }));
            }
        }
        rows
    }

    /// Apps in order, each with its accepted workers in order and the number of all of them.
    fn groups<'a>(&self, fleet: &'a Fleet, now: Stamp) -> Vec<(Vec<&'a Arc<WorkerView>>, usize)> {
        let mut by_name: BTreeMap<&str, (Vec<&Arc<WorkerView>>, usize)> = BTreeMap::new();
        for worker in fleet.workers() {
            let group = by_name.entry(worker.app.name.as_str()).or_default();
            group.1 += 1;
            if self.filter.accepts(worker) {
                group.0.push(worker);
            }
        }
        let mut groups: Vec<_> = by_name.into_values().filter(|(workers, _)| !workers.is_empty()).collect();
        for (workers, _) in &mut groups {
            workers.sort_by_cached_key(|w| (Key(self.sort.value(&[w], now)), w.id));
            self.turn(workers);
        }
        // Groups come by name from the map, and sorting is stable: equal ones stay in that order.
        if self.sort != Sort::Name {
            groups.sort_by_cached_key(|(workers, _)| {
                (Key(self.sort.value(workers, now)), workers.iter().map(|w| w.id).min())
            });
        }
        self.turn(&mut groups);
        groups
    }

    fn turn<T>(&self, list: &mut [T]) {
        if self.reversed {
            list.reverse();
        }
    }
}

/// A number with a total order.
#[derive(PartialEq)]
struct Key(f64);

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monit::fixture;

    fn names(arrangement: &Arrangement) -> Vec<String> {
        let state = fixture::sixteen();
        let rows = arrangement.rows(&state.fleet, fixture::NOW);
        rows.iter()
            .map(|row| match row.key() {
                RowKey::App(name) => name,
                RowKey::Worker(id) => id.to_string(),
            })
            .collect()
    }

    #[test]
    fn apps_unfold_into_instances_and_single_ones_stand_alone() {
        let all = names(&Arrangement::default());
        assert_eq!(all[0], "api");
        assert_eq!(all[1..=16], (0..16).map(|i| i.to_string()).collect::<Vec<_>>());
        assert_eq!(all[17], "16");
        let folded = Arrangement { folded: ["api".to_owned()].into(), ..Arrangement::default() };
        assert_eq!(names(&folded)[..2], ["api", "16"]);
    }

    #[test]
    fn sorting_by_status_puts_the_failed_first_and_reverses() {
        let mut by_status = Arrangement { sort: Sort::Status, ..Arrangement::default() };
        let forward = names(&by_status);
        assert_eq!(forward[0], "18", "the errored one");
        by_status.reversed = true;
        assert_eq!(names(&by_status).last(), forward.first());
    }
}
