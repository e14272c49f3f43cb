//! Changing the number of instances of an app. PM2 removes the oldest first; here the newest go, and
//! they may finish what they have.

use super::fleet::Fleet;
use super::order::Wait;
use super::start::Newcomer;
use super::turn::Turn;
use super::worker::Worker;
use crate::model::order::{Deed, Refusal, ScaleTo};
use crate::model::select::SelectError;
use crate::model::{Desired, Reason, WorkerId};
use std::sync::Arc;

impl Fleet {
    /// Adds copies of the first worker of the name, or dismisses the highest ids.
    pub(super) fn scale(
        &mut self,
        name: &str,
        to: ScaleTo,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<Wait>, Refusal> {
        let ids: Vec<WorkerId> =
            self.staying().filter(|worker| worker.name() == name).map(|worker| worker.id).collect();
        let Some(app) =
            ids.first().and_then(|id| self.workers.get(id)).map(|w| Arc::clone(&w.current.record.app))
        else {
            return Err(SelectError::UnknownName(name.to_owned()).into());
        };
        let count = |workers: usize| u32::try_from(workers).unwrap_or(u32::MAX);
        let have = count(ids.len());
        let made: Vec<Wait> =
            self.launched_already(name).iter().map(|w| Wait::new(w, Deed::Launched)).collect();
        // Those that a former daemon began to dismiss are awaited, like those that it made.
        let dismissed: Vec<WorkerId> = self.leaving(name).map(|worker| worker.id).collect();
        let mut begun: Vec<Wait> = dismissed.into_iter().filter_map(|id| self.waits_already(id)).collect();
        let want = match to {
            ScaleTo::To(count) => count,
            ScaleTo::By(step) => have.saturating_sub(count(made.len())).saturating_add_signed(step),
        };
        if want == have && made.is_empty() && begun.is_empty() {
            return Err(Refusal::NothingToDo);
        }
        if want >= have {
            let unique_id = self.unique_id(turn.now);
            let copies = want - have;
            let added = (0..copies).map(|_| {
                let (app, unique_id) = (self.incremented(&app), unique_id.clone());
                let (desired, reason) = (Desired::Up, Reason::Started);
                self.admit(Newcomer { app, unique_id, instance: None, desired, reason }, turn)
            });
            begun.extend(added);
            begun.extend(made);
            return Ok(begun);
        }
        let leaving = ids.get(usize::try_from(want).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec();
        begun.extend(self.tell_all(leaving, turn, Worker::dismiss));
        Ok(begun)
    }
}
