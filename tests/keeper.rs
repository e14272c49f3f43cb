//! The keeper with real processes. It waits for any child of its process, so it lives in one of its own: this test
//! binary once more. The tests are its daemons: for each one it starts, a `sleep` stands in as the process, and the
//! daemon's end of the link comes here.
#![expect(clippy::unwrap_used, reason = "tests")]

use pmon::keeper::daemon::Start;
use pmon::keeper::run::Keeper;
use pmon::keeper::{Beginning, Entry, EntryState, FromKeeper, Link, SpawnRequest, Stage, Tag};
use pmon::model::{Exit, Run};
use pmon::sys::lock::Lock;
use pmon::sys::paths::Home;
use pmon::sys::processes::Processes;
use pmon::sys::spawn::{self, Baseline, Program, SpawnError, Spawned};
use pmon::sys::{child, clock, fd, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

const SECRET: &str = "PMON_TEST_KEEPER";

// ---- the process that is a keeper ----

#[test]
fn this_process_is_the_keeper_when_asked_to_be() {
    match std::env::var(SECRET).as_deref() {
        Ok("run") => {
            let baseline = pmon::keeper::settle().unwrap();
            let program =
                rustix::fs::open("/bin/sleep", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let courier = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            Keeper::new(StandIn { courier }, program, None, baseline).unwrap().run().unwrap();
        }
        Ok("enter") => {
            let ready = std::io::stdin().as_fd().try_clone_to_owned().unwrap().into_raw_fd();
            pmon::keeper::enter(&Home::from_env(), Beginning::Fresh(Some(ready))).unwrap_err();
        }
        _ => {}
    }
}

struct StandIn {
    courier: OwnedFd,
}

impl Start for StandIn {
    fn start(
        &mut self,
        program: BorrowedFd<'_>,
        socket: BorrowedFd<'_>,
        _ready: Option<BorrowedFd<'_>>,
    ) -> Result<Spawned, SpawnError> {
        let argv = [c"sleep".to_owned(), c"1000".to_owned()];
        let daemon = spawn::spawn(&Program {
            file: c"/bin/sleep",
            argv: &argv,
            envp: &[],
            cwd: c"/",
            creds: None,
            listen_pid: false,
            map: &[],
            sign: None,
            baseline: Baseline::default(),
        })?;
        let pid = daemon.pid.to_le_bytes();
        fd::send(&self.courier, &pid, &[socket, daemon.pidfd.as_fd(), program]).unwrap();
        Ok(daemon)
    }
}

fn keeper_process(role: &str, stdin: OwnedFd) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["this_process_is_the_keeper_when_asked_to_be", "--exact", "--nocapture"])
        .env(SECRET, role)
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    signal::start_blocked(&mut command);
    command
}

// ---- the tests' side of it ----

struct Fixture {
    keeper: Child,
    courier: OwnedFd,
}

/// The present daemon. Dropping it leaves the stand-in alive; `die` is its death.
struct Daemon {
    link: Link,
    process: OwnedFd,
    program: String,
}

impl Fixture {
    fn new() -> Fixture {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        Fixture { keeper: keeper_process("run", theirs).spawn().unwrap(), courier: ours }
    }

    /// The next daemon that the keeper starts.
    fn daemon(&self) -> Daemon {
        readable(&self.courier, "the keeper to start a daemon");
        let mut got = fd::receive(&self.courier, &mut [0; 4]).unwrap();
        assert_eq!(got.fds.len(), 3, "the keeper ended");
        let program = std::os::fd::AsRawFd::as_raw_fd(&got.fds[2]);
        let program = std::fs::read_link(format!("/proc/self/fd/{program}")).unwrap();
        let process = got.fds.remove(1);
        Daemon { link: Link::new(got.fds.remove(0)), process, program: program.display().to_string() }
    }

