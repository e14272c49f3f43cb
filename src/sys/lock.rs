//! Advisory locks on files (flock(2)): held by an open descriptor, gone with the process.

use rustix::event::{PollFd, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A held lock is looked at again after this: flock(2) itself cannot wait for a limited time.
const LOOK_NS: i64 = 20_000_000;

/// A lock; dropping it frees it.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock on `path` (made 0600 if missing), waiting for whoever has it.
    pub fn wait(path: &Path) -> io::Result<Lock> {
        let file = open(path)?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        Ok(Lock(file))
    }

    /// Takes the lock; `None` if somebody has it.
    pub fn attempt(path: &Path) -> io::Result<Option<Lock>> {
        let file = open(path)?;
        match rustix::io::retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// As [`Lock::attempt`], but waits up to `patience_ms` for whoever is about to leave; while `stays` says that he is
    /// not, it does not wait.
    pub fn patient(path: &Path, patience_ms: u64, stays: impl Fn() -> bool) -> io::Result<Option<Lock>> {
        let deadline = super::clock::now().boot_ms + patience_ms;
        loop {
            let lock = Lock::attempt(path)?;
            if lock.is_some() || super::clock::now().boot_ms > deadline || stays() {
                return Ok(lock);
            }
            let nothing: &mut [PollFd<'_>] = &mut [];
            poll(nothing, Some(&Timespec { tv_sec: 0, tv_nsec: LOOK_NS }))?;
        }
    }

    /// Writes this process's pid into the file, for those who find it locked.
    pub fn sign(&self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
    }

    /// The pid that the last holder of `path` signed with.
    pub fn signed_by(path: &Path) -> Option<u32> {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// A lock that came with a descriptor from another process (same open file description).
    pub fn inherited(fd: OwnedFd) -> Lock {
        Lock(File::from(fd))
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}
