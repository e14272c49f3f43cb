//! Where a process listens, if nobody else does there: what is asked on that port is answered by it.

use super::holder::{self, Listening};
use super::processes::Processes;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why it cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It does not listen there.
    #[error("it does not listen on {}", port.map_or("any TCP port".to_owned(), |port| format!("port {port}")))]
    Nowhere {
        /// Where it was to listen.
        port: Option<u16>,
    },
    /// Another process may answer instead.
    #[error(
        "port {port} is also served by {by}, which might answer in its place: give `health` a port of its own"
    )]
    Shared {
        /// The port.
        port: u16,
        /// Who.
        by: String,
    },
}

/// The addresses at which only the tree of `pid` can answer: on `port`, or on the lowest port that it alone listens on.
/// Other users' processes are not seen into without the right to.
pub fn alone(pid: u32, port: Option<u16>) -> Result<Vec<SocketAddr>, Why> {
    let tree: HashSet<u32> =
        Processes::look().tree(pid).iter().map(|member| member.pid).chain([pid]).collect();
    let own: HashSet<u64> = tree.iter().flat_map(|pid| holder::sockets_of(*pid)).collect();
    let all = holder::listening_tcp();
    let here =
        |one: &&Listening| own.contains(&one.inode) && port.is_none_or(|port| one.address.port() == port);
    let candidates: BTreeMap<u16, SocketAddr> =
        all.iter().filter(here).map(|one| (one.address.port(), one.address)).collect();
    let mut why = Why::Nowhere { port };
    for (port, address) in candidates {
        match sharer(port, &all, &own, &tree) {
            None => return Ok(reachable(address)),
            Some(by) => why = Why::Shared { port, by },
        }
    }
    Err(why)
}

/// Somebody outside the tree who might answer on the port, too.
fn sharer(port: u16, all: &[Listening], own: &HashSet<u64>, tree: &HashSet<u32>) -> Option<String> {
    let there: HashSet<u64> =
        all.iter().filter(|one| one.address.port() == port).map(|one| one.inode).collect();
    // The daemon and its keeper hold copies of inherited sockets, and never accept on them.
    let pmon = [std::process::id(), std::os::unix::process::parent_id()];
    let other = holder::of_inodes(&there, |pid| !tree.contains(&pid) && !pmon.contains(&pid));
    let foreign = there.iter().any(|inode| !own.contains(inode));
    other.map(|holder| holder.to_string()).or_else(|| foreign.then(|| "another socket".to_owned()))
}

/// Addresses to connect to: nobody can connect to the unspecified one.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let ips = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v6, v4],
        ip => vec![ip],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn this_process_answers_alone_on_its_port() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(alone(std::process::id(), Some(address.port())), Ok(vec![address]));
        let port = Some(1);
        assert_eq!(alone(std::process::id(), port), Err(Why::Nowhere { port }));
    }

    #[test]
    fn the_unspecified_address_is_reached_at_the_loopback() {
        let any: SocketAddr = "[::]:80".parse().unwrap();
        assert_eq!(reachable(any), ["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()]);
        let one: SocketAddr = "192.0.2.7:80".parse().unwrap();
        assert_eq!(reachable(one), [one]);
    }
}
