//! Starting again: the policy for ends that nobody asked for, and what `restart` does.

use super::entry::{Entry, Phase};
use super::event::TimerKind;
use super::record::Retry;
use super::turn::Turn;
use super::worker::{Cue, Worker};
use crate::model::order::Deed;
use crate::model::policy::Restart;
use crate::model::{App, Desired, Exit, Reason, State};
use std::sync::Arc;
use std::time::Duration;

/// The longest exponential backoff (PM2's).
const BACKOFF_CAP: Duration = Duration::from_millis(15_000);

/// After this uptime the exponential backoff begins anew (PM2's `EXP_BACKOFF_RESET_TIMER`).
const BACKOFF_RESET: Duration = Duration::from_secs(30);

/// What the policy says about an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Unstable ends in a row, this one included.
    pub(super) unstable: u32,
    /// The exponential backoff after it; zero if none.
    pub(super) backoff: Duration,
    /// What to do.
    pub(super) verdict: Verdict,
}

/// What to do about an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again after this long; zero is now.
    Again(Duration),
    /// Leave it down.
    Rest(Reason),
    /// Give it up.
    Fail(Reason),
}

/// Judges an end that nobody asked for, after `uptime`, with `unstable` unstable ends in a row and a
/// `backoff` before it. A stable run ends the row. A signal is not exit code 0.
pub(super) fn judge(
    policy: &Restart,
    unstable: u32,
    backoff: Duration,
    uptime: Duration,
    exit: Exit,
) -> Judgement {
    let unstable = if uptime < policy.min_uptime { unstable.saturating_add(1) } else { 0 };
    let (backoff, delay) = delay(policy, if uptime > BACKOFF_RESET { Duration::ZERO } else { backoff });
    let listed = match exit {
        Exit::Code(code) => policy.stop_exit_codes.contains(&code),
        Exit::Signal(_) | Exit::Unknown => false,
    };
    let verdict = if listed {
        Verdict::Rest(Reason::EndedStopCode(exit))
    } else if !policy.autorestart {
        Verdict::Rest(Reason::EndedNoAutorestart(exit))
    } else if unstable >= policy.max_restarts {
        Verdict::Fail(Reason::TooManyUnstable { count: unstable, last: exit })
    } else {
        Verdict::Again(delay)
    };
    Judgement { unstable, backoff, verdict }
}

/// The next exponential backoff, and the delay before the next start.
fn delay(policy: &Restart, last: Duration) -> (Duration, Duration) {
    if policy.exp_backoff.is_zero() {
        return (Duration::ZERO, policy.restart_delay);
    }
    let grown = if last.is_zero() {
        policy.exp_backoff
    } else {
        Duration::from_millis(u64::try_from(last.as_millis() * 3 / 2).unwrap_or(u64::MAX))
    };
    let backoff = grown.min(BACKOFF_CAP);
    (backoff, backoff)
}

/// Making a process is tried again after this long, then after half as much more each time, up to the cap: who waits
/// for memory or for a process to end waits for seconds, not for minutes.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(5);

impl Worker {
    /// The system was short of something that a process needs: the start is tried again, for ever.
    pub(super) fn try_later(&mut self, reason: Reason, turn: &mut Turn<'_>) {
        let record = &mut self.current.record;
        let again = record.retry.as_ref().map_or(RETRY, |retry| (retry.after * 3 / 2).min(RETRY_CAP));
        record.retry = Some(Retry { cause: record.reason.clone(), after: again });
        record.next_start = Some(turn.now.after(again));
        self.current.go(Cue::Wait, Some(reason), &mut self.clock, turn);
        turn.timer(&self.current.record, TimerKind::Start, again);
    }

    /// The pending start is due. One that is tried again was counted when it was tried first.
    pub(super) fn start_due(&mut self, turn: &mut Turn<'_>) {
        match self.current.record.retry.clone() {
            None => self.launch(self.current.record.reason.clone(), turn),
            Some(retry) => {
                self.launches += 1;
                self.current.spawn(retry.cause.clone(), &mut self.clock, turn);
            }
        }
    }

