//! Time as the core sees it: an argument, never a call.
//!
//! Durations are measured on the boot clock, which no one can set and which goes on over a
//! suspend and over the death of the daemon; the wall clock is only shown.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// `CLOCK_BOOTTIME` in milliseconds: for differences. Comparable between processes of one boot.
    pub boot_ms: u64,
    /// Unix time in milliseconds: for people.
    pub wall_ms: i64,
}

/// The time at which an event is handled.
pub type Now = Stamp;

impl Stamp {
    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_millis(self.boot_ms.saturating_sub(earlier.boot_ms))
    }

    /// The stamp `span` later on both clocks.
    pub fn after(self, span: Duration) -> Stamp {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Stamp {
            boot_ms: self.boot_ms.saturating_add(ms),
            wall_ms: self.wall_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)),
        }
    }
}
