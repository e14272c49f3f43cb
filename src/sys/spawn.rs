//! Making processes without copying this one: clone(2) with CLONE_VM and CLONE_VFORK, which costs the same
//! however big the parent is, with everything between birth and exec done here.
//!
//! The child, in this order: new session, its signature (if one is wanted), descriptors in place, file limit, umask as it is, directory, groups,
//! group, user, `LISTEN_PID`, all signals at their defaults and unblocked, exec. What fails is told with its
//! [`Stage`]. The caller stands still until the exec, so a program on a dead network disk would stop it: for that there
//! is [`spawn_within`], whose child has a copy of the parent's memory and tells over a pipe.
//!
//! The child may run in the parent's memory: it makes system calls and writes into its [`Plan`], nothing else.

use super::signal::{full_set, replace_mask};
use super::{child, fault};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creds {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups, all of them.
    pub groups: Vec<u32>,
}

/// Soft and hard limit of open files; `None` is no limit.
pub type FileLimit = rustix::process::Rlimit;

/// What to start and in which surroundings. Descriptors not in `map` are inherited unless close-on-exec.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// File to run; no search along PATH.
    pub file: &'a CStr,
    /// Arguments, the name first.
    pub argv: &'a [CString],
    /// The whole environment.
    pub envp: &'a [CString],
    /// Working directory.
    pub cwd: &'a CStr,
    /// Who runs it; `None`: who we are.
    pub creds: Option<&'a Creds>,
    /// Set `LISTEN_PID` in the environment to the child's own pid.
    pub listen_pid: bool,
    /// Child's number, and what it shall be there.
    pub map: &'a [(RawFd, BorrowedFd<'a>)],
    /// What it writes first of all; only with [`spawn_within`].
    pub sign: Option<Sign<'a>>,
    /// What is not ours to pass on.
    pub baseline: Baseline,
}

/// What a process writes before it does anything else, so that its birth is known whatever becomes of its parent: two
/// words, its pid, and the boot clock in nanoseconds. If it cannot run its program, it takes the pid back.
#[derive(Debug, Clone, Copy)]
pub struct Sign<'a> {
    /// Where.
    pub file: BorrowedFd<'a>,
    /// Its place there.
    pub at: u64,
    /// The first two words.
    pub words: [u64; 2],
}

/// Length of a signature in bytes.
pub const SIGNED: usize = 32;

/// The environment may hold secrets.
impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("file", &self.file).field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

/// What the keeper changed for itself and children must not inherit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Limit of open files to go back to.
    pub files: Option<FileLimit>,
    /// Set `oom_score_adj` to 0.
    pub reset_oom: bool,
}

/// A process that has just begun to run its program.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid.
    pub pid: u32,
    /// The process itself, close-on-exec.
    pub pidfd: OwnedFd,
}

/// Where making a process failed. The numbers are on the keeper's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Stage {
    /// clone(2).
    Clone = 0,
    /// Putting descriptors in place.
    Dup = 1,
    /// chdir(2).
    Chdir = 2,
    /// setgroups(2).
    Groups = 3,
    /// setresgid(2).
    Gid = 4,
    /// setresuid(2).
    Uid = 5,
    /// execve(2).
    Exec = 6,
}

impl Stage {
    const ALL: [Stage; 7] =
        [Stage::Clone, Stage::Dup, Stage::Chdir, Stage::Groups, Stage::Gid, Stage::Uid, Stage::Exec];

    /// The stage of this number; what a newer keeper may say counts as `Clone`.
    pub fn from_number(number: u16) -> Stage {
        Stage::ALL.into_iter().find(|stage| *stage as u16 == number).unwrap_or(Stage::Clone)
    }
}

impl fmt::Display for Stage {
    /// Completes "failed to …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Clone => "make a process",
            Stage::Dup => "hand over its file descriptors",
            Stage::Chdir => "enter its working directory",
            Stage::Groups => "set its supplementary groups",
            Stage::Gid => "set its group",
            Stage::Uid => "set its user",
            Stage::Exec => "run its program",
        })
    }
}

/// Why there is no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {errno}")]
pub struct SpawnError {
    /// What the system said.
    pub errno: Errno,
    /// When.
    pub stage: Stage,
}

/// Starts `program` as the leader of a session of its own.
pub fn spawn(program: &Program<'_>) -> Result<Spawned, SpawnError> {
    start(program, None, None)
}

