//! What was asked of a worker and what it is.

use serde::{Deserialize, Serialize};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It should run.
    Up,
    /// It should not run.
    Down,
}

/// What is. `docs/states.md` has the table of all moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No process, none wanted.
    Down,
    /// Spawned (or being spawned), not known to be up yet: a cluster worker before its `online`,
    /// a `wait_ready` worker before its `ready`.
    Starting,
    /// The process is up; whether it can serve is not known.
    Running,
    /// It said that it can serve.
    Ready,
    /// The stop signal was sent; waiting for the whole tree to end.
    Stopping,
    /// It died and waits for its next start.
    Backoff,
    /// It died too often, could not be started, or could not be killed.
    Failed,
}

impl State {
    /// The word PM2 uses for it, in `list` and `jlist`.
    pub fn pm2_name(self) -> &'static str {
        match self {
            State::Down => "stopped",
            State::Starting => "launching",
            State::Running | State::Ready => "online",
            State::Stopping => "stopping",
            State::Backoff => "waiting restart",
            State::Failed => "errored",
        }
    }

    /// True for `Running` and `Ready`.
    pub fn is_online(self) -> bool {
        matches!(self, State::Running | State::Ready)
    }

    /// True while a process of the worker may exist.
    pub fn has_process(self) -> bool {
        matches!(self, State::Starting | State::Running | State::Ready | State::Stopping)
    }
}
