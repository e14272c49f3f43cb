//! Finding processes by what they were born with, and taking back the descriptors they hold.
//!
//! An environment is inherited, so every descendant of a process looks like it here; whoever needs the one that was
//! started must compare pid and birth, or take the oldest that leads a session.

use super::child::{self, Member};
use super::proc;
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A living process and some of its environment.
#[derive(Debug, Clone)]
pub struct Kin {
    /// The process.
    pub member: Member,
    /// It leads its session, as everything that `spawn` makes does.
    pub leads: bool,
    /// The variables asked for, as far as it has them.
    pub vars: HashMap<String, String>,
}

/// Living processes, other than this one, whose environment has `mark` (`NAME=value`), with those of `names` they have.
/// Processes of other users cannot be seen into without privilege.
pub fn with_environment(mark: &str, names: &[&str]) -> Vec<Kin> {
    let pids = proc::pids().unwrap_or_default();
    let ours = std::process::id();
    pids.into_iter().filter(|pid| *pid != ours).filter_map(|pid| one(pid, mark, names)).collect()
}

/// The pid of a living keeper or daemon, other than this process and `except`, of the home whose mark (`PMON_HOME=…`)
/// this is: one that serves although its lock or socket cannot be found any more.
pub fn server_of(mark: &[u8], except: &[u32]) -> Option<u32> {
    let ours = std::process::id();
    let pids = proc::pids().unwrap_or_default().into_iter();
    pids.filter(|pid| *pid != ours && !except.contains(pid)).find(|pid| {
        let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let serves = name.starts_with(b"pm-keeper") || name.starts_with(b"pm-daemon");
        serves && environment_has(*pid, mark)
    })
}

/// Whether a process was born with this variable (`NAME=value`).
pub fn environment_has(pid: u32, mark: &[u8]) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|var| var == mark)
}

/// The value of a variable that a process was born with.
pub fn variable(pid: u32, name: &str) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut all = environment.split(|byte| *byte == 0);
    all.find_map(|var| var.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec))
}

fn one(pid: u32, mark: &str, names: &[&str]) -> Option<Kin> {
    let vars = vars(pid, mark, names)?;
    // After the environment: if this is who was born at that time now, it was so then.
    let member = child::member(pid)?;
    Some(Kin { member, leads: proc::session(pid) == Some(pid), vars })
}

/// Those of `names` that a process has in its environment, if that has `mark` (`NAME=value`) too.
pub fn vars(pid: u32, mark: &str, names: &[&str]) -> Option<HashMap<String, String>> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let all = || environment.split(|byte| *byte == 0);
    if !all().any(|var| var == mark.as_bytes()) {
        return None;
    }
    let mut vars = HashMap::new();
    for var in all().filter_map(|var| std::str::from_utf8(var).ok()) {
        if let Some((name, value)) = var.split_once('=')
            && names.contains(&name)
        {
            vars.insert(name.to_owned(), value.to_owned());
        }
    }
    Some(vars)
}

/// The descriptor `number` of another process, close-on-exec. Where that is not allowed (pidfd_getfd(2) asks for
/// what a debugger may), a pipe or memory file is opened anew through /proc instead, which is as good.
pub fn descriptor(process: Member, pidfd: impl AsFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the result is checked before it is owned.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_fd().as_raw_fd(), number, 0) };
    if let Ok(fd) = RawFd::try_from(fd)
        && fd >= 0
    {
        // SAFETY: a new descriptor that the call has just made for us.
        return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let refused = io::Error::last_os_error();
    reopen(process.pid, number)?.ok_or(refused)
}

/// Opens a pipe or memory file of another process anew; `None`: it is something else.
fn reopen(pid: u32, number: RawFd) -> io::Result<Option<OwnedFd>> {
    let path = format!("/proc/{pid}/fd/{number}");
    let target = std::fs::read_link(&path)?;
    let target = target.to_string_lossy();
    let writable = OFlags::RDWR | OFlags::CLOEXEC;
    let flags = match () {
        () if target.starts_with("/memfd:") => writable,
        () if target.starts_with("pipe:") && is_writable(pid, number) => writable | OFlags::NONBLOCK,
        () if target.starts_with("pipe:") => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        () => return Ok(None),
    };
    Ok(Some(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Opened for writing, as /proc/PID/fdinfo tells (`flags:` in octal, the last digit is the access mode).
fn is_writable(pid: u32, number: RawFd) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.is_some_and(|flags| flags.trim().ends_with(['1', '2']))
}

/// What a descriptor is, whoever holds it: device and inode.
pub fn identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Numbers under which a process has sockets, with their inodes.
pub fn sockets(pid: u32) -> Vec<(RawFd, u64)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((number, inode))
        })
        .collect()
}

/// Names this boot, and these pids: in another boot or container, pids and births mean nothing.
pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let pids = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", id.trim(), pids.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_found_by_its_environment_and_gives_its_pipe_back() {
        let mark = format!("PMON_TEST_KIN={}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut cat = Command::new("cat")
            .env(name, value)
            .env("PMON_ID", "7")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let kin = with_environment(&mark, &["PMON_ID"]);
        assert_eq!(kin.len(), 1);
        assert_eq!((kin[0].member.pid, kin[0].vars["PMON_ID"].as_str()), (cat.id(), "7"));
        assert!(!kin[0].leads);
        let pidfd = child::open(cat.id()).unwrap().unwrap();
        let its_stdin = descriptor(kin[0].member, &pidfd, 0).unwrap();
        assert_eq!(identity(&its_stdin).unwrap().1, identity(cat.stdin.as_ref().unwrap()).unwrap().1);
        assert!(descriptor(kin[0].member, &pidfd, 999).is_err());
        let anew = reopen(cat.id(), 0).unwrap().unwrap();
        assert_eq!(identity(&anew).unwrap(), identity(&its_stdin).unwrap());
        let mut writer = cat.stdin.take().unwrap();
        cat.kill().unwrap();
        cat.wait().unwrap();
        writer.write_all(b"kept").unwrap();
        let mut kept = [0; 4];
        std::fs::File::from(its_stdin).read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
    }
}