/// As `spawn`, but waits for the exec so many milliseconds at most: a program on a disk that does not answer must not
/// hold up the caller. Of what fails later only the exit code 127 tells. Copies this process, which must be small.
/// A child that signs gives up all of the caller's descriptors above 2 then, also those to be inherited: should the caller
/// die while it waits for its program, nobody is kept from hearing of that.
pub fn spawn_within(program: &Program<'_>, patience_ms: u32) -> Result<Spawned, SpawnError> {
    let failed = |error: Errno| SpawnError { errno: error, stage: Stage::Clone };
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
    let above = program.map.iter().map(|(to, _)| to.saturating_add(1)).fold(3, RawFd::max);
    let report = rustix::io::fcntl_dupfd_cloexec(&writer, above).map_err(|e| failed(beyond(e)))?;
    drop(writer);
    // Out of the way of the destinations, as it is needed to the last.
    let own = program.sign.map(|sign| rustix::io::fcntl_dupfd_cloexec(sign.file, above));
    let own = own.transpose().map_err(|e| failed(beyond(e)))?;
    let sign = program.sign.zip(own.as_ref()).map(|(sign, own)| Sign { file: own.as_fd(), ..sign });
    let spawned = start(program, Some(report.as_raw_fd()), sign)?;
    drop(report);
    let time = Timespec {
        tv_sec: i64::from(patience_ms / 1000),
        tv_nsec: i64::from(patience_ms % 1000) * 1_000_000,
    };
    let mut fds = [PollFd::new(&reader, PollFlags::IN)];
    let told = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&time)));
    let mut words = [0; 8];
    match told {
        // Readable: the exec closed the other end, or it tells why there was none.
        Ok(1..) if rustix::io::read(&reader, &mut words) == Ok(8) => {
            child::reap_soon(spawned.pid.cast_signed());
            let [a, b, c, d, stage, rest, ..] = words;
            let errno = Errno::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
            Err(SpawnError { errno, stage: Stage::from_number(u16::from_ne_bytes([stage, rest])) })
        }
        _ => Ok(spawned),
    }
}

fn start(
    program: &Program<'_>,
    report: Option<RawFd>,
    sign: Option<Sign<'_>>,
) -> Result<Spawned, SpawnError> {
    fault::errno("spawn.clone").map_err(|errno| SpawnError { errno, stage: Stage::Clone })?;
    let mut listen_pid = *b"LISTEN_PID=4294967295\0";
    let listen = program.listen_pid.then_some(listen_pid.as_mut_ptr());
    let argv = pointers(program.argv.iter().map(|arg| arg.as_ptr()));
    let given = program.envp.iter().filter(|var| listen.is_none() || !var.to_bytes().starts_with(LISTEN_PID));
    let envp = pointers(given.map(|var| var.as_ptr()).chain(listen.map(|slot| slot.cast_const().cast())));
    let mut map: Vec<_> = program.map.iter().map(|(to, from)| (from.as_raw_fd(), *to)).collect();
    let signer = sign.map(|sign| sign.file.as_raw_fd());
    let gaps = gaps(map.iter().map(|(_, to)| *to).chain(report).chain(signer).collect());
    let mut plan = Plan {
        file: program.file.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        cwd: program.cwd.as_ptr(),
        creds: program.creds,
        listen_pid: listen.unwrap_or(ptr::null_mut()),
        free: map.iter().map(|(_, to)| to.saturating_add(1)).fold(3, RawFd::max),
        sign,
        gaps: &gaps,
        map: &mut map,
        baseline: program.baseline,
        report,
        failure: None,
    };
    let (pid, pidfd) =
        clone_and_wait(&mut plan).map_err(|errno| SpawnError { errno, stage: Stage::Clone })?;
    match plan.failure {
        None => Ok(Spawned { pid: pid.unsigned_abs(), pidfd }),
        Some(failure) => {
            child::reap_soon(pid);
            Err(failure)
        }
    }
}

const LISTEN_PID: &[u8] = b"LISTEN_PID=";

