//! Who was begun. Each worker's process writes itself down before it does anything else: which run it is, its pid and
//! when. So that is known though its keeper did not live to tell, before it has run its program, and after its end.
//!
//! A memory file, so that no disk holds up a start. The keeper keeps it (entry 0), and workers carry it to be read only
//! ([`NUMBER`]): it outlives keeper and daemon as long as one worker lives. A line an entry, by its number; of entries so
//! far apart that they share one, the later stays.

use crate::model::Run;
use crate::sys::child::{self, Member};
use crate::sys::spawn::{SIGNED, Sign};
use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, fchmod, fcntl_add_seals, fcntl_get_seals, memfd_create,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

/// Under this number it is in a worker.
pub const NUMBER: i32 = 1007;

const LINES: u64 = 1 << 14;
const LENGTH: u64 = LINES * SIGNED as u64;
/// Nobody makes it shorter under a reader, or longer.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A process signs this long after its birth at most (a machine that swaps), so no other of its number is mistaken for it.
const LATE_MS: u64 = 5000;

/// A process that has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// What it was begun as.
    pub run: Run,
    /// Its pid.
    pub pid: u32,
    /// When it signed, on the boot clock.
    at_ms: u64,
}

/// An empty one. Processes of other users cannot open it for writing.
pub fn make() -> io::Result<OwnedFd> {
    let file = File::from(memfd_create("pmon ledger", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.set_len(LENGTH)?;
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// One that a worker had, to be written again; `None` if that is none of ours.
pub fn taken_back(fd: &OwnedFd) -> Option<OwnedFd> {
    let facts = std::fs::metadata(path_of(fd.as_fd())).ok()?;
    let ours = facts.uid() == rustix::process::geteuid().as_raw() && facts.len() == LENGTH;
    let sealed = fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SEALS));
    (ours && sealed).then(|| open(fd.as_fd(), OFlags::RDWR).ok()).flatten()
}

/// It, to be read only.
pub fn readable(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open(fd, OFlags::RDONLY)
}

fn open(fd: BorrowedFd<'_>, how: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path_of(fd), how | OFlags::CLOEXEC, Mode::empty())?)
}

fn path_of(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// What the process of this run is to write.
pub fn sign(file: BorrowedFd<'_>, run: Run) -> Sign<'_> {
    Sign { file, at: line(run.entry), words: [run.entry, run.generation] }
}

/// The last run of an entry that was begun.
pub fn last(file: impl AsFd, entry: u64) -> Option<Signed> {
    let file = File::from(file.as_fd().try_clone_to_owned().ok()?);
    let mut bytes = [0; SIGNED];
    file.read_exact_at(&mut bytes, line(entry)).ok()?;
    let mut words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
    let run = Run { entry: words.next()?, generation: words.next()? };
    let (pid, at_ms) = (u32::try_from(words.next()?).ok()?, words.next()? / 1_000_000);
    (run.entry == entry && pid != 0).then_some(Signed { run, pid, at_ms })
}

fn line(entry: u64) -> u64 {
    entry % LINES * SIGNED as u64
}

impl Signed {
    /// Its process, if it lives, also before it runs its program.
    pub fn process(&self) -> Option<(Member, OwnedFd)> {
        let pidfd = child::open(self.pid).ok()??;
        let member = child::member(self.pid)?;
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let born_ms = member.start_time.saturating_mul(1000) / ticks;
        let is_it = born_ms <= self.at_ms && self.at_ms - born_ms < LATE_MS;
        (is_it && child::is_alive(member)).then_some((member, pidfd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawn::{Baseline, Program, spawn_within};
    use std::ffi::CString;

    fn begin(ledger: &OwnedFd, run: Run, file: &CString, script: &str) -> bool {
        let argv = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()];
        let program = Program {
            file,
            argv: &argv,
            envp: &[],
            cwd: c"/",
            creds: None,
            listen_pid: false,
            map: &[],
            sign: Some(sign(ledger.as_fd(), run)),
            baseline: Baseline::default(),
        };
        spawn_within(&program, 5000).is_ok()
    }

    #[test]
    fn who_was_begun_is_known_alive_and_after_its_end_and_who_failed_was_not_begun() {
        let ledger = make().unwrap();
        let (run, shell) = (Run { entry: LINES + 3, generation: 7 }, c"/bin/sh".to_owned());
        assert_eq!(last(&ledger, run.entry), None);
        assert!(begin(&ledger, run, &shell, "exec sleep 60"));
        let signed = last(&ledger, run.entry).unwrap();
        assert_eq!(signed.run, run);
        assert_eq!(last(&ledger, 3), None, "it shares the line, and is another");
        let (member, pidfd) = signed.process().unwrap();
        assert_eq!(member.pid, signed.pid);
        child::send(&pidfd, 9).unwrap();
        child::reap_one_soon(signed.pid);
        assert_eq!(last(&ledger, run.entry), Some(signed));
        assert!(signed.process().is_none());
        let next = run.next();
        assert!(!begin(&ledger, next, &c"/no/such/program".to_owned(), ""));
        assert_eq!(last(&ledger, run.entry), None);
    }

    #[test]
    fn a_worker_has_it_to_be_read_and_gives_it_back_to_be_written() {
        let ledger = make().unwrap();
        let copy = readable(ledger.as_fd()).unwrap();
        assert!(File::from(copy.try_clone().unwrap()).write_all_at(b"x", 0).is_err());
        let back = File::from(taken_back(&copy).unwrap());
        back.write_all_at(b"x", 0).unwrap();
        assert!(back.set_len(1).is_err());
        let other = memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        assert!(taken_back(&other).is_none());
    }
}
