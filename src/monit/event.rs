//! Everything that can happen to the screen.

use super::ansi::Clean;
use crate::model::WorkerId;
use crate::model::change::Change;
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::usage::HostUsage;
use crate::proto::Reply;
use crate::proto::push::StreamKind;
use crossterm::event::{KeyEvent, MouseEvent};
use std::sync::Arc;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A key went down.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// The terminal pasted text.
    Paste(String),
    /// The terminal has this size now.
    Resize(u16, u16),
    /// Time has passed.
    Tick,
    /// SIGTSTP came from outside.
    SuspendAsked,
    /// From the daemon.
    News(News),
    /// An order is on its way as request `id`.
    Asked {
        /// The request's number.
        id: u64,
        /// Which, for people: `restart api`.
        what: String,
    },
    /// An order could not be sent.
    NotAsked {
        /// Which.
        what: String,
        /// Why not.
        why: String,
    },
}

/// What the daemon's stream says.
#[derive(Debug)]
pub enum News {
    /// The connection stands and the subscriptions are asked for.
    Up,
    /// There is no connection (any more).
    Gone {
        /// Why, completes "failed to …".
        why: String,
    },
    /// The fleet or what changed in it.
    Fleet {
        /// `workers` is all there is.
        whole: bool,
        /// New and changed ones.
        workers: Vec<Arc<WorkerView>>,
        /// Gone ones.
        removed: Vec<WorkerId>,
        /// The host.
        host: HostUsage,
        /// The daemon.
        daemon: DaemonView,
    },
    /// A published fact.
    Changed(Change),
    /// Log lines in the order they came.
    Lines(Vec<Fresh>),
    /// All old log lines are there.
    HistoryEnd,
    /// So many log lines were dropped before they got here.
    Lagged(u64),
    /// The answer to an order.
    Answer {
        /// The request's number.
        id: u64,
        /// What came of it.
        reply: Reply,
    },
}

/// Whose log: a worker's, or (`None`) the daemon's own.
pub type Source = Option<WorkerId>;

/// A log line that has just come, already harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Whose.
    pub source: Source,
    /// stdout or stderr.
    pub stream: StreamKind,
    /// When it was read from the worker, Unix milliseconds; unknown for history.
    pub at_ms: Option<i64>,
    /// Text and styles.
    pub clean: Clean,
}

/// What the state wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Send this order.
    Ask {
        /// The order.
        order: crate::model::Order,
        /// For people: `restart api`.
        what: String,
    },
    /// Leave.
    Quit,
    /// Stop as Ctrl-Z does.
    Suspend,
    /// Draw every cell anew.
    Repaint,
}
