//! Orders under way: what each still waits for, and its answer once that is so. An order gives
//! every worker it is about its new desired state at once; here nothing is decided, only watched.
//! So no order blocks another, and one that was overtaken is answered with what came of it.

use super::effect::Effect;
use super::event::Ticket;
use super::turn::Turn;
use super::worker::Worker;
use crate::model::order::{Deed, Outcome, Touched};
use crate::model::{Reason, State, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

/// An order that was accepted.
#[derive(Debug)]
pub(super) struct Pending {
    /// For the answer.
    pub(super) ticket: Ticket,
    /// What it waits for; one a worker and deed.
    waits: Vec<Wait>,
    /// So many of them are not over.
    open: usize,
    /// It is the shutdown: the end comes after its answer.
    pub(super) last: bool,
}

/// One worker that an order is about.
#[derive(Debug)]
pub(super) struct Wait {
    /// Which.
    id: WorkerId,
    /// Its app's name: it may be gone when the answer is given.
    name: String,
    /// What is being done to it.
    deed: Deed,
    /// When that is done.
    until: Until,
    /// It is.
    done: bool,
}

/// When a deed is done. `launch` names the process it is about, by `Worker::launches`: when there was
/// a later one, that process is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// At once.
    Now,
    /// It is known whether the process is up: it left `Starting`.
    Settled {
        /// The awaited process.
        launch: u64,
    },
    /// No process is left that could end.
    Ended {
        /// The ending process.
        launch: u64,
    },
    /// The reload is over: `reloads` has grown if it was successful.
    Reloaded {
        /// The process to be replaced.
        launch: u64,
        /// Successful reloads before.
        reloads: u64,
    },
}

impl Wait {
    /// Waits for what `deed` needs, just after the worker was told.
    pub(super) fn new(worker: &Worker, deed: Deed) -> Wait {
        let launch = worker.launches;
        let until = match deed {
            Deed::Launched | Deed::Started | Deed::Restarted => {
                Until::Settled { launch: launch + u64::from(worker.state() == State::Stopping) }
            }
            Deed::Stopped | Deed::Deleted => Until::Ended { launch },
            Deed::Reloaded => Until::Reloaded { launch, reloads: worker.reloads },
            Deed::ReloadAbandoned | Deed::Reset | Deed::Signalled | Deed::Untouched => Until::Now,
        };
        Wait { id: worker.id, name: worker.name().to_owned(), deed, until, done: false }
    }

    /// Waits for the end of what a former daemon began. A reload that it finished is one.
    pub(super) fn resumed(worker: &Worker, deed: Deed) -> Wait {
        let mut wait = Wait::new(worker, deed);
        if deed == Deed::Reloaded {
            wait.until = Wait::new(worker, Deed::Restarted).until;
        }
        wait
    }

    fn look(&mut self, worker: Option<&Worker>) {
        let Some(worker) = worker.filter(|_| !self.done) else {
            self.done = true;
            return;
        };
        let unsettled = matches!(worker.state(), State::Starting | State::Stopping);
        self.done = match self.until {
            Until::Now => true,
            Until::Settled { launch } => worker.launches > launch || !unsettled,
            Until::Ended { launch } => worker.launches > launch || worker.is_quiet(),
            Until::Reloaded { launch, .. } => {
                !worker.is_reloading() && (worker.launches > launch + 1 || !unsettled)
            }
        };
        self.deed = match (self.until, self.deed) {
            (Until::Reloaded { reloads, .. }, Deed::Reloaded) if self.done && worker.reloads == reloads => {
                if worker.untried {
                    Deed::Untouched
                } else {
                    Deed::ReloadAbandoned
                }
            }
            (Until::Ended { .. }, _) if self.done && worker.is_live() => Deed::Untouched,
            (_, deed) => deed,
        };
    }

    fn touched(&self, worker: Option<&Worker>) -> Touched {
        let (state, reason) = match worker {
            Some(worker) => (worker.state(), worker.current.record.reason.clone()),
            None => (State::Down, Reason::StopRequested),
        };
        let abandoned = worker.and_then(|worker| worker.abandoned);
        let abandoned = abandoned.filter(|_| self.deed == Deed::ReloadAbandoned);
        let (name, last_words) = (self.name.clone(), Vec::new());
        Touched { id: self.id, name, deed: self.deed, state, reason, abandoned, last_words }
    }
}

impl Pending {
    /// An order that waits for these.
    pub(super) fn new(ticket: Ticket, mut waits: Vec<Wait>, last: bool) -> Pending {
        waits.sort_by_key(|wait| wait.id);
        Pending { ticket, open: waits.len(), waits, last }
    }

    /// Looks at workers that have changed, at first at all; answers and returns false if everything is done.
    pub(super) fn is_open(
        &mut self,
        changed: &BTreeSet<WorkerId>,
        workers: &BTreeMap<WorkerId, Worker>,
        turn: &mut Turn<'_>,
    ) -> bool {
        for id in changed {
            let first = self.waits.partition_point(|wait| wait.id < *id);
            let its = self.waits.iter_mut().skip(first).take_while(|wait| wait.id == *id);
            for wait in its.filter(|wait| !wait.done) {
                wait.look(workers.get(id));
                self.open -= usize::from(wait.done);
            }
        }
        if self.open > 0 {
            return true;
        }
        let touched = self.waits.iter().map(|wait| wait.touched(workers.get(&wait.id))).collect();
        turn.push(Effect::Reply { ticket: self.ticket, outcome: Outcome::Done { touched } });
        if self.last {
            turn.push(Effect::End);
        }
        false
    }

    /// Ids of the workers it still waits for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = WorkerId> {
        self.waits.iter().filter(|wait| !wait.done).map(|wait| wait.id)
    }
}
