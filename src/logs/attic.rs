//! Where rotated files are kept: a thread of low priority that compresses them and removes what is too many, too
//! old or too much. It works from what it finds on disk, so whatever a kill left half done is finished by the next.

use super::budget::{excess, overdraft, sums};
use super::compress::compress;
use super::kept::{Family, Form, Kept, inventory, real};
use super::own;
use super::removal;
use crate::model::Rotation;
use crate::model::shapes::Shapes;
use crate::sys::clock;
use crate::sys::fault;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at the directories, while there is always something new.
const PAUSE_MS: u64 = 200;
/// After this without a write a file may be compressed: longer than the pump goes on writing to one that somebody else put
/// aside. Who follows the log needs no time: see `model::birth`.
const SETTLED_MS: i64 = 1000;
/// A look also when nothing was rotated: files get old, settings of the disk change.
const LOOK_MS: u64 = 3_600_000;

/// What holds for a whole home.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For all logs that say nothing else.
    pub rotation: Rotation,
    /// The directory whose strays are looked after as well: rotated logs of deleted apps.
    pub logs_dir: PathBuf,
    /// The daemon's own log.
    pub own_log: PathBuf,
}

/// The handle; the thread ends with it, at once and with no file half done.
#[derive(Debug)]
pub struct Attic {
    shelf: Arc<Shelf>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shelf {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Default)]
struct State {
    logs: HashMap<PathBuf, (Arc<str>, Arc<Rotation>)>,
    plan: Option<Plan>,
    /// There is something new.
    dirty: bool,
    /// All logs that somebody goes on writing are known: what else there is, is a stray.
    begun: bool,
    stopped: bool,
}

impl Attic {
    /// Starts the thread.
    pub fn start() -> io::Result<Attic> {
        let shelf = Arc::<Shelf>::default();
        let theirs = Arc::clone(&shelf);
        let thread = std::thread::Builder::new()
            .name("pm-attic".into())
            .spawn(move || Sweeper::default().run(&theirs))?;
        Ok(Attic { shelf, thread: Some(thread) })
    }

    /// The home's settings, from now on.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.shelf.lock();
        state.plan = Some(plan);
        self.shelf.look(state);
    }

    /// A log of this app, under these settings.
    pub fn learn(&self, log: &Path, app: &Arc<str>, rotation: &Arc<Rotation>) {
        let mut state = self.shelf.lock();
        state.logs.insert(log.to_owned(), (Arc::clone(app), Arc::clone(rotation)));
        self.shelf.look(state);
    }

    /// All logs that were there before are learnt: from now on files are looked at.
    pub fn begin(&self) {
        let mut state = self.shelf.lock();
        state.begun = true;
        self.shelf.look(state);
    }

    /// Nobody writes it any more.
    pub fn forget(&self, log: &Path) {
        self.shelf.lock().logs.remove(log);
    }

    /// Something was put aside.
    pub fn look(&self) {
        self.shelf.look(self.shelf.lock());
    }
}

