//! The control socket: who may connect, and one session each.

use super::mailbox::Desk;
use super::session;
use crate::sys::aside;
use crate::sys::paths::Home;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Sessions at a time; further clients wait in the backlog.
const SESSIONS: usize = 512;
/// With fewer places free, idle clients lose theirs: whoever comes next must not wait for them.
const FREE: usize = SESSIONS / 2;

/// Binds the control socket, 0600, in place of one that a dead daemon left. The keeper's lock is ours, so
/// nobody serves the old one.
pub(super) fn bind(home: &Home) -> io::Result<StdListener> {
    let path = home.socket();
    match path.symlink_metadata() {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(&path)?,
        Ok(_something_else) => drop(aside::put(&path)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = bind_path(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A Unix socket's name holds 107 bytes (unix(7)); longer ones are reached through their directory's descriptor.
fn bind_path(path: &std::path::Path) -> io::Result<StdListener> {
    if path.as_os_str().len() < 108 {
        return StdListener::bind(path);
    }
    let dir = std::fs::File::open(path.parent().unwrap_or(path))?;
    let short = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir));
    StdListener::bind(std::path::Path::new(&short).join(path.file_name().unwrap_or_default()))
}

/// The socket that the keeper held for us.
pub(super) fn inherited(fd: OwnedFd) -> StdListener {
    StdListener::from(fd)
}

/// Accepts for ever.
pub(super) async fn serve(listener: StdListener, desk: Desk) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(SESSIONS));
    let us = rustix::process::geteuid().as_raw();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _address)) => stream,
            Err(error) => {
                // Out of descriptors: the backlog holds the client until some are free.
                tracing::warn!(%error, "failed to accept a client");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if !may_enter(&stream, us) {
            continue;
        }
        let (desk, places) = (desk.clone(), places.clone());
        tokio::spawn(async move {
            session::serve(stream, desk, || places.available_permits() < FREE).await;
            drop(place);
        });
    }
}

/// Only the same user, and root.
fn may_enter(stream: &UnixStream, us: u32) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == us || peer.uid() == 0 => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused a client of another user");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "refused a client whose user is unknown");
            false
        }
    }
}