/// Everything the child needs, laid out before it is born: it must not allocate.
struct Plan<'a> {
    file: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    cwd: *const c_char,
    creds: Option<&'a Creds>,
    /// Start of `LISTEN_PID=` with room for ten digits and NUL, or null.
    listen_pid: *mut u8,
    /// From here on no number is a destination.
    free: RawFd,
    /// From, to.
    map: &'a mut [(RawFd, RawFd)],
    sign: Option<Sign<'a>>,
    /// Numbers, first to last, that are no destination.
    gaps: &'a [(u32, u32)],
    baseline: Baseline,
    /// Where to tell what failed; the child has its own memory then, and nobody stands still for it.
    report: Option<RawFd>,
    /// Written by the child, if its memory is ours.
    failure: Option<SpawnError>,
}

/// A null-terminated array for exec.
fn pointers(items: impl Iterator<Item = *const c_char>) -> Vec<*const c_char> {
    items.chain([ptr::null()]).collect()
}

/// The numbers above 2 between these and above them.
fn gaps(mut kept: Vec<RawFd>) -> Vec<(u32, u32)> {
    kept.sort_unstable();
    let (mut gaps, mut next) = (Vec::new(), 3);
    for number in
        kept.into_iter().filter_map(|number| u32::try_from(number).ok()).filter(|number| *number > 2)
    {
        if number > next {
            gaps.push((next, number - 1));
        }
        next = number.saturating_add(1);
    }
    gaps.push((next, u32::MAX));
    gaps
}

/// The child's stack. Its deepest call needs some hundred bytes in release, a few KiB in debug.
const STACK: usize = 64 * 1024;

