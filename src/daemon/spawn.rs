//! From a record to a process: what is made for it (pipes, channel, sockets), what it is told (arguments,
//! environment), and the one message that makes the keeper start it and hold what must not die.

use super::carry;
use super::orphans::CARRIED;
use super::owner::Owner;
use crate::keeper::ledger;
use crate::keeper::{Creds, SpawnRequest, Tag};
use crate::logs::{SinkSpec, Source};
use crate::model::app::Mode;
use crate::model::files::WorkerFiles;
use crate::model::{App, Run, State, StreamKind};
use crate::node::{self, ChannelSpec};
use crate::supervisor::Record;
use crate::sys::fault;
use crate::sys::paths::Home;
use crate::sys::pipe::{fair_capacity, stdio};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

/// First number of the sockets a child inherits (sd_listen_fds(3): SD_LISTEN_FDS_START).
const LISTEN_FDS_START: i32 = 3;

/// What is made for one run before it is spawned.
struct Made {
    /// Child fd → descriptor.
    map: Vec<(i32, OwnedFd)>,
    /// Read ends of stdout and stderr.
    out: OwnedFd,
    err: OwnedFd,
    /// The daemon's end of the Node channel and its number in the child.
    channel: Option<(OwnedFd, i32)>,
    sockets: usize,
}

/// Why there is no process.
#[derive(Debug)]
pub(super) struct Unmade {
    /// Completes "failed to …", with path and system error.
    pub(super) what: String,
    /// The system was short of something: the same may work in a moment.
    pub(super) may_pass: bool,
}

impl Unmade {
    /// `what` failed because of what the system said.
    pub(super) fn because(what: impl fmt::Display, error: &io::Error) -> Unmade {
        let errno = Errno::from_io_error(error);
        let may_pass = errno.is_some_and(|errno| SHORTAGES.contains(&errno));
        Unmade { what: format!("{what}: {error}"), may_pass }
    }
}

impl From<String> for Unmade {
    fn from(what: String) -> Unmade {
        Unmade { what, may_pass: false }
    }
}

/// Too many processes or descriptors, no memory, no room; a program that is being written.
const SHORTAGES: [Errno; 7] =
    [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOSPC, Errno::TXTBSY];

/// Numbers of descriptors that starts leave free: for clients, for reading /proc, for a rotation. Of a low limit a part
/// must do, but not less than one start itself still needs for copies of what it made.
const SPARE: u64 = 64;
const LEAST: u64 = 24;

