//! The loop. One turn: hear of ends, read what the daemon says, reap, start the daemon if it is due, tell it the
//! news. It waits only in poll(2), never for the daemon.
//!
//! When the daemon ends, it must be reaped first, that is its last thread gone; then what it still said is carried out
//! to the last message; only then does the next one start, on a link of its own. So no order is lost or
//! overtaken, and there are never two daemons.

use super::daemon::{Daemon, Start};
use super::datagram::{self, BUFFER, Received};
use super::message::{Message, Tag, ToDaemon, ToKeeper};
use super::table::Table;
use crate::sys::signal::ChildEnds;
use crate::sys::spawn::Baseline;
use crate::sys::{child, clock};
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
    buffer: Vec<u8>,
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

impl<S: Start> Keeper<S> {
    /// A keeper whose daemons run `program`. `ready` is told if the first one fails. All signals must be blocked
    /// (see `settle`, which also gives the baseline).
    pub fn new(
        starter: S,
        program: OwnedFd,
        ready: Option<OwnedFd>,
        baseline: Baseline,
    ) -> io::Result<Keeper<S>> {
        Ok(Keeper {
            table: Table::new(baseline),
            daemon: Daemon::new(starter, program, ready),
            ends: ChildEnds::new()?,
            outlet: Outlet::Clear,
            closing: false,
            buffer: vec![0; BUFFER],
        })
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
            if self.closing && self.daemon.pid().is_none() && !self.table.any_running() {
                return Ok(());
            }
            self.wait();
            self.ends.drain();
            for _ in 0..TURN {
                if !self.read() {
                    break;
                }
            }
            self.reap()?;
        }
    }

    fn see_to_daemon(&mut self) -> io::Result<()> {
        let now = clock::now().boot_ms;
        if self.daemon.due_ms().is_some_and(|due| due <= now)
            && let Some(restarts) = self.daemon.act(now, self.table.holds_any())?
        {
            self.table.hand_over(restarts);
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
        self.outlet = match self.table.tell(&mut send) {
            Ok(()) => Outlet::Clear,
            Err(Errno::AGAIN) => Outlet::Full,
            // It is dying; reading will find that out, and the next one is told everything.
            Err(Errno::PIPE | Errno::CONNRESET) => Outlet::Clear,
            Err(_short_of_something) => Outlet::Later,
        };
    }

    fn wait(&self) {
        let due = self.daemon.due_ms().map(|due| due.saturating_sub(clock::now().boot_ms));
        let millis = if self.outlet == Outlet::Later { Some(10) } else { due };
        let timeout = millis.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
        });
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, self.outlet == Outlet::Full);
        let ends = PollFd::from_borrowed_fd(self.ends.as_fd(), PollFlags::IN);
        // An error (EINTR, ENOMEM) makes an empty turn.
        let _again = match self.daemon.socket() {
            Some(socket) => poll(&mut [ends, PollFd::from_borrowed_fd(socket, events)], timeout.as_ref()),
            None => poll(&mut [ends], timeout.as_ref()),
        };
    }

    /// Carries out one message of the daemon; false if there is none.
    fn read(&mut self) -> bool {
        let Some(socket) = self.daemon.socket() else { return false };
        match datagram::receive(socket, &mut self.buffer) {
            Received::Message(message, fds) => self.handle(&message, fds),
            Received::Broken(Some(head)) if head.is_spawn() => {
                self.table.refuse(head.run(), head.request, Errno::MFILE);
            }
            Received::Broken(_) => {}
            Received::Nothing => return false,
            Received::Gone => {
                self.daemon.hung_up(clock::now().boot_ms);
                return false;
            }
        }
        true
    }

    fn handle(&mut self, message: &Message, mut fds: Vec<OwnedFd>) {
        match ToKeeper::decode(message) {
            Ok(Some(ToKeeper::Spawn(request))) => self.table.spawn(request, fds),
            Ok(Some(ToKeeper::Keep { entry, tag })) => {
                if let Some(fd) = fds.pop() {
                    self.table.keep(entry, tag, fd);
                }
            }
            Ok(Some(ToKeeper::Drop { entry, tag })) => self.table.drop_fd(entry, tag),
            Ok(Some(ToKeeper::Blob { entry, blob })) => self.table.blob(entry, blob),
            Ok(Some(ToKeeper::Ack(run))) => self.table.ack(run),
            Ok(Some(ToKeeper::Forget { entry })) => self.table.forget(entry),
            Ok(Some(ToKeeper::Kill { run, signal, group })) => self.table.kill(run, signal, group),
            Ok(Some(ToKeeper::Ready)) => self.daemon.is_ready(),
            Ok(Some(ToKeeper::UpgradeDaemon { path })) => {
                let open =
                    || rustix::fs::open(path.as_slice(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok();
                if let Some(program) = fds.pop().or_else(open) {
                    self.daemon.upgrade(program);
                }
            }
            Ok(Some(ToKeeper::Shutdown)) => self.closing = true,
            // A keeper that cannot do these yet goes on as it is; the daemon sees it by the pid in the next welcome.
            Ok(Some(ToKeeper::UpgradeKeeper { .. } | ToKeeper::Adopt { .. }) | None) => {}
            Err(_malformed) if message.is_spawn() => {
                self.table.refuse(message.run(), message.request, Errno::INVAL);
            }
            Err(_malformed) => {}
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        let mut daemons_end = None;
        while let Some(reaped) = child::reap() {
            if self.daemon.pid() == Some(reaped.pid) {
                daemons_end = Some(reaped.status);
            } else {
                self.table.exited(&reaped);
            }
        }
        let Some(status) = daemons_end else { return Ok(()) };
        // No thread of it is left, so nothing comes after what is in the socket now.
        while self.read() {}
        if self.closing {
            self.daemon.is_over();
            return Ok(());
        }
        self.daemon.ended(status, clock::now().boot_ms, self.table.holds_any())
    }
}
