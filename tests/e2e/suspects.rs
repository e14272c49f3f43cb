//! A record of which the daemon dies at its start, a record that nobody can read, a daemon that dies soon after its start:
//! there is a daemon all the same, and every worker goes on.

use crate::rebuild::{keeper_pid, next_keeper};
use crate::support::{TestHome, fixture, free_port, get, is_alive, kill, need, wait_for, wait_http};

/// Four that rest, and one that serves; its port, and their pids.
fn fleet() -> (TestHome, u16, Vec<i64>) {
    let (home, port) = (TestHome::new(), free_port());
    need("node", "apt-get install nodejs");
    std::fs::create_dir_all(home.faults()).unwrap();
    home.file("rest.sh", "exec sleep 1000\n");
    for name in ["a", "b", "c"] {
        home.ok(&["start", "rest.sh", "--name", name, "-f"]);
    }
    let script = fixture("server.js").display().to_string();
    let start = ["start", &script, "-x", "--name", "poison", "--interpreter", "node"];
    home.command(&start).env("PORT", port.to_string()).output().unwrap();
    home.ok(&["start", "rest.sh", "--name", "d", "-f"]);
    wait_http(port);
    let pids = home.pids();
    (home, port, pids)
}

fn plan(home: &TestHome, point: &str, deed: &str) {
    std::fs::write(home.faults().join(point), deed).unwrap();
}

fn is_online(home: &TestHome, name: &str) -> Option<i64> {
    let list = home.jlist();
    let one = list.iter().find(|one| one["name"] == name)?;
    (one["pm2_env"]["status"] == "online").then(|| one["pid"].as_i64().unwrap())
}

#[track_caller]
fn is_led_but_poison(home: &TestHome, pids: &[i64], port: u16) {
    let said = home.ok(&["list"]).all();
    assert!(said.contains("`poison` (3) is set aside: the daemon dies of"), "{said}");
    assert!(said.contains(&format!("(pid {}) goes on", pids[3])), "{said}");
    assert_eq!(home.pids(), [pids[0], pids[1], pids[2], pids[4]]);
    assert_eq!(get(port).map(|(code, _)| code), Ok(200));
}

#[test]
fn a_worker_of_whom_the_daemon_dies_is_set_aside_while_the_others_are_led_and_taken_back_when_asked() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (home, port, pids) = fleet();
    plan(&home, "attach.record", "abort always for=poison");
    home.kill_daemon();
    is_led_but_poison(&home, &pids, port);
    let said = home.ok(&["list"]).all();
    assert!(said.contains("died 3 times in a row") && said.contains("SIGABRT"), "{said}");
    assert!(home.ok(&["describe", "poison"]).all().contains("is set aside"));
    assert!(home.log().contains("a worker is set aside"), "{}", home.log());
    // The others are led, a new one gets an id of its own, and what was set aside stays so for the next daemons.
    home.ok(&["restart", "a", "b"]);
    home.ok(&["start", "rest.sh", "--name", "e", "-f"]);
    assert_eq!(home.jlist().last().unwrap()["pm_id"], 5);
    home.ok(&["delete", "e"]);
    let pids = [&home.pids()[..3], &pids[3..4], &home.pids()[3..]].concat();
    home.kill_daemon();
    is_led_but_poison(&home, &pids, port);
    let keeper = keeper_pid(&home);
    kill(keeper, "KILL");
    next_keeper(&home, keeper);
    home.kill_daemon();
    is_led_but_poison(&home, &pids, port);
    // Saved, it is not lost; asked for, it is tried, and set aside again at once.
    home.ok(&["save"]);
    assert!(std::fs::read_to_string(home.path().join("dump.json")).unwrap().contains("poison"));
    let refused = home.run(&["restart", "poison"]).expect(1).all();
    assert!(refused.contains("is set aside"), "{refused}");
    is_led_but_poison(&home, &pids, port);
    assert!(home.run(&["stop", "poison"]).expect(1).all().contains("is set aside"));
    // Mended, it is led and restarted, though the daemon is killed over that.
    std::fs::remove_file(home.faults().join("attach.record")).unwrap();
    plan(&home, "suspects.led", "kill");
    home.ok(&["restart", "poison"]);
    wait_http(port);
    assert_ne!(is_online(&home, "poison"), Some(pids[3]));
    assert!(is_online(&home, "poison").is_some());
    assert!(!is_alive(i32::try_from(pids[3]).unwrap()));
    assert!(!home.ok(&["list"]).all().contains("is set aside"));
    home.kill_daemon();
    assert_eq!(home.statuses(), ["online"; 5]);
}

