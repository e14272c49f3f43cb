//! What a full-screen program needs of the system besides escape sequences: the signals that concern its
//! terminal, stopping itself for Ctrl-Z, and noticing that the terminal is gone.
//!
//! A handler may do next to nothing (signal-safety(7)), so it writes the signal's number into a pipe. Tested from
//! `monit::pty`, in processes of their own: a test runner that catches SIGINT would be a nuisance.

use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// A signal that the screen answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT, SIGQUIT: end in order.
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
    /// SIGTSTP from outside.
    Suspend,
    /// SIGCONT: the terminal may be in any state.
    Continue,
    /// SIGWINCH: it has another size.
    Resize,
}

/// Write end of the pipe; -1 before [`Signals::install`]. Never closed afterwards.
static PIPE: AtomicI32 = AtomicI32::new(-1);

const WATCHED: [libc::c_int; 7] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTSTP, libc::SIGCONT, libc::SIGWINCH];

/// Signals in the order in which they came.
#[derive(Debug)]
pub struct Signals {
    reader: File,
}

impl Signals {
    /// Catches the signals from now on. Once in a process.
    pub fn install() -> io::Result<Signals> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        PIPE.store(leak(writer), Ordering::SeqCst);
        for number in WATCHED {
            catch(number)?;
        }
        Ok(Signals { reader: File::from(reader) })
    }

    /// Waits for the next one.
    pub fn wait(&mut self) -> io::Result<Signal> {
        let mut number = [0u8];
        loop {
            self.reader.read_exact(&mut number)?;
            match i32::from(number[0]) {
                libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => return Ok(Signal::Terminate),
                libc::SIGHUP => return Ok(Signal::HangUp),
                libc::SIGTSTP => return Ok(Signal::Suspend),
                libc::SIGCONT => return Ok(Signal::Continue),
                libc::SIGWINCH => return Ok(Signal::Resize),
                _unwatched => {}
            }
        }
    }
}

/// Stops this process group as Ctrl-Z does and returns when it goes on. Where no shell could continue it
/// (an orphaned group) the kernel ignores the stop.
pub fn suspend() -> io::Result<()> {
    // SAFETY: signal(2) with SIG_DFL runs no code of ours; kill(2) touches no memory.
    unsafe {
        libc::signal(libc::SIGTSTP, libc::SIG_DFL);
        libc::kill(0, libc::SIGTSTP);
    }
    catch(libc::SIGTSTP)
}

/// What came of waiting for the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Something can be read.
    Ready,
    /// Nothing will ever come.
    Gone,
}

/// Waits until standard input can be read or its terminal is gone.
pub fn wait_input() -> io::Result<Input> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    loop {
        match poll(&mut fds, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    Ok(if fds[0].revents().intersects(gone) { Input::Gone } else { Input::Ready })
}

fn leak(fd: OwnedFd) -> i32 {
    let number = fd.as_raw_fd();
    std::mem::forget(fd);
    number
}

fn catch(number: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid value (no flags, empty mask) and the handler is async-signal-safe.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(number, &action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn note(number: libc::c_int) {
    let byte = number.to_le_bytes();
    // SAFETY: write(2) and errno are async-signal-safe; the pipe stays open and does not block.
    unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        libc::write(PIPE.load(Ordering::Relaxed), byte.as_ptr().cast(), 1);
        *errno = kept;
    }
}
