//! Clocks that jump: the wall clock is set, the machine sleeps. Nothing is killed, nothing waits for ever, no span is negative.
//! The clocks of keeper and daemon are set off by the file `clock` of a fault plan (`sys::fault`).

use crate::rebuild::keeper_pid;
use crate::support::{TestHome, kill, pause_for, wait_for};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

const HOUR: i64 = 3_600_000;

/// A home whose keeper and daemon go by clocks that can be set.
struct Clocks {
    home: TestHome,
    plan: PathBuf,
}

impl Clocks {
    fn new() -> Clocks {
        let home = TestHome::new();
        let plan = home.work().join("plan");
        std::fs::create_dir_all(&plan).unwrap();
        let clocks = Clocks { home, plan };
        clocks.set(0, 0);
        clocks.home.file("rest.sh", "exec sleep 1000\n");
        let started = clocks.home.command(&["start", "rest.sh"]).env("PMON_FAULTS", &clocks.plan).output();
        assert!(started.unwrap().status.success());
        clocks
    }

    /// Sets wall clock and boot clock off by so many milliseconds.
    fn set(&self, wall: i64, boot: i64) {
        let draft = self.plan.join("draft");
        std::fs::write(&draft, format!("{wall} {boot}\n")).unwrap();
        std::fs::rename(draft, self.plan.join("clock")).unwrap();
    }

    /// A client that goes by the same clocks.
    fn ok(&self, args: &[&str]) -> String {
        let done = self.home.command(args).env("PMON_FAULTS", &self.plan).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

#[track_caller]
fn wait_restarts(home: &TestHome, id: usize, count: i64) {
    wait_for(&format!("restart {count} of {id}"), || {
        let restarts = home.restarts();
        if restarts[id] >= count { Ok(()) } else { Err(format!("{restarts:?}")) }
    });
}

#[test]
fn after_a_sleep_a_start_that_was_put_off_is_due_and_nobody_is_killed() {
    let clocks = Clocks::new();
    let home = &clocks.home;
    home.file("later.sh", "exit 1\n");
    home.file("soon.sh", "exec sleep 1000\n");
    clocks.ok(&["start", "later.sh", "--restart-delay", "3600000"]);
    clocks.ok(&["start", "soon.sh", "--restart-delay", "3600000"]);
    wait_for("a start that is put off", || {
        let statuses = home.statuses();
        if statuses[1] == "waiting restart" { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    // Two of its seconds: it has seen both clocks.
    pause_for(Duration::from_millis(2100));
    let (pids, both) = (home.pids(), [keeper_pid(home), home.daemon_pid()]);
    clocks.set(HOUR + 10_000, HOUR + 10_000);
    wait_restarts(home, 1, 1);
    pause_for(Duration::from_millis(1200));
    assert_eq!([keeper_pid(home), home.daemon_pid()], both, "the watchdogs do not count sleep");
    assert_eq!((home.pids()[0], home.pids()[2]), (pids[0], pids[2]));
    let list = clocks.ok(&["list"]);
    assert!(list.lines().any(|line| line.contains("rest") && line.contains("60m")), "{list}");
}

#[test]
fn a_wall_clock_that_is_set_changes_no_span() {
    let clocks = Clocks::new();
    let home = &clocks.home;
    home.file("again.sh", "exec sleep 1000\n");
    home.file("stubborn.sh", "trap '' INT; while :; do sleep 0.1; done\n");
    clocks.ok(&["start", "again.sh", "--exp-backoff-restart-delay", "100"]);
    clocks.ok(&["start", "stubborn.sh", "--kill-timeout", "400"]);
    let both = [keeper_pid(home), home.daemon_pid()];
    for (round, wall) in [(1, 7 * HOUR), (2, -7 * HOUR)] {
        clocks.set(wall, 0);
        kill(i32::try_from(home.pids()[1]).unwrap(), "KILL");
        wait_restarts(home, 1, round);
        clocks.ok(&["restart", "stubborn"]);
        wait_restarts(home, 2, round);
        let list = clocks.ok(&["list"]);
        let uptime = |line: &str| line.split('│').nth(7).unwrap_or_default().trim().to_owned();
        let ups: Vec<_> = list.lines().filter(|line| line.contains("online")).map(uptime).collect();
        assert_eq!(ups.len(), 3, "{list}");
        assert!(ups.iter().all(|up| up.ends_with('s') && !up.contains('-')), "{list}");
    }
    assert_eq!([keeper_pid(home), home.daemon_pid()], both);
}

#[test]
fn rotation_by_the_clock_goes_on_when_that_is_set_back_and_is_no_storm_when_it_is_set_forwards() {
    let clocks = Clocks::new();
    let home = &clocks.home;
    home.file("chat.sh", "while :; do echo some words; sleep 0.05; done\n");
    clocks.ok(&["start", "chat.sh"]);
    clocks.ok(&["set", "pm2-logrotate:rotateInterval", "*/2 * * * * *"]);
    let kept = || {
        let names = std::fs::read_dir(home.path().join("logs")).unwrap().flatten();
        let names = names.map(|name| name.file_name().to_string_lossy().into_owned());
        // With or without what compression adds.
        let stem = |name: String| name.split(".log").next().unwrap_or_default().to_owned();
        names.filter(|name| name.starts_with("chat-out__")).map(stem).collect::<HashSet<_>>().len()
    };
    let more_than = |count: usize| {
        wait_for(&format!("more than {count} rotated files"), || {
            let now = kept();
            if now > count { Ok(now) } else { Err(now.to_string()) }
        })
    };
    more_than(0);
    clocks.set(-7 * HOUR, 0);
    let after = more_than(kept() + 1);
    clocks.set(7 * HOUR, 0);
    pause_for(Duration::from_millis(1500));
    let storm = kept().saturating_sub(after);
    assert!(storm <= 3, "{storm} files in a second and a half");
}
