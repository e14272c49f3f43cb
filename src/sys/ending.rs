//! How a process ended that is not a child of ours, so that wait4(2) does not tell.
//!
//! Two sources, neither sure: its zombie shows the status as long as its parent has not reaped it
//! (proc_pid_stat(5), field 52), and since Linux 6.15 its pidfd does from then on (`PIDFD_GET_INFO`).

use super::child;
use std::os::fd::{AsFd, AsRawFd};

/// Raw status as of wait4(2) of a process that has ended; `None`: it has not, or nobody can tell (yet).
pub fn status(pid: u32, pidfd: impl AsFd) -> Option<i32> {
    of_zombie(pid, &pidfd).or_else(|| of_reaped(pidfd))
}

fn of_zombie(pid: u32, pidfd: impl AsFd) -> Option<i32> {
    let line = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    // The first after the command is field 3.
    let is_zombie = fields.next() == Some("Z");
    let status = fields.nth(52 - 4)?.parse().ok()?;
    // Not reaped now, so it was not reaped when we read: the line is about this very process.
    let still_there = child::send(pidfd, 0).unwrap_or(false);
    (is_zombie && still_there).then_some(status)
}

/// `struct pidfd_info` of linux/pidfd.h as of 6.15, 64 bytes.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `_IOWR(0xff, 11, struct pidfd_info)`.
const GET_INFO: u64 = 0xc040_ff0b;
const INFO_EXIT: u64 = 1 << 3;

fn of_reaped(pidfd: impl AsFd) -> Option<i32> {
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the request carries the size of `Info`, and the kernel writes no more than that.
    let done = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), GET_INFO as _, &raw mut info) };
    (done == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawn::tests::{sh, wait_for};

    #[test]
    fn a_zombie_tells_how_it_ended_and_the_living_does_not() {
        let child = sh("exec sleep 60");
        assert_eq!(status(child.pid, &child.pidfd), None);
        child::send(&child.pidfd, libc::SIGTERM).unwrap();
        wait_for("its status", || status(child.pid, &child.pidfd) == Some(libc::SIGTERM));
        child::reap_soon(child.pid as i32);
        // Where the kernel remembers it, it remembers the same.
        assert!(matches!(status(child.pid, &child.pidfd), None | Some(libc::SIGTERM)));
    }
}
