//! Pipes as stores of bytes: moving (splice(2)), peeking (tee(2)), measuring, and a pipe held by a single
//! descriptor. What is moved is in exactly one pipe at every instant, also under SIGKILL.

use super::fault;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ioctl_fionread, read, retry_on_intr};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// A pipe's default capacity in bytes (pipe(7)); less for a user with very many pipes.
const USUAL: usize = 64 << 10;
/// Capacity of a scratch pipe: at least as many slots as any pipe that is peeked at, tee copies slots.
const SCRATCH: usize = 1 << 20;

/// Capacity to ask for when `pipes` pipes are open: together 64 MB, each 8 KB to 256 KB.
pub fn fair_capacity(pipes: usize) -> usize {
    ((64 << 20) / pipes.max(1)).clamp(8 << 10, 256 << 10)
}

/// A pipe for a worker's stdout or stderr: (read end, write end), both close-on-exec, blocking for the
/// writer. A capacity that is not granted is no error: any pipe will do.
pub fn stdio(capacity: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    fault::at("pipe.stdio")?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    enlarge(&reader, capacity);
    Ok((reader, writer))
}

/// A pipe behind one descriptor, open for reading and writing, so that it never ends and lives as long as
/// anybody holds that descriptor.
pub fn staging(capacity: usize) -> io::Result<OwnedFd> {
    fault::at("pipe.staging")?;
    behind_one(capacity)
}

fn behind_one(capacity: usize) -> io::Result<OwnedFd> {
    let (reader, _writer) = pipe_with(PipeFlags::CLOEXEC)?;
    enlarge(&reader, capacity);
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// Bytes a pipe holds (FIONREAD).
pub fn pending(pipe: impl AsFd) -> io::Result<usize> {
    Ok(usize::try_from(ioctl_fionread(pipe)?).unwrap_or(usize::MAX))
}

/// A pipe's capacity in bytes; it holds less when it was filled by small pieces, one slot each.
pub fn capacity(pipe: impl AsFd) -> usize {
    fcntl_getpipe_size(pipe).unwrap_or(USUAL)
}

/// It is empty and nobody can write to it any more.
pub fn is_over(reader: impl AsFd) -> io::Result<bool> {
    let seen = seen(&reader, PollFlags::IN)?;
    Ok(seen.contains(PollFlags::HUP) && !seen.contains(PollFlags::IN))
}

/// All slots are taken: nothing can be moved into it, however few bytes it holds.
pub fn is_full(pipe: impl AsFd) -> io::Result<bool> {
    Ok(!seen(&pipe, PollFlags::OUT)?.contains(PollFlags::OUT))
}

fn seen(pipe: impl AsFd, wanted: PollFlags) -> io::Result<PollFlags> {
    let mut watched = [PollFd::new(&pipe, wanted)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut watched, Some(&at_once)))?;
    Ok(watched.iter().fold(PollFlags::empty(), |seen, fd| seen | fd.revents()))
}

/// What [`shift`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// So many bytes were moved.
    Moved(usize),
    /// The source is empty or the target full.
    Blocked,
    /// The source is empty and nobody can write to it any more.
    Ended,
}

/// Moves what is there from one pipe to another, up to `most` bytes and as far as it fits, without waiting.
pub fn shift(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<Shift> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match retry_on_intr(|| splice(&from, None, &to, None, most, flags)) {
        Ok(0) => Ok(Shift::Ended),
        Ok(bytes) => Ok(Shift::Moved(bytes)),
        Err(Errno::AGAIN) => Ok(Shift::Blocked),
        Err(e) => Err(e.into()),
    }
}

/// Takes `count` bytes out of a pipe that holds them.
pub fn discard(pipe: impl AsFd, mut count: usize) -> io::Result<()> {
    let mut sink = [0; 16 << 10];
    while count > 0 {
        let wanted = count.min(sink.len());
        let Some(room) = sink.get_mut(..wanted) else { break };
        match retry_on_intr(|| read(&pipe, &mut *room))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => count -= bytes,
        }
    }
    Ok(())
}

/// Where bytes go that are not needed any more: `/dev/null`.
#[derive(Debug)]
pub struct Null {
    null: OwnedFd,
}

impl Null {
    /// Opens it.
    pub fn open() -> io::Result<Null> {
        fault::at("pipe.null")?;
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Null { null })
    }

    /// Takes `count` bytes out of a pipe that holds them, without copying them (splice(2) to `/dev/null`). However
    /// far it comes before a kill, the pipe then holds exactly the rest.
    pub fn consume(&self, pipe: impl AsFd, mut count: usize) -> io::Result<()> {
        while count > 0 {
            match retry_on_intr(|| splice(&pipe, None, &self.null, None, count, SpliceFlags::NONBLOCK))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => count -= bytes,
            }
        }
        Ok(())
    }
}

/// A way to look at what a pipe holds without taking it out.
#[derive(Debug)]
pub struct Scratch {
    pipe: Arc<Mutex<OwnedFd>>,
    wanted: usize,
    seen: Vec<u8>,
}

impl Scratch {
    /// The pipe that the copies go through, as large as it may be.
    pub fn make() -> io::Result<OwnedFd> {
        fault::at("pipe.scratch")?;
        behind_one(SCRATCH)
    }

    /// By a pipe of [`Scratch::make`], whatever a dead one left in it.
    pub fn new(pipe: OwnedFd) -> Scratch {
        Scratch { pipe: Arc::new(Mutex::new(pipe)), wanted: SCRATCH, seen: Vec::new() }
    }

