//! Orders that are asked again, because the daemon that was asked first did not live to answer. Each worker's record names
//! the order by which it was told last; that is kept together with what the worker was told. So the next daemon tells
//! those that were not told, no other, and answers for all.
//!
//! A reload that is under way when a daemon dies is undone: its replacement was never told that it is one for good. A worker
//! counts as told when its replacement has taken over.

use super::fleet::Fleet;
use super::order::Wait;
use super::record::Ordered;
use super::turn::Turn;
use super::worker::Worker;
use crate::model::order::{Deed, IfPresent, Order, Refusal};
use crate::model::{App, WorkerId};

/// An order that may be asked again, and what it does to workers that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: u64,
    deed: Deed,
}

impl Asked {
    fn new(key: u64, order: &Order) -> Asked {
        let deed = match order {
            Order::Start { if_present: IfPresent::Reload | IfPresent::ReloadAnyway, .. }
            | Order::Reload { .. } => Deed::Reloaded,
            Order::Start { .. } | Order::Restart { .. } | Order::Resurrect { .. } => Deed::Restarted,
            Order::Stop { .. } => Deed::Stopped,
            Order::Delete { .. } | Order::Scale { .. } | Order::Shutdown => Deed::Deleted,
            Order::Reset { .. } => Deed::Reset,
            Order::Signal { .. } => Deed::Signalled,
            Order::Keyed { .. } => Deed::Untouched,
        };
        Asked { key, deed }
    }
}

impl Fleet {
    /// As `obey`, for an order that may come twice.
    pub(super) fn obey_once(
        &mut self,
        key: u64,
        order: Order,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<Wait>, Refusal> {
        self.asked = Some(Asked::new(key, &order));
        let waits = self.obey(order, turn);
        self.asked = None;
        waits
    }

    /// True if this order has told the worker already, or made it.
    pub(super) fn is_told(&self, worker: &Worker) -> bool {
        let told = worker.current.record.ordered.map(|ordered| ordered.key);
        self.asked.is_some_and(|asked| told == Some(asked.key))
    }

    /// Waits for what a former daemon began with this worker, if it did.
    pub(super) fn waits_already(&self, id: WorkerId) -> Option<Wait> {
        let worker = self.workers.get(&id).filter(|worker| self.is_told(worker))?;
        Some(Wait::resumed(worker, self.asked?.deed))
    }

    /// What a worker's record shall say of the order under way.
    pub(super) fn mark(&self, launched: bool) -> Option<Ordered> {
        self.asked.map(|asked| Ordered { key: asked.key, launched })
    }

    /// Workers that this order has made already.
    pub(super) fn launched_already(&self, name: &str) -> Vec<&Worker> {
        let made = |worker: &&Worker| worker.current.record.ordered == self.mark(true);
        let all = self.staying().filter(|worker| worker.name() == name && self.asked.is_some());
        all.filter(made).collect()
    }

    /// Waits for the instances of an app that this order has made already, and makes the others.
    pub(super) fn launch_rest(&mut self, app: &App, turn: &mut Turn<'_>) -> Option<Vec<Wait>> {
        let there = self.launched_already(&app.name);
        let mut waits: Vec<Wait> = there.iter().map(|worker| Wait::new(worker, Deed::Launched)).collect();
        if waits.is_empty() {
            return None;
        }
        let have = u32::try_from(waits.len()).unwrap_or(u32::MAX);
        waits.extend(self.launch_app(app, app.instances.max(1).saturating_sub(have), turn));
        Some(waits)
    }
}
