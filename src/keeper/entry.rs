//! One entry: its descriptors, its record, its process, and what the daemon must still be told of it.

use super::datagram::MAX_PASSED;
use super::image::{EntryImage, ProcessImage};
use super::message::{ProcessState, Spent, Tag, ToDaemon};
use crate::model::Run;
use crate::sys::spawn::{SpawnError, Spawned, Stage};
use crate::sys::{clock, fault, fd};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Stands for the status of a process whose end nobody can tell.
pub(super) const UNKNOWN: i32 = -1;

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) generation: u64,
    pub(super) token: u64,
    pub(super) process: Process,
    pub(super) fds: BTreeMap<Tag, OwnedFd>,
    pub(super) blob: Vec<u8>,
    pub(super) need: Need,
    /// A spawn that was not even tried.
    pub(super) refused: Option<Refusal>,
}

#[derive(Debug, Default)]
pub(super) enum Process {
    #[default]
    None,
    Failed(SpawnError),
    Running {
        child: Spawned,
        spawned_ms: u64,
        /// Not our child: its end is seen by its pidfd.
        adopted: bool,
    },
    /// With its pidfd: it may have ended before the daemon heard that it was there.
    Exited {
        child: Spawned,
        status: i32,
        spawned_ms: u64,
        exit_ms: u64,
        usage: Spent,
    },
}

/// What the daemon must still be told of an entry.
#[derive(Debug, Default)]
pub(super) struct Need {
    pub(super) entry: bool,
    pub(super) spawned: bool,
    pub(super) exited: bool,
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) generation: u64,
    pub(super) token: u64,
    pub(super) errno: Errno,
}

impl Entry {
    pub(super) fn image(&self, id: u64) -> EntryImage {
        let process = match &self.process {
            Process::None | Process::Failed(_) => None,
            Process::Running { child, spawned_ms, adopted } => Some((child, *spawned_ms, *adopted, None)),
            Process::Exited { child, status, spawned_ms, exit_ms, usage } => {
                Some((child, *spawned_ms, false, Some((*status, *exit_ms, *usage))))
            }
        };
        let process = process.map(|(child, spawned_ms, adopted, ended)| {
            let (pid, pidfd) = (child.pid, child.pidfd.as_raw_fd());
            ProcessImage { pid, pidfd, adopted, spawned_ms, ended }
        });
        let fds = self.fds.iter().map(|(tag, fd)| (*tag, fd.as_raw_fd())).collect();
        EntryImage {
            id,
            generation: self.generation,
            token: self.token,
            process,
            fds,
            blob: self.blob.clone(),
        }
    }

    pub(super) fn from_image(image: EntryImage) -> Entry {
        let process = image.process.and_then(|process| {
            let (pid, spawned_ms) = (process.pid, process.spawned_ms);
            let child = Spawned { pid, pidfd: fd::inherit(process.pidfd).ok()? };
            Some(match process.ended {
                None => Process::Running { child, spawned_ms, adopted: process.adopted },
                Some((status, exit_ms, usage)) => {
                    Process::Exited { child, status, spawned_ms, exit_ms, usage }
                }
            })
        });
        let fds = image.fds.into_iter().filter_map(|(tag, number)| Some((tag, fd::inherit(number).ok()?)));
        Entry {
            generation: image.generation,
            token: image.token,
            process: process.unwrap_or_default(),
            fds: fds.collect(),
            blob: image.blob,
            need: Need::default(),
            refused: None,
        }
    }

    pub(super) fn keep_all(&mut self, keep: Vec<(Tag, u32)>, fds: Vec<OwnedFd>) {
        let mut fds: Vec<_> = fds.into_iter().map(Some).collect();
        for (tag, place) in keep {
            let place = usize::try_from(place).ok().and_then(|place| fds.get_mut(place));
            if let Some(fd) = place.and_then(Option::take) {
                self.keep(tag, fd);
            }
        }
    }

    pub(super) fn ended(&mut self, status: i32, usage: Spent) {
        if let Process::Running { child, spawned_ms, .. } = std::mem::take(&mut self.process) {
            let exit_ms = clock::now().boot_ms;
            self.process = Process::Exited { child, status, spawned_ms, exit_ms, usage };
            self.need.exited = true;
        }
    }