#[test]
fn one_whom_no_dying_daemon_names_is_found_and_an_upgrade_takes_it_back_as_it_is() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (home, port, pids) = fleet();
    plan(&home, "attach.fed", "panic always for=poison");
    home.kill_daemon();
    is_led_but_poison(&home, &pids, port);
    let said = home.ok(&["list"]).all();
    assert!(said.contains("exit code 101") && said.contains("a test wants this"), "{said}");
    // A program that dies of it too makes room for the old one, which does without it still.
    let (done, said) = crate::fallen::update(&home, "pmon-no-better");
    assert!(!done && said.contains("goes on as before"), "{said}");
    is_led_but_poison(&home, &pids, port);
    let said = home.ok(&["list"]).all();
    assert!(said.contains("pmon-no-better` was tried as the new program"), "{said}");
    std::fs::remove_file(home.faults().join("attach.fed")).unwrap();
    let (done, said) = crate::fallen::update(&home, "pmon-mended");
    assert!(done, "{said}");
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0; 5]));
    assert!(!home.ok(&["list"]).all().contains("is set aside"));
    assert_eq!(get(port).map(|(code, _)| code), Ok(200));
}

#[test]
fn where_no_single_one_is_to_blame_all_are_set_aside_and_each_can_be_deleted_or_taken_back() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (home, port, pids) = fleet();
    plan(&home, "attach.fed", "abort always");
    home.kill_daemon();
    let said = home.ok(&["list"]).all();
    assert_eq!(said.matches("is set aside").count(), 5, "{said}");
    assert!(pids.iter().all(|pid| is_alive(i32::try_from(*pid).unwrap())));
    assert_eq!(get(port).map(|(code, _)| code), Ok(200));
    // What ends meanwhile is said, and restarted when it is led again.
    kill(i32::try_from(pids[0]).unwrap(), "KILL");
    wait_for("the end to be told", || {
        let said = home.ok(&["list"]).all();
        if said.contains("`a` (0) is set aside") && said.contains("has ended (SIGKILL)") {
            Ok(())
        } else {
            Err(said)
        }
    });
    std::fs::remove_file(home.faults().join("attach.fed")).unwrap();
    home.ok(&["delete", "b"]);
    assert!(!is_alive(i32::try_from(pids[1]).unwrap()));
    home.ok(&["restart", "c"]);
    assert_eq!(home.statuses(), ["online"]);
    let refused = home.run(&["start", "rest.sh", "--name", "d", "-f"]).expect(1).all();
    assert!(refused.contains("is set aside"), "{refused}");
    let (done, said) = crate::fallen::update(&home, "pmon-mended");
    assert!(done, "{said}");
    wait_for("all to be led", || {
        let statuses = home.statuses();
        if statuses == ["online"; 4] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    let now = home.pids();
    assert_ne!(now[0], pids[0]);
    assert_eq!(now[2..], pids[3..]);
}

#[test]
fn after_kill_nothing_is_left_of_those_who_were_set_aside() {
    if !cfg!(debug_assertions) {
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.faults()).unwrap();
    home.file("rest.sh", "trap '' TERM; while :; do sleep 0.1; done\n");
    home.ok(&["start", "rest.sh", "--name", "stubborn"]);
    plan(&home, "attach.record", "abort always");
    home.kill_daemon();
    assert!(home.ok(&["list"]).all().contains("`stubborn` (0) is set aside"));
    home.ok(&["kill"]);
    wait_for("nothing", || {
        let left = home.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn with_keeper_and_daemon_dead_a_state_of_which_the_next_daemon_dies_costs_nobody_else() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (home, port, pids) = fleet();
    plan(&home, "attach.record", "abort always for=poison");
    crate::rebuild::kill_both(&home);
    is_led_but_poison(&home, &pids, port);
    std::fs::remove_file(home.faults().join("attach.record")).unwrap();
    let (done, said) = crate::fallen::update(&home, "pmon-mended");
    assert!(done, "{said}");
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0; 5]));
}

