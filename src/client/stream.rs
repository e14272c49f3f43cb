//! Subscriptions: ask, then take what comes.

use super::call::CallError;
use super::connect::{Connection, ReadError, Received};
use super::places::{Gone, Places};
use crate::proto::{ClientMessage, DaemonMessage, LogBatch, LogSpot, Push, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connection on which anything may come at any time.
#[derive(Debug)]
pub struct Stream {
    connection: Connection,
    next_id: u64,
    places: Places,
}

/// What came.
#[derive(Debug)]
pub enum Incoming {
    /// The answer to the request `id` (also `Reply::Error`).
    Reply {
        /// The request's number.
        id: u64,
        /// The answer.
        reply: Reply,
    },
    /// News for the subscription `id`.
    Push {
        /// The request's number.
        id: u64,
        /// What.
        push: Push,
    },
    /// Log lines; `batch.header.id` is the subscription.
    Log(LogBatch),
    /// Log lines were told to stand somewhere, and do not any more.
    Missed {
        /// Where.
        spot: LogSpot,
        /// How many.
        lines: u64,
        /// Something else stands there: they are lost. Otherwise a compressed copy may have them.
        overwritten: bool,
    },
}

/// What [`Stream::next_for`] waited for.
#[derive(Debug)]
pub enum Next {
    /// Something came.
    Came(Box<Incoming>),
    /// Nothing did.
    Quiet,
    /// Nobody reads the output any more.
    ReaderLeft,
    /// The daemon is gone.
    Gone,
}

/// The asking half of a stream, for another thread than the one that reads.
#[derive(Debug)]
pub struct Asker {
    socket: UnixStream,
    next_id: u64,
}

impl Stream {
    pub(super) fn new(connection: Connection, next_id: u64) -> Stream {
        Stream { connection, next_id, places: Places::default() }
    }

    /// Sends a request; returns the number its answer and pushes will carry.
    pub fn ask(&mut self, request: Request) -> Result<u64, CallError> {
        let id = self.next_id;
        self.next_id += 1;
        self.connection.send(&ClientMessage::Request { id, request: Box::new(request) })?;
        Ok(id)
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "it fails, and `None` may not be the end for another caller"
    )]
    /// Waits for the next thing; `None`: the daemon is gone.
    pub fn next(&mut self) -> Result<Option<Incoming>, CallError> {
        loop {
            match self.connection.receive() {
                Ok(None) => return Ok(None),
                Ok(Some(received)) => {
                    if let Some(incoming) = self.incoming(received) {
                        return Ok(Some(incoming));
                    }
                }
                Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// As [`Stream::next`], but no longer than `patience`, and only while somebody reads what is written to `output`.
    pub fn next_for(&mut self, output: impl AsFd, patience: Option<Duration>) -> Result<Next, CallError> {
        loop {
            while let Some(received) = self.connection.buffered()? {
                if let Some(incoming) = self.incoming(received) {
                    return Ok(Next::Came(Box::new(incoming)));
                }
            }
            let mut watched = [
                PollFd::new(&self.connection.socket, PollFlags::IN),
                PollFd::new(&output, PollFlags::empty()),
            ];
            let timeout = patience.and_then(|time| Timespec::try_from(time).ok());
            match poll(&mut watched, timeout.as_ref()) {
                Ok(0) => return Ok(Next::Quiet),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(ReadError::Io(error.into()).into()),
            }
            let [socket, reader] = watched.map(|fd| fd.revents());
            if reader.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Ok(Next::ReaderLeft);
            }
            if !socket.is_empty() && !self.connection.pull()? {
                return Ok(Next::Gone);
            }
        }
    }

    fn incoming(&mut self, received: Received) -> Option<Incoming> {
        match received {
            Received::Log(batch) => Some(self.whole(batch)),
            Received::Message(DaemonMessage::Reply { id, reply }) => Some(Incoming::Reply { id, reply }),
            Received::Message(DaemonMessage::Push { id, push }) => Some(Incoming::Push { id, push }),
            Received::Message(DaemonMessage::Hello(_) | DaemonMessage::Unknown) => None,
        }
    }

    /// A batch with its lines, wherever they are, if they are.
    fn whole(&mut self, mut batch: LogBatch) -> Incoming {
        if let (Some(spot), Some(at_spot)) = (&batch.header.spot, batch.header.at_spot.take()) {
            match self.places.read(spot, at_spot.tail) {
                Ok(bytes) => batch.bytes = bytes,
                Err(gone) => {
                    let (spot, lines) = (spot.clone(), at_spot.lines);
                    return Incoming::Missed { spot, lines, overwritten: gone == Gone::Text };
                }
            }
        }
        Incoming::Log(batch)
    }

    /// A second handle that can ask while this one waits in [`Stream::next`]. From then on ask only there.
    pub fn asker(&self) -> io::Result<Asker> {
        Ok(Asker { socket: self.connection.socket.try_clone()?, next_id: self.next_id })
    }
}

impl Asker {
    /// As [`Stream::ask`].
    pub fn ask(&mut self, request: Request) -> Result<u64, CallError> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&ClientMessage::Request { id, request: Box::new(request) })?;
        Ok(id)
    }

    /// Ends the subscription `id`.
    pub fn cancel(&mut self, id: u64) -> Result<(), CallError> {
        self.send(&ClientMessage::Cancel { id })
    }

    /// Ends the connection: the reader sees its end.
    pub fn close(&self) {
        // An error means that it is closed already.
        drop(self.socket.shutdown(std::net::Shutdown::Both));
    }

    fn send(&mut self, message: &ClientMessage) -> Result<(), CallError> {
        let frame = crate::proto::Frame::json(message).map_err(ReadError::from)?;
        io::Write::write_all(&mut self.socket, &frame).map_err(ReadError::from)?;
        Ok(())
    }
}
