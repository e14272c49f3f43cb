//! Numbered lines through the real daemon, checked one by one: kill -9 of the daemon, files that take nothing.

use crate::support::aside::whole;
use crate::support::{TestHome, fixture, need, wait_for};
use std::path::Path;

const WRITERS: usize = 3;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Starts a worker that writes numbered lines until it is stopped.
pub(super) fn start(home: &TestHome, name: &str, options: &[&str]) {
    // What is rotated is read too, so none of it may be removed.
    home.ok(&["set", "pm2-logrotate:retain", "all"]);
    need("python3", "apt-get install python3");
    let (script, report) = (fixture("lines.py").display().to_string(), report(home, name));
    // All lines in one file; what rotation does to them is tested elsewhere.
    home.ok(&["set", "pm2-logrotate:max_size", "4G"]);
    let mut args = vec!["start", &script, "--name", name, "--interpreter", "python3"];
    args.extend(options);
    args.extend(["--", "0", &report]);
    let started = home.command(&args).env("LINES_NAME", name).env("LINES_WIDTH", "12").status().unwrap();
    assert!(started.success());
}

fn report(home: &TestHome, name: &str) -> String {
    home.work().join(format!("{name}.report")).display().to_string()
}

/// Stops a writer and returns how many lines it wrote.
pub(super) fn stop(home: &TestHome, name: &str) -> u64 {
    let report = report(home, name);
    std::fs::write(format!("{report}.stop"), "").unwrap();
    wait_for("the writer's report", || {
        let text = std::fs::read_to_string(&report).map_err(|e| e.to_string())?;
        text.trim().parse().map_err(|_not_yet| text)
    })
}

fn line(name: &str, number: u64) -> String {
    format!("{number:010} {name} xxxxxxxxxxxx .")
}

/// Every number is there once, whole and in order; where a marker stands, exactly as many bytes as it says are
/// missing. Returns those bytes.
pub(super) fn verify(path: &Path, name: &str, count: u64) -> u64 {
    let text = String::from_utf8(whole(path)).unwrap();
    let length = line(name, 0).len() as u64 + 1;
    let (mut next, mut missing) = (0, 0);
    for (at, got) in text.lines().enumerate() {
        if let Some(marker) = got.strip_prefix("[pmon] ") {
            let bytes: u64 = marker.split_once(" bytes dropped: ").unwrap().0.parse().unwrap();
            assert_eq!(bytes % length, 0, "{}:{at}: part of a line is missing", path.display());
            missing += bytes;
            next += bytes / length;
        } else {
            assert!(got == line(name, next), "{}:{at}: {got:?} instead of {next}", path.display());
            next += 1;
        }
    }
    assert_eq!(next, count, "{}", path.display());
    missing
}

/// Waits until the last of `count` lines is in the file.
pub(super) fn wait_for_line(path: &Path, name: &str, count: u64) {
    let last = line(name, count - 1) + "\n";
    wait_for("the last line", || {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        if bytes.ends_with(last.as_bytes()) { Ok(()) } else { Err(format!("{} bytes", bytes.len())) }
    });
}

/// `PMON_DAEMON_KILLS=1000` for as many as one has time for.
#[test]
fn every_line_survives_kills_of_the_daemon_at_any_instant() {
    let home = TestHome::new();
    let names: Vec<String> = (0..WRITERS).map(|n| format!("w{n}")).collect();
    for name in &names {
        start(&home, name, &[]);
    }
    let kills = from_env("PMON_DAEMON_KILLS", 200);
    let begun = std::time::Instant::now();
    for _ in 0..kills {
        home.kill_daemon();
    }
    let counts: Vec<u64> = names.iter().map(|name| stop(&home, name)).collect();
    println!("{kills} kills in {:?}, {} lines", begun.elapsed(), counts.iter().sum::<u64>());
    for (name, count) in names.iter().zip(counts) {
        let path = home.path().join(format!("logs/{name}-out.log"));
        wait_for_line(&path, name, count);
        assert_eq!(verify(&path, name, count), 0);
    }
    assert_eq!(home.restarts(), [0; WRITERS]);
}

/// A worker whose file cannot be, beside one that has no trouble; the daemon is killed in between.
fn with_a_file_that_takes_nothing(policy: &str) {
    let home = TestHome::new();
    let in_the_way = home.file("way", "in the way");
    let path = home.work().join("way/out.log");
    start(
        &home,
        "stuck",
        &["--output", &path.display().to_string(), "--merge-logs", "--log-overflow", policy],
    );
    start(&home, "fine", &[]);
    let trouble = |home: &TestHome| home.ok(&["describe", "stuck"]).out;
    let told = if policy == "drop" { " lines) dropped" } else { "16777216 bytes wait in memory" };
    wait_for("what the overflow leads to", || {
        let shown = trouble(&home);
        if shown.contains(told) { Ok(()) } else { Err(shown) }
    });
    let listed = home.ok(&["list"]).out;
    assert!(listed.contains("log of stuck (0): failed to open log file"), "{listed}");
    for _ in 0..5 {
        home.kill_daemon();
        wait_for("the trouble to be known again", || {
            let shown = trouble(&home);
            if shown.contains("log trouble") { Ok(()) } else { Err(shown) }
        });
    }
    let fine = stop(&home, "fine");
    wait_for_line(&home.path().join("logs/fine-out.log"), "fine", fine);
    std::fs::remove_file(in_the_way).unwrap();
    wait_for("the file", || if path.exists() { Ok(()) } else { Err("none".into()) });
    let count = stop(&home, "stuck");
    wait_for_line(&path, "stuck", count);
    let missing = verify(&path, "stuck", count);
    assert_eq!(missing > 0, policy == "drop", "{missing} bytes");
    verify(&home.path().join("logs/fine-out.log"), "fine", fine);
    wait_for("the end of the trouble", || {
        let shown = trouble(&home);
        if shown.contains("failed to open") { Err(shown) } else { Ok(()) }
    });
    assert_eq!(trouble(&home).contains(&format!("{missing} bytes (")), policy == "drop");
    assert_eq!(home.restarts(), [0, 0]);
}

#[test]
fn a_file_that_takes_nothing_costs_exactly_the_bytes_that_a_line_tells() {
    with_a_file_that_takes_nothing("drop");
}

#[test]
fn a_worker_that_wants_it_so_waits_and_loses_nothing() {
    with_a_file_that_takes_nothing("block");
}
