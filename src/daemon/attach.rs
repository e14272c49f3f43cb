//! Taking over from the keeper: every fd, record and unhandled exit that it holds. After the first start there is
//! nothing; after a kill -9 there is the whole fleet.
//!
//! `Welcome, Entry × n, End` are read before anything else happens; then, for each entry, the log streams are
//! recovered before their pipes are read, and Node's listeners are there before its channels.

use super::act::Over;
use super::keep::{complain, custody};
use super::owner::{ENDING, Owner, Process};
use super::{mend, sockets, spawn};
use crate::keeper::{Entry, EntryState, FromKeeper, Link, Past, Tag};
use crate::logs::{Held, SpillFiles};
use crate::model::files::WorkerFiles;
use crate::model::{Exit, Run, Stamp, State, StreamKind};
use crate::supervisor::event::{Found, Process as Fate};
use crate::supervisor::{Event, Record};
use crate::sys::{child, clock, ending, fault};
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::os::fd::OwnedFd;

/// All that the keeper handed over.
#[derive(Debug, Default)]
pub(super) struct Handover {
    pub(super) keeper_pid: u32,
    /// How many daemons this keeper has started before this one.
    pub(super) restarts: u64,
    pub(super) control: Option<OwnedFd>,
    /// The keeper died before it had told everything.
    pub(super) cut: bool,
    /// More may live than the keeper knows.
    pub(super) search: bool,
    /// A shutdown was under way.
    pub(super) ending: bool,
    pub(super) notify: Option<OwnedFd>,
    /// The control socket's file.
    pub(super) control_file: Option<OwnedFd>,
    /// The pipe that the pump looks through.
    pub(super) scratch: Option<OwnedFd>,
    /// What people should know of what was found.
    pub(super) told: Vec<String>,
    /// What became of the daemons before us, and what we are to do without.
    pub(super) past: Past,
    entries: Vec<Entry>,
}

impl Handover {
    /// True if this entry was handed over.
    pub(super) fn knows(&self, id: u64) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    /// The workers that live, as far as it is known.
    pub(super) fn living(&self) -> Vec<child::Member> {
        let alive = self.entries.iter().filter(|entry| matches!(entry.state, EntryState::Running));
        alive.filter_map(|entry| child::member(entry.pid)).collect()
    }

    /// True if this entry is set aside.
    pub(super) fn is_aside(&self, id: u64) -> bool {
        self.past.all || self.past.aside.iter().any(|(entry, _)| *entry == id)
    }

    /// Adds one that was found by other means.
    pub(super) fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

/// Reads the handover; waits for all of it.
pub(super) fn read(link: &Link) -> io::Result<Handover> {
    let mut handover = Handover::default();
    loop {
        let told = match link.receive() {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                handover.cut = true;
                return Ok(handover);
            }
            told => told?,
        };
        match told {
            None => wait(link)?,
            Some(FromKeeper::Welcome { keeper_pid, restarts, search, past, .. }) => {
                handover.past = past;
                handover.keeper_pid = keeper_pid;
                handover.search = search;
                handover.restarts = restarts;
            }
            Some(FromKeeper::Entry(entry)) if entry.id == 0 => {
                handover.ending = entry.blob == ENDING;
                for (tag, fd) in entry.fds {
                    match tag.kind {
                        Tag::CONTROL => handover.control = Some(fd),
                        Tag::CONTROL_FILE => handover.control_file = Some(fd),
                        Tag::NOTIFY => handover.notify = Some(fd),
                        Tag::SCRATCH => handover.scratch = Some(fd),
                        _keepers_own => {}
                    }
                }
            }
            Some(FromKeeper::Entry(entry)) => {
                fault::pass("attach.entry");
                handover.entries.push(entry);
            }
            Some(FromKeeper::End) => return Ok(handover),
            // Part of the entries already.
            Some(
                FromKeeper::Spawned { .. }
                | FromKeeper::SpawnFailed { .. }
                | FromKeeper::Exited { .. }
                | FromKeeper::Upgraded { .. }
                | FromKeeper::Pong,
            ) => {}
        }
    }
}

fn wait(link: &Link) -> io::Result<()> {
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(link, PollFlags::IN)], None))?;
    Ok(())
}

impl Owner {
    /// Puts everything in its place and tells the fleet what was found.
    pub(super) fn take_over(&mut self, handover: Handover) {
        let led = self.sort_out(handover.past, handover.entries);
        for what in handover.told {
            self.told.find(what);
        }
        self.lead(led);
        if handover.ending {
            tracing::info!("goes on with the shutdown");
            self.doom_suspects();
            self.resume_shutdown();
        }
    }

