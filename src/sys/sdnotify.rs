//! The socket of sd_notify(3): programs that can tell systemd that they are ready tell pmon the same way.
//!
//! It is an abstract one with a name of the kernel's choice: a worker that runs as another user could not reach a file
//! in the home. Anybody may write to it, so a notice counts for what its sender is: the kernel puts the pid on it.

use super::fault;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags,
    SocketType, bind, getsockname, recvmsg, socket_with, sockopt,
};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// More than a notice has; systemd's own limit is 4 KiB as well.
const LONGEST: usize = 4 << 10;

/// The receiving end.
#[derive(Debug)]
pub struct NotifySocket {
    fd: OwnedFd,
    name: String,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Who sent it, as the kernel says.
    pub pid: u32,
    /// It holds the line `READY=1`.
    pub ready: bool,
}

impl NotifySocket {
    /// A new socket.
    pub fn bind() -> io::Result<NotifySocket> {
        fault::at("sdnotify.bind")?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        sockopt::set_socket_passcred(&fd, true)?;
        // Without a name the kernel takes a free one (unix(7), autobind).
        bind(&fd, &SocketAddrUnix::new_unnamed())?;
        NotifySocket::inherited(fd)
    }

    /// One that an earlier daemon has bound.
    pub fn inherited(fd: OwnedFd) -> io::Result<NotifySocket> {
        let address = SocketAddrUnix::try_from(getsockname(&fd)?)?;
        let name = address.abstract_name().map(String::from_utf8_lossy);
        let name = name.ok_or(io::ErrorKind::InvalidInput)?.into_owned();
        Ok(NotifySocket { fd, name })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// The next notice; `None`: there is none now. Does not wait. Descriptors that come with it are closed, which is
    /// what `systemd-notify` waits for before it ends (`BARRIER=1`).
    pub fn receive(&self) -> io::Result<Option<Notice>> {
        let mut bytes = [0u8; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.fd, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut pid = 0;
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmCredentials(sender) => {
                    pid = sender.pid.as_raw_nonzero().get().unsigned_abs();
                }
                RecvAncillaryMessage::ScmRights(fds) => fds.for_each(drop),
                _later_version => {}
            }
        }
        let text = bytes.get(..received).unwrap_or_default();
        Ok(Some(Notice { pid, ready: text.split(|b| *b == b'\n').any(|line| line == b"READY=1") }))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for NotifySocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn send(socket: &NotifySocket, text: &[u8]) {
        let address = SocketAddr::from_abstract_name(socket.address().trim_start_matches('@')).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(text, &address).unwrap();
    }

    #[test]
    fn a_notice_carries_the_pid_of_its_sender() {
        let socket = NotifySocket::bind().unwrap();
        assert_eq!(socket.receive().unwrap(), None);
        send(&socket, b"STATUS=warming up\nREADY=1\n");
        send(&socket, b"STATUS=NOT READY=1");
        let pid = std::process::id();
        assert_eq!(socket.receive().unwrap(), Some(Notice { pid, ready: true }));
        assert_eq!(socket.receive().unwrap(), Some(Notice { pid, ready: false }));
    }

    #[test]
    fn its_name_survives_the_daemon() {
        let socket = NotifySocket::bind().unwrap();
        let again = NotifySocket::inherited(socket.fd.try_clone().unwrap()).unwrap();
        assert_eq!(again.address(), socket.address());
        send(&again, b"READY=1");
        assert!(again.receive().unwrap().unwrap().ready);
    }
}
