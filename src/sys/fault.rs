//! Named points where a test lets this process fail, stop or die. In a release build nothing of it is left.
//!
//! `PMON_FAULTS` names a directory; a file in it with the name of a point says what happens there: `<deed> [pass] [always]`.
//! A deed is the name of an errno (the call fails with it), `kill` (SIGKILL), `abort` (SIGABRT), `panic` or `stop` (SIGSTOP). It happens at that pass
//! of one process since the file is there, the first if none is given, and once: the file is removed before, so that the
//! next daemon goes on.
//! With `for=<what>` only passes with that are counted, where a point says what it is passed with (`pass_with`).
//! With `program=<part>` only processes whose program's path has that part do it.
//! With `always` it stays, and happens at that pass and every later one. If there is a file `passed`, the names of points
//! are added to it, one a line, as processes first pass them. A file `clock` holds two numbers, milliseconds
//! added to the wall clock and to the boot clock. A few numbers of the product can be set by a file of their name: `settled`.
//!
//! Not for logic: who asks takes the error as one of the system's.

/// All points: a test that goes through them finds them here. A prefix says whose they are.
pub const POINTS: &[&str] = &[
    "replace.write",
    "replace.rename",
    "replace.renamed",
    "turn.handled",
    "turn.record",
    "turn.unacknowledged",
    "turn.kept",
    "turn.published",
    "turn.deed",
    "turn.reply",
    "turn.replied",
    "boot.begun",
    "boot.read",
    "boot.search",
    "boot.searched",
    "boot.bound",
    "boot.sockets",
    "boot.files",
    "boot.doors",
    "boot.taken",
    "boot.ready",
    "attach.entry",
    "attach.listener",
    "attach.worker",
    "attach.read",
    "attach.record",
    "attach.fed",
    "attach.begun",
    "attach.told",
    "act.pid_file",
    "act.spawned",
    "act.exited",
    "act.signalled",
    "act.over",
    "spawn.made",
    "spawn.noted",
    "spawn.asked",
    "owner.pipe_closed",
    "owner.forget",
    "state.write",
    "state.rename",
    "state.forget",
    "dump.copied",
    "upgrade.begin",
    "upgrade.asked",
    "upgrade.keeper_done",
    "upgrade.room",
    "suspects.led",
    "run.breath",
    "orphans.sorted",
    "orphans.adopted",
    "rebuild.begun",
    "rebuild.started",
    "rebuild.order",
    "rebuild.ready",
    "keeper.received",
    "keeper.handled",
    "keeper.heard_out",
    "keeper.reaped",
    "keeper.daemon_started",
    "keeper.adopted_all",
    "keeper.image",
    "keeper.resumed",
    "keeper.clone",
    "keeper.cloned",
    "keeper.adopted",
    "keeper.tell_entry",
    "keeper.told_entry",
    "keeper.tell_spawned",
    "keeper.told_spawned",
    "keeper.tell_exited",
    "keeper.told_exited",
    "keeper.checked",
    "keeper.exec",
    "pump.staged",
    "pump.placed",
    "pump.published",
    "pump.half_written",
    "pump.written",
    "pump.half_taken",
    "pump.taken",
    "pump.committed",
    "pump.repeat",
    "pump.ended",
    "rotate.begun",
    "rotate.aside",
    "rotate.made",
    "rotate.done",
    "compress.begun",
    "compress.block",
    "compress.packed",
    "compress.renamed",
    "compress.removed",
    "hub.accepted",
    "hub.handed",
    "hub.peeked",
    "hub.done",
    "hub.listener_kept",
    "spawn.clone",
    "pipe.stdio",
    "pipe.staging",
    "pipe.null",
    "pipe.scratch",
    "pipe.peek",
    "page.create",
    "page.map",
    "fd.send",
    "fd.receive",
    "socket.pair",
    "socket.tcp",
    "socket.listen",
    "socket.accept",
    "child.open",
    "child.send",
    "proc.pids",
    "proc.stat",
    "proc.memory",
    "sdnotify.bind",
    "signal.ends",
    "replace.open",
    "datagram.pair",
    "datagram.memfd",
    "mirror.copy",
    "file.open",
    "file.write",
    "file.truncate",
    "file.rename",
    "server.accept",
    "server.bind",
    "states.open",
    "states.read",
    "settings.write",
    "sockets.bind",
    "journal.open",
    "own_log.copied",
    "own_log.cut",
    "run.watch",
    "hub.start",
    "core.watch",
    "channel.open",
    "pump.start",
    "pump.watch",
    "spec.spill",
];

/// Passes a point: `Err` if a test wants this call to fail. Never `Err` in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn at(_point: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// As [`at`], for those who speak in errnos.
#[inline]
pub fn errno(point: &'static str) -> Result<(), rustix::io::Errno> {
    at(point).map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}

/// Passes a point where nothing can fail: only death and standstill happen there.
#[inline]
pub fn pass(point: &'static str) {
    drop(at(point));
}

/// As [`pass`], of something that the plan may choose by name.
#[inline]
pub fn pass_with(point: &'static str, what: &str) {
    drop(at_with(point, what));
}

