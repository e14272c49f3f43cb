//! Connections of which the keeper has a copy: those that a worker has refused (`maxConnections`), from then until one
//! takes them. They wait in this daemon, not in the kernel, so they would die with it.
//!
//! ```text
//!              refused                       handed over again
//!   (nobody's) ───────▶ Waiting(n) ────────────────────────────▶ Handed(m) ── accepted ─▶ (the worker's)
//!                           ▲─────────────────── refused ────────────┘
//! ```
//!
//! The number is that of the `newconn`. A worker's answer is taken off its channel after what follows from it is done, so
//! the next daemon hears whether what was handed over was taken, and never gives one connection to two workers.

use super::event::Keep;
use rustix::fs::fstat;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// So many connections of a listener are kept at most: the keeper has room for 250 descriptors in an entry.
const MAX_KEPT: usize = 128;

/// A listener whose workers have refused within this time keeps what it hands over, in milliseconds.
const LATELY: u64 = 5000;

/// So long the next daemon waits for the answer to what the former one handed over, in milliseconds.
const ANSWER: u64 = 30_000;

/// Where a connection stands that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Custody {
    /// In the daemon, for a worker that takes it.
    Waiting(u32),
    /// With a worker that has not answered yet.
    Handed(u32),
}

/// What is kept of one listener's connections.
#[derive(Debug, Default)]
pub(super) struct Kept {
    by_fd: BTreeMap<RawFd, Custody>,
    /// Handed over by a former daemon, and until when the answer is waited for.
    unanswered: BTreeMap<u32, (Arc<OwnedFd>, u64)>,
    refused_at: Option<u64>,
}

/// The number of a `newconn`, as far as a tag of the keeper holds it.
fn number(seq: u64) -> u32 {
    u32::try_from(seq & 0x00ff_ffff).unwrap_or(0)
}

impl Custody {
    fn number(self) -> u32 {
        match self {
            Custody::Waiting(number) | Custody::Handed(number) => number,
        }
    }
}

impl Kept {
    /// What a former daemon had kept; returns the connections that wait.
    pub(super) fn adopt(
        &mut self,
        keep: &dyn Keep,
        entry: u64,
        fds: Vec<(Custody, OwnedFd)>,
        now: u64,
    ) -> Vec<Arc<OwnedFd>> {
        let mut waiting = Vec::new();
        for (custody, fd, stale) in settle(fds) {
            stale.into_iter().for_each(|stale| keep.release(entry, stale));
            let fd = Arc::new(fd);
            self.by_fd.insert(fd.as_raw_fd(), custody);
            self.refused_at = Some(now);
            match custody {
                Custody::Waiting(_) => waiting.push(fd),
                Custody::Handed(number) => {
                    self.unanswered.insert(number, (fd, now + ANSWER));
                }
            }
        }
        waiting
    }

    /// It is about to be handed over with this number. Kept if it may be refused.
    pub(super) fn hand(&mut self, keep: &dyn Keep, entry: u64, connection: &OwnedFd, seq: u64, now: u64) {
        if self.refuses(now) || self.by_fd.contains_key(&connection.as_raw_fd()) {
            self.change(keep, entry, connection, Custody::Handed(number(seq)));
        }
    }

    /// It was not taken and waits here.
    pub(super) fn wait(&mut self, keep: &dyn Keep, entry: u64, connection: &OwnedFd, seq: u64, now: u64) {
        self.refused_at = Some(now);
        let known = self.by_fd.get(&connection.as_raw_fd()).map(|custody| custody.number());
        self.change(keep, entry, connection, Custody::Waiting(known.unwrap_or(number(seq))));
    }

    /// Whether workers refuse at present.
    pub(super) fn refuses(&self, now: u64) -> bool {
        self.refused_at.is_some_and(|at| now < at + LATELY)
    }

    /// A worker has it.
    pub(super) fn taken(&mut self, keep: &dyn Keep, entry: u64, connection: &OwnedFd) {
        if let Some(custody) = self.by_fd.remove(&connection.as_raw_fd()) {
            keep.release(entry, custody);
        }
    }

    /// The connection that a former daemon handed over with this number.
    pub(super) fn answered(&mut self, seq: u64) -> Option<Arc<OwnedFd>> {
        self.unanswered.remove(&number(seq)).map(|(connection, _)| connection)
    }

    /// Gives up those whose answers have not come by `now`; whether a worker took them nobody knows.
    pub(super) fn give_up(&mut self, keep: &dyn Keep, entry: u64, now: u64) {
        for (_, (connection, _)) in self.unanswered.extract_if(.., |_, (_, until)| *until <= now) {
            if let Some(custody) = self.by_fd.remove(&connection.as_raw_fd()) {
                keep.release(entry, custody);
            }
        }
    }

    /// When the next is given up.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.unanswered.values().map(|(_, until)| *until).min()
    }

    /// The new copy before the old one goes: there is always one.
    fn change(&mut self, keep: &dyn Keep, entry: u64, connection: &OwnedFd, custody: Custody) {
        let number = connection.as_raw_fd();
        if self.by_fd.len() >= MAX_KEPT && !self.by_fd.contains_key(&number) {
            return;
        }
        keep.hold(entry, custody, connection.as_fd());
        if let Some(old) = self.by_fd.insert(number, custody).filter(|old| *old != custody) {
            keep.release(entry, old);
        }
    }
}

