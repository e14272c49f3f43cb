//! One worker's channel: the socket with its in- and outbox. What the messages mean is not known here.

use super::codec::{Flushed, Inbox, Line, MAX_QUEUED, Outbox, Piece, WHOLE};
use crate::sys::{fault, fd, socket};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

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
    /// A copy of a listening socket, that the worker only has.
    Copy,
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

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes; perhaps there is more.
    Some(usize),
    /// Nothing at the moment.
    Nothing,
    /// The end: the worker is gone or has disconnected.
    End,
}

impl Channel {
    /// Watches `socket` under `token`.
    pub fn open(socket: OwnedFd, token: u64, epoll: &OwnedFd) -> Result<Channel, Errno> {
        socket::widen_buffer(&socket, MAX_QUEUED);
        fault::errno("channel.open")?;
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

    /// Looks at what is there, at most `buffer`. Level-triggered and one buffer a turn: a flood takes its turn like
    /// the others.
    pub fn peek(&self, buffer: &mut [u8]) -> Read {
        match fd::peek(&self.socket, buffer) {
            Ok(0) => Read::End,
            Ok(bytes) => {
                fault::pass("hub.peeked");
                Read::Some(bytes)
            }
            Err(Errno::AGAIN) => Read::Nothing,
            // ECONNRESET: it ended with something of ours unread; what it had said came before.
            Err(_) => Read::End,
        }
    }

    /// The line that ends with these bytes, if they end one.
    pub fn hear(&mut self, bytes: &[u8]) -> Option<Line> {
        let mut heard = None;
        self.inbox.push(bytes, |line| heard = Some(line));
        heard
    }

    /// Drops what was heard of a line that cannot be JSON; false if it can.
    pub fn drop_binary(&mut self) -> bool {
        self.inbox.drop_binary()
    }

    /// Takes bytes off the socket that were looked at, once what they say is done: a daemon that is killed in between
    /// leaves them to the next one. Descriptors that came along are closed: nobody here has a use for them.
    pub fn consume(&self, mut bytes: usize, scratch: &mut [u8]) {
        fault::pass("hub.done");
        while bytes > 0 {
            let most = bytes.min(scratch.len());
            match fd::receive(&self.socket, scratch.get_mut(..most).unwrap_or_default()) {
                Ok(received) if received.bytes > 0 => bytes -= received.bytes.min(bytes),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Writes what can be written, and watches for room if there is none.
    pub fn flush(&mut self, epoll: &OwnedFd) -> Flushed {
        let socket = &self.socket;
        let send = |piece: Piece<'_>| {
            if piece.begins && piece.bytes.len() > WHOLE && !is_empty_enough(socket) {
                return Err(Errno::AGAIN);
            }
            fd::send(socket, piece.bytes, piece.handle.as_slice())
        };
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

    /// Whether a connection would go to the worker at once.
    pub fn is_idle(&self) -> bool {
        !self.deaf && self.outbox.is_idle()
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

/// Whether a quarter of the buffer is in use at most: then poll(2) calls a unix socket writable (`unix_writable`), and a
/// line of up to three quarters goes out in one sendmsg, which a kill cannot interrupt.
fn is_empty_enough(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds.iter().any(|fd| fd.revents().contains(PollFlags::OUT))
}