    /// The next daemon, after it has heard everything.
    fn attached(&self) -> (Daemon, Vec<Entry>) {
        let daemon = self.daemon();
        let entries = daemon.handover();
        (daemon, entries)
    }

    fn ended(&mut self) -> bool {
        self.keeper.try_wait().unwrap().is_some_and(|status| status.success())
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let Some(keeper) = child::member(self.keeper.id()) else { return };
        // Stopped, it starts no other daemon while its children are killed.
        child::signal(keeper, libc::SIGSTOP).unwrap();
        for process in Processes::look().tree(keeper.pid) {
            child::signal(process, libc::SIGKILL).unwrap();
        }
        self.keeper.wait().unwrap();
    }
}

impl Daemon {
    fn hear(&self) -> FromKeeper {
        loop {
            if let Some(told) = self.link.receive().unwrap() {
                return told;
            }
            readable(&self.link, "the keeper to say something");
        }
    }

    fn handover(&self) -> Vec<Entry> {
        let FromKeeper::Welcome { entries: count, .. } = self.hear() else { panic!("welcome comes first") };
        let mut entries = Vec::new();
        loop {
            match self.hear() {
                FromKeeper::Entry(entry) => entries.push(entry),
                FromKeeper::End => break,
                other => panic!("within the handover came {other:?}"),
            }
        }
        assert_eq!(entries.len() as u64, count);
        entries
    }

    fn spawned(&self, run: Run) -> (u32, OwnedFd) {
        match self.hear() {
            FromKeeper::Spawned { run: r, token, pid, pidfd } if r == run && token == run.entry + 1000 => {
                (pid, pidfd)
            }
            other => panic!("instead of spawned {run} came {other:?}"),
        }
    }

    fn exited(&self, run: Run) -> Exit {
        match self.hear() {
            FromKeeper::Exited { run: r, status, exit_boot_ms, usage, .. } if r == run => {
                assert!(exit_boot_ms <= clock::now().boot_ms && usage.max_rss_kib > 0);
                Exit::from_wait_status(status)
            }
            other => panic!("instead of exited {run} came {other:?}"),
        }
    }

    /// Starts `/bin/sh -c script`.
    fn sh(&self, run: Run, script: &str, change: impl FnOnce(&mut SpawnRequest<'_>)) {
        let argv = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()];
        let mut request = SpawnRequest {
            run,
            token: run.entry + 1000,
            program: c"/bin/sh",
            argv: &argv,
            envp: &[c"PATH=/usr/bin:/bin".to_owned()],
            cwd: c"/",
            creds: None,
            listen_pid: false,
            map: &[],
            keep: &[],
            blob: b"first",
        };
        change(&mut request);
        self.link.spawn(&request).unwrap();
    }

    /// kill -9. What it had sent stays in the socket.
    fn die(self) {
        child::send(&self.process, libc::SIGKILL).unwrap();
    }
}

fn readable(fd: impl AsFd, what: &str) {
    let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "waited in vain for {what}");
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = clock::monotonic_ns();
    while !condition() {
        assert!(clock::monotonic_ns() - start < 20_000_000_000, "waited in vain for {what}");
        let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        poll(&mut [], Some(&pause)).unwrap();
    }
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (File::from(reader), writer)
}

fn line(file: &mut File) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while file.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn entry(entries: Vec<Entry>, id: u64) -> Entry {
    entries.into_iter().find(|entry| entry.id == id).unwrap_or_else(|| panic!("no entry {id}"))
}

const RUN: Run = Run { entry: 7, generation: 1 };

// ---- processes ----

#[test]
fn a_process_is_started_watched_and_its_end_told_with_status_and_usage() {
    let keeper = Fixture::new();
    let (daemon, entries) = keeper.attached();
    assert_eq!(entries.len(), 1, "only the daemon's own");
    daemon.sh(RUN, "exit 7", |_| {});
    let (pid, pidfd) = daemon.spawned(RUN);
    assert!(pid > 1);
    assert_eq!(daemon.exited(RUN), Exit::Code(7));
    readable(&pidfd, "the pidfd of an ended process");
    daemon.sh(RUN.next(), "kill -TERM $$", |_| {});
    daemon.spawned(RUN.next());
    assert_eq!(daemon.exited(RUN.next()), Exit::Signal(15));
}

