//! One worker as the hub knows it: its channel, what it has told of itself, how far it is on its way out.
//!
//! ```text
//!  serving ──(drain)──▶ draining ──┐
//!     │  └──(stopping)▶ stopping ──┼──(end of channel)──▶ disconnected ──(remove)──▶ (forgotten)
//!     └──(exitedAfterDisconnect)▶ leaving ──┘
//! ```

use super::channel::Channel;
use crate::model::Run;
use crate::model::policy::Scheduling;
use crate::model::snapshot::Axm;
use crate::sys::holder::Place;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Notes a run may cause; a worker that floods the channel with nonsense fills no log.
const MAX_NOTES: u32 = 8;

/// Reports of failed listens a second.
const MAX_REPORTS: u32 = 4;

/// Metrics, actions and options that are remembered of one worker, each.
const MAX_AXM: usize = 512;

/// Addresses that are remembered of one worker.
const MAX_ADDRESSES: usize = 512;

/// A worker's channel as the daemon hands it over.
#[derive(Debug)]
pub struct ChannelSpec {
    /// Whose.
    pub run: Run,
    /// Its app: workers of one name share listening sockets.
    pub app: Arc<str>,
    /// Its instance number.
    pub slot: u32,
    /// Whether it is a worker of Node's cluster (`NODE_UNIQUE_ID` was set), else plain child IPC.
    pub cluster: bool,
    /// How new listening sockets of its app share out connections.
    pub scheduling: Scheduling,
    /// The daemon's end.
    pub fd: OwnedFd,
    /// A former daemon has spoken with it already.
    pub adopted: bool,
    /// It was started with the preload.
    pub preload: bool,
    /// That daemon had told it to end: what it closes, it closes for that reason.
    pub ending: bool,
}

/// How far it is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is not.
    Serving,
    /// It was told to disconnect: what it closes from now on is not the app's wish.
    Draining,
    /// It is about to be stopped by other means, likewise.
    Stopping,
    /// It leaves on its own will.
    Leaving,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) app: Arc<str>,
    pub(super) slot: u32,
    pub(super) cluster: bool,
    pub(super) scheduling: Scheduling,
    pub(super) preload: bool,
    /// `None` after the end of the channel.
    pub(super) channel: Option<Channel>,
    pub(super) phase: Phase,
    /// It is told of its end, and that is not written yet.
    pub(super) is_being_told: bool,
    /// Some answer to it is not written yet.
    pub(super) is_owed: bool,
    /// A former daemon had told it to end, or was about to.
    pub(super) was_ending: bool,
    /// Connections it was handed and has not answered for: number of the `newconn` → listener.
    pub(super) handed: BTreeMap<u64, u64>,
    /// The former daemon may have read the head of a line: the first line may be a tail.
    pub(super) first_line_may_be_cut: bool,
    /// Its first line has come, to this daemon or a former one.
    pub(super) was_heard: bool,
    /// What was said once and is not said again.
    pub(super) said: Said,
    pub(super) axm: Axm,
    pub(super) axm_changed: bool,
    addresses: BTreeSet<String>,
    /// Where it listens at present.
    pub(super) open: BTreeSet<String>,
    /// They changed without a `Listening`: by a close, or by listening again.
    pub(super) open_changed: bool,
    notes: u32,
    /// Reports of failed listens: since when they are counted, and how many.
    reports: (u64, u32),
    last_report: Option<Place>,
}

/// Facts that are told once a run.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) online: bool,
    pub(super) ready: bool,
    pub(super) version: bool,
}

impl Worker {
    pub(super) fn new(spec: ChannelSpec, open: impl FnOnce(OwnedFd) -> Option<Channel>) -> Worker {
        Worker {
            app: spec.app,
            slot: spec.slot,
            cluster: spec.cluster,
            scheduling: spec.scheduling,
            preload: spec.preload,
            channel: open(spec.fd),
            phase: if spec.ending { Phase::Stopping } else { Phase::Serving },
            is_being_told: false,
            is_owed: spec.adopted,
            was_ending: spec.ending,
            handed: BTreeMap::new(),
            first_line_may_be_cut: spec.adopted,
            was_heard: spec.adopted,
            said: Said::default(),
            axm: Axm::default(),
            axm_changed: false,
            addresses: BTreeSet::new(),
            open: BTreeSet::new(),
            open_changed: false,
            notes: 0,
            reports: (0, 0),
            last_report: None,
        }
    }

    /// Whether a connection would go to it at once.
    pub(super) fn is_idle(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::is_idle)
    }

    /// Whether this address is new.
    pub(super) fn listens_on(&mut self, address: &str) -> bool {
        let is_open = self.open.len() < MAX_ADDRESSES && self.open.insert(address.to_owned());
        let is_new = self.addresses.len() < MAX_ADDRESSES && self.addresses.insert(address.to_owned());
        self.open_changed |= is_open && !is_new;
        is_new
    }

    /// It does not listen there any more.
    pub(super) fn closes(&mut self, address: &str) {
        self.open_changed |= self.open.remove(address);
    }

    /// Whether one more note is due.
    pub(super) fn may_note(&mut self) -> bool {
        self.notes += 1;
        self.notes <= MAX_NOTES
    }

    /// Where it failed to listen last, as far as it was reported.
    pub(super) fn reported_last(&self) -> Option<Place> {
        self.last_report.clone()
    }

    /// Whether one more failed listen is reported at `now`.
    pub(super) fn may_report(&mut self, place: &Place, now: u64) -> bool {
        self.last_report = Some(place.clone());
        let (since, count) = &mut self.reports;
        if now >= *since + 1000 {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= MAX_REPORTS
    }

    pub(super) fn merge_monitor(&mut self, data: Map<String, Value>) {
        merge(&mut self.axm.monitor, data);
        self.axm_changed = true;
    }

    pub(super) fn merge_options(&mut self, data: Map<String, Value>) {
        merge(&mut self.axm.options, data);
        self.axm_changed = true;
    }

    /// An action announced again replaces the first announcement.
    pub(super) fn add_action(&mut self, action: Value) {
        let name = action.get("action_name");
        match self.axm.actions.iter().position(|known| known.get("action_name") == name) {
            Some(at) => {
                if let Some(known) = self.axm.actions.get_mut(at) {
                    *known = action;
                }
            }
            None if self.axm.actions.len() < MAX_AXM => self.axm.actions.push(action),
            None => return,
        }
        self.axm_changed = true;
    }
}

fn merge(into: &mut Map<String, Value>, data: Map<String, Value>) {
    for (name, value) in data {
        if into.len() < MAX_AXM || into.contains_key(&name) {
            into.insert(name, value);
        }
    }
}
