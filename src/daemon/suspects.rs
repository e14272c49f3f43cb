//! Workers that are set aside: those of whom a daemon dies (the keeper finds out whose they are, `keeper/suspects`), and those
//! whose record nobody can read. Their processes go on and the keeper holds what is theirs, but the fleet does not know
//! them: nobody restarts them, and what they write waits in their pipes.
//!
//! An order that names one has it led again, and is carried out then; should that kill us, the keeper sets it aside at
//! once, and the same order, asked again, is refused. Their ids are given to nobody else.

use super::keep::complain;
use super::owner::Owner;
use crate::keeper::{Entry, EntryState, Past};
use crate::model::order::{Outcome, Refusal, Saved};
use crate::model::snapshot::SetAside;
use crate::model::{App, Exit, Order, Run, Selector, WorkerId};
use crate::supervisor::Record;
use crate::sys::fault;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// One that is deleted gets so long to end.
const GRACE: Duration = Duration::from_millis(1600);
/// More than so many are not said one by one.
const MANY: usize = 8;

/// All of them, by entry.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    all: BTreeMap<u64, Suspect>,
    past: Past,
}

/// One of them.
#[derive(Debug)]
struct Suspect {
    entry: Entry,
    label: Label,
    why: Why,
    /// The order that had it led again, of which a daemon died.
    key: u64,
    /// It is to end: since when, and who waits for that.
    doomed: Option<Instant>,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// Daemons die of it.
    Deadly,
    /// Its record is not understood.
    Unread(String),
}

/// As much of a record as is needed to speak of it.
#[derive(Debug, Clone, Default, Deserialize)]
struct Label {
    #[serde(default)]
    worker: Option<WorkerId>,
    #[serde(default)]
    app: Named,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: Option<String>,
}

impl Suspect {
    fn new(entry: Entry, why: Why, key: u64) -> Suspect {
        let label = serde_json::from_slice(&entry.blob).unwrap_or_default();
        Suspect { entry, label, why, key, doomed: None, waiting: Vec::new() }
    }

    fn run(&self) -> Run {
        Run { entry: self.entry.id, generation: self.entry.generation }
    }

    fn lives(&self) -> bool {
        self.entry.state == EntryState::Running
    }

    fn is_meant(&self, text: &str) -> bool {
        let id = self.label.worker.map(|id| id.to_string());
        self.label.app.name.as_deref() == Some(text) || id.as_deref() == Some(text)
    }

    /// What there is to say of it, and what to do.
    fn told(&self) -> String {
        let Suspect { entry, label, why, .. } = self;
        let who = match (&label.app.name, label.worker) {
            (Some(name), Some(id)) => format!("`{name}` ({id})"),
            (Some(name), None) => format!("`{name}`"),
            (None, Some(id)) => format!("worker {id}"),
            (None, None) if entry.id >= Run::FIRST_RESERVED => format!("a listening socket ({})", entry.id),
            (None, None) => format!("entry {}", entry.id),
        };
        let process = match entry.state {
            EntryState::None if entry.pid == 0 => "it has no process".to_owned(),
            EntryState::None | EntryState::Running => {
                format!("its process (pid {}) goes on, but nobody restarts it or reads its output", entry.pid)
            }
            EntryState::Exited { status, .. } => {
                format!("its process has ended ({}) and is not restarted", Exit::from_wait_status(status))
            }
        };
        let why = match why {
            Why::Deadly => "the daemon dies of what is on record of it".to_owned(),
            Why::Unread(why) => format!("its record cannot be read: {why}"),
        };
        let word = label.app.name.clone().or_else(|| label.worker.map(|id| id.to_string()));
        let way = match word {
            Some(word) => format!("`pmon restart {word}` tries it again, `pmon delete {word}` ends it, "),
            None => String::new(),
        };
        format!(
            "{who} is set aside: {why}; {process}; {way}`pmon update` to a version that can takes it back"
        )
    }
}

impl Suspects {
    /// True while one of them is to end and has not.
    pub(super) fn ending(&self) -> bool {
        self.all.values().any(|suspect| suspect.doomed.is_some())
    }

    /// Whether this entry is one of them.
    pub(super) fn has(&self, entry: u64) -> bool {
        self.all.contains_key(&entry)
    }

    /// Entries whose workers a word means: by name or id only, so that `all` does not try every one of them.
    fn meant(&self, select: &Selector) -> Vec<u64> {
        self.all.iter().filter(|(_, one)| one.is_meant(&select.text)).map(|(id, _)| *id).collect()
    }

    /// For `list`.
    pub(super) fn told(&self) -> Vec<String> {
        let mut told: Vec<String> = self.all.values().take(MANY).map(Suspect::told).collect();
        if self.all.len() > MANY {
            told.push(format!("{} more are set aside: see pmon.log", self.all.len() - MANY));
        }
        told
    }