/// One of each connection, with what else was kept of it: a daemon that died between two steps left two.
fn settle(mut fds: Vec<(Custody, OwnedFd)>) -> Vec<(Custody, OwnedFd, Vec<Custody>)> {
    fds.sort_by_key(|(custody, _)| *custody);
    let mut settled: BTreeMap<u64, (Custody, OwnedFd, Vec<Custody>)> = BTreeMap::new();
    for (custody, fd) in fds {
        let Ok(stat) = fstat(&fd) else { continue };
        match settled.get_mut(&stat.st_ino) {
            None => {
                settled.insert(stat.st_ino, (custody, fd, Vec::new()));
            }
            // Refused, which was not yet written down as a whole: the answer will be heard again. With another number:
            // about to be handed over, and not sent.
            Some((known, _, stale)) if known.number() == custody.number() => {
                stale.push(std::mem::replace(known, custody));
            }
            Some((_, _, stale)) => stale.push(custody),
        }
    }
    settled.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::fd::BorrowedFd;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Keeper(Mutex<BTreeSet<Custody>>);

    impl Keep for Keeper {
        fn keep(&self, _: u64, _: u32, _: BorrowedFd<'_>) {}
        fn record(&self, _: u64, _: &[u8]) {}
        fn forget(&self, _: u64) {}
        fn hold(&self, _: u64, custody: Custody, _: BorrowedFd<'_>) {
            assert!(self.0.lock().unwrap().insert(custody), "held twice");
        }
        fn release(&self, _: u64, custody: Custody) {
            assert!(self.0.lock().unwrap().remove(&custody), "not held");
        }
    }

    impl Keeper {
        fn has(&self) -> Vec<Custody> {
            self.0.lock().unwrap().iter().copied().collect()
        }
    }

    fn connection() -> OwnedFd {
        std::os::unix::net::UnixStream::pair().unwrap().0.into()
    }

    #[test]
    fn only_what_was_refused_or_may_be_is_kept_and_until_it_is_taken() {
        let (keeper, mut kept) = (Keeper::default(), Kept::default());
        let (first, second) = (connection(), connection());
        kept.hand(&keeper, 1, &first, 5, 0);
        assert_eq!(keeper.has(), []);
        kept.wait(&keeper, 1, &first, 5, 0);
        assert_eq!(keeper.has(), [Custody::Waiting(5)]);
        kept.hand(&keeper, 1, &second, 6, 10);
        kept.hand(&keeper, 1, &first, 7, 20);
        assert_eq!(keeper.has(), [Custody::Handed(6), Custody::Handed(7)]);
        kept.taken(&keeper, 1, &second);
        kept.wait(&keeper, 1, &first, 7, 30);
        assert_eq!(keeper.has(), [Custody::Waiting(7)]);
        kept.taken(&keeper, 1, &first);
        kept.hand(&keeper, 1, &second, 8, 30 + LATELY);
        assert_eq!(keeper.has(), [], "nobody has refused for a while");
    }

    #[test]
    fn a_listener_keeps_so_many_and_no_more() {
        let (keeper, mut kept) = (Keeper::default(), Kept::default());
        let all: Vec<OwnedFd> = (0..200).map(|_| connection()).collect();
        for (one, seq) in all.iter().zip(0..) {
            kept.wait(&keeper, 1, one, seq, 0);
        }
        assert_eq!(keeper.has().len(), MAX_KEPT);
    }

    /// What a daemon leaves that dies between the two steps of a change.
    fn left(both: [Custody; 2]) -> Custody {
        let keeper = Keeper::default();
        let one = connection();
        both.iter().for_each(|custody| keeper.hold(1, *custody, one.as_fd()));
        let mut kept = Kept::default();
        let fds = both.iter().map(|custody| (*custody, one.try_clone().unwrap())).collect();
        kept.adopt(&keeper, 1, fds, 0);
        let has = keeper.has();
        assert_eq!(has.len(), 1);
        has[0]
    }

    #[test]
    fn a_change_that_was_cut_is_undone() {
        use Custody::{Handed, Waiting};
        assert_eq!(left([Waiting(3), Handed(3)]), Handed(3), "its refusal will be heard again");
        assert_eq!(left([Waiting(3), Handed(4)]), Waiting(3), "it was not sent");
    }

    #[test]
    fn the_next_daemon_waits_for_the_answer_and_not_for_ever() {
        let (keeper, mut kept) = (Keeper::default(), Kept::default());
        let all = [Custody::Waiting(1), Custody::Handed(2), Custody::Handed(3)];
        let fds: Vec<_> = all.iter().map(|custody| (*custody, connection())).collect();
        fds.iter().for_each(|(custody, fd)| keeper.hold(1, *custody, fd.as_fd()));
        assert_eq!(kept.adopt(&keeper, 1, fds, 0).len(), 1);
        let refused = kept.answered(0x0700_0002).unwrap();
        assert!(kept.answered(2).is_none());
        kept.wait(&keeper, 1, &refused, 9, 1);
        assert_eq!(kept.next_due(), Some(ANSWER));
        kept.give_up(&keeper, 1, ANSWER);
        assert_eq!(keeper.has(), [Custody::Waiting(1), Custody::Waiting(2)]);
        assert_eq!(kept.next_due(), None);
    }
}
