//! Published facts: what happened to which worker, for the event log, `pmon logs` and the monitor.

use super::reason::Reason;
use super::state::State;
use super::time::Stamp;
use super::worker::WorkerId;
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Stamp,
    /// To which worker.
    pub worker: WorkerId,
    /// Its app's name.
    pub name: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A process was made.
    Spawned {
        /// Its pid.
        pid: u32,
    },
    /// The state is now this, for this reason.
    State {
        /// The new state.
        state: State,
        /// Why.
        reason: Reason,
    },
    /// A process ended. `wanted` if it was asked to.
    Exited {
        /// Its pid.
        pid: u32,
        /// How it ended.
        exit: super::exit::Exit,
        /// It was asked to end.
        wanted: bool,
    },
    /// It listens here.
    Listening {
        /// `:::3001`, `/run/x.sock`, `udp …`.
        address: String,
    },
    /// It was removed from the fleet.
    Deleted,
    /// Something worth a line in the log (a bind that failed, a reload abandoned).
    Note {
        /// One lowercase line.
        text: String,
    },
}
