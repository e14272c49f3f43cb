//! Effects → doors. Nothing here waits; what cannot be done at once comes back as an event.

use super::carry;
use super::keep::complain;
use super::owner::Owner;
use super::probe::Subject;
use super::spawn::Unmade;
use crate::model::files::WorkerFiles;
use crate::model::{Exit, Run};
use crate::supervisor::{Effect, Event, Record};
use crate::sys::fault;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;

/// The record of an entry whose worker was deleted and whose last lines are not written yet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Over {
    pub(super) over: Record,
}

impl Owner {
    /// Carries an effect out; the event, if it brought one about at once.
    pub(super) fn act(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn(record) => return self.start(&record),
            Effect::Forget { run } => self.forget(run),
            Effect::Signal { run, signal, tree } => self.signal(run, signal, tree),
            Effect::Sweep { run } => self.sweep(run),
            Effect::SayShutdown { run } => {
                self.hub.stopping(run);
                self.hub.shutdown(run);
            }
            // Idle kept-alive connections get most of the grace; the rest is for requests under way.
            Effect::Drain { run, grace } => self.hub.drain(run, grace / 4 * 3),
            Effect::Probe { run, app } => {
                if let (Some(process), Some(health)) = (self.processes.get(&run), &app.readiness.health) {
                    self.probes.begin(run, Subject::of(&app, process.pid, &self.hub), health.clone());
                }
            }
            Effect::CloseListeners { app } => {
                self.hub.close_listeners(&app);
                self.sockets.close(&app, &self.link);
            }
            Effect::Timer { key, after } => self.timers.set(key, Instant::now() + after),
            Effect::End => self.ended = true,
            // Done before: persisted, published; replies come last.
            Effect::Keep(_) | Effect::Publish(_) | Effect::Reply { .. } => {}
        }
        None
    }

    fn start(&mut self, record: &Record) -> Option<Event> {
        let files = WorkerFiles::of(&record.app, record.worker, &self.home.logs(), &self.home.pids());
        self.pid_files.insert(record.run, files.pid);
        match self.spawn(record) {
            Ok(()) => None,
            Err(Unmade { what, may_pass }) => Some(Event::SpawnFailed { run: record.run, what, may_pass }),
        }
    }

    fn signal(&mut self, run: Run, signal: i32, tree: bool) {
        if self.processes.contains_key(&run) {
            self.hub.stopping(run);
        }
        let ends = self.entries.get(&run.entry).is_some_and(|record| record.kill_at.is_some());
        match (tree, ends) {
            (true, _) => self.condemn(run, signal),
            (false, true) => self.end_root(run, signal),
            (false, false) => complain("signal a worker", self.link.kill(run, signal, false)),
        }
        fault::pass("act.signalled");
    }

    /// Has a run's own process end, if it is there.
    pub(super) fn end_root(&mut self, run: Run, signal: i32) {
        if self.processes.contains_key(&run) {
            complain("signal a worker", self.link.kill(run, signal, false));
            if signal != SIGKILL {
                // A stopped process acts on nothing but SIGKILL until it continues (as systemd.kill(5) does it).
                complain("continue a worker", self.link.kill(run, SIGCONT, false));
            }
        }
        self.note_told(run);
    }

    /// It has been asked to end: should we die now, the next daemon does not ask it again.
    pub(super) fn note_told(&mut self, run: Run) {
        let due = |record: &&mut Record| record.run == run && record.untold;
        let Some(record) = self.entries.get_mut(&run.entry).filter(due) else { return };
        record.untold = false;
        match crate::model::skew::to_vec(record) {
            Ok(blob) => complain("keep a record", self.link.blob(run.entry, &blob)),
            Err(error) => tracing::error!(%error, "failed to write a record"),
        }
        self.unwritten.insert(run.entry);
    }

    fn forget(&mut self, run: Run) {
        self.pid_files.remove(&run);
        self.carried.remove(&run);
        self.states.forget(run.entry);
        self.unwritten.remove(&run.entry);
        let Some(record) = self.entries.remove(&run.entry) else {
            complain("forget a worker", self.link.forget(run.entry));
            return;
        };
        // It is over, only its last lines are on their way. The pump says when they are written.
        match crate::model::skew::to_vec(&Over { over: record }) {
            Ok(blob) => complain("keep a record", self.link.blob(run.entry, &blob)),
            Err(error) => tracing::error!(%error, "failed to write a record"),
        }
        fault::pass("act.over");
        self.leaving.insert(run.entry);
        self.log_troubles.remove(&run.entry);
        self.pump.close(run.entry);
    }

    /// The keeper made the process.
    pub(super) fn spawned(&mut self, run: Run, pid: u32) {
        if let Some(pid_file) = self.pid_files.get(&run).cloned() {
            // Without a newline, as PM2 writes it. Scripts read it; pmon never does.
            self.scribe.write(pid_file.clone(), pid.to_string().into_bytes());
            self.unsampled.insert(run);
            let member = crate::sys::child::member(pid);
            self.processes.insert(run, super::owner::Process { pid, pid_file, member });
        }
        fault::pass("act.pid_file");
        if self.entries.get(&run.entry).is_some_and(|record| record.run == run) {
            self.unwritten.insert(run.entry);
            self.carry(run);
        }
        if let Some(record) = self.entries.get(&run.entry) {
            self.pump.set_source(run.entry, super::spawn::source(record, Some(pid)));
        }
        fault::pass("act.spawned");
        self.happen(Event::Spawned { run, pid });
        if self.notices.was_early(pid) {
            self.happen(Event::Notified { run });
        }
    }

    /// Writes into what a process carries who it is, for good.
    fn carry(&mut self, run: Run) {
        let Some(carried) = self.carried.remove(&run) else { return };
        let member = self.processes.get(&run).and_then(|process| process.member);
        let text = self.states.text(run.entry, &self.link.record(run.entry), member, &self.link);
        let written = text.map_err(Into::into).and_then(|text| carry::write(&carried, &text));
        complain("write down what a worker carries", written.and_then(|()| carry::seal(&carried)));
    }

    /// The keeper saw it end.
    pub(super) fn exited(&mut self, run: Run, exit: Exit) {
        self.hub.remove(run);
        self.probes.end(run);
        self.pid_files.remove(&run);
        self.unsampled.remove(&run);
        let process = self.processes.remove(&run);
        if let Some(process) = &process {
            self.scribe.remove_if(process.pid_file.clone(), process.pid.to_string().into_bytes());
        }
        let generation = u32::try_from(run.generation).unwrap_or(u32::MAX);
        let tag = crate::keeper::Tag { kind: crate::keeper::Tag::CHANNEL, index: generation };
        complain("drop a channel", self.link.drop_fd(run.entry, tag));
        fault::pass("act.exited");
        let survivors = self.root_gone(run, process.and_then(|process| process.member));
        self.happen(Event::Exited { run, exit, survivors });
    }
}
