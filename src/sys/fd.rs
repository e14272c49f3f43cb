//! Sending and receiving bytes together with file descriptors (SCM_RIGHTS, unix(7)).

use super::fault;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The kernel's limit of descriptors in one message (SCM_MAX_FD).
pub const MAX_FDS: usize = 253;

/// What [`receive`] got.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes put into the buffer; 0 means end of stream.
    pub bytes: usize,
    /// Descriptors that came along, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Some descriptors were lost: this process has no free ones (MSG_CTRUNC).
    pub fds_lost: bool,
    /// The datagram was longer than the buffer (MSG_TRUNC).
    pub bytes_lost: bool,
}

/// Sends `bytes` and `fds` in one message without blocking and without SIGPIPE; returns the bytes taken.
/// `Errno::AGAIN`: later. `Errno::TOOMANYREFS`: too many descriptors in flight, later.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    fault::errno("fd.send")?;
    let mut space = vec![MaybeUninit::<u8>::uninit(); SendAncillaryMessage::ScmRights(fds).size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags))
}

/// Receives up to `buffer.len()` bytes and the descriptors with them, without blocking.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut space = vec![MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)
    })?;
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = part {
            fds.extend(list);
        }
    }
    // As if this process had no number free for what came.
    let lost = !fds.is_empty() && fault::at("fd.receive").is_err();
    if lost {
        fds.clear();
    }
    Ok(Received {
        bytes: message.bytes,
        fds,
        fds_lost: lost || message.flags.contains(ReturnFlags::CTRUNC),
        bytes_lost: message.flags.contains(ReturnFlags::TRUNC),
    })
}

/// Looks at up to `buffer.len()` bytes and leaves them where they are, with the descriptors that came with them.
/// 0 means end of stream.
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let (bytes, _) = rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut *buffer, flags))?;
    Ok(bytes)
}

/// Takes over descriptor `number`, which this process was started with, and makes it close-on-exec.
/// Call it once a number, early: nothing else may own it.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) on a number that may be closed only fails with EBADF; the borrow ends here.
    let probe = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if probe < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (just probed), and by the contract above nobody else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Says whether a descriptor of this process goes at execve(2).
pub fn set_close_on_exec(number: RawFd, on: bool) {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: only a flag changes; on a number that is not open it fails with EBADF.
    unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
}

/// Makes every open descriptor from `first` on close-on-exec, so that no child inherits what our own
/// parent leaked to us. Best effort: kernels before 5.11 do not know the flag (close_range(2)).
pub fn close_on_exec_from(first: u32) {
    // SAFETY: only a flag changes; no descriptor is closed under an owner's feet.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// The same open file under a number of at least `minimum`, close-on-exec.
pub fn raise(fd: OwnedFd, minimum: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, minimum)?)
}

/// Puts another open file under the number of `place`, at once for every thread that uses it (dup3(2)).
pub fn replace(place: BorrowedFd<'_>, with: &OwnedFd) -> io::Result<()> {
    // SAFETY: the number stays open and its owner stays the owner; only what is behind it changes.
    let done = unsafe { libc::dup3(with.as_raw_fd(), place.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
