//! Processes that already run: reaping them, their trees, and signals that never hit a reused pid.
//!
//! A pid is a name that the system gives away again; here it never stands alone. A child of ours keeps its pid
//! until we reap it, a pidfd names one process for ever, and a [`Member`] is a pid with the time it was born.
//! Linux only: another system needs its own `stat`, `reap` and `send`.

use super::fault;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// One process of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Its pid.
    pub pid: u32,
    /// When it was born, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub start_time: u64,
}

/// A child that has ended and been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Its pid, free for reuse from now on.
    pub pid: u32,
    /// Raw status of wait4(2).
    pub status: i32,
    /// CPU time in user mode, with that of its own reaped children.
    pub user: Duration,
    /// CPU time in the kernel, likewise.
    pub system: Duration,
    /// Peak resident memory in KiB.
    pub max_rss_kib: u64,
}

/// Reaps one ended child of this process, if there is one.
pub fn reap() -> Option<Reaped> {
    wait(-1, libc::WNOHANG)
}

/// Reaps this child if it has ended.
pub fn reap_one(pid: u32) -> Option<Reaped> {
    wait(i32::try_from(pid).ok()?, libc::WNOHANG)
}

/// Waits for the end of a child that is about to end.
pub(super) fn reap_soon(pid: i32) {
    wait(pid, 0);
}

fn wait(pid: i32, flags: i32) -> Option<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are valid for writes during the call.
        let found = unsafe { libc::wait4(pid, &mut status, flags, usage.as_mut_ptr()) };
        match found {
            ..=-1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            ..=0 => return None,
            // SAFETY: zeroed above and filled by the call; every bit pattern of rusage is valid.
            _ => return Some(reaped(found, status, unsafe { usage.assume_init() })),
        }
    }
}

fn reaped(pid: i32, status: i32, usage: libc::rusage) -> Reaped {
    let span = |t: libc::timeval| {
        Duration::from_secs(u64::try_from(t.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(t.tv_usec).unwrap_or(0))
    };
    Reaped {
        pid: pid.unsigned_abs(),
        status,
        user: span(usage.ru_utime),
        system: span(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    }
}

/// The living tree of `pid`: every member of the session it leads, all descendants of those by parent links,
/// and itself; each process before its parent, `pid` last. Zombies are left out.
pub fn tree(pid: u32) -> Vec<Member> {
    let all = processes();
    // Itself, its parent, and so on up. Links read at different moments could form a ring, hence the limit.
    let line_of = |from: u32| {
        let up = |at: &u32| all.get(at).map(|stat| stat.parent);
        std::iter::successors(Some(from), up).take(MAX_DEPTH)
    };
    let belongs = |p: u32| line_of(p).any(|a| a == pid || all.get(&a).is_some_and(|s| s.session == pid));
    let mut tree: Vec<u32> = all.keys().copied().filter(|p| belongs(*p)).collect();
    // The longer the line, the further from the root of the system: a child always before its parent.
    tree.sort_by_cached_key(|p| (*p == pid, Reverse(line_of(*p).count())));
    let member = |p: &u32| all.get(p).map(|stat| Member { pid: *p, start_time: stat.start_time });
    tree.iter().filter_map(member).collect()
}

/// Deeper trees are not believed.
const MAX_DEPTH: usize = 10_000;

/// The process as a member, unless it is gone or a zombie.
pub fn member(pid: u32) -> Option<Member> {
    let stat = Stat::read(pid)?;
    (!stat.dead).then_some(Member { pid, start_time: stat.start_time })
}

/// True while this very process lives; a zombie does not.
pub fn is_alive(process: Member) -> bool {
    member(process.pid) == Some(process)
}

/// Sends `signal` to this very process; `false` if it is gone.
pub fn signal(process: Member, signal: i32) -> io::Result<bool> {
    let Some(pidfd) = open(process.pid)? else { return Ok(false) };
    // From here on the pidfd names one process: if the birth matches now, it is the right one.
    if !is_alive(process) {
        return Ok(false);
    }
    send(&pidfd, signal)
}

/// A pidfd of a process, `None` if there is none.
pub fn open(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Ok(None) };
    fault::at("child.open")?;
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Sends `signal` to the process of a pidfd; `false` if it has ended.
pub fn send(pidfd: impl AsFd, signal: i32) -> io::Result<bool> {
    fault::at("child.send")?;
    let fd = pidfd.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means that of kill(2); no memory is read or written.
    sent(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) })
}

