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

use super::datagram::MAX_PASSED;
use super::message::{ProcessState, Spawn, Spent, Tag, ToDaemon};
use crate::model::Run;
use crate::sys::child::{self, Reaped};
use crate::sys::clock;
use crate::sys::spawn::{self, Baseline, Program, SpawnError, Spawned, Stage};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    Welcome { restarts: u64 },
    Entries,
    Over,
}

#[derive(Debug, Default)]
struct Entry {
    generation: u64,
    token: u64,
    process: Process,
    fds: BTreeMap<Tag, OwnedFd>,
    blob: Vec<u8>,
    need: Need,
    /// A spawn that was not even tried.
    refused: Option<Refusal>,
}

#[derive(Debug, Default)]
enum Process {
    #[default]
    None,
    Failed(SpawnError),
    Running {
        child: Spawned,
        spawned_ms: u64,
    },
    /// With its pidfd: it may have ended before the daemon heard that it was there.
    Exited {
        child: Spawned,
        status: i32,
        spawned_ms: u64,
        exit_ms: u64,
        usage: Spent,
    },
}

/// What the daemon must still be told of an entry.
#[derive(Debug, Default)]
struct Need {
    entry: bool,
    spawned: bool,
    exited: bool,
}

#[derive(Debug)]
struct Refusal {
    generation: u64,
    token: u64,
    errno: Errno,
}

impl Table {
    pub(super) fn new(baseline: Baseline) -> Table {
        Table { entries: BTreeMap::from([(0, Entry::default())]), handover: Handover::Over, baseline }
    }

    /// A new daemon knows nothing: it is told every entry, whatever its predecessor was told.
    pub(super) fn hand_over(&mut self, restarts: u64) {
        self.handover = Handover::Welcome { restarts };
        self.entries.retain(|id, entry| *id == 0 || !entry.is_void());
        for entry in self.entries.values_mut() {
            entry.need = Need { entry: true, spawned: false, exited: false };
            entry.refused = None;
        }
    }