    /// What would not fit in the one message that hands an entry over is not kept.
    pub(super) fn keep(&mut self, tag: Tag, fd: OwnedFd) {
        if self.fds.len() < MAX_PASSED - 1 || self.fds.contains_key(&tag) {
            self.fds.insert(tag, fd);
        }
    }

    /// Nothing was ever kept: it was made only to refuse a spawn, and that is told.
    pub(super) fn is_void(&self) -> bool {
        self.generation == 0 && self.fds.is_empty() && self.blob.is_empty() && self.refused.is_none()
    }

    pub(super) fn spawned_ms(&self) -> u64 {
        match &self.process {
            Process::None | Process::Failed(_) => 0,
            Process::Running { spawned_ms, .. } | Process::Exited { spawned_ms, .. } => *spawned_ms,
        }
    }

    pub(super) fn tell_entry(
        &mut self,
        id: u64,
        send: &mut impl FnMut(&ToDaemon, &[BorrowedFd<'_>]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if !self.need.entry {
            return Ok(());
        }
        let (pid, state, pidfd) = match &self.process {
            Process::None | Process::Failed(_) => (0, ProcessState::None, None),
            Process::Running { child, .. } => (child.pid, ProcessState::Running, Some(child.pidfd.as_fd())),
            Process::Exited { child, status, exit_ms, .. } => {
                // Later the system may be able to tell.
                let pidfd = (*status == UNKNOWN).then_some(child.pidfd.as_fd());
                (child.pid, ProcessState::Exited { status: *status, exit_ms: *exit_ms }, pidfd)
            }
        };
        let message = ToDaemon::Entry {
            run: Run { entry: id, generation: self.generation },
            pid,
            state,
            spawned_ms: self.spawned_ms(),
            has_pidfd: pidfd.is_some(),
            tags: self.fds.keys().copied().collect(),
            blob: self.blob.clone(),
        };
        let fds: Vec<_> = pidfd.into_iter().chain(self.fds.values().map(AsFd::as_fd)).collect();
        fault::pass("keeper.tell_entry");
        send(&message, &fds)?;
        fault::pass("keeper.told_entry");
        self.need.entry = false;
        self.need.exited = false;
        Ok(())
    }

    pub(super) fn tell_news(
        &mut self,
        id: u64,
        send: &mut impl FnMut(&ToDaemon, &[BorrowedFd<'_>]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (run, token) = (Run { entry: id, generation: self.generation }, self.token);
        if self.need.spawned {
            match &self.process {
                Process::Running { child, spawned_ms, .. } | Process::Exited { child, spawned_ms, .. } => {
                    let message = ToDaemon::Spawned { run, token, pid: child.pid, spawned_ms: *spawned_ms };
                    fault::pass("keeper.tell_spawned");
                    send(&message, &[child.pidfd.as_fd()])?;
                    fault::pass("keeper.told_spawned");
                }
                Process::Failed(SpawnError { errno, stage }) => {
                    let errno = errno.raw_os_error();
                    send(&ToDaemon::SpawnFailed { run, token, errno, stage: *stage }, &[])?;
                }
                Process::None => {}
            }
            self.need.spawned = false;
        }
        if let Some(Refusal { generation, token, errno }) = self.refused {
            let run = Run { entry: id, generation };
            let errno = errno.raw_os_error();
            send(&ToDaemon::SpawnFailed { run, token, errno, stage: Stage::Clone }, &[])?;
            self.refused = None;
        }
        if self.need.exited {
            if let Process::Exited { child, status, exit_ms, usage, .. } = &self.process {
                let (pid, status, exit_ms, usage) = (child.pid, *status, *exit_ms, *usage);
                fault::pass("keeper.tell_exited");
                send(&ToDaemon::Exited { run, pid, status, exit_ms, usage }, &[])?;
                fault::pass("keeper.told_exited");
            }
            self.need.exited = false;
        }
        Ok(())
    }
}
