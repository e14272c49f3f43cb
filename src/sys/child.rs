//! Processes that already run: reaping them, and signals that never hit a reused pid.
//!
//! A pid is a name that the system gives away again; here it never stands alone. A child of ours keeps its pid
//! until we reap it, a pidfd names one process for ever, and a [`Member`] is a pid with the time it was born.
//! Linux only: another system needs its own `stat`, `reap` and `send`.

use super::fault;
use super::processes::Seen;
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
#[cfg(test)]
pub(crate) fn reap_one_soon(pid: u32) {
    reap_soon(pid.cast_signed());
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

/// The process as a member, unless it is gone or a zombie.
pub fn member(pid: u32) -> Option<Member> {
    let seen = Seen::read(pid)?;
    (!seen.dead).then_some(seen.member)
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

/// Sends `signal` to the process group that the process of this pidfd leads or led, all at once, so that none of them
/// forks away; `false` if it is empty. A pidfd means that group for ever, also when the leader is gone. Before
/// Linux 6.9 this is an error (EINVAL).
pub fn send_group_of(leader: impl AsFd, signal: i32) -> io::Result<bool> {
    /// PIDFD_SIGNAL_PROCESS_GROUP of linux/pidfd.h.
    const GROUP: u32 = 1 << 2;
    let fd = leader.as_fd().as_raw_fd();
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means that of kill(2); no memory is read or written.
    sent(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, GROUP) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawn::tests::{sh, wait_for};

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

    #[test]
    fn a_group_is_signalled_by_the_pidfd_of_a_leader_that_is_gone() {
        let child = sh("sleep 60 & sleep 60 & echo");
        reap_soon(child.pid as i32);
        assert!(send_group_of(&child.pidfd, 0).unwrap(), "the two sleep");
        assert!(send_group_of(&child.pidfd, libc::SIGKILL).unwrap());
        wait_for("an empty group", || !send_group_of(&child.pidfd, 0).unwrap());
    }
}
