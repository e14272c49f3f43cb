//! Does a daemon that says nothing live behind its open link? It pings every second; every ten seconds of silence somebody
//! looks at it, and what is seen decides. All spans are of the monotonic clock: in a suspend nobody says anything.
//!
//! | seen | killed after |
//! |---|---|
//! | stopped by a signal or a debugger | 10 s |
//! | its first thread, which says everything, uses a CPU all the time: it goes round in circles | 20 s |
//! | its first thread has not been run at all: it waits for what does not come | 60 s |
//! | it is run now and then, and gets nowhere: a machine that swaps, or is out of breath | 5 min |
//!
//! To be late is no reason by itself: the next daemon would have to do the same on the same machine.

use crate::sys::proc;
use crate::sys::processes::Seen;
use std::time::Duration;

/// Between two looks.
const SILENCE_MS: u64 = 10_000;
/// This much of a CPU between two looks is all the time.
const SPIN: Duration = Duration::from_secs(8);
/// Looks after which it is given up if it has not been run since the first one.
const STILL: usize = 6;
/// Looks after which it is given up.
const LATE: usize = 30;

/// Since when a daemon has said nothing, and what was seen of it since.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// When it must have said something, once it has said PING.
    until_ms: Option<u64>,
    first: Option<Look>,
    last: Option<Look>,
    looks: usize,
}

/// What can be seen of a process.
#[derive(Debug, Clone, Copy)]
struct Look {
    stopped: bool,
    /// CPU time of its first thread.
    used: Duration,
    /// How often that was given a CPU, or gave it back; `None`: the system does not say.
    switches: Option<u64>,
}

impl Silence {
    /// Of one that has said PING, and will go on doing so.
    pub(super) fn of_one_that_pings(now_ms: u64) -> Silence {
        Silence { until_ms: Some(now_ms + SILENCE_MS), ..Silence::default() }
    }

    /// True if it has said PING.
    pub(super) fn is_watched(&self) -> bool {
        self.until_ms.is_some()
    }

    /// When it must be looked at, if ever.
    pub(super) fn until_ms(&self) -> Option<u64> {
        self.until_ms
    }

    /// It has said something; `ping`: and says that it will go on doing so.
    pub(super) fn broken(&mut self, ping: bool, now_ms: u64) {
        if ping || self.is_watched() {
            *self = Silence::of_one_that_pings(now_ms);
        }
    }

    /// It is given up, or not looked at any more.
    pub(super) fn end(&mut self) {
        *self = Silence::default();
    }

    /// It has said nothing for long: true if it will not either.
    pub(super) fn is_for_ever(&mut self, pid: u32, now_ms: u64) -> bool {
        let look = Look {
            stopped: Seen::read(pid).is_some_and(|seen| seen.stopped),
            used: proc::first_thread_cpu(pid).unwrap_or_default(),
            switches: proc::switches(pid),
        };
        self.until_ms = Some(now_ms + SILENCE_MS);
        self.judge(look)
    }

    fn judge(&mut self, now: Look) -> bool {
        let first = *self.first.get_or_insert(now);
        let before = self.last.replace(now);
        self.looks += 1;
        let spins = before.is_some_and(|before| now.used.saturating_sub(before.used) >= SPIN);
        let still = first.switches == now.switches && first.used == now.used;
        now.stopped || spins || (still && self.looks >= STILL) || self.looks >= LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(used_ms: u64, switches: u64) -> Look {
        Look { stopped: false, used: Duration::from_millis(used_ms), switches: Some(switches) }
    }

    /// After how many looks it is given up, if the nth look sees `seen(n)`.
    fn given_up_after(seen: impl Fn(u64) -> Look) -> Option<u64> {
        let mut silence = Silence::of_one_that_pings(0);
        (1..100).find(|n| silence.judge(seen(*n)))
    }

    #[test]
    fn a_stopped_daemon_is_given_up_at_the_first_look() {
        assert_eq!(given_up_after(|n| Look { stopped: true, ..look(n, n) }), Some(1));
    }

    #[test]
    fn one_that_goes_round_in_circles_is_given_up_at_the_second() {
        assert_eq!(given_up_after(|n| look(n * 9_900, n * 10)), Some(2));
    }

    #[test]
    fn one_that_was_not_run_at_all_is_given_up_after_a_minute() {
        assert_eq!(given_up_after(|_| look(70, 5)), Some(6));
    }

    #[test]
    fn one_that_a_swapping_machine_runs_now_and_then_has_five_minutes() {
        assert_eq!(given_up_after(|n| look(n * 20, n * 300)), Some(30));
        // Most of its time it waits for pages, then it works hard for some seconds.
        assert_eq!(given_up_after(|n| look(n / 4 * 7_900, n * 40)), Some(30));
    }

    #[test]
    fn a_single_word_begins_everything_anew() {
        let mut silence = Silence::of_one_that_pings(0);
        for n in 0..100 {
            assert!((0..5).all(|_| !silence.judge(look(70, 5))), "{n}");
            silence.broken(false, n);
        }
    }

    #[test]
    fn one_that_never_said_ping_is_not_watched() {
        let mut silence = Silence::default();
        silence.broken(false, 5);
        assert_eq!(silence.until_ms(), None);
        silence.broken(true, 5);
        assert_eq!(silence.until_ms(), Some(10_005));
        silence.end();
        assert!(!silence.is_watched());
    }

    #[test]
    fn this_process_is_seen_as_one_that_runs() {
        let mut silence = Silence::of_one_that_pings(0);
        assert!(!silence.is_for_ever(std::process::id(), 20_000));
        assert_eq!(silence.until_ms(), Some(30_000));
        assert!(silence.first.unwrap().switches.is_some());
    }
}
