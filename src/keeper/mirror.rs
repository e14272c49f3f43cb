//! What the keeper holds, as the daemon's end of the link knows it: with a copy of every descriptor, so that all of it
//! can be told anew to another keeper. It follows the orders that are sent and the news that come; an order
//! that a dying keeper never read is in here all the same.

use super::link::{Entry, EntryState, FromKeeper};
use super::message::{Adopt, Message, Spawn, Tag, ToKeeper};
use crate::model::Run;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::spawn::{Spawned, Stage};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    entries: BTreeMap<u64, Copy>,
    /// What this daemon does without, and which order wanted each of them back last.
    aside: BTreeMap<u64, u64>,
}

/// One entry.
#[derive(Debug, Default)]
struct Copy {
    generation: u64,
    process: Option<Process>,
    fds: BTreeMap<Tag, OwnedFd>,
    blob: Vec<u8>,
    /// A SPAWN that is not answered, with all that it needs to be sent again.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    pidfd: OwnedFd,
    spawned_ms: u64,
    /// Its status, if it has ended and that is not acknowledged.
    ended: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) run: Run,
    pub(super) message: Message,
    pub(super) fds: Vec<OwnedFd>,
}

/// An entry to tell a new keeper: the order, its descriptors, and a SPAWN that must follow it.
pub(super) type Telling<'a> = (ToKeeper, Vec<BorrowedFd<'a>>);

fn copy(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    match fault::at("mirror.copy").and_then(|()| fd.try_clone_to_owned()) {
        Ok(fd) => Some(fd),
        Err(error) => {
            tracing::warn!(%error, "failed to copy a descriptor: a new keeper would not get it");
            None
        }
    }
}

