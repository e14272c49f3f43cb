//! The daemon's life as the keeper sees it: one at a time, and when it ends, when the next one comes.
//!
//! ```text
//!   Due(at) ── start ──▶ Alive ── reaped ──▶ Due(at once)       killed from outside, or left on purpose after READY
//!      ▲                                └──▶ Due(50 ms << n)    crashed, or ended before READY
//!      └─ could not be started           └─▶ Over               shut down, or the first one failed
//! ```
//! One that has been given to us (`adopted`) is no child of ours: its pidfd says when it has ended. One that has said
//! READY or PING and then nothing more is killed if it is frozen (`silence`).
//! A new program has five seconds to serve, or the old one is back.
//!
//! A SIGKILL is harmless here and never counts as a crash: whoever kills daemons all day must not make pipes
//! fill while we wait.

use super::datagram;
use super::image::DaemonImage;
use super::silence::Silence;
use crate::model::Exit;
use crate::sys::spawn::{SpawnError, Spawned};
use crate::sys::{child, fd};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How a daemon is made.
pub trait Start {
    /// Runs `program` as a child of this process. `socket` is its end of the link, `ready` the pipe on which
    /// somebody waits to hear that it serves, or why not.
    fn start(
        &mut self,
        program: BorrowedFd<'_>,
        socket: BorrowedFd<'_>,
        ready: Option<BorrowedFd<'_>>,
    ) -> Result<Spawned, SpawnError>;
}

/// The daemon, present or to come.
#[derive(Debug)]
pub(super) struct Daemon<S> {
    starter: S,
    /// The file that has served, and the one to try instead.
    program: OwnedFd,
    upgrade: Option<OwnedFd>,
    state: State,
    /// Until a daemon has said READY for the first time.
    ready: Option<OwnedFd>,
    ever_ready: bool,
    starts: u64,
    pace: Pace,
}

#[derive(Debug)]
enum State {
    Due { at_ms: u64 },
    Alive(Alive),
    Over,
}

#[derive(Debug)]
struct Alive {
    process: Spawned,
    link: LinkState,
    ready: bool,
    /// Not our child.
    adopted: bool,
    /// What is known of one that says nothing.
    silence: Silence,
    /// When it must serve, if its program never has.
    trial_ends_ms: Option<u64>,
    /// It did not, and is killed.
    given_up: bool,
}

/// So long may a new program take until it serves.
const TRIAL_MS: u64 = 5000;

/// Our end of its link.
#[derive(Debug)]
enum LinkState {
    Open(OwnedFd),
    /// Closed at the other end: it is about to end, or of no more use, since it never gets another.
    Closed {
        kill_at_ms: u64,
    },
}

/// So long may a daemon live without its link, to say why it ends.
const LAST_WORDS_MS: u64 = 2000;

impl<S: Start> Daemon<S> {
    pub(super) fn new(starter: S, program: OwnedFd, ready: Option<OwnedFd>) -> Daemon<S> {
        let state = State::Due { at_ms: 0 };
        Daemon {
            starter,
            program,
            upgrade: None,
            state,
            ready,
            ever_ready: false,
            starts: 0,
            pace: Pace::default(),
        }
    }

    /// Takes over a daemon that has outlived its keeper.
    pub(super) fn adopt(&mut self, process: Spawned, socket: OwnedFd) {
        let link = LinkState::Open(socket);
        self.state = State::Alive(Alive {
            process,
            link,
            ready: true,
            adopted: true,
            silence: Silence::default(),
            trial_ends_ms: None,
            given_up: false,
        });
        self.starts = 1;
    }

    /// For the next program; `None` unless one lives and can be reached.
    pub(super) fn image(&self) -> Option<DaemonImage> {
        let alive = self.alive()?;
        let number = |fd: &OwnedFd| fd.as_raw_fd();
        Some(DaemonImage {
            pid: alive.process.pid,
            pidfd: number(&alive.process.pidfd),
            socket: self.socket()?.as_raw_fd(),
            program: number(&self.program),
            upgrade: self.upgrade.as_ref().map(number),
            pipe: self.ready.as_ref().map(number),
            ready: alive.ready,
            ever_ready: self.ever_ready,
            adopted: alive.adopted,
            pings: alive.silence.is_watched(),
            starts: self.starts,
        })
    }

