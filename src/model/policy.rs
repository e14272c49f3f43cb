//! How a worker is to be treated: restart, stop, readiness, limits, logs. Defaults are PM2 7's.

use super::rotation::Words;
use super::units::Bytes;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What happens when a worker ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Start it again at all.
    pub autorestart: bool,
    /// This many ends in a row before `min_uptime` make it `Failed`; 0 fails at the first.
    pub max_restarts: u32,
    /// Living shorter than this counts as unstable.
    pub min_uptime: Duration,
    /// Fixed wait before a start after an end.
    pub restart_delay: Duration,
    /// First wait of an exponential backoff (×1.5, at most 15 s); replaces `restart_delay`. Zero: off.
    pub exp_backoff: Duration,
    /// Exit codes after which it stays down.
    pub stop_exit_codes: Vec<i32>,
}

impl Default for Restart {
    fn default() -> Self {
        Restart {
            autorestart: true,
            max_restarts: 16,
            min_uptime: Duration::from_millis(1000),
            restart_delay: Duration::ZERO,
            exp_backoff: Duration::ZERO,
            stop_exit_codes: Vec::new(),
        }
    }
}

/// How a worker is asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The stop signal (number).
    pub signal: i32,
    /// Grace: SIGKILL after this.
    pub kill_timeout: Duration,
    /// Signal and kill the whole tree, not only the worker's own process.
    pub treekill: bool,
    /// Send the string `shutdown` over the Node channel instead of the signal.
    pub shutdown_with_message: bool,
}

impl Default for Stop {
    fn default() -> Self {
        Stop {
            signal: 2,
            kill_timeout: Duration::from_millis(1600),
            treekill: true,
            shutdown_with_message: false,
        }
    }
}

/// When a worker counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Wait for the IPC message `ready`.
    pub wait_ready: bool,
    /// Give up waiting after this (`start` goes on; `reload` abandons the replacement).
    pub listen_timeout: Duration,
    /// Give it `NOTIFY_SOCKET` and wait for `READY=1` there (sd_notify(3)).
    #[serde(default)]
    pub notify: bool,
    /// Ask it over HTTP until it answers well.
    #[serde(default)]
    pub health: Option<Health>,
}

impl Readiness {
    /// The app was declared to say, or show, when it is ready: nothing else counts then.
    pub fn is_declared(&self) -> bool {
        self.wait_ready || self.notify || self.health.is_some()
    }
}

/// A question over HTTP that only a process that can serve answers with a status below 400.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What to GET.
    pub path: String,
    /// Where; `None`: the first TCP port that the process listens on.
    pub port: Option<u16>,
    /// Pause between two questions.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            path: "/".to_owned(),
            port: None,
            interval: Duration::from_millis(250),
            timeout: Duration::from_millis(1000),
        }
    }
}

/// How the instances of an app are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// So many at a time; `None`: [`Reload::WIDTH`].
    #[serde(default)]
    pub width: Option<u32>,
}

impl Reload {
    /// PM2's.
    pub const WIDTH: u32 = 2;
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness {
            wait_ready: false,
            listen_timeout: Duration::from_millis(3000),
            notify: false,
            health: None,
        }
    }
}

/// Limits that lead to a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Reload the worker when its whole tree uses more.
    pub max_memory: Option<Bytes>,
}

/// Where output goes and in which form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Path as configured (absolute); the instance id is not in it yet. `None`: the default name. `/dev/null`: off.
    pub out_file: Option<PathBuf>,
    /// As `out_file`, for stderr.
    pub error_file: Option<PathBuf>,
    /// Both streams together, besides their own files.
    pub log_file: Option<PathBuf>,
    /// One file for all instances instead of `-<id>` before `.log`.
    pub merge: bool,
    /// strftime-free PM2 (dayjs) format for a prefix of each line.
    pub date_format: Option<String>,
    /// One JSON object a line.
    pub json: bool,
    /// Neither files nor streaming.
    pub disabled: bool,
    /// What happens to output that no file takes and no memory is left for.
    #[serde(default)]
    pub overflow: Overflow,
    /// Words of [`super::rotation`] that differ from the home's.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub rotate: Words,
}

/// What gives way when log files take nothing and the memory meant for that is used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The output: it is counted and dropped, and a line in the log says how much is missing.
    #[default]
    Drop,
    /// The worker: it waits when it writes, until the files take its output again. Nothing is lost.
    Block,
}

/// How the connections to a cluster app's ports are shared out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// The daemon accepts and hands over in turn: Node's and PM2's semantics.
    #[default]
    RoundRobin,
    /// Every instance accepts on one listening socket.
    Shared,
    /// One SO_REUSEPORT socket an instance.
    ReusePort,
}