impl Owner {
    /// Starts the process of a record. Nothing was started if it fails.
    pub(super) fn spawn(&mut self, record: &Record) -> Result<(), Unmade> {
        let (run, app) = (record.run, &record.app);
        let made = self.make(app)?;
        fault::pass("spawn.made");
        let fresh = !self.entries.contains_key(&run.entry);
        let held = if fresh {
            let held = crate::logs::held(self.pipe_capacity());
            Some(held.map_err(|e| Unmade::because("make log pipes", &e))?)
        } else {
            None
        };
        let generation = u32::try_from(run.generation).unwrap_or(u32::MAX);
        let tag = |kind, index| Tag { kind, index };
        let mut keep = vec![
            (tag(Tag::OUT_PIPE, generation), made.out.as_fd()),
            (tag(Tag::ERR_PIPE, generation), made.err.as_fd()),
        ];
        if let Some((channel, _)) = &made.channel {
            keep.push((tag(Tag::CHANNEL, generation), channel.as_fd()));
        }
        if let Some(held) = &held {
            keep.push((tag(Tag::OUT_STAGING, 0), held.out_staging.as_fd()));
            keep.push((tag(Tag::ERR_STAGING, 0), held.err_staging.as_fd()));
            keep.push((tag(Tag::LOG_RECORD, 0), held.record.as_fd()));
        }
        // To be kept again: the keeper may have had no room for the message that brought them.
        let staged = if fresh { Vec::new() } else { self.link.held(run.entry, &STAGED) };
        keep.extend(staged.iter().map(|(tag, fd)| (*tag, fd.as_fd())));
        let mut map: Vec<_> = made.map.iter().map(|(number, fd)| (*number, fd.as_fd())).collect();
        if carries(app) {
            map.extend(keep.iter().filter_map(|(tag, fd)| Some((number_of(*tag)?, *fd))));
        }
        let carried = carry::make().map_err(|e| Unmade::because("make memory for its state", &e))?;
        if carries(app) {
            map.push((carry::NUMBER, carried.as_fd()));
            map.extend(self.ledger.iter().map(|ledger| (ledger::NUMBER, ledger.as_fd())));
        }
        let argv = strings(argv(app, self.preload.then(|| self.home.preload())))?;
        let envp = strings(environment(record, &made, &self.home, self.notices.address()))?;
        let cwd = string(app.cwd.to_string_lossy().into_owned())?;
        let blob = crate::model::skew::to_vec(record).map_err(|e| format!("write the record: {e}"))?;
        let creds =
            app.user.as_ref().map(|user| Creds { uid: user.uid, gid: user.gid, groups: vec![user.gid] });
        let Some(program) = argv.first() else {
            return Err("run nothing: there is no program".to_owned().into());
        };
        let request = SpawnRequest {
            run,
            token: run.generation,
            program,
            argv: &argv,
            envp: &envp,
            cwd: &cwd,
            creds: creds.as_ref(),
            listen_pid: made.sockets > 0,
            map: &map,
            keep: &keep,
            blob: &blob,
        };
        let text = self.states.text(run.entry, &blob, None, &self.link);
        let noted = text.map_err(io::Error::from).and_then(|text| carry::write(&carried, &text));
        noted.map_err(|e| Unmade::because("write down its state", &e))?;
        self.unwritten.insert(run.entry);
        fault::pass("spawn.noted");
        self.link.spawn(&request).map_err(|e| Unmade::because("ask the keeper for a process", &e))?;
        fault::pass("spawn.asked");
        self.carried.insert(run, carried);
        self.entries.insert(run.entry, record.clone());
        let sink = sink(record, &self.home);
        match held {
            Some(held) => self.pump.attach(run.entry, source(record, None), sink, held),
            // It may be started again with other log settings.
            None => self.pump.set_sink(run.entry, sink),
        }
        self.pump.add_pipe(run.entry, StreamKind::Out, run.generation, made.out);
        self.pump.add_pipe(run.entry, StreamKind::Err, run.generation, made.err);
        if let Some((fd, _)) = made.channel {
            self.hub.add(channel_spec(record, run, fd, false));
        }
        Ok(())
    }

    /// A worker has two pipes and two staging pipes; this one is counted too.
    fn pipe_capacity(&self) -> usize {
        fair_capacity(4 * (self.entries.len() + 1))
    }

    fn make(&mut self, app: &App) -> Result<Made, Unmade> {
        let sockets = self.sockets.of(app, &self.link)?;
        let count = sockets.len();
        let null = std::fs::File::open("/dev/null").map_err(|e| Unmade::because("open `/dev/null`", &e))?;
        let capacity = self.pipe_capacity();
        let pipe = || stdio(capacity).map_err(|e| Unmade::because("make a pipe", &e));
        let (out, out_child) = pipe()?;
        let (err, err_child) = pipe()?;
        leave_some_free(&err_child)?;
        let mut map = vec![(0, OwnedFd::from(null)), (1, out_child), (2, err_child)];
        let mut next = LISTEN_FDS_START;
        for socket in sockets {
            map.push((next, socket));
            next += 1;
        }
        let mut channel = None;
        if app.program.has_channel() {
            let (ours, theirs) = node::channel().map_err(|e| Unmade::because("make a channel", &e))?;
            map.push((next, theirs));
            channel = Some((ours, next));
        }
        Ok(Made { map, out, err, channel, sockets: count })
    }
}

/// Fails if the descriptor made last is among the last that there may be. The lowest free number is given out first.
fn leave_some_free(last: &OwnedFd) -> Result<(), Unmade> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let number = u64::try_from(last.as_raw_fd()).unwrap_or_default();
    match limit {
        Some(limit) if number + SPARE.min(limit / 4).max(LEAST) >= limit => {
            let what = format!("make pipes within the daemon's limit of {limit} open files");
            Err(Unmade::because(what, &Errno::MFILE.into()))
        }
        _ => Ok(()),
    }
}

/// What every run of an entry uses.
const STAGED: [Tag; 3] =
    [Tag::new(Tag::OUT_STAGING, 0), Tag::new(Tag::ERR_STAGING, 0), Tag::new(Tag::LOG_RECORD, 0)];

/// Whether a worker carries its own pipes, so that it can be adopted after keeper and daemon have died together:
/// unless its environment says `PMON_CARRY=0`, or the numbers are beyond the limit of open files.
fn carries(app: &App) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    app.env.0.get("PMON_CARRY").is_none_or(|value| value != "0") && limit.is_none_or(|limit| limit > 1200)
}

