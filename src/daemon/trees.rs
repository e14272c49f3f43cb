//! Process trees that are to end: who is in them, and who is still there.
//!
//! ```text
//!   condemned ── look: signal all but the root, then the root ──▶ waits for the root's end
//!                                                                       │ root gone
//!   swept (an end long past) ─────────────────────────────────▶ look, signal whom it finds ──▶ nobody left: gone
//! ```
//! One look at the system serves all trees, and looking gets a fifth of the owner's time at most. To a tree belongs
//! whoever descends from its root or is in its session, and, since one may leave both, whoever has the
//! entry in its environment (`PMON_ID`, up to this generation). Signals go to a pid with its birth, by pidfd.

use super::owner::Owner;
use crate::model::Run;
use crate::supervisor::Event;
use crate::sys::child::{self, Member};
use crate::sys::kin;
use crate::sys::processes::{Processes, Seen};
use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::Instant;

const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;

/// How often trees are looked at, at most.
const LOOK: Duration = Duration::from_millis(10);

/// What outlives SIGKILL by this, of a tree whose root ended long ago, is left.
const VANISH: Duration = Duration::from_millis(1600);

/// Trees that are to end, until nothing of them is left.
#[derive(Debug, Default)]
pub(super) struct Trees {
    condemned: HashMap<Run, Condemned>,
    /// What is in the environments of those who are nobody's child any more.
    marks: HashMap<Member, Option<Mark>>,
    /// Something is to be done that no look has done yet.
    fresh: bool,
    /// Of these nothing is left, which nobody has been told. And whether their ends were long past.
    gone: VecDeque<(Run, bool)>,
    next_look: Option<Instant>,
}

/// One of them.
#[derive(Debug)]
struct Condemned {
    unique_id: String,
    signal: i32,
    /// The signal has not gone to the root yet: its children come first.
    root_waits: bool,
    /// Its process, while the number means it, and the group it leads.
    root: Option<(Member, Option<OwnedFd>)>,
    root_gone: bool,
    members: HashSet<Member>,
    /// Who has got `signal`.
    told: HashSet<Member>,
    /// Nobody else counts its time: SIGKILL then.
    kill_at: Option<Instant>,
}

/// Of which entry an environment speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    run: Run,
    unique_id: String,
}

/// What is known of the living when a look is taken.
struct Living {
    /// The roots of all workers.
    roots: HashMap<u32, (Run, Member)>,
    /// Keeper and daemon, which are in nobody's tree.
    ours: [u32; 2],
    /// The variable that every worker has.
    mark: String,
}

impl Trees {
    /// True while some tree has no root any more and is not known to be gone.
    pub(super) fn pending(&self) -> bool {
        self.fresh || !self.gone.is_empty() || self.condemned.values().any(|one| one.root_gone)
    }

    /// True while something is left of ends long past.
    pub(super) fn sweeping(&self) -> bool {
        self.gone.iter().any(|(_, swept)| *swept) || self.condemned.values().any(|one| one.kill_at.is_some())
    }

