//! The read-only view that answers, metrics and the monitor are made from.

use super::app::App;
use super::exit::Exit;
use super::reason::Reason;
use super::state::{Desired, State};
use super::time::Stamp;
use super::usage::{HostUsage, NodeUsage, Usage};
use super::worker::{Epoch, WorkerId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The fleet at one moment. Published after each turn of the owner; never changed.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows by one with each publication of this daemon.
    pub serial: u64,
    /// Workers by id, ascending.
    pub workers: Vec<Arc<WorkerView>>,
    /// The host.
    pub host: HostUsage,
    /// Facts about the daemon itself.
    pub daemon: DaemonView,
}

/// The daemon about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DaemonView {
    /// Its pid.
    pub pid: u32,
    /// The keeper's pid.
    pub keeper_pid: u32,
    /// When this daemon process started.
    pub started: Stamp,
    /// How many times a daemon was started again under this keeper.
    pub restarts: u64,
    /// `0.1.0`.
    pub version: String,
    /// What people should know beside the fleet: what is wrong with the home, what was found or lost. Sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Workers that it does not lead, as it would die of it or cannot read what is on record of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<SetAside>,
}

/// A worker that goes on without being led.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// PM2's `pm_id`, if it is known.
    #[serde(default)]
    pub worker: Option<WorkerId>,
    /// Its app's name, likewise.
    #[serde(default)]
    pub name: Option<String>,
    /// Its process, if there is one.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Who it is, why, and what to do. A sentence.
    #[serde(default)]
    pub what: String,
}

/// One worker: the row of `list` and the monitor, and with its app everything `describe` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// PM2's `pm_id`.
    pub id: WorkerId,
    /// Number of the instance in its app (`NODE_APP_INSTANCE`).
    pub instance: u32,
    /// What was asked.
    pub desired: Desired,
    /// What is.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Bumped at each state change.
    pub epoch: Epoch,
    /// Pid of its process, if there is one.
    pub pid: Option<u32>,
    /// When the app was first started, last restarted by hand, or reset.
    pub created: Stamp,
    /// When its present (or last) process started.
    pub started: Option<Stamp>,
    /// PM2's `restart_time`.
    pub restarts: u32,
    /// Ends before `min_uptime` in a row.
    pub unstable_restarts: u32,
    /// How the last process ended.
    pub last_exit: Option<Exit>,
    /// When the pending start is due, in `Backoff`.
    pub next_start: Option<Stamp>,
    /// Last sample; zero while down.
    pub usage: Usage,
    /// What Node reported, if it did.
    pub node: Option<NodeUsage>,
    /// Where it listens (cluster mode, inherited sockets).
    pub listening: Vec<String>,
    /// Replacement in progress (reload).
    pub reloading: bool,
    /// PM2's custom metrics (`axm_monitor`), actions and options as the app sent them.
    pub axm: Option<Arc<Axm>>,
    /// The version of the Node that runs it, as it said (`20.20.2`).
    #[serde(default)]
    pub node_version: Option<String>,
    /// What went wrong with its present or last process, beside its end; completes "failed to …".
    #[serde(default)]
    pub trouble: Option<String>,
    /// What became of output that its log files did not take; `None`: they took all.
    #[serde(default)]
    pub log_trouble: Option<LogTrouble>,
    /// Out log file with its instance id, absolute; `None` if off.
    pub out_file: Option<String>,
    /// Error log file likewise.
    pub error_file: Option<String>,
    /// Pid file.
    pub pid_file: Option<String>,
    /// PM2's `unique_id`: one a start.
    pub unique_id: String,
    /// What was asked for.
    pub app: Arc<App>,
}

/// A worker's log files take nothing, or did so for a while and it cost output. The worker itself runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTrouble {
    /// Why they take nothing, completing "failed to …"; `None`: they do again.
    pub what: Option<String>,
    /// Since when that is so.
    pub since: Stamp,
    /// Bytes that wait in memory.
    pub spilled: u64,
    /// Bytes dropped so far.
    pub dropped: u64,
    /// Lines in them.
    pub dropped_lines: u64,
}

impl LogTrouble {
    /// In one line, and how long it has lasted.
    pub fn told(&self, now: Stamp) -> String {
        let mut told = match &self.what {
            Some(what) => {
                let seconds = now.since(self.since).as_secs();
                format!("failed to {what}, for {seconds} s now; {} bytes wait in memory", self.spilled)
            }
            None => "written again".to_owned(),
        };
        if self.dropped > 0 {
            told.push_str(&format!("; {} bytes ({} lines) dropped", self.dropped, self.dropped_lines));
        }
        told
    }
}

/// What an app says of itself in PM2's message format.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Axm {
    /// `axm_monitor`: name → {value, type, unit, historic}.
    pub monitor: serde_json::Map<String, serde_json::Value>,
    /// `axm_actions`.
    pub actions: Vec<serde_json::Value>,
    /// `axm_options`.
    pub options: serde_json::Map<String, serde_json::Value>,
}

impl WorkerView {
    /// The version of the Node that runs it: what it said, else what was known before.
    pub fn node_version(&self) -> Option<&str> {
        self.node_version.as_deref().or(self.app.node_version.as_deref())
    }

    /// Why it is as it is: first what went wrong, if something did.
    pub fn why(&self) -> String {
        match &self.trouble {
            Some(what) => format!("failed to {what}; {}", self.reason),
            None => self.reason.to_string(),
        }
    }

    /// How long its process has been up at `now`; zero when it is not online.
    pub fn uptime(&self, now: Stamp) -> std::time::Duration {
        match self.started {
            Some(started) if self.state.has_process() => now.since(started),
            _ => std::time::Duration::ZERO,
        }
    }
}
