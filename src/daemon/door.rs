//! The control socket's door: clients come in one by one, also when this process has no descriptor left for them. One is
//! kept for that: it makes room for one client, and is taken back when somebody leaves.

use crate::sys::fault;
use crate::sys::pipe::Null;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Time until it is tried again to let somebody in.
const AGAIN: Duration = Duration::from_millis(20);

/// A descriptor that is kept for the moment when there is no other. Open it early: of a limit that is lowered only the
/// low numbers remain.
#[derive(Debug, Default)]
pub(super) struct Spare(Option<Null>);

impl Spare {
    /// Keeps one, if there is one.
    pub(super) fn keep() -> Spare {
        Spare(Null::open().ok())
    }
}

/// Where clients come in.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    spare: Spare,
    /// It was said that there is no room.
    told: bool,
}

impl Door {
    /// Clients of this socket.
    pub(super) fn new(listener: StdListener, spare: Spare) -> io::Result<Door> {
        listener.set_nonblocking(true)?;
        Ok(Door { listener: UnixListener::from_std(listener)?, spare, told: false })
    }

    /// The next client. Until there is room, further ones wait in the backlog.
    pub(super) async fn next(&mut self) -> UnixStream {
        loop {
            let accepted = match fault::at("server.accept") {
                Ok(()) => self.listener.accept().await,
                Err(error) => Err(error),
            };
            match accepted {
                Ok((stream, _address)) => {
                    self.keep_one();
                    self.told &= self.spare.0.is_none();
                    return stream;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::warn!(%error, "failed to accept a client; there is room for one at a time");
                    }
                    if self.spare.0.take().is_none() {
                        tokio::time::sleep(AGAIN).await;
                        self.keep_one();
                    }
                }
            }
        }
    }

    fn keep_one(&mut self) {
        if self.spare.0.is_none() {
            self.spare = Spare::keep();
        }
    }
}