    /// When the next look may be taken.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        self.next_look.filter(|_| self.gone.is_empty()).unwrap_or(now)
    }

    fn condemn(&mut self, run: Run, unique_id: &str, signal: i32) -> &mut Condemned {
        self.fresh = true;
        let one = self.condemned.entry(run).or_insert_with(|| Condemned {
            unique_id: unique_id.to_owned(),
            signal,
            root_waits: false,
            root: None,
            root_gone: false,
            members: HashSet::new(),
            told: HashSet::new(),
            kill_at: None,
        });
        if one.signal != signal {
            one.signal = signal;
            one.told.clear();
        }
        one
    }

    /// Whose tree each process is in that is in a condemned one.
    fn sort(&mut self, look: &Processes, living: &Living) {
        let here: HashSet<Member> = look.all().map(|seen| seen.member).collect();
        self.marks.retain(|member, _| here.contains(member));
        let known =
            self.condemned.iter().flat_map(|(run, one)| one.members.iter().map(|member| (*member, *run)));
        let known: HashMap<Member, Run> = known.collect();
        let mut owners: HashMap<u32, Option<Run>> = HashMap::new();
        for seen in look.all() {
            // From the top down: a process is its parent's, unless it is known better.
            let above: Vec<&Seen> = look
                .line(seen.member.pid)
                .take_while(|seen| !owners.contains_key(&seen.member.pid))
                .collect();
            for seen in above.into_iter().rev() {
                let above = known.get(&seen.member).or(owners.get(&seen.parent).and_then(Option::as_ref));
                let owner = self.owner(seen, look, living, above.copied());
                owners.insert(seen.member.pid, owner);
            }
        }
        self.condemned.values_mut().for_each(|one| one.members.clear());
        for seen in look.all().filter(|seen| !seen.dead) {
            let owner = owners.get(&seen.member.pid).copied().flatten();
            let Some(one) = owner.and_then(|run| self.condemned.get_mut(&run)) else { continue };
            let is_root = one.root.as_ref().is_some_and(|(root, _)| *root == seen.member);
            if !is_root || one.root_gone {
                one.members.insert(seen.member);
            }
        }
    }

    /// `above`: who had it at the last look, or has its parent.
    fn owner(&mut self, seen: &Seen, look: &Processes, living: &Living, above: Option<Run>) -> Option<Run> {
        let is_root = |pid: u32| {
            let (run, member) = living.roots.get(&pid)?;
            (look.get(pid)?.member == *member).then_some(*run)
        };
        if living.ours.contains(&seen.member.pid) {
            return None;
        }
        is_root(seen.member.pid)
            .or(above)
            .or_else(|| is_root(seen.session))
            .or_else(|| self.by_session(seen, look, living))
            .or_else(|| self.by_mark(seen, living))
    }

    /// An orphan in the session of a root that is gone. The number is the session's as long as that is; should it mean
    /// another process by now, then none of ours is in it. Orphans come to the keeper.
    fn by_session(&self, seen: &Seen, look: &Processes, living: &Living) -> Option<Run> {
        let of_it = |one: &Condemned| {
            let root = one.root.as_ref().map(|(member, _)| *member);
            root.is_some_and(|root| {
                root.pid == seen.session
                    && root.start_time <= seen.member.start_time
                    && look.get(root.pid).is_none_or(|other| other.member == root)
            })
        };
        let (run, _) = self.condemned.iter().find(|(_, one)| of_it(one))?;
        let is_ours = look.line(seen.member.pid).any(|above| living.ours.contains(&above.member.pid));
        is_ours.then_some(*run)
    }

    /// Whoever has left parent and session still has its environment.
    fn by_mark(&mut self, seen: &Seen, living: &Living) -> Option<Run> {
        let read = || Mark::read(seen.member.pid, &living.mark);
        let mark = self.marks.entry(seen.member).or_insert_with(read).as_ref()?;
        let of_it = |run: &Run, one: &Condemned| {
            run.entry == mark.run.entry
                && run.generation >= mark.run.generation
                && one.unique_id == mark.unique_id
        };
        self.condemned.iter().find(|(run, one)| of_it(run, one)).map(|(run, _)| *run)
    }

    /// Signals whoever has not got the signal; leaves first.
    fn signal(&mut self, look: &Processes, now: Instant) {
        for one in self.condemned.values_mut() {
            if one.kill_at.is_some_and(|at| at <= now) && one.signal != SIGKILL {
                one.signal = SIGKILL;
                one.told.clear();
                one.kill_at = Some(now + VANISH);
            }
            if one.signal == SIGKILL
                && let Some((_, Some(leader))) = &one.root
            {
                // An older kernel cannot; then they are ended one by one.
                let _one_by_one = child::send_group_of(leader, SIGKILL);
            }
            let mut new: Vec<Member> = one.members.difference(&one.told).copied().collect();
            look.leaves_first(&mut new);
            for member in new {
                let signals: &[i32] = match look.get(member.pid) {
                    // A stopped process acts on nothing but SIGKILL until it continues.
                    Some(seen) if seen.stopped && one.signal != SIGKILL => &[one.signal, SIGCONT],
                    Some(_) | None => &[one.signal],
                };
                for signal in signals {
                    if let Err(error) = child::signal(member, *signal) {
                        tracing::debug!(pid = member.pid, %error, "failed to signal a child process");
                    }
                }
                one.told.insert(member);
            }
        }
    }

    /// Trees of which nothing is left, or nothing that can be ended.
    fn part_with_gone(&mut self, now: Instant) {
        let given_up = |one: &Condemned| one.signal == SIGKILL && one.kill_at.is_some_and(|at| at <= now);
        let gone = self.condemned.extract_if(|_, one| {
            one.root_gone && (!one.members.iter().any(|member| child::is_alive(*member)) || given_up(one))
        });
        for (run, one) in gone {
            for member in one.members.iter().filter(|member| child::is_alive(**member)) {
                tracing::error!(%run, pid = member.pid, "failed to end a child process");
            }
            self.gone.push_back((run, one.kill_at.is_some()));
        }
    }
}

