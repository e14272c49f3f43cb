//! Log rotation through the command line: in force at once, for every instance, and nothing lost under kill -9.

use crate::support::aside::{rotated, unpacked};
use crate::support::{TestHome, kill, wait_for};
use std::path::{Path, PathBuf};

/// Numbered lines, 200 and then a short rest, for ever.
const CHATTY: &str = "i=0; while :; do i=$((i+1)); echo \"$i some words to fill the line with, so that it is not all too short\"; \
                      [ $((i % 200)) = 0 ] && sleep 0.01; done\n";

#[track_caller]
fn wait_rotated(log: &Path, count: usize) {
    wait_for(&format!("{count} rotated files of {}", log.display()), || {
        let found = rotated(log).len();
        if found >= count { Ok(()) } else { Err(format!("{found}")) }
    });
}

fn settings(home: &TestHome) -> String {
    std::fs::read_to_string(home.path().join("module_conf.json")).unwrap_or_default()
}

#[test]
fn a_setting_holds_at_once_for_every_instance_and_nobody_is_restarted() {
    let home = TestHome::new();
    home.file("chatty.sh", CHATTY);
    home.ok(&["start", "chatty.sh", "-i", "3"]);
    let logs: Vec<PathBuf> = (0..3).map(|id| home.path().join(format!("logs/chatty-out-{id}.log"))).collect();
    wait_for("something in each log", || {
        let sizes: Vec<u64> = logs.iter().map(|log| log.metadata().map_or(0, |f| f.len())).collect();
        if sizes.iter().all(|size| *size > 20_000) { Ok(()) } else { Err(format!("{sizes:?}")) }
    });
    assert!(logs.iter().all(|log| rotated(log).is_empty()), "10 MB are allowed");
    let before = home.pids();
    home.ok(&["set", "pm2-logrotate:retain", "4"]);
    let said = home.ok(&["set", "pm2-logrotate:max_size", "10K"]).all();
    assert!(said.contains("[PM2] Setting changed") && said.contains("pm2-logrotate:max_size 10K"), "{said}");
    for log in &logs {
        wait_rotated(log, 4);
    }
    home.ok(&["stop", "all"]);
    for log in &logs {
        wait_for("four compressed files", || {
            let kept = rotated(log);
            let all = kept.iter().all(|path| path.extension().is_some_and(|e| e == "gz"));
            if kept.len() == 4 && all { Ok(()) } else { Err(format!("{kept:?}")) }
        });
        let sizes: Vec<usize> = rotated(log).iter().map(|path| unpacked(path).unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size >= 10_240), "{sizes:?}");
    }
    assert_eq!((before, home.restarts()), (started(&home), vec![0; 3]));
    let told = home.ok(&["describe", "0"]).out;
    assert!(told.contains("at 10K, keep 4, gzip") && told.contains("in 4 rotated"), "{told}");
}

