//! Workers whose log files take nothing, for who follows their lines: these come only when they are written, and silence
//! would look like that of a quiet app.

use super::outbox::{ClientGone, Outbox};
use crate::logs::Workers;
use crate::model::WorkerId;
use crate::model::snapshot::Snapshot;
use crate::proto::Push;
use std::collections::BTreeMap;

/// What one follower was told.
#[derive(Debug)]
pub(super) struct Ailing {
    workers: Workers,
    told: BTreeMap<WorkerId, String>,
}

impl Ailing {
    /// Nothing was told yet.
    pub(super) fn of(workers: Workers) -> Ailing {
        Ailing { workers, told: BTreeMap::new() }
    }

    /// Tells what is new.
    pub(super) async fn tell(&mut self, now: &Snapshot, outbox: &Outbox) -> Result<(), ClientGone> {
        for push in self.news(now) {
            outbox.push(push).await?;
        }
        Ok(())
    }

    fn news(&mut self, now: &Snapshot) -> Vec<Push> {
        let mut news = Vec::new();
        for view in &now.workers {
            let wanted = match &self.workers {
                Workers::All => true,
                Workers::Only(ids) => ids.contains(&view.id),
            };
            let what = view.log_trouble.as_ref().and_then(|trouble| trouble.what.clone());
            if !wanted || what.as_ref() == self.told.get(&view.id) {
                continue;
            }
            match &what {
                Some(what) => self.told.insert(view.id, what.clone()),
                None => self.told.remove(&view.id),
            };
            news.push(Push::LogTrouble { worker: view.id, name: view.app.name.clone(), what });
        }
        news
    }
}
