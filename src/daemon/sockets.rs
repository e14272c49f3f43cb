//! Listening sockets that the daemon binds for an app and every instance inherits (`LISTEN_FDS`, sd_listen_fds(3)).
//! Each is an entry of the keeper, so it outlives the daemon; it is closed when the app is stopped or deleted.

use super::keep::complain;
use super::spawn::Unmade;
use super::states::States;
use crate::keeper::{Link, Tag};
use crate::model::App;
use crate::model::app::{SocketAddress, SocketSpec};
use crate::sys::fault;
use crate::sys::holder::Place;
use crate::sys::{holder, socket};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Entries from here on are inherited sockets (below, Node's listeners).
pub(super) const FIRST_ENTRY: u64 = 1 << 41;

/// Connections that may wait for a worker.
const BACKLOG: i32 = 4096;

/// The sockets of all apps.
#[derive(Debug)]
pub(super) struct Sockets {
    held: Vec<Held>,
    next: u64,
    states: States,
}

#[derive(Debug)]
struct Held {
    entry: u64,
    record: Record,
    fd: OwnedFd,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    app: String,
    spec: SocketSpec,
}

impl Sockets {
    /// None yet.
    pub(super) fn new(states: States) -> Sockets {
        Sockets { held: Vec::new(), next: 0, states }
    }

    /// Takes back what the keeper held; a socket without a record was never used and is dropped.
    pub(super) fn adopt(&mut self, entry: u64, fd: Option<OwnedFd>, blob: &[u8], link: &Link) {
        self.next = self.next.max(entry + 1);
        match (fd, serde_json::from_slice(blob)) {
            (Some(fd), Ok(record)) => self.held.push(Held { entry, record, fd }),
            _ => complain("forget a socket", link.forget(entry)),
        }
    }

    /// The app's sockets in its order, duplicated for a child; those missing are bound first.
    /// The error completes "failed to …".
    pub(super) fn of(&mut self, app: &App, link: &Link) -> Result<Vec<OwnedFd>, Unmade> {
        let mut fds = Vec::with_capacity(app.sockets.len());
        for spec in &app.sockets {
            let known = self.held.iter().position(|h| h.record.app == app.name && h.record.spec == *spec);
            let index = match known {
                Some(index) => index,
                None => self.bind(app, spec, link)?,
            };
            let fd =
                self.held[index].fd.try_clone().map_err(|e| Unmade::because("duplicate a socket", &e))?;
            fds.push(fd);
        }
        Ok(fds)
    }

    /// Closes the sockets of an app that nobody serves any more.
    pub(super) fn close(&mut self, app: &str, link: &Link) {
        self.held.retain(|held| {
            let keep = held.record.app != app;
            if !keep {
                complain("forget a socket", link.forget(held.entry));
                self.states.forget(held.entry);
                if let SocketAddress::Unix { path } = &held.record.spec.address {
                    // Gone already is as good.
                    drop(std::fs::remove_file(path));
                }
            }
            keep
        });
    }

    fn bind(&mut self, app: &App, spec: &SocketSpec, link: &Link) -> Result<usize, Unmade> {
        let fd = bind(&spec.address).map_err(|e| self.explain(app, &spec.address, &e))?;
        let entry = self.next.max(FIRST_ENTRY);
        self.next = entry + 1;
        let record = Record { app: app.name.clone(), spec: spec.clone() };
        let blob = crate::model::skew::to_vec(&record).map_err(|e| format!("describe a socket: {e}"))?;
        complain("keep a socket", link.keep(entry, Tag { kind: Tag::LISTENER, index: 0 }, fd.as_fd()));
        complain("keep a record", link.blob(entry, &blob));
        self.states.listener(entry, link);
        self.held.push(Held { entry, record, fd });
        Ok(self.held.len() - 1)
    }

    /// Completes "failed to …"; names whoever has the port, where that can be found out.
    fn explain(&self, app: &App, address: &SocketAddress, error: &io::Error) -> Unmade {
        let place = shown(address);
        if error.kind() != io::ErrorKind::AddrInUse {
            return Unmade::because(format!("listen on `{place}`"), error);
        }
        let ours = self.held.iter().find(|held| port(&held.record.spec.address) == port(address));
        let by = match (address, ours) {
            (SocketAddress::Unix { .. }, _) => None,
            (_, Some(held)) if held.record.app == app.name => Some("this app itself".to_owned()),
            (_, Some(held)) => Some(format!("app `{}`", held.record.app)),
            (SocketAddress::Tcp { port, .. }, None) => {
                holder::of(&Place::Tcp(*port)).map(|holder| holder.to_string())
            }
            (SocketAddress::Udp { port, .. }, None) => {
                holder::of(&Place::Udp(*port)).map(|holder| holder.to_string())
            }
        };
        let by = by.map(|holder| format!(", held by {holder}")).unwrap_or_default();
        format!("listen on `{place}`: address already in use{by}").into()
    }
}

/// Protocol and port; `None` for what has none.
fn port(address: &SocketAddress) -> Option<(bool, u16)> {
    match address {
        SocketAddress::Tcp { port, .. } => Some((true, *port)),
        SocketAddress::Udp { port, .. } => Some((false, *port)),
        SocketAddress::Unix { .. } => None,
    }
}

/// For people: `0.0.0.0:8000`, `/run/x.sock`, `udp :5353`.
pub(super) fn shown(address: &SocketAddress) -> String {
    match address {
        SocketAddress::Tcp { host, port } => format!("{host}:{port}"),
        SocketAddress::Udp { host, port } => format!("udp {host}:{port}"),
        SocketAddress::Unix { path } => path.display().to_string(),
    }
}

fn bind(address: &SocketAddress) -> io::Result<OwnedFd> {
    fault::at("sockets.bind")?;
    match address {
        SocketAddress::Tcp { host, port } => {
            widened(any_family(host, *port, |at| TcpListener::bind(at)).map(OwnedFd::from)?)
        }
        SocketAddress::Udp { host, port } => {
            any_family(host, *port, |at| UdpSocket::bind(at)).map(OwnedFd::from)
        }
        SocketAddress::Unix { path } => widened(bind_unix(path).map(OwnedFd::from)?),
    }
}

/// With a longer queue than the library's 128: connections wait in it while the app is replaced. The system has its
/// own limit (`net.core.somaxconn`).
fn widened(fd: OwnedFd) -> io::Result<OwnedFd> {
    socket::listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// No host means all addresses of both families, or of IPv4 where there is no IPv6.
fn any_family<T>(host: &str, port: u16, bind: impl Fn((&str, u16)) -> io::Result<T>) -> io::Result<T> {
    if !host.is_empty() {
        return bind((host, port));
    }
    match bind(("::", port)) {
        Err(e) if e.kind() != io::ErrorKind::AddrInUse && e.kind() != io::ErrorKind::PermissionDenied => {
            bind(("0.0.0.0", port))
        }
        other => other,
    }
}

/// A socket file that nobody answers on was left by somebody dead.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Err(dead) if dead.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            _ => Err(e),
        },
        other => other,
    }
}