#[test]
fn a_failed_start_tells_stage_and_errno_and_keeps_the_record() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    daemon.sh(RUN, "", |request| request.program = c"/no/such/program");
    assert!(matches!(
        daemon.hear(),
        FromKeeper::SpawnFailed { run: RUN, token: 1007, errno: libc::ENOENT, stage: Stage::Exec }
    ));
    daemon.sh(RUN.next(), "", |request| request.cwd = c"/no/such/directory");
    assert!(matches!(daemon.hear(), FromKeeper::SpawnFailed { stage: Stage::Chdir, .. }));
    daemon.die();
    let entry = entry(keeper.attached().1, 7);
    assert_eq!((entry.generation, entry.state, &entry.blob[..]), (2, EntryState::None, &b"first"[..]));
}

#[test]
fn a_process_gets_its_descriptors_and_its_own_listen_pid() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let (mut reader, writer) = pipe();
    daemon.sh(RUN, "echo $LISTEN_PID >&9; exec sleep 60", |request| {
        request.map = Box::leak(Box::new([(9, unbound(&writer))]));
        request.keep = Box::leak(Box::new([(Tag::new(Tag::CHANNEL, 1), unbound(&writer))]));
        request.listen_pid = true;
    });
    let (pid, _) = daemon.spawned(RUN);
    assert_eq!(line(&mut reader), pid.to_string());
    daemon.die();
    let entry = entry(keeper.attached().1, 7);
    assert_eq!(entry.fds.len(), 1, "mapped and kept, sent once");
    File::from(entry.fds.into_iter().next().unwrap().1).write_all(b"kept\n").unwrap();
    assert_eq!(line(&mut reader), "kept");
}

/// The borrow of a descriptor that outlives the request by construction of the test.
fn unbound(fd: &OwnedFd) -> BorrowedFd<'static> {
    let copy: &'static OwnedFd = Box::leak(Box::new(fd.try_clone().unwrap()));
    copy.as_fd()
}

#[test]
fn an_environment_larger_than_a_datagram_gets_through() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let (mut reader, writer) = pipe();
    let big = CString::new(format!("BIG={}", "x".repeat(100_000))).unwrap();
    daemon.sh(RUN, "echo ${#BIG}", |request| {
        request.envp = Box::leak(Box::new([big]));
        request.map = Box::leak(Box::new([(1, unbound(&writer))]));
    });
    daemon.spawned(RUN);
    assert_eq!(line(&mut reader), "100000");
}

#[test]
fn a_generation_that_has_been_is_ignored_and_a_living_one_is_busy() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    daemon.sh(RUN, "exec sleep 60", |_| {});
    let (pid, _) = daemon.spawned(RUN);
    daemon.sh(RUN, "exit 1", |request| request.blob = b"stale");
    daemon.sh(RUN.next(), "exit 2", |request| request.blob = b"early");
    assert!(matches!(
        daemon.hear(),
        FromKeeper::SpawnFailed { run: Run { generation: 2, .. }, errno: libc::EBUSY, .. }
    ));
    daemon.die();
    let entry = entry(keeper.attached().1, 7);
    assert_eq!((entry.generation, entry.pid, entry.state), (1, pid, EntryState::Running));
    assert_eq!(entry.blob, b"first");
}

