//! Whose process is it? A worker leads its own session, so everything it forks is told by its session, also when
//! the parent in between has died. A process that made a session of its own belongs to the worker while its
//! parent does; a daemon that also left its parent belongs to nobody.

use crate::model::Run;
use crate::sys::proc;
use std::collections::HashMap;

/// Knows processes from one look to the next, so that a look costs one cheap call a process.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Processes of foreign sessions.
    strangers: HashMap<u32, Stranger>,
}

/// As far as is known; a parent may have died since.
#[derive(Debug, Clone, Copy)]
struct Stranger {
    session: u32,
    parent: u32,
}

impl Census {
    /// All processes of each run but its leader, which is the key in `leaders`.
    pub(super) fn take(&mut self, leaders: &HashMap<u32, Run>) -> HashMap<Run, Vec<u32>> {
        let mut owners = leaders.clone();
        let mut strangers = HashMap::with_capacity(self.strangers.len());
        for pid in proc::pids().unwrap_or_default() {
            if leaders.contains_key(&pid) {
                continue;
            }
            let Some(session) = proc::session(pid) else { continue };
            if let Some(run) = leaders.get(&session) {
                owners.insert(pid, *run);
            } else if let Some(stranger) = self.meet(pid, session) {
                strangers.insert(pid, stranger);
            }
        }
        adopt(&mut owners, &mut strangers);
        self.strangers = strangers;
        let mut members: HashMap<Run, Vec<u32>> = HashMap::new();
        for (pid, run) in owners {
            if !leaders.contains_key(&pid) {
                members.entry(run).or_default().push(pid);
            }
        }
        members
    }

    fn meet(&self, pid: u32, session: u32) -> Option<Stranger> {
        match self.strangers.get(&pid) {
            Some(known) if known.session == session => Some(*known),
            _ => Some(Stranger { session, parent: proc::stat(pid)?.parent }),
        }
    }
}

/// Gives children of owned processes to the same run, and theirs, until nothing changes.
fn adopt(owners: &mut HashMap<u32, Run>, strangers: &mut HashMap<u32, Stranger>) {
    loop {
        let before = owners.len();
        for (pid, stranger) in strangers.iter_mut() {
            if owners.contains_key(pid) {
                continue;
            }
            let Some(run) = owners.get(&stranger.parent).copied() else { continue };
            // The parent may have died, and its pid may be another's by now: ask again.
            let parent = proc::stat(*pid).map_or(0, |stat| stat.parent);
            if parent == stranger.parent {
                owners.insert(*pid, run);
            } else {
                stranger.parent = parent;
            }
        }
        if owners.len() == before {
            return;
        }
    }
}