impl Drop for Attic {
    fn drop(&mut self) {
        let mut state = self.shelf.lock();
        state.stopped = true;
        self.shelf.look(state);
        if let Some(thread) = self.thread.take() {
            // It has told its panic itself.
            let _panicked = thread.join();
        }
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, mut state: MutexGuard<'_, State>) {
        state.dirty = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits at most so long for something new; then whatever there is.
    fn wait(&self, at_most_ms: u64) -> State {
        let span = Duration::from_millis(at_most_ms);
        let waiting = |state: &mut State| !(state.stopped || state.dirty && state.begun);
        let held = self.changed.wait_timeout_while(self.lock(), span, waiting);
        let (mut state, _timeout) = held.unwrap_or_else(PoisonError::into_inner);
        let seen = state.clone();
        state.dirty = false;
        seen
    }
}

/// The thread's own.
#[derive(Debug, Default)]
struct Sweeper {
    to_pack: BTreeSet<PathBuf>,
    looked_ms: u64,
    own_looked_ms: u64,
    dirty: bool,
}

/// Nobody writes it any more: the pump does for a moment to a file that somebody else put aside.
fn is_settled(kept: &Kept, now_ms: i64) -> bool {
    let age_ms = i128::from(now_ms) - kept.written_ns / 1_000_000;
    !(0..fault::value("settled", SETTLED_MS).into()).contains(&age_ms)
}

impl Sweeper {
    fn run(mut self, shelf: &Shelf) {
        // Of this thread only (setpriority(2), on Linux). Without it, it is merely less polite.
        let _polite = rustix::process::setpriority_process(None, 19);
        loop {
            let state = shelf.wait(self.idle_ms(shelf));
            if state.stopped {
                return;
            }
            if !state.begun {
                continue;
            }
            self.dirty |= state.dirty;
            let now = clock::now().boot_ms;
            self.look_at_own(&state, now);
            let pause = if self.dirty { PAUSE_MS } else { LOOK_MS };
            if now.saturating_sub(self.looked_ms) >= pause || self.looked_ms == 0 {
                (self.looked_ms, self.dirty) = (now, false);
                self.tidy(&state);
            }
            if let Some(path) = self.to_pack.pop_first() {
                match compress(&path, &|| shelf.is_stopped()) {
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "failed to compress a rotated log");
                    }
                }
            }
        }
    }

    fn idle_ms(&self, shelf: &Shelf) -> u64 {
        if !self.to_pack.is_empty() {
            return 0;
        }
        if self.dirty {
            return PAUSE_MS;
        }
        let own = shelf.lock().plan.as_ref().map(|plan| plan.rotation.worker_interval.as_millis());
        own.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(LOOK_MS)
    }

    fn look_at_own(&mut self, state: &State, now: u64) {
        let Some(plan) = &state.plan else { return };
        let interval = u64::try_from(plan.rotation.worker_interval.as_millis()).unwrap_or(LOOK_MS);
        if now.saturating_sub(self.own_looked_ms) < interval && self.own_looked_ms != 0 {
            return;
        }
        self.own_looked_ms = now;
        match own::rotate(&plan.own_log, &plan.rotation) {
            Ok(Some(kept)) => {
                self.dirty = true;
                tracing::info!(kept = %kept.display(), "rotated the daemon's log");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "failed to rotate the daemon's log"),
        }
    }

    /// Looks at everything that is kept.
    fn tidy(&mut self, state: &State) {
        let logs = Logs::of(state);
        let strays = state.plan.as_ref().map(|plan| (plan.logs_dir.as_path(), Shapes::of(&plan.rotation)));
        let families: Vec<_> = logs.0.iter().map(|(f, log)| (f.clone(), Shapes::of(&log.rotation))).collect();
        let found = match inventory(&families, strays.as_ref().map(|(dir, shapes)| (*dir, shapes))) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "failed to look for rotated logs");
                return;
            }
        };
        let mut left: Vec<Left> = Vec::new();
        for (family, kept) in found {
            let Some((app, rotation)) = logs.of_family(&family, state) else { continue };
            let log = family.log();
            let mut kept = kept;
            // The oldest goes first: whatever happens meanwhile, what is there is the end of the log.
            kept.sort_by(|a, b| a.age().cmp(&b.age()));
            let gone: BTreeSet<&PathBuf> =
                excess(&kept, rotation, clock::now().wall_ms).into_iter().map(|kept| &kept.path).collect();
            for kept in &kept {
                if kept.label.form == Form::Unfinished || gone.contains(&kept.path) {
                    self.discard(&log, kept);
                } else {
                    if kept.label.form == Form::Plain && rotation.compress {
                        if is_settled(kept, clock::now().wall_ms) {
                            self.to_pack.insert(kept.path.clone());
                        } else {
                            self.dirty = true;
                        }
                    }
                    left.push(Left { app: app.clone(), log: log.clone(), kept: kept.clone() });
                }
            }
        }
        self.keep_within(&logs, &left, state);
    }

    /// The budgets: of each app, then of all.
    fn keep_within(&mut self, logs: &Logs, left: &[Left], state: &State) {
        let live = sums(logs.0.iter().map(|(family, log)| (log.app.clone(), size(&family.log()))));
        let mut gone: BTreeSet<&Path> = BTreeSet::new();
        let limits: BTreeMap<_, _> =
            logs.0.values().filter_map(|log| Some((log.app.clone()?, log.rotation.max_app_size))).collect();
        for (app, limit) in limits {
            let mine = left.iter().filter(|one| one.app.as_ref() == Some(&app)).map(|one| &one.kept);
            let used = live.get(&Some(app.clone())).copied().unwrap_or(0);
            gone.extend(overdraft(mine, used, limit.get()).into_iter().map(|kept| kept.path.as_path()));
        }
        if let Some(plan) = state.plan.as_ref().filter(|plan| plan.rotation.enabled) {
            let rest = left.iter().map(|one| &one.kept).filter(|kept| !gone.contains(kept.path.as_path()));
            let limit = plan.rotation.max_total_size.get();
            let left_behind = strays(&plan.logs_dir, logs, left);
            let over = overdraft(rest, live.values().sum::<u64>().saturating_add(left_behind), limit);
            gone.extend(over.into_iter().map(|kept| kept.path.as_path()));
        }
        let gone: BTreeSet<PathBuf> = gone.into_iter().map(Path::to_owned).collect();
        for one in left.iter().filter(|one| gone.contains(&one.kept.path)) {
            self.discard(&one.log, &one.kept);
        }
    }

    fn discard(&mut self, log: &Path, kept: &Kept) {
        self.to_pack.remove(&kept.path);
        match removal::discard(log, kept) {
            Ok(()) => {
                tracing::debug!(path = %kept.path.display(), bytes = kept.size, "removed a rotated log")
            }
            Err(error) => {
                tracing::warn!(path = %kept.path.display(), %error, "failed to remove a rotated log");
            }
        }
    }
}

