//! A listening socket that the workers of one app share, from the first `listen` to the app's stop. It belongs to the
//! app and not to a worker: it stays open while workers restart, reload or crash, and new clients wait in its backlog.
//! Here: how it is bound, who holds it, its record for the keeper. Who gets connections is [`super::dispatch`]'s.

use super::custody::Kept;
use super::dispatch::Rotation;
use super::message::{AddressType, Ask};
use crate::model::Run;
use crate::model::policy::Scheduling;
use crate::sys::socket::{self, UnixName};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How its connections are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The daemon accepts and hands over.
    RoundRobin,
    /// All workers accept on one socket. Always so for UDP.
    Shared,
    /// A socket a slot; the daemon accepts only for a slot without worker.
    ReusePort,
}

/// One of its sockets.
#[derive(Debug)]
pub struct Socket {
    /// Bound; listening if the daemon or a worker said so.
    pub fd: Arc<OwnedFd>,
    /// Under which the hub watches it for connections, if it does.
    pub token: Option<u64>,
    /// A connection may be waiting: set by the (edge-triggered) poller, cleared when accept found none.
    pub ready: bool,
}

/// A listening socket, or one a slot.
#[derive(Debug)]
pub struct Listener {
    /// Whose.
    pub app: Arc<str>,
    /// Under which its workers know it.
    pub key: String,
    /// How connections are shared out.
    pub kind: Kind,
    /// Where.
    pub ask: Ask,
    /// The first worker's `data`, given to all (TLS ticket keys: sessions resume on any worker).
    pub data: Value,
    /// The workers that have it, with their slots.
    pub holders: BTreeMap<Run, u32>,
    /// Number of the question by which each got it.
    pub asked: BTreeMap<Run, u64>,
    /// The workers that have a copy of a socket on which the daemon accepts (see `cluster`).
    pub copies: BTreeSet<Run>,
    /// Holders whose answer is not on their channels yet: the next daemon gives it.
    pub owed: BTreeSet<Run>,
    /// Holders of whom it is only known that they once were: keeper and daemon have died together.
    pub doubted: BTreeSet<Run>,
    /// By slot; only slot 0 unless `ReusePort`.
    pub sockets: BTreeMap<u32, Socket>,
    /// Whose turn it is. Unused if `Shared`.
    pub rotation: Rotation<Arc<OwnedFd>>,
    /// What the keeper has of its connections.
    pub(super) kept: Kept,
    /// Since when nobody holds it.
    pub abandoned: Option<u64>,
    /// No accept before this moment: the system is out of descriptors.
    pub paused_until: u64,
}

/// What the keeper holds about it. JSON; unknown fields are skipped.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    app: Arc<str>,
    key: String,
    kind: Kind,
    ask: Ask,
    data: Value,
    holders: Vec<(Run, u32)>,
    /// Where the system has bound it, which may have chosen the port.
    #[serde(default)]
    address: Option<SocketAddr>,
    #[serde(default)]
    asked: Vec<(Run, u64)>,
    #[serde(default)]
    copies: BTreeSet<Run>,
    #[serde(default)]
    owed: BTreeSet<Run>,
    #[serde(default)]
    doubted: BTreeSet<Run>,
}

/// A record that may be older than what its holders did last.
pub fn doubted(blob: &[u8]) -> Vec<u8> {
    let Ok(mut record) = serde_json::from_slice::<Record>(blob) else { return blob.to_vec() };
    record.doubted = record.holders.iter().map(|(run, _)| *run).collect();
    serde_json::to_vec(&record).unwrap_or_else(|_| blob.to_vec())
}

impl Socket {
    fn new(fd: OwnedFd) -> Socket {
        Socket { fd: Arc::new(fd), token: None, ready: false }
    }
}

impl Kind {
    /// What a policy means for an address: UDP has no connections, and SO_REUSEPORT balances only TCP.
    pub fn of(scheduling: Scheduling, address: AddressType) -> Kind {
        match (address, scheduling) {
            (AddressType::Udp4 | AddressType::Udp6, _) => Kind::Shared,
            (_, Scheduling::RoundRobin) => Kind::RoundRobin,
            (AddressType::Unix, Scheduling::ReusePort) | (_, Scheduling::Shared) => Kind::Shared,
            (AddressType::Tcp4 | AddressType::Tcp6, Scheduling::ReusePort) => Kind::ReusePort,
        }
    }
}