    /// Takes entries over, and has the fleet go on with them. Should we die of one, the keeper knows of which.
    pub(super) fn lead(&mut self, entries: Vec<Entry>) {
        let (listeners, workers): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.id >= Run::FIRST_RESERVED);
        for entry in listeners {
            self.link.trying(entry.id);
            self.adopt_listener(entry);
            fault::pass("attach.listener");
        }
        let mut found = Vec::new();
        for entry in workers {
            self.link.trying(entry.id);
            if let Some(one) = self.adopt_worker(entry) {
                found.push(one);
            }
            fault::pass("attach.worker");
        }
        // What happens from here on is nobody's in particular, unless there is only one.
        if found.len() != 1 {
            self.link.trying(0);
        }
        for one in &found {
            fault::pass_with("attach.fed", &one.record.app.name);
        }
        self.pump.begin();
        fault::pass("attach.begun");
        if !found.is_empty() {
            tracing::info!(workers = found.len(), "took over from the keeper");
        }
        let ended: Vec<Run> = found
            .iter()
            .filter_map(|one| match one.process {
                Fate::Ended { run, .. } => Some(run),
                Fate::None | Fate::Alive { .. } => None,
            })
            .collect();
        // Ends that were under way when the daemon before us died: somebody of their trees may be left.
        let half_ended: Vec<Run> = found
            .iter()
            .filter(|one| one.record.state == State::Stopping && one.record.app.stop.treekill)
            .filter(|one| !matches!(one.process, Fate::Alive { .. }))
            .map(|one| one.record.run)
            .collect();
        self.happen(Event::Attached { found });
        self.finish();
        fault::pass("attach.told");
        for run in half_ended {
            self.sweep(run);
        }
        for run in ended {
            // Where the exit led to a new process, its SPAWN has acknowledged it and this is stale.
            complain("acknowledge an exit", self.link.ack(run));
        }
        self.link.trying(0);
    }

    fn adopt_listener(&mut self, mut entry: Entry) {
        if entry.id >= sockets::FIRST_ENTRY {
            let fd = entry.fds.pop().map(|(_, fd)| fd);
            self.sockets.adopt(entry.id, fd, &entry.blob, &self.link);
        } else {
            let (mut fds, mut connections) = (Vec::new(), Vec::new());
            for (tag, fd) in entry.fds {
                match custody(tag) {
                    Some(custody) => connections.push((custody, fd)),
                    None if tag.kind == Tag::LISTENER => fds.push((tag.index, fd)),
                    None => {}
                }
            }
            self.hub.adopt_listener(entry.id, fds, connections, entry.blob);
        }
    }

    fn adopt_worker(&mut self, entry: Entry) -> Option<Found> {
        let run = Run { entry: entry.id, generation: entry.generation };
        let (record, over) = match serde_json::from_slice::<Over>(&entry.blob) {
            Ok(Over { over }) => (over, true),
            Err(_alive) => match self.understand(&entry).and_then(|record| of(&entry, record)) {
                Ok(record) => (record, false),
                Err(why) => {
                    self.set_unread_aside(entry, why);
                    return None;
                }
            },
        };
        let record = self.begun.corrected(record, &entry);
        fault::pass_with("attach.record", &record.app.name);
        let process = fate(&entry, run);
        let mut fds = Fds::sort(entry.fds);
        if let Some(held) = fds.held() {
            let pid = Some(entry.pid).filter(|pid| *pid != 0);
            self.pump.attach(run.entry, spawn::source(&record, pid), spawn::sink(&record, &self.home), held);
            self.entries.insert(run.entry, record.clone());
            for (stream, generation, pipe) in fds.pipes {
                self.pump.add_pipe(run.entry, stream, generation, pipe);
            }
            for (stream, files) in fds.spills {
                self.pump.add_spill(run.entry, stream, files);
            }
        }
        if over {
            self.entries.remove(&run.entry);
            self.leaving.insert(run.entry);
            self.pump.close(run.entry);
            return None;
        }
        if let Fate::Alive { pid, run } = process {
            let files = WorkerFiles::of(&record.app, record.worker, &self.home.logs(), &self.home.pids());
            self.pid_files.insert(run, files.pid.clone());
            let member = child::member(pid);
            self.processes.insert(run, Process { pid, pid_file: files.pid, member });
            if let Some((_, fd)) =
                fds.channels.into_iter().find(|(generation, _)| *generation == run.generation)
            {
                self.hub.add(spawn::channel_spec(&record, run, fd, true));
            }
        }
        Some(Found { record, process })
    }
}