#[test]
fn a_signal_reaches_only_the_run_it_is_for() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    daemon.sh(RUN, "exit 0", |_| {});
    daemon.spawned(RUN);
    daemon.exited(RUN);
    daemon.link.kill(RUN, libc::SIGKILL, true).unwrap();
    daemon.sh(RUN.next(), "sleep 60 & wait", |_| {});
    let (pid, _) = daemon.spawned(RUN.next());
    wait_for("its child", || Processes::look().tree(pid).len() == 2);
    let tree = Processes::look().tree(pid);
    daemon.link.kill(RUN, libc::SIGKILL, true).unwrap();
    daemon.link.kill(Run::first(8), libc::SIGKILL, false).unwrap();
    // Messages are carried out in order: had one of those hit, it would be that signal.
    daemon.link.kill(RUN.next(), libc::SIGUSR1, true).unwrap();
    assert_eq!(daemon.exited(RUN.next()), Exit::Signal(libc::SIGUSR1));
    wait_for("the group's end", || tree.iter().all(|process| !child::is_alive(*process)));
}

#[test]
fn orphans_are_reaped() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let (mut reader, writer) = pipe();
    daemon.sh(RUN, "(sleep 0.05 & echo $! >&9)", |request| {
        request.map = Box::leak(Box::new([(9, unbound(&writer))]));
    });
    daemon.spawned(RUN);
    daemon.exited(RUN);
    let orphan = line(&mut reader);
    wait_for("the orphan to be gone, zombie and all", || {
        std::fs::metadata(format!("/proc/{orphan}")).is_err()
    });
}

// ---- daemons come and go ----

#[test]
fn the_next_daemon_gets_processes_descriptors_and_records_back() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let (reader, writer) = pipe();
    daemon.sh(RUN, "echo hello; exec sleep 60", |request| {
        request.map = Box::leak(Box::new([(1, unbound(&writer))]));
    });
    let (pid, _) = daemon.spawned(RUN);
    let tag = Tag::of_run(Tag::OUT_PIPE, RUN);
    daemon.link.keep(7, tag, reader.as_fd()).unwrap();
    daemon.link.keep(7, Tag::new(Tag::LOG_RECORD, 0), writer.as_fd()).unwrap();
    daemon.link.drop_fd(7, Tag::new(Tag::LOG_RECORD, 0)).unwrap();
    daemon.link.keep(0, Tag::new(Tag::CONTROL, 0), writer.as_fd()).unwrap();
    let blob: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    daemon.link.blob(7, &blob).unwrap();
    drop(reader);
    daemon.die();

    let (daemon, entries) = keeper.attached();
    assert_eq!(entries[0].fds[0].0, Tag::new(Tag::CONTROL, 0));
    let mut entry = entry(entries, 7);
    assert_eq!((entry.generation, entry.pid, entry.state), (1, pid, EntryState::Running));
    assert!(entry.blob == blob && entry.spawned_boot_ms > 0);
    assert_eq!(entry.fds.len(), 1);
    let (kept, reader) = entry.fds.remove(0);
    assert_eq!((kept, line(&mut File::from(reader))), (tag, "hello".to_owned()));
    child::send(entry.pidfd.unwrap(), libc::SIGKILL).unwrap();
    assert_eq!(daemon.exited(RUN), Exit::Signal(libc::SIGKILL));
}

#[test]
fn an_end_is_told_to_every_daemon_until_acknowledged_or_replaced() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let ack = Run::first(8);
    for run in [RUN, ack] {
        daemon.sh(run, "exit 3", |_| {});
        daemon.spawned(run);
        daemon.exited(run);
    }
    daemon.die();
    for _ in 0..2 {
        let (daemon, entries) = keeper.attached();
        for entry in &entries[1..] {
            let EntryState::Exited { status, exit_boot_ms } = entry.state else { panic!("{entry:?}") };
            assert_eq!(Exit::from_wait_status(status), Exit::Code(3));
            assert!(entry.pidfd.is_none() && exit_boot_ms >= entry.spawned_boot_ms);
        }
        daemon.die();
    }
    let (daemon, _) = keeper.attached();
    daemon.link.ack(Run { generation: 9, ..ack }).unwrap();
    daemon.link.ack(ack).unwrap();
    daemon.sh(RUN.next(), "exec sleep 60", |_| {});
    daemon.die();
    let (daemon, entries) = keeper.attached();
    assert_eq!((entries[1].state, entries[1].generation), (EntryState::Running, 2));
    assert_eq!((entries[2].state, entries[2].generation), (EntryState::None, 1));
    daemon.link.forget(7).unwrap();
    daemon.link.forget(8).unwrap();
    daemon.die();
    let (_, entries) = keeper.attached();
    assert_eq!(
        entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        [0, 7],
        "a living one is not forgotten"
    );
}

