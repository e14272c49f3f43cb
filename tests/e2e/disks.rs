//! Real file systems that hang (`fsfreeze` of an ext4 in a file) or are full (a small tmpfs) under running workers, whose
//! lines are checked number by number. This needs root and loop devices: `apt-get install util-linux e2fsprogs`.

use crate::lines::{start, stop, verify, wait_for_line};
use crate::rebuild::{keeper_pid, next_keeper};
use crate::support::{TestHome, kill, pause_for, wait_for};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A file system of its own, thawed and unmounted at the end.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Disk {
        Disk { dir: tempfile::Builder::new().prefix("pmon-disk-").tempdir().unwrap() }
    }

    /// An ext4 in a file; none where that cannot be, which is told.
    fn ext4() -> Option<Disk> {
        let disk = Disk::new();
        std::fs::create_dir(disk.path()).unwrap();
        let image = disk.dir.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        run("mkfs.ext4", &[&"-q", &"-F", &image]).and_then(|()| run("mount", &[&"-o", &"loop", &image, &disk.path()])).map_or_else(
            |why| {
                eprintln!("skipped: no file system of its own for this test (it needs root and loop devices): {why}");
                None
            },
            |()| Some(disk),
        )
    }

    /// A tmpfs of this size at `at`.
    fn tmpfs(at: &Path, size: &str) -> Option<Disk> {
        std::fs::create_dir_all(at).unwrap();
        let disk = Disk::new();
        std::os::unix::fs::symlink(at, disk.path()).unwrap();
        let option = format!("size={size},mode=0700");
        match run("mount", &[&"-t", &"tmpfs", &"-o", &option, &"pmon-test", &at]) {
            Ok(()) => Some(disk),
            Err(why) => {
                eprintln!("skipped: no file system of its own for this test (it needs root): {why}");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn freeze(&self) {
        run("fsfreeze", &[&"--freeze", &self.path()]).unwrap();
    }

    fn thaw(&self) {
        run("fsfreeze", &[&"--unfreeze", &self.path()]).unwrap();
    }

    fn resize(&self, size: &str) {
        run("mount", &[&"-o", &format!("remount,size={size}"), &self.path().canonicalize().unwrap()])
            .unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path = self.path().canonicalize().unwrap_or_default();
        let _thawed = run("fsfreeze", &[&"--unfreeze", &path]);
        let _unmounted = run("umount", &[&"--lazy", &path]);
    }
}

fn run(program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args.iter().map(|arg| arg.as_ref()));
    let done = command.stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(()) } else { Err(format!("{program}: {told}")) }
}

/// Runs a command and notes how long the longest took.
fn timed(longest: &mut Duration, deed: impl FnOnce()) {
    let begun = Instant::now();
    deed();
    *longest = begun.elapsed().max(*longest);
}

fn shown(home: &TestHome, verb: &[&str], wanted: &str) -> String {
    wait_for(wanted, || {
        let out = home.ok(verb).out;
        if out.contains(wanted) { Ok(out) } else { Err(out) }
    })
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |facts| facts.len())
}

/// The longest time in which a file that is written all the time did not grow.
fn longest_pause(path: &Path, looked: Duration) -> Duration {
    let (begun, mut grown, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    let mut last = length(path);
    while begun.elapsed() < looked {
        pause_for(Duration::from_millis(5));
        let now = length(path);
        if now > last {
            (last, grown) = (now, Instant::now());
        }
        longest = longest.max(grown.elapsed());
    }
    longest
}

/// An app that says something all the time and is restarted.
fn chatter(home: &TestHome, name: &str, options: &[&str]) {
    let script = home.file("chatter.sh", "while :; do echo still here; sleep 0.05; done\n");
    let mut args = vec!["start", script.to_str().unwrap(), "--name", name, "--interpreter", "sh"];
    args.extend(options);
    home.ok(&args);
}

fn pid_of(home: &TestHome, name: &str) -> i64 {
    let list = home.jlist();
    list.iter().find(|worker| worker["name"] == name).and_then(|worker| worker["pid"].as_i64()).unwrap_or(0)
}

/// What a neighbour of the app on the hanging disk still has.
fn neighbours_live(home: &TestHome, disk: &Disk, file: &Path) {
    let pause = longest_pause(file, Duration::from_secs(2));
    assert!(pause < Duration::from_secs(2), "the neighbour's lines stood still for {pause:?}");
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        timed(&mut longest, || drop(home.ok(&["list"])));
    }
    let old = pid_of(home, "chatter");
    let crashed = Instant::now();
    kill(i32::try_from(old).unwrap(), "KILL");
    wait_for("the neighbour's next process", || match pid_of(home, "chatter") {
        0 => Err("none".to_owned()),
        pid if pid == old => Err("the old one".to_owned()),
        pid => Ok(pid),
    });
    let again = crashed.elapsed();
    let mut follower = home.command(&["logs", "chatter", "--raw", "--lines", "1"]).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next().unwrap().unwrap();
    }
    kill(i32::try_from(follower.id()).unwrap(), "KILL");
    follower.wait().unwrap();
    let other = disk.path().join("other.log");
    timed(&mut longest, || chatter(home, "other", &["--output", other.to_str().unwrap()]));
    timed(&mut longest, || drop(home.ok(&["describe", "slow"])));
    timed(&mut longest, || drop(home.run(&["reloadLogs"])));
    timed(&mut longest, || drop(home.run(&["flush", "slow"])));
    timed(&mut longest, || drop(home.ok(&["flush", "chatter"])));
    timed(&mut longest, || drop(home.ok(&["delete", "other"])));
    eprintln!(
        "while the disk hung: the neighbour's lines paused {pause:?} at most, it was restarted in {again:?}, \
         the slowest command took {longest:?}"
    );
}

