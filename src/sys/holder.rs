//! Who has a port: the process behind an `EADDRINUSE`, from /proc/net and /proc/*/fd.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its command line, shortened; its name if it has none.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.command)
    }
}

/// `TCP_LISTEN` in /proc/net/tcp (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// What may be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A TCP port, on whichever address, by somebody who listens.
    Tcp(u16),
    /// A UDP port, on whichever address.
    Udp(u16),
    /// A unix socket's path.
    Unix(String),
}

/// The first process found that has it. `None` also when its descriptors may not be read (another user's).
pub fn of(place: &Place) -> Option<Holder> {
    let in_tables = |tables: [&str; 2], port, state| {
        let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
        let lines = texts.iter().flat_map(|text| text.lines().skip(1));
        lines.filter_map(|line| inode(line, port, state)).map(str::to_owned).collect::<Vec<_>>()
    };
    let inodes = match place {
        Place::Tcp(port) => in_tables(["/proc/net/tcp", "/proc/net/tcp6"], *port, Some(LISTEN)),
        Place::Udp(port) => in_tables(["/proc/net/udp", "/proc/net/udp6"], *port, None),
        Place::Unix(path) => {
            let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
            text.lines().filter_map(|line| unix_inode(line, path)).map(str::to_owned).collect()
        }
    };
    if inodes.is_empty() {
        return None;
    }
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| has(*pid, &sockets)).map(|pid| Holder { pid, command: command(pid) })
}

/// A listening TCP socket of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// By which descriptors can be found.
    pub inode: u64,
}

/// All of them.
pub fn listening_tcp() -> Vec<Listening> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(listening));
    }
    found
}

fn listening(line: &str) -> Option<Listening> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    Some(Listening { address: SocketAddr::new(ip_of(ip)?, port), inode: fields.nth(5)?.parse().ok()? })
}

/// Words of four bytes, each printed as a number of this machine.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let mut bytes = [0u8; 16];
    for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(at)?);
    }
    Some(IpAddr::from(bytes))
}

/// The inodes of the sockets that a process has; none if it may not be looked into.
pub fn sockets_of(pid: u32) -> Vec<u64> {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let inode =
        |target: &std::path::Path| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    fds.flatten().filter_map(|fd| inode(&fs::read_link(fd.path()).ok()?)).collect()
}

/// The first process found that has one of these sockets and is one of those `wanted`.
pub fn of_inodes(inodes: &HashSet<u64>, wanted: impl Fn(u32) -> bool) -> Option<Holder> {
    let pids = super::proc::pids().unwrap_or_default();
    let mut pids = pids.into_iter().filter(|pid| wanted(*pid));
    let pid = pids.find(|pid| sockets_of(*pid).iter().any(|inode| inodes.contains(inode)))?;
    Some(Holder { pid, command: command(pid) })
}

/// One line of /proc/net/unix: `num refcount protocol flags type state inode path`.
fn unix_inode<'a>(line: &'a str, path: &str) -> Option<&'a str> {
    let mut fields = line.split_ascii_whitespace();
    let inode = fields.nth(6)?;
    (fields.next() == Some(path)).then_some(inode)
}

/// One line of /proc/net/tcp: `sl local remote state queues timer retransmits uid timeout inode …`, ports in hex.
fn inode<'a>(line: &'a str, port: u16, state: Option<&str>) -> Option<&'a str> {
    let mut fields = line.split_ascii_whitespace();
    let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
    let its_state = fields.nth(1)?;
    let matches = u16::from_str_radix(local_port, 16) == Ok(port) && state.is_none_or(|s| s == its_state);
    matches.then(|| fields.nth(5)).flatten().filter(|inode| *inode != "0")
}

fn has(pid: u32, sockets: &[String]) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    fds.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
}

fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> =
        line.split(|b| *b == 0).filter(|w| !w.is_empty()).map(String::from_utf8_lossy).collect();
    let text = if words.is_empty() {
        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
    } else {
        words.join(" ")
    };
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_this_process_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(&Place::Tcp(socket.local_addr().unwrap().port())).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.command.is_empty());
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(of(&Place::Udp(socket.local_addr().unwrap().port())).unwrap().pid, std::process::id());
    }

    #[test]
    fn finds_this_process_by_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _held = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let place = Place::Unix(path.to_str().unwrap().to_owned());
        assert_eq!(of(&place).unwrap().pid, std::process::id());
    }

    #[test]
    fn an_address_is_words_of_this_machine() {
        assert_eq!(ip_of("0100007F"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(ip_of("00000000000000000000000001000000"), Some("::1".parse().unwrap()));
        assert_eq!(ip_of("0100"), None);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = listening_tcp().into_iter().find(|one| one.address == address).unwrap();
        assert!(sockets_of(std::process::id()).contains(&found.inode));
    }

    #[test]
    fn reads_a_line_of_the_kernel() {
        let line = "   0: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        assert_eq!(inode(line, 3001, Some(LISTEN)), Some("4711"));
        assert_eq!(inode(line, 3002, Some(LISTEN)), None);
        assert_eq!(inode(line, 3001, Some("01")), None);
    }
}
