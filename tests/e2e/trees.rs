//! Ending: the whole tree, nobody else, and nothing delayed by one slow worker.

use crate::support::{TestHome, is_alive, wait_for};
use std::time::Instant;

#[test]
fn stop_ends_the_whole_tree_and_nothing_is_left_after_delete() {
    let home = TestHome::new();
    home.file("tree.sh", "trap '' INT TERM\n(trap '' INT TERM; setsid sleep 1001 & sleep 1002 & wait) &\nsleep 1003 &\nwait; sleep 1004\n");
    home.ok(&["start", "tree.sh", "--kill-timeout", "300"]);
    let root = i32::try_from(home.pids()[0]).unwrap();
    let everybody = wait_for("the tree", || {
        let all = descendants(root);
        if all.len() >= 4 { Ok(all) } else { Err(format!("{all:?}")) }
    });
    home.ok(&["stop", "tree"]);
    let left: Vec<_> = everybody.iter().copied().chain([root]).filter(|pid| is_alive(*pid)).collect();
    assert_eq!(left, Vec::<i32>::new());
    home.ok(&["delete", "tree"]);
    home.ok(&["kill"]);
    wait_for("no process of this home", || {
        let left = home.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn one_slow_stop_delays_nothing_else() {
    let home = TestHome::new();
    home.file("slow.sh", "trap '' INT; while :; do sleep 0.2; done\n");
    home.file("quick.sh", "sleep 1000\n");
    home.ok(&["start", "slow.sh", "--kill-timeout", "6000"]);
    home.ok(&["start", "quick.sh"]);
    let started = Instant::now();
    let mut stopping = home.command(&["stop", "slow"]).spawn().unwrap();
    wait_for("stopping", || {
        let statuses = home.statuses();
        if statuses[0] == "stopping" { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    home.ok(&["restart", "quick"]);
    assert!(stopping.try_wait().unwrap().is_none(), "the slow stop goes on meanwhile");
    assert_eq!(home.restarts(), [0, 1]);
    stopping.wait().unwrap();
    // Not a measurement: the stop waited for its grace, the restart did not.
    assert!(started.elapsed().as_millis() >= 5500);
    assert_eq!(home.statuses(), ["stopped", "online"]);
}

fn descendants(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|c| c.parse::<i32>().ok()));
    }
    found.split_off(1)
}
