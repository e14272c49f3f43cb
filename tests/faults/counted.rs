//! Every run is begun once under its number, and counted, though its keeper, or keeper and daemon, die before anybody is
//! told that it was begun.

use crate::fleet::signal;
use crate::support::{TestHome, is_alive, kill, wait_for};
use std::collections::BTreeMap;

/// Says which run of it begins, and ends at once until it is told to stay.
const BRIEF: &str =
    "echo $PMON_GEN >> starts\nif test -e hold; then echo held >> starts; exec sleep 100000; fi\nexit 3\n";

/// A home with somebody who rests, and one that ends all the time.
fn home() -> TestHome {
    let home = TestHome::new();
    std::fs::create_dir(home.faults()).unwrap();
    home.file("rest.sh", "exec sleep 100000\n");
    home.file("brief.sh", BRIEF);
    home.ok(&["start", "rest.sh"]);
    home.ok(&["start", "brief.sh", "--max-restarts", "1000000", "--restart-delay", "100"]);
    home
}

/// Has it stay, and compares its runs with what is counted.
#[track_caller]
fn every_run_is_counted(home: &TestHome, after: &str) {
    home.file("hold", "");
    let starts = home.work().join("starts");
    let text = wait_for("the app to stay", || {
        let text = std::fs::read_to_string(&starts).map_err(|e| e.to_string())?;
        if text.ends_with("held\n") { Ok(text) } else { Err(text) }
    });
    let mut runs: BTreeMap<u64, u32> = BTreeMap::new();
    for number in text.lines().filter_map(|line| line.parse().ok()) {
        *runs.entry(number).or_default() += 1;
    }
    let twice: Vec<_> = runs.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "after {after}: begun twice: {twice:?}");
    let counted = home.restarts()[1];
    assert_eq!(counted, i64::try_from(runs.len()).unwrap() - 1, "after {after}: {runs:?}");
    std::fs::remove_file(home.work().join("hold")).unwrap();
    std::fs::remove_file(&starts).unwrap();
    home.ok(&["delete", "brief"]);
    home.ok(&["start", "brief.sh", "--max-restarts", "1000000", "--restart-delay", "100"]);
}

fn passed(home: &TestHome, point: &str) {
    wait_for(&format!("a death at {point}"), || {
        if home.faults().join(point).exists() { Err("nobody".into()) } else { Ok(()) }
    });
}

#[test]
fn a_run_whose_keeper_dies_before_it_tells_of_it_is_counted_once() {
    let home = home();
    for point in
        ["keeper.clone", "keeper.cloned", "keeper.tell_spawned", "keeper.reaped", "keeper.tell_exited"]
    {
        for pass in [1, 2] {
            std::fs::write(home.faults().join(point), format!("kill {pass}")).unwrap();
            passed(&home, point);
            every_run_is_counted(&home, &format!("{point} {pass}"));
        }
    }
}

#[test]
fn a_run_is_counted_once_though_both_die_before_anybody_is_told_of_it() {
    let home = home();
    for daemons in ["rebuild.begun", "rebuild.started", "rebuild.order", "rebuild.ready"] {
        for point in ["keeper.clone", "keeper.cloned", "keeper.tell_exited"] {
            std::fs::write(home.faults().join(daemons), "kill").unwrap();
            std::fs::write(home.faults().join(point), "kill").unwrap();
            passed(&home, point);
            passed(&home, daemons);
            home.run(&["list"]);
            every_run_is_counted(&home, &format!("{point} and {daemons}"));
        }
    }
}

#[test]
fn a_process_that_hangs_before_its_program_when_its_keeper_dies_is_not_started_twice() {
    for both in [false, true] {
        let home = TestHome::new();
        let program = home.work().join("held");
        std::fs::write(&program, "#!/bin/sh\necho $PMON_GEN >> starts\nexec sleep 100000\n").unwrap();
        std::process::Command::new("chmod").arg("+x").arg(&program).status().unwrap();
        home.file("rest.sh", "exec sleep 1000\n");
        home.ok(&["start", "rest.sh"]);
        home.ok(&["start", &program.display().to_string()]);
        home.ok(&["stop", "1"]);
        let mut lease = home.hold("held");
        let mut start = home.command(&["start", "1"]).spawn().unwrap();
        let starts = |pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "pm-start\n")
        };
        // It has the keeper's environment still, which need not name the home.
        let starting = || -> Vec<i32> {
            let all = std::fs::read_dir("/proc").unwrap().flatten();
            let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let cwd = home.work().canonicalize().unwrap();
            let here = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at == cwd);
            pids.filter(starts).filter(here).collect()
        };
        let hung =
            wait_for("a process before its program", || starting().first().copied().ok_or("none".into()));
        let keeper = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap();
        let (keeper, daemon): (i32, i32) = (keeper.trim().parse().unwrap(), home.daemon_pid());
        if both {
            signal(daemon, "STOP");
            signal(keeper, "KILL");
            signal(daemon, "KILL");
            wait_for("the end of both", || {
                if [keeper, daemon].iter().any(|pid| is_alive(*pid)) { Err("one".into()) } else { Ok(()) }
            });
        } else {
            signal(keeper, "KILL");
        }
        wait_for("it as it is", || {
            let pids = home.pids();
            if pids[1] == i64::from(hung) { Ok(()) } else { Err(format!("{pids:?} instead of {hung}")) }
        });
        assert_eq!(starting(), [hung], "both: {both}");
        kill(i32::try_from(lease.id()).unwrap(), "KILL");
        lease.wait().unwrap();
        wait_for("its program", || {
            let text = std::fs::read_to_string(home.work().join("starts")).unwrap_or_default();
            if text == "1\n2\n" { Ok(()) } else { Err(format!("{text:?}")) }
        });
        drop(start.wait());
        assert_eq!((home.pids()[1], home.restarts()), (i64::from(hung), vec![0, 0]));
    }
}
