//! The fleet as a stream: everything once, then what changed, at most ten times a second.

use super::answer::without_env;
use super::mailbox::Desk;
use super::outbox::{ClientGone, Outbox};
use crate::model::WorkerId;
use crate::model::snapshot::{Snapshot, WorkerView};
use crate::proto::{Push, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Changes closer together are sent as one.
const PACE: Duration = Duration::from_millis(100);

/// Serves a `Watch` until the client leaves.
pub(super) async fn fleet(desk: &Desk, outbox: &Outbox) -> Result<(), ClientGone> {
    let mut snapshot = desk.snapshot.clone();
    let mut changes = desk.changes.subscribe();
    outbox.reply(Reply::Subscribed).await?;
    let mut sent = Sent::default();
    let first = snapshot.borrow_and_update().clone();
    outbox.push(sent.news(&first)).await?;
    loop {
        tokio::select! {
            alive = snapshot.changed() => {
                if alive.is_err() {
                    return Ok(());
                }
                tokio::time::sleep(PACE).await;
                let now = snapshot.borrow_and_update().clone();
                outbox.push(sent.news(&now)).await?;
            }
            change = changes.recv() => match change {
                Ok(change) => outbox.push(Push::Changed(change)).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// What the watcher has seen.
#[derive(Default)]
struct Sent {
    begun: bool,
    workers: BTreeMap<WorkerId, Arc<WorkerView>>,
}

impl Sent {
    /// The difference to what was sent, and remembers it. The core keeps the `Arc` of a worker that has not changed.
    fn news(&mut self, snapshot: &Snapshot) -> Push {
        let mut seen = BTreeMap::new();
        let mut changed = Vec::new();
        for worker in &snapshot.workers {
            if !self.workers.get(&worker.id).is_some_and(|old| Arc::ptr_eq(old, worker)) {
                changed.push(without_env(worker));
            }
            seen.insert(worker.id, worker.clone());
        }
        let removed = self.workers.keys().filter(|id| !seen.contains_key(id)).copied().collect();
        let whole = !self.begun;
        self.begun = true;
        self.workers = seen;
        Push::Fleet { whole, workers: changed, removed, host: snapshot.host, daemon: snapshot.daemon.clone() }
    }
}
