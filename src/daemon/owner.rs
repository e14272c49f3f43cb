//! The one owner of the fleet: a turn is handle, persist, publish, act, reply.

use super::begun::Begun;
use super::keep::complain;
use super::mailbox::Letter;
use super::notify::Notices;
use super::overflow::Troubles;
use super::probe::{Probed, Probes};
use super::rebuild::{Late, Rebuild};
use super::scribe::Scribe;
use super::sockets::Sockets;
use super::states::States;
use super::suspects::Suspects;
use super::timers::Timers;
use super::told::Told;
use super::trees::Trees;
use super::upgrade::Upgrade;
use super::work::Work;
use crate::keeper::Link;
use crate::logs::Pump;
use crate::model::change::Change;
use crate::model::order::Outcome;
use crate::model::snapshot::{DaemonView, Snapshot};
use crate::model::usage::{HostUsage, Usage};
use crate::model::{Order, Run};
use crate::node::Hub;
use crate::supervisor::{Effect, Event, Fleet, Record, Ticket};
use crate::sys::child::Member;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::paths::Home;
use crate::sys::proc::memory;
use crate::sys::sdnotify::NotifySocket;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// The record of entry 0 while the fleet is being shut down.
pub(super) const ENDING: &[u8] = b"{\"ending\":true}";

/// A live process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) pid_file: PathBuf,
    /// Who it is beyond its pid; `None`: it was a zombie before we looked.
    pub(super) member: Option<Member>,
}

/// The owner and its doors.
pub(super) struct Owner {
    pub(super) home: Home,
    pub(super) link: Link,
    pub(super) hub: Hub,
    pub(super) pump: Pump,
    pub(super) fleet: Fleet,
    pub(super) timers: Timers,
    pub(super) trees: Trees,
    pub(super) sockets: Sockets,
    pub(super) probes: Probes,
    pub(super) notices: Notices,
    /// Processes that exist, by run.
    pub(super) processes: HashMap<Run, Process>,
    /// Whose pid file goes where, from the spawn on.
    pub(super) pid_files: HashMap<Run, PathBuf>,
    /// Processes that were in no sample yet.
    pub(super) unsampled: HashSet<Run>,
    /// Entries for which log pipes exist, with the record of their last spawn.
    pub(super) entries: HashMap<u64, Record>,
    /// Entries that are over and only drain their logs.
    pub(super) leaving: HashSet<u64>,
    /// Entries whose log files took nothing at some time.
    pub(super) log_troubles: HashMap<u64, Troubles>,
    pub(super) host: HostUsage,
    pub(super) view: DaemonView,
    /// Everything is stopped and nothing more is to be done.
    pub(super) ended: bool,
    pub(super) states: States,
    /// Entries whose states are to be written down anew.
    pub(super) unwritten: BTreeSet<u64>,
    pub(super) scribe: Scribe,
    /// What processes carry that are just being started.
    pub(super) carried: HashMap<Run, OwnedFd>,
    /// Who was begun, as far as it is known.
    pub(super) begun: Begun,
    /// What new workers carry of that.
    pub(super) ledger: Option<OwnedFd>,
    pub(super) told: Told,
    /// Whom we do not lead.
    pub(super) suspects: Suspects,
    /// The keeper's pid, for whoever signs its lock.
    pub(super) keeper_pid: Arc<AtomicU32>,
    /// Node's preload is where a Node finds it.
    pub(super) preload: bool,
    /// The process is gone with which this home is to end.
    pub(super) lease_over: bool,
    pub(super) rebuild: Rebuild,
    pub(super) upgrade: Upgrade,
    /// Ends of processes whose codes are still looked for.
    pub(super) late: Vec<Late>,
    pub(super) work: Work,
    /// Answers that wait until what they say is true.
    pub(super) held: Vec<Effect>,
    tickets: HashMap<Ticket, oneshot::Sender<Outcome>>,
    next_ticket: u64,
    serial: u64,
    /// The fleet is not as it was when it was published.
    stale: bool,
    snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) changes: broadcast::Sender<Change>,
}

