//! A small operating system for tests: a keeper with records and processes, timers, and a daemon that
//! can die between any two effects. Everything random comes from one seed.

use crate::model::app::{App, Mode, Program};
use crate::model::order::{Deed, Outcome};
use crate::model::usage::Usage;
use crate::model::{Bytes, Desired, Exit, Order, Reason, Run, Stamp, State, WorkerId};
use crate::supervisor::effect::Effect;
use crate::supervisor::event::{Event, Found, Process, Ticket, TimerKey};
use crate::supervisor::fleet::Fleet;
use crate::supervisor::record::{Record, Role};
use crate::supervisor::view::Places;
use std::collections::{BTreeMap, BTreeSet};

mod check;
mod fault;

pub(super) use fault::Fault;

/// An app with PM2's defaults.
pub(super) fn app(name: &str) -> App {
    App::of(name, Program::sample(format!("/srv/{name}.js")), "/srv")
}

/// How a process takes it when it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    Obedient,
    LeavesChildren,
    Stubborn,
    Immortal,
}

#[derive(Debug, Clone)]
struct Held {
    record: Record,
    process: Process,
    manners: Manners,
    /// It said all it has to say.
    introduced: bool,
    /// Its last spawn failed.
    failed: bool,
    /// Children are left, and the daemon watches them.
    children: bool,
}

