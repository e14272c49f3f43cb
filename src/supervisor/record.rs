//! What the keeper holds for a worker, so that the next daemon goes on where this one ended.

use crate::model::{App, Desired, Epoch, Exit, Reason, Run, Stamp, State, WorkerId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// One entry's record. Written as JSON; unknown fields are skipped, so versions can follow each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The entry and its generation.
    pub run: Run,
    /// What the entry is to the worker.
    pub role: Role,
    /// The worker.
    pub worker: WorkerId,
    /// Its instance number.
    pub instance: u32,
    /// One a start order: PM2's `unique_id`.
    pub unique_id: String,
    /// What was asked for.
    pub app: Arc<App>,
    /// What was asked of it.
    pub desired: Desired,
    /// What it is.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// State counter.
    pub epoch: Epoch,
    /// First start, last manual restart or reset.
    pub created: Stamp,
    /// Start of the present or last process.
    pub started: Option<Stamp>,
    /// Restarts.
    pub restarts: u32,
    /// Unstable ends in a row.
    pub unstable_restarts: u32,
    /// How the last process ended.
    pub last_exit: Option<Exit>,
    /// When a pending start is due.
    pub next_start: Option<Stamp>,
    /// The last exponential backoff; zero if none.
    pub backoff: Duration,
    /// When the grace of a stop ends (SIGKILL is due).
    pub kill_at: Option<Stamp>,
    /// Where the process listens, for people.
    #[serde(default)]
    pub listening: Vec<String>,
    /// Until then it finishes what it has; the stop signal has not been sent.
    #[serde(default)]
    pub draining: bool,
    /// The drain, or the stop signal (or message), is due and perhaps not sent.
    #[serde(default)]
    pub untold: bool,
    /// The version of the Node that runs it, as it said.
    #[serde(default)]
    pub node_version: Option<String>,
    /// What went wrong with the present or last process beside its end; completes "failed to …".
    #[serde(default)]
    pub trouble: Option<String>,
    /// While its start is tried again: what for, and how patiently.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// The order by which it was told last, if that may be asked again.
    #[serde(default)]
    pub ordered: Option<Ordered>,
    /// It is to be removed from the fleet once its processes are gone (delete, scale down).
    #[serde(default)]
    pub leaving: bool,
}

/// An order that a client asks the next daemon again, should this one not live to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The client's name for it.
    pub key: u64,
    /// The worker was made by it.
    #[serde(default)]
    pub launched: bool,
}

/// A start that failed because the system was short of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Why it was to be started.
    pub cause: Reason,
    /// Time between the last two attempts.
    pub after: Duration,
}

/// What an entry is to its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The worker's process.
    Current,
    /// A reload's new process, not ready yet.
    Replacement,
    /// A reload's old process, on its way out.
    Retiring,
}