fn number_of(tag: Tag) -> Option<i32> {
    CARRIED.iter().find(|(kind, _)| *kind == tag.kind).map(|(_, number)| *number)
}

/// What the Node room must know of a channel.
pub(super) fn channel_spec(record: &Record, run: Run, fd: OwnedFd, adopted: bool) -> ChannelSpec {
    ChannelSpec {
        run,
        app: Arc::from(record.app.name.as_str()),
        slot: record.instance,
        cluster: record.app.mode == Mode::Cluster,
        scheduling: record.app.scheduling,
        fd,
        adopted,
        preload: record.app.preload,
        ending: adopted && record.state == State::Stopping,
    }
}

/// The keeper's tag of a worker's pipe.
pub(super) fn pipe_tag(stream: StreamKind, generation: u64) -> Tag {
    let kind = match stream {
        StreamKind::Out => Tag::OUT_PIPE,
        StreamKind::Err => Tag::ERR_PIPE,
    };
    Tag { kind, index: u32::try_from(generation).unwrap_or(u32::MAX) }
}

/// Whose lines they are.
pub(super) fn source(record: &Record, pid: Option<u32>) -> Source {
    Source {
        worker: record.worker,
        name: Arc::from(record.app.name.as_str()),
        instance: record.instance,
        pid,
    }
}

/// Where they go.
pub(super) fn sink(record: &Record, home: &Home) -> SinkSpec {
    let files = WorkerFiles::of(&record.app, record.worker, &home.logs(), &home.pids());
    let logs = &record.app.logs;
    SinkSpec {
        out: files.out,
        error: files.error,
        combined: files.combined,
        // A single instance has its file to itself whatever the setting says: its unfinished lines need not wait.
        merged: logs.merge && record.app.instances > 1,
        date_format: logs.date_format.clone(),
        json: logs.json,
        disabled: logs.disabled,
        overflow: logs.overflow,
        rotate: logs.rotate.clone(),
    }
}

/// Node gets pmon's preload by `--require`, not by NODE_OPTIONS, which every grandchild would inherit.
/// While it cannot be written, they do without.
fn argv(app: &App, preload: Option<PathBuf>) -> Vec<String> {
    let mut argv = app.program.argv();
    if let Some(preload) = preload
        && app.preload
        && app.program.is_node()
        && app.program.interpreter_path.is_some()
    {
        argv.splice(1..1, ["--require".to_owned(), preload.display().to_string()]);
    }
    argv
}

fn environment(record: &Record, made: &Made, home: &Home, notify: &str) -> Vec<String> {
    let app = &record.app;
    let mut env = app.env.0.clone();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    set(&app.instance_var, record.instance.to_string());
    set("pm_id", record.worker.to_string());
    set("name", app.name.clone());
    set("exec_mode", app.mode.pm2_name().to_owned());
    set("unique_id", record.unique_id.clone());
    set("PWD", app.cwd.display().to_string());
    set("PMON_HOME", home.root().display().to_string());
    set("PMON_ID", record.run.entry.to_string());
    set("PMON_GEN", record.run.generation.to_string());
    if let Some((_, number)) = &made.channel {
        // cluster.worker.id: small, and never the same for two processes that live at once.
        for (name, value) in node::env(record.run.entry, *number, app.mode == Mode::Cluster) {
            set(&name, value);
        }
    }
    if app.readiness.notify {
        set("NOTIFY_SOCKET", notify.to_owned());
    }
    if !app.program.is_node() {
        // Only the preload takes it out of the app's sight again.
        env.remove("PMON_PRELOAD");
    }
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    if made.sockets > 0 {
        set("LISTEN_FDS", made.sockets.to_string());
        set("LISTEN_FDNAMES", app.sockets.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(":"));
        // The keeper writes the child's pid over these digits.
        set("LISTEN_PID", "0".repeat(10));
    }
    env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn strings(texts: Vec<String>) -> Result<Vec<CString>, String> {
    texts.into_iter().map(string).collect()
}

fn string(text: String) -> Result<CString, String> {
    CString::new(text).map_err(|e| {
        let text = String::from_utf8_lossy(&e.into_vec()).into_owned();
        let shown = text.split('=').next().unwrap_or_default().to_owned();
        format!("pass `{shown}` on: it contains a NUL byte")
    })
}