#[test]
fn a_disk_that_hangs_delays_nothing_else_and_costs_only_what_is_told() {
    let Some(disk) = Disk::ext4() else { return };
    let home = TestHome::new();
    let path = disk.path().join("slow.log");
    start(&home, "slow", &["--output", path.to_str().unwrap(), "--merge-logs"]);
    start(&home, "fine", &[]);
    chatter(&home, "chatter", &[]);
    let fine = home.path().join("logs/fine-out.log");
    wait_for(
        "lines of all",
        || if length(&path).min(length(&fine)) > 0 { Ok(()) } else { Err("none".into()) },
    );
    disk.freeze();
    let frozen = Instant::now();
    let pause = longest_pause(&fine, Duration::from_secs(1));
    eprintln!("when the disk began to hang, the neighbour's lines paused {pause:?}");
    let listed = shown(&home, &["list"], "the disk hangs");
    assert!(listed.contains("log of slow (0): failed to write log file"), "{listed}");
    neighbours_live(&home, &disk, &fine);
    let described = shown(&home, &["describe", "slow"], " lines) dropped");
    assert!(described.contains("the disk hangs"), "{described}");
    disk.thaw();
    eprintln!("it hung for {:?}", frozen.elapsed());
    shown(&home, &["describe", "slow"], "written again");
    home.kill_daemon();
    pause_for(Duration::from_millis(300));

    // Once more, and the daemon is killed meanwhile: it dies when the disk lets it, and another one goes on.
    disk.freeze();
    shown(&home, &["list"], "the disk hangs");
    let killed = home.daemon_pid();
    kill(killed, "KILL");
    pause_for(Duration::from_millis(500));
    // Its last thread is in a write that nothing ends.
    assert!(Path::new(&format!("/proc/{killed}")).exists(), "the disk did not hang");
    assert_eq!(home.daemon_pid(), killed, "two daemons at once");
    disk.thaw();
    wait_for("another daemon", || if home.daemon_pid() != killed { Ok(()) } else { Err(killed.to_string()) });

    let (slow_lines, fine_lines) = (stop(&home, "slow"), stop(&home, "fine"));
    wait_for_line(&fine, "fine", fine_lines);
    assert_eq!(verify(&fine, "fine", fine_lines), 0, "the neighbour lost something");
    wait_for_line(&path, "slow", slow_lines);
    let missing = verify(&path, "slow", slow_lines);
    assert!(missing > 0, "it hung too short to show anything");
    let described = shown(&home, &["describe", "slow"], &format!("{missing} bytes ("));
    eprintln!("{slow_lines} and {fine_lines} lines, {missing} bytes missing, all of them told");
    assert!(described.contains("written again"), "{described}");
}

#[test]
fn a_worker_that_asked_for_it_waits_for_a_disk_that_hangs_and_loses_nothing() {
    let Some(disk) = Disk::ext4() else { return };
    let home = TestHome::new();
    let path = disk.path().join("slow.log");
    start(&home, "slow", &["--output", path.to_str().unwrap(), "--merge-logs", "--log-overflow", "block"]);
    wait_for("lines", || if length(&path) > 0 { Ok(()) } else { Err("none".into()) });
    disk.freeze();
    shown(&home, &["describe", "slow"], "16777216 bytes wait in memory");
    disk.thaw();
    let lines = stop(&home, "slow");
    wait_for_line(&path, "slow", lines);
    assert_eq!(verify(&path, "slow", lines), 0);
}