/// A rotated file that stays, as far as its log decides.
struct Left {
    app: Option<Arc<str>>,
    log: PathBuf,
    kept: Kept,
}

/// One log of those known.
struct Log {
    /// `None`: the daemon's own.
    app: Option<Arc<str>>,
    rotation: Arc<Rotation>,
}

/// All logs known, by family; those that are not rotated are not among them.
struct Logs(BTreeMap<Family, Log>);

impl Logs {
    fn of(state: &State) -> Logs {
        let workers = state.logs.iter().map(|(path, (app, rotation))| {
            (path, Log { app: Some(app.clone()), rotation: rotation.clone() })
        });
        let own = state
            .plan
            .iter()
            .map(|plan| (&plan.own_log, Log { app: None, rotation: Arc::new(plan.rotation.clone()) }));
        let families = workers.chain(own).filter_map(|(path, log)| Some((Family::of(&real(path))?, log)));
        Logs(families.collect())
    }

    /// Whose a family is and its settings, strays under the home's; `None`: it is to be left alone.
    fn of_family<'a>(
        &'a self,
        family: &Family,
        state: &'a State,
    ) -> Option<(Option<Arc<str>>, &'a Rotation)> {
        let known = self.0.get(family).map(|log| (log.app.clone(), log.rotation.as_ref()));
        let found = known.or_else(|| Some((None, &state.plan.as_ref()?.rotation)));
        found.filter(|(_, rotation)| rotation.enabled)
    }
}

/// Bytes of files in the logs' directory that are nobody's: last logs of deleted apps above all. They stay, but count.
fn strays(dir: &Path, logs: &Logs, left: &[Left]) -> u64 {
    let live = logs.0.keys().map(Family::log);
    let known: BTreeSet<PathBuf> = live.chain(left.iter().map(|one| one.kept.path.clone())).collect();
    let entries = std::fs::read_dir(real(dir)).into_iter().flatten().flatten();
    let others = entries.filter(|entry| !known.contains(&entry.path()));
    others
        .filter_map(|entry| entry.metadata().ok().filter(|facts| facts.is_file()))
        .map(|facts| facts.len())
        .sum()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |facts| facts.len())
}