impl Listener {
    /// Binds the first socket, and listens on it if the daemon accepts.
    pub fn open(app: Arc<str>, ask: Ask, kind: Kind, slot: u32, data: Value) -> Result<Listener, Errno> {
        // Without SO_REUSEPORT at first, so that a foreign holder of the port is found out.
        let fd = bind(&ask)?;
        match kind {
            Kind::RoundRobin => socket::listen(&fd, backlog(&ask))?,
            Kind::Shared => {}
            Kind::ReusePort => socket::share_port(&fd)?,
        }
        let key = ask.key();
        let mut listener = Listener::without_sockets(app, key, kind, ask, data);
        listener.sockets.insert(listener.index(slot), Socket::new(fd));
        Ok(listener)
    }

    /// Takes over what a former daemon had; `None` if the record cannot be read or no socket came with it.
    pub fn adopt(blob: &[u8], fds: Vec<(u32, OwnedFd)>) -> Option<Listener> {
        let record: Record = serde_json::from_slice(blob).ok()?;
        let mut listener =
            Listener::without_sockets(record.app, record.key, record.kind, record.ask, record.data);
        listener.holders = record.holders.into_iter().collect();
        listener.asked = record.asked.into_iter().collect();
        listener.copies = record.copies;
        listener.owed = record.owed;
        listener.doubted = record.doubted;
        listener.sockets = fds.into_iter().map(|(slot, fd)| (slot, Socket::new(fd))).collect();
        (!listener.sockets.is_empty()).then_some(listener)
    }

    /// Binds again what nobody has any more, at the same address: a socket that only keeper and daemon had, and both have
    /// died. Clients that waited in its backlog were reset. `None` if nobody was to be served by it, or it cannot be.
    pub fn revive(blob: &[u8]) -> Option<Listener> {
        let record: Record = serde_json::from_slice(blob).ok()?;
        if record.kind != Kind::RoundRobin || record.holders.is_empty() {
            return None;
        }
        let fd = match record.address {
            Some(address) => bind_at(&record.ask, address),
            None => bind(&record.ask),
        };
        let fd = fd.ok()?;
        socket::listen(&fd, backlog(&record.ask)).ok()?;
        Listener::adopt(blob, vec![(0, fd)])
    }

    fn without_sockets(app: Arc<str>, key: String, kind: Kind, ask: Ask, data: Value) -> Listener {
        Listener {
            app,
            key,
            kind,
            ask,
            data,
            holders: BTreeMap::new(),
            asked: BTreeMap::new(),
            copies: BTreeSet::new(),
            owed: BTreeSet::new(),
            doubted: BTreeSet::new(),
            sockets: BTreeMap::new(),
            rotation: Rotation::default(),
            kept: Kept::default(),
            abandoned: None,
            paused_until: 0,
        }
    }

    /// Its record.
    pub fn record(&self) -> Vec<u8> {
        let record = Record {
            app: Arc::clone(&self.app),
            key: self.key.clone(),
            kind: self.kind,
            ask: self.ask.clone(),
            data: self.data.clone(),
            holders: self.holders.iter().map(|(run, slot)| (*run, *slot)).collect(),
            address: self.address(),
            asked: self.asked.iter().map(|(run, seq)| (*run, *seq)).collect(),
            copies: self.copies.clone(),
            owed: self.owed.clone(),
            doubted: self.doubted.clone(),
        };
        crate::model::skew::to_vec(&record).unwrap_or_default()
    }

    /// This worker holds it no more; its slot, if it did.
    pub fn drop_holder(&mut self, run: Run) -> Option<u32> {
        self.asked.remove(&run);
        self.copies.remove(&run);
        self.owed.remove(&run);
        self.doubted.remove(&run);
        self.holders.remove(&run)
    }

    /// Under which index the socket for a worker of this slot is.
    pub fn index(&self, slot: u32) -> u32 {
        match self.kind {
            Kind::RoundRobin | Kind::Shared => 0,
            Kind::ReusePort => slot,
        }
    }

    /// The socket for a worker of this slot; binds it if the slot has none yet. `true`: it is new, keep it.
    pub fn socket_for(&mut self, slot: u32) -> Result<(Arc<OwnedFd>, bool), Errno> {
        let index = self.index(slot);
        if let Some(socket) = self.sockets.get(&index) {
            return Ok((Arc::clone(&socket.fd), false));
        }
        let address = self.address().ok_or(Errno::INVAL)?;
        let socket = Socket::new(socket::tcp(address, v6_only(&self.ask), true)?);
        let fd = Arc::clone(&socket.fd);
        self.sockets.insert(index, socket);
        Ok((fd, true))
    }