#[test]
fn a_daemon_that_dies_soon_after_its_start_again_and_again_is_started_less_often_and_that_is_said() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (home, port, pids) = fleet();
    plan(&home, "run.breath", "panic 2 always");
    home.kill_daemon();
    let said = wait_for("some deaths", || {
        let said = home.run(&["list"]).all();
        if said.contains("died 4 times in a row") { Ok(said) } else { Err(said) }
    });
    assert!(said.contains("exit code 101, panicked at") && said.contains("a test wants this"), "{said}");
    std::fs::remove_file(home.faults().join("run.breath")).unwrap();
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0; 5]));
    assert!(!home.ok(&["list"]).all().contains("is set aside"));
    assert_eq!(get(port).map(|(code, _)| code), Ok(200));
}

#[test]
fn a_worker_whose_record_nobody_can_read_is_set_aside_with_the_same_words() {
    with_a_spoiled_record(|record| {
        record["app"]["program"] = serde_json::json!({"kind": "of a later version"});
    });
}

#[test]
fn a_record_that_says_it_is_anothers_hides_nobody() {
    with_a_spoiled_record(|record| record["run"]["entry"] = 2.into());
}

/// The record of the first of two workers is spoiled while neither keeper nor daemon lives.
fn with_a_spoiled_record(how: impl Fn(&mut serde_json::Value)) {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh", "--name", "odd"]);
    home.ok(&["start", "rest.sh", "--name", "even", "-f"]);
    let pids = home.pids();
    let spoil = |home: &TestHome| {
        let state = home.path().join("state/1.json");
        let text = std::fs::read_to_string(&state).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        how(&mut json["record"]);
        std::fs::write(&state, json.to_string()).unwrap();
    };
    crate::rebuild::kill_both(&home);
    spoil(&home);
    let told = |home: &TestHome| {
        let said = home.ok(&["list"]).all();
        assert!(said.contains("`odd` (0) is set aside: its record cannot be read"), "{said}");
        assert!(said.contains(&format!("(pid {}) goes on", pids[0])), "{said}");
        assert_eq!(home.pids(), pids[1..]);
    };
    told(&home);
    assert!(home.run(&["restart", "odd"]).expect(1).all().contains("cannot be read"));
    assert!(home.ok(&["describe", "0"]).all().contains("cannot be read"));
    home.kill_daemon();
    told(&home);
    crate::rebuild::kill_both(&home);
    told(&home);
    home.ok(&["delete", "odd"]);
    wait_for("its end", || {
        if is_alive(i32::try_from(pids[0]).unwrap()) { Err("alive".to_owned()) } else { Ok(()) }
    });
    assert!(!home.ok(&["list"]).all().contains("set aside"));
}

#[test]
fn a_record_that_the_keeper_has_and_nobody_can_read_is_set_aside_until_somebody_can() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (home, port, pids) = fleet();
    plan(&home, "attach.read", "EIO always for=poison");
    home.kill_daemon();
    let said = home.ok(&["list"]).all();
    assert!(said.contains("`poison` (3) is set aside: its record cannot be read"), "{said}");
    assert_eq!(home.pids(), [pids[0], pids[1], pids[2], pids[4]]);
    assert_eq!(get(port).map(|(code, _)| code), Ok(200));
    assert!(home.run(&["restart", "3"]).expect(1).all().contains("cannot be read"));
    std::fs::remove_file(home.faults().join("attach.read")).unwrap();
    home.kill_daemon();
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0; 5]));
    assert!(!home.ok(&["list"]).all().contains("set aside"));
}