    /// By the smallest pipe there is, which is all that one over his budget gets, and no larger one is granted.
    #[cfg(test)]
    pub fn smallest() -> Scratch {
        let pipe = staging(0).unwrap();
        fcntl_setpipe_size(&pipe, 8 << 10).unwrap();
        Scratch { wanted: 0, ..Scratch::new(pipe) }
    }

    /// Another one by the same pipe, with room of its own.
    pub fn share(&self) -> Scratch {
        Scratch { pipe: Arc::clone(&self.pipe), wanted: self.wanted, seen: Vec::new() }
    }

    /// The first `count` bytes of a pipe that holds them; fewer if they take more slots than this user may have.
    pub fn peek(&mut self, pipe: impl AsFd, count: usize) -> io::Result<&[u8]> {
        // Held for no longer than pipes take.
        let own = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        fault::at("pipe.peek")?;
        let mut copied = copy(pipe.as_fd(), own.as_fd(), count)?;
        let grows = || capacity(&*own) < enlarge(&*own, self.wanted);
        if copied < count && grows() {
            copied = copy(pipe.as_fd(), own.as_fd(), count)?;
        }
        if self.seen.len() < copied {
            self.seen.resize(copied, 0);
        }
        let mut done = 0;
        while let Some(room) = self.seen.get_mut(done..copied).filter(|room| !room.is_empty()) {
            done += retry_on_intr(|| read(&*own, &mut *room))?;
        }
        Ok(self.seen.get(..copied).unwrap_or_default())
    }
}

/// Copies the first `count` bytes of a pipe, or as many as go into the other one, which is emptied first.
fn copy(pipe: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
    discard(to, pending(to)?)?;
    Ok(retry_on_intr(|| tee(pipe, to, count, SpliceFlags::NONBLOCK))?)
}

/// Asks for this capacity, then for ever less; a user over its pipe budget keeps what it has. What the pipe holds then.
pub fn enlarge(pipe: impl AsFd, wanted: usize) -> usize {
    let mut size = wanted;
    while size > capacity(&pipe) && fcntl_setpipe_size(&pipe, size).is_err() {
        size /= 2;
    }
    capacity(pipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::write;

    #[test]
    fn a_staging_pipe_outlives_the_pipe_calls_ends_and_never_ends() {
        let staging = staging(USUAL).unwrap();
        write(&staging, b"abc").unwrap();
        assert_eq!(pending(&staging).unwrap(), 3);
        discard(&staging, 3).unwrap();
        assert_eq!(read(&staging, &mut [0; 4]).unwrap_err(), Errno::AGAIN);
    }

    #[test]
    fn shifting_tells_empty_from_ended_and_full() {
        let (reader, writer) = stdio(USUAL).unwrap();
        let staging = staging(USUAL).unwrap();
        assert_eq!(shift(&reader, &staging, USUAL).unwrap(), Shift::Blocked);
        for _ in 0..capacity(&staging) / 4096 {
            assert!(!is_full(&staging).unwrap());
            write(&writer, b"x").unwrap();
            assert_eq!(shift(&reader, &staging, USUAL).unwrap(), Shift::Moved(1));
        }
        assert!(is_full(&staging).unwrap());
        write(&writer, b"y").unwrap();
        assert_eq!(shift(&reader, &staging, USUAL).unwrap(), Shift::Blocked);
        drop(writer);
        discard(&staging, 1).unwrap();
        assert!(!is_over(&reader).unwrap());
        assert_eq!(shift(&reader, &staging, USUAL).unwrap(), Shift::Moved(1));
        assert!(is_over(&reader).unwrap());
        discard(&staging, 1).unwrap();
        assert_eq!(shift(&reader, &staging, USUAL).unwrap(), Shift::Ended);
    }

    #[test]
    fn peeking_leaves_the_bytes_where_they_are() {
        let staging = staging(USUAL).unwrap();
        let mut scratch = Scratch::new(Scratch::make().unwrap());
        fill(&staging, b"seven");
        assert_eq!(scratch.peek(&staging, 3).unwrap(), b"sev");
        assert_eq!(scratch.share().peek(&staging, 5).unwrap(), b"seven");
        assert_eq!(pending(&staging).unwrap(), 5);
    }

    /// A slot for each byte.
    fn fill(staging: &OwnedFd, bytes: &[u8]) {
        let (reader, writer) = stdio(USUAL).unwrap();
        for byte in bytes {
            write(&writer, &[*byte]).unwrap();
            assert_eq!(shift(&reader, staging, 1).unwrap(), Shift::Moved(1));
        }
    }

    #[test]
    fn a_scratch_that_is_too_small_shows_the_beginning_and_what_is_left_in_it_harms_nobody() {
        let staging = staging(USUAL).unwrap();
        fill(&staging, b"seven");
        let mut small = Scratch::smallest();
        assert_eq!(small.peek(&staging, 5).unwrap(), b"se");
        assert_eq!(small.peek(&staging, 1).unwrap(), b"s");
        // One that was killed at it.
        let made = Scratch::make().unwrap();
        fcntl_setpipe_size(&made, 8 << 10).unwrap();
        write(&made, b"left").unwrap();
        assert_eq!(Scratch::new(made).peek(&staging, 5).unwrap(), b"seven", "it grows");
    }

    #[test]
    fn capacity_is_shared_out() {
        assert_eq!(fair_capacity(0), 256 << 10);
        assert_eq!(fair_capacity(1024), 64 << 10);
        assert_eq!(fair_capacity(1_000_000), 8 << 10);
    }
}