/// What the owner publishes through, and where others report to it.
pub(super) struct Outlets {
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) probed: mpsc::Sender<Probed>,
    pub(super) notify: NotifySocket,
    pub(super) scribe: Scribe,
}

impl Owner {
    pub(super) fn new(
        home: Home,
        link: Link,
        hub: Hub,
        pump: Pump,
        fleet: Fleet,
        view: DaemonView,
        out: Outlets,
    ) -> Owner {
        let states = States::new(&home, out.scribe.clone());
        let (begun, ledger) = (Begun::kept(&link), Begun::to_carry(&link));
        Owner {
            home,
            link,
            hub,
            pump,
            fleet,
            timers: Timers::default(),
            trees: Trees::default(),
            sockets: Sockets::new(states.clone()),
            probes: Probes::new(out.probed),
            notices: Notices::new(out.notify),
            processes: HashMap::new(),
            pid_files: HashMap::new(),
            unsampled: HashSet::new(),
            entries: HashMap::new(),
            leaving: HashSet::new(),
            log_troubles: HashMap::new(),
            host: HostUsage::default(),
            ended: false,
            states,
            unwritten: BTreeSet::new(),
            scribe: out.scribe,
            carried: HashMap::new(),
            begun,
            ledger,
            told: Told::default(),
            suspects: Suspects::default(),
            keeper_pid: Arc::new(AtomicU32::new(view.keeper_pid)),
            preload: true,
            lease_over: false,
            view,
            rebuild: Rebuild::default(),
            upgrade: Upgrade::default(),
            late: Vec::new(),
            work: Work::default(),
            held: Vec::new(),
            tickets: HashMap::new(),
            next_ticket: 1,
            serial: 0,
            stale: true,
            snapshot: out.snapshot,
            changes: out.changes,
        }
    }

    /// Takes a letter of a session.
    pub(super) fn read(&mut self, letter: Letter) {
        match letter {
            Letter::Order { order, reply } => {
                let Some((order, reply)) = self.mind_suspects(order, reply) else { return };
                if matches!(order, Order::Shutdown) {
                    // Should we be killed before it is done, the next daemon goes on with it.
                    complain("keep a record", self.link.blob(0, ENDING));
                }
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.tickets.insert(ticket, reply);
                self.happen(Event::Ordered { ticket, order });
            }
            Letter::LeaseOver => self.end_with_lease(),
            Letter::Tell { what } => {
                self.told.find(what);
                self.say_to_people();
            }
            Letter::Upgrade { path, reply } => self.upgrade_to(path, reply),
            // A session that left does not want it any more.
            Letter::Dump { reply } => {
                let all = [self.fleet.dump(), self.suspects.saved()].concat();
                drop(reply.send(all));
            }
        }
    }

    /// Who waits for an answer that we shall not give.
    pub(super) fn unanswered(&mut self) -> Vec<oneshot::Sender<Outcome>> {
        std::mem::take(&mut self.tickets).into_values().collect()
    }

