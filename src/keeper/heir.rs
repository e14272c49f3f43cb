//! Starting a keeper in place of one that has died: from the daemon, which holds all that the dead one held.

use super::datagram;
use super::ledger;
use super::message::Tag;
use super::mirror::Mirror;
use crate::model::Run;
use crate::sys::child;
use crate::sys::kin::{self, Kin};
use crate::sys::spawn::{self, Baseline, Program, Spawned};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Under these numbers the new keeper finds its end of the link, the lock, and the daemon.
pub(super) const SOCKET: i32 = 3;
pub(super) const LOCK: i32 = 4;
pub(super) const DAEMON: i32 = 5;

/// Starts `pmon keeper --adopt-from` this process. Returns it and our end of the link.
pub(super) fn start(mirror: &Mirror) -> io::Result<(Spawned, OwnedFd)> {
    let (ours, theirs) = datagram::pair()?;
    let pid = std::process::id();
    let this = child::open(pid)?.ok_or(io::ErrorKind::NotFound)?;
    let number = CString::new(pid.to_string()).unwrap_or_default();
    let argv = [c"pmon".to_owned(), c"keeper".to_owned(), c"--adopt-from".to_owned(), number];
    let join = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    let envp: Vec<CString> = std::env::vars_os().filter_map(join).collect();
    let mut map = vec![(SOCKET, theirs.as_fd()), (DAEMON, this.as_fd())];
    map.extend(mirror.fd(0, Tag::new(Tag::LOCK, 0)).map(|lock| (LOCK, lock)));
    let keeper = spawn::spawn(&Program {
        // The very program that runs, also when its file has been replaced.
        file: c"/proc/self/exe",
        argv: &argv,
        envp: &envp,
        cwd: c"/",
        creds: None,
        listen_pid: false,
        map: &map,
        sign: None,
        baseline: Baseline::default(),
    });
    Ok((keeper.map_err(io::Error::other)?, ours))
}

/// What became of a run whose SPAWN was never answered.
#[derive(Debug)]
pub(super) enum Begun {
    /// It lives, and may not have run its program yet.
    Lives(Spawned),
    /// The process of this pid has ended.
    Ended(u32),
}

/// Those that were begun of runs whose SPAWN was never answered.
///
/// No process is missed: until it has signed it has a copy of the dead keeper's end of the link, and we hear that the link
/// is closed only after that. Where nobody signs (a keeper of another version) that is so until its exec.
pub(super) fn find(home_mark: &str, runs: &[Run], ledger: Option<BorrowedFd<'_>>) -> Vec<(Run, Begun)> {
    if runs.is_empty() {
        return Vec::new();
    }
    let all = kin::with_environment(home_mark, &["PMON_ID", "PMON_GEN"]);
    let is = |kin: &Kin, name: &str, number: u64| kin.vars.get(name) == Some(&number.to_string());
    let find = |run: &Run| {
        let of_run = all
            .iter()
            .filter(|kin| kin.leads && is(kin, "PMON_ID", run.entry) && is(kin, "PMON_GEN", run.generation));
        let first = of_run.min_by_key(|kin| kin.member.start_time)?.member;
        let pidfd = child::open(first.pid).ok()??;
        child::is_alive(first).then_some(Spawned { pid: first.pid, pidfd })
    };
    let signed = |run: &Run| {
        let signed = ledger::last(ledger?, run.entry).filter(|signed| signed.run == *run)?;
        Some(match signed.process() {
            Some((member, pidfd)) => Begun::Lives(Spawned { pid: member.pid, pidfd }),
            None => Begun::Ended(signed.pid),
        })
    };
    let begun = |run: &Run| Some((*run, find(run).map(Begun::Lives).or_else(|| signed(run))?));
    runs.iter().filter_map(begun).collect()
}
