//! The daemon's end of the link: orders to the keeper, and what it tells. Senders may wait a moment for room, the
//! keeper always drains; receiving never waits.

use super::datagram::{self, BUFFER, Received};
use super::heir::{self, Begun};
use super::message::{Adopt, Message, Spawn, Tag, ToKeeper};
use super::mirror::Mirror;
use super::news::told;
pub use super::news::{Entry, EntryState, FromKeeper};
use super::pulse::Pulse;
use crate::model::Run;
use crate::sys::spawn::Creds;
use crate::sys::{child, fault, fd, kin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketType;
use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The link. Clones are the same link; any thread may send.
#[derive(Debug, Clone)]
pub struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    buffer: Mutex<Vec<u8>>,
    /// Locked for as long as an order is sent, so that nothing falls between a dead keeper and its heir.
    mirror: Mutex<Mirror>,
    pulse: Mutex<Pulse>,
    /// Keepers that we have started ourselves: children of ours, to be reaped by us.
    heirs: Mutex<Vec<u32>>,
}

/// A process to start. At most 250 descriptors, counting one that is mapped and kept once.
#[derive(Clone, Copy)]
pub struct SpawnRequest<'a> {
    /// Entry and generation; a generation that the keeper has seen is ignored.
    pub run: Run,
    /// Comes back in the answer.
    pub token: u64,
    /// File to run; no search along PATH.
    pub program: &'a CStr,
    /// Arguments, the name first.
    pub argv: &'a [CString],
    /// The whole environment.
    pub envp: &'a [CString],
    /// Working directory.
    pub cwd: &'a CStr,
    /// Who runs it; `None`: the keeper's user.
    pub creds: Option<&'a Creds>,
    /// Set `LISTEN_PID` to the process's own pid.
    pub listen_pid: bool,
    /// Number in the process, and what it shall be there.
    pub map: &'a [(RawFd, BorrowedFd<'a>)],
    /// What the keeper keeps for the entry.
    pub keep: &'a [(Tag, BorrowedFd<'a>)],
    /// The entry's new record.
    pub blob: &'a [u8],
}

/// Environment and record may hold secrets.
impl fmt::Debug for SpawnRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpawnRequest { run, program, cwd, .. } = self;
        let mut shown = f.debug_struct("SpawnRequest");
        shown.field("run", run).field("program", program).field("cwd", cwd).finish_non_exhaustive()
    }
}

impl Link {
    /// The link that the keeper gave this process as descriptor 3. Once, early. Fails if there is none: somebody else has
    /// started this daemon.
    pub fn inherited() -> io::Result<Link> {
        let socket = fd::inherit(3)?;
        match rustix::net::sockopt::socket_type(&socket)? {
            SocketType::SEQPACKET => Ok(Link::new(socket)),
            _ => Err(io::Error::from(Errno::NOTSOCK)),
        }
    }

    /// A link over this socket.
    pub fn new(socket: OwnedFd) -> Link {
        let (buffer, mirror) = (Mutex::new(vec![0; BUFFER]), Mutex::default());
        Link(Arc::new(Shared { socket, buffer, mirror, pulse: Mutex::default(), heirs: Mutex::default() }))
    }

    /// Starts a process; answered by `Spawned` or `SpawnFailed`. Also acknowledges the end of the run before it.
    pub fn spawn(&self, request: &SpawnRequest<'_>) -> io::Result<()> {
        let (fds, map) = places(request);
        let keep = request.keep.iter().zip(0..).map(|((tag, _), place)| (*tag, place));
        let text = |items: &[CString]| items.iter().map(|item| item.to_bytes().to_vec()).collect();
        let spawn = Spawn {
            run: request.run,
            token: request.token,
            creds: request.creds.cloned(),
            listen_pid: request.listen_pid,
            program: request.program.to_bytes().to_vec(),
            cwd: request.cwd.to_bytes().to_vec(),
            argv: text(request.argv),
            envp: text(request.envp),
            map,
            keep: keep.collect(),
            blob: request.blob.to_vec(),
        };
        self.send(&ToKeeper::Spawn(spawn), &fds)
    }

