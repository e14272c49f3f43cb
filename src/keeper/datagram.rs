//! One message as one datagram of a SOCK_SEQPACKET pair: never partial, descriptors attached. A body that does not
//! fit travels in a memfd, which is then the first descriptor (`0x8000` in the kind). Nothing here blocks.

use super::message::{HEADER, Message};
use crate::model::skew::{self, Skew};
use crate::sys::fault;
use crate::sys::fd::{self, MAX_FDS};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Descriptors in one message, beside that of the body.
pub(super) const MAX_PASSED: usize = MAX_FDS - 3;

/// Longest body inside the datagram. The smallest common socket buffer takes three of these.
const INLINE: usize = 60_000;

/// No body is this long: a length beyond is not believed.
const MAX_BODY: usize = 1 << 28;

const IN_MEMFD: u16 = 0x8000;

/// Enough for any datagram.
pub(super) const BUFFER: usize = HEADER + INLINE;

/// A connected pair, close-on-exec: our end and the other's.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    fault::errno("datagram.pair")?;
    let pair =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for socket in [&pair.0, &pair.1] {
        // Room for a handover of a thousand entries at once; without privilege the system's default serves too.
        let _unprivileged = rustix::net::sockopt::set_socket_send_buffer_size_force(socket, 1 << 20);
    }
    Ok(pair)
}

/// Sends or fails at once. `AGAIN`: when it is writable; `TOOMANYREFS`, `MFILE`, `NFILE`, `NOMEM`, `NOBUFS`: later.
pub(super) fn send(socket: impl AsFd, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    if fds.len() > MAX_PASSED {
        return Err(Errno::INVAL);
    }
    if skew::skew() == Skew::Newer {
        return send_as_a_later_version(socket, message, fds);
    }
    send_one(socket, message, fds)
}

/// With words behind the message, and one before it that nobody knows.
fn send_as_a_later_version(
    socket: impl AsFd,
    message: &Message,
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let news = Message { kind: 0x7001, body: b"news".to_vec(), ..message.clone() };
    send_one(&socket, &news, &[])?;
    let body = [&message.body[..], b"later"].concat();
    send_one(socket, &Message { body, ..message.clone() }, fds)
}

fn send_one(socket: impl AsFd, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    if message.body.len() <= INLINE {
        let mut datagram = message.header(0).to_vec();
        datagram.extend_from_slice(&message.body);
        return fd::send(socket, &datagram, fds).map(drop);
    }
    fault::errno("datagram.memfd")?;
    let memory = File::from(rustix::fs::memfd_create("keeper-body", MemfdFlags::CLOEXEC)?);
    memory.write_all_at(&message.body, 0).map_err(|_full| Errno::NOMEM)?;
    let mut all = vec![memory.as_fd()];
    all.extend_from_slice(fds);
    fd::send(socket, &message.header(IN_MEMFD), &all).map(drop)
}

/// What a socket had.
#[derive(Debug)]
pub(super) enum Received {
    /// A message with its descriptors.
    Message(Message, Vec<OwnedFd>),
    /// The head of one whose body or descriptors are lost (this process has too many open), or of none.
    Broken(Option<Message>),
    /// Nothing now.
    Nothing,
    /// The other end is closed and everything is read.
    Gone,
}

/// Takes one datagram, if there is one. `buffer` has `BUFFER` bytes.
pub(super) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Received {
    // ECONNRESET says once that the other end died with something of ours unread. What it had said is still here.
    let got = match fd::receive(&socket, buffer) {
        Err(Errno::CONNRESET) => fd::receive(&socket, buffer),
        other => other,
    };
    let got = match got {
        Ok(got) => got,
        Err(Errno::AGAIN) => return Received::Nothing,
        Err(_dead) => return Received::Gone,
    };
    let bytes = buffer.get(..got.bytes).unwrap_or_default();
    if bytes.is_empty() {
        return Received::Gone;
    }
    let Ok((mut message, len)) = Message::from_header(bytes) else { return Received::Broken(None) };
    let in_memfd = message.kind & IN_MEMFD != 0;
    message.kind &= !IN_MEMFD;
    if got.fds_lost || got.bytes_lost {
        return Received::Broken(Some(message));
    }
    let mut fds = got.fds;
    let body = if in_memfd && !fds.is_empty() {
        read_all(fds.remove(0), len)
    } else {
        bytes.get(HEADER..).filter(|body| body.len() == len).map(<[u8]>::to_vec)
    };
    match body {
        Some(body) => {
            message.body = body;
            Received::Message(message, fds)
        }
        None => Received::Broken(Some(message)),
    }
}

fn read_all(memory: OwnedFd, len: usize) -> Option<Vec<u8>> {
    let memory = File::from(memory);
    let size = usize::try_from(memory.metadata().ok()?.len()).ok()?;
    if size != len || len > MAX_BODY {
        return None;
    }
    let mut body = vec![0; len];
    memory.read_exact_at(&mut body, 0).ok()?;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::super::message::ToKeeper;
    use super::*;
    use crate::model::Run;

    #[test]
    fn what_the_dead_said_is_heard_also_if_it_had_not_read_everything() {
        let (ours, theirs) = pair().unwrap();
        send(&ours, &ToKeeper::Ready.encode(), &[]).unwrap();
        let last_words = ToKeeper::Ack(Run::first(7)).encode();
        send(&theirs, &last_words, &[]).unwrap();
        drop(theirs);
        let mut buffer = vec![0; BUFFER];
        match receive(&ours, &mut buffer) {
            Received::Message(message, _) => assert_eq!(message, last_words),
            other => panic!("instead of its last words came {other:?}"),
        }
        assert!(matches!(receive(&ours, &mut buffer), Received::Gone));
    }
}