#[test]
fn what_a_daemon_said_before_its_death_is_carried_out_before_the_next_one_starts() {
    let keeper = Fixture::new();
    for generation in 1..=20 {
        let (daemon, entries) = keeper.attached();
        if generation > 1 {
            assert_eq!(entry(entries, 7).generation, generation - 1);
        }
        daemon.sh(Run { entry: 7, generation }, "exit 0", |_| {});
        daemon.die();
        // The end of this one may come before or after the next daemon; either way it is there to be replaced.
        let (daemon, entries) = keeper.attached();
        if entry(entries, 7).state == EntryState::Running {
            daemon.exited(Run { entry: 7, generation });
        }
        daemon.die();
    }
}

#[test]
fn hundreds_of_descriptors_and_megabytes_of_records_are_handed_over_to_a_slow_daemon() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let blob = vec![b'x'; 50_000];
    let (_reader, writer) = pipe();
    for entry in 1..=100 {
        for index in 0..5 {
            daemon.link.keep(entry, Tag::new(Tag::LISTENER, index), writer.as_fd()).unwrap();
        }
        daemon.link.blob(entry, &blob).unwrap();
    }
    daemon.sh(RUN, "exit 0", |_| {});
    // One that hears nothing, ones that die in the middle of it, and one that hears it all, in order.
    daemon.die();
    keeper.daemon().die();
    for heard in [1, 5, 30, 60] {
        let daemon = keeper.daemon();
        for _ in 0..heard {
            daemon.hear();
        }
        daemon.die();
    }
    let (_, entries) = keeper.attached();
    assert_eq!(entries.iter().map(|entry| entry.fds.len()).sum::<usize>(), 500);
    assert!(entries[1..].iter().all(|entry| entry.blob.len() >= 5));
    assert!(matches!(entries[7].state, EntryState::Exited { status: 0, .. }));
}

#[test]
fn a_daemon_that_hangs_up_is_replaced() {
    let keeper = Fixture::new();
    let (Daemon { link, process, .. }, _) = keeper.attached();
    drop(link);
    readable(&process, "the end of a daemon that nobody can reach");
    keeper.attached();
}

#[test]
fn a_program_that_fails_three_times_is_given_up_for_the_one_that_served() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let good = daemon.program.clone();
    daemon.link.ready().unwrap();
    daemon.link.upgrade_daemon(std::path::Path::new("/bin/cat"), None).unwrap();
    daemon.die();
    for _ in 0..3 {
        let (daemon, _) = keeper.attached();
        assert_ne!(daemon.program, good);
        child::send(&daemon.process, libc::SIGTERM).unwrap();
    }
    let (daemon, _) = keeper.attached();
    assert_eq!(daemon.program, good);
    daemon.link.upgrade_daemon(std::path::Path::new("/bin/cat"), None).unwrap();
    daemon.die();
    let (daemon, _) = keeper.attached();
    daemon.link.ready().unwrap();
    daemon.die();
    for _ in 0..2 {
        let (daemon, _) = keeper.attached();
        assert_ne!(daemon.program, good, "it served, and was killed from outside");
        daemon.link.ready().unwrap();
        child::send(&daemon.process, libc::SIGTERM).unwrap();
    }
    assert_eq!(keeper.attached().0.program, good, "it served, and died soon after, twice");
}

