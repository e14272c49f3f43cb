//! A ring of samples, one a second.

use crate::model::snapshot::WorkerView;
use std::collections::VecDeque;

/// One second of one worker, or of several added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Percent of one core.
    pub cpu: f32,
    /// Bytes.
    pub memory: f32,
    /// Requests a second.
    pub rps: f32,
    /// Response time in milliseconds, median.
    pub p50: f32,
    /// 95th percentile.
    pub p95: f32,
    /// 99th percentile.
    pub p99: f32,
    /// Event-loop delay in milliseconds, 95th percentile.
    pub delay: f32,
}

impl Point {
    /// The present one of a worker.
    pub fn of(worker: &WorkerView) -> Point {
        if !worker.state.has_process() {
            return Point::default();
        }
        let node = worker.node.unwrap_or_default();
        Point {
            cpu: worker.usage.cpu,
            memory: worker.usage.memory.get() as f32,
            rps: node.rps,
            p50: node.http_p50,
            p95: node.http_p95,
            p99: node.http_p99,
            delay: node.loop_p95,
        }
    }

    /// Adds amounts; of times the longer stays.
    pub fn add(&mut self, other: &Point) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.rps += other.rps;
        self.p50 = self.p50.max(other.p50);
        self.p95 = self.p95.max(other.p95);
        self.p99 = self.p99.max(other.p99);
        self.delay = self.delay.max(other.delay);
    }
}

/// One quantity of a point.
pub type Quantity = fn(&Point) -> f32;

/// Points, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History(VecDeque<Point>);

impl History {
    /// How many points each of `workers` may keep: 15 minutes, or 2 in a fleet so large that it would cost.
    pub fn room(workers: usize) -> usize {
        if workers <= 500 { 900 } else { 120 }
    }

    /// Appends, dropping what is older than `keep` points.
    pub fn push(&mut self, point: Point, keep: usize) {
        while self.0.len() >= keep.max(1) {
            self.0.pop_front();
        }
        self.0.push_back(point);
    }

    /// Points there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// From the last one back.
    pub fn newest_first(&self) -> impl Iterator<Item = &Point> {
        self.0.iter().rev()
    }

    /// The last `n` of one quantity, oldest first.
    pub fn last(&self, n: usize, of: impl Fn(&Point) -> f32) -> Vec<f32> {
        self.0.iter().skip(self.0.len().saturating_sub(n)).map(of).collect()
    }
}