/// As [`at`], of something that the plan may choose by name.
#[cfg(not(debug_assertions))]
#[inline]
pub fn at_with(_point: &'static str, _what: &str) -> std::io::Result<()> {
    Ok(())
}

/// How much of `len` is done before a point in the middle is passed: half of it if a test runs this, else all.
#[cfg(not(debug_assertions))]
#[inline]
pub fn half(len: usize) -> usize {
    len
}

/// How far the wall clock and the boot clock are set off, milliseconds. Zero in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn clock() -> (i64, i64) {
    (0, 0)
}

/// A number that a test sets with a file of this name; `usual` without one, and in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn value(_name: &str, usual: i64) -> i64 {
    usual
}

#[cfg(debug_assertions)]
pub use planned::{at, at_with, clock, half, value};

#[cfg(debug_assertions)]
mod planned {
    use super::POINTS;
    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};
    use std::collections::HashMap;
    use std::fs::OpenOptions;
    use std::io::{self, Write};
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// Where the plan is, if a test runs this.
    fn plan() -> Option<&'static PathBuf> {
        static PLAN: OnceLock<Option<PathBuf>> = OnceLock::new();
        PLAN.get_or_init(|| std::env::var_os("PMON_FAULTS").map(PathBuf::from)).as_ref()
    }

    /// What this process has done at a point.
    #[derive(Default)]
    struct Seen {
        noted: bool,
        /// Passes while something was planned.
        passes: u64,
    }

    static SEEN: Mutex<Option<HashMap<&'static str, Seen>>> = Mutex::new(None);

    /// How much of `len` is done before a point in the middle is passed.
    pub fn half(len: usize) -> usize {
        if plan().is_some() { len / 2 } else { len }
    }

    /// Passes a point: `Err` if a test wants this call to fail.
    pub fn at(point: &'static str) -> io::Result<()> {
        at_with(point, "")
    }

    /// As [`at`], of something that the plan may choose by name.
    pub fn at_with(point: &'static str, what: &str) -> io::Result<()> {
        let Some(plan) = plan() else { return Ok(()) };
        debug_assert!(POINTS.contains(&point), "`{point}` is not in POINTS");
        let mut all = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.get_or_insert_default().entry(point).or_default();
        if !std::mem::replace(&mut seen.noted, true)
            && let Ok(mut passed) = OpenOptions::new().append(true).open(plan.join("passed"))
        {
            passed.write_all(format!("{point}\n").as_bytes())?;
        }
        let file = plan.join(point);
        let Ok(text) = std::fs::read_to_string(&file) else {
            seen.passes = 0;
            return Ok(());
        };
        let chosen = text.split_whitespace().find_map(|word| word.strip_prefix("for="));
        let program = text.split_whitespace().find_map(|word| word.strip_prefix("program="));
        let is_it = |part: &str| {
            std::fs::read_link("/proc/self/exe").is_ok_and(|path| path.to_string_lossy().contains(part))
        };
        if chosen.is_some_and(|chosen| chosen != what) || !program.is_none_or(is_it) {
            return Ok(());
        }
        seen.passes += 1;
        let pass = seen.passes;
        let mut words = text.split_whitespace();
        let deed = words.next().unwrap_or_default();
        let wanted = words.clone().find_map(|word| word.parse().ok()).unwrap_or(1);
        let always = words.any(|word| word == "always");
        if pass < wanted || (pass > wanted && !always) {
            return Ok(());
        }
        if !always {
            std::fs::remove_file(&file)?;
        }
        drop(all);
        act(deed)
    }

    fn act(deed: &str) -> io::Result<()> {
        let errno = match deed {
            "kill" => return Ok(kill_process(getpid(), Signal::KILL)?),
            "abort" => std::process::abort(),
            "panic" => std::panic::panic_any("a test wants this".to_owned()),
            "stop" => return Ok(kill_process(getpid(), Signal::STOP)?),
            "EACCES" => Errno::ACCESS,
            "EAGAIN" => Errno::AGAIN,
            "EIO" => Errno::IO,
            "EMFILE" => Errno::MFILE,
            "ENFILE" => Errno::NFILE,
            "ENOENT" => Errno::NOENT,
            "ENOMEM" => Errno::NOMEM,
            "ENOSPC" => Errno::NOSPC,
            "EPERM" => Errno::PERM,
            "EROFS" => Errno::ROFS,
            other => return Err(io::Error::other(format!("`{other}` is no deed of a fault plan"))),
        };
        Err(errno.into())
    }

    /// A number that a test sets with a file of this name.
    pub fn value(name: &str, usual: i64) -> i64 {
        let text = plan().and_then(|plan| std::fs::read_to_string(plan.join(name)).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(usual)
    }

    /// How far the wall clock and the boot clock are set off, milliseconds.
    pub fn clock() -> (i64, i64) {
        let read = || {
            let text = std::fs::read_to_string(plan()?.join("clock")).ok()?;
            let mut numbers = text.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        };
        read().unwrap_or_default()
    }
}
