//! Versions that meet (`model::skew`): copies of the program that pretend to be a later and an older one lead the same fleet
//! in turn, each with what the others have written, while requests and lines go on.

use crate::rebuild::{Load, check_lines, keeper_pid, kill_both, next_keeper, start_web, start_writer};
use crate::support::{TestHome, free_port, may_be_run, wait_for, wait_http};
use std::path::{Path, PathBuf};
use std::process::Command;

const PMON: &str = env!("CARGO_BIN_EXE_pmon");
const MARK: &[u8] = b"pmon pretends to be version:....";

/// A copy that pretends to be of this version: `newer`, `older`, or anything else for what it is.
fn copy(home: &TestHome, name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = home.work().join(format!("pmon-{name}"));
    let mut bytes = std::fs::read(PMON).unwrap();
    let ends = match name {
        "newer" => b'n',
        "older" => b'o',
        _ => b'.',
    };
    let places: Vec<usize> =
        (0..bytes.len() - MARK.len()).filter(|at| bytes[*at..].starts_with(MARK)).collect();
    assert!(!places.is_empty(), "the program has no mark");
    for at in places {
        bytes[at + MARK.len() - 1] = ends;
    }
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    may_be_run(&path);
    path
}

/// Runs a command as this version: what it says, and that with what it says on stderr.
#[track_caller]
fn run_apart(home: &TestHome, program: &Path, args: &[&str]) -> (String, String) {
    let mut command = Command::new(program);
    command.args(args).env("PMON_HOME", home.path()).env("NO_COLOR", "1").current_dir(home.work());
    if home.faults().is_dir() {
        command.env("PMON_FAULTS", home.faults());
    }
    let done = wait_for("a program that may be run", || command.output().map_err(|e| e.to_string()));
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let said = format!("{out}{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{} {args:?}: {said}", program.display());
    (out, said)
}

#[track_caller]
fn run(home: &TestHome, program: &Path, args: &[&str]) -> String {
    run_apart(home, program, args).1
}

fn pids(home: &TestHome, program: &Path) -> Vec<i64> {
    let out = run_apart(home, program, &["jlist"]).0;
    let list: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    list.iter().map(|one| one["pid"].as_i64().unwrap()).collect()
}

struct Versions {
    plain: PathBuf,
    newer: PathBuf,
    older: PathBuf,
}

impl Versions {
    fn of(home: &TestHome) -> Versions {
        let [plain, newer, older] = ["plain", "newer", "older"].map(|name| copy(home, name));
        Versions { plain, newer, older }
    }

    fn all(&self) -> [&PathBuf; 3] {
        [&self.plain, &self.newer, &self.older]
    }
}

/// Clients of every version ask and order.
#[track_caller]
fn everybody_is_served(home: &TestHome, versions: &Versions, before: &[i64]) {
    for client in versions.all() {
        assert_eq!(pids(home, client), before, "{}", client.display());
        assert!(run(home, client, &["list"]).contains("online"));
        assert!(run(home, client, &["describe", "web"]).contains("web"));
        let lines = run(home, client, &["logs", "count", "--lines", "3", "--nostream", "--raw"]);
        assert!(lines.contains("line ") || lines.contains("end"), "{lines}");
        run(home, client, &["start", "rest.sh", "--name", "guest"]);
        run(home, client, &["restart", "guest"]);
        run(home, client, &["delete", "guest"]);
    }
}

#[test]
fn later_and_older_versions_lead_the_same_fleet_in_turn_and_no_request_or_line_is_lost() {
    if !cfg!(debug_assertions) {
        return;
    }
    let home = TestHome::new();
    let port = free_port();
    let versions = Versions::of(&home);
    let Versions { plain, newer, older } = &versions;
    home.file("rest.sh", "exec sleep 1000\n");
    start_web(&home, port, &["-i", "2", "--scheduling", "shared"]);
    start_writer(&home, "count");
    let before = home.pids();
    let load = Load::on(port);
    // Each after each other.
    for (round, version) in [newer, older, plain, older, newer, plain].into_iter().enumerate() {
        let said = run(&home, version, &["update"]);
        assert!(said.contains("Daemon and keeper are version"), "{said}");
        load.goes_on();
        if round < 3 {
            everybody_is_served(&home, &versions, &before);
        }
        home.kill_daemon();
        assert_eq!(pids(&home, version), before);
        if round % 2 == 0 {
            let keeper = keeper_pid(&home);
            crate::support::kill(keeper, "KILL");
            next_keeper(&home, keeper);
            assert_eq!(pids(&home, version), before);
        }
        // The next command, of another version, goes on with what this one has written.
        let next = versions.all().into_iter().filter(|next| *next != version).nth(round / 3).unwrap();
        kill_both(&home);
        assert_eq!(pids(&home, next), before, "{} after {}", next.display(), version.display());
        load.goes_on();
        run(&home, version, &["update"]);
    }
    println!("versions in turn: {} requests", load.count());
    assert_eq!((home.pids(), home.restarts()), (before, vec![0; 3]));
    assert_eq!(load.end(), Vec::<String>::new());
    check_lines(&home, "count");
    let said = home.ok(&["list"]).all();
    assert!(!said.contains("not everything is understood"), "{said}");
    home.ok(&["reload", "web"]);
    wait_http(port);
}

#[test]
fn a_daemon_and_a_keeper_of_different_versions_work_together() {
    if !cfg!(debug_assertions) {
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.faults()).unwrap();
    let port = free_port();
    let versions = Versions::of(&home);
    home.file("rest.sh", "exec sleep 1000\n");
    run(&home, &versions.plain, &["ping"]);
    start_web(&home, port, &["-i", "2", "--scheduling", "shared"]);
    start_writer(&home, "count");
    let before = home.pids();
    let load = Load::on(port);
    let pairs = [("newer", "plain"), ("older", "plain"), ("older", "newer"), ("newer", "older")];
    for (keeper, daemon) in pairs {
        let of = |name: &str| home.work().join(format!("pmon-{name}"));
        run(&home, &of(daemon), &["update"]);
        // The keeper becomes the other one; of its daemons none comes to serve, so the old one is back.
        let plan = format!("abort always program=pmon-{keeper}");
        std::fs::write(home.faults().join("boot.begun"), plan).unwrap();
        let mut update = Command::new(of(keeper));
        let done = update.arg("update").env("PMON_HOME", home.path()).output().unwrap();
        assert!(!done.status.success());
        std::fs::remove_file(home.faults().join("boot.begun")).unwrap();
        let program = |pid: i32| crate::fallen::program_of(pid);
        let wanted = [of(keeper), of(daemon)].map(|path| path.display().to_string());
        assert_eq!([keeper_pid(&home), home.daemon_pid()].map(program), wanted);
        everybody_is_served(&home, &versions, &before);
        home.kill_daemon();
        assert_eq!(pids(&home, &of(keeper)), before);
        assert_eq!([keeper_pid(&home), home.daemon_pid()].map(program), wanted);
        let dead = keeper_pid(&home);
        crate::support::kill(dead, "KILL");
        next_keeper(&home, dead);
        assert_eq!(pids(&home, &of(daemon)), before);
        load.goes_on();
    }
    println!("versions beside each other: {} requests", load.count());
    assert_eq!((home.pids(), home.restarts()), (before, vec![0; 3]));
    assert_eq!(load.end(), Vec::<String>::new());
    check_lines(&home, "count");
}
