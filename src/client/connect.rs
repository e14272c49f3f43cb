//! The connection: socket, hello, frames in and out.

use crate::proto::{ClientMessage, DaemonMessage, Decoder, Frame, FrameError, Hello, Reply, WireError};
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use crate::sys::processes::Seen;
use crate::sys::user;
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No daemon runs in this home.
    #[error("reach the daemon at `{}`: none is running", .0.display())]
    NoDaemon(PathBuf),
    /// The socket is there and refuses.
    #[error("connect to `{}`", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It spoke another language.
    #[error("greet the daemon: {0}")]
    Greeting(String),
    /// It does not serve this user.
    #[error("reach the daemon: {0}")]
    Refused(WireError),
    /// Nobody is left to put right that the daemon does not run: keeper and daemon (or the one that lives) are stopped.
    #[error("hear from the daemon: stopped by a signal: {}", numbers(.0, ", "))]
    Frozen(
        /// Who.
        Vec<u32>,
    ),
    /// It takes connections and says nothing: it is suspended, or its machine is out of breath.
    #[error("hear from the daemon: nothing for {} s", .patience.as_secs())]
    Silent {
        /// How long we listened.
        patience: Duration,
        /// Its pid file.
        pid_file: PathBuf,
    },
}

/// A daemon greets at once; a new one, after a crash, once it has attached to its workers.
const PATIENCE: Duration = Duration::from_secs(20);

/// So often we look whether it can answer at all.
const LOOK: Duration = Duration::from_secs(1);

/// The numbers of processes, for people.
pub fn numbers(pids: &[u32], between: &str) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(between)
}

/// Keeper and daemon of a home, if each of them that lives is stopped: one that runs would see to the other.
pub(super) fn frozen(home: &Home) -> Option<ConnectError> {
    let daemon = std::fs::read_to_string(home.daemon_pid()).ok().and_then(|text| text.trim().parse().ok());
    // Of a keeper that has not signed nobody knows whether it runs: it may yet see to the daemon.
    let both = [Lock::signed_by(&home.keeper_lock())?, daemon?];
    let living: Vec<Seen> = both.into_iter().filter_map(Seen::read).filter(|seen| !seen.dead).collect();
    let all = !living.is_empty() && living.iter().all(|seen| seen.stopped);
    all.then(|| ConnectError::Frozen(living.iter().map(|seen| seen.member.pid).collect()))
}

/// An open connection after both sides said hello.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: UnixStream,
    decoder: Decoder,
    /// `None`: it went away before it said hello.
    pub(super) hello: Option<Hello>,
}

impl Connection {
    /// Connects and greets; does not start anything.
    pub(super) fn open(home: &Home) -> Result<Connection, ConnectError> {
        Connection::open_within(home, PATIENCE)
    }

    fn open_within(home: &Home, patience: Duration) -> Result<Connection, ConnectError> {
        let path = home.socket();
        let socket = match connect_path(&path) {
            Ok(socket) => socket,
            Err(e) if nobody_is_there(&e) => {
                return Err(ConnectError::NoDaemon(path));
            }
            Err(source) => return Err(ConnectError::Socket { path, source }),
        };
        let mut connection = Connection { socket, decoder: Decoder::default(), hello: None };
        connection
            .send(&ClientMessage::Hello(Hello::ours()))
            .map_err(|e| ConnectError::Greeting(e.to_string()))?;
        let mut left = patience;
        while !left.is_zero() {
            match connection.hear_hello(left.min(LOOK)) {
                Ok(()) => return Ok(connection),
                Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(ReadError::Refused(refused)) => return Err(ConnectError::Refused(refused)),
                Err(other) => return Err(ConnectError::Greeting(other.to_string())),
            }
            if let Some(error) = frozen(home) {
                return Err(error);
            }
            left = left.saturating_sub(LOOK);
        }
        Err(ConnectError::Silent { patience, pid_file: home.daemon_pid() })
    }

    /// Waits for the daemon's first word. An end is left to whoever reads on.
    fn hear_hello(&mut self, patience: Duration) -> Result<(), ReadError> {
        self.socket.set_read_timeout(Some(patience))?;
        match self.receive()? {
            Some(Received::Message(DaemonMessage::Hello(hello))) => self.hello = Some(hello),
            Some(Received::Message(DaemonMessage::Reply { reply: Reply::Error(refused), .. })) => {
                return Err(ReadError::Refused(refused));
            }
            _other => {}
        }
        self.socket.set_read_timeout(None)?;
        Ok(())
    }

    pub(super) fn send(&mut self, message: &ClientMessage) -> Result<(), ReadError> {
        let frame = Frame::json(message)?;
        self.socket.write_all(&frame)?;
        Ok(())
    }

    /// The next frame; waits for it. `None`: the daemon closed the connection.
    pub(super) fn receive(&mut self) -> Result<Option<Received>, ReadError> {
        loop {
            if let Some(received) = self.buffered()? {
                return Ok(Some(received));
            }
            if !self.pull()? {
                return Ok(None);
            }
        }
    }

    /// A frame that is there already.
    pub(super) fn buffered(&mut self) -> Result<Option<Received>, ReadError> {
        match self.decoder.next()? {
            Some(Frame::Json(json)) => Ok(Some(Received::Message(Frame::parse(&json)?))),
            Some(Frame::Log(batch)) => Ok(Some(Received::Log(batch))),
            None => Ok(None),
        }
    }

    /// Reads what has come, or waits for it. `false`: the daemon closed the connection.
    pub(super) fn pull(&mut self) -> Result<bool, ReadError> {
        let mut chunk = [0u8; 64 << 10];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.decoder.buffer().extend_from_slice(chunk.get(..n).unwrap_or_default());
                    return Ok(true);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// No socket, nobody behind it, or something else in its place: a daemon makes it anew.
fn nobody_is_there(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    let looped = error.raw_os_error() == Some(libc::ELOOP);
    looped || matches!(error.kind(), NotFound | ConnectionRefused | NotADirectory)
}

/// Somebody may have taken our own right to it away.
fn connect_path(path: &Path) -> io::Result<UnixStream> {
    let ours = || path.metadata().is_ok_and(|there| there.uid() == user::effective_uid());
    match connect_as_it_is(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && ours() => {
            std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
            connect_as_it_is(path)
        }
        done => done,
    }
}

/// A Unix socket's name holds 107 bytes (unix(7)); longer homes are reached through the directory's descriptor.
fn connect_as_it_is(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < 108 {
        return UnixStream::connect(path);
    }
    let dir = std::fs::File::open(path.parent().unwrap_or(path))?;
    let name = path.file_name().unwrap_or_default();
    let short = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir))).join(name);
    UnixStream::connect(short)
}

/// What came in.
#[derive(Debug)]
pub(super) enum Received {
    Message(DaemonMessage),
    Log(crate::proto::LogBatch),
}

/// Why nothing more comes in.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not serve this user.
    #[error(transparent)]
    Refused(WireError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_says_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let _mute = std::os::unix::net::UnixListener::bind(home.socket()).unwrap();
        let error = Connection::open_within(&home, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ConnectError::Silent { .. }), "{error}");
    }
}