    /// Keeps a descriptor for an entry, in place of the one with this tag. Makes the entry if it is new.
    pub fn keep(&self, entry: u64, tag: Tag, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&ToKeeper::Keep { entry, tag }, &[fd])
    }

    /// Closes a kept descriptor.
    pub fn drop_fd(&self, entry: u64, tag: Tag) -> io::Result<()> {
        self.send(&ToKeeper::Drop { entry, tag }, &[])
    }

    /// Replaces the record of an entry. Makes the entry if it is new.
    pub fn blob(&self, entry: u64, blob: &[u8]) -> io::Result<()> {
        self.send(&ToKeeper::Blob { entry, blob: blob.to_vec() }, &[])
    }

    /// Replaces the records of many entries; a death leaves all replaced or none.
    pub fn blobs(&self, blobs: Vec<(u64, Vec<u8>)>) -> io::Result<()> {
        self.send(&ToKeeper::Blobs(blobs), &[])
    }

    /// The end of this run is handled; no daemon needs to hear of it again.
    pub fn ack(&self, run: Run) -> io::Result<()> {
        self.send(&ToKeeper::Ack(run), &[])
    }

    /// Removes an entry with all that is kept for it. Ignored while its process lives, and for entry 0.
    pub fn forget(&self, entry: u64) -> io::Result<()> {
        self.send(&ToKeeper::Forget { entry }, &[])
    }

    /// Signals the process of a run, or its process group; does nothing if that run does not live. A process we have a
    /// pidfd of is signalled at once: it would be lost with a keeper that dies now.
    pub fn kill(&self, run: Run, signal: i32, group: bool) -> io::Result<()> {
        if !group && let Some((_, pidfd)) = self.mirror().process(run) {
            return child::send(pidfd, signal).map(drop);
        }
        self.send(&ToKeeper::Kill { run, signal, group }, &[])
    }

    /// This daemon serves.
    pub fn ready(&self) -> io::Result<()> {
        self.send(&ToKeeper::Ready, &[])
    }

    /// The next daemon runs this program (`file`, if it is open already). End with success after it. One that fails three
    /// times before it is ready, or twice soon after, is given up for the one that served before.
    pub fn upgrade_daemon(&self, program: &Path, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let path = program.as_os_str().as_encoded_bytes().to_vec();
        self.send(&ToKeeper::UpgradeDaemon { path }, file.as_slice())
    }

    /// The keeper becomes this program; answered by `Upgraded`.
    pub fn upgrade_keeper(&self, program: &Path, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let path = program.as_os_str().as_encoded_bytes().to_vec();
        self.send(&ToKeeper::UpgradeKeeper { path }, file.as_slice())
    }

    /// This daemon begins with an entry: should it die now, it has died of that. 0: it is done with the last one.
    pub fn trying(&self, entry: u64) {
        // A keeper that is gone has nobody to suspect.
        drop(self.send(&ToKeeper::Trying { entry }, &[]));
    }

    /// Daemons do without this entry, until `take_back`.
    pub fn set_aside(&self, entry: u64) -> io::Result<()> {
        self.send(&ToKeeper::Aside { entry, key: 0 }, &[])
    }

    /// The order `key` (0: none with a name) wants an entry led again that is set aside.
    pub fn take_back(&self, entry: u64, key: u64) -> io::Result<()> {
        self.send(&ToKeeper::TakeBack { entry, key }, &[])
    }

    /// Why this daemon is about to end. Waits for nobody: whoever holds a lock may be the one that panics.
    pub fn last_words(&self, words: &str) {
        let order = ToKeeper::LastWords(words.as_bytes().to_vec());
        // They are in the log, too.
        let _unsent = datagram::send(&self.0.socket, &order.encode(), &[]);
    }

    /// This daemon is not frozen; once a second. Whoever has said it once is killed after ten seconds without a word, and
    /// so is a keeper that has answered once and then stands still for as long.
    pub fn ping(&self) -> io::Result<()> {
        self.reap_heirs();
        self.pulse().asked();
        self.send(&ToKeeper::Ping, &[])
    }

    /// The keeper is dead though `receive` does not say so.
    pub fn is_headless(&self) -> bool {
        self.pulse().is_headless()
    }

    /// Has the keeper hold an entry that it does not know, found by other means. `exited`: how its process has ended.
    pub fn adopt(&self, entry: &Entry) -> io::Result<()> {
        let mut fds: Vec<_> = entry.fds.iter().map(|(_, fd)| fd.as_fd()).collect();
        fds.extend(entry.pidfd.as_ref().map(AsFd::as_fd));
        let adopt = Adopt {
            run: Run { entry: entry.id, generation: entry.generation },
            pid: if entry.pidfd.is_some() { entry.pid } else { 0 },
            exited: match entry.state {
                EntryState::None | EntryState::Running => None,
                EntryState::Exited { status, .. } => Some(status),
            },
            spawned_ms: entry.spawned_boot_ms,
            keep: entry.fds.iter().map(|(tag, _)| *tag).zip(0..).collect(),
            blob: entry.blob.clone(),
        };
        self.send(&ToKeeper::Adopt(adopt), &fds)
    }

    /// Copies of what the keeper holds for an entry under these tags; those it has not are left out.
    pub fn held(&self, entry: u64, tags: &[Tag]) -> Vec<(Tag, OwnedFd)> {
        let mirror = self.mirror();
        let copy = |tag: &Tag| Some((*tag, mirror.fd(entry, *tag)?.try_clone_to_owned().ok()?));
        tags.iter().filter_map(copy).collect()
    }

    /// What the keeper holds for an entry, and what it is by inode.
    pub fn inodes(&self, entry: u64) -> Vec<(Tag, u64)> {
        let mirror = self.mirror();
        let inode = |(tag, fd): (Tag, BorrowedFd<'_>)| Some((tag, kin::identity(fd).ok()?.1));
        mirror.fds(entry).filter_map(inode).collect()
    }

    /// All entries that the keeper holds.
    pub fn entries(&self) -> Vec<u64> {
        self.mirror().all()
    }

    /// The record of an entry; empty if it has none.
    pub fn record(&self, entry: u64) -> Vec<u8> {
        self.mirror().record(entry)
    }

    /// Pid and pidfd of a run that is not acknowledged as ended.
    pub fn process(&self, run: Run) -> Option<(u32, OwnedFd)> {
        let mirror = self.mirror();
        let (pid, pidfd) = mirror.process(run)?;
        Some((pid, pidfd.try_clone_to_owned().ok()?))
    }

    /// The keeper is dead (`receive` said so): starts another one and tells it everything. `home_mark` is a variable
    /// (`PMON_HOME=…`) that every worker has in its environment. Returns the processes that were started
    /// while nobody could say so any more, and whether they live; what was to be started and was not, is started now.
    pub fn rebuild(&self, home_mark: &str) -> io::Result<Vec<(Run, u32, bool)>> {
        let mut mirror = self.mirror();
        fault::pass("rebuild.begun");
        self.pulse().ended();
        let (keeper, socket) = heir::start(&mirror)?;
        fault::pass("rebuild.started");
        self.heirs().push(keeper.pid);
        fd::replace(self.0.socket.as_fd(), &socket)?;
        let mut spawned = Vec::new();
        let found = heir::find(home_mark, &mirror.asked(), mirror.fd(0, Tag::new(Tag::LEDGER, 0)));
        for (run, begun) in found {
            match begun {
                Begun::Lives(process) => {
                    spawned.push((run, process.pid, true));
                    mirror.is_spawned(run, process);
                }
                Begun::Ended(pid) => {
                    spawned.push((run, pid, false));
                    mirror.is_over(run);
                }
            }
        }
        for ((order, fds), asked) in mirror.tell() {
            self.put(&order.encode(), &fds)?;
            fault::pass("rebuild.order");
            if let Some(asked) = asked {
                self.put(&asked.message, &asked.fds.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
            }
        }
        for order in mirror.aside() {
            self.put(&order.encode(), &[])?;
        }
        self.put(&ToKeeper::Ready.encode(), &[])?;
        fault::pass("rebuild.ready");
        Ok(spawned)
    }

    /// The keeper ends when this daemon and every process have; it starts no other daemon.
    pub fn shutdown(&self) -> io::Result<()> {
        self.send(&ToKeeper::Shutdown, &[])
    }

    /// The next thing the keeper tells; `None` if there is nothing now. `UnexpectedEof`: the keeper is gone.
    /// Descriptors that did not come through (this process has too many open) are an error: the message is lost.
    pub fn receive(&self) -> io::Result<Option<FromKeeper>> {
        let mut buffer = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match datagram::receive(&self.0.socket, &mut buffer) {
                Received::Message(message, fds) => {
                    if let Some(told) = told(&message, fds)? {
                        self.mirror().news(&told);
                        match &told {
                            FromKeeper::Welcome { keeper_pid, .. } => self.pulse().welcomed(*keeper_pid),
                            FromKeeper::Pong => self.pulse().answered(),
                            FromKeeper::Upgraded { .. } => self.pulse().changed(),
                            FromKeeper::Entry(_)
                            | FromKeeper::End
                            | FromKeeper::Spawned { .. }
                            | FromKeeper::SpawnFailed { .. }
                            | FromKeeper::Exited { .. } => {}
                        }
                        return Ok(Some(told));
                    }
                }
                Received::Broken(Some(_)) => return Err(Errno::MFILE.into()),
                Received::Broken(None) => return Err(io::ErrorKind::InvalidData.into()),
                Received::Nothing => return Ok(None),
                Received::Gone => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.0.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heirs(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.heirs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reap_heirs(&self) {
        self.heirs().retain(|pid| child::reap_one(*pid).is_none());
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.0.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the mirror knows is told to the next keeper: to have it sent to a dead one is no error.
    fn send(&self, order: &ToKeeper, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let message = order.encode();
        let mut mirror = self.mirror();
        mirror.order(order, &message, fds);
        let kept = match order {
            ToKeeper::Spawn(_)
            | ToKeeper::Keep { .. }
            | ToKeeper::Drop { .. }
            | ToKeeper::Blob { .. }
            | ToKeeper::Blobs(_)
            | ToKeeper::Ack(_)
            | ToKeeper::Forget { .. }
            | ToKeeper::Aside { .. }
            | ToKeeper::TakeBack { .. }
            | ToKeeper::Adopt(_) => true,
            ToKeeper::Kill { .. }
            | ToKeeper::Ready
            | ToKeeper::Ping
            | ToKeeper::Trying { .. }
            | ToKeeper::LastWords(_)
            | ToKeeper::UpgradeDaemon { .. }
            | ToKeeper::UpgradeKeeper { .. }
            | ToKeeper::Shutdown => false,
        };
        match self.put(&message, fds) {
            Err(error) if kept && is_gone(&error) => Ok(()),
            Err(error) => {
                mirror.unsent(order);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn put(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            match datagram::send(&self.0.socket, message, fds) {
                Ok(()) => return Ok(()),
                // It always drains, unless it is frozen.
                Err(Errno::AGAIN) => {
                    if !self.pause(PollFlags::OUT, Timespec { tv_sec: 1, tv_nsec: 0 })? {
                        self.pulse().asked();
                    }
                }
                // Too many descriptors in flight: the keeper takes them out, but no event says so.
                Err(Errno::TOOMANYREFS | Errno::NOBUFS) => {
                    self.pause(PollFlags::empty(), Timespec { tv_sec: 0, tv_nsec: 1_000_000 })?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for one of the events; false if none came in that time.
    fn pause(&self, events: PollFlags, time: Timespec) -> io::Result<bool> {
        match poll(&mut [PollFd::new(&self.0.socket, events)], Some(&time)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.0.socket.as_raw_fd()
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// The descriptors of a request, the kept ones first, each mapped one that is not among them after these; and for each
/// mapped one its place.
fn places<'a>(request: &SpawnRequest<'a>) -> (Vec<BorrowedFd<'a>>, Vec<(u32, u32)>) {
    let mut fds: Vec<BorrowedFd<'a>> = request.keep.iter().map(|(_, fd)| *fd).collect();
    let mut map = Vec::new();
    for (number, fd) in request.map {
        let known = fds.iter().position(|other| other.as_raw_fd() == fd.as_raw_fd());
        let place = known.unwrap_or(fds.len());
        if known.is_none() {
            fds.push(*fd);
        }
        // A negative number becomes one that no process can have: the spawn fails with its stage.
        map.push((u32::try_from(*number).unwrap_or(u32::MAX), u32::try_from(place).unwrap_or(u32::MAX)));
    }
    (fds, map)
}
