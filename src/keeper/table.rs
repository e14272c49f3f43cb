//! What is held: entries with their descriptors, records and processes, and what the daemon must still be told
//! of each. There is no queue of outgoing messages: a flag says that something must be told, and the message
//! is made from the state when the socket has room. So nothing grows, however long no daemon listens.
//!
//! ```text
//!           spawn            ends            ack, spawn
//!   None ──────────▶ Running ─────▶ Exited ─────────────▶ None / Running
//!    ▲  └─▶ Failed     told by       told again and again,
//!    └───────┘ spawn   `spawned`     to each daemon, until acknowledged
//! ```

use super::entry::{Entry, Need, Process, Refusal, UNKNOWN};
use super::image::EntryImage;
use super::ledger;
use super::message::{Adopt, Past, Spawn, Spent, Tag, ToDaemon};
use crate::model::Run;
use crate::sys::child::{self, Reaped};
use crate::sys::fault;
use crate::sys::spawn::{self, Baseline, Program, Sign, SpawnError, Spawned, Stage};
use crate::sys::{clock, ending};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Everything that is held.
#[derive(Debug)]
pub(super) struct Table {
    entries: BTreeMap<u64, Entry>,
    handover: Handover,
    baseline: Baseline,
}

/// How far the present daemon has been told what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Handover {
    Welcome { restarts: u64, search: bool, past: Past },
    Entries,
    Over,
}

impl Table {
    pub(super) fn new(baseline: Baseline) -> Table {
        Table { entries: BTreeMap::from([(0, Entry::default())]), handover: Handover::Over, baseline }
    }

    /// A new daemon knows nothing: it is told every entry, whatever its predecessor was told.
    /// `search`: there may be more than we know.
    pub(super) fn hand_over(&mut self, restarts: u64, search: bool, past: Past) {
        self.greet(restarts, search, past);
        self.entries.retain(|id, entry| *id == 0 || !entry.is_void());
        for entry in self.entries.values_mut() {
            entry.need = Need { entry: true, spawned: false, exited: false };
            entry.refused = None;
        }
    }

    /// What children must have undone.
    pub(super) fn baseline(&self) -> Baseline {
        self.baseline
    }

    /// Greets a daemon that knows everything: it has told us.
    pub(super) fn greet(&mut self, restarts: u64, search: bool, past: Past) {
        self.handover = Handover::Welcome { restarts, search, past };
    }

    /// All entries beside the daemon's own, in the order in which daemons begin with them: listening sockets first.
    pub(super) fn known(&self) -> Vec<u64> {
        let sockets = self.entries.range(Run::FIRST_RESERVED..);
        let workers = self.entries.range(1..Run::FIRST_RESERVED);
        sockets.chain(workers).map(|(id, _)| *id).collect()
    }

