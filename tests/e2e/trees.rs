//! Ending: the whole tree, nobody else, and nothing delayed by one slow worker.

use crate::rebuild::{keeper_pid, next_keeper};
use crate::support::{TestHome, fixture, is_alive, kill, need, wait_for};
use std::process::Command;
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

/// Starts the fixture with these children and waits until they are there.
fn start_strays(home: &TestHome, kinds: &[&str], options: &[&str]) {
    need("python3", "apt-get install python3");
    let script = fixture("strays.py").display().to_string();
    let name = ["--name", "strays", "--interpreter", "python3", "--kill-timeout", "500"];
    home.ok(&[&["start", script.as_str()], &name[..], options, &["--"], kinds].concat());
    wait_strays(home);
}

fn wait_strays(home: &TestHome) {
    wait_for("the children", || {
        let log = std::fs::read_to_string(home.path().join("logs/strays-out.log")).unwrap_or_default();
        if log.contains("all there") { Ok(()) } else { Err(log) }
    });
}

/// Processes of the home that are neither keeper nor daemon.
fn others(home: &TestHome) -> Vec<i32> {
    let ours = [keeper_pid(home), home.daemon_pid()];
    home.processes().into_iter().filter(|pid| !ours.contains(pid)).collect()
}

/// One that forks away all the time is not in every look.
#[track_caller]
fn nobody_is_left(home: &TestHome) {
    for _ in 0..20 {
        assert_eq!(others(home), Vec::<i32>::new());
    }
}

const ALL: [&str; 6] = ["daemon", "nohup", "process", "user", "stubborn", "chain"];

#[test]
fn children_that_left_session_and_parent_end_with_their_worker() {
    let home = TestHome::new();
    start_strays(&home, &ALL, &[]);
    let before = others(&home);
    assert!(before.len() >= 7, "the worker and its children: {before:?}");
    home.ok(&["restart", "strays"]);
    let old: Vec<_> = before.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(old.is_empty(), "{old:?} are of the run before");
    home.ok(&["flush"]);
    home.ok(&["restart", "strays"]);
    wait_strays(&home);
    home.ok(&["delete", "strays"]);
    nobody_is_left(&home);
}

#[test]
fn children_that_came_to_init_with_the_keepers_death_end_too() {
    let home = TestHome::new();
    start_strays(&home, &["daemon", "user", "stubborn"], &[]);
    let keeper = keeper_pid(&home);
    kill(keeper, "KILL");
    next_keeper(&home, keeper);
    assert_eq!(others(&home).len(), 5);
    home.ok(&["stop", "strays"]);
    assert_eq!(others(&home), Vec::<i32>::new());
}

#[test]
fn a_stop_goes_on_with_the_children_when_the_daemon_dies() {
    let home = TestHome::new();
    start_strays(&home, &["daemon", "stubborn"], &["--kill-timeout", "2500"]);
    let root = i32::try_from(home.pids()[0]).unwrap();
    let mut stopping = home.command(&["stop", "strays"]).spawn().unwrap();
    wait_for("the worker's own end", || if is_alive(root) { Err("alive".into()) } else { Ok(()) });
    assert_eq!(home.statuses(), ["stopping"], "its children are not gone");
    home.kill_daemon();
    stopping.wait().unwrap();
    wait_for("nobody", || {
        let left = others(&home);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_eq!(home.statuses(), ["stopped"]);
}

#[test]
fn what_a_launcher_left_goes_on_until_somebody_stops_it() {
    let home = TestHome::new();
    home.file("launch.sh", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &\n");
    home.ok(&["start", "launch.sh", "--no-autorestart"]);
    wait_for("the launcher's end", || {
        let statuses = home.statuses();
        if statuses == ["stopped"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    assert_eq!(others(&home).len(), 1, "an end that nobody asked for ends nobody else");
    home.ok(&["stop", "launch"]);
    assert_eq!(others(&home), Vec::<i32>::new());
}

#[test]
fn without_treekill_only_the_worker_itself_ends() {
    let home = TestHome::new();
    start_strays(&home, &["daemon", "nohup"], &["--no-treekill"]);
    home.ok(&["delete", "strays"]);
    assert_eq!(others(&home).len(), 2);
}

#[test]
fn a_detached_child_of_node_ends_with_it() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file(
        "detach.js",
        "const child = require('child_process').spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });\n\
         child.unref(); setInterval(() => {}, 1000);\n",
    );
    home.ok(&["start", "detach.js"]);
    wait_for("the child", || {
        let all = others(&home);
        if all.len() == 2 { Ok(()) } else { Err(format!("{all:?}")) }
    });
    home.ok(&["stop", "detach"]);
    assert_eq!(others(&home), Vec::<i32>::new());
}

#[test]
fn a_number_that_was_given_again_is_not_signalled() {
    need("unshare", "apt-get install util-linux");
    let namespace = ["-pf", "--mount-proc"];
    if !Command::new("unshare").args(namespace).arg("true").status().is_ok_and(|done| done.success()) {
        eprintln!("not checked: a pid namespace needs root");
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.path()).unwrap();
    let script = fixture("reused.sh");
    let ran = Command::new("unshare")
        .args(namespace)
        .args([
            "sh".as_ref(),
            script.as_os_str(),
            env!("CARGO_BIN_EXE_pmon").as_ref(),
            home.path().as_os_str(),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(said.trim(), "alive", "{}", String::from_utf8_lossy(&ran.stderr));
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
    let quick = i32::try_from(home.pids()[1]).unwrap();
    kill(quick, "KILL");
    wait_for("the neighbour's return", || {
        let restarts = home.restarts();
        if restarts == [0, 2] { Ok(()) } else { Err(format!("{restarts:?}")) }
    });
    assert!(stopping.try_wait().unwrap().is_none(), "the slow stop goes on meanwhile");
    stopping.wait().unwrap();
    // Not a measurement: the stop waited for its grace, the restart did not.
    assert!(started.elapsed().as_millis() >= 5500);
    assert_eq!(home.statuses(), ["stopped", "online"]);
}

#[test]
fn slow_workers_end_all_at_once() {
    let home = TestHome::new();
    home.file("slow.sh", "trap '' INT; while :; do sleep 0.2; done\n");
    home.ok(&["start", "slow.sh", "-i", "8", "--kill-timeout", "1000"]);
    let started = Instant::now();
    home.ok(&["restart", "all"]);
    let took = started.elapsed();
    assert_eq!(home.restarts(), [1; 8]);
    // Eight in a row would take eight graces.
    assert!(took.as_millis() < 5000, "{took:?}");
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
