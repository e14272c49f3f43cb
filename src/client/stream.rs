//! Subscriptions: ask, then take what comes.

use super::call::CallError;
use super::connect::{Connection, ReadError, Received};
use crate::proto::{ClientMessage, DaemonMessage, LogBatch, Push, Reply, Request};
use std::io;
use std::os::unix::net::UnixStream;

/// A connection on which anything may come at any time.
#[derive(Debug)]
pub struct Stream {
    connection: Connection,
    next_id: u64,
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
}

/// The asking half of a stream, for another thread than the one that reads.
#[derive(Debug)]
pub struct Asker {
    socket: UnixStream,
    next_id: u64,
}

impl Stream {
    pub(super) fn new(connection: Connection, next_id: u64) -> Stream {
        Stream { connection, next_id }
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
                Ok(Some(Received::Log(batch))) => return Ok(Some(Incoming::Log(batch))),
                Ok(Some(Received::Message(DaemonMessage::Reply { id, reply }))) => {
                    return Ok(Some(Incoming::Reply { id, reply }));
                }
                Ok(Some(Received::Message(DaemonMessage::Push { id, push }))) => {
                    return Ok(Some(Incoming::Push { id, push }));
                }
                Ok(Some(Received::Message(DaemonMessage::Hello(_) | DaemonMessage::Unknown))) => {}
                Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
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