fn clone_and_wait(plan: &mut Plan<'_>) -> Result<(c_int, OwnedFd), Errno> {
    let mut stack = Box::<[u128]>::new_uninit_slice(STACK / size_of::<u128>());
    let mut pidfd: c_int = -1;
    // A handler of ours must not run in the child, on our memory: nothing is delivered until it has reset them.
    let mask = replace_mask(&full_set()).map_err(errno_of)?;
    let shared = if plan.report.is_none() { libc::CLONE_VM | libc::CLONE_VFORK } else { 0 };
    let flags = shared | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack and the plan outlive the child's use of them, because CLONE_VFORK holds this thread
    // until exec or exit, or because the child has copies of its own; the stack's end is aligned to 16 bytes; `born`
    // keeps to what a vfork child may do.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
        libc::clone(born, top, flags, ptr::from_mut(plan).cast::<c_void>(), &raw mut pidfd)
    };
    let result = if pid < 0 { Err(errno_of(std::io::Error::last_os_error())) } else { Ok(pid) };
    let restored = replace_mask(&mask);
    debug_assert!(restored.is_ok(), "a mask that was in force is valid");
    // SAFETY: CLONE_PIDFD stored a new close-on-exec descriptor when clone succeeded.
    result.map(|pid| (pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// F_DUPFD says EINVAL for numbers beyond the limit of open files.
fn beyond(errno: Errno) -> Errno {
    if errno == Errno::INVAL { Errno::MFILE } else { errno }
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
}

/// The child's first function. It returns only if something failed, and then ends the child.
extern "C" fn born(plan: *mut c_void) -> c_int {
    // SAFETY: the pointer given to clone; the parent stands still, or this is a copy: the only reference in use.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    if let Err(stage) = prepare(plan) {
        let errno = errno_of(std::io::Error::last_os_error());
        let errno = if stage == Stage::Dup { beyond(errno) } else { errno };
        let failure = SpawnError { errno, stage };
        plan.failure = Some(failure);
        write_sign(plan.sign, 0);
        if let Some(report) = plan.report {
            let ([a, b, c, d], [e, f]) =
                (failure.errno.raw_os_error().to_ne_bytes(), (stage as u16).to_ne_bytes());
            let words = [a, b, c, d, e, f, 0, 0];
            // SAFETY: write(2) of eight bytes of our own, to a pipe that has room for them.
            unsafe { libc::write(report, words.as_ptr().cast(), words.len()) };
        }
    }
    // SAFETY: _exit(2) runs no handlers of the parent's memory.
    unsafe { libc::_exit(127) }
}

/// From birth to exec. `errno` tells what went wrong.
fn prepare(plan: &mut Plan<'_>) -> Result<(), Stage> {
    // SAFETY: only system calls on numbers and on pointers that the parent keeps valid, see `Plan`. Credentials
    // go through `syscall`, since the C library would try to change them in all threads of the parent.
    unsafe {
        libc::setsid();
        write_sign(plan.sign, libc::getpid());
        if plan.baseline.reset_oom {
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::write(fd, c"0".as_ptr().cast(), 1);
            libc::close(fd);
        }
        // First all out of the way of the destinations, then in place; the copies go at exec.
        for (from, _) in &mut *plan.map {
            *from = check(libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, plan.free), Stage::Dup)?;
        }
        for (from, to) in &*plan.map {
            check(libc::dup2(*from, *to), Stage::Dup)?;
        }
        if plan.sign.is_some() {
            // Nor is it to be mistaken for its parent.
            libc::prctl(libc::PR_SET_NAME, c"pm-start".as_ptr());
        }
        if let Some(limit) = plan.baseline.files {
            let value = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
            let limit = libc::rlimit { rlim_cur: value(limit.current), rlim_max: value(limit.maximum) };
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
        check(libc::chdir(plan.cwd), Stage::Chdir)?;
        if let Some(creds) = plan.creds {
            let (uid, gid) = (creds.uid, creds.gid);
            let groups = libc::syscall(libc::SYS_setgroups, creds.groups.len(), creds.groups.as_ptr());
            // Without privilege one may still run as oneself.
            if groups != 0 && uid != libc::geteuid() {
                return Err(Stage::Groups);
            }
            check(libc::syscall(libc::SYS_setresgid, gid, gid, gid), Stage::Gid)?;
            check(libc::syscall(libc::SYS_setresuid, uid, uid, uid), Stage::Uid)?;
        }
        write_pid(plan.listen_pid);
        reset_signals();
        for (first, last) in plan.gaps.iter().filter(|_| plan.sign.is_some()) {
            // Before Linux 5.9 they are closed by the exec only.
            libc::syscall(libc::SYS_close_range, *first, *last, 0);
        }
        libc::execve(plan.file, plan.argv, plan.envp);
    }
    Err(Stage::Exec)
}

fn check<T: Into<libc::c_long> + Copy>(result: T, stage: Stage) -> Result<T, Stage> {
    if result.into() < 0 { Err(stage) } else { Ok(result) }
}

/// Writes the signature with this pid; 0: none was begun.
///
/// Only system calls, for a child that must not allocate. It writes to a memory file, which has the room.
fn write_sign(sign: Option<Sign<'_>>, pid: libc::pid_t) {
    let Some(sign) = sign else { return };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writes during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let at_ns = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    let [first, second] = sign.words;
    let words = [first, second, u64::from(pid.unsigned_abs()), at_ns];
    // SAFETY: pwrite(2) of four words of our own.
    unsafe { libc::pwrite(sign.file.as_raw_fd(), words.as_ptr().cast(), SIGNED, sign.at.cast_signed()) };
}

/// Completes `LISTEN_PID=` with our own pid: digits without leading zeros, as sd_listen_fds(3) reads it.
///
/// # Safety
/// `slot` is null or points to that text with room for ten digits and NUL after it.
unsafe fn write_pid(slot: *mut u8) {
    if slot.is_null() {
        return;
    }
    let mut pid = std::process::id();
    let mut digits = [0u8; 10];
    let mut count = 0;
    for digit in &mut digits {
        *digit = b'0' + (pid % 10) as u8;
        pid /= 10;
        count += 1;
        if pid == 0 {
            break;
        }
    }
    // SAFETY: at most ten digits and the NUL, within the slot by contract.
    unsafe {
        let mut at = slot.add(LISTEN_PID.len());
        for digit in digits.iter().take(count).rev() {
            at.write(*digit);
            at = at.add(1);
        }
        at.write(0);
    }
}

/// Dispositions to their defaults (Rust ignores SIGPIPE), then an empty mask.
fn reset_signals() {
    // The kernel's own sigaction, all zero: SIG_DFL, no flags, empty mask. The C library's function refuses
    // the signals that it uses itself, and whoever started us may have them ignored.
    let default = [0u64; 4];
    // SAFETY: plain system calls on valid pointers; 8 is the size of the kernel's signal set.
    unsafe {
        for number in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), ptr::null_mut::<u64>(), 8);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sys::clock;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    /// A shell of its own session running `script`.
    pub(crate) fn sh(script: &str) -> Spawned {
        run(script, &[], |_| {}).unwrap()
    }

    /// Waits until `condition` holds; panics with its name after ten seconds.
    pub(crate) fn wait_for(name: &str, mut condition: impl FnMut() -> bool) {
        let start = clock::monotonic_ns();
        while !condition() {
            assert!(clock::monotonic_ns() - start < 10_000_000_000, "waited in vain for {name}");
            std::thread::yield_now();
        }
    }

    fn run(
        script: &str,
        map: &[(RawFd, BorrowedFd<'_>)],
        change: impl FnOnce(&mut Program<'_>),
    ) -> Result<Spawned, SpawnError> {
        let argv = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()];
        let envp = [c"PATH=/usr/bin:/bin".to_owned(), c"LISTEN_PID=1".to_owned(), c"A=b c".to_owned()];
        let mut program = Program {
            file: c"/bin/sh",
            argv: &argv,
            envp: &envp,
            cwd: c"/",
            creds: None,
            listen_pid: false,
            map,
            sign: None,
            baseline: Baseline::default(),
        };
        change(&mut program);
        spawn(&program)
    }

    fn output(script: &str, change: impl FnOnce(&mut Program<'_>)) -> (String, u32) {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let child = run(script, &[(1, writer.as_fd()), (2, writer.as_fd())], change).unwrap();
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        child::reap_soon(child.pid as i32);
        (text, child.pid)
    }

    #[test]
    fn the_child_leads_a_session_in_its_directory_with_its_environment() {
        let (text, pid) =
            output("cut -d' ' -f1,5,6 /proc/$$/stat; pwd; echo $A; echo $LISTEN_PID", |p| p.cwd = c"/tmp");
        assert_eq!(text, format!("{pid} {pid} {pid}\n/tmp\nb c\n1\n"));
    }

    #[test]
    fn listen_pid_is_the_childs_own() {
        let (text, pid) = output("echo $LISTEN_PID; env | grep -c LISTEN_PID", |p| p.listen_pid = true);
        assert_eq!(text, format!("{pid}\n1\n"));
    }

    #[test]
    fn signals_are_unblocked_and_at_their_defaults() {
        let (text, _) = output("exec grep -E 'Sig(Blk|Ign)' /proc/self/status", |_| {});
        assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    }

    #[test]
    fn the_file_limit_goes_back() {
        let limit = FileLimit { current: Some(77), maximum: Some(99) };
        let files = Baseline { files: Some(limit), reset_oom: true };
        let (text, _) = output("ulimit -Sn; ulimit -Hn; cat /proc/$$/oom_score_adj", |p| p.baseline = files);
        assert_eq!(text, "77\n99\n0\n");
    }

    #[test]
    fn descriptors_may_swap_places_and_nothing_else_gets_through() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (a, b) = (writer.as_raw_fd(), reader.as_raw_fd());
        // Each goes to the number that the other has here.
        let map = [(b, writer.as_fd()), (a, reader.as_fd()), (1, writer.as_fd())];
        let script =
            format!("readlink /proc/$$/fd/{a} /proc/$$/fd/{b}; ls /proc/$$/fd | wc -l; echo hi >&{b}");
        let child = run(&script, &map, |_| {}).unwrap();
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        child::reap_soon(child.pid as i32);
        assert!(text.starts_with("pipe:[") && text.ends_with("hi\n"), "{text}");
    }

    #[test]
    fn failures_name_their_stage_and_leave_no_zombie() {
        let failed = |change: fn(&mut Program<'_>)| run("exit 0", &[], change).unwrap_err();
        let missing = failed(|p| p.file = c"/no/such/file");
        assert_eq!(missing, SpawnError { errno: Errno::NOENT, stage: Stage::Exec });
        assert_eq!(missing.to_string(), format!("run its program: {}", Errno::NOENT));
        assert_eq!(failed(|p| p.file = c"/etc/passwd").errno, Errno::ACCESS);
        assert_eq!(failed(|p| p.cwd = c"/no/such/dir").stage, Stage::Chdir);
        let far = run("exit 0", &[(1 << 30, std::io::stdin().as_fd())], |_| {}).unwrap_err();
        assert_eq!(far, SpawnError { errno: Errno::MFILE, stage: Stage::Dup });
    }

    #[test]
    fn it_runs_as_who_was_asked_for() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let nobody: &Creds = Box::leak(Box::new(Creds { uid: 65534, gid: 65534, groups: vec![65533] }));
        let (text, _) = output("id -u; id -g; id -G", |p| p.creds = Some(nobody));
        assert_eq!(text, "65534\n65534\n65534 65533\n");
    }
}
