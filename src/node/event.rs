//! What the hub tells the daemon, and what it asks of the keeper through it.

use super::custody::Custody;
use crate::model::Run;
use crate::model::snapshot::Axm;
use crate::model::usage::NodeUsage;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Safekeeping of listening sockets, so that they outlive this daemon. Calls come from the hub's thread, each before
/// the first use of what it keeps; they must not wait for the daemon's owner.
pub trait Keep: Send + Sync {
    /// Keep this socket: slot `index` of the listener `entry`.
    fn keep(&self, entry: u64, index: u32, fd: BorrowedFd<'_>);
    /// Keep this record of the listener, in place of the last.
    fn record(&self, entry: u64, blob: &[u8]);
    /// The listener is closed: drop its sockets and its record. A UDP or abstract unix address can be bound again
    /// only when that has happened; for all others later is fine.
    fn forget(&self, entry: u64);
    /// Keep this connection to the listener, which no worker has taken.
    fn hold(&self, entry: u64, custody: Custody, fd: BorrowedFd<'_>);
    /// Drop it.
    fn release(&self, entry: u64, custody: Custody);
}

/// What workers said and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeEvent {
    /// A cluster worker is up; its own code has not run yet. Once a run.
    Online {
        /// Which.
        run: Run,
    },
    /// It listens on an address it did not listen on before.
    Listening {
        /// Which.
        run: Run,
        /// For people: `*:3000`, `[::1]:3000`, `udp *:53`, `/run/app.sock`, `@abstract`.
        address: String,
    },
    /// It listens here and nowhere else, as far as the daemon is asked: something was closed, or opened again.
    Listens {
        /// Which.
        run: Run,
        /// As in `Listening`.
        addresses: Vec<String>,
    },
    /// It said `ready`. Once a run.
    Ready {
        /// Which.
        run: Run,
    },
    /// Its channel is closed, by itself or by its end. Once a run.
    Disconnected {
        /// Which.
        run: Run,
    },
    /// It is drained and holds no listening socket, and will get none.
    Idle {
        /// Which.
        run: Run,
    },
    /// What it was told of its end (`Hub::drain`, `Hub::shutdown`) is on its channel.
    Told {
        /// Which.
        run: Run,
    },
    /// It leaves on its own will (`cluster.worker.disconnect()`).
    Voluntary {
        /// Which.
        run: Run,
    },
    /// The preload's report, once a second. Lost when the daemon is busy.
    Reported {
        /// Which.
        run: Run,
        /// What.
        usage: NodeUsage,
    },
    /// Its PM2-style metrics, actions or options changed. Changes of one moment come as one event.
    Axm {
        /// Which.
        run: Run,
        /// All that this run said since this daemon knows it.
        axm: Arc<Axm>,
    },
    /// The version of its Node, without `v`. Once a run.
    NodeVersion {
        /// Which.
        run: Run,
        /// E.g. `20.20.2`.
        version: String,
    },
    /// Its channel could not be taken: it can neither be heard nor be given anything.
    Unheard {
        /// Which.
        run: Run,
        /// Completes "failed to …".
        what: String,
    },
    /// It may not listen where it wants to, or it does not speak Node's cluster protocol. A few a second and run.
    Troubled {
        /// Which.
        run: Run,
        /// Where and why, with whoever holds the address if that can be found out; completes "failed to …".
        what: String,
    },
    /// Something a person may want to know about its channel. At most a few a run.
    Note {
        /// Which.
        run: Run,
        /// One sentence.
        text: String,
    },
    /// A message for PM2's bus. Lost when the daemon is busy.
    Message {
        /// Which.
        run: Run,
        /// `{type, data}`.
        value: serde_json::Value,
    },
}