    /// For whoever asks for one.
    pub(super) fn views(&self) -> Vec<SetAside> {
        let view = |one: &Suspect| SetAside {
            worker: one.label.worker,
            name: one.label.app.name.clone(),
            pid: Some(one.entry.pid).filter(|pid| *pid != 0),
            what: one.told(),
        };
        self.all.values().map(view).collect()
    }

    /// What a dump says of them: who saves does not want to lose them.
    pub(super) fn saved(&self) -> Vec<Saved> {
        let saved = |one: &Suspect| {
            let record = serde_json::from_slice::<Record>(&one.entry.blob).ok()?;
            Some(Saved { app: App::clone(&record.app), instance: record.instance, desired: record.desired })
        };
        self.all.values().filter_map(saved).collect()
    }
}

impl Owner {
    /// Sorts out whom daemons die of, with all that is of the same worker; returns the others.
    pub(super) fn sort_out(&mut self, past: Past, entries: Vec<Entry>) -> Vec<Entry> {
        let named: BTreeMap<u64, u64> = past.aside.iter().copied().collect();
        let all = past.all;
        self.suspects.past = past;
        self.say_what_died();
        if named.is_empty() && !all {
            return entries;
        }
        let label = |entry: &Entry| serde_json::from_slice::<Label>(&entry.blob).unwrap_or_default().worker;
        let workers: Vec<WorkerId> =
            entries.iter().filter(|entry| named.contains_key(&entry.id)).filter_map(label).collect();
        let guilty = |entry: &Entry| {
            all || named.contains_key(&entry.id) || label(entry).is_some_and(|id| workers.contains(&id))
        };
        let (guilty, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(guilty);
        for entry in guilty {
            let key = named.get(&entry.id).copied().unwrap_or(0);
            self.set_aside(entry, Why::Deadly, key);
        }
        others
    }

    /// One whose record is not understood.
    pub(super) fn set_unread_aside(&mut self, entry: Entry, why: String) {
        self.set_aside(entry, Why::Unread(why), 0);
    }

    fn set_aside(&mut self, entry: Entry, why: Why, key: u64) {
        let suspect = Suspect::new(entry, why, key);
        tracing::error!(what = suspect.told(), "a worker is set aside");
        self.fleet.reserve(suspect.entry.id, suspect.label.worker);
        self.suspects.all.insert(suspect.entry.id, suspect);
    }

    /// We serve, so it is they of whom daemons die: the keeper's heirs are to know them all.
    pub(super) fn confirm_suspects(&self) {
        let named = |id: &u64| self.suspects.past.aside.iter().any(|(entry, _)| entry == id);
        for (id, suspect) in &self.suspects.all {
            if suspect.why == Why::Deadly && !named(id) {
                complain("set an entry aside", self.link.set_aside(*id));
            }
        }
    }

    /// How the daemons before us ended, if that was by their own fault.
    fn say_what_died(&mut self) {
        let Past { deaths, status, words, undone, .. } = &self.suspects.past;
        if *deaths > 0 {
            let exit = Exit::from_wait_status(*status);
            let words = String::from_utf8_lossy(words);
            let said = if words.is_empty() { String::new() } else { format!(", {words}") };
            let times = if *deaths == 1 { "once".to_owned() } else { format!("{deaths} times in a row") };
            tracing::error!(deaths, %exit, words = %words, "the daemons before this one died by themselves");
            self.told.find(format!(
                "the daemon died {times} and was started again, the workers went on: last by {exit}{said}; see pmon.log"
            ));
        }
        if !undone.is_empty() {
            let undone = String::from_utf8_lossy(undone).into_owned();
            tracing::error!(what = undone, "an upgrade was undone");
            self.told.find(undone);
        }
    }

    /// An order, if it is none about those who are set aside alone; these are dealt with.
    pub(super) fn mind_suspects(
        &mut self,
        order: Order,
        reply: oneshot::Sender<Outcome>,
    ) -> Option<(Order, oneshot::Sender<Outcome>)> {
        if self.suspects.all.is_empty() {
            return Some((order, reply));
        }
        let (key, inner) = match &order {
            Order::Keyed { key, order } => (*key, &**order),
            other => (0, other),
        };
        let refusal = match inner {
            Order::Restart { select, .. } | Order::Reload { select, .. } => {
                let meant = self.suspects.meant(select);
                self.lead_again(&meant, key)
            }
            Order::Delete { select } => {
                let meant = self.suspects.meant(select);
                return self.doom(meant, order, reply);
            }
            Order::Stop { select } | Order::Signal { select, .. } | Order::Reset { select } => {
                let meant = self.suspects.meant(select);
                self.refusal(meant.first())
            }
            Order::Scale { name, .. } => {
                let meant = self.suspects.meant(&Selector::new(name.as_str(), "/"));
                self.refusal(meant.first())
            }
            Order::Start { apps, .. } => {
                let named = |one: &Suspect| apps.iter().any(|app| one.is_meant(&app.name));
                let first = self.suspects.all.iter().find(|(_, one)| named(one)).map(|(id, _)| *id);
                self.refusal(first.as_ref())
            }
            Order::Shutdown => {
                self.doom_suspects();
                None
            }
            Order::Resurrect { .. } | Order::Keyed { .. } => None,
        };
        match refusal {
            None => Some((self.without_suspects(order), reply)),
            Some(refusal) => {
                // The client may have left.
                drop(reply.send(Outcome::Refused(refusal)));
                None
            }
        }
    }

    /// A dump does not start again who is there, if only aside.
    fn without_suspects(&self, order: Order) -> Order {
        match order {
            Order::Resurrect { mut saved } => {
                saved.retain(|one| !self.suspects.all.values().any(|known| known.is_meant(&one.app.name)));
                Order::Resurrect { saved }
            }
            Order::Keyed { key, order } => {
                Order::Keyed { key, order: Box::new(self.without_suspects(*order)) }
            }
            other => other,
        }
    }

    fn refusal(&self, entry: Option<&u64>) -> Option<Refusal> {
        let suspect = self.suspects.all.get(entry?)?;
        Some(Refusal::SetAside { what: suspect.told() })
    }

    /// Has those entries led again, for the order `key`; why not, if it cannot be.
    fn lead_again(&mut self, meant: &[u64], key: u64) -> Option<Refusal> {
        let again = |id: &&u64| self.suspects.all.get(id).is_some_and(|one| key != 0 && one.key == key);
        let no = meant.iter().find(again);
        if no.is_some() || meant.is_empty() {
            return self.refusal(no);
        }
        let mut entries = Vec::new();
        for id in meant {
            complain("take an entry back", self.link.take_back(*id, key));
            entries.extend(self.suspects.all.remove(id).map(|suspect| suspect.entry));
        }
        tracing::warn!(?meant, "what was set aside is led again");
        fault::pass("suspects.led");
        self.lead(entries);
        self.say_to_people();
        // Not understood, it is where it was.
        self.refusal(meant.iter().find(|id| self.suspects.has(**id)))
    }

    /// Deletes those entries. The order goes on if it is about others too; else it is answered when they are gone.
    fn doom(
        &mut self,
        meant: Vec<u64>,
        order: Order,
        reply: oneshot::Sender<Outcome>,
    ) -> Option<(Order, oneshot::Sender<Outcome>)> {
        let Some(last) = meant.last() else { return Some((order, reply)) };
        let led =
            order.selected().is_some_and(|text| self.entries.values().any(|record| record.app.name == text));
        let (mut waiting, order) = if led { (None, Some((order, reply))) } else { (Some(reply), None) };
        for id in &meant {
            if let Some(suspect) = self.suspects.all.get_mut(id) {
                suspect.doomed.get_or_insert_with(Instant::now);
                suspect.waiting.extend(waiting.take_if(|_| id == last));
            }
            self.end_suspect(*id, SIGTERM);
        }
        order
    }

    /// All of them are to end.
    pub(super) fn doom_suspects(&mut self) {
        for id in self.suspects.all.keys().copied().collect::<Vec<_>>() {
            if let Some(suspect) = self.suspects.all.get_mut(&id) {
                suspect.doomed.get_or_insert_with(Instant::now);
            }
            self.end_suspect(id, SIGTERM);
        }
    }

    /// Those who have not ended in time are killed.
    pub(super) fn press_suspects(&mut self) {
        let late = |one: &Suspect| one.doomed.is_some_and(|since| since.elapsed() >= GRACE);
        let late: Vec<u64> =
            self.suspects.all.iter().filter(|(_, one)| late(one)).map(|(id, _)| *id).collect();
        for id in late {
            self.end_suspect(id, SIGKILL);
        }
    }

    fn end_suspect(&mut self, id: u64, signal: i32) {
        let Some(suspect) = self.suspects.all.get(&id) else { return };
        if !suspect.lives() {
            return self.forget_suspect(id);
        }
        complain("signal a worker", self.link.kill(suspect.run(), signal, true));
    }

    /// True if that run was of one who is set aside.
    pub(super) fn suspect_ended(&mut self, run: Run, status: i32, exit_boot_ms: u64) -> bool {
        let Some(suspect) = self.suspects.all.get_mut(&run.entry) else { return false };
        suspect.entry.state = EntryState::Exited { status, exit_boot_ms };
        tracing::warn!(entry = run.entry, exit = %Exit::from_wait_status(status), "one who is set aside has ended");
        if suspect.doomed.is_some() {
            self.forget_suspect(run.entry);
        }
        self.say_to_people();
        true
    }

    fn forget_suspect(&mut self, id: u64) {
        let Some(suspect) = self.suspects.all.remove(&id) else { return };
        complain("acknowledge an exit", self.link.ack(suspect.run()));
        complain("take an entry back", self.link.take_back(id, 0));
        complain("forget a worker", self.link.forget(id));
        self.states.forget(id);
        for reply in suspect.waiting {
            // The client may have left.
            drop(reply.send(Outcome::Done { touched: Vec::new() }));
        }
        self.say_to_people();
    }
}
