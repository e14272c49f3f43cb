//! Signals of this process: blocking them all, and hearing of children's ends through a descriptor.
//! Sending signals to others is in `child`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Blocks every signal that can be blocked, in this thread and those it will start. What is blocked stays
/// pending over exec; `spawn` unblocks everything in the child.
pub fn block_all() -> io::Result<()> {
    replace_mask(&full_set()).map(drop)
}

/// The program of `command` begins with every signal blocked.
pub fn start_blocked(command: &mut Command) {
    // SAFETY: pthread_sigmask(3) is async-signal-safe; the closure touches nothing else.
    unsafe {
        command.pre_exec(block_all);
    }
}

/// Sets this thread's mask and returns the one before.
pub(super) fn replace_mask(mask: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both point to a sigset_t; `before` is written when the call succeeds.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, before.as_mut_ptr()) } {
        // SAFETY: initialised by the successful call.
        0 => Ok(unsafe { before.assume_init() }),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// All signals.
pub(super) fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset(3) initialises the set and cannot fail on a valid pointer.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Readable when a child has ended: a signalfd(2) for SIGCHLD. Several ends may come as one, so whoever reads
/// it reaps until nothing is left.
#[derive(Debug)]
pub struct ChildEnds(OwnedFd);

impl ChildEnds {
    /// SIGCHLD must be blocked in every thread of the process (see [`block_all`]), or it is discarded.
    pub fn new() -> io::Result<ChildEnds> {
        super::fault::at("signal.ends")?;
        let mut set = MaybeUninit::uninit();
        // SAFETY: the set is initialised before it is used; signalfd(2) makes a new descriptor or fails.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(ChildEnds(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes it unreadable until the next child ends. Call before reaping, not after.
    pub fn drain(&self) {
        let mut buffer = [0u8; 4 * size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|n| n > 0) {}
    }
}

impl AsFd for ChildEnds {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