/// The pids that the daemon's log says were started, one an instance: nobody was started again.
fn started(home: &TestHome) -> Vec<i64> {
    let log = std::fs::read_dir(home.path()).unwrap().flatten().map(|entry| entry.path());
    let log = log.filter(|path| path.file_name().is_some_and(|n| n.to_str().unwrap().starts_with("pmon")));
    let text: String = log
        .filter(|path| path.extension().is_some_and(|e| e == "log" || e == "gz"))
        .map(|path| String::from_utf8(unpacked(&path).unwrap()).unwrap())
        .collect();
    let mut pids: Vec<i64> = text
        .lines()
        .filter(|line| line.contains(" started "))
        .filter_map(|line| line.split("pid=").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

#[test]
fn no_line_is_lost_or_doubled_while_the_daemon_is_killed_and_the_log_rotates() {
    let home = TestHome::new();
    home.file("chatty.sh", &CHATTY.replace("while :", "while [ ! -e end ]"));
    home.ok(&["ping"]);
    home.ok(&["multiset", "pm2-logrotate:max_size 20K pm2-logrotate:retain all"]);
    home.ok(&["start", "chatty.sh", "--no-autorestart"]);
    let log = home.path().join("logs/chatty-out.log");
    for kills in 1..=8 {
        let old = home.daemon_pid();
        kill(old, "KILL");
        wait_for("another daemon", || {
            let text = std::fs::read_to_string(home.path().join("pmon.pid")).map_err(|e| e.to_string())?;
            if text.parse().is_ok_and(|now: i32| now != old) { Ok(()) } else { Err(text) }
        });
        wait_rotated(&log, kills * 3);
    }
    home.file("end", "");
    wait_for("the worker's end", || match home.statuses() {
        stopped if stopped == ["stopped"] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // What the worker wrote last is in the file when the daemon has ended, and nobody compresses any more.
    home.ok(&["kill"]);
    wait_for("the end of all processes", || match home.processes() {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
    let text: Vec<u8> = rotated(&log).iter().chain([&log]).flat_map(|path| unpacked(path).unwrap()).collect();
    let text = String::from_utf8(text).unwrap();
    let mut next = 1;
    for line in text.lines() {
        let number: u64 = line.split(' ').next().unwrap().parse().unwrap();
        assert!(number == next && line.ends_with("short"), "line {next} is lost, doubled or torn: {line}");
        next += 1;
    }
    assert!(next > 5_000, "{next}");
}

#[test]
fn settings_are_pm2s_in_both_spellings_and_bad_ones_change_nothing() {
    let home = TestHome::new();
    home.ok(&["set", "pm2-logrotate.max_size", "5M"]);
    home.ok(&["set", "my-module:level", "debug"]);
    home.ok(&["set", "plain", "text"]);
    let get = |key: &str| home.ok(&["get", key]).out.trim().to_owned();
    assert_eq!(get("pm2-logrotate:max_size"), "Value for module pm2-logrotate key max_size: 5M");
    assert_eq!(get("pm2-logrotate.retain"), "Value for module pm2-logrotate key retain: 30");
    assert_eq!(get("my-module:level"), "Value for module my-module key level: debug");
    assert_eq!(get("plain"), "Value for key plain: text");
    let unknown = home.run(&["get", "nothing:here"]).expect(1);
    assert_eq!(unknown.out, "");

    let before = settings(&home);
    assert!(
        before.starts_with("{\n    \"pm2-logrotate\": {\n        \"max_size\": \"5M\"\n    },"),
        "{before}"
    );
    let refused = home.run(&["set", "pm2-logrotate:max_size", "huge"]).expect(1);
    assert!(refused.err.contains("`max_size` must be a size") && refused.err.contains("huge"), "{refused:?}");
    for (key, value) in [
        ("pm2-logrotate:retain", "-1"),
        ("pm2-logrotate:compress", "maybe"),
        ("pm2-logrotate:rotateInterval", "never ever"),
        ("pm2-logrotate:TZ", "Europe/Nowhere"),
        ("pm2-logrotate:sise", "1M"),
        ("a:__proto__", "1"),
    ] {
        home.run(&["set", key, value]).expect(1);
    }
    home.run(&["multiset", "pm2-logrotate:retain 7 pm2-logrotate:max_size nonsense"]).expect(1);
    home.run(&["set", "pm2-logrotate:retain"]).expect(1);
    assert_eq!(settings(&home), before);

    home.ok(&["multiset", "pm2-logrotate:retain 7 pm2-logrotate:rotateInterval '0 3 * * *'"]);
    let all = home.ok(&["conf"]).out;
    assert!(all.contains("$ pmon set pm2-logrotate:rotateInterval '0 3 * * *'"), "{all}");
    assert!(all.contains("$ pmon set my-module:level debug"), "{all}");
    home.ok(&["unset", "pm2-logrotate.retain"]);
    home.ok(&["unset", "not:there"]);
    assert_eq!(get("pm2-logrotate:retain"), "Value for module pm2-logrotate key retain: 30");
    // The next daemon knows them too.
    home.ok(&["kill"]);
    assert_eq!(
        get("pm2-logrotate:rotateInterval"),
        "Value for module pm2-logrotate key rotateInterval: 0 3 * * *"
    );
    home.ok(&["unset", "all"]);
    assert_eq!(settings(&home), "{}");
}

#[test]
fn the_module_is_there_already_and_can_be_switched_off() {
    let home = TestHome::new();
    let said = home.ok(&["install", "pm2-logrotate"]).out;
    assert!(said.contains("built in") && said.contains("pm2-logrotate:max_size 10M"), "{said}");
    home.run(&["install", "pm2-server-monit"]).expect(1);
    home.ok(&["set", "pm2-logrotate:max_size", "10K"]);
    home.ok(&["uninstall", "pm2-logrotate"]);
    home.file("chatty.sh", CHATTY);
    home.ok(&["start", "chatty.sh"]);
    let log = home.path().join("logs/chatty-out.log");
    wait_for("a large log", || match log.metadata().map_or(0, |facts| facts.len()) {
        60_000.. => Ok(()),
        less => Err(format!("{less} bytes")),
    });
    assert_eq!(rotated(&log).len(), 0);
    home.ok(&["install", "pm2-logrotate"]);
    wait_rotated(&log, 1);
}

#[test]
fn the_clock_and_names_are_those_of_the_time_zone() {
    let home = TestHome::new();
    home.file("chatty.sh", CHATTY);
    home.ok(&["start", "chatty.sh"]);
    home.ok(&[
        "multiset",
        "pm2-logrotate:TZ Asia/Kolkata pm2-logrotate:dateFormat YYYY-MM-DD_HH-mm-ss_ZZ pm2-logrotate:compress false \
         pm2-logrotate:rotateInterval '* * * * * *'",
    ]);
    let log = home.path().join("logs/chatty-out.log");
    wait_rotated(&log, 2);
    let names: Vec<String> =
        rotated(&log).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.iter().all(|name| name.ends_with("_+0530.log")), "{names:?}");
}

#[test]
fn an_app_may_say_it_otherwise() {
    let home = TestHome::new();
    home.file("chatty.sh", CHATTY);
    let apps = r#"{"apps": [
        {"name": "small", "script": "chatty.sh", "rotate": {"max_size": "10K", "retain": 2, "compress": false}},
        {"name": "never", "script": "chatty.sh", "rotate": false}
    ]}"#;
    home.file("apps.json", apps);
    home.ok(&["set", "pm2-logrotate:max_size", "20K"]);
    home.ok(&["start", "apps.json"]);
    let log = |name: &str| home.path().join(format!("logs/{name}-out.log"));
    wait_rotated(&log("small"), 2);
    wait_for("much in the other", || match log("never").metadata().map_or(0, |facts| facts.len()) {
        100_000.. => Ok(()),
        less => Err(format!("{less} bytes")),
    });
    assert_eq!(rotated(&log("never")).len(), 0);
    let told = home.ok(&["describe", "small"]).out + &home.ok(&["describe", "never"]).out;
    assert!(told.contains("at 10K, keep 2 ") && told.contains("log rotation"), "{told}");
    let before = home.pids();
    home.file("apps.json", &apps.replace("false}\n", r#"{"max_size": "10K"}}"#));
    home.ok(&["restart", "apps.json"]);
    wait_rotated(&log("never"), 1);
    assert_ne!(before, home.pids());
    home.file("bad.json", &apps.replace("10K", "ten"));
    let refused = home.run(&["start", "bad.json"]).expect(1);
    assert!(refused.err.contains("`rotate` must be") && refused.err.contains("'ten'"), "{refused:?}");
}

#[test]
fn after_somebody_elses_rotation_logs_are_opened_anew_by_verb_and_by_signal() {
    let home = TestHome::new();
    home.file("slow.sh", "while :; do echo line; sleep 0.02; done\n");
    home.ok(&["start", "slow.sh"]);
    let log = home.path().join("logs/slow-out.log");
    let grows = |what: &str| {
        wait_for(what, || match log.metadata().map_or(0, |facts| facts.len()) {
            1.. => Ok(()),
            0 => Err("empty".into()),
        });
    };
    grows("the first line");
    let aside = home.path().join("aside.log");
    std::fs::rename(&log, &aside).unwrap();
    home.ok(&["reloadLogs"]);
    let moved = aside.metadata().unwrap().len();
    grows("a line in the new file");
    assert_eq!(aside.metadata().unwrap().len(), moved, "nothing more went to the old one");

    let (daemon, own) = (home.daemon_pid(), home.path().join("pmon.log"));
    std::fs::rename(&own, home.path().join("pmon-aside.log")).unwrap();
    kill(daemon, "USR2");
    wait_for("the daemon's new log", || {
        let text = std::fs::read_to_string(&own).unwrap_or_default();
        if text.contains("opened the logs anew") { Ok(()) } else { Err(text) }
    });
    assert_eq!(home.daemon_pid(), daemon);
}

#[test]
fn flush_says_what_it_freed_for_one_app_an_id_and_all() {
    let home = TestHome::new();
    home.file("say.sh", "echo 12345; echo 123 >&2; sleep 1000\n");
    home.ok(&["start", "say.sh", "-l", "say-all.log"]);
    home.ok(&["start", "say.sh", "--name", "other"]);
    let combined = home.work().join("say-all.log");
    wait_for("the lines of both", || {
        let other = std::fs::read(home.path().join("logs/other-error.log")).unwrap_or_default();
        let size = combined.metadata().map_or(0, |facts| facts.len());
        if (other.len(), size) == (4, 10) { Ok(()) } else { Err(format!("{} {size}", other.len())) }
    });
    let said = home.ok(&["flush", "say"]).out;
    assert!(said.contains("say-out.log (6 bytes)") && said.contains("say-all.log (10 bytes)"), "{said}");
    assert!(said.contains("[PM2] 20 bytes freed\n[PM2] Logs flushed"), "{said}");
    assert_eq!(combined.metadata().unwrap().len(), 0);
    let said = home.ok(&["flush", "1"]).out;
    assert!(said.contains("[PM2] 10 bytes freed"), "{said}");
    let said = home.ok(&["flush"]).out;
    assert!(said.contains("pmon.log (") && !said.contains("[PM2] 0 bytes freed"), "{said}");
}

#[test]
fn the_daemons_own_log_is_bounded_too() {
    let home = TestHome::new();
    home.file("idle.sh", "sleep 1000\n");
    home.ok(&["multiset", "pm2-logrotate:max_size 1K pm2-logrotate:workerInterval 1"]);
    home.ok(&["start", "idle.sh"]);
    let own = home.path().join("pmon.log");
    wait_for("a rotated log of the daemon", || {
        home.ok(&["restart", "idle"]);
        if rotated(&own).is_empty() { Err("none".into()) } else { Ok(()) }
    });
    home.ok(&["restart", "idle"]);
    assert!(home.log().contains("started"), "it goes on in the same file: {}", home.log());
}

#[test]
fn a_daemon_killed_within_the_rotation_of_its_own_log_says_nothing_twice_and_cuts_nothing() {
    for point in ["own_log.copied", "own_log.cut"] {
        let home = TestHome::new();
        std::fs::create_dir_all(home.faults()).unwrap();
        home.file("idle.sh", "sleep 1000\n");
        home.ok(&["multiset", "pm2-logrotate:compress false pm2-logrotate:workerInterval 1"]);
        home.ok(&["start", "idle.sh"]);
        let mut pids = home.pids();
        let plan = home.faults().join(point);
        std::fs::write(&plan, "kill").unwrap();
        home.ok(&["set", "pm2-logrotate:max_size", "1K"]);
        let own = home.path().join("pmon.log");
        wait_for("a rotation that a death cut short, and one after it", || {
            home.run(&["restart", "idle"]);
            pids.extend(home.pids());
            if !plan.exists() && !rotated(&own).is_empty() { Ok(()) } else { Err(point.into()) }
        });
        home.ok(&["kill"]);
        let parts = rotated(&own).into_iter().chain([own]);
        let said: String = parts.map(|part| std::fs::read_to_string(part).unwrap()).collect();
        let times = |pid: &i64| said.matches(&format!("started app=\"idle\" id=0 pid={pid}\n")).count();
        let told: Vec<usize> = pids.iter().filter(|pid| **pid != 0).map(times).collect();
        assert!(told.iter().all(|times| *times <= 1), "{point}: {told:?} in {said}");
        let unsaid = told.iter().filter(|times| **times == 0).count();
        assert!(unsaid <= 1, "{point}: only what the daemon was about to say: {told:?} in {said}");
    }
}

#[test]
fn settings_that_are_not_understood_remove_no_rotated_log() {
    let home = TestHome::new();
    home.file("chatty.sh", CHATTY);
    home.ok(&["multiset", "pm2-logrotate:retain all pm2-logrotate:max_size 4K"]);
    home.ok(&["start", "chatty.sh"]);
    let log = home.path().join("logs/chatty-out.log");
    wait_rotated(&log, 40);
    let spoiled = settings(&home).replace("\"all\"", "[1]");
    std::fs::write(home.path().join("module_conf.json"), spoiled).unwrap();
    home.kill_daemon();
    let before = rotated(&log).len();
    // Each rotation looks for what is to be removed.
    wait_rotated(&log, before + 5);
    let said = home.ok(&["list"]).all();
    assert!(said.contains("`retain` must be") && said.contains("no rotated log is removed"), "{said}");
    std::fs::write(home.path().join("module_conf.json"), "{\"pm2-logrotate\": {\"retain\": \"all\",}}")
        .unwrap();
    home.kill_daemon();
    let said = home.ok(&["list"]).all();
    assert!(said.contains("module_conf.json") && said.contains("no rotated log is removed"), "{said}");
    assert!(rotated(&log).len() >= before + 5);
}
