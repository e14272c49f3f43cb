//! One question, one answer.

use super::connect::{ConnectError, Connection, ReadError, Received};
use super::start::{self, Notice, StartError};
use super::stream::Stream;
use crate::proto::{ClientMessage, DaemonMessage, Hello, Reply, Request, WireError};
use crate::sys::paths::Home;

/// A connection to the daemon of one home.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    hello: Option<Hello>,
    next_id: u64,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon says no.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The daemon went away before it answered: what was asked may or may not have happened.
    #[error("hear the daemon's answer: it went away")]
    Gone,
    /// The connection broke.
    #[error("talk to the daemon: {0}")]
    Broken(String),
}

impl From<ReadError> for CallError {
    fn from(error: ReadError) -> CallError {
        CallError::Broken(error.to_string())
    }
}

impl Client {
    /// Connects to a running daemon; [`ConnectError::NoDaemon`] if there is none.
    pub fn connect(home: &Home) -> Result<Client, ConnectError> {
        Ok(Client { connection: Connection::open(home)?, hello: None, next_id: 1 })
    }

    /// Connects; where no daemon runs, starts keeper and daemon and waits until they serve.
    /// `notice` is told what is being done, for people.
    pub fn connect_or_start(home: &Home, notice: &mut dyn FnMut(Notice)) -> Result<Client, StartError> {
        match Client::connect(home) {
            Ok(client) => Ok(client),
            Err(ConnectError::NoDaemon(_)) => start::start(home, notice),
            Err(other) => Err(other.into()),
        }
    }

    /// Asks and waits for the answer. An error reply is [`CallError::Refused`].
    pub fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        let wanted = self.send(request)?;
        loop {
            match self.connection.receive()? {
                None => return Err(CallError::Gone),
                Some(Received::Message(DaemonMessage::Reply { id, reply })) if id == wanted => {
                    return match reply {
                        Reply::Error(error) => Err(error.into()),
                        reply => Ok(reply),
                    };
                }
                Some(Received::Message(DaemonMessage::Hello(hello))) => self.hello = Some(hello),
                Some(_other) => {}
            }
        }
    }

    /// Who answers: waits for the daemon's hello, if it has not been read. `None`: it went away before.
    pub fn hello(&mut self) -> Option<&Hello> {
        while self.hello.is_none() {
            match self.connection.receive() {
                Ok(Some(Received::Message(DaemonMessage::Hello(hello)))) => self.hello = Some(hello),
                Ok(Some(_other)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
        self.hello.as_ref()
    }

    /// Turns the connection into a stream; ask for subscriptions there.
    pub fn into_stream(self) -> Stream {
        Stream::new(self.connection, self.next_id)
    }

    fn send(&mut self, request: Request) -> Result<u64, ReadError> {
        let id = self.next_id;
        self.next_id += 1;
        self.connection.send(&ClientMessage::Request { id, request: Box::new(request) })?;
        Ok(id)
    }
}
