//! Stopped processes: worker, daemon, keeper. What is stopped is seen, and none of them holds up the others.

use crate::rebuild::{keeper_pid, next_keeper};
use crate::support::{TestHome, is_alive, kill, pause_for, wait_for};
use std::time::Duration;

#[test]
fn commands_that_a_frozen_daemon_did_not_hear_are_answered_by_the_next() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    let daemon = home.daemon_pid();
    kill(daemon, "STOP");
    let ask = |args: &[&str]| home.command(args).spawn().unwrap();
    let asked = [ask(&["list"]), ask(&["restart", "rest"]), ask(&["jlist"])];
    for answer in asked {
        let answer = answer.wait_with_output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    }
    assert_ne!(home.daemon_pid(), daemon);
    assert_eq!((home.statuses(), home.restarts()), (vec!["online".to_owned()], vec![1]));
}

#[test]
fn a_frozen_keeper_is_replaced_and_what_it_did_not_hear_is_done() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh", "-i", "2"]);
    let (keeper, pids) = (keeper_pid(&home), home.pids());
    // Until it has answered once, it might be one that never does.
    pause_for(Duration::from_millis(2500));
    kill(keeper, "STOP");
    let restart = home.command(&["restart", "1"]).spawn().unwrap();
    assert_eq!(home.statuses()[0], "online", "the daemon answers meanwhile");
    next_keeper(&home, keeper);
    assert!(!is_alive(keeper));
    let restart = restart.wait_with_output().unwrap();
    assert!(restart.status.success(), "{}", String::from_utf8_lossy(&restart.stderr));
    // Its end was seen by nobody before, and its tree is looked for first.
    wait_for("the restart", || {
        let restarts = home.restarts();
        if restarts == [0, 1] { Ok(()) } else { Err(format!("{restarts:?}")) }
    });
    assert_eq!(home.pids()[0], pids[0]);
}

#[test]
fn with_keeper_and_daemon_frozen_a_command_says_so_and_both_ways_out_work() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    let pids = home.pids();
    let both = [keeper_pid(&home), home.daemon_pid()];
    let send = |signal: &str| both.iter().for_each(|pid| kill(*pid, signal));
    send("STOP");
    let said = home.run(&["list"]).expect(1).all();
    let [keeper, daemon] = both;
    assert!(said.contains(&format!("kill -CONT {keeper} {daemon}")), "{said}");
    assert!(said.contains(&format!("kill -9 {keeper} {daemon}")), "{said}");
    send("CONT");
    assert_eq!(home.pids(), pids);
    send("STOP");
    send("KILL");
    wait_for(
        "their end",
        || {
            if both.iter().any(|pid| is_alive(*pid)) { Err("alive".into()) } else { Ok(()) }
        },
    );
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
}

#[test]
fn without_a_daemon_a_frozen_keeper_is_named() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    let keeper = keeper_pid(&home);
    kill(keeper, "STOP");
    kill(home.daemon_pid(), "KILL");
    let said = home.run(&["list"]).expect(1).all();
    assert!(said.contains(&format!("kill -CONT {keeper}")), "{said}");
    kill(keeper, "CONT");
    assert_eq!(home.statuses(), ["online"]);
}

#[test]
fn a_stopped_worker_and_its_stopped_child_end_gently() {
    let home = TestHome::new();
    home.file(
        "nap.sh",
        "trap 'echo parent ended; exit 0' TERM\n\
         sh -c 'trap \"echo child ended; exit 0\" TERM; echo $$ >child; while :; do sleep 0.05; done' &\n\
         while :; do sleep 0.05; done\n",
    );
    home.ok(&["start", "nap.sh", "--kill-timeout", "20000", "--stop-signal", "SIGTERM"]);
    let child = wait_for("the child", || {
        let text = std::fs::read_to_string(home.work().join("child")).map_err(|e| e.to_string())?;
        text.trim().parse::<i32>().map_err(|e| e.to_string())
    });
    let worker = i32::try_from(home.pids()[0]).unwrap();
    for pid in [worker, child] {
        kill(pid, "STOP");
    }
    assert_eq!(home.statuses(), ["online"], "as PM2 shows it");
    let said = home.ok(&["describe", "nap"]).out;
    assert!(said.contains(&format!("kill -CONT {worker}")), "{said}");
    home.ok(&["stop", "nap"]);
    let log = wait_for("both last words", || {
        let log = std::fs::read_to_string(home.path().join("logs/nap-out.log")).unwrap_or_default();
        if log.contains("parent ended") && log.contains("child ended") { Ok(log) } else { Err(log) }
    });
    assert_eq!(log.lines().count(), 2);
}
