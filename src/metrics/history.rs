//! What workers used in the last day, in three resolutions: every second of the last five minutes, every ten
//! seconds of the hour before, every minute of the day before that. Pure: no clock, no I/O.
//!
//! ```text
//! push → seconds (300) ─ oldest ten merge → tens (360) ─ oldest six merge → minutes (1440) → forgotten
//! ```
//!
//! A second costs 48 bytes, and 56 more with a Node report: a whole day of a worker is 100 to 220 KB.

use crate::model::usage::{NodeUsage, Usage};
use crate::model::{Bytes, Stamp, WorkerId};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How many points each resolution holds, and the width of one in milliseconds.
const RINGS: [(usize, u64); 3] = [(300, 1_000), (360, 10_000), (1_440, 60_000)];

/// One point: a second, or more of them merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// When; of merged ones the first.
    pub at: Stamp,
    /// CPU: the mean of the merged. Memory and processes: the largest, for a peak must not disappear with age.
    pub usage: Usage,
    /// Rates and means: the mean; percentiles, heap and handles: the largest. `None`: nothing was reported.
    pub node: Option<Box<NodeUsage>>,
}

/// The histories of all workers.
#[derive(Debug, Default)]
pub struct History {
    workers: HashMap<WorkerId, Rings>,
}

impl History {
    /// Nothing yet.
    pub fn new() -> History {
        History::default()
    }

    /// Adds a point. One that is older than the worker's newest is taken as it comes.
    pub fn push(&mut self, worker: WorkerId, at: Stamp, usage: Usage, node: Option<NodeUsage>) {
        let rings = self.workers.entry(worker).or_default();
        rings.push(0, Point { at, usage, node: node.map(Box::new) });
    }

    /// A worker's points, oldest first, of the last `span` before its newest. Where it did not run there are none.
    pub fn series(&self, worker: WorkerId, span: Duration) -> Vec<Point> {
        let Some(rings) = self.workers.get(&worker) else { return Vec::new() };
        let Some(newest) = rings.newest() else { return Vec::new() };
        rings.points().filter(|point| newest.since(point.at) <= span).cloned().collect()
    }

    /// Forgets workers that are gone.
    pub fn retain(&mut self, mut stays: impl FnMut(WorkerId) -> bool) {
        self.workers.retain(|worker, _| stays(*worker));
    }
}

/// One worker's points: the coarser ring holds what left the finer one.
#[derive(Debug, Default)]
struct Rings {
    rings: [VecDeque<Point>; 3],
    /// What is being merged for each ring; of the first always `None`.
    open: [Option<Merge>; 3],
}

impl Rings {
    fn push(&mut self, level: usize, point: Point) {
        let (Some(ring), Some((capacity, _))) = (self.rings.get_mut(level), RINGS.get(level)) else { return };
        ring.push_back(point);
        if ring.len() > *capacity
            && let Some(oldest) = ring.pop_front()
        {
            self.merge(level + 1, oldest);
        }
    }

    fn merge(&mut self, level: usize, point: Point) {
        let (Some(open), Some((_, width))) = (self.open.get_mut(level), RINGS.get(level)) else { return };
        match open {
            Some(merge) if merge.point.at.boot_ms / width == point.at.boot_ms / width => merge.add(&point),
            _ => {
                if let Some(full) = open.replace(Merge::of(point)) {
                    self.push(level, full.point);
                }
            }
        }
    }

    /// Oldest first.
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.rings
            .iter()
            .zip(&self.open)
            .rev()
            .flat_map(|(ring, open)| ring.iter().chain(open.iter().map(|merge| &merge.point)))
    }

    fn newest(&self) -> Option<Stamp> {
        self.points().last().map(|point| point.at)
    }
}

/// A point in the making.
#[derive(Debug)]
struct Merge {
    point: Point,
    /// How many were merged, and how many of them had a Node report.
    count: f32,
    reports: f32,
}

impl Merge {
    fn of(point: Point) -> Merge {
        let reports = if point.node.is_some() { 1.0 } else { 0.0 };
        Merge { point, count: 1.0, reports }
    }

    fn add(&mut self, point: &Point) {
        self.count += 1.0;
        let usage = &mut self.point.usage;
        usage.cpu += (point.usage.cpu - usage.cpu) / self.count;
        usage.memory = usage.memory.max(point.usage.memory);
        usage.processes = usage.processes.max(point.usage.processes);
        let Some(new) = &point.node else { return };
        self.reports += 1.0;
        match &mut self.point.node {
            Some(old) => merge_reports(old, new, self.reports),
            None => self.point.node = Some(new.clone()),
        }
    }
}

