//! The control socket: who may connect, and one session each.

use super::door::{Door, Spare};
use super::mailbox::Desk;
use super::places::Places;
use super::session;
use crate::proto::{Code, DaemonMessage, Frame, Reply, WireError};
use crate::sys::fault;
use crate::sys::paths::Home;
use rustix::fs::Mode;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use tokio::net::UnixStream;

/// Binds the control socket, 0600, in place of one that a dead daemon left. The keeper's lock is ours, so
/// nobody serves the old one.
pub(super) fn bind(home: &Home) -> io::Result<StdListener> {
    let path = home.socket();
    fault::at("server.bind")?;
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = bind_path(&path)?;
    // For a caller whose umask takes its own rights away.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Clients that may wait for a place; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A Unix socket's name holds 107 bytes (unix(7)); longer ones are reached through their directory's descriptor.
fn bind_path(path: &Path) -> io::Result<StdListener> {
    let dir = std::fs::File::open(path.parent().unwrap_or(path))?;
    let mut name = path.to_owned();
    if path.as_os_str().len() >= 108 {
        let short = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir));
        name = Path::new(&short).join(path.file_name().unwrap_or_default());
    }
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Of the socket itself: its file is never there with more rights (unix_bind takes the mode from here).
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    net::bind(&socket, &SocketAddrUnix::new(&name)?)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The socket that the keeper held for us.
pub(super) fn inherited(fd: OwnedFd) -> StdListener {
    StdListener::from(fd)
}

/// Accepts for ever.
pub(super) async fn serve(listener: StdListener, spare: Spare, desk: Desk) -> io::Result<()> {
    let mut door = Door::new(listener, spare)?;
    let places = Places::new();
    let us = rustix::process::geteuid().as_raw();
    loop {
        let place = places.enter().await;
        let stream = door.next().await;
        if let Err(why) = may_enter(&stream, us) {
            refuse(&stream, why);
            continue;
        }
        // The place was kept while nobody came.
        place.said();
        tokio::spawn(session::serve(stream, desk.clone(), place));
    }
}

/// Only the same user, and root.
fn may_enter(stream: &UnixStream, us: u32) -> Result<(), String> {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == us || peer.uid() == 0 => Ok(()),
        Ok(peer) => Err(format!("it serves uid {us} and root, not uid {}", peer.uid())),
        Err(error) => Err(format!("it cannot tell who asks: {error}")),
    }
}

/// A word in place of a hello; a client that does not read it misses nothing.
fn refuse(stream: &UnixStream, why: String) {
    tracing::warn!(why, "refused a client");
    let error = WireError { code: Code::Invalid, message: why, hint: None };
    if let Ok(frame) = Frame::json(&DaemonMessage::Reply { id: 0, reply: Reply::Error(error) }) {
        drop(stream.try_write(&frame));
    }
}
