//! What the daemon answers.

use super::code::Code;
use crate::model::WorkerId;
use crate::model::order::Touched;
use crate::model::rotation::Words;
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::usage::HostUsage;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To `Ping`.
    Pong,
    /// To `List`.
    Fleet {
        /// By id.
        workers: Vec<Arc<WorkerView>>,
        /// The host.
        host: HostUsage,
        /// The daemon.
        daemon: DaemonView,
    },
    /// To an order: it is done.
    Done {
        /// Who was touched and how.
        touched: Vec<Touched>,
    },
    /// To `Save`.
    Saved {
        /// Where.
        path: String,
        /// How many workers.
        workers: usize,
    },
    /// To `Flush`: files and bytes freed.
    Flushed {
        /// Path and bytes freed.
        files: Vec<(String, u64)>,
    },
    /// To `Settings` and `Configure`.
    Settings {
        /// What is set: text, or by module.
        conf: serde_json::Map<String, serde_json::Value>,
        /// Words of the log rotation in force, also those that are not set.
        rotation: Vec<(String, String)>,
    },
    /// To `LogSizes`.
    LogSizes {
        /// Each log of each worker.
        logs: Vec<LogSize>,
    },
    /// To `Upgrade`: the keeper is the new version, the daemon follows at once and closes this connection.
    Upgrading,
    /// To a subscription: it stands.
    Subscribed,
    /// It failed; nothing has changed.
    Error(WireError),
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// How large a log is, and how it is rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSize {
    /// Whose.
    pub worker: WorkerId,
    /// The log.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// How many rotated files are kept of it.
    #[serde(default)]
    pub rotated: usize,
    /// Their bytes.
    #[serde(default)]
    pub rotated_bytes: u64,
    /// Words of `model::rotation` with their values.
    #[serde(default)]
    pub rotation: Words,
}

/// An error for people, with its kind for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// Kind.
    pub code: Code,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
}
