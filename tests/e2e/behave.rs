//! Workers that behave badly: what is seen of them is true, they cost nothing, and they can be ended.

use crate::rebuild::keeper_pid;
use crate::support::{TestHome, is_alive, kill, need, pause_for, wait_for};
use std::time::Duration;

/// CPU time that a process has used, in clock ticks.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].map(|n| fields[n].parse::<u64>().unwrap()).iter().sum()
}

fn open_files(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[track_caller]
fn wait_restarts(home: &TestHome, count: i64) {
    wait_for(&format!("{count} restarts"), || {
        let restarts = home.restarts();
        if restarts[0] >= count { Ok(()) } else { Err(format!("{restarts:?}")) }
    });
}

#[test]
fn one_that_ignores_its_signal_is_killed_and_that_is_said() {
    let home = TestHome::new();
    home.file("stubborn.sh", "trap '' INT TERM; while :; do sleep 0.1; done\n");
    home.ok(&["start", "stubborn.sh", "--kill-timeout", "300"]);
    home.ok(&["stop", "stubborn"]);
    let said = home.ok(&["describe", "stubborn"]).out;
    assert!(said.contains("SIGKILL"), "{said}");
}

#[test]
fn the_signal_that_ended_it_has_its_name() {
    let home = TestHome::new();
    home.file("core.sh", "ulimit -c 0; kill -SEGV $$\n");
    home.ok(&["start", "core.sh", "--no-autorestart"]);
    wait_for("its end", || {
        let statuses = home.statuses();
        if statuses == ["stopped"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    let said = home.ok(&["describe", "core"]).out;
    assert!(said.contains("SIGSEGV"), "{said}");
}

#[test]
fn one_that_closed_its_output_costs_nothing() {
    let home = TestHome::new();
    home.file("mute.sh", "echo before; exec >&- 2>&-; echo nowhere; while :; do sleep 1; done\n");
    home.ok(&["start", "mute.sh"]);
    wait_for("its words", || {
        let log = std::fs::read_to_string(home.path().join("logs/mute-out.log")).unwrap_or_default();
        if log == "before\n" { Ok(()) } else { Err(log) }
    });
    let both = [keeper_pid(&home), home.daemon_pid()];
    let before = both.map(ticks);
    pause_for(Duration::from_millis(1500));
    let used: u64 = both.map(ticks).iter().sum::<u64>() - before.iter().sum::<u64>();
    // A busy loop would take 150, of a hundred a second.
    assert!(used < 50, "{used} ticks");
    assert_eq!(home.statuses(), ["online"]);
}

#[test]
fn what_a_grandchild_says_through_the_pipe_of_an_earlier_run_is_kept_in_its_order() {
    let home = TestHome::new();
    home.file(
        "leak.sh",
        "if [ ! -e leaked ]; then touch leaked; (trap '' INT; i=0; \
         while [ $i -lt 400 ]; do i=$((i+1)); echo old $i; sleep 0.005; done; echo old end) & fi\n\
         i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo new $i; done; echo new end; exec sleep 1000\n",
    );
    home.ok(&["start", "leak.sh", "--no-treekill"]);
    home.ok(&["restart", "leak"]);
    home.ok(&["restart", "leak"]);
    let log = wait_for("all words", || {
        let log = std::fs::read_to_string(home.path().join("logs/leak-out.log")).unwrap_or_default();
        if log.contains("old end") && log.ends_with("end\n") { Ok(log) } else { Err(log) }
    });
    let old: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("old ")).collect();
    let want: Vec<_> = (1..=400).map(|i| i.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(old, want);
    let ends = log.lines().filter(|line| *line == "new end").count();
    assert!(ends >= 1, "the last run's words are there while the old pipe is open");
    assert!(log.find("new end") < log.find("old end"), "the new pipe did not wait for the old one");
}

#[test]
fn two_hundred_restarts_leak_no_descriptor() {
    let home = TestHome::new();
    home.file("die.sh", "echo $$; exit 1\n");
    home.ok(&["start", "die.sh", "--max-restarts", "100000"]);
    wait_restarts(&home, 20);
    home.ok(&["stop", "die"]);
    let both = [keeper_pid(&home), home.daemon_pid()];
    let settled = |what: &str, wanted: Option<[usize; 2]>| {
        wait_for(what, || {
            let now = both.map(open_files);
            pause_for(Duration::from_millis(50));
            let same = now == both.map(open_files) && wanted.is_none_or(|wanted| now == wanted);
            if same { Ok(now) } else { Err(format!("{now:?}, not {wanted:?}")) }
        })
    };
    let before = settled("descriptors that stay", None);
    home.ok(&["restart", "die"]);
    wait_restarts(&home, 220);
    home.ok(&["stop", "die"]);
    settled("as many as before", Some(before));
}

#[test]
fn a_zombie_maker_leaves_no_zombies() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    home.file(
        "zombies.py",
        "import os, time\n\
         for _ in range(20):\n    if os.fork() == 0:\n        os._exit(0)\n\
         print('made', flush=True)\n\
         while True:\n    time.sleep(1000)\n",
    );
    home.ok(&["start", "zombies.py", "--interpreter", "python3"]);
    let worker = i32::try_from(home.pids()[0]).unwrap();
    let children =
        |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    wait_for("its zombies", || {
        let all = children(worker);
        if all.split_whitespace().count() == 20 { Ok(()) } else { Err(all) }
    });
    home.ok(&["stop", "zombies"]);
    assert!(!is_alive(worker));
    let keeper = keeper_pid(&home);
    wait_for("the daemon as the keeper's only child", || {
        let all = children(keeper);
        if all.trim() == home.daemon_pid().to_string() { Ok(()) } else { Err(all) }
    });
}

#[test]
fn a_program_that_cannot_be_run_for_long_holds_up_nobody() {
    let home = TestHome::new();
    let program = home.work().join("held");
    std::fs::copy("/bin/true", &program).unwrap();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    home.ok(&["start", &program.display().to_string(), "--no-autorestart"]);
    wait_for("its end", || {
        let statuses = home.statuses();
        if statuses[1] == "stopped" { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    let mut lease = home.hold("held");
    home.ok(&["start", "1"]);
    let starter = i32::try_from(home.pids()[1]).unwrap();
    let link = std::fs::read_link(format!("/proc/{starter}/exe")).unwrap();
    assert!(!link.ends_with("held"), "it is not run yet: {}", link.display());
    // The keeper does its work meanwhile.
    let rest = i32::try_from(home.pids()[0]).unwrap();
    kill(rest, "KILL");
    wait_for("the neighbour's return", || {
        let restarts = home.restarts();
        if restarts[0] == 1 { Ok(()) } else { Err(format!("{restarts:?}")) }
    });
    home.ok(&["stop", "1"]);
    assert!(!is_alive(starter), "also one that waits for its program can be ended");
    lease.kill().unwrap();
    lease.wait().unwrap();
    home.ok(&["start", "1"]);
}
