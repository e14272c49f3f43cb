//! What to do when keeper and daemon have died together, or the keeper before it had told everything: the workers live
//! on, with a copy of what is needed to go on with them ([`CARRIED`]), and their records are on disk (`states`).
//!
//! Each record's process is looked for by pid and birth, else by its environment, and its descriptors are taken back from
//! it. A worker that has lost them (it closed what it did not know) cannot be heard any more: it is ended, and what
//! the fleet does about an end follows. So there are never two of a worker.

use super::act::Over;
use super::attach::Handover;
use super::begun::Begun;
use super::keep::complain;
use super::states::{Held, State, States};
use super::{carry, mend};
use crate::keeper::{Entry, EntryState, Link, Tag};
use crate::model::{Desired, Run, State as Now};
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
const SIGTERM: i32 = 15;

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
    let (mut left, mut unread) = states.read();
    let kin = kin::with_environment(mark, &["PMON_ID", "PMON_GEN"]);
    for (id, state) in carried(&kin, states) {
        // The file is later, if it is there and was written for this run.
        if left.get(&id).is_none_or(|file| age(file) < age(&state)) {
            left.insert(id, state);
        }
    }
    left.retain(|id, _| !handover.knows(*id));
    unread.retain(|id, _| !handover.knows(*id));
    if left.is_empty() && unread.is_empty() {
        return;
    }
    let sockets = left.split_off(&Run::FIRST_RESERVED);
    let unknown = unread_workers(&unread, &left, &kin);
    let begun = Begun::look(link, &kin);
    let Sorted { mut entries, adopted, lost, told } = sort(left, &kin, mark, &begun, &mut |id| {
        link.trying(id);
        !handover.is_aside(id)
    });
    link.trying(0);
    let (stopped, gone) = (lost.len() + unknown.len(), entries.len() - adopted.len());
    tracing::warn!(adopted = adopted.len(), stopped, gone, "nobody handed the fleet over; looked for it");
    fault::pass("orphans.sorted");
    let doomed = lost.iter().map(|found| (found.run.entry, found.member, found.record.app.stop.signal));
    let unknown = unknown.into_iter().map(|(entry, member)| (entry, member, SIGTERM));
    end(doomed.chain(unknown).collect(), &kin);
    handover.told.extend(told);
    for (id, what) in unread {
        let known = entries.iter().any(|entry| entry.id == id);
        let lost = if known {
            "its worker carried it too, and goes on"
        } else {
            "what it was is gone from the list"
        };
        handover.told.push(format!("{what}; {lost}"));
    }
    let exit_boot_ms = clock::now().boot_ms;
    entries.extend(lost.into_iter().map(|found| {
        let record = Record { run: found.run, ..found.record };
        dead(&record, EntryState::Exited { status: SIGKILL, exit_boot_ms })
    }));
    // A keeper that was told of some only before its daemon died: those it handed over may have the sockets, too.
    let living = [adopted, handover.living()].concat();
    for (id, state) in sockets {
        match listener(id, &state, &living) {
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

/// What living workers say of themselves: each carries its state as of its birth.
fn carried(kin: &[Kin], states: &States) -> BTreeMap<u64, State> {
    let mut found: BTreeMap<u64, (u64, State)> = BTreeMap::new();
    for kin in kin.iter().filter(|kin| kin.leads) {
        let number = |name| kin.vars.get(name).and_then(|text: &String| text.parse::<u64>().ok());
        let (Some(id), Some(generation)) = (number("PMON_ID"), number("PMON_GEN")) else { continue };
        let pidfd = child::open(kin.member.pid).ok().flatten();
        let Some(state) = pidfd.and_then(|pidfd| carry::read(kin.member, pidfd)) else { continue };
        if states.is_ours(&state) && found.get(&id).is_none_or(|(known, _)| *known < generation) {
            found.insert(id, (generation, state));
        }
    }
    found.into_iter().map(|(id, (_, state))| (id, state)).collect()
}

/// Of two states of one entry, which is the later: by generation, then by epoch.
fn age(state: &State) -> (u64, u64) {
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
    (number(&state.record["run"]["generation"]), number(&state.record["epoch"]))
}

/// Living workers whose states cannot be read, and who do not carry them: nobody could restart them, or tell them from
/// another's.
fn unread_workers(
    unread: &BTreeMap<u64, String>,
    known: &BTreeMap<u64, State>,
    kin: &[Kin],
) -> Vec<(u64, Member)> {
    let lost = unread.keys().filter(|id| !known.contains_key(id));
    lost.filter_map(|id| Some((*id, by_environment(*id, 0, kin)?.0))).collect()
}

/// What became of the workers of which there are records.
#[derive(Default)]
struct Sorted {
    /// Of those that can be adopted, and of those that are gone.
    entries: Vec<Entry>,
    adopted: Vec<Member>,
    lost: Vec<Found>,
    /// What people should know.
    told: Vec<String>,
}

/// `begin` hears with whom we begin, and says whether to look at what is on record of it.
fn sort(
    states: BTreeMap<u64, State>,
    kin: &[Kin],
    mark: &str,
    begun: &Begun,
    begin: &mut dyn FnMut(u64) -> bool,
) -> Sorted {
    let mut sorted = Sorted::default();
    for (id, state) in states {
        if !begin(id) {
            sorted.keep(as_it_is(id, &state, kin));
            continue;
        }
        if serde_json::from_value::<Over>(state.record.clone()).is_ok() {
            continue;
        }
        let (mut record, mended) = match mend::record(state.record.clone(), state.pid != 0) {
            Ok(read) if read.0.run.entry == id => read,
            // Not to be read, or of another entry. It is set aside, with the reason, by whoever takes it over.
            Ok(_) | Err(_) => {
                sorted.keep(as_it_is(id, &state, kin));
                continue;
            }
        };
        let name = &record.app.name;
        if !mended.is_empty() {
            let what = mended.join("; ");
            sorted.told.push(format!("not everything is understood that the state of `{name}` says: {what}"));
        }
        if let Some(home) = elsewhere(&state, mark) {
            sorted
                .told
                .push(format!("`{name}` (pid {}) belongs to the daemon of `{home}`: left alone", state.pid));
            continue;
        }
        let Some((run, member, pidfd)) = find(&record, &state, kin, begun) else {
            if let Some(signed) = begun.last(id) {
                catch_up(&mut record, signed.run.generation);
            }
            // It was there, so that is an end.
            if state.pid != 0 && record.state == Now::Starting {
                record.state = Now::Running;
            }
            sorted.entries.push(dead(&record, EntryState::None));
            continue;
        };
        catch_up(&mut record, run.generation);
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

impl Sorted {
    fn keep(&mut self, entry: Entry) {
        self.adopted.extend(child::member(entry.pid).filter(|_| entry.pidfd.is_some()));
        self.entries.push(entry);
    }
}

/// The entry of a state whose record is not looked at, with what its process still has.
fn as_it_is(id: u64, state: &State, kin: &[Kin]) -> Entry {
    let blob = serde_json::to_vec(&state.record).unwrap_or_default();
    let noted = Member { pid: state.pid, start_time: state.born };
    let generation = state.record.pointer("/run/generation").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let lives = state.pid != 0 && child::is_alive(noted);
    let process = if lives { Some((noted, generation)) } else { by_environment(id, generation, kin) };
    let opened = process.and_then(|(member, generation)| {
        let pidfd = child::open(member.pid).ok().flatten()?;
        child::is_alive(member).then_some((member, Run { entry: id, generation }, pidfd))
    });
    let Some((member, run, pidfd)) = opened else {
        let (state, fds) = (EntryState::None, Vec::new());
        return Entry { id, generation, pid: 0, state, spawned_boot_ms: 0, pidfd: None, fds, blob };
    };
    let fds = CARRIED.iter().filter_map(|(kind, number)| {
        Some((tag_of(*kind, run), kin::descriptor(member, &pidfd, *number).ok()?))
    });
    let (fds, state) = (fds.collect(), EntryState::Running);
    let (generation, pid) = (run.generation, member.pid);
    Entry { id, generation, pid, state, spawned_boot_ms: 0, pidfd: Some(pidfd), fds, blob }
}

/// What a worker carries of this kind, as the keeper calls it.
fn tag_of(kind: u8, run: Run) -> Tag {
    match kind {
        Tag::OUT_PIPE | Tag::ERR_PIPE | Tag::CHANNEL => Tag::of_run(kind, run),
        _ => Tag::new(kind, 0),
    }
}

/// The home whose daemon has this worker: the files of a home may have been moved or copied while it serves.
fn elsewhere(state: &State, mark: &str) -> Option<String> {
    let noted = Member { pid: state.pid, start_time: state.born };
    if state.pid == 0 || !child::is_alive(noted) {
        return None;
    }
    let home = kin::variable(state.pid, "PMON_HOME")?;
    let theirs = [b"PMON_HOME=", home.as_slice()].concat();
    let foreign = theirs != mark.as_bytes() && kin::server_of(&theirs, &[]).is_some();
    foreign.then(|| String::from_utf8_lossy(&home).into_owned())
}

/// Later runs were begun than the record tells of: each was one more restart, unless it was to be down.
fn catch_up(record: &mut Record, generation: u64) {
    let missed = generation.saturating_sub(record.run.generation);
    if missed == 0 {
        return;
    }
    record.run.generation = generation;
    if record.desired == Desired::Up {
        record.restarts = record.restarts.saturating_add(u32::try_from(missed).unwrap_or(u32::MAX));
        record.state = Now::Starting;
        record.next_start = None;
    }
}

/// The process of a record, and its run: it may be a later one than was written down.
fn find(record: &Record, state: &State, kin: &[Kin], begun: &Begun) -> Option<(Run, Member, OwnedFd)> {
    let noted = Member { pid: state.pid, start_time: state.born };
    let (member, generation) = if state.pid != 0 && child::is_alive(noted) {
        (noted, record.run.generation)
    } else {
        let (entry, from) = (record.run.entry, record.run.generation);
        by_environment(entry, from, kin).or_else(|| by_signature(entry, from, begun))?
    };
    let pidfd = child::open(member.pid).ok()??;
    // From here on it is this one and no other.
    child::is_alive(member).then_some((Run { generation, ..record.run }, member, pidfd))
}

/// One that was started when its record was being written: the latest generation, and of its family the first.
fn by_environment(entry: u64, from: u64, kin: &[Kin]) -> Option<(Member, u64)> {
    let number = |kin: &Kin, name: &str| kin.vars.get(name)?.parse::<u64>().ok();
    let of_entry = kin.iter().filter(|kin| kin.leads && number(kin, "PMON_ID") == Some(entry));
    let dated = of_entry.filter_map(|kin| Some((kin.member, number(kin, "PMON_GEN")?)));
    let later = dated.filter(|(_, generation)| *generation >= from);
    later.max_by_key(|(member, generation)| (*generation, std::cmp::Reverse(member.start_time)))
}

/// One that has not run its program yet: its environment is not its own.
fn by_signature(entry: u64, from: u64, begun: &Begun) -> Option<(Member, u64)> {
    let signed = begun.last(entry).filter(|signed| signed.run.generation >= from)?;
    Some((signed.process()?.0, signed.run.generation))
}

/// An entry as the keeper would have handed it over; the error is what is missing.
fn take(found: &Found) -> Result<Entry, &'static str> {
    let mut fds = Vec::new();
    for (kind, number) in CARRIED {
        let tag = tag_of(kind, found.run);
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

/// Asks them to end, each by its signal and all at once, and ends those who do not. Nobody is served meanwhile: there is no
/// daemon yet.
fn end(doomed: Vec<(u64, Member, i32)>, kin: &[Kin]) {
    let look = Processes::look();
    // Also those who have left parent and session: init has them now.
    let strays = |entry: u64| {
        let entry = entry.to_string();
        kin.iter().filter(move |kin| kin.vars.get("PMON_ID") == Some(&entry)).map(|kin| kin.member)
    };
    let pidfds: Vec<OwnedFd> =
        doomed.iter().filter_map(|(_, member, _)| child::open(member.pid).ok().flatten()).collect();
    let trees: Vec<(Vec<Member>, i32)> = doomed
        .iter()
        .map(|(entry, member, signal)| {
            let mut tree = look.tree(member.pid);
            let strays: Vec<_> = strays(*entry).filter(|member| !tree.contains(member)).collect();
            tree.splice(0..0, strays);
            (tree, *signal)
        })
        .collect();
    let tell = |last: Option<i32>| {
        for (tree, signal) in &trees {
            for member in tree {
                if let Err(error) = child::signal(*member, last.unwrap_or(*signal)) {
                    tracing::warn!(pid = member.pid, %error, "failed to signal an orphan");
                }
            }
        }
    };
    let wait = |until: Instant| {
        for pidfd in &pidfds {
            readable(pidfd.as_fd(), until.saturating_duration_since(Instant::now()));
        }
    };
    tell(None);
    wait(Instant::now() + GRACE);
    tell(Some(SIGKILL));
    wait(Instant::now() + GRACE);
}

/// A listening socket, from whichever worker has it. One that the daemon accepted on, and of which nobody has a copy (no
/// preload), is bound again.
fn listener(id: u64, state: &State, living: &[Member]) -> Option<Entry> {
    let mut open: HashMap<u64, (Member, i32)> = HashMap::new();
    for member in living {
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
    // What its holders did last may not have been written.
    let blob = crate::node::doubted(&serde_json::to_vec(&state.record).ok()?);
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
    (!living.is_empty()).then_some(entry)
}