impl Mark {
    fn read(pid: u32, mark: &str) -> Option<Mark> {
        let vars = kin::vars(pid, mark, &["PMON_ID", "PMON_GEN", "unique_id"])?;
        let number = |name: &str| vars.get(name)?.parse().ok();
        let run = Run { entry: number("PMON_ID")?, generation: number("PMON_GEN")? };
        Some(Mark { run, unique_id: vars.get("unique_id")?.clone() })
    }
}

impl Owner {
    /// Has a whole tree signalled, at the next look.
    pub(super) fn condemn(&mut self, run: Run, signal: i32) {
        let Some(record) = self.entries.get(&run.entry) else { return };
        let process = self.processes.get(&run).and_then(|process| process.member);
        let leader = || self.link.process(run).map(|(_, pidfd)| pidfd);
        let one = self.trees.condemn(run, &record.unique_id, signal);
        if let Some(member) = process {
            one.root_waits = true;
            one.root.get_or_insert_with(|| (member, leader()));
        } else {
            one.root_gone = true;
        }
    }

    /// The root has ended: true if its tree is to end too, so that somebody may be left.
    pub(super) fn root_gone(&mut self, run: Run, root: Option<Member>) -> bool {
        let Some(record) = self.entries.get(&run.entry) else { return false };
        let stop = &record.app.stop;
        if self.trees.condemned.contains_key(&run) {
            self.trees.fresh = true;
        } else if record.run == run && record.kill_at.is_some() && stop.treekill {
            // Asked to end otherwise than by a signal, or by a daemon before this one.
            let leader = self.link.process(run).map(|(_, pidfd)| pidfd);
            let one = self.trees.condemn(run, &record.unique_id, stop.signal);
            one.root = root.map(|member| (member, leader));
        }
        let Some(one) = self.trees.condemned.get_mut(&run) else { return false };
        one.root_gone = true;
        one.root_waits = false;
        true
    }

    /// Ends what ends long past have left. Answers wait for it.
    pub(super) fn sweep(&mut self, run: Run) {
        let Some(record) = self.entries.get(&run.entry) else { return };
        let (signal, grace) = (record.app.stop.signal, record.app.stop.kill_timeout);
        let one = self.trees.condemn(run, &record.unique_id, signal);
        one.root_gone = true;
        one.kill_at.get_or_insert(Instant::now() + grace);
    }

    /// Looks after the trees, if it is time for that.
    pub(super) fn see_to_trees(&mut self) {
        self.tell_of_gone();
        let now = Instant::now();
        if !self.trees.pending() || self.trees.next_look.is_some_and(|at| at > now) {
            return;
        }
        self.trees.fresh = false;
        let root =
            |(run, process): (&Run, &super::owner::Process)| Some((process.pid, (*run, process.member?)));
        let living = Living {
            roots: self.processes.iter().filter_map(root).collect(),
            ours: [std::process::id(), self.view.keeper_pid],
            mark: self.home_mark(),
        };
        let look = Processes::look();
        self.trees.sort(&look, &living);
        self.trees.signal(&look, now);
        let waiting = self.trees.condemned.iter_mut().filter(|(_, one)| one.root_waits);
        let roots: Vec<(Run, i32)> = waiting
            .map(|(run, one)| {
                one.root_waits = false;
                (*run, one.signal)
            })
            .collect();
        for (run, signal) in roots {
            self.end_root(run, signal);
        }
        self.trees.part_with_gone(now);
        let end = Instant::now();
        self.trees.next_look = Some(end + LOOK.max((end - now) * 4));
        self.tell_of_gone();
    }

    /// Tells the fleet which trees are gone, some at a time: each may mean a new process.
    fn tell_of_gone(&mut self) {
        while !self.is_behind()
            && let Some((run, _)) = self.trees.gone.pop_front()
        {
            self.happen(Event::TreeGone { run });
        }
        if !self.trees.sweeping() && !self.is_behind() {
            self.reply_held();
        }
    }
}
