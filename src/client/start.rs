//! Starting keeper and daemon, and hearing from them that they serve, or why not.

use super::call::Client;
use super::connect::{ConnectError, frozen};
use crate::sys::detach;
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use crate::sys::{clock, interrupt};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// What is going on, for people who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// No daemon ran; one is being started.
    Starting,
    /// It serves.
    Started,
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A connection that fails for another reason than that nobody is there.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The home cannot be used.
    #[error("use the home `{home}`: {source}")]
    Home {
        /// Where.
        home: String,
        /// Why.
        source: io::Error,
    },
    /// The keeper could not be started.
    #[error("start the keeper: {0}")]
    Spawn(io::Error),
    /// Keeper or daemon gave this reason.
    #[error("start the daemon: {reason}")]
    Refused {
        /// In its own words.
        reason: String,
    },
}

/// Starts keeper and daemon in `home`, unless another client is just doing so, and connects.
pub(super) fn start(home: &Home, notice: &mut dyn FnMut(Notice)) -> Result<Client, StartError> {
    let broken = |source| StartError::Home { home: home.root().display().to_string(), source };
    home.create().map_err(broken)?;
    let alone = Lock::wait(&home.root().join("start.lock")).map_err(broken)?;
    if let Some(client) = await_daemon(home)? {
        return Ok(client);
    }
    notice(Notice::Starting);
    let log =
        OpenOptions::new().append(true).create(true).mode(0o600).open(home.daemon_log()).map_err(broken)?;
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| StartError::Spawn(e.into()))?;
    detach::keeper(home, log, writer).map_err(StartError::Spawn)?;
    let told = hear(reader);
    drop(alone);
    match told.lines().next() {
        Some("ready") => {
            notice(Notice::Started);
            Ok(Client::connect(home)?)
        }
        // Another keeper may have come before it, and serve.
        Some(reason) if !reason.is_empty() => {
            Client::connect(home).map_err(|_none| StartError::Refused { reason: reason.to_owned() })
        }
        _ => Err(StartError::Refused {
            reason: format!("it ended without a word; see {}", home.daemon_log().display()),
        }),
    }
}

/// The daemon of a keeper that lives: the one it is about to start, if it has none. `None`: there is no keeper.
fn await_daemon(home: &Home) -> Result<Option<Client>, StartError> {
    let deadline = clock::now().boot_ms + PATIENCE_MS;
    loop {
        match Client::connect(home) {
            Err(ConnectError::NoDaemon(_)) => {}
            other => return Ok(Some(other?)),
        }
        // A lock that cannot even be tried is left to the keeper, which says why.
        let held = Lock::attempt(&home.keeper_lock()).is_ok_and(|lock| lock.is_none());
        let now = clock::now().boot_ms;
        if held && now > deadline - PATIENCE_MS + MOMENT_MS {
            // It starts no daemon, and nobody else can while it has the lock.
            frozen(home).map_or(Ok(()), Err)?;
        }
        if !held || now > deadline {
            return Ok(None);
        }
        interrupt::pause(LOOK);
    }
}

/// A keeper without daemon, or about to end, is given so long.
const PATIENCE_MS: u64 = 8000;
/// Who is stopped for a moment only is waited for.
const MOMENT_MS: u64 = 1000;
const LOOK: Duration = Duration::from_millis(10);

/// One line from keeper or daemon, or nothing when both are gone.
fn hear(reader: OwnedFd) -> String {
    let mut told = Vec::new();
    let mut file = File::from(reader);
    let mut byte = [0u8];
    while !told.ends_with(b"\n") {
        match file.read(&mut byte) {
            Ok(1) => told.push(byte[0]),
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_gone) => break,
        }
    }
    String::from_utf8_lossy(&told).into_owned()
}
