//! Sending and receiving bytes together with file descriptors (SCM_RIGHTS, unix(7)).

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
    Ok(Received {
        bytes: message.bytes,
        fds,
        fds_lost: message.flags.contains(ReturnFlags::CTRUNC),
        bytes_lost: message.flags.contains(ReturnFlags::TRUNC),
    })
}
