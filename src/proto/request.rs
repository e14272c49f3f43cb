//! What clients ask for.

use crate::model::{Order, Selector};
use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// → [`super::Reply::Pong`].
    Ping,
    /// All workers → [`super::Reply::Fleet`].
    List {
        /// With environments (`jlist`, `describe`, `env`); without, `App::env` is empty.
        #[serde(default)]
        with_env: bool,
    },
    /// A verb about the fleet → [`super::Reply::Done`], when it is done.
    Order {
        /// What.
        order: Order,
    },
    /// Write the dump → [`super::Reply::Saved`].
    Save {
        /// Also when there is nothing.
        force: bool,
    },
    /// Start what the dump holds → [`super::Reply::Done`].
    Resurrect {
        /// As [`Order::Keyed`]'s.
        #[serde(default)]
        key: Option<u64>,
    },
    /// Empty log files → [`super::Reply::Flushed`].
    Flush {
        /// Whose; `None`: everybody's and the daemon's own.
        select: Option<Selector>,
    },
    /// Go on as another version of this program, with the same workers → [`super::Reply::Upgrading`].
    Upgrade {
        /// The new program, absolute.
        program: std::path::PathBuf,
    },
    /// Subscribe to the fleet: a `Push::Fleet` at once with everything, then changes, at most ten a second.
    Watch,
    /// Read logs: history, then (if `follow`) live, as log batches.
    Logs(LogsRequest),
    /// What `set` has set → [`super::Reply::Settings`].
    Settings,
    /// Set keys (`module:key`), remove others (`all`: every one), all or nothing → [`super::Reply::Settings`], when it
    /// is in force.
    Configure {
        /// Key and value.
        #[serde(default)]
        set: Vec<(String, String)>,
        /// Keys.
        #[serde(default)]
        unset: Vec<String>,
    },
    /// Open all log files anew → [`super::Reply::Done`], when nothing is written to the old ones any more.
    ReopenLogs,
    /// How large logs are → [`super::Reply::LogSizes`].
    LogSizes {
        /// Whose.
        select: Selector,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// Which logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Whose. `all` also means the daemon's own, and workers that come later.
    pub select: Selector,
    /// So many last lines of each file.
    pub lines: u32,
    /// Go on with live lines; otherwise `Push::HistoryEnd` is the last.
    pub follow: bool,
    /// stdout wanted.
    pub out: bool,
    /// stderr wanted.
    pub err: bool,
    /// The client reads files itself: instead of history it is told which (`Push::Files`).
    #[serde(default)]
    pub files: bool,
    /// The client reads live lines where they stand, if a batch says so ([`super::push::LogHeader::at_spot`]).
    #[serde(default)]
    pub places: bool,
}