/// The world round a fleet.
#[derive(Debug)]
pub(super) struct World {
    /// Nothing is left to chance: processes come up and obey.
    pub(super) tame: bool,
    /// The fault, and the number of the effect that has it.
    pub(super) fault: Option<(usize, Fault)>,
    /// What could go wrong with each effect so far.
    pub(super) faults: Vec<Vec<Fault>>,
    /// The record that was lost: the keeper knows an older one.
    outdated: bool,
    pub(super) fleet: Fleet,
    pub(super) now: Stamp,
    keeper: BTreeMap<u64, Held>,
    timers: Vec<(u64, TimerKey)>,
    mail: Vec<(u64, Event)>,
    open: BTreeSet<Ticket>,
    pub(super) answers: Vec<Outcome>,
    pub(super) ended: bool,
    spawned: BTreeSet<Run>,
    /// Restarts by worker, counted here.
    restarts: BTreeMap<WorkerId, u32>,
    /// The daemon dies after so many effects of its next turn.
    dies_after: Option<usize>,
    /// Effects carried out so far, and with how many of them the daemon dies.
    pub(super) effects: usize,
    pub(super) dies_at: Option<usize>,
    calm: bool,
    next_pid: u32,
    next_ticket: u64,
    seed: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut world = World {
            tame: false,
            fault: None,
            faults: Vec::new(),
            outdated: false,
            fleet: Fleet::new(Places::default()),
            now: Stamp { boot_ms: 1_000_000, wall_ms: 1_700_000_000_000 },
            keeper: BTreeMap::new(),
            timers: Vec::new(),
            mail: Vec::new(),
            open: BTreeSet::new(),
            answers: Vec::new(),
            ended: false,
            spawned: BTreeSet::new(),
            restarts: BTreeMap::new(),
            dies_after: None,
            effects: 0,
            dies_at: None,
            calm: false,
            next_pid: 100,
            next_ticket: 0,
            seed,
        };
        world.feed(Event::Attached { found: Vec::new() });
        world
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % sides
    }

    pub(super) fn order(&mut self, order: Order) {
        if self.ended {
            return;
        }
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.open.insert(ticket);
        self.feed(Event::Ordered { ticket, order });
    }

    /// One turn of the daemon, and its effects in the shell's order; it may die among them.
    pub(super) fn feed(&mut self, event: Event) {
        if self.ended {
            return;
        }
        let exited = match &event {
            Event::Exited { run, .. } => Some(*run),
            _ => None,
        };
        let mut effects = Vec::new();
        self.fleet.handle(event, self.now, &mut effects);
        effects.sort_by_key(|effect| match effect {
            Effect::Keep(_) => 0,
            Effect::Publish(_) => 1,
            Effect::Reply { .. } => 3,
            Effect::End => 4,
            _ => 2,
        });
        // A turn of one effect has no middle to die in.
        let dies_after = match effects.len() {
            0 | 1 => None,
            count => self.dies_after.take().map(|after| after % (count + 1)),
        };
        let mut dies = dies_after.is_some();
        for (n, effect) in effects.into_iter().enumerate() {
            if dies_after == Some(n) {
                break;
            }
            self.effects += 1;
            self.faults.push(Fault::of(&effect));
            let fault = self.fault.filter(|(at, _)| *at == self.effects).map(|(_, fault)| fault);
            if fault == Some(Fault::DiesBefore) {
                dies = true;
                break;
            }
            match fault {
                None | Some(Fault::DiesAfter) => self.carry_out(effect),
                Some(fault) => self.go_wrong(effect, fault),
            }
            if fault == Some(Fault::DiesAfter) {
                dies = true;
                break;
            }
            if self.dies_at == Some(self.effects) {
                dies = true;
                break;
            }
        }
        if dies {
            self.kill_daemon();
        } else if let Some(run) = exited
            && let Some(held) = self.keeper.get_mut(&run.entry)
            && matches!(held.process, Process::Ended { run: ended, .. } if ended == run)
        {
            held.process = Process::None;
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Keep(record) => self.keep(record),
            Effect::Forget { run } => {
                let held = self.keeper.remove(&run.entry).expect("only what is held is forgotten");
                assert!(!matches!(held.process, Process::Alive { .. }), "{run} is forgotten alive");
                // Another daemon may give this entry's number out again.
                self.spawned.retain(|spawned| spawned.entry != run.entry);
            }
            Effect::Spawn(record) => self.spawn(record),
            Effect::Signal { run, signal, tree: _ } => self.signal(run, signal),
            Effect::Sweep { run } => {
                assert!(!self.live().contains(&run), "{run} is swept while it lives");
            }
            Effect::SayShutdown { run } => self.signal(run, 2),
            Effect::Drain { run, .. } => {
                if self.keeper.get(&run.entry).is_some_and(|held| held.manners == Manners::Obedient) {
                    self.mail.push((run.entry, Event::Disconnected { run }));
                }
            }
            Effect::Probe { run, .. } => {
                if !self.tame && self.dice(3) == 0 {
                    let health = Err("it is busy".to_owned());
                    self.mail.push((run.entry, Event::Probed { run, health }));
                }
                self.mail.push((run.entry, Event::Probed { run, health: Ok(()) }));
            }
            Effect::CloseListeners { app } => {
                let served = |held: &Held| {
                    held.record.app.name == app && matches!(held.process, Process::Alive { .. })
                };
                assert!(!self.keeper.values().any(served), "{app} loses its ports while it serves");
            }
            Effect::Timer { key, after } => {
                let due = self.now.after(after).boot_ms;
                self.timers.push((due, key));
            }
            Effect::Publish(_) => {}
            Effect::Reply { ticket, outcome } => {
                assert!(self.open.remove(&ticket), "{ticket:?} is answered twice");
                self.assert_true(&outcome);
                self.answers.push(outcome);
            }
            Effect::End => {
                assert!(self.open.is_empty(), "the end comes before {:?} are answered", self.open);
                self.ended = true;
            }
        }
    }

    fn keep(&mut self, record: Record) {
        let Some(held) = self.keeper.get_mut(&record.run.entry) else {
            let vacant = Held {
                record,
                process: Process::None,
                manners: Manners::Obedient,
                introduced: false,
                failed: false,
                children: false,
            };
            self.keeper.insert(vacant.record.run.entry, vacant);
            return;
        };
        assert_eq!(held.record.run, record.run, "a record follows its process");
        assert!(held.record.epoch <= record.epoch, "an epoch goes back");
        if held.record.role == Role::Replacement && record.role == Role::Current {
            *self.restarts.entry(record.worker).or_default() += 1;
        }
        held.record = record;
    }

    fn spawn(&mut self, record: Record) {
        self.check_spawn(&record);
        let failed = !self.tame && !self.calm && self.dice(12) == 0;
        let may_pass = failed && self.dice(2) == 0;
        self.make(record, failed.then_some(("exec `/usr/bin/node`: out of luck", may_pass)));
    }

    /// Makes the process, or fails to.
    fn make(&mut self, record: Record, failure: Option<(&str, bool)>) {
        let run = record.run;
        let failed = failure.is_some();
        let process = if let Some((what, may_pass)) = failure {
            let what = what.to_owned();
            self.mail.push((run.entry, Event::SpawnFailed { run, what, may_pass }));
            Process::None
        } else {
            self.next_pid += 1;
            self.mail.push((run.entry, Event::Spawned { run, pid: self.next_pid }));
            Process::Alive { pid: self.next_pid, run }
        };
        let manners = match self.dice(20) {
            _ if self.tame => Manners::Obedient,
            0 if !self.calm => Manners::Immortal,
            1..4 => Manners::Stubborn,
            4..7 => Manners::LeavesChildren,
            _ => Manners::Obedient,
        };
        let held = Held { record, process, manners, introduced: false, failed, children: false };
        self.keeper.insert(run.entry, held);
    }

    fn signal(&mut self, run: Run, signal: i32) {
        let Some(held) = self.keeper.get_mut(&run.entry) else { return };
        // Carried out, it is noted there.
        held.record.untold = false;
        if held.children && signal == 9 {
            held.children = false;
            self.mail.push((run.entry, Event::TreeGone { run }));
        }
        let manners = held.manners;
        match (signal, manners) {
            (9, Manners::Immortal) => {}
            (9, _) => self.end(run, Exit::Signal(9), false),
            (2 | 15, Manners::Obedient) => self.end(run, Exit::Code(0), false),
            (2 | 15, Manners::LeavesChildren) => self.end(run, Exit::Signal(signal), true),
            _ => {}
        }
    }

    /// The process ends, if it lives.
    fn end(&mut self, run: Run, exit: Exit, survivors: bool) {
        let at = self.now;
        let Some(held) = self.keeper.get_mut(&run.entry) else { return };
        let Process::Alive { pid, run: alive } = held.process else { return };
        if alive == run {
            held.process = Process::Ended { run, pid, exit, at };
            held.children = survivors;
            self.mail.push((run.entry, Event::Exited { run, exit, survivors }));
        }
    }

    fn live(&self) -> Vec<Run> {
        let runs = self.keeper.values().filter_map(|held| match held.process {
            Process::Alive { run, .. } => Some(run),
            Process::None | Process::Ended { .. } => None,
        });
        runs.collect()
    }

    /// Some process ends by itself.
    pub(super) fn crash(&mut self, which: usize, exit: Exit) {
        let live = self.live();
        if let Some(run) = live.get(which % live.len().max(1)) {
            self.end(*run, exit, which.is_multiple_of(5));
        }
    }

    /// Some process says something; not always what it should.
    pub(super) fn say(&mut self, which: usize, what: usize) {
        let live = self.live();
        if let Some(run) = live.get(which % live.len().max(1)).copied() {
            let event = match what % 5 {
                0 | 1 => Event::Online { run },
                2 => Event::Listening { run, address: ":::3000".to_owned() },
                3 => Event::SaidReady { run },
                _ => Event::Disconnected { run },
            };
            self.mail.push((run.entry, event));
        }
    }

    /// Some process uses much memory.
    pub(super) fn swell(&mut self, which: usize) {
        let live = self.live();
        if let Some(run) = live.get(which % live.len().max(1)) {
            let usage = Usage { memory: Bytes(1 << 30), ..Usage::default() };
            self.feed(Event::Sampled { usages: vec![(*run, usage)] });
        }
    }

    /// Delivers the oldest news of some entry.
    pub(super) fn deliver(&mut self, which: usize) {
        if self.mail.is_empty() {
            return;
        }
        let (entry, _) = self.mail[which % self.mail.len()];
        let first = self.mail.iter().position(|(other, _)| *other == entry).expect("it is there");
        let (_, event) = self.mail.remove(first);
        self.feed(event);
    }

    /// Something that cannot happen, happens.
    pub(super) fn absurd(&mut self, entry: u64, generation: u64, what: usize) {
        let run = Run { entry, generation };
        let known = self.keeper.get(&entry).is_some_and(|held| held.record.run == run);
        if known {
            return;
        }
        self.feed(match what % 6 {
            0 => Event::Spawned { run, pid: 1 },
            1 => Event::SpawnFailed { run, what: "try".to_owned(), may_pass: entry.is_multiple_of(2) },
            2 => Event::Exited { run, exit: Exit::Code(1), survivors: false },
            3 => Event::TreeGone { run },
            4 => Event::Online { run },
            _ => Event::SaidReady { run },
        });
    }

    pub(super) fn advance(&mut self, ms: u64) {
        let until = self.now.boot_ms + ms;
        while let Some(n) = self.next_timer().filter(|n| self.timers[*n].0 <= until) {
            self.fire(n);
        }
        self.pass(until);
    }

    fn next_timer(&self) -> Option<usize> {
        (0..self.timers.len()).min_by_key(|n| self.timers[*n].0)
    }

    fn fire(&mut self, n: usize) {
        let (due, key) = self.timers.remove(n);
        self.pass(due);
        self.feed(Event::TimerDue(key));
    }

    fn pass(&mut self, until: u64) {
        let ms = until.saturating_sub(self.now.boot_ms);
        self.now = self.now.after(std::time::Duration::from_millis(ms));
    }

    pub(super) fn die_soon(&mut self, after: usize) {
        self.dies_after = Some(after);
    }

    /// The daemon is gone and the keeper starts another.
    pub(super) fn kill_daemon(&mut self) {
        if self.ended {
            return;
        }
        self.mail.clear();
        self.timers.clear();
        self.open.clear();
        self.fleet = Fleet::new(Places::default());
        let found = |held: &Held| Found { record: held.record.clone(), process: held.process };
        let found: Vec<Found> = self.keeper.values().map(found).collect();
        self.keeper.values_mut().for_each(|held| held.children = false);
        self.feed(Event::Attached { found });
        // The shell acknowledges what the turn has handled.
        for held in self.keeper.values_mut() {
            if matches!(held.process, Process::Ended { .. }) {
                held.process = Process::None;
            }
        }
    }

    /// Lets everything settle: processes say what they have to say, nothing crashes any more.
    pub(super) fn settle(&mut self) {
        self.calm = true;
        self.dies_after = None;
        for _ in 0..20_000 {
            if !self.mail.is_empty() {
                self.deliver(0);
            } else if !self.introduce() {
                match self.next_timer() {
                    Some(n) => self.fire(n),
                    None => return,
                }
            }
        }
        panic!("the world does not come to rest");
    }

    /// All news is delivered and processes say what they have to say, but no time passes.
    pub(super) fn catch_up(&mut self) {
        for _ in 0..500 {
            if !self.mail.is_empty() {
                self.deliver(0);
            } else if !self.introduce() {
                return;
            }
        }
    }

    fn introduce(&mut self) -> bool {
        let waiting = |held: &&mut Held| !held.introduced && matches!(held.process, Process::Alive { .. });
        let Some(held) = self.keeper.values_mut().find(waiting) else { return false };
        held.introduced = true;
        let (run, app) = (held.record.run, &held.record.app);
        let mut say = |event| self.mail.push((run.entry, event));
        if app.mode == Mode::Cluster {
            say(Event::Online { run });
            if app.name != "silent" {
                say(Event::Listening { run, address: ":::3000".to_owned() });
            }
        }
        if app.readiness.wait_ready {
            say(Event::SaidReady { run });
        }
        if app.readiness.notify {
            say(Event::Notified { run });
        }
        true
    }

    /// Ids of all workers.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.fleet.workers.keys().map(|id| id.0).collect()
    }

    /// How many processes live that could have been killed.
    pub(super) fn mortals(&self) -> usize {
        self.live().iter().filter(|run| self.keeper[&run.entry].manners != Manners::Immortal).count()
    }

    /// A worker that was removed starts counting anew when its id is given out again.
    pub(super) fn forget_counts(&mut self) {
        let fleet = &self.fleet;
        self.restarts.retain(|id, _| fleet.workers.contains_key(id));
    }
}
