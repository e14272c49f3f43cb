//! What workers use: the CPU and the memory of each worker's whole process tree, once a second.
//!
//! Most workers are one process, and for those a sample is three cheap reads (its CPU clock, its `statm`, whether it
//! has children). Only where there are children, `/proc` is searched for them; every ten seconds it is
//! searched in any case, for children that were forked by other threads than the main one.
//!
//! CPU time of a tree = what its live processes used themselves, and what they waited for: a shell that runs one
//! short command after another uses little itself.

use super::host::Host;
use super::tree::Census;
use crate::model::usage::{HostUsage, Usage};
use crate::model::{Bytes, Run};
use crate::sys::clock;
use crate::sys::proc::{self, Probe};
use std::collections::HashMap;

/// How often `/proc` is searched though no worker shows children, in nanoseconds.
const SEARCH_EVERY: u64 = 10_000_000_000;

/// Takes the samples. Remembers the last ones: CPU is a difference.
#[derive(Debug, Default)]
pub struct Sampler {
    trees: HashMap<Run, Tree>,
    census: Census,
    searched_at: Option<u64>,
    host: Host,
}

impl Sampler {
    /// A sampler that has seen nothing yet.
    pub fn new() -> Sampler {
        Sampler::default()
    }

    /// What each of these runs uses, in the order given; whose process is gone is left out. The first CPU figure
    /// of a run is 0. Runs that are not named are forgotten. Reads files: not for an async thread.
    pub fn sample(&mut self, processes: &[(Run, u32)]) -> Vec<(Run, Usage)> {
        let named: HashMap<Run, u32> = processes.iter().copied().collect();
        self.trees.retain(|run, tree| named.get(run) == Some(&tree.pid));
        for (run, pid) in processes {
            self.trees.entry(*run).or_insert_with(|| Tree::new(*pid)).ask();
        }
        let searched = self.search_if_due();
        processes
            .iter()
            .filter_map(|(run, _)| Some((*run, self.trees.get_mut(run)?.read(searched)?)))
            .collect()
    }

    /// What the host uses; rates are since the last call, zero in the first.
    pub fn host(&mut self) -> HostUsage {
        self.host.sample()
    }

    fn search_if_due(&mut self) -> bool {
        let now = clock::monotonic_ns();
        let overdue = self.searched_at.is_none_or(|at| now.saturating_sub(at) >= SEARCH_EVERY);
        if !overdue && !self.trees.values().any(Tree::may_have_members) {
            return false;
        }
        self.searched_at = Some(now);
        let leaders = self.trees.iter().map(|(run, tree)| (tree.pid, *run)).collect();
        let mut members = self.census.take(&leaders);
        for (run, tree) in &mut self.trees {
            tree.members = members.remove(run).unwrap_or_default();
        }
        true
    }
}

/// One worker's processes.
#[derive(Debug)]
struct Tree {
    pid: u32,
    /// `None`: it could not be opened, perhaps for want of descriptors; tried again the next second.
    probe: Option<Probe>,
    /// The leader's children, as of now; `None`: the kernel does not tell.
    children: Option<bool>,
    /// It has been seen to have, or to have had, children.
    forks: bool,
    /// The leader's reaped CPU time when it was last read.
    reaped_ns: Option<u64>,
    /// All but the leader.
    members: Vec<u32>,
    last: Option<Reading>,
}

/// CPU times of a tree at one moment.
#[derive(Debug, Default)]
struct Reading {
    monotonic_ns: u64,
    boot_ms: u64,
    spent: HashMap<u32, Spent>,
}

/// CPU time of one process.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    own_ns: u64,
    /// Of its reaped children; `None`: not read.
    reaped_ns: Option<u64>,
    started_ms: u64,
}

impl Tree {
    fn new(pid: u32) -> Tree {
        let (probe, children, forks, reaped_ns) = (None, None, false, None);
        Tree { pid, probe, children, forks, reaped_ns, members: Vec::new(), last: None }
    }

    /// Asks whether there are children.
    fn ask(&mut self) {
        if self.probe.is_none() {
            self.probe = Probe::open(self.pid).ok();
        }
        self.children = self.probe.as_ref().and_then(Probe::has_children);
        self.forks |= self.children == Some(true);
    }

    fn may_have_members(&self) -> bool {
        self.children != Some(false) || !self.members.is_empty()
    }

    /// `searched`: `members` is of now. `None`: the process is gone.
    fn read(&mut self, searched: bool) -> Option<Usage> {
        let now = clock::now();
        let mut reading =
            Reading { monotonic_ns: clock::monotonic_ns(), boot_ms: now.boot_ms, spent: HashMap::new() };
        let mut usage = Usage { cpu: 0.0, memory: self.read_leader(searched, &mut reading)?, processes: 1 };
        self.members.retain(|pid| {
            let (Some(own_ns), Some(stat)) = (proc::cpu_clock(*pid), proc::stat(*pid)) else { return false };
            let Ok(memory) = proc::memory(*pid) else { return false };
            let spent = Spent { own_ns, reaped_ns: Some(stat.reaped_ns), started_ms: stat.started_ms };
            reading.spent.insert(*pid, spent);
            usage.memory = Bytes(usage.memory.get() + memory.get());
            usage.processes += 1;
            true
        });
        if let Some(last) = &self.last {
            usage.cpu = percent(last, &reading);
        }
        self.last = Some(reading);
        Some(usage)
    }

    fn read_leader(&mut self, searched: bool, reading: &mut Reading) -> Option<Bytes> {
        let own_ns = proc::cpu_clock(self.pid)?;
        // A leader that has never forked has nothing reaped; that is checked whenever `/proc` is searched.
        let stat = if self.forks || searched { proc::stat(self.pid) } else { None };
        if let Some(stat) = &stat {
            self.forks |=
                !self.members.is_empty() || self.reaped_ns.is_some_and(|before| stat.reaped_ns > before);
            self.reaped_ns = Some(stat.reaped_ns);
        }
        let reaped_ns = stat.map(|stat| stat.reaped_ns);
        reading.spent.insert(self.pid, Spent { own_ns, reaped_ns, started_ms: 0 });
        self.probe.as_ref()?.memory().ok()
    }
}

/// CPU between two readings in percent of one core.
///
/// What a process reaped is counted less what had been counted while the reaped ones lived. One that was not known
/// before counts from its birth, unless it is older than the last reading: then it was only found late.
fn percent(before: &Reading, now: &Reading) -> f32 {
    let elapsed = now.monotonic_ns.saturating_sub(before.monotonic_ns);
    if elapsed == 0 {
        return 0.0;
    }
    let (mut own, mut reaped) = (0u64, 0u64);
    for (pid, spent) in &now.spent {
        match before.spent.get(pid) {
            Some(past) => {
                own += spent.own_ns.saturating_sub(past.own_ns);
                if let (Some(then), Some(now)) = (past.reaped_ns, spent.reaped_ns) {
                    reaped += now.saturating_sub(then);
                }
            }
            None if spent.started_ms >= before.boot_ms => {
                own += spent.own_ns;
                reaped += spent.reaped_ns.unwrap_or(0);
            }
            None => {}
        }
    }
    let gone = before.spent.iter().filter(|(pid, _)| !now.spent.contains_key(pid));
    let counted: u64 = gone.map(|(_, spent)| spent.own_ns + spent.reaped_ns.unwrap_or(0)).sum();
    let total = own + reaped.saturating_sub(counted);
    (total as f64 / elapsed as f64 * 100.0) as f32
}

#[cfg(test)]
mod tests;
