//! One worker's channel: the socket with its in- and outbox. What the messages mean is not known here.

use super::codec::{Flushed, Inbox, Line, Outbox};
use crate::sys::fd;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a handle on its way to the worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The connection of this `newconn`.
    Connection {
        /// Its number.
        seq: u64,
    },
    /// The socket of this listener, in answer to `queryServer`.
    Socket {
        /// The listener.
        entry: u64,
        /// Number of the question.
        ack: u64,
    },
}

/// The daemon's end of a channel.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    token: u64,
    inbox: Inbox,
    /// Lines to the worker; [`Channel::flush`] after pushing.
    pub outbox: Outbox<Purpose>,
    watches_writing: bool,
    /// The worker does not read any more. It may still have said something.
    deaf: bool,
}

/// What [`Channel::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Something; perhaps there is more.
    Some,
    /// Nothing at the moment.
    Nothing,
    /// The end: the worker is gone or has disconnected.
    End,
}

impl Channel {
    /// Watches `socket` under `token`.
    pub fn open(socket: OwnedFd, token: u64, epoll: &OwnedFd) -> Result<Channel, Errno> {
        epoll::add(epoll, &socket, EventData::new_u64(token), EventFlags::IN)?;
        Ok(Channel {
            socket,
            token,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            watches_writing: false,
            deaf: false,
        })
    }

    /// Its token.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Reads once, at most `buffer`. Level-triggered and one buffer a turn: a flood takes its turn like the others.
    /// Descriptors that come along are closed: nobody here has a use for them.
    pub fn read(&mut self, buffer: &mut [u8], line: impl FnMut(Line)) -> Read {
        match fd::receive(&self.socket, buffer) {
            Ok(received) if received.bytes == 0 => Read::End,
            Ok(received) => {
                self.inbox.push(buffer.get(..received.bytes).unwrap_or_default(), line);
                Read::Some
            }
            Err(Errno::AGAIN) => Read::Nothing,
            // ECONNRESET: it ended with something of ours unread; what it had said came before.
            Err(_) => Read::End,
        }
    }

    /// Writes what can be written, and watches for room if there is none.
    pub fn flush(&mut self, epoll: &OwnedFd) -> Flushed {
        let socket = &self.socket;
        let send = |bytes: &[u8], handle: Option<BorrowedFd<'_>>| fd::send(socket, bytes, handle.as_slice());
        let flushed = match (self.deaf, self.outbox.flush(send)) {
            (true, _) => Flushed::Done,
            (false, Ok(flushed)) => flushed,
            (false, Err(_)) => {
                self.deaf = true;
                self.outbox = Outbox::default();
                Flushed::Done
            }
        };
        let full = flushed == Flushed::Full;
        if full != self.watches_writing {
            let flags = if full { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let changed = epoll::modify(epoll, &self.socket, EventData::new_u64(self.token), flags);
            self.watches_writing = full && changed.is_ok();
        }
        flushed
    }

    /// Stops watching and closes. Closing alone would not do: the keeper's copy keeps the socket in the epoll set.
    pub fn close(self, epoll: &OwnedFd) {
        unwatch(epoll, &self.socket);
    }
}

/// Takes a descriptor out of the epoll set, whether it is in there or not.
pub fn unwatch(epoll: &OwnedFd, source: impl AsFd) {
    match epoll::delete(epoll, source) {
        Ok(()) | Err(_) => {}
    }
}
