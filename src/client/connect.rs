//! The connection: socket, hello, frames in and out.

use crate::proto::{ClientMessage, DaemonMessage, Decoder, Frame, FrameError, Hello};
use crate::sys::paths::Home;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

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
}

/// An open connection after the hello was sent.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: UnixStream,
    decoder: Decoder,
}

impl Connection {
    /// Connects and says hello; does not start anything.
    pub(super) fn open(home: &Home) -> Result<Connection, ConnectError> {
        let path = home.socket();
        let socket = match connect_path(&path) {
            Ok(socket) => socket,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Err(ConnectError::NoDaemon(path));
            }
            Err(source) => return Err(ConnectError::Socket { path, source }),
        };
        let mut connection = Connection { socket, decoder: Decoder::default() };
        connection
            .send(&ClientMessage::Hello(Hello::ours()))
            .map_err(|e| ConnectError::Greeting(e.to_string()))?;
        Ok(connection)
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

/// A Unix socket's name holds 107 bytes (unix(7)); longer homes are reached through the directory's descriptor.
fn connect_path(path: &std::path::Path) -> io::Result<UnixStream> {
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
}