    /// True if there are entries beside the daemon's own.
    pub(super) fn holds_any(&self) -> bool {
        self.entries.len() > 1
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
        if let Process::Running { child, .. } = &entry.process
            && entry.generation == run.generation
        {
            // It may have become a zombie meanwhile, or run as somebody we may not signal: the daemon
            // notices either way that it does not end.
            let _gone = match group {
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
        let entry = self.entries.entry(run.entry).or_default();
        if run.generation <= entry.generation {
            return;
        }
        if matches!(entry.process, Process::Running { .. }) {
            return self.refuse(run, token, Errno::BUSY);
        }
        entry.process = match start(&request, &fds, baseline) {
            Ok(child) => Process::Running { child, spawned_ms: clock::now().boot_ms },
            Err(error) => Process::Failed(error),
        };
        entry.generation = run.generation;
        entry.token = token;
        entry.blob = request.blob;
        entry.need.spawned = true;
        entry.need.exited = false;
        let mut fds: Vec<_> = fds.into_iter().map(Some).collect();
        for (tag, place) in request.keep {
            let place = usize::try_from(place).ok().and_then(|place| fds.get_mut(place));
            if let Some(fd) = place.and_then(Option::take) {
                entry.keep(tag, fd);
            }
        }
    }

    /// Notes the end of a process, if it is one of ours and not just an orphan.
    pub(super) fn exited(&mut self, reaped: &Reaped) {
        let ours = |entry: &&mut Entry| matches!(&entry.process, Process::Running { child, .. } if child.pid == reaped.pid);
        let Some(entry) = self.entries.values_mut().find(ours) else { return };
        if let Process::Running { child, spawned_ms } = std::mem::take(&mut entry.process) {
            let usage = Spent { user: reaped.user, system: reaped.system, max_rss_kib: reaped.max_rss_kib };
            let (status, exit_ms) = (reaped.status, clock::now().boot_ms);
            entry.process = Process::Exited { child, status, spawned_ms, exit_ms, usage };
            entry.need.exited = true;
        }
    }

    /// Tells the daemon all it must know, until `send` fails; what was not told is told the next time.
    pub(super) fn tell(
        &mut self,
        send: &mut impl FnMut(&ToDaemon, &[BorrowedFd<'_>]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if let Handover::Welcome { restarts } = self.handover {
            let entries = self.entries.values().filter(|entry| entry.need.entry).count() as u64;
            send(&ToDaemon::Welcome { keeper_pid: std::process::id(), entries, restarts }, &[])?;
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

impl Entry {
    /// What would not fit in the one message that hands an entry over is not kept.
    fn keep(&mut self, tag: Tag, fd: OwnedFd) {
        if self.fds.len() < MAX_PASSED - 1 || self.fds.contains_key(&tag) {
            self.fds.insert(tag, fd);
        }
    }

    /// Nothing was ever kept: it was made only to refuse a spawn, and that is told.
    fn is_void(&self) -> bool {
        self.generation == 0 && self.fds.is_empty() && self.blob.is_empty() && self.refused.is_none()
    }

    fn spawned_ms(&self) -> u64 {
        match &self.process {
            Process::None | Process::Failed(_) => 0,
            Process::Running { spawned_ms, .. } | Process::Exited { spawned_ms, .. } => *spawned_ms,
        }
    }

    fn tell_entry(
        &mut self,
        id: u64,
        send: &mut impl FnMut(&ToDaemon, &[BorrowedFd<'_>]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if !self.need.entry {
            return Ok(());
        }
        let (pid, state, pidfd) = match &self.process {
            Process::None | Process::Failed(_) => (0, ProcessState::None, None),
            Process::Running { child, .. } => (child.pid, ProcessState::Running, Some(child.pidfd.as_fd())),
            Process::Exited { child, status, exit_ms, .. } => {
                (child.pid, ProcessState::Exited { status: *status, exit_ms: *exit_ms }, None)
            }
        };
        let message = ToDaemon::Entry {
            run: Run { entry: id, generation: self.generation },
            pid,
            state,
            spawned_ms: self.spawned_ms(),
            has_pidfd: pidfd.is_some(),
            tags: self.fds.keys().copied().collect(),
            blob: self.blob.clone(),
        };
        let fds: Vec<_> = pidfd.into_iter().chain(self.fds.values().map(AsFd::as_fd)).collect();
        send(&message, &fds)?;
        self.need.entry = false;
        self.need.exited = false;
        Ok(())
    }

    fn tell_news(
        &mut self,
        id: u64,
        send: &mut impl FnMut(&ToDaemon, &[BorrowedFd<'_>]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (run, token) = (Run { entry: id, generation: self.generation }, self.token);
        if self.need.spawned {
            match &self.process {
                Process::Running { child, spawned_ms } | Process::Exited { child, spawned_ms, .. } => {
                    let message = ToDaemon::Spawned { run, token, pid: child.pid, spawned_ms: *spawned_ms };
                    send(&message, &[child.pidfd.as_fd()])?;
                }
                Process::Failed(SpawnError { errno, stage }) => {
                    let errno = errno.raw_os_error();
                    send(&ToDaemon::SpawnFailed { run, token, errno, stage: *stage }, &[])?;
                }
                Process::None => {}
            }
            self.need.spawned = false;
        }
        if let Some(Refusal { generation, token, errno }) = self.refused {
            let run = Run { entry: id, generation };
            let errno = errno.raw_os_error();
            send(&ToDaemon::SpawnFailed { run, token, errno, stage: Stage::Clone }, &[])?;
            self.refused = None;
        }
        if self.need.exited {
            if let Process::Exited { child, status, exit_ms, usage, .. } = &self.process {
                let (pid, status, exit_ms, usage) = (child.pid, *status, *exit_ms, *usage);
                send(&ToDaemon::Exited { run, pid, status, exit_ms, usage }, &[])?;
            }
            self.need.exited = false;
        }
        Ok(())
    }
}

fn at(fds: &[OwnedFd], place: u32) -> Option<BorrowedFd<'_>> {
    fds.get(usize::try_from(place).ok()?).map(AsFd::as_fd)
}

fn start(request: &Spawn, fds: &[OwnedFd], baseline: Baseline) -> Result<Spawned, SpawnError> {
    let invalid = |stage| SpawnError { errno: Errno::INVAL, stage };
    let text = |bytes: &Vec<u8>| CString::new(bytes.clone()).map_err(|_nul| invalid(Stage::Exec));
    let argv = request.argv.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let envp = request.envp.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let place = |(number, place): &(u32, u32)| Some((i32::try_from(*number).ok()?, at(fds, *place)?));
    let map = request.map.iter().map(place).collect::<Option<Vec<_>>>().ok_or(invalid(Stage::Dup))?;
    spawn::spawn(&Program {
        file: &text(&request.program)?,
        argv: &argv,
        envp: &envp,
        cwd: &text(&request.cwd)?,
        creds: request.creds.as_ref(),
        listen_pid: request.listen_pid,
        map: &map,
        baseline,
    })
}
