//! What must be true: of an answer, of a start, and when all is quiet.

use super::*;

impl World {
    /// An answer says what is so. In a wild world another order may have come over it since, or another worker
    /// may have its id.
    pub(super) fn assert_true(&self, outcome: &Outcome) {
        let Outcome::Done { touched } = outcome else { return };
        if !self.tame {
            return;
        }
        for one in touched {
            let worker = self.fleet.workers.get(&one.id);
            if let Some(worker) = worker {
                let record = &worker.current.record;
                assert_eq!((one.state, &one.reason), (record.state, &record.reason), "{one:?}");
            }
            let lives = self
                .keeper
                .values()
                .any(|held| held.record.worker == one.id && matches!(held.process, Process::Alive { .. }));
            let known = self
                .keeper
                .values()
                .any(|held| held.record.worker == one.id && !matches!(held.process, Process::None));
            match (one.deed, one.state) {
                (Deed::Stopped, state) => assert!(state == State::Down && !lives, "{one:?}"),
                (Deed::Deleted, _) => assert!(worker.is_none() && !lives, "{one:?}"),
                (_, State::Running | State::Ready) => assert!(known, "{one:?}"),
                (_, State::Backoff | State::Failed) => {
                    let told = !matches!(one.reason, Reason::Started | Reason::Adopted);
                    assert!(told, "{one:?}");
                }
                (_, State::Down | State::Starting | State::Stopping) => {}
            }
        }
    }

    /// It is the one next process of its entry, and counted right.
    pub(super) fn check_spawn(&mut self, record: &Record) {
        let run = record.run;
        assert!(self.spawned.insert(run), "{run} is spawned twice");
        let held = self.keeper.get(&run.entry);
        if let Some(held) = held {
            assert!(!matches!(held.process, Process::Alive { .. }), "{run} is spawned over a live one");
            assert!(run.generation > held.record.run.generation, "{run} is no new generation");
        }
        let is_new = !self.restarts.contains_key(&record.worker);
        let is_retry = held.is_some_and(|held| {
            let again = held.record.state == State::Backoff && held.record.retry.is_some();
            held.failed && (held.record.state == State::Starting || again)
        });
        let restarts = self.restarts.entry(record.worker).or_default();
        match record.role {
            Role::Current if is_new || is_retry || record.reason == Reason::Started => {}
            Role::Current => *restarts += 1,
            Role::Replacement => assert_eq!(record.restarts, *restarts + 1),
            Role::Retiring => panic!("{run} is spawned to retire"),
        }
        if record.role == Role::Current {
            assert_eq!(record.restarts, *restarts, "restarts of worker {}", record.worker);
        }
        let other = |held: &Held| {
            let (role, worker) = (held.record.role, held.record.worker);
            let same = worker == record.worker && role == Role::Current && record.role == Role::Current;
            same && held.record.run.entry != run.entry && matches!(held.process, Process::Alive { .. })
        };
        assert!(!self.keeper.values().any(other), "worker {} gets a second current process", record.worker);
    }

    /// What must be so once the world is quiet.
    pub(in crate::supervisor::tests) fn assert_quiet(&mut self) {
        assert!(self.open.is_empty(), "orders {:?} are not answered", self.open);
        let mut alive: BTreeSet<Run> = self.live().into_iter().collect();
        for worker in self.fleet.workers.values() {
            let record = &worker.current.record;
            let id = worker.id;
            if !self.outdated {
                let kept = self.keeper.get(&record.run.entry).map(|held| &held.record);
                assert_eq!(kept, Some(record), "worker {id}");
            }
            assert_eq!(record.restarts, self.restarts.get(&id).copied().unwrap_or(0), "restarts of {id}");
            assert!(worker.replacement.is_none() && worker.queued.is_none(), "worker {id} still reloads");
            let lives = alive.remove(&record.run);
            match (record.desired, record.state) {
                (_, State::Failed) => {}
                (Desired::Up, _) => assert!(lives && record.state.is_online(), "worker {id} is {record:?}"),
                (Desired::Down, _) => {
                    assert!(!lives && record.state == State::Down, "worker {id}: {record:?}")
                }
            }
            for old in &worker.retiring {
                assert_eq!(old.record.state, State::Failed, "worker {id} still retires {:?}", old.record);
                alive.remove(&old.record.run);
            }
        }
        assert!(alive.is_empty(), "{alive:?} live, but nobody knows them");
        let held = self.keeper.len();
        let known: usize = self.fleet.workers.values().map(|worker| worker.entries().count()).sum();
        assert_eq!(held, known, "the keeper holds what nobody knows");
    }
}
