//! Being asked to end: SIGINT, SIGTERM, SIGHUP or SIGQUIT becomes a readable descriptor that a loop can poll.
//!
//! A handler may do next to nothing (signal-safety(7)), so it writes a byte into a pipe. Nobody reads it: once
//! asked, always asked, and every thread that polls the pipe sees it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Read and write end of the process's pipe; never closed.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
/// Number of its write end, for the handler.
static WRITER: AtomicI32 = AtomicI32::new(-1);

/// Whether somebody has asked this process to end.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt {
    pipe: &'static OwnedFd,
}

impl Interrupt {
    /// Catches the signals from now on, in place of whoever caught them before.
    pub fn catch() -> io::Result<Interrupt> {
        let made = {
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&writer, true)?;
            (reader, writer)
        };
        let (reader, writer) = PIPE.get_or_init(|| made);
        WRITER.store(writer.as_raw_fd(), Ordering::SeqCst);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            catch(signal)?;
        }
        Ok(Interrupt { pipe: reader })
    }

    /// Whether it has happened.
    pub fn asked(self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits at most `span` for it; true if it has happened.
    pub fn wait(self, span: Duration) -> bool {
        readable(self.pipe.as_fd(), span)
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Waits at most `span` for `fd` to become readable or to be closed by its other end; true if it is.
/// A signal that others catch ends the wait early.
pub fn readable(fd: BorrowedFd<'_>, span: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let span = Timespec::try_from(span).ok();
    poll(&mut fds, span.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Which of two descriptors can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// The first.
    First,
    /// The second, perhaps also the first.
    Second,
}

/// Waits until one of them can be read or is closed by its other end.
pub fn wait_for_either(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> io::Result<Ready> {
    let mut fds = [first, second].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    loop {
        match poll(&mut fds, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let [_, second] = fds;
    Ok(if second.revents().is_empty() { Ready::First } else { Ready::Second })
}

/// Lets some time pass where a thing can only be asked again and again; a signal that is caught ends it early.
pub fn pause(span: Duration) {
    let nothing: &mut [PollFd<'_>] = &mut [];
    let span = Timespec::try_from(span).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    poll(nothing, Some(&span)).ok();
}

/// Sends SIGTERM to this process: whoever catches it ends as if somebody outside had asked.
pub fn ask_self() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?)
}

/// Runs `start` with every signal blocked, so that threads it starts are never the ones to handle a signal.
pub fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut before = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset(3) initialises the set; both pointers are valid; `before` is written by the call, which
    // cannot fail with a valid `how`.
    let before: libc::sigset_t = unsafe {
        let mut all = std::mem::MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    let started = start();
    // SAFETY: `before` is the mask that was read above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    started
}

fn catch(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid value (no flags, empty mask) and the handler is async-signal-safe.
    let status = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn note(_signal: libc::c_int) {
    // SAFETY: write(2) and errno are async-signal-safe; the pipe stays open and does not block.
    unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        libc::write(WRITER.load(Ordering::Relaxed), [1u8].as_ptr().cast(), 1);
        *errno = kept;
    }
}
