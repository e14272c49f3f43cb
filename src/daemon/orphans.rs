//! What to do when keeper and daemon have died together, or the keeper before it had told everything: the workers live
//! on, with a copy of what is needed to go on with them ([`CARRIED`]), and their records are on disk (`states`).
//!
//! Each record's process is looked for by pid and birth, else by its environment, and its descriptors are taken back from
//! it. A worker that has lost them (it closed what it did not know) cannot be heard any more: it is ended, and what
//! the fleet does about an end follows. So there are never two of a worker.

use super::act::Over;
use super::attach::Handover;
use super::keep::complain;
use super::states::{Held, State, States};
use crate::keeper::{Entry, EntryState, Link, Tag};
use crate::model::Run;
use crate::supervisor::Record;
use crate::sys::child::{self, Member};
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::interrupt::readable;
use crate::sys::kin::{self, Kin};
use crate::sys::processes::Processes;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::time::Instant;

/// What a worker carries, and under which number: high enough to be in nobody's way, below the usual limit of 1024.
pub(super) const CARRIED: [(u8, i32); 6] = [
    (Tag::OUT_PIPE, 1000),
    (Tag::ERR_PIPE, 1001),
    (Tag::OUT_STAGING, 1002),
    (Tag::ERR_STAGING, 1003),
    (Tag::LOG_RECORD, 1004),
    (Tag::CHANNEL, 1005),
];

const SIGKILL: i32 = 9;

/// A worker that cannot be heard any more gets this long to end, at most.
const GRACE: Duration = Duration::from_millis(1600);

/// A worker that was found alive.
struct Found {
    record: Record,
    state: State,
    run: Run,
    member: Member,
    pidfd: OwnedFd,
}

/// Completes the handover with what nobody handed over. `mark` is the variable that every worker has.
pub(super) fn recover(handover: &mut Handover, link: &Link, states: &States, mark: &str) {
    let mut left = states.read();
    left.retain(|id, _| !handover.knows(*id));
    if left.is_empty() {
        return;
    }
    let kin = kin::with_environment(mark, &["PMON_ID", "PMON_GEN"]);
    let sockets = left.split_off(&Run::FIRST_RESERVED);
    let Sorted { mut entries, adopted, lost } = sort(left, &kin);
    let (stopped, gone) = (lost.len(), entries.len() - adopted.len());
    tracing::warn!(adopted = adopted.len(), stopped, gone, "nobody handed the fleet over; looked for it");
    fault::pass("orphans.sorted");
    end(&lost, &kin);
    let exit_boot_ms = clock::now().boot_ms;
    entries.extend(lost.into_iter().map(|found| {
        let record = Record { run: found.run, ..found.record };
        dead(&record, EntryState::Exited { status: SIGKILL, exit_boot_ms })
    }));
    for (id, state) in sockets {
        match listener(id, &state, &adopted) {
            Some(entry) => entries.push(entry),
            None => states.forget(id),
        }
    }
    for entry in entries {
        complain("have an orphan kept", link.adopt(&entry));
        fault::pass("orphans.adopted");
        handover.add(entry);
    }
}

/// What became of the workers of which there are records.
#[derive(Default)]
struct Sorted {
    /// Of those that can be adopted, and of those that are gone.
    entries: Vec<Entry>,
    adopted: Vec<Member>,
    lost: Vec<Found>,
}

fn sort(states: BTreeMap<u64, State>, kin: &[Kin]) -> Sorted {
    let mut sorted = Sorted::default();
    for (id, state) in states {
        let Ok(record) = serde_json::from_value::<Record>(state.record.clone()) else {
            if serde_json::from_value::<Over>(state.record).is_err() {
                tracing::error!(entry = id, "failed to read the state of a worker");
            }
            continue;
        };
        let Some((run, member, pidfd)) = find(&record, &state, kin) else {
            sorted.entries.push(dead(&record, EntryState::None));
            continue;
        };
        let found = Found { record, state, run, member, pidfd };
        match take(&found) {
            Ok(entry) => {
                sorted.adopted.push(found.member);
                sorted.entries.push(entry);
            }
            Err(missing) => {
                let (app, id) = (found.record.app.name.as_str(), found.record.worker.0);
                tracing::warn!(app, id, missing, "a worker cannot be adopted and is stopped");
                sorted.lost.push(found);
            }
        }
    }
    sorted
}

/// The process of a record, and its run: it may be a later one than was written down.
fn find(record: &Record, state: &State, kin: &[Kin]) -> Option<(Run, Member, OwnedFd)> {
    let noted = Member { pid: state.pid, start_time: state.born };
    let (member, generation) = if state.pid != 0 && child::is_alive(noted) {
        (noted, record.run.generation)
    } else {
        by_environment(record, kin)?
    };
    let pidfd = child::open(member.pid).ok()??;
    // From here on it is this one and no other.
    child::is_alive(member).then_some((Run { generation, ..record.run }, member, pidfd))
}