#[test]
fn after_a_shutdown_the_keeper_waits_for_the_last_process_and_starts_no_daemon() {
    let mut keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let (_reader, writer) = pipe();
    daemon.sh(RUN, "exec sleep 60", |_| {});
    let (_, pidfd) = daemon.spawned(RUN);
    daemon.link.keep(0, Tag::new(Tag::CONTROL, 0), writer.as_fd()).unwrap();
    daemon.link.shutdown().unwrap();
    daemon.link.kill(RUN, libc::SIGCONT, false).unwrap();
    let process = daemon.process.try_clone().unwrap();
    daemon.die();
    readable(process, "the daemon's end");
    assert!(!keeper.ended());
    child::send(pidfd, libc::SIGTERM).unwrap();
    wait_for("the keeper's end", || keeper.ended());
    assert_eq!(fd::receive(&keeper.courier, &mut [0; 4]).unwrap().bytes, 0, "no daemon was started");
}

#[test]
fn the_link_says_when_the_keeper_is_gone() {
    let mut keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    keeper.keeper.kill().unwrap();
    readable(&daemon.link, "the end of the link");
    assert_eq!(daemon.link.receive().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    daemon.link.ready().unwrap_err();
    child::send(&daemon.process, libc::SIGKILL).unwrap();
    keeper.keeper.wait().unwrap();
}

// ---- keepers come and go ----

/// A file that can take over: the real program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_pmon");

impl Daemon {
    fn upgraded(&self) -> Option<String> {
        match self.hear() {
            FromKeeper::Upgraded { refusal } => refusal,
            other => panic!("instead of upgraded came {other:?}"),
        }
    }
}

#[test]
fn a_keeper_becomes_another_program_and_keeps_children_descriptors_and_unread_orders() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let (reader, writer) = pipe();
    daemon.sh(RUN, "exec sleep 60", |_| {});
    let (pid, pidfd) = daemon.spawned(RUN);
    let tag = Tag::new(Tag::LISTENER, 3);
    daemon.link.keep(7, tag, writer.as_fd()).unwrap();
    daemon.link.upgrade_keeper(std::path::Path::new(PROGRAM), None).unwrap();
    let later = Run::first(8);
    daemon.sh(later, "exit 4", |_| {});
    let (mut upgraded, mut spawned, mut exit) = (false, false, None);
    while !upgraded || exit.is_none() {
        match daemon.hear() {
            FromKeeper::Upgraded { refusal } => upgraded = refusal.is_none(),
            FromKeeper::Spawned { run, .. } => spawned = run == later,
            FromKeeper::Exited { run, status, .. } if spawned && run == later => {
                exit = Some(Exit::from_wait_status(status));
            }
            other => panic!("instead of that came {other:?}"),
        }
    }
    assert_eq!(exit, Some(Exit::Code(4)));
    let program = std::fs::read_link(format!("/proc/{}/exe", keeper.keeper.id())).unwrap();
    assert_eq!(program, std::fs::canonicalize(PROGRAM).unwrap());
    child::send(&pidfd, libc::SIGTERM).unwrap();
    assert_eq!(daemon.exited(RUN), Exit::Signal(libc::SIGTERM), "{pid} is its child still");
    drop((reader, writer));
}

#[test]
fn a_program_that_does_not_say_that_it_can_take_over_is_refused() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    daemon.sh(RUN, "exec sleep 60", |_| {});
    let (_, pidfd) = daemon.spawned(RUN);
    for program in ["/bin/true", "/bin/false", "/bin/cat", "/no/such/file", "/etc/passwd"] {
        daemon.link.upgrade_keeper(std::path::Path::new(program), None).unwrap();
        let refusal = daemon.upgraded();
        assert!(refusal.is_some(), "{program}");
    }
    child::send(&pidfd, libc::SIGTERM).unwrap();
    assert_eq!(daemon.exited(RUN), Exit::Signal(libc::SIGTERM));
}