    /// True if a process of any entry lives.
    pub(super) fn any_running(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry.process, Process::Running { .. }))
    }

    pub(super) fn keep(&mut self, id: u64, tag: Tag, fd: OwnedFd) {
        self.entries.entry(id).or_default().keep(tag, fd);
    }

    pub(super) fn drop_fd(&mut self, id: u64, tag: Tag) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.fds.remove(&tag);
        }
    }

    pub(super) fn blob(&mut self, id: u64, blob: Vec<u8>) {
        self.entries.entry(id).or_default().blob = blob;
    }

    /// The end of this run is handled; a newer run's is not meant.
    pub(super) fn ack(&mut self, run: Run) {
        if let Some(entry) = self.entries.get_mut(&run.entry)
            && entry.generation == run.generation
            && matches!(entry.process, Process::Exited { .. })
        {
            entry.process = Process::None;
            entry.need.exited = false;
        }
    }

    /// Not while its process lives: somebody must still hear of its end.
    pub(super) fn forget(&mut self, id: u64) {
        let running = |entry: &Entry| matches!(entry.process, Process::Running { .. });
        if id != 0 && self.entries.get(&id).is_some_and(|entry| !running(entry)) {
            self.entries.remove(&id);
        }
    }

    /// Only if this very run lives. It is our child and not reaped, so its pid is still its own.
    pub(super) fn kill(&mut self, run: Run, signal: i32, group: bool) {
        let Some(entry) = self.entries.get(&run.entry) else { return };
        if let Process::Running { child, adopted, .. } = &entry.process
            && entry.generation == run.generation
        {
            // It may have become a zombie meanwhile, or run as somebody we may not signal: the daemon
            // notices either way that it does not end.
            // Of one that is not our child only the process itself is safe from reuse.
            let _gone = match group && !adopted {
                true => child::send_group(child.pid, signal),
                false => child::send(&child.pidfd, signal),
            };
        }
    }

    /// A spawn that cannot be tried.
    pub(super) fn refuse(&mut self, run: Run, token: u64, errno: Errno) {
        if run.entry != 0 {
            let entry = self.entries.entry(run.entry).or_default();
            entry.refused = Some(Refusal { generation: run.generation, token, errno });
        }
    }

    /// Starts the process, keeps descriptors and record, and acknowledges the last exit, all or, when the old process
    /// still lives, nothing. A generation that has been is ignored: the message came twice.
    pub(super) fn spawn(&mut self, request: Spawn, fds: Vec<OwnedFd>) {
        let (run, token, baseline) = (request.run, request.token, self.baseline);
        if run.entry == 0 {
            return;
        }
        if let Some(entry) = self.entries.get(&run.entry) {
            if run.generation <= entry.generation {
                return;
            }
            if matches!(entry.process, Process::Running { .. }) {
                return self.refuse(run, token, Errno::BUSY);
            }
        }
        fault::pass("keeper.clone");
        let ledger = self.entries.get(&0).and_then(|own| own.fds.get(&Tag::new(Tag::LEDGER, 0)));
        let sign = ledger.map(|ledger| ledger::sign(ledger.as_fd(), run));
        let started = start(&request, &fds, sign, baseline);
        fault::pass("keeper.cloned");
        let entry = self.entries.entry(run.entry).or_default();
        entry.process = match started {
            Ok(child) => Process::Running { child, spawned_ms: clock::now().boot_ms, adopted: false },
            Err(error) => Process::Failed(error),
        };
        entry.generation = run.generation;
        entry.token = token;
        entry.blob = request.blob;
        entry.need.spawned = true;
        entry.need.exited = false;
        entry.keep_all(request.keep, fds);
    }

    /// Takes an entry over from a keeper that is dead. What we know ourselves we know better.
    pub(super) fn adopt(&mut self, request: Adopt, mut fds: Vec<OwnedFd>) {
        let entry = self.entries.entry(request.run.entry).or_default();
        if entry.generation > request.run.generation || !matches!(entry.process, Process::None) {
            return;
        }
        let pidfd = if request.pid == 0 { None } else { fds.pop() };
        let spawned_ms = request.spawned_ms;
        entry.process = match pidfd.map(|pidfd| Spawned { pid: request.pid, pidfd }) {
            None => Process::None,
            Some(child) => match request.exited {
                None => Process::Running { child, spawned_ms, adopted: true },
                Some(status) => {
                    let (exit_ms, usage) = (clock::now().boot_ms, Spent::default());
                    Process::Exited { child, status, spawned_ms, exit_ms, usage }
                }
            },
        };
        entry.generation = request.run.generation;
        entry.token = request.run.generation;
        entry.blob = request.blob;
        entry.keep_all(request.keep, fds);
        fault::pass("keeper.adopted");
    }

    /// Processes that are not our children.
    pub(super) fn adopted(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.entries.iter().filter_map(|(id, entry)| match &entry.process {
            Process::Running { child, adopted: true, .. } => Some((*id, child.pidfd.as_fd())),
            Process::Running { .. } | Process::Exited { .. } | Process::None | Process::Failed(_) => None,
        })
    }

    /// The pidfd of an adopted process says that it has ended. How, is found out or remains unknown.
    pub(super) fn adopted_ended(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Process::Running { child, .. } = &entry.process else { return };
        let status = ending::status(child.pid, &child.pidfd).unwrap_or(UNKNOWN);
        entry.ended(status, Spent::default());
    }

    /// Notes the end of a process, if it is one of ours and not just an orphan.
    pub(super) fn exited(&mut self, reaped: &Reaped) {
        let ours = |entry: &&mut Entry| match &entry.process {
            Process::Running { child, adopted, .. } => child.pid == reaped.pid && !adopted,
            Process::Exited { .. } | Process::None | Process::Failed(_) => false,
        };
        let Some(entry) = self.entries.values_mut().find(ours) else { return };
        let usage = Spent { user: reaped.user, system: reaped.system, max_rss_kib: reaped.max_rss_kib };
        entry.ended(reaped.status, usage);
    }

    /// Tells the daemon all it must know, until `send` fails; what was not told is told the next time.
    pub(super) fn tell(
        &mut self,
        send: &mut impl FnMut(&ToDaemon, &[BorrowedFd<'_>]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if let Handover::Welcome { restarts, search, past } = &self.handover {
            let (restarts, search, past) = (*restarts, *search, past.clone());
            let entries = self.entries.values().filter(|entry| entry.need.entry).count() as u64;
            let keeper_pid = std::process::id();
            send(&ToDaemon::Welcome { keeper_pid, entries, restarts, search, past }, &[])?;
            self.handover = Handover::Entries;
        }
        if self.handover == Handover::Entries {
            for (id, entry) in &mut self.entries {
                entry.tell_entry(*id, send)?;
            }
            send(&ToDaemon::End, &[])?;
            self.handover = Handover::Over;
        }
        for (id, entry) in &mut self.entries {
            entry.tell_news(*id, send)?;
        }
        self.entries.retain(|id, entry| *id == 0 || !entry.is_void());
        Ok(())
    }
}