    /// Stops it and starts it again; starts it if it is down. The end of the old process comes first.
    pub(super) fn restart(&mut self, app: Option<Arc<App>>, reason: Reason, turn: &mut Turn<'_>) -> Deed {
        self.drop_reload(Entry::retire, turn);
        let record = &mut self.current.record;
        if let Some(app) = app {
            record.app = app;
        }
        let was = std::mem::replace(&mut record.desired, Desired::Up);
        record.leaving = false;
        match record.state {
            // What it has accepted it finishes; new connections wait for its successor, or go to others.
            State::Starting | State::Running | State::Ready => {
                self.end_current(reason, Entry::retire, turn);
                Deed::Restarted
            }
            State::Failed if self.current.phase != Phase::Vacant => {
                self.end_current(reason, Entry::press, turn);
                Deed::Restarted
            }
            State::Stopping => {
                let (reason, deed) = match was {
                    Desired::Down => (Reason::Started, Deed::Started),
                    Desired::Up => (record.reason.clone(), Deed::Restarted),
                };
                self.end_current(reason, Entry::press, turn);
                deed
            }
            State::Down | State::Backoff | State::Failed => {
                self.launch(Reason::Started, turn);
                Deed::Started
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: Duration = Duration::from_millis(10);
    const LATE: Duration = Duration::from_secs(5);

    fn verdict(policy: &Restart, unstable: u32, uptime: Duration, exit: Exit) -> Verdict {
        judge(policy, unstable, Duration::ZERO, uptime, exit).verdict
    }

    #[test]
    fn the_sixteenth_unstable_end_in_a_row_fails_and_a_stable_run_ends_the_row() {
        let policy = Restart::default();
        let exit = Exit::Code(1);
        assert_eq!(verdict(&policy, 14, EARLY, exit), Verdict::Again(Duration::ZERO));
        let given_up = Verdict::Fail(Reason::TooManyUnstable { count: 16, last: exit });
        assert_eq!(verdict(&policy, 15, EARLY, exit), given_up);
        assert_eq!(judge(&policy, 15, Duration::ZERO, LATE, exit).unstable, 0);
        assert_eq!(verdict(&policy, 15, LATE, exit), Verdict::Again(Duration::ZERO));
    }

    #[test]
    fn no_restarts_allowed_fails_at_the_first_end() {
        let policy = Restart { max_restarts: 0, ..Restart::default() };
        assert!(matches!(verdict(&policy, 0, LATE, Exit::Code(0)), Verdict::Fail(_)));
    }

    #[test]
    fn a_signal_is_not_exit_code_0() {
        let policy = Restart { stop_exit_codes: vec![0], ..Restart::default() };
        assert_eq!(verdict(&policy, 0, LATE, Exit::Signal(9)), Verdict::Again(Duration::ZERO));
        let rest = Verdict::Rest(Reason::EndedStopCode(Exit::Code(0)));
        assert_eq!(verdict(&policy, 0, LATE, Exit::Code(0)), rest);
    }

    #[test]
    fn what_will_not_restart_never_waits() {
        let policy = Restart {
            autorestart: false,
            restart_delay: Duration::from_secs(5),
            exp_backoff: EARLY,
            ..Restart::default()
        };
        let rest = Verdict::Rest(Reason::EndedNoAutorestart(Exit::Code(1)));
        assert_eq!(verdict(&policy, 0, LATE, Exit::Code(1)), rest);
    }

    #[test]
    fn the_backoff_grows_as_pm2s_is_capped_and_begins_anew() {
        let policy = Restart {
            exp_backoff: Duration::from_millis(100),
            max_restarts: 1000,
            restart_delay: LATE,
            ..Restart::default()
        };
        let mut backoff = Duration::ZERO;
        let mut seen = Vec::new();
        for _ in 0..15 {
            backoff = judge(&policy, 0, backoff, EARLY, Exit::Code(1)).backoff;
            seen.push(backoff.as_millis());
        }
        let expected =
            [100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829, 5743, 8614, 12921, 15000, 15000];
        assert_eq!(seen, expected);
        let long = Duration::from_secs(31);
        assert_eq!(judge(&policy, 0, backoff, long, Exit::Code(1)).backoff.as_millis(), 100);
    }
}