#[test]
fn a_worker_that_is_restarted_while_its_disk_hangs_keeps_its_lines_in_order() {
    let Some(disk) = Disk::ext4() else { return };
    let home = TestHome::new();
    let path = disk.path().join("words.log");
    let script =
        home.file("words.sh", "echo \"begin $PMON_GEN\"; printf 'last words %s' $PMON_GEN; sleep 1000\n");
    let script = script.to_str().unwrap();
    let options = ["--merge-logs", "--interpreter", "sh", "--log-date-format", "[at]"];
    home.ok(
        &[&["start", script, "--name", "words", "--output", path.to_str().unwrap()], &options[..]].concat()
    );
    wait_for("the first line", || if length(&path) > 0 { Ok(()) } else { Err("none".into()) });
    disk.freeze();
    for _ in 0..3 {
        home.ok(&["restart", "words"]);
    }
    disk.thaw();
    home.ok(&["stop", "words"]);
    let wanted: String = (1..=4).map(|n| format!("at: begin {n}\nat: last words {n}\n")).collect();
    wait_for("all words", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text == wanted { Ok(()) } else { Err(text) }
    });
}

#[test]
fn a_full_disk_is_shown_counted_and_written_again_by_itself() {
    let place = TestHome::new();
    let Some(disk) = Disk::tmpfs(&place.work().join("small"), "4m") else { return };
    let home = TestHome::new();
    let path = disk.path().canonicalize().unwrap().join("full.log");
    start(&home, "full", &["--output", path.to_str().unwrap(), "--merge-logs"]);
    start(&home, "fine", &[]);
    let listed = shown(&home, &["list"], "No space left on device");
    assert!(listed.contains("log of full (0): failed to write log file"), "{listed}");
    shown(&home, &["describe", "full"], " lines) dropped");
    home.kill_daemon();
    shown(&home, &["describe", "full"], "No space left on device");
    disk.resize("4g");
    shown(&home, &["describe", "full"], "written again");
    let lines = stop(&home, "full");
    wait_for_line(&path, "full", lines);
    let missing = verify(&path, "full", lines);
    assert!(missing > 0, "it was full too short to show anything");
    shown(&home, &["describe", "full"], &format!("{missing} bytes ("));
    let fine = stop(&home, "fine");
    wait_for_line(&home.path().join("logs/fine-out.log"), "fine", fine);
    assert_eq!(verify(&home.path().join("logs/fine-out.log"), "fine", fine), 0);
    assert_eq!(home.restarts(), [0, 0]);
}

#[test]
fn a_home_on_a_full_disk_still_answers_and_goes_on_when_there_is_room() {
    let home = TestHome::new();
    let Some(disk) = Disk::tmpfs(&home.path(), "64m") else { return };
    start(&home, "full", &["--merge-logs"]);
    chatter(&home, "chatter", &[]);
    let ballast = home.path().join("ballast");
    // More than there is room for: what fits is written.
    drop(std::fs::write(&ballast, vec![0; 64 << 20]));
    shown(&home, &["list"], "No space left on device");
    let old = pid_of(&home, "chatter");
    home.ok(&["restart", "chatter"]);
    assert_ne!(pid_of(&home, "chatter"), old);
    shown(&home, &["describe", "full"], " lines) dropped");
    disk.resize("4g");
    std::fs::remove_file(ballast).unwrap();
    shown(&home, &["describe", "full"], "written again");
    let lines = stop(&home, "full");
    let path = home.path().join("logs/full-out.log");
    wait_for_line(&path, "full", lines);
    assert!(verify(&path, "full", lines) > 0);
    home.ok(&["kill"]);
}

#[test]
fn what_waits_in_memory_outlives_the_keeper_and_then_the_daemon() {
    let home = TestHome::new();
    let in_the_way = home.file("way", "in the way");
    let path = home.work().join("way/out.log");
    start(&home, "stuck", &["--output", path.to_str().unwrap(), "--merge-logs", "--log-overflow", "block"]);
    shown(&home, &["describe", "stuck"], "16777216 bytes wait in memory");
    for _ in 0..2 {
        let keeper = keeper_pid(&home);
        kill(keeper, "KILL");
        next_keeper(&home, keeper);
        home.kill_daemon();
        shown(&home, &["describe", "stuck"], "16777216 bytes wait in memory");
    }
    std::fs::remove_file(in_the_way).unwrap();
    wait_for("the file", || if path.exists() { Ok(()) } else { Err("none".into()) });
    let lines = stop(&home, "stuck");
    wait_for_line(&path, "stuck", lines);
    assert_eq!(verify(&path, "stuck", lines), 0);
}
