//! New workers, and what a start does to those that are there already.

use super::entry::Entry;
use super::fleet::Fleet;
use super::order::Wait;
use super::record::{Record, Role};
use super::turn::Turn;
use super::worker::Worker;
use crate::model::app::Env;
use crate::model::order::{Deed, IfPresent, Refusal, Rolling, Saved};
use crate::model::{App, Desired, Now, Reason, Run, State, WorkerId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A worker that is about to join the fleet.
#[derive(Debug)]
pub(super) struct Newcomer {
    /// What it is to run; `increment_var` is resolved already.
    pub(super) app: Arc<App>,
    /// One a start.
    pub(super) unique_id: String,
    /// Its instance number, if that is free.
    pub(super) instance: Option<u32>,
    /// Whether it is to run.
    pub(super) desired: Desired,
    /// Why it is as it is.
    pub(super) reason: Reason,
}

impl Fleet {
    /// Starts apps; those whose name is there already as `if_present` says.
    pub(super) fn start(
        &mut self,
        apps: &[App],
        if_present: IfPresent,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<Wait>, Refusal> {
        let present: Vec<Vec<WorkerId>> = apps.iter().map(|app| self.present(app, if_present)).collect();
        for (app, ids) in apps.iter().zip(&present) {
            self.may_start(app, ids, if_present)?;
        }
        let mut waits = Vec::new();
        for (app, ids) in apps.iter().zip(present) {
            if let Some(all) = self.launch_rest(app, turn) {
                waits.extend(all);
                continue;
            }
            if ids.is_empty() {
                waits.extend(self.launch_app(app, app.instances.max(1), turn));
            }
            waits.extend(ids.into_iter().filter_map(|id| self.start_again(id, app, if_present, turn)));
        }
        Ok(waits)
    }

    /// Starts what a dump holds, but for names that are there already.
    pub(super) fn resurrect(&mut self, saved: Vec<Saved>, turn: &mut Turn<'_>) -> Vec<Wait> {
        let others = self.staying().filter(|worker| !self.is_told(worker));
        let taken: BTreeSet<String> = others.map(|worker| worker.name().to_owned()).collect();
        let unique_id = self.unique_id(turn.now);
        let mut waits: Vec<Wait> = self
            .staying()
            .filter(|worker| taken.contains(worker.name()))
            .filter(|worker| saved.iter().any(|saved| saved.app.name == worker.name()))
            .map(|worker| Wait::new(worker, Deed::Untouched))
            .collect();
        for Saved { app, instance, desired } in saved {
            let mut made = self.launched_already(&app.name).into_iter();
            if let Some(worker) = made.find(|worker| worker.current.record.instance == instance) {
                waits.push(Wait::new(worker, Deed::Launched));
            } else if !taken.contains(&app.name) {
                let reason = match desired {
                    Desired::Up => Reason::Started,
                    Desired::Down => Reason::StopRequested,
                };
                let (app, unique_id) = (Arc::new(app), unique_id.clone());
                let newcomer = Newcomer { app, unique_id, instance: Some(instance), desired, reason };
                waits.push(self.admit(newcomer, turn));
            }
        }
        waits
    }

    /// Ids of the workers that a start of `app` is about, besides new ones.
    fn present(&self, app: &App, if_present: IfPresent) -> Vec<WorkerId> {
        let is_meant = |worker: &Worker| {
            let same_script = worker.current.record.app.program.script == app.program.script;
            worker.name() == app.name
                && match if_present {
                    IfPresent::Refuse => same_script,
                    IfPresent::Restart | IfPresent::Reload | IfPresent::ReloadAnyway => true,
                    IfPresent::Add => false,
                }
        };
        self.staying().filter(|worker| is_meant(worker)).map(|worker| worker.id).collect()
    }

    fn may_start(&self, app: &App, ids: &[WorkerId], if_present: IfPresent) -> Result<(), Refusal> {
        let workers = ids.iter().filter_map(|id| self.workers.get(id));
        let mut workers = workers.filter(|worker| !self.is_told(worker));
        match if_present {
            IfPresent::Refuse if workers.any(is_started) => {
                Err(Refusal::AlreadyLaunched { name: app.name.clone() })
            }
            IfPresent::Reload | IfPresent::ReloadAnyway => match workers.find(|worker| worker.is_reloading())
            {
                Some(worker) => Err(Refusal::ReloadInProgress { id: worker.id }),
                None => Ok(()),
            },
            IfPresent::Refuse | IfPresent::Restart | IfPresent::Add => Ok(()),
        }
    }

    /// A start of a worker that is there: PM2 starts it as it was declared, unless a file says more.
    fn start_again(
        &mut self,
        id: WorkerId,
        app: &App,
        if_present: IfPresent,
        turn: &mut Turn<'_>,
    ) -> Option<Wait> {
        let old = &self.workers.get(&id)?.current.record.app;
        let renewed = Arc::new(App { instances: old.instances, ..merged(old, app.clone(), None) });
        self.tell(id, turn, |worker, turn| match if_present {
            IfPresent::Refuse | IfPresent::Add => worker.restart(None, Reason::RestartRequested, turn),
            IfPresent::Restart => worker.restart(Some(renewed), Reason::RestartRequested, turn),
            IfPresent::Reload | IfPresent::ReloadAnyway => {
                let rolling = Rolling { width: None, force: if_present == IfPresent::ReloadAnyway };
                worker.reload(Some(renewed), Reason::ReloadRequested, rolling, turn)
            }
        })
    }

    /// So many instances of an app.
    pub(super) fn launch_app(&mut self, app: &App, count: u32, turn: &mut Turn<'_>) -> Vec<Wait> {
        let unique_id = self.unique_id(turn.now);
        let shared = Arc::new(app.clone());
        let (desired, reason) = match app.autostart {
            true => (Desired::Up, Reason::Started),
            false => (Desired::Down, Reason::NotAutostarted),
        };
        (0..count)
            .map(|_| {
                let app = self.incremented(&shared);
                let (unique_id, reason) = (unique_id.clone(), reason.clone());
                self.admit(Newcomer { app, unique_id, instance: None, desired, reason }, turn)
            })
            .collect()
    }

    /// The app with its `increment_var` set for one more instance: one more than the highest there is,
    /// else its own value, else 0.
    pub(super) fn incremented(&self, app: &Arc<App>) -> Arc<App> {
        let Some(var) = &app.increment_var else { return Arc::clone(app) };
        let value_in = |env: &Env| env.0.get(var).and_then(|value| value.trim().parse::<i64>().ok());
        let highest = self
            .workers
            .values()
            .filter(|worker| worker.name() == app.name)
            .filter_map(|worker| value_in(&worker.current.record.app.env))
            .max();
        let value =
            highest.map_or_else(|| value_in(&app.env).unwrap_or(0), |highest| highest.saturating_add(1));
        let mut own = App::clone(app);
        own.env.0.insert(var.clone(), value.to_string());
        Arc::new(own)
    }

    /// Takes a worker into the fleet, and starts it if it is to run.
    pub(super) fn admit(&mut self, newcomer: Newcomer, turn: &mut Turn<'_>) -> Wait {
        let Newcomer { app, unique_id, instance, desired, reason } = newcomer;
        let id = self.next_worker();
        let instance = self.free_instance(&app.name, instance);
        let record = Record {
            // A first spawn takes the next generation; an entry that is only kept has the first.
            run: Run { entry: self.open_entry(id), generation: u64::from(desired == Desired::Down) },
            role: Role::Current,
            worker: id,
            instance,
            unique_id,
            app,
            desired,
            state: State::Down,
            reason,
            epoch: self.past,
            created: turn.now,
            started: None,
            restarts: 0,
            unstable_restarts: 0,
            last_exit: None,
            next_start: None,
            backoff: Duration::ZERO,
            kill_at: None,
            draining: false,
            untold: false,
            listening: Vec::new(),
            node_version: None,
            trouble: None,
            retry: None,
            ordered: self.mark(true),
            leaving: false,
        };
        let mut worker = Worker::new(Entry::vacant(record));
        match desired {
            Desired::Up => worker.launch(Reason::Started, turn),
            Desired::Down => worker.register(turn),
        }
        let deed = Deed::Launched;
        let wait = Wait::new(&worker, deed);
        self.workers.insert(id, worker);
        wait
    }

    /// Ids count up; they begin anew when nobody is left.
    fn next_worker(&mut self) -> WorkerId {
        if self.workers.is_empty() {
            self.next_id = self.first_id;
        }
        let id = WorkerId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// `wanted`, or the lowest number that no worker of the name has.
    fn free_instance(&self, name: &str, wanted: Option<u32>) -> u32 {
        let theirs = self.workers.values().filter(|worker| worker.name() == name);
        let mut taken: Vec<u32> = theirs.map(|worker| worker.current.record.instance).collect();
        taken.sort_unstable();
        let lowest = || (0..).zip(&taken).find(|(free, taken)| free != *taken).map(|(free, _)| free);
        let lowest = || lowest().or_else(|| u32::try_from(taken.len()).ok()).unwrap_or(0);
        wanted.filter(|number| taken.binary_search(number).is_err()).unwrap_or_else(lowest)
    }

    /// PM2's `unique_id`: looks like a uuid, differs for every start, needs no randomness.
    pub(super) fn unique_id(&mut self, now: Now) -> String {
        self.starts += 1;
        let high = scatter(now.boot_ms ^ now.wall_ms.cast_unsigned().rotate_left(32));
        let low = scatter(high ^ self.starts);
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}

/// Running, or about to run without being asked again.
fn is_started(worker: &Worker) -> bool {
    match worker.state() {
        State::Starting | State::Running | State::Ready => true,
        // Who starts it again wants it tried now.
        State::Backoff => worker.current.record.retry.is_none(),
        State::Stopping => worker.desired() == Desired::Up,
        State::Down | State::Failed => false,
    }
}

/// `new` with the environment of `old` under its own, and `env` over both. What was incremented for
/// this worker stays its own.
pub(super) fn merged(old: &App, mut new: App, env: Option<&Env>) -> App {
    let mut variables = old.env.0.clone();
    variables.append(&mut new.env.0);
    variables.extend(env.iter().flat_map(|env| env.0.clone()));
    if let Some(var) = new.increment_var.as_ref().filter(|_| new.increment_var == old.increment_var)
        && let Some(own) = old.env.0.get(var)
    {
        variables.insert(var.clone(), own.clone());
    }
    new.env = Env(variables);
    new
}

/// The finisher of splitmix64: spreads every bit over all others.
fn scatter(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
