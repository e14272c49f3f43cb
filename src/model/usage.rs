//! What workers and the host use.

use super::units::Bytes;
use serde::{Deserialize, Serialize};

/// One second of one worker, its whole process tree included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Percent of one core.
    pub cpu: f32,
    /// Resident memory.
    pub memory: Bytes,
    /// Processes in the tree, itself included.
    pub processes: u32,
}

/// What a Node worker reports about itself through the preload. Times in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// Requests per second.
    pub rps: f32,
    /// Response time, mean.
    pub http_mean: f32,
    /// Response time, median.
    pub http_p50: f32,
    /// Response time, 95th percentile.
    pub http_p95: f32,
    /// Response time, 99th percentile.
    pub http_p99: f32,
    /// Event-loop delay, median.
    pub loop_p50: f32,
    /// Event-loop delay, 95th percentile.
    pub loop_p95: f32,
    /// Event-loop utilization, 0 to 1.
    pub elu: f32,
    /// Used heap.
    pub heap_used: Bytes,
    /// Total heap.
    pub heap_total: Bytes,
    /// Active handles.
    pub handles: u32,
}

/// One second of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HostUsage {
    /// Percent of all cores together, 0 to 100.
    pub cpu: f32,
    /// Number of cores.
    pub cores: u32,
    /// Memory in use (total minus available).
    pub memory_used: Bytes,
    /// All memory.
    pub memory_total: Bytes,
    /// 1-minute load average.
    pub load1: f32,
    /// Bytes read from disks in this second.
    pub disk_read: Bytes,
    /// Bytes written to disks in this second.
    pub disk_written: Bytes,
    /// Bytes received by all interfaces but loopback in this second.
    pub net_received: Bytes,
    /// Bytes sent likewise.
    pub net_sent: Bytes,
}
