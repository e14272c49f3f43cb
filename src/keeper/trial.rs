//! A new program on trial: it has five seconds to serve, and must go on doing so; else the old one is back.
//!
//! | it | is given up |
//! |---|---|
//! | does not come to serve in time | at once: another attempt would take as long |
//! | ends before it serves | the third time |
//! | ends by its own fault within ten seconds of serving | the second time |
//! | is killed from outside | never |

use super::pace::STEADY_MS;
use std::os::fd::OwnedFd;

/// So long may it take until it serves.
const TRIAL_MS: u64 = 5000;
/// So often may it end before it serves, less one.
const STARTS: u32 = 3;
/// So often may it end soon after, less one.
const SERVICES: u32 = 2;

/// A program on trial.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) program: OwnedFd,
    path: Vec<u8>,
    starts: u32,
    services: u32,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing of it runs.
    Idle,
    /// It must serve by then.
    Starting(u64),
    /// It serves; then it is proven.
    Serving(u64),
}

impl Trial {
    /// Of this file, which was found at this path.
    pub(super) fn of(program: OwnedFd, path: Vec<u8>) -> Trial {
        Trial { program, path, starts: 0, services: 0, state: State::Idle }
    }

    /// It is started.
    pub(super) fn begins(&mut self, now_ms: u64) {
        self.state = State::Starting(now_ms + TRIAL_MS);
    }

    /// It serves.
    pub(super) fn serves(&mut self, now_ms: u64) {
        self.state = State::Serving(now_ms + STEADY_MS);
    }

    /// When there is something to find out.
    pub(super) fn due_ms(&self) -> Option<u64> {
        match self.state {
            State::Idle => None,
            State::Starting(at_ms) | State::Serving(at_ms) => Some(at_ms),
        }
    }

    /// It has served for so long that it is the program.
    pub(super) fn is_proven(&self, now_ms: u64) -> bool {
        matches!(self.state, State::Serving(at_ms) if at_ms <= now_ms)
    }

    /// It should serve by now; said once.
    pub(super) fn is_late(&mut self, now_ms: u64) -> bool {
        let late = matches!(self.state, State::Starting(at_ms) if at_ms <= now_ms);
        if late {
            self.state = State::Idle;
        }
        late
    }

    /// It has ended; true if it is given up.
    pub(super) fn failed(&mut self, served: bool, late: bool) -> bool {
        self.state = State::Idle;
        let (count, most) = if served { (&mut self.services, SERVICES) } else { (&mut self.starts, STARTS) };
        *count += 1;
        late || *count >= most
    }

    /// For people: that it was given up, and why.
    pub(super) fn told(&self, reason: &str) -> Vec<u8> {
        let path = String::from_utf8_lossy(&self.path);
        let text = format!("`{path}` was tried as the new program: {reason}; the one before goes on");
        text.into_bytes()
    }
}
