//! What the demo starts: its app, run by Node in cluster mode, or without Node by this binary's own HTTP worker
//! on a socket that the daemon binds.

use super::APP;
use super::place::Place;
use crate::model::app::{Env, Mode, Program, SocketAddress, SocketSpec};
use crate::model::policy::{Limits, Readiness, Scheduling, Stop};
use crate::model::{App, Bytes};
use anyhow::Context;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// First port that is tried.
const FIRST_PORT: u16 = 3001;

/// Oldest Node that the app runs on.
const OLDEST_NODE: u32 = 16;

/// A usable Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    /// `20.11.0`.
    pub(super) version: String,
}

impl Node {
    /// The first `node` in `PATH` that answers and is new enough.
    pub(super) fn find() -> Option<Node> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join("node")).find_map(Node::at)
    }

    fn at(path: PathBuf) -> Option<Node> {
        let path = std::path::absolute(path).ok().filter(|path| path.is_file())?;
        let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output().ok()?;
        let version = usable_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Node { path, version })
    }
}

/// `v20.11.0` → `20.11.0`, if that is new enough.
fn usable_version(told: &str) -> Option<String> {
    let version = told.trim().strip_prefix('v')?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= OLDEST_NODE).then(|| version.to_owned())
}

/// A port on which nobody listens now, from 3001 on.
pub(super) fn free_port() -> io::Result<u16> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for port in FIRST_PORT..FIRST_PORT + 500 {
        // On all addresses: a server on any of them would be in the way of somebody.
        match TcpListener::bind(("0.0.0.0", port)) {
            Ok(_free) => return Ok(port),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// The app as the daemon is asked to start it.
pub(super) fn demo(place: &Place, node: Option<&Node>, port: u16, instances: u32) -> anyhow::Result<App> {
    let program = match node {
        Some(node) => Program {
            script: place.app().join("server.js"),
            interpreter: "node".to_owned(),
            interpreter_path: Some(node.path.clone()),
            interpreter_args: Vec::new(),
            args: Vec::new(),
        },
        None => Program {
            script: std::env::current_exe().context("find this program's own file")?,
            interpreter: "none".to_owned(),
            interpreter_path: None,
            interpreter_args: Vec::new(),
            args: vec!["demo-worker".to_owned()],
        },
    };
    let socket = SocketSpec {
        name: "http".to_owned(),
        address: SocketAddress::Tcp { host: "127.0.0.1".to_owned(), port },
    };
    Ok(App {
        mode: if node.is_some() { Mode::Cluster } else { Mode::Fork },
        instances: instances.max(1),
        env: environment(port),
        stop: Stop { kill_timeout: Duration::from_secs(3), ..Stop::default() },
        readiness: Readiness { listen_timeout: Duration::from_secs(10), ..Readiness::default() },
        limits: Limits { max_memory: Some(Bytes(512 << 20)) },
        scheduling: Scheduling::RoundRobin,
        sockets: if node.is_some() { Vec::new() } else { vec![socket] },
        version: Some("1.0.0".to_owned()),
        node_version: node.map(|node| node.version.clone()),
        ..App::of(APP, program, place.app())
    })
}

/// The user's environment without what speaks of this process's own descriptors and channel.
fn environment(port: u16) -> Env {
    let foreign = |name: &str| name.starts_with("LISTEN_") || name.starts_with("NODE_CHANNEL_");
    let inherited = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        (!foreign(&name)).then_some((name, value))
    });
    let mut env: std::collections::BTreeMap<_, _> = inherited.collect();
    env.insert("PORT".to_owned(), port.to_string());
    Env(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_too_old_or_no_node_is_not_used() {
        assert_eq!(usable_version("v20.11.0\n"), Some("20.11.0".to_owned()));
        assert_eq!(usable_version("v16.0.0"), Some("16.0.0".to_owned()));
        assert_eq!(usable_version("v14.21.3"), None);
        assert_eq!(usable_version("node: not found"), None);
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let port = free_port().unwrap();
        let _taken = TcpListener::bind(("0.0.0.0", port)).unwrap();
        assert_ne!(free_port().unwrap(), port);
    }

    #[test]
    fn without_node_it_is_this_binary_on_a_socket_of_the_daemons() {
        let place = Place::create(3001, 16).unwrap();
        let app = demo(&place, None, 3001, 16).unwrap();
        assert_eq!((app.mode, app.instances, app.sockets.len()), (Mode::Fork, 16, 1));
        assert_eq!(app.program.args, ["demo-worker"]);
        assert_eq!(app.env.0.get("PORT").map(String::as_str), Some("3001"));
        let node = Node { path: "/usr/bin/node".into(), version: "20.0.0".to_owned() };
        let app = demo(&place, Some(&node), 3001, 0).unwrap();
        assert_eq!((app.mode, app.instances, app.sockets.len()), (Mode::Cluster, 1, 0));
    }
}
