//! A fleet that is told things, and its effects in a few words: what the tables of the tests are made of.
//! Publications are left out.

use super::world::app;
use crate::model::app::{App, Mode};
use crate::model::order::{IfPresent, Outcome, Rolling, Update};
use crate::model::{Exit, Order, Run, Selector, Stamp};
use crate::supervisor::effect::Effect;
use crate::supervisor::event::{Event, Ticket, TimerKey};
use crate::supervisor::fleet::Fleet;
use crate::supervisor::record::Record;
use crate::supervisor::view::Places;
use std::collections::BTreeMap;
use std::time::Duration;

/// A fleet that is told things, in order, and what it wants done about them.
pub(super) struct Story {
    pub(super) fleet: Fleet,
    pub(super) now: Stamp,
    tickets: u64,
    timers: BTreeMap<(u32, String), TimerKey>,
    pub(super) records: BTreeMap<u64, Record>,
}

impl Story {
    pub(super) fn new() -> Story {
        Story {
            fleet: Fleet::new(Places { logs_dir: "/l".into(), pids_dir: "/p".into() }),
            now: Stamp { boot_ms: 1_000_000, wall_ms: 1_700_000_000_000 },
            tickets: 0,
            timers: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Starts an app and lets all its processes come up.
    pub(super) fn with(app: App) -> Story {
        let mut story = Story::new();
        story.order(start(app));
        let runs: Vec<Run> = story.records.values().map(|record| record.run).collect();
        for run in runs {
            story.event(Event::Spawned { run, pid: 100 });
            story.event(Event::Online { run });
        }
        story.pass(5_000);
        story
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
    }

    pub(super) fn event(&mut self, event: Event) -> String {
        let mut effects = Vec::new();
        self.fleet.handle(event, self.now, &mut effects);
        for effect in &effects {
            match effect {
                Effect::Keep(record) | Effect::Spawn(record) => {
                    self.records.insert(record.run.entry, record.clone());
                }
                Effect::Forget { run } => {
                    self.records.remove(&run.entry);
                }
                Effect::Signal { run, .. } | Effect::SayShutdown { run } => {
                    // As the owner notes it.
                    if let Some(record) = self.records.get_mut(&run.entry) {
                        record.untold = false;
                    }
                }
                Effect::Timer { key, .. } => {
                    let kind = format!("{:?}", key.kind);
                    self.timers.insert((key.worker.0, kind), *key);
                }
                _ => {}
            }
        }
        effects.iter().filter_map(told).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn order(&mut self, order: Order) -> String {
        self.tickets += 1;
        self.event(Event::Ordered { ticket: Ticket(self.tickets), order })
    }

    pub(super) fn due(&mut self, worker: u32, kind: &str) -> String {
        let key = self.timers[&(worker, kind.to_owned())];
        self.event(Event::TimerDue(key))
    }

    pub(super) fn exits(&mut self, entry: u64, exit: Exit) -> String {
        let run = self.run(entry);
        self.event(Event::Exited { run, exit, survivors: false })
    }

    pub(super) fn run(&self, entry: u64) -> Run {
        self.records[&entry].run
    }

    pub(super) fn spawned(&mut self, entry: u64) -> String {
        let run = self.run(entry);
        self.event(Event::Spawned { run, pid: 100 })
    }

    pub(super) fn listens(&mut self, entry: u64) -> String {
        let run = self.run(entry);
        self.event(Event::Listening { run, address: ":::80".to_owned() })
    }

    /// What people see of a worker.
    pub(super) fn sees(&mut self, id: u32) -> String {
        let views = self.fleet.views();
        let view = views.iter().find(|view| view.id.0 == id).expect("the worker is there");
        format!("{:?} r{} u{} ({})", view.state, view.restarts, view.unstable_restarts, view.reason)
    }
}

/// One effect in a few words.
fn told(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Keep(r) => format!("keep {} {:?} {:?}", r.run, r.role, r.state),
        Effect::Forget { run } => format!("forget {run}"),
        Effect::Spawn(r) => format!("spawn {} {:?} r{}", r.run, r.role, r.restarts),
        Effect::Signal { run, signal, tree } => {
            format!("signal {run} {signal}{}", if *tree { " tree" } else { "" })
        }
        Effect::Sweep { run } => format!("sweep {run}"),
        Effect::SayShutdown { run } => format!("say shutdown {run}"),
        Effect::Drain { run, grace } => format!("drain {run} {}", grace.as_millis()),
        Effect::Probe { run, .. } => format!("probe {run}"),
        Effect::CloseListeners { app } => format!("close {app}"),
        Effect::Timer { key, after } => format!("timer {:?} {}", key.kind, after.as_millis()),
        Effect::Publish(_) => return None,
        Effect::Reply { outcome: Outcome::Refused(refusal), .. } => format!("refuse: {refusal}"),
        Effect::Reply { ticket, outcome: Outcome::Done { touched } } => {
            let each: Vec<_> =
                touched.iter().map(|t| format!("{} {:?} {:?}", t.id, t.deed, t.state)).collect();
            format!("reply {}: {}", ticket.0, each.join(", "))
        }
        Effect::End => "end".to_owned(),
    })
}

pub(super) fn start(app: App) -> Order {
    Order::Start { apps: vec![app], if_present: IfPresent::Refuse }
}

pub(super) fn all() -> Selector {
    Selector::all()
}

pub(super) fn stop() -> Order {
    Order::Stop { select: all() }
}

pub(super) fn restart() -> Order {
    Order::Restart { select: all(), update: Update::default() }
}

pub(super) fn reload() -> Order {
    Order::Reload { select: all(), update: Update::default(), rolling: Rolling::default() }
}

pub(super) fn delete() -> Order {
    Order::Delete { select: all() }
}

pub(super) fn cluster(instances: u32) -> App {
    App { mode: Mode::Cluster, instances, ..app("web") }
}