impl Mirror {
    /// Our copy of what is kept under a tag.
    pub(super) fn fd(&self, id: u64, tag: Tag) -> Option<BorrowedFd<'_>> {
        self.entries.get(&id)?.fds.get(&tag).map(AsFd::as_fd)
    }

    /// Our copies of all that is kept.
    pub(super) fn fds(&self, id: u64) -> impl Iterator<Item = (Tag, BorrowedFd<'_>)> {
        self.entries.get(&id).into_iter().flat_map(|entry| &entry.fds).map(|(tag, fd)| (*tag, fd.as_fd()))
    }

    /// All entries.
    pub(super) fn all(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    /// The record of an entry.
    pub(super) fn record(&self, id: u64) -> Vec<u8> {
        self.entries.get(&id).map(|entry| entry.blob.clone()).unwrap_or_default()
    }

    /// The living process of a run.
    pub(super) fn process(&self, run: Run) -> Option<(u32, BorrowedFd<'_>)> {
        let entry = self.entries.get(&run.entry).filter(|entry| entry.generation == run.generation)?;
        entry.process.as_ref().map(|process| (process.pid, process.pidfd.as_fd()))
    }

    /// An order is sent.
    pub(super) fn order(&mut self, order: &ToKeeper, message: &Message, fds: &[BorrowedFd<'_>]) {
        match order {
            ToKeeper::Spawn(spawn) => self.spawn(spawn, message, fds),
            ToKeeper::Keep { entry, tag } => {
                if let Some(fd) = fds.first().and_then(|fd| copy(*fd)) {
                    self.entries.entry(*entry).or_default().fds.insert(*tag, fd);
                }
            }
            ToKeeper::Drop { entry, tag } => {
                if let Some(entry) = self.entries.get_mut(entry) {
                    entry.fds.remove(tag);
                }
            }
            ToKeeper::Blob { entry, blob } => {
                self.entries.entry(*entry).or_default().blob.clone_from(blob);
            }
            ToKeeper::Blobs(blobs) => {
                for (entry, blob) in blobs {
                    self.entries.entry(*entry).or_default().blob.clone_from(blob);
                }
            }
            ToKeeper::Ack(run) => self.ack(*run),
            ToKeeper::Forget { entry } => {
                let alive = |copy: &Copy| copy.process.as_ref().is_some_and(|p| p.ended.is_none());
                if *entry != 0 && self.entries.get(entry).is_some_and(|copy| !alive(copy)) {
                    self.entries.remove(entry);
                }
            }
            ToKeeper::Adopt(adopt) => self.adopted(adopt, fds),
            ToKeeper::Aside { entry, key } => drop(self.aside.insert(*entry, *key)),
            ToKeeper::TakeBack { entry, .. } => drop(self.aside.remove(entry)),
            ToKeeper::Kill { .. }
            | ToKeeper::Ready
            | ToKeeper::Ping
            | ToKeeper::Trying { .. }
            | ToKeeper::LastWords(_)
            | ToKeeper::UpgradeDaemon { .. }
            | ToKeeper::UpgradeKeeper { .. }
            | ToKeeper::Shutdown => {}
        }
    }

    fn spawn(&mut self, spawn: &Spawn, message: &Message, fds: &[BorrowedFd<'_>]) {
        let entry = self.entries.entry(spawn.run.entry).or_default();
        if entry.process.as_ref().is_some_and(|process| process.ended.is_some()) {
            entry.process = None;
        }
        entry.blob.clone_from(&spawn.blob);
        entry.keep(&spawn.keep, fds);
        let fds = fds.iter().filter_map(|fd| copy(*fd)).collect();
        entry.asked = Some(Asked { run: spawn.run, message: message.clone(), fds });
    }

    /// The order could not be sent, and not because the keeper is dead: whoever gave it hears so.
    pub(super) fn unsent(&mut self, order: &ToKeeper) {
        if let ToKeeper::Spawn(spawn) = order
            && let Some(entry) = self.entries.get_mut(&spawn.run.entry)
        {
            entry.asked = None;
        }
    }

    fn ack(&mut self, run: Run) {
        if let Some(entry) = self.entries.get_mut(&run.entry)
            && entry.generation == run.generation
            && entry.process.as_ref().is_some_and(|process| process.ended.is_some())
        {
            entry.process = None;
        }
    }

    fn adopted(&mut self, adopt: &Adopt, fds: &[BorrowedFd<'_>]) {
        let entry = self.entries.entry(adopt.run.entry).or_default();
        entry.generation = adopt.run.generation;
        entry.blob.clone_from(&adopt.blob);
        entry.keep(&adopt.keep, fds);
        let pidfd = if adopt.pid == 0 { None } else { fds.last().and_then(|fd| copy(*fd)) };
        let (pid, spawned_ms, ended) = (adopt.pid, adopt.spawned_ms, adopt.exited);
        entry.process = pidfd.map(|pidfd| Process { pid, pidfd, spawned_ms, ended });
    }

    /// The keeper has told something.
    pub(super) fn news(&mut self, news: &FromKeeper) {
        match news {
            FromKeeper::Entry(entry) => self.handed_over(entry),
            FromKeeper::Spawned { run, pid, pidfd, .. } => {
                let Some(pidfd) = copy(pidfd.as_fd()) else { return };
                self.is_spawned(*run, Spawned { pid: *pid, pidfd });
            }
            FromKeeper::SpawnFailed { run, errno, stage, .. } => {
                let Some(entry) = self.entries.get_mut(&run.entry) else { return };
                entry.asked = None;
                let refused = [Errno::BUSY, Errno::INVAL, Errno::MFILE].map(Errno::raw_os_error);
                if *stage != Stage::Clone || !refused.contains(errno) {
                    entry.generation = run.generation;
                    entry.process = None;
                }
            }
            FromKeeper::Exited { run, status, .. } => {
                if let Some(entry) = self.entries.get_mut(&run.entry)
                    && entry.generation == run.generation
                    && let Some(process) = &mut entry.process
                {
                    process.ended = Some(*status);
                }
            }
            FromKeeper::Welcome { past, .. } => self.aside = past.aside.iter().copied().collect(),
            FromKeeper::End | FromKeeper::Upgraded { .. } | FromKeeper::Pong => {}
        }
    }

    fn handed_over(&mut self, told: &Entry) {
        let pidfd = told.pidfd.as_ref().and_then(|pidfd| copy(pidfd.as_fd()));
        let ended = match told.state {
            EntryState::None | EntryState::Running => None,
            EntryState::Exited { status, .. } => Some(status),
        };
        let (pid, spawned_ms) = (told.pid, told.spawned_boot_ms);
        let process = pidfd.map(|pidfd| Process { pid, pidfd, spawned_ms, ended });
        let fds = told.fds.iter().filter_map(|(tag, fd)| Some((*tag, copy(fd.as_fd())?))).collect();
        let (generation, blob) = (told.generation, told.blob.clone());
        self.entries.insert(told.id, Copy { generation, process, fds, blob, asked: None });
    }

    /// The process of a SPAWN is there.
    pub(super) fn is_spawned(&mut self, run: Run, process: Spawned) {
        if let Some(entry) = self.entries.get_mut(&run.entry) {
            entry.generation = run.generation;
            entry.asked = None;
            let (Spawned { pid, pidfd }, spawned_ms) = (process, clock::now().boot_ms);
            entry.process = Some(Process { pid, pidfd, spawned_ms, ended: None });
        }
    }

    /// The process of a SPAWN was there, and has ended.
    pub(super) fn is_over(&mut self, run: Run) {
        if let Some(entry) = self.entries.get_mut(&run.entry) {
            entry.generation = run.generation;
            entry.asked = None;
            entry.process = None;
        }
    }

    /// Runs whose SPAWN is not answered.
    pub(super) fn asked(&self) -> Vec<Run> {
        self.entries.values().filter_map(|entry| entry.asked.as_ref()).map(|asked| asked.run).collect()
    }

    /// What daemons are to do without, for a keeper that knows nothing.
    pub(super) fn aside(&self) -> impl Iterator<Item = ToKeeper> {
        self.aside.iter().map(|(entry, key)| ToKeeper::Aside { entry: *entry, key: *key })
    }

    /// Everything, likewise.
    pub(super) fn tell(&self) -> impl Iterator<Item = (Telling<'_>, Option<&Asked>)> {
        self.entries.iter().map(|(id, entry)| (entry.tell(*id), entry.asked.as_ref()))
    }
}

impl Copy {
    fn keep(&mut self, keep: &[(Tag, u32)], fds: &[BorrowedFd<'_>]) {
        for (tag, place) in keep {
            let fd = usize::try_from(*place).ok().and_then(|place| fds.get(place));
            if let Some(fd) = fd.and_then(|fd| copy(*fd)) {
                self.fds.insert(*tag, fd);
            }
        }
    }

    fn tell(&self, id: u64) -> Telling<'_> {
        let process = self.process.as_ref();
        let adopt = Adopt {
            run: Run { entry: id, generation: self.generation },
            pid: process.map_or(0, |process| process.pid),
            exited: process.and_then(|process| process.ended),
            spawned_ms: process.map_or(0, |process| process.spawned_ms),
            keep: self.fds.keys().copied().zip(0..).collect(),
            blob: self.blob.clone(),
        };
        let fds = self.fds.values().map(AsFd::as_fd);
        (ToKeeper::Adopt(adopt), fds.chain(process.map(|process| process.pidfd.as_fd())).collect())
    }
}
