//! Who may come in, and what those can do who mean no good: others go on unharmed, memory stays bounded.

use crate::support::{TestHome, copy_program, fixture, need, wait_for};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A user that is nobody's.
const NOBODY: &str = "65534";
/// By so much may hostile clients make the daemon grow while they are there.
const BOUND_KIB: u64 = 128 << 10;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs pmon as somebody else, from a copy of the binary that he can reach.
fn as_nobody(home: &TestHome, args: &[&str]) -> Command {
    need("setpriv", "apt-get install util-linux");
    let place = home.work();
    std::fs::set_permissions(place.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    let binary = place.join("pmon");
    if !binary.exists() {
        copy_program(&binary);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(binary).args(args);
    command.current_dir("/").env("PMON_HOME", home.path()).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn another_user_is_kept_out_by_the_home_and_refused_with_a_word_by_the_daemon() {
    if !is_root() {
        eprintln!("needs root, to become another user: passed without a look");
        return;
    }
    let home = TestHome::new();
    home.ok(&["start", "sleep", "--interpreter", "none", "--name", "nap", "--", "1000"]);
    let (done, text) = said(&mut as_nobody(&home, &["list"]));
    assert!(!done && text.to_lowercase().contains("permission denied"), "{text}");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    // As if somebody had opened it all.
    mode(&home.path(), 0o755);
    mode(&home.path().join("pmon.sock"), 0o666);
    let (done, text) = said(&mut as_nobody(&home, &["stop", "all"]));
    assert!(!done && text.contains("it serves uid 0 and root, not uid 65534"), "{text}");
    assert_eq!(home.statuses(), ["online"]);
}

#[test]
fn root_may_speak_to_the_daemon_of_anybody_and_the_callers_umask_does_not_matter() {
    if !is_root() {
        eprintln!("needs root, to become another user: passed without a look");
        return;
    }
    let home = TestHome::new();
    let _binary = as_nobody(&home, &[]);
    let root = home.path();
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, Some(65534), Some(65534)).unwrap();
    let run = |mask: &str, words: &str| {
        let binary = home.work().join("pmon");
        let line = format!(
            "umask {mask}; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {} {words}",
            binary.display()
        );
        said(
            Command::new("sh")
                .args(["-c", &line])
                .current_dir("/")
                .env("PMON_HOME", &root)
                .env("HOME", "/nonexistent"),
        )
    };
    let (done, text) = run("0777", "start sleep --interpreter none --name nap -- 1000");
    assert!(done, "{text}");
    let (done, text) = run("0777", "save");
    assert!(done, "{text}");
    let (done, text) = run("0777", "set pmon:logrotate true");
    assert!(done, "{text}");
    assert_eq!(home.statuses(), ["online"], "root sees it");
    assert_all_private(&root);
    home.ok(&["kill"]);
}

#[test]
fn everything_in_the_home_is_private_whatever_the_umask() {
    let home = TestHome::new();
    let script = home.file("chat.sh", "echo hello; echo trouble >&2; sleep 1000\n");
    let start = format!("umask 0000; exec {} start {}", env!("CARGO_BIN_EXE_pmon"), script.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &start]).env("PMON_HOME", home.path()).stdin(Stdio::null());
    let (done, text) = said(&mut shell);
    assert!(done, "{text}");
    home.ok(&["save"]);
    home.ok(&["set", "pmon:logrotate", "true"]);
    home.ok(&["restart", "all"]);
    wait_for("two logs", || {
        let logs = std::fs::read_dir(home.path().join("logs")).unwrap().count();
        if logs >= 2 { Ok(()) } else { Err(format!("{logs}")) }
    });
    assert_all_private(&home.path());
}

#[track_caller]
fn assert_all_private(dir: &Path) {
    for path in all_below(dir) {
        let facts = std::fs::symlink_metadata(&path).unwrap();
        let wanted = if facts.is_dir() { 0o700 } else { 0o600 };
        // Those of the root were made before pmon came.
        if path != dir {
            assert_eq!(facts.permissions().mode() & 0o777, wanted, "{}", path.display());
        }
    }
}

fn all_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_home_that_others_may_write_to_is_refused() {
    let home = TestHome::new();
    home.work();
    std::fs::create_dir(home.path()).unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let ran = home.run(&["start", "sleep", "--interpreter", "none", "--", "1000"]).expect(1);
    assert!(ran.all().contains("others may write to it"), "{}", ran.all());
    assert!(!home.path().join("pmon.sock").exists());
}

#[test]
fn a_link_that_somebody_planted_for_a_draft_is_not_followed() {
    let home = TestHome::new();
    home.ok(&["start", "sleep", "--interpreter", "none", "--", "1000"]);
    let victim = home.file("victim", "mine");
    for draft in ["dump.json.tmp", "module_conf.json.tmp", "pmon.log.tmp"] {
        std::os::unix::fs::symlink(&victim, home.path().join(draft)).unwrap();
    }
    // They may refuse or go round it.
    home.run(&["save"]);
    home.run(&["set", "pmon:logrotate", "true"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
}

/// Private dirty memory of a process in KiB, and how many sockets it has.
fn footprint(pid: i32) -> (u64, usize) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let dirty = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = dirty.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap();
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let is_socket = |path: PathBuf| path.to_string_lossy().starts_with("socket:");
    (kib, fds.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(is_socket)).count())
}

fn hostile(home: &TestHome, count: usize, kinds: &[&str]) -> Child {
    need("python3", "apt-get install python3");
    let mut command = Command::new("python3");
    command.arg(fixture("hostile.py")).arg(home.path().join("pmon.sock")).arg(count.to_string()).args(kinds);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Keeps hostile clients there, and asks meanwhile as everybody may.
fn endures(count: usize, kinds: &[&str]) {
    let home = TestHome::new();
    let script = home.file("chat.sh", "while :; do echo all is well; sleep 0.05; done\n");
    let env = "x".repeat(4000);
    let mut start = home.command(&["start", script.to_str().unwrap(), "-i", "4", "-f"]);
    assert!(start.env("LONG", env).status().unwrap().success());
    home.ok(&["list"]);
    let daemon = home.daemon_pid();
    let (kib, fds) = footprint(daemon);
    let mut clients = hostile(&home, count, kinds);
    let mut most = 0;
    let mut told = BufReader::new(clients.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        line
    });
    for round in 0.. {
        assert_eq!(home.statuses(), ["online"; 4], "list answers");
        most = most.max(footprint(daemon).0);
        if reader.is_finished() && round >= 5 {
            break;
        }
    }
    assert_eq!(reader.join().unwrap(), "open\n");
    assert_eq!(home.daemon_pid(), daemon, "it lives");
    home.ok(&["restart", "0"]);
    drop(clients.stdin.take());
    clients.wait().unwrap();
    wait_for("the sockets to be closed", || {
        let (_, now) = footprint(daemon);
        if now <= fds { Ok(()) } else { Err(format!("{now}, {fds} before")) }
    });
    let (after, _) = footprint(daemon);
    eprintln!("{count} {kinds:?}: {kib} KiB before, at most {most}, {after} after");
    assert!(most < kib + BOUND_KIB, "{kib} KiB before, {most} with {count} {kinds:?}");
}

#[test]
fn ten_thousand_connections_harm_nobody() {
    endures(10_000, &["idle", "half", "garbage", "slow"]);
}

#[test]
fn who_asks_for_everything_and_never_reads_harms_nobody() {
    endures(1500, &["greedy", "deaf"]);
}

#[test]
fn long_requests_that_do_not_end_harm_nobody() {
    endures(600, &["long"]);
}

#[test]
fn workers_that_end_as_fast_as_they_start_keep_nobody_from_an_answer() {
    let home = TestHome::new();
    let app =
        "{script: '/bin/true', interpreter: 'none', instances: 8, max_restarts: 1000000000, min_uptime: 0}";
    home.file("ends.json", &format!("{{apps: [{app}]}}"));
    home.ok(&["start", "ends.json"]);
    for _ in 0..5 {
        let before: i64 = home.restarts().iter().sum();
        wait_for("more restarts", || match home.restarts().iter().sum::<i64>() {
            now if now > before + 20 => Ok(()),
            now => Err(format!("{now}, {before} before")),
        });
    }
    home.ok(&["stop", "all"]);
}