    /// Takes over from the program before.
    pub(super) fn from_image(starter: S, image: &DaemonImage, now_ms: u64) -> io::Result<Daemon<S>> {
        let pipe = image.pipe.and_then(|number| fd::inherit(number).ok());
        let mut daemon = Daemon::new(starter, fd::inherit(image.program)?, pipe);
        daemon.upgrade = image.upgrade.and_then(|number| fd::inherit(number).ok());
        daemon.state = State::Alive(Alive {
            process: Spawned { pid: image.pid, pidfd: fd::inherit(image.pidfd)? },
            link: LinkState::Open(fd::inherit(image.socket)?),
            ready: image.ready,
            adopted: image.adopted,
            silence: if image.pings { Silence::of_one_that_pings(now_ms) } else { Silence::default() },
            trial_ends_ms: None,
            given_up: false,
        });
        daemon.ever_ready = image.ever_ready;
        daemon.starts = image.starts;
        Ok(daemon)
    }

    /// When it must be started, or killed as it has no link or is frozen, if there is such a time.
    pub(super) fn due_ms(&self) -> Option<u64> {
        match &self.state {
            State::Due { at_ms }
            | State::Alive(Alive { link: LinkState::Closed { kill_at_ms: at_ms }, .. }) => Some(*at_ms),
            State::Alive(alive) => {
                [alive.silence.until_ms(), alive.trial_ends_ms].into_iter().flatten().min()
            }
            State::Over => None,
        }
    }

    /// It has said something; `ping`: of the kind after which it goes on doing so.
    pub(super) fn heard(&mut self, ping: bool, now_ms: u64) {
        if let State::Alive(alive) = &mut self.state {
            alive.silence.broken(ping, now_ms);
        }
    }