impl Owner {
    /// The record of an entry, if in another version's words: as much of it as is understood. Where not even that is, the
    /// process is left alone, for a daemon that can.
    fn understand(&mut self, entry: &Entry) -> Result<Record, String> {
        if let Ok(record) = serde_json::from_slice::<Record>(&entry.blob) {
            fault::at_with("attach.read", &record.app.name).map_err(|e| e.to_string())?;
            return Ok(record);
        }
        let parsed = serde_json::from_slice(&entry.blob).map_err(|e| e.to_string());
        match parsed.and_then(|value| mend::record(value, entry.pid != 0)) {
            Ok((record, mended)) => {
                let (app, id) = (record.app.name.as_str(), record.worker.0);
                tracing::warn!(app, id, ?mended, "a worker's record is of another version");
                self.told.find(format!(
                    "not everything is understood that another version said of `{app}` ({id}): {}",
                    mended.join("; ")
                ));
                Ok(record)
            }
            Err(why) => Err(why),
        }
    }
}

/// A record of this entry. Another's would hide that one's worker.
fn of(entry: &Entry, record: Record) -> Result<Record, String> {
    let said = record.run.entry;
    if said == entry.id { Ok(record) } else { Err(format!("it says that it is entry {said}")) }
}

fn fate(entry: &Entry, run: Run) -> Fate {
    match entry.state {
        EntryState::None => Fate::None,
        EntryState::Running => Fate::Alive { pid: entry.pid, run },
        EntryState::Exited { status, exit_boot_ms } => {
            let now = clock::now();
            let ago = now.boot_ms.saturating_sub(exit_boot_ms);
            let at = Stamp { boot_ms: exit_boot_ms, wall_ms: now.wall_ms - i64::try_from(ago).unwrap_or(0) };
            let known = (status >= 0).then_some(status);
            let found = || ending::status(entry.pid, entry.pidfd.as_ref()?);
            let exit = known.or_else(found).map_or(Exit::Unknown, Exit::from_wait_status);
            Fate::Ended { run, pid: entry.pid, exit, at }
        }
    }
}

/// An entry's descriptors by what they are.
#[derive(Default)]
struct Fds {
    out_staging: Option<OwnedFd>,
    err_staging: Option<OwnedFd>,
    record: Option<OwnedFd>,
    pipes: Vec<(StreamKind, u64, OwnedFd)>,
    channels: Vec<(u64, OwnedFd)>,
    spills: Vec<(StreamKind, SpillFiles)>,
}

impl Fds {
    fn sort(fds: Vec<(Tag, OwnedFd)>) -> Fds {
        let mut sorted = Fds::default();
        let (mut writers, mut readers) = ([None, None], [None, None]);
        for (tag, fd) in fds {
            let generation = u64::from(tag.index);
            match tag.kind {
                Tag::OUT_STAGING => sorted.out_staging = Some(fd),
                Tag::ERR_STAGING => sorted.err_staging = Some(fd),
                Tag::LOG_RECORD => sorted.record = Some(fd),
                Tag::OUT_PIPE => sorted.pipes.push((StreamKind::Out, generation, fd)),
                Tag::ERR_PIPE => sorted.pipes.push((StreamKind::Err, generation, fd)),
                Tag::CHANNEL => sorted.channels.push((generation, fd)),
                Tag::LOG_SPILL if tag.index < 2 => writers[tag.index as usize] = Some(fd),
                Tag::LOG_SPILL_READER if tag.index < 2 => readers[tag.index as usize] = Some(fd),
                _later_version => {}
            }
        }
        let both = writers.into_iter().zip(readers).zip([StreamKind::Out, StreamKind::Err]);
        sorted.spills = both
            .filter_map(|((writer, reader), stream)| {
                // Half of it was never used: it was not kept before both were.
                Some((stream, SpillFiles { writer: writer?, reader: reader? }))
            })
            .collect();
        sorted.pipes.sort_by_key(|(_, generation, _)| *generation);
        sorted
    }

    fn held(&mut self) -> Option<Held> {
        Some(Held {
            out_staging: self.out_staging.take()?,
            err_staging: self.err_staging.take()?,
            record: self.record.take()?,
        })
    }
}
