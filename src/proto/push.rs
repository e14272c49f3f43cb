//! What subscribers are sent.

use crate::model::WorkerId;
use crate::model::change::Change;
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::usage::HostUsage;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use crate::model::stream::StreamKind;

/// News.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "push", rename_all = "snake_case")]
pub enum Push {
    /// The fleet, or what changed in it since the last push of this subscription.
    Fleet {
        /// `workers` is all there is (first push, or after a lag).
        whole: bool,
        /// New and changed workers, without environments.
        workers: Vec<Arc<WorkerView>>,
        /// Gone ones.
        removed: Vec<WorkerId>,
        /// The host.
        host: HostUsage,
        /// The daemon.
        daemon: DaemonView,
    },
    /// Something happened (also to those who watch).
    Changed(Change),
    /// All history lines of a `Logs` request have been sent.
    HistoryEnd,
    /// The subscriber was too slow.
    Lagged {
        /// Log lines dropped since the last one told.
        lines: u64,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// Whose lines a batch holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHeader {
    /// The `Logs` request.
    pub id: u64,
    /// The worker; `None`: the daemon's own log.
    pub worker: Option<WorkerId>,
    /// Its app's name (`PM2` column of `logs`: the daemon's is `pmon`).
    pub name: String,
    /// Which stream.
    pub stream: StreamKind,
    /// Which copy of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// Of the process that wrote them; unknown for history from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When the lines were read from the worker, Unix milliseconds; `None` for history from a file.
    pub at_ms: Option<i64>,
    /// From a file rather than live.
    #[serde(default)]
    pub history: bool,
    /// The history's file, in the first batch of each.
    #[serde(default)]
    pub path: Option<String>,
}

/// Lines as they came. Every line ends with `\n`, but for one that is longer than a batch may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// Whose.
    pub header: LogHeader,
    /// The bytes.
    pub bytes: Bytes,
}
