//! What the keeper tells the daemon, with its descriptors in their places.

use super::message::{Message, Past, ProcessState, Spent, Tag, ToDaemon};
use crate::model::Run;
use crate::sys::spawn::Stage;
use std::io;
use std::os::fd::OwnedFd;

/// What the keeper tells. A new daemon hears `Welcome`, an `Entry` for each, `End`, then news as it happens.
#[derive(Debug)]
pub enum FromKeeper {
    /// The first message.
    Welcome {
        /// Its pid.
        keeper_pid: u32,
        /// How many `Entry` follow.
        entries: u64,
        /// Daemons it has started before this one.
        restarts: u64,
        /// More may live than it knows.
        search: bool,
        /// What became of those daemons.
        past: Past,
    },
    /// One entry as it is.
    Entry(Entry),
    /// That was all.
    End,
    /// The process of a `SpawnRequest` runs, or did: its end may follow at once.
    Spawned {
        /// Which.
        run: Run,
        /// As given.
        token: u64,
        /// Its pid.
        pid: u32,
        /// The process itself.
        pidfd: OwnedFd,
    },
    /// There is no process. The entry has the new generation, record and descriptors all the same, unless the
    /// error is EBUSY (the last process still lives), EINVAL or EMFILE at `Stage::Clone`.
    SpawnFailed {
        /// Which.
        run: Run,
        /// As given.
        token: u64,
        /// errno(3).
        errno: i32,
        /// When.
        stage: Stage,
    },
    /// A process has ended. Every new daemon hears it again, as state of the entry, until `ack` or a new spawn.
    Exited {
        /// Which.
        run: Run,
        /// Its last pid.
        pid: u32,
        /// Raw status of wait4(2), see `Exit::from_wait_status`.
        status: i32,
        /// When, on the boot clock.
        exit_boot_ms: u64,
        /// What it used.
        usage: Spent,
    },
    /// The answer to a ping.
    Pong,
    /// What came of `upgrade_keeper`.
    Upgraded {
        /// Why it is the old one still; `None`: it is the new one.
        refusal: Option<String>,
    },
}

/// One entry that is handed over.
#[derive(Debug)]
pub struct Entry {
    /// Its number; 0 is the daemon's own.
    pub id: u64,
    /// Of the last process; 0 if there never was one.
    pub generation: u64,
    /// Of that process; 0 if there is none.
    pub pid: u32,
    /// What became of it.
    pub state: EntryState,
    /// When it was started, on the boot clock; 0 if there is none.
    pub spawned_boot_ms: u64,
    /// The process itself, while it runs, or has ended and nobody knows how.
    pub pidfd: Option<OwnedFd>,
    /// What is kept.
    pub fds: Vec<(Tag, OwnedFd)>,
    /// The record.
    pub blob: Vec<u8>,
}

/// What became of an entry's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// There is none, or its end is acknowledged.
    None,
    /// It runs.
    Running,
    /// It ended, and that is not acknowledged.
    Exited {
        /// Raw status of wait4(2).
        status: i32,
        /// When, on the boot clock.
        exit_boot_ms: u64,
    },
}

/// A message as news; `None`: a later version's.
pub(super) fn told(message: &Message, fds: Vec<OwnedFd>) -> io::Result<Option<FromKeeper>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let decoded = ToDaemon::decode(message).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let Some(decoded) = decoded else { return Ok(None) };
    let mut fds = fds.into_iter();
    Ok(Some(match decoded {
        ToDaemon::Welcome { keeper_pid, entries, restarts, search, past } => {
            FromKeeper::Welcome { keeper_pid, entries, restarts, search, past }
        }
        ToDaemon::Entry { run, pid, state, spawned_ms, has_pidfd, tags, blob } => {
            let pidfd = if has_pidfd { Some(fds.next().ok_or_else(invalid)?) } else { None };
            if fds.len() != tags.len() {
                return Err(invalid());
            }
            FromKeeper::Entry(Entry {
                id: run.entry,
                generation: run.generation,
                pid,
                state: match state {
                    ProcessState::None => EntryState::None,
                    ProcessState::Running => EntryState::Running,
                    ProcessState::Exited { status, exit_ms } => {
                        EntryState::Exited { status, exit_boot_ms: exit_ms }
                    }
                },
                spawned_boot_ms: spawned_ms,
                pidfd,
                fds: tags.into_iter().zip(fds).collect(),
                blob,
            })
        }
        ToDaemon::End => FromKeeper::End,
        ToDaemon::Pong => FromKeeper::Pong,
        ToDaemon::Spawned { run, token, pid, spawned_ms: _ } => {
            FromKeeper::Spawned { run, token, pid, pidfd: fds.next().ok_or_else(invalid)? }
        }
        ToDaemon::SpawnFailed { run, token, errno, stage } => {
            FromKeeper::SpawnFailed { run, token, errno, stage }
        }
        ToDaemon::Exited { run, pid, status, exit_ms, usage } => {
            FromKeeper::Exited { run, pid, status, exit_boot_ms: exit_ms, usage }
        }
        ToDaemon::Upgraded { keeper_pid: _, refusal } => {
            let refusal = String::from_utf8_lossy(&refusal).into_owned();
            FromKeeper::Upgraded { refusal: Some(refusal).filter(|refusal| !refusal.is_empty()) }
        }
    }))
}
