//! What subscribers are sent.

use crate::model::FileId;
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
    /// To a `Logs` request that reads files itself: which, and how far. Comes before `HistoryEnd`.
    Files {
        /// Each once.
        files: Vec<LogFile>,
    },
    /// All history lines of a `Logs` request have been sent.
    HistoryEnd,
    /// The subscriber was too slow.
    Lagged {
        /// Log lines dropped since the last one told.
        lines: u64,
        /// Those of them that no file of one writer has, so that nobody can read them there. `None`: an older daemon.
        #[serde(default)]
        unplaced: Option<u64>,
        /// Where the others stand, by log. Empty also from an older daemon.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        placed: Vec<Skipped>,
    },
    /// To a `Logs` request: a worker's log files take nothing, so its lines come late; or do again.
    LogTrouble {
        /// Whose.
        worker: WorkerId,
        /// Its app's name.
        name: String,
        /// Why, completing "failed to …"; `None`: it is over.
        what: Option<String>,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// Lines of a log that were not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The log's path; its files may have other names by now.
    pub path: String,
    /// Where they begin.
    pub from: LogPlace,
    /// And end: perhaps in another file.
    pub to: LogPlace,
    /// How many.
    pub lines: u64,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// In which of its files.
    #[serde(flatten)]
    pub file: FileId,
    /// Bytes before it.
    pub offset: u64,
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
    /// Where the lines are on disk, in the stream's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<LogSpot>,
    /// The batch is empty, its lines are to be read at `spot`. Only to clients that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_spot: Option<AtSpot>,
}

/// What is to be read at a [`LogSpot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtSpot {
    /// How many lines.
    pub lines: u64,
    /// The print of their end ([`crate::model::tail`]): if what stands there has another one, they are gone.
    pub tail: u64,
}

/// Where lines stand in a file, formatted as the file has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpot {
    /// The log's path; the file may have another name by now.
    pub path: String,
    /// Which file.
    #[serde(flatten)]
    pub file: FileId,
    /// Where they begin.
    pub start: u64,
    /// And end: the next lines of this file begin here, unless others write to it.
    pub end: u64,
    /// Other streams write to it too.
    #[serde(default)]
    pub shared: bool,
}

/// A log file, for clients that read it themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// Whose; of a shared one the first's. `None`: the daemon's own log.
    pub worker: Option<WorkerId>,
    /// Its app's name.
    pub name: String,
    /// Which stream.
    pub stream: StreamKind,
    /// Where.
    pub path: String,
    /// The file that is being written; inode 0: none yet.
    #[serde(flatten)]
    pub file: FileId,
    /// What stands from here on is delivered live.
    pub end: u64,
    /// Several streams write to it.
    #[serde(default)]
    pub shared: bool,
    /// The app's `log_date_format`.
    #[serde(default)]
    pub dates: Option<String>,
    /// The format of the dates in the names of its rotated files.
    #[serde(default)]
    pub rotated_dates: Option<String>,
}

/// Lines as they came. Every line ends with `\n`, but for one that is longer than a batch may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// Whose.
    pub header: LogHeader,
    /// The bytes.
    pub bytes: Bytes,
}
