//! Advisory locks on files (flock(2)): held by an open descriptor, gone with the process.

use super::aside;
use rustix::event::{PollFd, Timespec, poll};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A held lock is looked at again after this: flock(2) itself cannot wait for a limited time.
const LOOK_NS: i64 = 20_000_000;

/// A lock; dropping it frees it.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock on `path` (made 0600 if missing), waiting for whoever has it.
    pub fn wait(path: &Path) -> io::Result<Lock> {
        loop {
            let file = open(path)?;
            rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
            let lock = Lock(file);
            if lock.is_at(path) {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock; `None` if somebody has it.
    pub fn attempt(path: &Path) -> io::Result<Option<Lock>> {
        loop {
            let file = open(path)?;
            match rustix::io::retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
            let lock = Lock(file);
            // Somebody may have put another file there since it was opened.
            if lock.is_at(path) {
                return Ok(Some(lock));
            }
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
        self.sign_for(std::process::id())
    }

    /// Writes another's, for whom it is held.
    pub fn sign_for(&self, pid: u32) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all_at(format!("{pid}\n").as_bytes(), 0)
    }

    /// Whether `path` still leads to the file that is locked: a lock on one that was removed keeps nobody out.
    pub fn is_at(&self, path: &Path) -> bool {
        let facts = |facts: std::fs::Metadata| (facts.dev(), facts.ino());
        match (self.0.metadata(), std::fs::metadata(path)) {
            (Ok(ours), Ok(there)) => facts(ours) == facts(there),
            _ => false,
        }
    }

    /// The pid that the last holder of `path` signed with.
    pub fn signed_by(path: &Path) -> Option<u32> {
        super::plain::text(path).ok()?.trim().parse().ok()
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

/// The file is only a name to meet at: what is in its way is put aside.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    let plain = |file: File| if file.metadata()?.is_file() { Ok(file) } else { Err(not_plain()) };
    aside::clear(path, || options.open(path).and_then(plain))
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "something that is no plain file is in its place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_file_was_replaced_is_not_at_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let lock = Lock::attempt(&path).unwrap().unwrap();
        assert!(lock.is_at(&path) && Lock::attempt(&path).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.is_at(&path));
        let next = Lock::attempt(&path).unwrap().unwrap();
        assert!(next.is_at(&path) && !lock.is_at(&path));
        std::fs::create_dir(dir.path().join("dir.lock")).unwrap();
        assert!(Lock::attempt(&dir.path().join("dir.lock")).unwrap().is_some(), "it is put aside");
    }
}