/// Merges the `count`th report into the mean of those before.
fn merge_reports(old: &mut NodeUsage, new: &NodeUsage, count: f32) {
    let mean = |old: f32, new: f32| old + (new - old) / count;
    let NodeUsage { rps, http_mean, http_p50, http_p95, http_p99, loop_p50, loop_p95, elu, .. } = *old;
    *old = NodeUsage {
        rps: mean(rps, new.rps),
        http_mean: mean(http_mean, new.http_mean),
        http_p50: mean(http_p50, new.http_p50),
        http_p95: http_p95.max(new.http_p95),
        http_p99: http_p99.max(new.http_p99),
        loop_p50: mean(loop_p50, new.loop_p50),
        loop_p95: loop_p95.max(new.loop_p95),
        elu: mean(elu, new.elu),
        heap_used: Bytes(old.heap_used.get().max(new.heap_used.get())),
        heap_total: Bytes(old.heap_total.get().max(new.heap_total.get())),
        handles: old.handles.max(new.handles),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEB: WorkerId = WorkerId(3);
    const DAY: Duration = Duration::from_secs(2 * 86_400);

    fn at(second: u64) -> Stamp {
        Stamp { boot_ms: second * 1000, wall_ms: 0 }
    }

    fn usage(cpu: f32, memory: u64) -> Usage {
        Usage { cpu, memory: Bytes(memory), processes: 1 }
    }

    fn filled(seconds: u64) -> History {
        let mut history = History::new();
        for second in 0..seconds {
            history.push(WEB, at(second), usage((second % 10) as f32, second), None);
        }
        history
    }

    #[test]
    fn five_minutes_are_kept_second_by_second() {
        let series = filled(300).series(WEB, DAY);
        assert_eq!(series.len(), 300);
        assert_eq!(series.first().map(|p| p.at), Some(at(0)));
    }

    #[test]
    fn what_is_older_is_merged_by_ten_seconds_and_then_by_minutes() {
        let history = filled(300 + 3600 + 600);
        let series = history.series(WEB, DAY);
        let gaps: Vec<u64> = series.windows(2).map(|w| (w[1].at.boot_ms - w[0].at.boot_ms) / 1000).collect();
        let count = |gap| gaps.iter().filter(|g| **g == gap).count();
        // One more of each merged kind is in the making; the last minute has 50 seconds so far.
        assert_eq!((count(1), count(10), count(50), count(60)), (299, 361, 1, 9));
        let first = &series[0];
        assert!((first.usage.cpu - 4.5).abs() < 0.001, "the mean of 0 to 9: {}", first.usage.cpu);
        assert_eq!(first.usage.memory, Bytes(59), "the largest of the first minute");
    }

    #[test]
    fn a_span_is_counted_back_from_the_newest_point() {
        let series = filled(1000).series(WEB, Duration::from_secs(59));
        assert_eq!(series.len(), 60);
        assert_eq!(series.first().map(|p| p.at), Some(at(940)));
    }

    #[test]
    fn nothing_grows_beyond_its_rings() {
        let history = filled(2 * 86_400);
        let series = history.series(WEB, DAY);
        let most: usize = RINGS.iter().map(|(capacity, _)| capacity + 1).sum();
        assert!(series.len() <= most, "{}", series.len());
        let covered = series[series.len() - 1].at.since(series[0].at);
        assert!(covered >= Duration::from_secs(86_400), "{covered:?}");
    }

    #[test]
    fn a_missing_report_does_not_pull_the_mean_down() {
        let mut history = History::new();
        for second in 0..400 {
            let node = (second % 2 == 0).then(|| NodeUsage {
                rps: 40.0,
                http_p99: second as f32,
                heap_used: Bytes(second),
                ..NodeUsage::default()
            });
            history.push(WEB, at(second), usage(1.0, 1), node);
        }
        let series = history.series(WEB, DAY);
        let first = series[0].node.as_ref().unwrap();
        assert!((first.rps - 40.0).abs() < 0.001, "{}", first.rps);
        assert_eq!(
            (first.http_p99, first.heap_used),
            (8.0, Bytes(8)),
            "the largest of the first ten seconds"
        );
    }

    #[test]
    fn workers_that_are_gone_are_forgotten() {
        let mut history = filled(3);
        history.retain(|worker| worker != WEB);
        assert!(history.series(WEB, DAY).is_empty());
    }

    proptest! {
        #[test]
        fn points_stay_in_order_and_the_largest_memory_survives(steps in proptest::collection::vec(1u64..40, 1..3000)) {
            let mut history = History::new();
            let mut second = 0;
            let mut largest = 0;
            for (i, step) in steps.iter().enumerate() {
                second += step;
                let memory = (i as u64 * 7919) % 10_007;
                largest = largest.max(memory);
                history.push(WEB, at(second), usage(1.0, memory), None);
            }
            let series = history.series(WEB, DAY);
            prop_assert!(series.is_sorted_by_key(|point| point.at));
            prop_assert_eq!(series.iter().map(|p| p.usage.memory.get()).max(), Some(largest));
            prop_assert_eq!(series.last().map(|p| p.at), Some(at(second)));
        }
    }
}
