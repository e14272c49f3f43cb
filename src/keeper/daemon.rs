//! The daemon's life as the keeper sees it: one at a time, and when it ends, when the next one comes.
//!
//! ```text
//!   Due(at) ── start ──▶ Alive ── reaped ──▶ Due(at once)       killed from outside, or left on purpose after READY
//!      ▲                                └──▶ Due(50 ms << n)    crashed, or ended before READY
//!      └─ could not be started           └─▶ Over               shut down, or no first one can be had
//! ```
//! One that has been given to us (`adopted`) is no child of ours: its pidfd says when it has ended. One that has said
//! READY or PING and then nothing more is killed if it is frozen (`silence`).
//! A new program is on trial (`trial`) until it has served for a while. Of what daemons die at their start, and what they do
//! without therefore, is known by `suspects`.
//!
//! A SIGKILL is harmless here and never counts as a crash: whoever kills daemons all day must not make pipes
//! fill while we wait.

use super::datagram;
use super::image::DaemonImage;
use super::message::Past;
use super::pace::{Pace, STEADY_MS};
use super::silence::Silence;
use super::suspects::Suspects;
use super::trial::Trial;
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
    trial: Option<Trial>,
    state: State,
    /// Until a daemon has said READY for the first time.
    ready: Option<OwnedFd>,
    ever_ready: bool,
    starts: u64,
    pace: Pace,
    suspects: Suspects,
    /// What the next daemon is told of those before it.
    past: Past,
    /// What the present one has said of why it ends.
    words: Vec<u8>,
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
    /// Since when it serves.
    ready_ms: Option<u64>,
    /// It has asked for another program to run after it.
    leaves: bool,
    /// Not our child.
    adopted: bool,
    /// What is known of one that says nothing.
    silence: Silence,
    /// It stands still, or its program did not come to serve, and is killed.
    given_up: bool,
}

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
            trial: None,
            state,
            ready,
            ever_ready: false,
            starts: 0,
            pace: Pace::default(),
            suspects: Suspects::default(),
            past: Past::default(),
            words: Vec::new(),
        }
    }

    /// Takes over a daemon that has outlived its keeper.
    pub(super) fn adopt(&mut self, process: Spawned, socket: OwnedFd, now_ms: u64) {
        let alive = Alive::new(process, socket);
        // It has served for long, and pinged who was here before.
        let silence = Silence::of_one_that_pings(now_ms);
        self.state = State::Alive(Alive { ready_ms: Some(now_ms), adopted: true, silence, ..alive });
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
            upgrade: self.trial.as_ref().map(|trial| number(&trial.program)),
            pipe: self.ready.as_ref().map(number),
            ready: alive.ready_ms.is_some(),
            ever_ready: self.ever_ready,
            adopted: alive.adopted,
            pings: alive.silence.is_watched(),
            starts: self.starts,
            aside: self.suspects.aside(),
            all_aside: self.suspects.all(),
        })
    }

    /// Takes over from the program before.
    pub(super) fn from_image(starter: S, image: &DaemonImage, now_ms: u64) -> io::Result<Daemon<S>> {
        let pipe = image.pipe.and_then(|number| fd::inherit(number).ok());
        let mut daemon = Daemon::new(starter, fd::inherit(image.program)?, pipe);
        let trial = image.upgrade.and_then(|number| fd::inherit(number).ok());
        daemon.trial = trial.map(|program| Trial::of(program, Vec::new()));
        let process = Spawned { pid: image.pid, pidfd: fd::inherit(image.pidfd)? };
        daemon.state = State::Alive(Alive {
            ready_ms: image.ready.then_some(now_ms),
            adopted: image.adopted,
            silence: if image.pings { Silence::of_one_that_pings(now_ms) } else { Silence::default() },
            ..Alive::new(process, fd::inherit(image.socket)?)
        });
        if let Some(trial) = daemon.trial.as_mut().filter(|_| image.ready) {
            trial.serves(now_ms);
        }
        daemon.suspects = Suspects::from_image(&image.aside, image.all_aside);
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
                let trial = self.trial.as_ref().and_then(Trial::due_ms);
                [alive.silence.until_ms(), trial].into_iter().flatten().min()
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
    pub(super) fn act(&mut self, now_ms: u64, known: &[u64]) -> io::Result<Option<u64>> {
        if self.trial.as_mut().is_some_and(|trial| trial.is_proven(now_ms)) {
            self.commit();
        }
        if let State::Alive(alive) = &mut self.state {
            alive.given_up |= self.trial.as_mut().is_some_and(|trial| trial.is_late(now_ms));
            let open = matches!(alive.link, LinkState::Open(_));
            if open && !alive.given_up {
                if !alive.silence.is_for_ever(alive.process.pid, now_ms) {
                    return Ok(None);
                }
                alive.given_up = alive.ready_ms.is_none();
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
            Ok(alive) => {
                if let Some(trial) = &mut self.trial {
                    trial.begins(now_ms);
                }
                self.suspects.busy_with(0);
                self.words.clear();
                self.state = State::Alive(alive);
                self.starts += 1;
                Ok(Some(self.starts - 1))
            }
            Err(error) => self.failed(now_ms, known, &error.to_string(), true).map(|()| None),
        }
    }

    fn attempt(&mut self) -> io::Result<Alive> {
        let pair = datagram::pair().map_err(io::Error::from);
        let (ours, theirs) =
            pair.map_err(|e| io::Error::new(e.kind(), format!("make its link to the keeper: {e}")))?;
        let program = self.trial.as_ref().map_or(&self.program, |trial| &trial.program).as_fd();
        let ready = self.ready.as_ref().map(AsFd::as_fd);
        let process = self.starter.start(program, theirs.as_fd(), ready).map_err(io::Error::other)?;
        Ok(Alive::new(process, ours))
    }

    /// It serves: whoever waited knows, and nobody of whom it does without is led without need.
    pub(super) fn is_ready(&mut self, now_ms: u64) {
        let State::Alive(alive) = &mut self.state else { return };
        alive.ready_ms.get_or_insert(now_ms);
        self.ever_ready = true;
        self.ready = None;
        match &mut self.trial {
            Some(trial) => trial.serves(now_ms),
            None => self.suspects.served(),
        }
    }

    /// The next start runs this file, without the old one's suspicions; if that fails, the old one again.
    /// One on trial that serves has shown that much: it is the one to come back.
    pub(super) fn upgrade(&mut self, program: OwnedFd, path: Vec<u8>) {
        if self.alive().is_some_and(|alive| alive.ready_ms.is_some()) {
            self.commit();
        }
        self.trial = Some(Trial::of(program, path));
        self.pace.reset();
        self.past.undone.clear();
        if let State::Alive(alive) = &mut self.state {
            alive.leaves = true;
        }
    }

    /// What was tried is good.
    fn commit(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.program = trial.program;
            self.suspects = Suspects::default();
        }
    }

    /// What is known of those that kill daemons.
    pub(super) fn suspects(&mut self) -> &mut Suspects {
        &mut self.suspects
    }

    /// What it has said of why it ends.
    pub(super) fn last_words(&mut self, words: Vec<u8>) {
        self.words = words;
    }

    /// For the daemon that lives. A program on trial shows what it can do with all there is.
    pub(super) fn past(&self) -> Past {
        match &self.trial {
            Some(_) => self.past.clone(),
            None => Past { aside: self.suspects.aside(), all: self.suspects.all(), ..self.past.clone() },
        }
    }

    /// Its end of the link is closed.
    pub(super) fn hung_up(&mut self, now_ms: u64) {
        if let State::Alive(alive) = &mut self.state {
            alive.link = LinkState::Closed { kill_at_ms: now_ms + LAST_WORDS_MS };
        }
    }

    /// It is reaped, and its link read to the end. `known`: the entries there are. Fails as `act` does.
    pub(super) fn ended(&mut self, status: i32, now_ms: u64, known: &[u64]) -> io::Result<()> {
        let exit = Exit::from_wait_status(status);
        let State::Alive(alive) = &self.state else { return Ok(()) };
        let (ready_ms, given_up, leaves) = (alive.ready_ms, alive.given_up, alive.leaves);
        let steady = ready_ms.is_some_and(|since| now_ms.saturating_sub(since) >= STEADY_MS);
        if steady {
            self.pace.reset();
            self.past = Past::default();
        }
        let from_outside = exit == Exit::Signal(libc::SIGKILL) && !given_up;
        if from_outside || (exit.is_success() && (leaves || steady)) {
            self.state = State::Due { at_ms: now_ms + self.pace.at_once(now_ms) };
            return Ok(());
        }
        let reason = match (ready_ms, given_up) {
            (None, true) => "it did not come to serve, and was killed".to_owned(),
            (None, false) => format!("it ended before it served ({exit})"),
            (Some(_), _) => format!("it served and ended ({exit})"),
        };
        if self.undo(ready_ms.is_some(), given_up, &reason) {
            return self.put_off(now_ms);
        }
        self.past.deaths = self.past.deaths.saturating_add(1);
        self.past.status = status;
        self.past.words = std::mem::take(&mut self.words);
        let by_itself = given_up || matches!(exit, Exit::Signal(_) | Exit::Code(PANIC));
        let hopeless = match ready_ms {
            Some(_) => {
                self.suspects.died_serving();
                false
            }
            None => !by_itself || self.suspects.died(known),
        };
        self.failed(now_ms, known, &reason, hopeless)
    }

    /// True if the program that failed is on trial: what is on record is not to blame for that.
    fn undo(&mut self, served: bool, given_up: bool, reason: &str) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        if trial.failed(served, given_up) {
            self.past.undone = trial.told(reason);
            self.trial = None;
            self.pace.reset();
        }
        true
    }

    /// It shall not be started again.
    pub(super) fn is_over(&mut self) {
        self.state = State::Over;
    }

    fn failed(&mut self, now_ms: u64, known: &[u64], reason: &str, hopeless: bool) -> io::Result<()> {
        if !self.ever_ready && known.is_empty() && hopeless {
            self.state = State::Over;
            tell(self.ready.take(), reason);
            return Err(io::Error::other(reason));
        }
        self.put_off(now_ms)
    }

    fn put_off(&mut self, now_ms: u64) -> io::Result<()> {
        if self.suspects.searching() {
            // There are only so many attempts.
            self.pace.reset();
        }
        self.state = State::Due { at_ms: now_ms + self.pace.after_failure() };
        Ok(())
    }
}

impl Alive {
    fn new(process: Spawned, socket: OwnedFd) -> Alive {
        Alive {
            process,
            link: LinkState::Open(socket),
            ready_ms: None,
            leaves: false,
            adopted: false,
            silence: Silence::default(),
            given_up: false,
        }
    }
}

/// How a Rust program ends that panics.
const PANIC: i32 = 101;

/// Says why there will be no daemon to whoever waits for one. A daemon that has said it itself is heard first.
pub(super) fn tell(ready: Option<OwnedFd>, reason: &str) {
    if let Some(pipe) = ready {
        // Nobody may be left to hear it.
        let _unheard = std::fs::File::from(pipe).write_all(format!("{reason}\n").as_bytes());
    }
}
