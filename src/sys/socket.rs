//! Making listening sockets with exactly the options that Node's own primary would use, and accepting on them.
//!
//! Nothing here waits: all sockets are non-blocking and close-on-exec.

use super::fault;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    getsockname, ipproto, socket_with, socketpair, sockopt,
};
use std::fs::{OpenOptions, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// The name of a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnixName {
    /// A file; longer than 107 bytes is fine.
    Path(String),
    /// Linux' abstract namespace; without the leading NUL.
    Abstract(String),
}

/// A connected pair of stream sockets: the first non-blocking, the second blocking, both close-on-exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    fault::errno("socket.pair")?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}

/// A TCP socket bound with SO_REUSEADDR and not yet listening. `reuse_port` lets others that set it share the port.
pub fn tcp(address: SocketAddr, v6_only: bool, reuse_port: bool) -> Result<OwnedFd, Errno> {
    fault::errno("socket.tcp")?;
    let socket = socket_with(family(address), SocketType::STREAM, FLAGS, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind_inet(socket, address, v6_only)
}

/// A bound UDP socket; `reuse_address` is Node's `reuseAddr`.
pub fn udp(address: SocketAddr, v6_only: bool, reuse_address: bool) -> Result<OwnedFd, Errno> {
    let socket = socket_with(family(address), SocketType::DGRAM, FLAGS, Some(ipproto::UDP))?;
    if reuse_address {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind_inet(socket, address, v6_only)
}

/// A bound unix stream socket. A socket file that an earlier process of this user left behind is replaced.
pub fn unix(name: &UnixName) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    match name {
        UnixName::Abstract(name) => bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?,
        UnixName::Path(path) => match bind_path(&socket, path) {
            Err(Errno::ADDRINUSE) if is_left_behind(path) => {
                rustix::fs::unlink(path.as_str())?;
                bind_path(&socket, path)?;
            }
            result => result?,
        },
    }
    Ok(socket)
}

/// Adds rights to a socket file (chmod |= `bits`), as `readableAll` and `writableAll` ask.
pub fn widen(path: &str, bits: u32) -> Result<(), Errno> {
    let apply = || {
        let mode = std::fs::metadata(path)?.permissions().mode();
        std::fs::set_permissions(path, Permissions::from_mode(mode | bits))
    };
    apply().map_err(|e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Lets `bytes` wait in the socket's send buffer, or as many as this user may (`net.core.wmem_max`).
pub fn widen_buffer(socket: impl AsFd, bytes: usize) {
    if sockopt::set_socket_send_buffer_size_force(&socket, bytes).is_err() {
        match sockopt::set_socket_send_buffer_size(&socket, bytes) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// Starts listening.
pub fn listen(socket: impl AsFd, backlog: i32) -> Result<(), Errno> {
    fault::errno("socket.listen")?;
    rustix::net::listen(socket, backlog)
}

/// Stops listening at once in all processes that have a copy: new clients are refused, and the port can be bound again
/// even before the last copy is closed.
pub fn stop_listening(socket: impl AsFd) {
    match rustix::net::shutdown(socket, rustix::net::Shutdown::Both) {
        // ENOTCONN: nobody listened.
        Ok(()) | Err(_) => {}
    }
}

/// Two ends of one TCP connection over the loopback, non-blocking: as if somebody had connected.
pub fn tcp_pair() -> std::io::Result<(TcpStream, OwnedFd)> {
    let between = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(between.local_addr()?)?;
    let own = ours.local_addr()?;
    between.set_nonblocking(true)?;
    loop {
        // Somebody else may have connected first.
        let (theirs, from) = between.accept()?;
        if from == own {
            ours.set_nonblocking(true)?;
            theirs.set_nonblocking(true)?;
            return Ok((ours, theirs.into()));
        }
    }
}

/// Whether somebody has called listen(2) on it (SO_ACCEPTCONN).
pub fn is_listening(socket: impl AsFd) -> bool {
    sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// Lets later sockets with the same option bind to the port of this one (SO_REUSEPORT set after bind).
pub fn share_port(socket: impl AsFd) -> Result<(), Errno> {
    sockopt::set_socket_reuseport(socket, true)
}

/// The next waiting connection, non-blocking; `Errno::AGAIN` if there is none.
pub fn accept(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    fault::errno("socket.accept")?;
    rustix::io::retry_on_intr(|| accept_with(&socket, FLAGS))
}

/// The bound address; `None` for unix sockets.
pub fn local_address(socket: impl AsFd) -> Option<SocketAddr> {
    SocketAddr::try_from(getsockname(socket).ok()?).ok()
}

/// Parses an IP address; `fe80::1%eth0` names its interface.
pub fn parse_address(text: &str, port: u16) -> Result<SocketAddr, Errno> {
    if let Some((ip, zone)) = text.split_once('%') {
        let ip: Ipv6Addr = ip.parse().ok().ok_or(Errno::INVAL)?;
        let probe = socket_with(AddressFamily::INET6, SocketType::DGRAM, FLAGS, None)?;
        let scope = match zone.parse() {
            Ok(number) => number,
            Err(_) => rustix::net::netdevice::name_to_index(probe, zone)?,
        };
        return Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)));
    }
    let ip = text.parse().ok().ok_or(Errno::INVAL)?;
    Ok(SocketAddr::new(ip, port))
}

fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

fn bind_inet(socket: OwnedFd, address: SocketAddr, v6_only: bool) -> Result<OwnedFd, Errno> {
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, v6_only)?;
    }
    bind(&socket, &SocketAddrAny::from(address))?;
    Ok(socket)
}

/// Binds to a file. The kernel takes 107 bytes; a longer path goes through its directory's descriptor.
fn bind_path(socket: &OwnedFd, path: &str) -> Result<(), Errno> {
    with_short_path(path, |short| bind(socket, &SocketAddrUnix::new(short)?))
}

fn with_short_path(path: &str, then: impl FnOnce(&str) -> Result<(), Errno>) -> Result<(), Errno> {
    if path.len() <= 107 {
        return then(path);
    }
    let (dir, name) = path.rsplit_once('/').ok_or(Errno::NAMETOOLONG)?;
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(dir)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    then(&format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

/// A socket file of this user that no living socket of this network namespace has and that refuses connections.
/// Being refused alone would not do: a socket that is bound and not listening yet refuses too.
fn is_left_behind(path: &str) -> bool {
    let Ok(meta) = Path::new(path).symlink_metadata() else { return false };
    if !meta.file_type().is_socket() || meta.uid() != rustix::process::geteuid().as_raw() {
        return false;
    }
    let Ok(alive) = std::fs::read_to_string("/proc/net/unix") else { return false };
    if path.len() > 107 || alive.lines().any(|line| line.ends_with(path)) {
        return false;
    }
    let Ok(probe) = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None) else { return false };
    let refused = with_short_path(path, |short| connect(&probe, &SocketAddrUnix::new(short)?));
    matches!(refused, Err(Errno::CONNREFUSED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn any_port() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    #[test]
    fn ports_are_shared_only_by_sockets_that_agreed() {
        let first = tcp(any_port(), false, false).unwrap();
        let address = local_address(&first).unwrap();
        listen(&first, 1).unwrap();
        assert_eq!(tcp(address, false, true).unwrap_err(), Errno::ADDRINUSE);
        share_port(&first).unwrap();
        let second = tcp(address, false, true).unwrap();
        assert_eq!(local_address(&second), Some(address));
    }

    #[test]
    fn a_port_is_free_again_before_the_last_copy_is_closed() {
        let first = tcp(any_port(), false, false).unwrap();
        let address = local_address(&first).unwrap();
        listen(&first, 1).unwrap();
        let copy = first.try_clone().unwrap();
        stop_listening(&first);
        drop(first);
        listen(tcp(address, false, false).unwrap(), 1).unwrap();
        assert!(!is_listening(&copy));
    }

    #[test]
    fn a_dual_stack_socket_takes_the_ipv4_port_too() {
        let Ok(both) = tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), false, false) else { return };
        listen(&both, 1).unwrap();
        let port = local_address(&both).unwrap().port();
        let v4 = tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false, false);
        let refused = v4.and_then(|socket| listen(&socket, 1));
        assert_eq!(refused.unwrap_err(), Errno::ADDRINUSE);
    }

    #[test]
    fn a_socket_file_left_behind_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").to_str().unwrap().to_owned();
        let name = UnixName::Path(path.clone());
        let first = unix(&name).unwrap();
        assert_eq!(unix(&name).unwrap_err(), Errno::ADDRINUSE, "bound, not listening");
        listen(&first, 1).unwrap();
        assert_eq!(unix(&name).unwrap_err(), Errno::ADDRINUSE, "listening");
        drop(first);
        unix(&name).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert_eq!(unix(&name).unwrap_err(), Errno::ADDRINUSE, "not a socket");
    }

    #[test]
    fn long_paths_and_abstract_names_can_be_bound() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s");
        unix(&UnixName::Path(path.to_str().unwrap().to_owned())).unwrap();
        assert!(path.exists());
        widen(path.to_str().unwrap(), 0o222).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o222, 0o222);
        let name = UnixName::Abstract(format!("pmon-test-{}", std::process::id()));
        let _held = unix(&name).unwrap();
        assert_eq!(unix(&name).unwrap_err(), Errno::ADDRINUSE);
    }

    #[test]
    fn addresses_may_name_their_interface() {
        assert_eq!(
            parse_address("::1%1", 5).unwrap(),
            SocketAddrV6::new(Ipv6Addr::LOCALHOST, 5, 0, 1).into()
        );
        assert_eq!(parse_address("127.0.0.1", 5).unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, 5)));
        assert_eq!(parse_address("nonsense", 5).unwrap_err(), Errno::INVAL);
    }
}
