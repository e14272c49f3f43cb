//! The keeper is dead: another one takes its place, and hears from us all that the dead one held. No worker, client or
//! subscriber notices; only ends of processes are now seen by pidfd, so that how they ended may stay unknown.

use super::owner::Owner;
use crate::model::{Exit, Run};
use crate::supervisor::Event;
use crate::sys::ending;
use std::time::Duration;
use tokio::time::Instant;

/// So long an exit code may be late, for a worker whose `stop_exit_codes` are about it: until init has reaped.
const LATE: Duration = Duration::from_secs(2);

/// When the next keeper may be started.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    fails: u32,
    due: Option<Instant>,
}

impl Rebuild {
    /// When it is due, if one has to be started and cannot be at once.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A keeper works.
    pub(super) fn succeeded(&mut self) {
        self.fails = 0;
    }
}

/// An end whose code is still looked for.
#[derive(Debug)]
pub(super) struct Late {
    run: Run,
    until: Instant,
}

impl Owner {
    /// The link is closed. The first keeper is replaced at once, one that did not live to say a word a little later.
    pub(super) fn keeper_gone(&mut self) {
        tracing::warn!("the keeper is gone, another one takes its place");
        match self.rebuild.fails {
            0 => self.rebuild_keeper(),
            _ => self.put_off(),
        }
    }

    /// Starts another keeper and tells it everything.
    pub(super) fn rebuild_keeper(&mut self) {
        self.rebuild.due = None;
        match self.link.rebuild(&self.home_mark()) {
            Ok(spawned) => {
                // Until it has said something.
                self.rebuild.fails += 1;
                for (run, pid, lives) in spawned {
                    self.spawned(run, pid);
                    if !lives {
                        self.process_ended(run, Exit::Unknown);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "failed to start another keeper");
                self.put_off();
            }
        }
    }

    /// The variable that every worker of this home has.
    pub(super) fn home_mark(&self) -> String {
        format!("PMON_HOME={}", self.home.root().display())
    }

    fn put_off(&mut self) {
        let delay = Duration::from_millis(50 << self.rebuild.fails.min(7));
        self.rebuild.fails = self.rebuild.fails.saturating_add(1);
        self.rebuild.due = Some(Instant::now() + delay);
    }

    /// A process has ended. How may come to light yet; who waits for it is decided by whether it matters.
    pub(super) fn process_ended(&mut self, run: Run, exit: Exit) {
        let exit = if exit == Exit::Unknown { self.look_up(run) } else { exit };
        let matters = |owner: &Owner| {
            owner.entries.get(&run.entry).is_some_and(|record| !record.app.restart.stop_exit_codes.is_empty())
        };
        if exit == Exit::Unknown && matters(self) {
            self.late.push(Late { run, until: Instant::now() + LATE });
        } else {
            self.exited(run, exit);
        }
    }

    /// Looks for the codes that are late.
    pub(super) fn look_for_codes(&mut self) {
        let now = Instant::now();
        for late in std::mem::take(&mut self.late) {
            match self.look_up(late.run) {
                Exit::Unknown if late.until > now => self.late.push(late),
                exit => self.exited(late.run, exit),
            }
        }
    }

    fn look_up(&self, run: Run) -> Exit {
        let process = self.link.process(run);
        let status = process.and_then(|(pid, pidfd)| ending::status(pid, pidfd));
        status.map_or(Exit::Unknown, Exit::from_wait_status)
    }

    /// What the new keeper says first.
    pub(super) fn welcomed(&mut self, keeper_pid: u32) {
        tracing::info!(pid = keeper_pid, "the new keeper holds everything");
        self.rebuild.succeeded();
        self.view.keeper_pid = keeper_pid;
        self.keeper_pid.store(keeper_pid, std::sync::atomic::Ordering::Relaxed);
        self.happen(Event::Sampled { usages: Vec::new() });
    }
}
