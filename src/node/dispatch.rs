//! Who gets the next connection: the round robin of one listening socket, as a pure state machine. `C` is a
//! connection; sockets, messages and clocks are elsewhere.
//!
//! ```text
//!            join                hand over                accepted
//!  (nobody) ──────▶ free ──────────────────▶ handed over ──────────▶ free
//!                    ▲                            │ refused, or gone: the connection goes to the next
//!                    └───────── rest is over ─── resting
//! ```
//!
//! A worker has one token: one connection at a time until it says that it took it. A connection is accepted from the
//! kernel only while a worker is free and none waits here, so the backlog in the kernel is the queue: nothing grows
//! here, a full system pushes back on its clients, and a daemon that dies loses nothing. Measured: with two or four
//! tokens a blocked worker delays more requests and the rate gains nothing.

use crate::model::Run;
use std::collections::{BTreeMap, VecDeque};

/// Rest of a worker that is full (`maxConnections`) or whose server is closing. Asking it again at once would spin.
pub const REST_FULL: u64 = 20;

/// Rest of a worker that has no free descriptors.
pub const REST_NO_FDS: u64 = 100;

/// The workers of one listening socket and the connections between it and them.
#[derive(Debug)]
pub struct Rotation<C> {
    members: BTreeMap<Run, Standing>,
    free: VecDeque<Run>,
    handed: BTreeMap<Run, C>,
    resting: Vec<(u64, Run)>,
    waiting: VecDeque<C>,
}

/// Whether a worker that holds the socket gets connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It does.
    Active,
    /// Not any more: it is on its way out.
    Retired,
}

