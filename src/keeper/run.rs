//! The loop. One turn: hear of ends, read what the daemon says, reap, start the daemon if it is due, tell it the
//! news. It waits only in poll(2), never for the daemon.
//!
//! When the daemon ends, it must be reaped first, that is its last thread gone; then what it still said is carried out
//! to the last message; only then does the next one start, on a link of its own. So no order is lost or
//! overtaken, and there are never two daemons.

use super::daemon::{Daemon, Start};
use super::datagram::{self, BUFFER, Received};
use super::enter::OWN_FDS;
use super::image::Image;
use super::message::{Message, Tag, ToDaemon, ToKeeper};
use super::table::Table;
use super::upgrade;
use crate::sys::signal::ChildEnds;
use crate::sys::spawn::{Baseline, Spawned};
use crate::sys::{child, clock, fault, fd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Messages read in one turn, so that a talkative daemon does not keep the dead from being reaped.
const TURN: usize = 256;

/// The keeper.
#[derive(Debug)]
pub struct Keeper<S> {
    table: Table,
    daemon: Daemon<S>,
    ends: ChildEnds,
    outlet: Outlet,
    /// The daemon has asked us to end.
    closing: bool,
    /// A daemon that has outlived its keeper is telling us what there is; it ends that with READY.
    adopting: bool,
    /// The program to become, once everything is told.
    upgrade: Option<OwnedFd>,
    /// What came of that, to be told.
    upgraded: Option<String>,
    /// A ping is to be answered.
    pinged: bool,
    buffer: Vec<u8>,
}

/// Milliseconds for the daemon's life: of the monotonic clock, as a daemon says nothing in a suspend either.
fn now_ms() -> u64 {
    clock::monotonic_ns() / 1_000_000
}

/// Whether more can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlet {
    /// Everything is said.
    Clear,
    /// When the socket is writable again.
    Full,
    /// In a moment: too many descriptors are in flight or open, for which there is no event.
    Later,
}

/// The end of a process that is not our child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Worker(u64),
    Daemon,
}

impl<S: Start> Keeper<S> {
    /// A keeper whose daemons run `program`. `ready` is told if the first one fails. All signals must be blocked
    /// (see `settle`, which also gives the baseline).
    pub fn new(
        starter: S,
        program: OwnedFd,
        ready: Option<OwnedFd>,
        baseline: Baseline,
    ) -> io::Result<Keeper<S>> {
        Keeper::of(Table::new(baseline), Daemon::new(starter, program, ready))
    }

    fn of(table: Table, daemon: Daemon<S>) -> io::Result<Keeper<S>> {
        Ok(Keeper {
            table,
            daemon,
            ends: ChildEnds::new()?,
            outlet: Outlet::Clear,
            closing: false,
            adopting: false,
            upgrade: None,
            upgraded: None,
            pinged: false,
            buffer: vec![0; BUFFER],
        })
    }

    /// Takes over a daemon whose keeper is dead: over `socket` it tells what there is.
    pub fn adopt(&mut self, daemon: Spawned, socket: OwnedFd) {
        self.daemon.adopt(daemon, socket, now_ms());
        self.adopting = true;
    }

    /// Goes on where the program before this one stopped; `Malformed` if its image is of no use.
    pub(super) fn resume(starter: S, image: Image) -> io::Result<Keeper<S>> {
        let daemon = Daemon::from_image(starter, &image.daemon, now_ms())?;
        let mut keeper = Keeper::of(Table::from_image(image.baseline, image.entries), daemon)?;
        fault::pass("keeper.resumed");
        keeper.closing = image.closing;
        keeper.adopting = image.adopting;
        keeper.upgraded = Some(String::new());
        Ok(keeper)
    }

    /// Keeps a descriptor for the daemon itself.
    pub fn hold(&mut self, tag: Tag, fd: OwnedFd) {
        self.table.keep(0, tag, fd);
    }

