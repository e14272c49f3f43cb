//! A thousand workers in one fleet: only with `PMON_TEST_CROWD=1000` (or `250,1000`, to compare), as it takes minutes
//! of both CPUs. Prints what each step took, and what each worker costs keeper and daemon.

use crate::rebuild::{keeper_pid, next_keeper};
use crate::support::{TestHome, kill, pause_for, wait_for};
use std::time::{Duration, Instant};

fn memory_kib(pid: i32) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn timed<T>(what: &str, deed: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = deed();
    eprintln!("  {what}: {:.2} s", start.elapsed().as_secs_f64());
    done
}

#[track_caller]
fn all_online(home: &TestHome, pids: &[i64]) {
    assert_eq!(home.statuses(), vec!["online"; pids.len()]);
    assert_eq!(home.pids(), pids);
}

fn crowd(count: usize) {
    let home = TestHome::new();
    home.file("one.sh", "exec sleep 100000\n");
    home.ok(&["start", "one.sh", "--name", "first"]);
    pause_for(Duration::from_millis(1200));
    let both = || [memory_kib(keeper_pid(&home)), memory_kib(home.daemon_pid())];
    let before = both();
    eprintln!("{count} workers");
    timed("start", || home.ok(&["start", "one.sh", "-i", &(count - 1).to_string()]));
    let pids = timed("list", || home.pids());
    assert_eq!(pids.len(), count);
    pause_for(Duration::from_millis(2500));
    let after = both();
    let each = |n: usize| (after[n].saturating_sub(before[n])) as f64 / (count - 1) as f64;
    eprintln!("  memory each: keeper {:.1} KiB, daemon {:.1} KiB; all {after:?} KiB", each(0), each(1));
    timed("daemon killed and replaced", || {
        home.kill_daemon();
        all_online(&home, &pids);
    });
    timed("keeper killed and replaced", || {
        let keeper = keeper_pid(&home);
        kill(keeper, "KILL");
        next_keeper(&home, keeper);
        all_online(&home, &pids);
    });
    timed("restart all", || home.ok(&["restart", "all"]));
    assert_eq!(home.restarts(), vec![1; count]);
    timed("stop all", || home.ok(&["stop", "all"]));
    assert_eq!(home.statuses(), vec!["stopped"; count]);
    timed("delete all", || home.ok(&["delete", "all"]));
    let ours = [keeper_pid(&home), home.daemon_pid()];
    wait_for("nobody but keeper and daemon", || {
        let left = home.processes().into_iter().filter(|pid| !ours.contains(pid)).count();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    });
}

#[test]
fn a_crowd_starts_survives_and_ends() {
    match std::env::var("PMON_TEST_CROWD") {
        Ok(counts) => counts.split(',').for_each(|count| crowd(count.parse().unwrap())),
        Err(_unset) => eprintln!("a crowd of fifty; more with PMON_TEST_CROWD=250,1000"),
    }
    if std::env::var_os("PMON_TEST_CROWD").is_none() {
        crowd(50);
    }
}
