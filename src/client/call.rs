//! One question, one answer.

use super::again;
use super::connect::{ConnectError, Connection, ReadError, Received};
use super::start::{self, Notice, StartError};
use super::stream::Stream;
use crate::proto::{ClientMessage, DaemonMessage, Hello, Reply, Request, WireError};
use crate::sys::interrupt;
use crate::sys::paths::Home;
use std::io;
use std::time::Duration;

/// A connection to the daemon of one home.
#[derive(Debug)]
pub struct Client {
    home: Home,
    /// Where no daemon is left to ask again, one may be started.
    may_start: bool,
    connection: Connection,
    next_id: u64,
}

/// So often a daemon that dies is replaced by the next, with a pause.
const TRIES: u32 = 10;
const LOOK: Duration = Duration::from_millis(20);

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
        let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        match error {
            ReadError::Io(error) if gone.contains(&error.kind()) => CallError::Gone,
            other => CallError::Broken(other.to_string()),
        }
    }
}

impl Client {
    /// Connects to a running daemon; [`ConnectError::NoDaemon`] if there is none.
    pub fn connect(home: &Home) -> Result<Client, ConnectError> {
        let connection = Connection::open(home)?;
        Ok(Client { home: home.clone(), may_start: false, connection, next_id: 1 })
    }

    /// Connects; where no daemon runs, starts keeper and daemon and waits until they serve.
    /// `notice` is told what is being done, for people.
    pub fn connect_or_start(home: &Home, notice: &mut dyn FnMut(Notice)) -> Result<Client, StartError> {
        let mut tries = 0;
        loop {
            let mut client = match Client::connect(home) {
                Ok(client) => client,
                Err(ConnectError::NoDaemon(_)) => start::start(home, notice)?,
                Err(ConnectError::Greeting(_)) if tries + 1 < TRIES => {
                    tries += 1;
                    interrupt::pause(LOOK);
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            client.may_start = true;
            tries += 1;
            // One that dies before it says hello has heard nothing from us: the next one is as good.
            if client.hello().is_some() || tries == TRIES {
                return Ok(client);
            }
            interrupt::pause(LOOK);
        }
    }

    /// Asks and waits for the answer. An error reply is [`CallError::Refused`]. If the daemon dies over it, the next one is
    /// asked, where that cannot do a thing twice.
    pub fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        let request = self.repeatable(request);
        match self.ask(request.clone()) {
            Err(CallError::Gone | CallError::Broken(_)) if again::may(&request) => self.call_again(request),
            done => done,
        }
    }

    /// The request as this daemon can be asked it twice, if that is so.
    pub fn repeatable(&self, request: Request) -> Request {
        again::keyed(request, self.hello())
    }

    /// Asks the next daemon what the last one did not live to answer.
    pub fn call_again(&mut self, request: Request) -> Result<Reply, CallError> {
        for _ in 1..TRIES {
            self.reconnect();
            if !again::knows(&request, self.hello()) {
                break;
            }
            match self.ask(request.clone()) {
                Err(CallError::Gone | CallError::Broken(_)) => {}
                answer => return again::whole(&request, answer),
            }
        }
        Err(CallError::Gone)
    }

    /// Turns to the next daemon, if there is one by now.
    fn reconnect(&mut self) {
        interrupt::pause(LOOK);
        let next = match self.may_start {
            true => Client::connect_or_start(&self.home, &mut |_| {}).ok(),
            false => Client::connect(&self.home).ok(),
        };
        if let Some(next) = next {
            *self = next;
        }
    }

    fn ask(&mut self, request: Request) -> Result<Reply, CallError> {
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
                Some(_other) => {}
            }
        }
    }

    /// Who answers. `None`: it went away before it said so.
    pub fn hello(&self) -> Option<&Hello> {
        self.connection.hello.as_ref()
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