    /// Where it listens, for people: as asked, with the port that was chosen.
    pub fn display(&self) -> String {
        let port = self.address().map_or(self.ask.port, |at| i32::from(at.port()));
        Ask { port, ..self.ask.clone() }.display()
    }

    /// Where it is bound, if that is an IP address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.sockets.values().next().and_then(|socket| socket::local_address(&socket.fd))
    }

    /// Whether the daemon accepts on this socket: always in turn, and on a slot whose worker is gone, since the kernel
    /// goes on giving the slot its share.
    pub fn daemon_accepts(&self, index: u32, fd: &OwnedFd) -> bool {
        match self.kind {
            Kind::RoundRobin => true,
            Kind::Shared => false,
            Kind::ReusePort => !self.holders.values().any(|slot| *slot == index) && socket::is_listening(fd),
        }
    }

    /// The answer to `queryServer`, without envelope.
    pub fn reply(&self, ack: u64, seq: u64) -> Value {
        let mut reply = json!({
            "cmd": "NODE_CLUSTER", "ack": ack, "errno": 0, "key": self.key, "data": self.data, "seq": seq,
        });
        if let (Kind::RoundRobin, Some(at), Some(fields)) = (self.kind, self.address(), reply.as_object_mut())
        {
            let (address, family) = (at.ip().to_string(), if at.is_ipv6() { "IPv6" } else { "IPv4" });
            let name = json!({ "address": address, "family": family, "port": at.port() });
            fields.insert("sockname".to_owned(), name);
        }
        reply
    }

    /// Removes the socket file, if there is one: the last user is gone.
    pub fn unlink(&self) {
        if let Some(UnixName::Path(path)) = unix_name(&self.ask) {
            match rustix::fs::unlink(path) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Binds where it was asked to, with the options of Node's primary.
fn bind(ask: &Ask) -> Result<OwnedFd, Errno> {
    if let Some(name) = unix_name(ask) {
        let fd = socket::unix(&name)?;
        let bits = [(ask.readable_all, 0o444), (ask.writable_all, 0o222)];
        let bits = bits.into_iter().filter(|(all, _)| *all == Some(true)).fold(0, |sum, (_, bit)| sum | bit);
        if let (UnixName::Path(path), true) = (&name, bits != 0) {
            socket::widen(path, bits)?;
        }
        return Ok(fd);
    }
    let port = u16::try_from(ask.port).ok().ok_or(Errno::INVAL)?;
    if let Some(address) = &ask.address {
        return bind_at(ask, socket::parse_address(address, port)?);
    }
    let any4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    if ask.address_type == AddressType::Udp4 {
        return bind_at(ask, any4);
    }
    // No address means both families; a host without IPv6 gets the other one.
    match bind_at(ask, SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::INVAL) => bind_at(ask, any4),
        result => result,
    }
}

fn bind_at(ask: &Ask, address: SocketAddr) -> Result<OwnedFd, Errno> {
    match ask.address_type {
        AddressType::Udp4 | AddressType::Udp6 => {
            socket::udp(address, v6_only(ask), ask.flags.unwrap_or(0) & 4 != 0)
        }
        AddressType::Tcp4 | AddressType::Tcp6 | AddressType::Unix => {
            socket::tcp(address, v6_only(ask), false)
        }
    }
}

fn v6_only(ask: &Ask) -> bool {
    ask.flags.unwrap_or(0) & 1 != 0
}

fn backlog(ask: &Ask) -> i32 {
    ask.backlog.filter(|n| *n > 0).unwrap_or(511)
}

/// An abstract name arrives as a path made absolute: what follows the NUL is the name.
fn unix_name(ask: &Ask) -> Option<UnixName> {
    if ask.address_type != AddressType::Unix {
        return None;
    }
    let address = ask.address.as_deref().unwrap_or_default();
    Some(match address.split_once('\0') {
        Some((_, name)) => UnixName::Abstract(name.to_owned()),
        None => UnixName::Path(address.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(ask: Ask, scheduling: Scheduling) -> Result<Listener, Errno> {
        let kind = Kind::of(scheduling, ask.address_type);
        Listener::open("app".into(), ask, kind, 2, json!({ "ticketKeys": "x" }))
    }

    fn local() -> Ask {
        Ask { address: Some("127.0.0.1".into()), ..Ask::default() }
    }

    #[test]
    fn udp_is_shared_and_only_tcp_has_a_socket_a_slot() {
        assert_eq!(Kind::of(Scheduling::RoundRobin, AddressType::Udp6), Kind::Shared);
        assert_eq!(Kind::of(Scheduling::ReusePort, AddressType::Unix), Kind::Shared);
        assert_eq!(Kind::of(Scheduling::ReusePort, AddressType::Tcp4), Kind::ReusePort);
        assert_eq!(Kind::of(Scheduling::RoundRobin, AddressType::Unix), Kind::RoundRobin);
    }

    #[test]
    fn the_slots_of_one_port_share_it_and_a_stranger_does_not() {
        let mut listener = open(local(), Scheduling::ReusePort).unwrap();
        let address = listener.address().unwrap();
        let (_, new) = listener.socket_for(2).unwrap();
        assert!(!new);
        let (other, new) = listener.socket_for(0).unwrap();
        assert!(new);
        assert_eq!(socket::local_address(&other), Some(address));
        socket::listen(&other, 1).unwrap();
        let same = Ask { port: i32::from(address.port()), ..local() };
        assert_eq!(open(same, Scheduling::ReusePort).unwrap_err(), Errno::ADDRINUSE);
    }

    #[test]
    fn a_record_brings_everything_back() {
        let mut listener = open(local(), Scheduling::RoundRobin).unwrap();
        listener.holders.insert(Run::first(7), 3);
        let fd = listener.sockets.values().next().unwrap().fd.try_clone().unwrap();
        let back = Listener::adopt(&listener.record(), vec![(0, fd)]).unwrap();
        assert_eq!(back.holders, listener.holders);
        assert_eq!(
            (back.key.as_str(), &back.data, back.kind),
            (listener.key.as_str(), &listener.data, listener.kind)
        );
        assert_eq!(back.address(), listener.address());
        assert!(Listener::adopt(&listener.record(), Vec::new()).is_none());
        assert!(Listener::adopt(b"{}", Vec::new()).is_none());
    }

    #[test]
    fn what_only_the_dead_had_is_bound_again_at_the_port_it_had() {
        let mut listener = open(local(), Scheduling::RoundRobin).unwrap();
        assert!(Listener::revive(&listener.record()).is_none(), "nobody holds it");
        listener.holders.insert(Run::first(7), 3);
        let (record, address) = (listener.record(), listener.address());
        assert!(Listener::revive(&record).is_none(), "the port is taken");
        drop(listener);
        assert_eq!(Listener::revive(&record).unwrap().address(), address);
    }

    #[test]
    fn the_answer_names_the_address_only_where_the_daemon_accepts() {
        let turn = open(local(), Scheduling::RoundRobin).unwrap();
        let reply = turn.reply(5, 6);
        assert_eq!(reply["sockname"]["family"], "IPv4");
        assert_eq!((&reply["ack"], &reply["errno"], &reply["seq"]), (&json!(5), &json!(0), &json!(6)));
        assert_eq!(reply["data"], json!({ "ticketKeys": "x" }));
        let shared = open(local(), Scheduling::Shared).unwrap();
        assert!(shared.reply(5, 6).get("sockname").is_none());
    }

    #[test]
    fn a_path_may_be_opened_to_all_and_goes_with_its_listener() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let ask = Ask {
            address: Some(path.to_str().unwrap().into()),
            port: -1,
            address_type: AddressType::Unix,
            writable_all: Some(true),
            ..Ask::default()
        };
        let listener = open(ask, Scheduling::RoundRobin).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o222, 0o222);
        assert!(listener.reply(1, 2).get("sockname").is_none());
        listener.unlink();
        assert!(!path.exists());
    }

    #[test]
    fn bad_addresses_are_errors() {
        let with = |address: &str, port| {
            open(Ask { address: Some(address.into()), port, ..Ask::default() }, Scheduling::Shared)
        };
        assert_eq!(with("192.0.2.1", 0).unwrap_err(), Errno::ADDRNOTAVAIL);
        assert_eq!(with("nonsense", 0).unwrap_err(), Errno::INVAL);
        assert_eq!(with("127.0.0.1", 70_000).unwrap_err(), Errno::INVAL);
    }
}
