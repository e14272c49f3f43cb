//! What people are told when a worker may not listen where it wants to, or does not speak the protocol. Searching all
//! descriptors of all processes for the holder of a port takes milliseconds, so a thread of its own does it; and each
//! worker gets a few reports a second: one that tries again and again delays nobody's connections.

use super::core::Core;
use super::event::NodeEvent;
use super::message::Ask;
use crate::model::Run;
use crate::sys::holder::{self, Place};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::mpsc::Sender;

/// Searches that may wait; reports beyond are made without one.
const WAITING: usize = 64;

/// A failure whose cause is to be found.
#[derive(Debug)]
struct Search {
    run: Run,
    /// As people read it.
    address: String,
    place: Place,
}

/// The thread that searches; it starts with the first search and ends with the hub.
#[derive(Debug, Default)]
pub(super) struct Searcher {
    searches: Option<SyncSender<Search>>,
}

impl Searcher {
    /// Takes a search on, if there is room.
    fn take(&mut self, search: Search, events: &Sender<NodeEvent>) -> Result<(), Search> {
        if self.searches.is_none() {
            let (sender, searches) = sync_channel(WAITING);
            let events = events.clone();
            let thread = std::thread::Builder::new().name("pm-holder".to_owned());
            if thread.spawn(move || serve(&searches, &events)).is_ok() {
                self.searches = Some(sender);
            }
        }
        match &self.searches {
            Some(searches) => searches.try_send(search).map_err(|e| match e {
                std::sync::mpsc::TrySendError::Full(search)
                | std::sync::mpsc::TrySendError::Disconnected(search) => search,
            }),
            None => Err(search),
        }
    }
}

fn serve(searches: &Receiver<Search>, events: &Sender<NodeEvent>) {
    for Search { run, address, place } in searches {
        let holder = holder::of(&place).map(|holder| holder.to_string());
        let what = in_use(&address, holder.as_deref());
        if events.blocking_send(NodeEvent::Troubled { run, what }).is_err() {
            return;
        }
    }
}

/// Completes "failed to …".
fn in_use(address: &str, holder: Option<&str>) -> String {
    let by = holder.map(|holder| format!(", held by {holder}")).unwrap_or_default();
    format!("listen on `{address}`: address already in use{by}")
}

impl Core {
    /// It may not listen there; names whoever has the address where that can be found out.
    pub(super) fn report(&mut self, run: Run, ask: &Ask, errno: Errno) {
        let (now, place) = (self.now, ask.place());
        let Some(worker) = self.workers.get_mut(&run) else { return };
        if !worker.may_report(&place, now) {
            return;
        }
        let app = Arc::clone(&worker.app);
        let address = ask.display();
        if errno != Errno::ADDRINUSE {
            let what = format!("listen on `{address}`: {}", std::io::Error::from(errno));
            self.emit(NodeEvent::Troubled { run, what });
            return;
        }
        let ours = self.listeners.values().find(|l| l.ask.place() == place || is_at(l.address(), &place));
        let what = match ours {
            Some(listener) if listener.app == app => in_use(&address, Some("this app itself")),
            Some(listener) => in_use(&address, Some(&format!("app `{}`", listener.app))),
            None => match self.search(Search { run, address, place }) {
                Ok(()) => return,
                Err(Search { address, .. }) => in_use(&address, None),
            },
        };
        self.emit(NodeEvent::Troubled { run, what });
    }

    fn search(&mut self, search: Search) -> Result<(), Search> {
        let Core { searcher, events, .. } = self;
        searcher.take(search, events)
    }

    /// A cluster worker whose first message is another one than Node's `online` is not taken for one: guessing what
    /// it means by the rest would do more harm.
    pub(super) fn not_node(&mut self, run: Run) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        worker.cluster = false;
        let what =
            "speak Node's cluster protocol with it: its first message is not `online`; it needs fork mode";
        self.emit(NodeEvent::Troubled { run, what: what.to_owned() });
    }
}

fn is_at(address: Option<std::net::SocketAddr>, place: &Place) -> bool {
    match place {
        Place::Tcp(port) => address.is_some_and(|at| at.port() == *port),
        Place::Udp(_) | Place::Unix(_) => false,
    }
}