/// One that was started when its record was being written: the latest generation, and of its family the first.
fn by_environment(record: &Record, kin: &[Kin]) -> Option<(Member, u64)> {
    let number = |kin: &Kin, name: &str| kin.vars.get(name)?.parse::<u64>().ok();
    let of_entry = kin.iter().filter(|kin| kin.leads && number(kin, "PMON_ID") == Some(record.run.entry));
    let dated = of_entry.filter_map(|kin| Some((kin.member, number(kin, "PMON_GEN")?)));
    let later = dated.filter(|(_, generation)| *generation >= record.run.generation);
    later.max_by_key(|(member, generation)| (*generation, std::cmp::Reverse(member.start_time)))
}

/// An entry as the keeper would have handed it over; the error is what is missing.
fn take(found: &Found) -> Result<Entry, &'static str> {
    let mut fds = Vec::new();
    for (kind, number) in CARRIED {
        let tag = match kind {
            Tag::OUT_PIPE | Tag::ERR_PIPE | Tag::CHANNEL => Tag::of_run(kind, found.run),
            _ => Tag::new(kind, 0),
        };
        if kind == Tag::CHANNEL && !found.record.app.program.is_node() {
            continue;
        }
        let fd = kin::descriptor(found.member, &found.pidfd, number).ok();
        let noted = found.state.held.iter().find(|held| held.tag() == tag);
        let is_it = |fd: &OwnedFd| {
            noted.is_none_or(|held| kin::identity(fd).is_ok_and(|(_, inode)| inode == held.inode))
        };
        match fd.filter(is_it) {
            Some(fd) => fds.push((tag, fd)),
            None => return Err(if kind == Tag::CHANNEL { "its Node channel" } else { "its output" }),
        }
    }
    let pidfd = found.pidfd.try_clone().map_err(|_full| "a free descriptor")?;
    Ok(Entry {
        id: found.run.entry,
        generation: found.run.generation,
        pid: found.member.pid,
        state: EntryState::Running,
        spawned_boot_ms: found.record.started.map_or(0, |started| started.boot_ms),
        pidfd: Some(pidfd),
        fds,
        blob: serde_json::to_vec(&found.record).unwrap_or_default(),
    })
}

/// An entry without process or descriptors.
fn dead(record: &Record, state: EntryState) -> Entry {
    Entry {
        id: record.run.entry,
        generation: record.run.generation,
        pid: 0,
        state,
        spawned_boot_ms: 0,
        pidfd: None,
        fds: Vec::new(),
        blob: serde_json::to_vec(record).unwrap_or_default(),
    }
}

/// Asks them to end, all at once, and ends those who do not. Nobody is served meanwhile: there is no daemon yet.
fn end(lost: &[Found], kin: &[Kin]) {
    let look = Processes::look();
    // Also those who have left parent and session: init has them now.
    let strays = |found: &Found| {
        let entry = found.run.entry.to_string();
        let of_it = kin.iter().filter(move |kin| kin.vars.get("PMON_ID") == Some(&entry));
        of_it.map(|kin| kin.member)
    };
    let trees: Vec<Vec<Member>> = lost
        .iter()
        .map(|found| {
            let mut tree = look.tree(found.member.pid);
            let strays: Vec<_> = strays(found).filter(|member| !tree.contains(member)).collect();
            tree.splice(0..0, strays);
            tree
        })
        .collect();
    let tell = |signal: fn(&Found) -> i32| {
        for (found, tree) in lost.iter().zip(&trees) {
            for member in tree {
                if let Err(error) = child::signal(*member, signal(found)) {
                    tracing::warn!(pid = member.pid, %error, "failed to signal an orphan");
                }
            }
        }
    };
    let wait = |until: Instant| {
        for found in lost {
            readable(found.pidfd.as_fd(), until.saturating_duration_since(Instant::now()));
        }
    };
    tell(|found| found.record.app.stop.signal);
    wait(Instant::now() + GRACE);
    tell(|_| SIGKILL);
    wait(Instant::now() + GRACE);
}

/// A listening socket, from whichever worker has it. One that the daemon accepted on, and of which nobody has a copy (no
/// preload), is bound again.
fn listener(id: u64, state: &State, adopted: &[Member]) -> Option<Entry> {
    let mut open: HashMap<u64, (Member, i32)> = HashMap::new();
    for member in adopted {
        open.extend(kin::sockets(member.pid).into_iter().map(|(number, inode)| (inode, (*member, number))));
    }
    let take = |held: &Held| {
        let (member, number) = open.get(&held.inode)?;
        let pidfd = child::open(member.pid).ok()??;
        let fd = kin::descriptor(*member, pidfd, *number).ok()?;
        kin::identity(&fd).is_ok_and(|(_, inode)| inode == held.inode).then_some((held.tag(), fd))
    };
    // Connections that waited in the daemon are nobody's any more.
    let sockets = state.held.iter().filter(|held| held.kind == Tag::LISTENER);
    let fds: Vec<_> = sockets.filter_map(take).collect();
    let blob = serde_json::to_vec(&state.record).ok()?;
    let entry = Entry {
        id,
        generation: 0,
        pid: 0,
        state: EntryState::None,
        spawned_boot_ms: 0,
        pidfd: None,
        fds,
        blob,
    };
    (!adopted.is_empty()).then_some(entry)
}