    /// Goes on with a shutdown that a daemon before us was told of; nobody waits for the answer.
    pub(super) fn resume_shutdown(&mut self) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.happen(Event::Ordered { ticket, order: Order::Shutdown });
    }

    /// The fleet hears of an event: the answers that this leads to, and the deeds that come before them.
    pub(super) fn turn(&mut self, event: Event) -> (Vec<Effect>, Vec<Effect>) {
        let ended = match &event {
            Event::Exited { run, .. } => Some(*run),
            _ => None,
        };
        let mut effects = Vec::new();
        self.fleet.handle(event, clock::now(), &mut effects);
        fault::pass("turn.handled");
        if effects.iter().any(|effect| matches!(effect, Effect::Reply { .. })) {
            self.glance(&mut effects);
        }
        self.persist(&effects, ended);
        fault::pass("turn.kept");
        self.publish(&effects);
        fault::pass("turn.published");
        effects.into_iter().partition(|effect| matches!(effect, Effect::Reply { .. }))
    }

    /// What new processes use, before an answer says that they are there: the second's sample is yet to come.
    fn glance(&mut self, effects: &mut Vec<Effect>) {
        let new = std::mem::take(&mut self.unsampled).into_iter();
        let usages: Vec<_> = new
            .filter_map(|run| {
                let memory = memory(self.processes.get(&run)?.pid).ok()?;
                Some((run, Usage { cpu: 0.0, memory, processes: 1 }))
            })
            .collect();
        if !usages.is_empty() {
            self.fleet.handle(Event::Sampled { usages }, clock::now(), effects);
        }
    }

    /// Publishes the fleet as it is, also when only the host's numbers changed, and writes its states down: once for all
    /// turns since the last time. Sessions share our thread, so none of them has seen anything in between.
    pub(super) fn show(&mut self) {
        self.write_states();
        if !std::mem::take(&mut self.stale) {
            return;
        }
        self.serial += 1;
        let snapshot = Snapshot {
            serial: self.serial,
            workers: self.fleet.views(),
            host: self.host,
            daemon: self.view.clone(),
        };
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// The records go to the keeper before anything is done, in one message, so that an order to many workers is carried
    /// out for all of them or for none. An exit that leads to a new process is acknowledged by its SPAWN, any other one
    /// here, behind its record.
    /// On disk too, should the keeper die with us.
    fn persist(&mut self, effects: &[Effect], ended: Option<Run>) {
        let mut answered = false;
        let (mut records, mut blobs) = (Vec::new(), Vec::new());
        for effect in effects {
            let (record, kept) = match effect {
                Effect::Keep(record) => (record, true),
                Effect::Spawn(record) => {
                    answered |= Some(record.run.entry) == ended.map(|run| run.entry);
                    // It goes with its SPAWN; but of a new worker nothing is known before.
                    if self.entries.contains_key(&record.run.entry) {
                        continue;
                    }
                    (record, false)
                }
                Effect::Forget { .. }
                | Effect::Signal { .. }
                | Effect::Sweep { .. }
                | Effect::SayShutdown { .. }
                | Effect::Drain { .. }
                | Effect::Probe { .. }
                | Effect::CloseListeners { .. }
                | Effect::Timer { .. }
                | Effect::Publish(_)
                | Effect::Reply { .. }
                | Effect::End => continue,
            };
            match crate::model::skew::to_vec(record) {
                Ok(blob) => blobs.push((record.run.entry, blob)),
                Err(error) => tracing::error!(%error, "failed to write a record"),
            }
            if kept {
                records.push(record);
            }
        }
        match blobs.as_slice() {
            [] => {}
            [(entry, blob)] => complain("keep a record", self.link.blob(*entry, blob)),
            _ => complain("keep records", self.link.blobs(blobs)),
        }
        for record in records {
            fault::pass("turn.record");
            if let Some(known) = self.entries.get_mut(&record.run.entry) {
                known.clone_from(record);
            }
            self.unwritten.insert(record.run.entry);
        }
        if let Some(run) = ended.filter(|_| !answered) {
            fault::pass("turn.unacknowledged");
            complain("acknowledge an exit", self.link.ack(run));
        }
    }

    /// Writes down for an orphan's sake what entries are by now, and who their processes are.
    pub(super) fn write_states(&mut self) {
        for entry in std::mem::take(&mut self.unwritten) {
            let run = self.entries.get(&entry).map(|record| record.run);
            let member = run.and_then(|run| self.processes.get(&run)?.member);
            self.states.kept(entry, member, &self.link);
        }
    }

    fn publish(&mut self, effects: &[Effect]) {
        self.stale = true;
        for effect in effects {
            if let Effect::Publish(change) = effect {
                super::journal::note(change);
                // Nobody may be watching.
                drop(self.changes.send(change.clone()));
            }
        }
    }

    /// Gives the answers that are due.
    pub(super) fn reply_held(&mut self) {
        self.write_states();
        for reply in std::mem::take(&mut self.held) {
            fault::pass("turn.reply");
            self.reply(reply);
            fault::pass("turn.replied");
        }
    }

    fn reply(&mut self, effect: Effect) {
        if let Effect::Reply { ticket, outcome } = effect
            && let Some(reply) = self.tickets.remove(&ticket)
        {
            // The client may have left; the order is carried out all the same.
            drop(reply.send(outcome));
        }
    }
}