    /// Runs until the daemon has asked for the end and no process is left. Fails if the first daemon does.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            self.see_to_daemon()?;
            self.tell();
            self.upgrade();
            if self.closing && self.daemon.pid().is_none() && !self.table.any_running() {
                return Ok(());
            }
            let ended = self.wait();
            self.ends.drain();
            for _ in 0..TURN {
                if !self.read() {
                    break;
                }
            }
            self.reap()?;
            self.see_adopted(ended)?;
        }
    }

    fn see_to_daemon(&mut self) -> io::Result<()> {
        let now = now_ms();
        if self.daemon.due_ms().is_some_and(|due| due <= now)
            && let Some(restarts) = self.daemon.act(now, &self.table.known())?
        {
            fault::pass("keeper.daemon_started");
            self.adopting = false;
            self.pinged = false;
            let past = self.daemon.past();
            // Who is set aside may not have come to us yet.
            let search = !self.daemon.ever_ready() || self.daemon.suspects().any();
            self.table.hand_over(restarts, search, past);
        }
        Ok(())
    }

    fn tell(&mut self) {
        let Some(socket) = self.daemon.socket() else {
            self.outlet = Outlet::Clear;
            return;
        };
        let mut send =
            |message: &ToDaemon, fds: &[BorrowedFd<'_>]| datagram::send(socket, &message.encode(), fds);
        let told = self.table.tell(&mut send).and_then(|()| {
            if self.pinged {
                send(&ToDaemon::Pong, &[])?;
                self.pinged = false;
            }
            let Some(refusal) = &self.upgraded else { return Ok(()) };
            let (keeper_pid, refusal) = (std::process::id(), refusal.as_bytes().to_vec());
            send(&ToDaemon::Upgraded { keeper_pid, refusal }, &[])?;
            self.upgraded = None;
            Ok(())
        });
        self.outlet = match told {
            Ok(()) => Outlet::Clear,
            Err(Errno::AGAIN) => Outlet::Full,
            // It is dying; reading will find that out, and the next one is told everything.
            Err(Errno::PIPE | Errno::CONNRESET) => Outlet::Clear,
            Err(_short_of_something) => Outlet::Later,
        };
    }

    /// Waits for anything to happen; what has ended that is not our child.
    fn wait(&self) -> Vec<Ended> {
        let due = self.daemon.due_ms().map(|due| due.saturating_sub(now_ms()));
        let millis = if self.outlet == Outlet::Later { Some(10) } else { due };
        let timeout = millis.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
        });
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, self.outlet == Outlet::Full);
        let adopted = self.table.adopted().map(|(entry, fd)| (Some(Ended::Worker(entry)), fd, PollFlags::IN));
        let daemon = self.daemon.adopted().map(|fd| (Some(Ended::Daemon), fd, PollFlags::IN));
        let socket = self.daemon.socket().map(|socket| (None, socket, events));
        let ends = (None, self.ends.as_fd(), PollFlags::IN);
        let watched: Vec<_> = [Some(ends), socket, daemon].into_iter().flatten().chain(adopted).collect();
        let mut fds: Vec<_> =
            watched.iter().map(|(_, fd, events)| PollFd::from_borrowed_fd(*fd, *events)).collect();
        // An error (EINTR, ENOMEM) makes an empty turn.
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let seen = watched.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        seen.filter_map(|((what, ..), _)| *what).collect()
    }

    fn see_adopted(&mut self, ended: Vec<Ended>) -> io::Result<()> {
        for what in ended {
            match what {
                Ended::Worker(entry) => self.table.adopted_ended(entry),
                // Nobody can tell how: as if killed from outside.
                Ended::Daemon if self.daemon.adopted().is_some() => self.daemon_ended(libc::SIGKILL)?,
                Ended::Daemon => {}
            }
        }
        Ok(())
    }

    /// Carries out one message of the daemon; false if there is none.
    fn read(&mut self) -> bool {
        let Some(socket) = self.daemon.socket() else { return false };
        match datagram::receive(socket, &mut self.buffer) {
            Received::Message(message, fds) => {
                fault::pass("keeper.received");
                self.handle(&message, fds);
                fault::pass("keeper.handled");
            }
            Received::Broken(Some(head)) if head.is_spawn() => {
                self.table.refuse(head.run(), head.request, Errno::MFILE);
            }
            Received::Broken(_) => {}
            Received::Nothing => return false,
            Received::Gone => {
                self.daemon.hung_up(now_ms());
                return false;
            }
        }
        true
    }

    fn handle(&mut self, message: &Message, mut fds: Vec<OwnedFd>) {
        self.daemon.heard(false, now_ms());
        match ToKeeper::decode(message) {
            Ok(Some(ToKeeper::Spawn(request))) => self.table.spawn(request, fds),
            Ok(Some(ToKeeper::Keep { entry, tag })) => {
                if let Some(fd) = fds.pop() {
                    self.table.keep(entry, tag, fd);
                }
            }
            Ok(Some(ToKeeper::Drop { entry, tag })) => self.table.drop_fd(entry, tag),
            Ok(Some(ToKeeper::Blob { entry, blob })) => self.table.blob(entry, blob),
            Ok(Some(ToKeeper::Blobs(blobs))) => {
                blobs.into_iter().for_each(|(entry, blob)| self.table.blob(entry, blob));
            }
            Ok(Some(ToKeeper::Ack(run))) => self.table.ack(run),
            Ok(Some(ToKeeper::Forget { entry })) => self.table.forget(entry),
            Ok(Some(ToKeeper::Kill { run, signal, group })) => self.table.kill(run, signal, group),
            Ok(Some(ToKeeper::Ready)) => {
                // From now on it pings, if it is not stopped before the first one.
                self.daemon.heard(true, now_ms());
                self.daemon.is_ready(now_ms());
                if std::mem::take(&mut self.adopting) {
                    fault::pass("keeper.adopted_all");
                    self.table.greet(self.daemon.restarts(), false, self.daemon.past());
                }
            }
            Ok(Some(ToKeeper::UpgradeDaemon { path })) => {
                if let Ok(program) = open(fds.pop(), &path) {
                    self.daemon.upgrade(program, path);
                }
            }
            Ok(Some(ToKeeper::UpgradeKeeper { path })) => match open(fds.pop(), &path) {
                Ok(program) => self.upgrade = Some(program),
                Err(error) => self.upgraded = Some(format!("open the program: {error}")),
            },
            Ok(Some(ToKeeper::Adopt(request))) => self.table.adopt(request, fds),
            Ok(Some(ToKeeper::Ping)) => {
                self.daemon.heard(true, now_ms());
                self.pinged = true;
            }
            Ok(Some(ToKeeper::Trying { entry })) => self.daemon.suspects().busy_with(entry),
            Ok(Some(ToKeeper::Aside { entry, key })) => self.daemon.suspects().set_aside(entry, key),
            Ok(Some(ToKeeper::TakeBack { entry, key })) => {
                self.daemon.suspects().take_back(entry, key, &self.table.known());
            }
            Ok(Some(ToKeeper::LastWords(words))) => self.daemon.last_words(words),
            Ok(Some(ToKeeper::Shutdown)) => self.closing = true,
            Ok(None) => {}
            Err(_malformed) if message.is_spawn() => {
                self.table.refuse(message.run(), message.request, Errno::INVAL);
            }
            Err(_malformed) => {}
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        let mut daemons_end = None;
        while let Some(reaped) = child::reap() {
            fault::pass("keeper.reaped");
            if self.daemon.pid() == Some(reaped.pid) {
                daemons_end = Some(reaped.status);
            } else {
                self.table.exited(&reaped);
            }
        }
        match daemons_end {
            Some(status) => self.daemon_ended(status),
            None => Ok(()),
        }
    }

    fn daemon_ended(&mut self, status: i32) -> io::Result<()> {
        // No thread of it is left, so nothing comes after what is in the socket now.
        while self.read() {}
        fault::pass("keeper.heard_out");
        if self.closing {
            self.daemon.is_over();
            return Ok(());
        }
        self.daemon.ended(status, now_ms(), &self.table.known())
    }

    /// Becomes another program, if that is asked for, everything is told and a daemon can be told what came of it.
    fn upgrade(&mut self) {
        if self.outlet != Outlet::Clear || self.upgrade.is_none() {
            return;
        }
        let Some(daemon) = self.daemon.image() else { return };
        let Some(program) = self.upgrade.take() else { return };
        let image = Image {
            baseline: self.table.baseline(),
            closing: self.closing,
            adopting: self.adopting,
            daemon,
            entries: self.table.image(),
        };
        fault::pass("keeper.image");
        // Returns only if nothing has changed.
        self.upgraded = Some(upgrade::become_keeper(&program, &image, image.baseline).to_string());
        self.tell();
    }
}

/// A program to run by its descriptor, the one that came or else one of this path; under a number that is none of those
/// which the new process gets its own descriptors at.
fn open(passed: Option<OwnedFd>, path: &[u8]) -> io::Result<OwnedFd> {
    let open = || rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    fd::raise(passed.map_or_else(open, Ok)?, OWN_FDS)
}
