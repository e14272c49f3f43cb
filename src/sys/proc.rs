//! What the kernel tells about other processes: CPU clocks, sessions, `/proc/PID`. One system call a question;
//! what the answers mean for a worker is up to `metrics`.

use super::fault;
use crate::model::Bytes;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// CPU time that the process `pid` has used in all its threads, dead ones included, in nanoseconds; `None`: it is gone.
///
/// The clock of another process needs no descriptor and no privilege and costs a tenth of reading
/// `/proc/PID/stat`. Children, also reaped ones, are not in it.
pub fn cpu_clock(pid: u32) -> Option<u64> {
    // clock_getcpuclockid(3): the pid's complement in the upper 29 bits, CPUCLOCK_SCHED (2) in the lower three.
    let clock = (!i32::try_from(pid).ok()? << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes during the call; a clock that does not exist is an error, not undefined.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if status != 0 {
        return None;
    }
    Some(u64::try_from(time.tv_sec).ok()? * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?)
}

/// Session of a process, 0 if it has none that this pid namespace knows (kernel threads); `None`: it is gone.
/// Costs a twentieth of reading it from `/proc`.
pub fn session(pid: u32) -> Option<u32> {
    // Not rustix's getsid: its pids are never 0, and this one may be.
    // SAFETY: getsid(2) takes a number and touches no memory.
    let session = unsafe { libc::getsid(i32::try_from(pid).ok()?) };
    u32::try_from(session).ok()
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2)); `None`: it is gone.
pub fn hold(pid: u32) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

/// True if a process runs the very file that this one runs; false also if that cannot be seen.
pub fn runs_this_program(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: String| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let ours = file("/proc/self/exe".to_owned());
    ours.is_some() && file(format!("/proc/{pid}/exe")) == ours
}

/// CPU time that the first thread of a process has used, to the clock tick; `None`: the process is gone.
pub fn first_thread_cpu(pid: u32) -> Option<Duration> {
    let text = std::fs::read(format!("/proc/{pid}/task/{pid}/stat")).ok()?;
    let end = memchr::memrchr(b')', &text)?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // Fields 14 and 15 (proc_pid_stat(5)); the first after the command is field 3.
    let ticks = rest.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis(ticks.sum::<u64>() * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// How often the first thread of a process has been given a CPU, or has given it back; `None`: the process is gone.
pub fn switches(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let counts = status.lines().filter_map(|line| {
        let (name, count) = line.split_once(':')?;
        name.ends_with("voluntary_ctxt_switches").then(|| count.trim().parse::<u64>().ok())?
    });
    Some(counts.sum())
}

/// All processes that can be seen, kernel threads included, mostly ascending.
pub fn pids() -> io::Result<Vec<u32>> {
    fault::at("proc.pids")?;
    let mut pids = Vec::with_capacity(256);
    for entry in std::fs::read_dir("/proc")? {
        // An entry that cannot be read is one that has just gone.
        if let Ok(entry) = entry
            && let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// What `/proc/PID/stat` says (proc_pid_stat(5)). Not memory: since Linux 6.2 that file leaves out what the CPUs have
/// not yet summed up, for a small process all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Parent's pid; a process whose parent died has that of a subreaper.
    pub parent: u32,
    /// CPU time of children that have ended and were waited for, theirs included, in nanoseconds, by clock ticks.
    pub reaped_ns: u64,
    /// When it started, in milliseconds of the boot clock, by clock ticks.
    pub started_ms: u64,
}

/// Reads `/proc/PID/stat`; `None`: the process is gone.
pub fn stat(pid: u32) -> Option<Stat> {
    let mut buffer = [0u8; 1024];
    let open = || fault::at("proc.stat").and_then(|()| File::open(format!("/proc/{pid}/stat")));
    let length = match open().and_then(|file| file.read_at(&mut buffer, 0)) {
        Ok(length) => length,
        Err(_gone) => return None,
    };
    parse_stat(buffer.get(..length)?)
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The second field is the command in parentheses and may hold anything; the last `)` ends it.
    let end = memchr::memrchr(b')', text)?;
    let text = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().take(20).collect();
    // Numbered from 1 as in the manual; the first after the command is field 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        reaped_ns: (field(16)? + field(17)?).saturating_mul(1_000_000_000 / per_second),
        started_ms: field(22)?.saturating_mul(1000 / per_second),
    })
}

/// A process that is looked at often: what is read of it stays open. Once it is gone, reading fails,
/// also when its pid is somebody else's by then.
#[derive(Debug)]
pub struct Probe {
    statm: File,
    children: Option<File>,
}

impl Probe {
    /// Opens the files of `pid`. An error: it is gone, or this process has no descriptor left.
    pub fn open(pid: u32) -> io::Result<Probe> {
        Ok(Probe {
            statm: File::open(format!("/proc/{pid}/statm"))?,
            // Missing in a kernel without CONFIG_PROC_CHILDREN.
            children: File::open(format!("/proc/{pid}/task/{pid}/children")).ok(),
        })
    }

    /// Its resident memory; zero for a zombie.
    pub fn memory(&self) -> io::Result<Bytes> {
        resident(&self.statm)
    }

    /// Whether its main thread has children now; `None`: this kernel does not tell.
    pub fn has_children(&self) -> Option<bool> {
        let mut byte = [0u8; 1];
        Some(self.children.as_ref()?.read_at(&mut byte, 0).unwrap_or(0) > 0)
    }
}

/// Resident memory of a process that is looked at once; zero for a zombie. An error: it is gone, or this process
/// has no descriptor left.
pub fn memory(pid: u32) -> io::Result<Bytes> {
    resident(&File::open(format!("/proc/{pid}/statm"))?)
}

fn resident(statm: &File) -> io::Result<Bytes> {
    fault::at("proc.memory")?;
    let mut buffer = [0u8; 128];
    let length = statm.read_at(&mut buffer, 0)?;
    let pages: Option<u64> = std::str::from_utf8(buffer.get(..length).unwrap_or_default())
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse().ok());
    let bytes = |pages: u64| Bytes(pages.saturating_mul(rustix::param::page_size() as u64));
    pages.map(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_clock_a_session_memory_and_a_parent() {
        let pid = std::process::id();
        assert!(cpu_clock(pid).unwrap() > 0);
        assert!(session(pid).is_some());
        assert!(pids().unwrap().contains(&pid));
        let stat = stat(pid).unwrap();
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        assert!(stat.started_ms <= crate::sys::clock::now().boot_ms);
        assert!(Probe::open(pid).unwrap().memory().unwrap().get() > 0);
    }

    #[test]
    fn a_process_that_is_gone_is_none_and_its_probe_fails() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let probe = Probe::open(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(cpu_clock(pid), None);
        assert_eq!(session(pid), None);
        assert_eq!(stat(pid), None);
        assert!(probe.memory().is_err());
        assert!(Probe::open(pid).is_err());
    }

    #[test]
    fn a_command_may_hold_parentheses_and_blanks() {
        let ticks = rustix::param::clock_ticks_per_second();
        let line = format!(
            "7 (a) 9 (b c)) S 3 7 7 0 -1 0 0 0 0 0 11 22 {ticks} {ticks} 20 0 1 0 {ticks} 1000 5 18446744073709551615"
        );
        assert_eq!(
            parse_stat(line.as_bytes()),
            Some(Stat { parent: 3, reaped_ns: 2_000_000_000, started_ms: 1000 })
        );
        assert_eq!(parse_stat(b"7 (cut) S 3"), None);
        assert_eq!(parse_stat(b""), None);
    }
}
