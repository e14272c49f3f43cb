//! Not injected but real: no descriptors, no processes, no memory left. Nobody dies of it or waits for ever, whoever asks
//! hears what is short, and when there is enough again all is well without anybody's doing.

use crate::support::{Ran, TestHome, copy_program, is_alive, kill, need, pause, wait_for};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No command takes this long.
const HANGS: Duration = Duration::from_secs(20);

fn keeper_pid(home: &TestHome) -> i32 {
    let text = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn fds(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |dir| dir.count() as u64)
}

fn limit_files(pid: i32, soft: &str) {
    need("prlimit", "apt-get install util-linux");
    let limit = format!("--nofile={soft}:");
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(done.success(), "prlimit {limit} of {pid}");
}

/// Runs a command that must not hang.
fn prompt(mut command: Command, what: &str) -> Ran {
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + HANGS;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what} hangs");
        }
        pause();
    }
    let done = child.wait_with_output().unwrap();
    Ran {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

fn ask(home: &TestHome, args: &[&str]) -> Ran {
    prompt(home.command(args), &args.join(" "))
}

fn await_online(home: &TestHome, count: usize) {
    wait_for(&format!("{count} apps online"), || {
        let seen = home.statuses();
        if seen.len() == count && seen.iter().all(|one| one == "online") {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    });
}

/// Starts apps until one finds no room; what that one was told.
fn start_until_full(home: &TestHome) -> (usize, Ran) {
    for n in 1..40 {
        let ran = ask(home, &["start", "app.sh", "--name", &format!("more{n}")]);
        if ran.code != 0 {
            return (n, ran);
        }
    }
    panic!("there is room for 40 apps");
}

fn apps(home: &TestHome) {
    home.file("app.sh", "echo begin; while :; do echo line; sleep 0.1; done\n");
    home.ok(&["start", "app.sh", "--name", "first"]);
    await_online(home, 1);
}

#[test]
fn a_daemon_without_free_descriptors_answers_says_what_is_short_and_goes_on_when_it_has_some() {
    let home = TestHome::new();
    apps(&home);
    let (daemon, first) = (home.daemon_pid(), home.pids()[0]);
    let plenty = "4096";
    limit_files(daemon, &(fds(daemon) + 40).to_string());
    let (count, refused) = start_until_full(&home);
    assert!(refused.all().contains("Too many open files"), "{}", refused.all());
    assert!(refused.all().contains("it is tried again"), "{}", refused.all());

    // What it keeps open of each process and log is open by then: nothing else wants the one that is spared for clients.
    let mut seen = (0, Instant::now());
    wait_for("no more files to be opened", || {
        let now = fds(daemon);
        if now > seen.0 {
            seen = (now, Instant::now());
        }
        let calm = seen.1.elapsed();
        if calm > Duration::from_millis(2500) { Ok(()) } else { Err(format!("{now} for {calm:?}")) }
    });
    // Less than it has open now: clients come in one by one, logs flow.
    limit_files(daemon, "12");
    let last = ask(&home, &["start", "app.sh", "--name", "last"]);
    assert_eq!(last.code, 1, "{}", last.all());
    let why = ask(&home, &["describe", "last"]).all();
    assert!(why.contains("Too many open files"), "{why}");
    let crowd: Vec<_> =
        (0..50).filter_map(|_| UnixStream::connect(home.path().join("pmon.sock")).ok()).collect();
    drop(crowd);
    for _ in 0..3 {
        assert_eq!(ask(&home, &["list"]).code, 0);
    }
    let log = home.path().join("logs/first-out.log");
    let before = std::fs::metadata(&log).unwrap().len();
    wait_for("more lines in the log", || {
        let now = std::fs::metadata(&log).unwrap().len();
        if now > before { Ok(()) } else { Err(format!("{now} bytes")) }
    });
    limit_files(daemon, plenty);
    await_online(&home, count + 2);
    assert_eq!((home.daemon_pid(), home.pids()[0]), (daemon, first), "nobody died of it");
    assert_eq!(home.restarts(), vec![0; count + 2]);
}

#[test]
fn a_keeper_without_free_descriptors_holds_what_it_has_and_starts_the_rest_when_it_can() {
    let home = TestHome::new();
    apps(&home);
    let (keeper, first) = (keeper_pid(&home), home.pids()[0]);
    limit_files(keeper, &(fds(keeper) + 12).to_string());
    let (count, refused) = start_until_full(&home);
    assert!(refused.all().contains("Too many open files"), "{}", refused.all());
    // The next daemon is made with what there is, and knows of those that wait.
    home.kill_daemon();
    assert_eq!(ask(&home, &["list"]).code, 0);
    limit_files(keeper, "4096");
    await_online(&home, count + 1);
    assert_eq!((keeper_pid(&home), home.pids()[0]), (keeper, first), "nobody died of it");
    // Nothing was left out of what the keeper holds.
    home.kill_daemon();
    await_online(&home, count + 1);
    assert_eq!(ask(&home, &["restart", "all"]).code, 0);
    await_online(&home, count + 1);
}

#[test]
fn a_fleet_begun_with_few_descriptors_works_as_far_as_they_go() {
    let home = TestHome::new();
    home.file("app.sh", "while :; do sleep 1; done\n");
    let pmon = env!("CARGO_BIN_EXE_pmon");
    let limited = |args: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n 96; exec {pmon} {args}")]);
        command.current_dir(home.work()).env("PMON_HOME", home.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    prompt(limited("start app.sh --name one"), "start with 96 descriptors").expect(0);
    let (_, refused) = start_until_full(&home);
    assert!(refused.all().contains("Too many open files"), "{}", refused.all());
    assert_eq!(ask(&home, &["list"]).code, 0);
    assert_eq!(home.statuses()[0], "online");
    assert_eq!(ask(&home, &["kill"]).code, 0);
    wait_for("nothing left", || {
        let left = home.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// pmon as another user than root: a home and a copy of the binary that he can reach.
pub(super) struct Nobody {
    home: TestHome,
    dir: tempfile::TempDir,
    pmon: PathBuf,
    uid: u32,
}

impl Nobody {
    /// `None` if this test is not run by root: then the whole suite is run by a user without rights.
    pub(super) fn new(uid: u32) -> Option<Nobody> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not root: cannot become another user");
            return None;
        }
        need("setpriv", "apt-get install util-linux");
        let dir = tempfile::Builder::new().prefix("pmon-nobody-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let pmon = dir.path().join("pmon");
        copy_program(&pmon);
        let work = dir.path().join("work");
        std::fs::create_dir(&work).unwrap();
        std::os::unix::fs::chown(&work, Some(uid), Some(uid)).unwrap();
        Some(Nobody { home: TestHome::new(), dir, pmon, uid })
    }

    pub(super) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(super) fn path(&self) -> PathBuf {
        self.work().join("home")
    }

    pub(super) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.work().join(name), text).unwrap();
    }

    pub(super) fn become_him(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        let uid = self.uid.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--inh-caps=-all"]).arg(program);
        command
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.become_him(&self.pmon);
        command.args(args).current_dir(self.work());
        command.env("PMON_HOME", self.path()).env("HOME", self.work()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn ask(&self, args: &[&str]) -> Ran {
        prompt(self.command(args), &args.join(" "))
    }

    fn list(&self) -> Vec<serde_json::Value> {
        let ran = self.ask(&["jlist"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("jlist: {}", ran.all()))
    }

    pub(super) fn await_online(&self, count: usize) {
        wait_for(&format!("{count} apps of uid {} online", self.uid), || {
            let seen: Vec<_> = self.list().iter().map(|w| w["pm2_env"]["status"].clone()).collect();
            if seen.len() == count && seen.iter().all(|one| one == "online") {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        });
    }

    pub(super) fn facts(&self) -> Vec<(i64, i64)> {
        let fact = |w: &serde_json::Value| {
            (w["pid"].as_i64().unwrap_or(0), w["pm2_env"]["restart_time"].as_i64().unwrap_or(-1))
        };
        self.list().iter().map(fact).collect()
    }

    pub(super) fn number(&self, file: &str) -> i32 {
        let text = std::fs::read_to_string(self.path().join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Kills the process that signs this file and waits for the next.
    pub(super) fn kill(&self, file: &str) {
        let old = self.number(file);
        kill(old, "KILL");
        wait_for(&format!("another process in {file}"), || {
            let now = self.number(file);
            if now != old && now != 0 && is_alive(now) { Ok(()) } else { Err(format!("{now}, was {old}")) }
        });
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path().join("pmon.log")).unwrap_or_default();
            eprintln!("--- pmon.log\n{log}");
        }
        let _ended = self.command(&["kill"]).output();
        for pid in owned(self.uid, &self.path()) {
            kill(pid, "KILL");
        }
        // The other home was never used.
        let _unused = self.home.path();
    }
}

/// Processes of a user in a home.
fn owned(uid: u32, home: &Path) -> Vec<i32> {
    use std::os::unix::fs::MetadataExt;
    let mark = format!("PMON_HOME={}", home.display());
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
        let his = entry.metadata().is_ok_and(|facts| facts.uid() == uid);
        let env = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        (his && env.split(|b| *b == 0).any(|v| v == mark.as_bytes())).then_some(pid)
    });
    pids.collect()
}

#[test]
fn a_user_without_any_rights_has_it_all_kills_included() {
    let Some(nobody) = Nobody::new(65_534) else { return };
    nobody.file("app.sh", "echo begin; while :; do echo line; sleep 0.1; done\n");
    assert_eq!(nobody.ask(&["start", "app.sh", "-i", "2"]).expect(0).code, 0);
    nobody.await_online(2);
    let before = nobody.facts();
    nobody.kill("pmon.pid");
    nobody.await_online(2);
    assert_eq!(nobody.facts(), before, "the daemon's death is nobody's business");
    nobody.kill("keeper.lock");
    nobody.await_online(2);
    assert_eq!(nobody.facts(), before, "nor is the keeper's");
    nobody.ask(&["restart", "all"]).expect(0);
    nobody.ask(&["save"]).expect(0);
    nobody.ask(&["logs", "--nostream", "--lines", "2"]).expect(0);
    nobody.await_online(2);
    nobody.ask(&["delete", "all"]).expect(0);
    nobody.ask(&["kill"]).expect(0);
    wait_for("nothing left", || {
        let left = owned(65_534, &nobody.path());
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn apps_that_crash_while_no_process_can_be_made_come_back_by_themselves_when_one_can() {
    // A user of his own: the limit counts all processes of a user.
    let uid = 1_900_000 + std::process::id() % 90_000;
    let Some(user) = Nobody::new(uid) else { return };
    user.file("app.sh", "echo begin; while :; do read line <fifo; done\n");
    let fifo = user.work().join("fifo");
    Command::new("mkfifo").arg(&fifo).status().unwrap();
    std::os::unix::fs::chown(&fifo, Some(uid), Some(uid)).unwrap();
    user.ask(&["start", "app.sh", "-i", "3"]).expect(0);
    user.await_online(3);
    let limit = |soft: &str| {
        for file in ["keeper.lock", "pmon.pid"] {
            let pid = user.number(file).to_string();
            let done = user.become_him("prlimit").args(["--pid", &pid, &format!("--nproc={soft}:")]).output();
            let done = done.unwrap();
            assert!(done.status.success(), "prlimit --nproc: {}", String::from_utf8_lossy(&done.stderr));
        }
    };
    limit("1");
    for (pid, _) in user.facts() {
        kill(i32::try_from(pid).unwrap(), "KILL");
    }
    wait_for("all to wait", || {
        let list = user.list();
        let waits = |w: &serde_json::Value| w["pm2_env"]["status"] == "waiting restart";
        if list.iter().all(waits) { Ok(()) } else { Err(format!("{:?}", user.ask(&["list"]).out)) }
    });
    // Each is tried again meanwhile.
    wait_for("the reason", || {
        let why = user.ask(&["describe", "0"]).expect(0).out;
        let told = why.contains("failed to make a process: Resource temporarily unavailable");
        if told { Ok(()) } else { Err(why) }
    });
    let refused = user.ask(&["start", "app.sh", "--name", "another"]);
    assert_eq!(refused.code, 1, "{}", refused.all());
    assert!(refused.all().contains("failed to make a process"), "{}", refused.all());
    let usual = rustix::process::getrlimit(rustix::process::Resource::Nproc).current;
    limit(&usual.map_or_else(|| "unlimited".to_owned(), |count| count.to_string()));
    user.await_online(4);
    let restarts: Vec<i64> = user.facts().iter().map(|(_, restarts)| *restarts).collect();
    assert_eq!(restarts, [1, 1, 1, 0], "an attempt is no restart");
}
