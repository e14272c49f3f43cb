//! How sessions reach the owner and what the owner publishes: the only things the two share.

use super::scribe::Scribe;
use super::settings::Settings;
use crate::logs::{Fanout, Pump};
use crate::model::Order;
use crate::model::change::Change;
use crate::model::order::{Outcome, Saved};
use crate::model::snapshot::Snapshot;
use crate::sys::paths::Home;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Letters that may wait for the owner; a session that writes more waits itself.
pub(super) const LETTERS: usize = 256;
/// Changes kept for a slow watcher; older ones are skipped.
pub(super) const CHANGES: usize = 4096;

/// A letter from a session to the owner.
#[derive(Debug)]
pub(super) enum Letter {
    /// Do this, answer when it is done.
    Order { order: Order, reply: oneshot::Sender<Outcome> },
    /// Become this program; keeper first, then the daemon. The answer comes before the daemon goes.
    Upgrade { path: PathBuf, reply: oneshot::Sender<Result<(), String>> },
    /// The process is gone that this home was for.
    LeaseOver,
    /// Let `list` say this.
    Tell { what: String },
    /// What would a dump hold now?
    Dump { reply: oneshot::Sender<Vec<Saved>> },
}

/// What every session holds.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) home: Home,
    pub(super) letters: mpsc::Sender<Letter>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) pump: Pump,
    pub(super) settings: Arc<Settings>,
    pub(super) fanout: Fanout,
    pub(super) scribe: Scribe,
    /// One dump is written at a time.
    pub(super) saving: Arc<tokio::sync::Mutex<()>>,
}

impl Desk {
    /// The fleet as last published.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }
}
