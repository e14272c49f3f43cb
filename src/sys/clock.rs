//! The only place that reads a clock.

use super::fault;
use crate::model::Stamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Both clocks now. `CLOCK_BOOTTIME` also counts suspend (clock_gettime(2)).
pub fn now() -> Stamp {
    let (wall_off, boot_off) = fault::clock();
    Stamp {
        boot_ms: u64::try_from(millis(clock_gettime(ClockId::Boottime)) + boot_off).unwrap_or(0),
        wall_ms: millis(clock_gettime(ClockId::Realtime)) + wall_off,
    }
}

/// Monotonic nanoseconds, for measuring short spans.
pub fn monotonic_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

fn millis(t: Timespec) -> i64 {
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}