    /// Its pidfd, if its end is to be seen by that.
    pub(super) fn adopted(&self) -> Option<BorrowedFd<'_>> {
        self.alive().filter(|alive| alive.adopted).map(|alive| alive.process.pidfd.as_fd())
    }

    /// True if some daemon has served, and so knows all that the keeper should.
    pub(super) fn ever_ready(&self) -> bool {
        self.ever_ready
    }

    /// How many were before the one that lives.
    pub(super) fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// Our end of the link to the one that lives.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.alive()?.link {
            LinkState::Open(socket) => Some(socket.as_fd()),
            LinkState::Closed { .. } => None,
        }
    }

    /// Pid of the one that lives.
    pub(super) fn pid(&self) -> Option<u32> {
        self.alive().map(|alive| alive.process.pid)
    }

    fn alive(&self) -> Option<&Alive> {
        match &self.state {
            State::Alive(alive) => Some(alive),
            State::Due { .. } | State::Over => None,
        }
    }

    /// Does what is due. Returns, if it has started a daemon on a new link, how many were before it. Fails if the
    /// first cannot be started and nothing is lost by giving up.
    pub(super) fn act(&mut self, now_ms: u64, holds_any: bool) -> io::Result<Option<u64>> {
        if let State::Alive(alive) = &mut self.state {
            alive.given_up |= alive.trial_ends_ms.take_if(|at| *at <= now_ms).is_some();
            let open = matches!(alive.link, LinkState::Open(_));
            if open && !alive.given_up && !alive.silence.is_for_ever(alive.process.pid, now_ms) {
                return Ok(None);
            }
            // A pidfd: the signal cannot reach anybody else, at worst a zombie.
            let _ending = child::send(&alive.process.pidfd, libc::SIGKILL);
            match &mut alive.link {
                LinkState::Closed { kill_at_ms } => *kill_at_ms = u64::MAX,
                // What it has said is still to be read.
                LinkState::Open(_) => alive.silence.end(),
            }
            return Ok(None);
        }
        match self.attempt() {
            Ok(mut alive) => {
                alive.trial_ends_ms = self.upgrade.is_some().then_some(now_ms + TRIAL_MS);
                self.state = State::Alive(alive);
                self.starts += 1;
                Ok(Some(self.starts - 1))
            }
            Err(error) => self.failed(now_ms, holds_any, &error.to_string()).map(|()| None),
        }
    }

    fn attempt(&mut self) -> io::Result<Alive> {
        let pair = datagram::pair().map_err(io::Error::from);
        let (ours, theirs) =
            pair.map_err(|e| io::Error::new(e.kind(), format!("make its link to the keeper: {e}")))?;
        let program = self.upgrade.as_ref().unwrap_or(&self.program).as_fd();
        let ready = self.ready.as_ref().map(AsFd::as_fd);
        let process = self.starter.start(program, theirs.as_fd(), ready).map_err(io::Error::other)?;
        Ok(Alive {
            process,
            link: LinkState::Open(ours),
            ready: false,
            adopted: false,
            silence: Silence::default(),
            trial_ends_ms: None,
            given_up: false,
        })
    }

    /// It serves: what it runs is good, and whoever waited knows.
    pub(super) fn is_ready(&mut self) {
        if let State::Alive(alive) = &mut self.state {
            alive.ready = true;
            alive.trial_ends_ms = None;
            self.ever_ready = true;
            self.ready = None;
            self.pace.fails = 0;
            if let Some(good) = self.upgrade.take() {
                self.program = good;
            }
        }
    }

    /// The next start runs this file; if that fails three times, the old one again.
    pub(super) fn upgrade(&mut self, program: OwnedFd) {
        self.upgrade = Some(program);
    }

    /// Its end of the link is closed.
    pub(super) fn hung_up(&mut self, now_ms: u64) {
        if let State::Alive(alive) = &mut self.state {
            alive.link = LinkState::Closed { kill_at_ms: now_ms + LAST_WORDS_MS };
        }
    }

    /// It is reaped, and its link read to the end. Fails as `act` does.
    pub(super) fn ended(&mut self, status: i32, now_ms: u64, holds_any: bool) -> io::Result<()> {
        let exit = Exit::from_wait_status(status);
        let ready = self.alive().is_some_and(|alive| alive.ready);
        if self.alive().is_some_and(|alive| alive.given_up) {
            // Another attempt would take as long.
            self.upgrade = None;
            return self.failed(now_ms, holds_any, "it did not come to serve, and was killed");
        }
        if exit == Exit::Signal(libc::SIGKILL) || (ready && exit.is_success()) {
            self.state = State::Due { at_ms: now_ms + self.pace.at_once(now_ms) };
            return Ok(());
        }
        self.failed(now_ms, holds_any, &format!("it ended before it served ({exit})"))
    }

    /// It shall not be started again.
    pub(super) fn is_over(&mut self) {
        self.state = State::Over;
    }

    fn failed(&mut self, now_ms: u64, holds_any: bool, reason: &str) -> io::Result<()> {
        if !self.ever_ready && !holds_any {
            self.state = State::Over;
            tell(self.ready.take(), reason);
            return Err(io::Error::other(reason));
        }
        self.state = State::Due { at_ms: now_ms + self.pace.after_failure() };
        if self.pace.fails >= 3 {
            self.upgrade = None;
        }
        Ok(())
    }
}

/// Says why there will be no daemon to whoever waits for one. A daemon that has said it itself is heard first.
pub(super) fn tell(ready: Option<OwnedFd>, reason: &str) {
    if let Some(pipe) = ready {
        // Nobody may be left to hear it.
        let _unheard = std::fs::File::from(pipe).write_all(format!("{reason}\n").as_bytes());
    }
}

/// When the next daemon may start.
#[derive(Debug, Default)]
struct Pace {
    fails: u32,
    since_ms: u64,
    starts: u32,
}

impl Pace {
    /// After an end that is no failure: now, but after 100 within a second rest for 100 ms.
    fn at_once(&mut self, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(self.since_ms) >= 1000 {
            (self.since_ms, self.starts) = (now_ms, 0);
        }
        self.starts += 1;
        if self.starts > 100 { 100 } else { 0 }
    }

    /// 50 ms, doubled with each failure in a row, up to 6.4 s.
    fn after_failure(&mut self) -> u64 {
        let delay = 50 << self.fails.min(7);
        self.fails = self.fails.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_wait_longer_and_longer() {
        let mut pace = Pace::default();
        let waits: Vec<u64> = (0..9).map(|_| pace.after_failure()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 6400, 6400]);
    }

    #[test]
    fn a_hundred_kills_a_second_cost_nothing_and_more_a_pause() {
        let mut pace = Pace::default();
        assert!((0..100).all(|n| pace.at_once(5000 + n) == 0));
        assert_eq!(pace.at_once(5500), 100);
        assert_eq!(pace.at_once(6000), 0);
    }
}