impl Table {
    /// All entries, for the next program. Only when everything is told.
    pub(super) fn image(&self) -> Vec<EntryImage> {
        self.entries.iter().map(|(id, entry)| entry.image(*id)).collect()
    }

    /// Takes over from the program before.
    pub(super) fn from_image(baseline: Baseline, images: Vec<EntryImage>) -> Table {
        let mut table = Table::new(baseline);
        for image in images {
            table.entries.insert(image.id, Entry::from_image(image));
        }
        table
    }
}

fn at(fds: &[OwnedFd], place: u32) -> Option<BorrowedFd<'_>> {
    fds.get(usize::try_from(place).ok()?).map(AsFd::as_fd)
}

fn start(
    request: &Spawn,
    fds: &[OwnedFd],
    sign: Option<Sign<'_>>,
    baseline: Baseline,
) -> Result<Spawned, SpawnError> {
    let invalid = |stage| SpawnError { errno: Errno::INVAL, stage };
    let text = |bytes: &Vec<u8>| CString::new(bytes.clone()).map_err(|_nul| invalid(Stage::Exec));
    let argv = request.argv.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let envp = request.envp.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let place = |(number, place): &(u32, u32)| Some((i32::try_from(*number).ok()?, at(fds, *place)?));
    let map = request.map.iter().map(place).collect::<Option<Vec<_>>>().ok_or(invalid(Stage::Dup))?;
    let program = Program {
        file: &text(&request.program)?,
        argv: &argv,
        envp: &envp,
        cwd: &text(&request.cwd)?,
        creds: request.creds.as_ref(),
        listen_pid: request.listen_pid,
        map: &map,
        sign,
        baseline,
    };
    spawn::spawn_within(&program, EXEC_MS)
}

/// So long the keeper waits for a process to run its program; usually that is a third of a millisecond.
const EXEC_MS: u32 = 100;
