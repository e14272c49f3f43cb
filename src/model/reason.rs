//! Why a worker is in its state: a closed list.

use super::exit::Exit;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a worker is as it is; shown in `list`, `describe`, the monitor and the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Started on request.
    Started,
    /// `autostart: false`: registered, never started.
    NotAutostarted,
    /// Stopped on request.
    StopRequested,
    /// Restarted on request.
    RestartRequested,
    /// Replaced on request, without a gap.
    ReloadRequested,
    /// It ended by itself and is started again.
    Died(Exit),
    /// It ended by itself and `autorestart` is off.
    EndedNoAutorestart(Exit),
    /// It ended with a code listed in `stop_exit_codes`.
    EndedStopCode(Exit),
    /// It ended `count` times in a row before `min_uptime`; the last end is kept.
    TooManyUnstable {
        /// Unstable ends in a row.
        count: u32,
        /// The last end.
        last: Exit,
    },
    /// The process could not be made: `what` completes "failed to …".
    SpawnFailed {
        /// For people, with path and system error.
        what: String,
    },
    /// Its process tree used more than `max_memory_restart`.
    MemoryLimit {
        /// Bytes used by the tree.
        used: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It did not end after SIGKILL.
    Unkillable,
    /// The replacement of a reload did not become ready; the old process stays.
    ReloadAbandoned {
        /// Why the replacement was given up.
        what: String,
    },
    /// The daemon came back and found it alive.
    Adopted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Started => f.write_str("started"),
            Reason::NotAutostarted => f.write_str("not started: autostart is off"),
            Reason::StopRequested => f.write_str("stopped on request"),
            Reason::RestartRequested => f.write_str("restarted on request"),
            Reason::ReloadRequested => f.write_str("reloaded on request"),
            Reason::Died(exit) => write!(f, "{exit}"),
            Reason::EndedNoAutorestart(exit) => write!(f, "{exit}, autorestart is off"),
            Reason::EndedStopCode(exit) => write!(f, "{exit}, listed in stop_exit_codes"),
            Reason::TooManyUnstable { count, last } => {
                write!(f, "{count} unstable restarts in a row, last: {last}")
            }
            Reason::SpawnFailed { what } => write!(f, "failed to {what}"),
            Reason::MemoryLimit { used, limit } => {
                write!(f, "memory {} MB over max_memory_restart {} MB", used >> 20, limit >> 20)
            }
            Reason::Unkillable => f.write_str("still alive after SIGKILL"),
            Reason::ReloadAbandoned { what } => write!(f, "reload abandoned: {what}"),
            Reason::Adopted => f.write_str("adopted"),
        }
    }
}

/// Milliseconds of a span, for messages and records.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
