//! Does the keeper live behind its open end of the link? It answers every PING; one that does not for long and does not
//! run either is killed, which ends the link, and what follows is as after any death of it.
//!
//! Seconds are counted by our own pings: while the machine sleeps, or is out of breath, we do not count either. To say
//! nothing is not enough: it must be stopped by a signal (or a debugger), or not have run for as long again.

use crate::sys::processes::Seen;
use crate::sys::{child, proc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::OwnedFd;

const SIGKILL: i32 = 9;
/// Pings without an answer, one a second, after which a keeper that is stopped is killed.
const SILENCE: u32 = 10;
/// After so many one that has not been run since the first ten.
const STILL: u32 = 30;
/// After so many we believe the end of its process more than a link that somebody else holds open.
const HEADLESS: u32 = 2;

/// What is known of the keeper.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    pid: u32,
    pidfd: OwnedFd,
    /// It has answered since we have its pidfd: that is no other process, and it is one that answers.
    answers: bool,
    /// Pings since its last answer.
    unanswered: u32,
    /// How often it had been run when its silence was noticed.
    switches: Option<u64>,
}

impl Pulse {
    /// It has said who it is.
    pub(super) fn welcomed(&mut self, pid: u32) {
        let pidfd = child::open(pid).ok().flatten();
        self.keeper = pidfd.map(|pidfd| Keeper { pid, pidfd, answers: false, unanswered: 0, switches: None });
    }

    /// It has answered.
    pub(super) fn answered(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            (keeper.answers, keeper.unanswered, keeper.switches) = (true, 0, None);
        }
    }

    /// It becomes another program, which may know nothing of answers.
    pub(super) fn changed(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.answers = false;
        }
    }

    /// It is dead.
    pub(super) fn ended(&mut self) {
        self.keeper = None;
    }

    /// It is pinged, or a second has passed in which it took nothing. Kills it if it is frozen.
    pub(super) fn asked(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.unanswered = keeper.unanswered.saturating_add(1);
        if keeper.answers && keeper.unanswered > SILENCE && keeper.is_frozen() {
            tracing::error!(pid = keeper.pid, "the keeper is frozen and is killed");
            // It may have ended just now.
            drop(child::send(&keeper.pidfd, SIGKILL));
        }
    }

    /// Its process has ended, but its end of the link is open still: a process that it was about to start has a copy.
    pub(super) fn is_headless(&self) -> bool {
        let ended = |keeper: &Keeper| {
            let mut fds = [PollFd::new(&keeper.pidfd, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
        };
        self.keeper
            .as_ref()
            .is_some_and(|keeper| keeper.answers && keeper.unanswered > HEADLESS && ended(keeper))
    }
}

impl Keeper {
    fn is_frozen(&mut self) -> bool {
        if Seen::read(self.pid).is_some_and(|seen| seen.stopped) {
            return true;
        }
        let now = proc::switches(self.pid);
        let before = *self.switches.get_or_insert(now.unwrap_or_default());
        self.unanswered > STILL && now == Some(before)
    }
}