/// Sends `signal` to the process group that `leader` leads, `false` if it is empty. Only for a child of ours
/// that is not reaped: until then nobody else can have its number.
pub fn send_group(leader: u32, signal: i32) -> io::Result<bool> {
    match i32::try_from(leader) {
        // SAFETY: kill(2) takes plain numbers.
        Ok(leader) if leader > 1 => sent(unsafe { libc::kill(-leader, signal) }.into()),
        _ => Ok(false),
    }
}

fn sent(result: libc::c_long) -> io::Result<bool> {
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        e => Err(e),
    }
}

/// The living processes of the system.
fn processes() -> BTreeMap<u32, Stat> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Stat::read(pid)?)))
        .filter(|(_, stat)| !stat.dead)
        .collect()
}

/// What we need of /proc/PID/stat.
#[derive(Debug, PartialEq)]
struct Stat {
    dead: bool,
    parent: u32,
    session: u32,
    start_time: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        Stat::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command name (field 2) may hold anything, `)` and newlines too: fields are counted from its end.
    fn parse(line: &[u8]) -> Option<Stat> {
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Stat {
            dead: matches!(field(3)?, "Z" | "X" | "x"),
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            start_time: field(22)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawn::tests::{sh, wait_for};

    #[test]
    fn a_command_name_with_spaces_brackets_and_bytes_does_not_shift_the_fields() {
        let mut line =
            b"42 (a) R 7 (\xff\n) S 1 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 12".to_vec();
        let wanted = Stat { dead: false, parent: 1, session: 40, start_time: 98765 };
        assert_eq!(Stat::parse(&line), Some(wanted));
        line.truncate(30);
        assert_eq!(Stat::parse(&line), None);
    }

    #[test]
    fn a_tree_holds_grandchildren_orphans_of_the_session_and_those_who_left_it() {
        let child = sh("(sleep 60 & sleep 60 &) & setsid sleep 60 & sh -c 'sleep 60; :' & wait; sleep 60");
        let name = |m: &Member| std::fs::read_to_string(format!("/proc/{}/comm", m.pid)).unwrap_or_default();
        wait_for("two shells and four sleeps", || {
            let mut names: Vec<_> = tree(child.pid).iter().map(name).collect();
            names.sort();
            names == ["sh\n", "sh\n", "sleep\n", "sleep\n", "sleep\n", "sleep\n"]
        });
        let tree = tree(child.pid);
        assert_eq!(tree.last().map(|m| m.pid), Some(child.pid), "itself last");
        for (place, process) in tree.iter().enumerate() {
            let parent = Stat::read(process.pid).unwrap().parent;
            let above = tree.iter().position(|m| m.pid == parent);
            assert!(above.is_none_or(|above| above > place), "children come before their parent");
        }
        for process in tree.iter().rev() {
            assert!(signal(*process, libc::SIGKILL).unwrap());
        }
        reap_soon(child.pid as i32);
        wait_for("all gone", || tree.iter().all(|m| !is_alive(*m)));
        assert!(!signal(tree[0], libc::SIGKILL).unwrap());
    }

    #[test]
    fn a_member_with_another_birth_is_not_signalled() {
        let child = sh("sleep 60");
        let real = member(child.pid).unwrap();
        let other = Member { start_time: real.start_time + 1, ..real };
        assert!(!is_alive(other) && !signal(other, libc::SIGKILL).unwrap() && is_alive(real));
        assert!(send(&child.pidfd, libc::SIGKILL).unwrap());
        wait_for("a zombie", || !is_alive(real));
        assert!(send_group(child.pid, 0).unwrap(), "its group stays ours until it is reaped");
        reap_soon(child.pid as i32);
        assert!(!send(&child.pidfd, libc::SIGKILL).unwrap());
    }
}
