//! Node's child channel and cluster protocol, spoken by the daemon: `process.send`, `ready`, metrics, and ports that
//! the workers of an app share, for unmodified programs and without a Node parent. Nothing here knows of app
//! configurations, restarts or logs: runs come in, events go out.
//!
//! ```text
//!  daemon ──orders──▶ hub ──▶ turn (the loop) ──▶ core ──▶ channel ◀──JSON lines, handles──▶ worker
//!         ◀──events──────────────────────────────  │          └ codec, message, line
//!                                                  ├ cluster (who may listen where; heritage: of a former daemon) ── listener
//!                                                  ├ dispatch (whose turn it is)
//!                                                  └ drain (leaving)
//! ```
//!
//! A daemon that is killed loses nothing: the keeper has the channels and listening sockets and the listeners'
//! records, connections wait in the kernel's backlog, and the next daemon's hub goes on with all of them.

mod channel;
mod cluster;
pub mod codec;
mod core;
mod custody;
pub mod dispatch;
mod drain;
pub mod event;
mod heritage;
mod hub;
pub mod line;
mod listener;
pub mod message;
mod trouble;
mod turn;
mod worker;

#[cfg(test)]
mod tests;

pub use custody::Custody;
pub use event::{Keep, NodeEvent};
pub use hub::Hub;
pub use listener::doubted;
pub use worker::ChannelSpec;

use std::io;
use std::os::fd::OwnedFd;

/// The preload: the daemon writes it into the home and starts Node with `--require` of it.
pub const PRELOAD: &str = include_str!("../../assets/pmon-preload.js");

/// A new channel: the daemon's end (non-blocking) and the child's, both close-on-exec. The child gets its end under
/// any number, without close-on-exec; the daemon closes its copy after the spawn, or it never sees the end.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(crate::sys::socket::pair()?)
}

/// What a Node worker finds in its environment. `run_unique` becomes `cluster.worker.id`: unique for the life of the
/// fleet. With `cluster` its servers ask the daemon for their ports, without it they bind for themselves. Node and the
/// preload delete all of these before the app's code runs.
pub fn env(run_unique: u64, channel_fd: i32, cluster: bool) -> Vec<(String, String)> {
    let mut env = vec![
        ("NODE_CHANNEL_FD".to_owned(), channel_fd.to_string()),
        ("NODE_CHANNEL_SERIALIZATION_MODE".to_owned(), "json".to_owned()),
        ("PMON_PRELOAD".to_owned(), "1".to_owned()),
    ];
    if cluster {
        env.push(("NODE_UNIQUE_ID".to_owned(), run_unique.to_string()));
    }
    env
}