impl<C> Default for Rotation<C> {
    fn default() -> Self {
        Rotation {
            members: BTreeMap::new(),
            free: VecDeque::new(),
            handed: BTreeMap::new(),
            resting: Vec::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl<C: Clone> Rotation<C> {
    /// The worker listens: it is free, last in the row.
    pub fn join(&mut self, run: Run) {
        if self.members.insert(run, Standing::Active).is_none() && !self.handed.contains_key(&run) {
            self.free.push_back(run);
        }
    }

    /// It gets no more connections; what it was handed is still its to answer.
    pub fn retire(&mut self, run: Run) {
        if let Some(standing) = self.members.get_mut(&run) {
            *standing = Standing::Retired;
            self.forget_token(run);
        }
    }

    /// Its server is closed; what it was handed is still its to answer.
    pub fn leave(&mut self, run: Run) {
        self.members.remove(&run);
        self.forget_token(run);
    }

    /// It is gone and answers no more: a connection it was handed goes to the next. It acknowledges before it reads
    /// a byte, so an unanswered connection is untouched.
    /// Returns that connection.
    pub fn gone(&mut self, run: Run) -> Option<C> {
        self.leave(run);
        let connection = self.handed.remove(&run)?;
        self.waiting.push_front(connection.clone());
        Some(connection)
    }

    /// What it was handed and has not answered for.
    pub fn handed_to(&self, run: Run) -> Option<&C> {
        self.handed.get(&run)
    }

    /// It took what it was handed, which is returned.
    pub fn accepted(&mut self, run: Run) -> Option<C> {
        let connection = self.handed.remove(&run)?;
        if self.is_active(run) {
            self.free.push_back(run);
        }
        Some(connection)
    }

    /// It did not: the connection, which is returned, goes to the next, and the worker gets none until `until`.
    pub fn refused(&mut self, run: Run, until: u64) -> Option<C> {
        let connection = self.handed.remove(&run)?;
        self.waiting.push_front(connection.clone());
        if self.is_active(run) {
            self.resting.push((until, run));
        }
        Some(connection)
    }

    /// A connection that waited in a former daemon.
    pub fn wait(&mut self, connection: C) {
        self.waiting.push_back(connection);
    }

    /// Ends the rests that are over at `now`.
    pub fn wake(&mut self, now: u64) {
        let (over, still): (Vec<_>, Vec<_>) = self.resting.drain(..).partition(|(until, _)| *until <= now);
        self.resting = still;
        self.free.extend(over.into_iter().map(|(_, run)| run));
    }

    /// When the next rest ends.
    pub fn next_wake(&self) -> Option<u64> {
        self.resting.iter().map(|(until, _)| *until).min()
    }

    /// Whether a connection should be accepted from the kernel: somebody is free whom it can be sent to at once.
    pub fn wants_connection(&self, can: impl Fn(Run) -> bool) -> bool {
        self.waiting.is_empty() && self.free.iter().any(|run| can(*run))
    }

    /// Hands over a connection that waits here: to whom, and which.
    pub fn next_waiting(&mut self, can: impl Fn(Run) -> bool) -> Option<(Run, C)> {
        if !self.free.iter().any(|run| can(*run)) {
            return None;
        }
        let connection = self.waiting.pop_front()?;
        self.hand_over(connection, can)
    }

    /// Hands over a connection just accepted to the first who is free and `can` take it now: to whom. It waits here if
    /// there is nobody.
    pub fn hand_over(&mut self, connection: C, can: impl Fn(Run) -> bool) -> Option<(Run, C)> {
        let first = self.free.iter().position(|run| can(*run));
        let Some(run) = first.and_then(|at| self.free.remove(at)) else {
            self.waiting.push_front(connection);
            return None;
        };
        self.handed.insert(run, connection.clone());
        Some((run, connection))
    }

    fn is_active(&self, run: Run) -> bool {
        self.members.get(&run) == Some(&Standing::Active)
    }

    fn forget_token(&mut self, run: Run) {
        self.free.retain(|other| *other != run);
        self.resting.retain(|(_, other)| *other != run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn all(_: Run) -> bool {
        true
    }

    fn run(n: u64) -> Run {
        Run::first(n)
    }

    fn of(workers: u64) -> Rotation<u32> {
        let mut rotation = Rotation::default();
        (1..=workers).for_each(|n| rotation.join(run(n)));
        rotation
    }

    #[test]
    fn connections_go_round() {
        let mut rotation = of(3);
        let order: Vec<u64> = (0..6)
            .map(|n| {
                let (to, _) = rotation.hand_over(n, all).unwrap();
                rotation.accepted(to);
                to.entry
            })
            .collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn nothing_is_accepted_while_nobody_is_free() {
        let mut rotation = of(1);
        assert!(rotation.wants_connection(all));
        rotation.hand_over(1, all).unwrap();
        assert!(!rotation.wants_connection(all));
        rotation.accepted(run(1));
        assert!(rotation.wants_connection(all));
    }

    #[test]
    fn nothing_is_accepted_for_whom_it_cannot_be_sent_to_at_once() {
        let mut rotation = of(2);
        let second = |who: Run| who == run(2);
        assert_eq!(rotation.hand_over(1, second), Some((run(2), 1)));
        assert!(!rotation.wants_connection(second));
        assert!(rotation.wants_connection(all));
        rotation.refused(run(2), 9);
        assert_eq!(rotation.next_waiting(second), None);
        assert_eq!(rotation.next_waiting(all), Some((run(1), 1)));
    }

    #[test]
    fn a_refused_connection_goes_to_the_next_and_the_worker_rests() {
        let mut rotation = of(2);
        rotation.hand_over(7, all).unwrap();
        rotation.refused(run(1), 20);
        assert!(!rotation.wants_connection(all), "one waits");
        assert_eq!(rotation.next_waiting(all), Some((run(2), 7)));
        rotation.wake(19);
        assert!(!rotation.wants_connection(all));
        assert_eq!(rotation.next_wake(), Some(20));
        rotation.wake(20);
        assert!(rotation.wants_connection(all));
    }

    #[test]
    fn a_dead_workers_connection_goes_to_the_next() {
        let mut rotation = of(1);
        rotation.hand_over(7, all).unwrap();
        rotation.gone(run(1));
        assert_eq!(rotation.next_waiting(all), None);
        rotation.join(run(2));
        assert_eq!(rotation.next_waiting(all), Some((run(2), 7)));
    }

    #[test]
    fn a_retired_worker_gets_nothing_more_and_may_still_answer() {
        let mut rotation = of(1);
        rotation.hand_over(7, all).unwrap();
        rotation.retire(run(1));
        rotation.accepted(run(1));
        assert!(!rotation.wants_connection(all));
        let mut rotation = of(2);
        rotation.retire(run(1));
        assert_eq!(rotation.hand_over(8, all), Some((run(2), 8)));
    }

    #[test]
    fn a_server_closed_and_opened_again_has_one_token() {
        let mut rotation = of(1);
        rotation.hand_over(7, all).unwrap();
        rotation.leave(run(1));
        rotation.join(run(1));
        assert!(!rotation.wants_connection(all), "its token is out");
        rotation.refused(run(1), 5);
        rotation.wake(5);
        assert_eq!(rotation.next_waiting(all), Some((run(1), 7)));
        rotation.accepted(run(1));
        assert_eq!(rotation.free.len(), 1);
    }

    proptest! {
        /// Whatever happens, each connection is in exactly one place, and each worker has at most one token.
        #[test]
        fn no_connection_is_lost_or_doubled(steps in proptest::collection::vec((0u8..8, 1u64..5), 0..200)) {
            let mut rotation: Rotation<u32> = Rotation::default();
            let (mut next, mut served, mut now) = (0u32, BTreeSet::new(), 0);
            for (what, who) in steps {
                now += 1;
                let who = run(who);
                match what {
                    0 => rotation.join(who),
                    1 => rotation.leave(who),
                    2 => rotation.retire(who),
                    3 => {
                        rotation.gone(who);
                    }
                    4 => {
                        served.extend(rotation.handed.get(&who));
                        rotation.accepted(who);
                    }
                    5 => {
                        rotation.refused(who, now + 3);
                    }
                    6 => rotation.wake(now),
                    _ => {}
                }
                while rotation.next_waiting(all).is_some() {}
                if rotation.wants_connection(all) {
                    prop_assert!(rotation.hand_over(next, all).is_some());
                    next += 1;
                }
                let mut places: Vec<u32> = served.iter().copied().collect();
                places.extend(rotation.handed.values().chain(&rotation.waiting));
                places.sort_unstable();
                prop_assert_eq!(places, (0..next).collect::<Vec<_>>());
                let mut tokens: Vec<Run> = rotation.free.iter().copied().collect();
                tokens.extend(rotation.resting.iter().map(|(_, run)| *run));
                tokens.extend(rotation.handed.keys());
                let unique: BTreeSet<Run> = tokens.iter().copied().collect();
                prop_assert_eq!(unique.len(), tokens.len());
            }
        }
    }
}