#[test]
fn a_new_keeper_adopts_what_it_is_told_and_starts_the_next_daemon() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    let mut stranger = Command::new("sh").args(["-c", "exec sleep 60"]).spawn().unwrap();
    let (_reader, writer) = pipe();
    let adopted = Entry {
        id: 7,
        generation: 4,
        pid: stranger.id(),
        state: EntryState::Running,
        spawned_boot_ms: 5,
        pidfd: child::open(stranger.id()).unwrap(),
        fds: vec![(Tag::new(Tag::OUT_PIPE, 4), writer)],
        blob: b"told".to_vec(),
    };
    daemon.link.adopt(&adopted).unwrap();
    daemon.link.ready().unwrap();
    // It waits for it without being its parent; told again it believes itself.
    daemon.link.adopt(&Entry { generation: 4, blob: b"stale".to_vec(), ..without(&adopted) }).unwrap();
    daemon.die();
    let (daemon, entries) = keeper.attached();
    let entry = entry(entries, 7);
    assert_eq!((entry.generation, entry.pid, entry.state), (4, stranger.id(), EntryState::Running));
    assert_eq!((entry.fds.len(), &entry.blob[..]), (1, &b"told"[..]));
    daemon.link.kill(Run { entry: 7, generation: 4 }, libc::SIGTERM, false).unwrap();
    match daemon.hear() {
        FromKeeper::Exited { run: Run { entry: 7, generation: 4 }, status, .. } => {
            let exit = Exit::from_wait_status(status);
            assert!(matches!(exit, Exit::Signal(libc::SIGTERM) | Exit::Unknown), "{exit}");
        }
        other => panic!("instead of its end came {other:?}"),
    }
    stranger.wait().unwrap();
    daemon.sh(Run { entry: 7, generation: 5 }, "exit 0", |_| {});
    daemon.spawned(Run { entry: 7, generation: 5 });
}

/// The same without descriptors.
fn without(entry: &Entry) -> Entry {
    Entry { fds: Vec::new(), pidfd: None, blob: Vec::new(), ..*entry }
}

#[test]
fn a_daemon_that_pinged_and_is_then_stopped_is_killed_and_one_that_never_did_is_not() {
    let keeper = Fixture::new();
    let (daemon, _) = keeper.attached();
    daemon.link.ping().unwrap();
    child::send(&daemon.process, libc::SIGSTOP).unwrap();
    let before = clock::monotonic_ns();
    readable(&daemon.process, "the end of a stopped daemon");
    assert!(clock::monotonic_ns() - before > 9_000_000_000, "it is given ten seconds");
    let (daemon, _) = keeper.attached();
    assert!(daemon.link.receive().unwrap().is_none());
}

// ---- the way in ----

#[test]
fn a_second_keeper_says_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path());
    let lock = Lock::attempt(&home.keeper_lock()).unwrap().unwrap();
    lock.sign().unwrap();
    let (mut reader, writer) = pipe();
    pmon::keeper::enter(&home, Beginning::Fresh(Some(writer.into_raw_fd()))).unwrap_err();
    let path = home.keeper_lock();
    let wanted =
        format!("take the lock `{}`: another keeper (pid {}) holds it", path.display(), std::process::id());
    assert_eq!(line(&mut reader), wanted);
}

#[test]
fn a_first_daemon_that_fails_ends_the_keeper_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reader, writer) = pipe();
    // This very binary is the program, and it knows no `daemon`.
    let mut keeper = keeper_process("enter", writer).env("PMON_HOME", dir.path()).spawn().unwrap();
    // Tried again, as after a record's fault, until there is nothing left to do without.
    assert_eq!(line(&mut reader), "it ended before it served (exit code 101)");
    assert!(keeper.wait().unwrap().success());
}
