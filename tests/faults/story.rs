//! Timers go on from where they were: due times are read from what is written down, not from a watch.

use crate::support::{TestHome, kill, need, wait_for};
use serde_json::{Value, json};

/// The record of the only worker, as it is on disk.
fn record(home: &TestHome) -> Value {
    wait_for("the record", || {
        let files = std::fs::read_dir(home.path().join("state")).map_err(|e| e.to_string())?.flatten();
        let path = files.map(|file| file.path()).find(|path| path.extension().is_some_and(|e| e == "json"));
        let text = std::fs::read(path.ok_or("none")?).map_err(|e| e.to_string())?;
        let state: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        Ok(state["record"].clone())
    })
}

fn boot_ms(stamp: &Value) -> Option<u64> {
    stamp["boot_ms"].as_u64()
}

fn now_ms() -> u64 {
    pmon::sys::clock::now().boot_ms
}

fn keeper_pid(home: &TestHome) -> i32 {
    let text = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Kills the daemon or the keeper and waits until both are there again.
fn die(home: &TestHome, round: u32) {
    if round.is_multiple_of(2) {
        home.kill_daemon();
    } else {
        let old = keeper_pid(home);
        kill(old, "KILL");
        wait_for("another keeper", || {
            let now = keeper_pid(home);
            if now != old && now != 0 { Ok(()) } else { Err(now.to_string()) }
        });
    }
    home.ok(&["list"]);
}

#[test]
fn a_restart_that_was_put_off_is_due_when_it_was_due() {
    let home = TestHome::new();
    home.file("crash.sh", "sleep 0.05; echo ended >> ended; exit 1\n");
    let app = json!({ "apps": [{ "name": "crash", "script": "crash.sh", "restart_delay": 5000, "max_restarts": 99 }] });
    home.file("app.json", &app.to_string());
    home.ok(&["start", "app.json"]);
    let due = wait_for("the delay", || {
        let record = record(&home);
        boot_ms(&record["next_start"]).ok_or_else(|| record.to_string())
    });
    let mut seen = 0;
    while record(&home)["restarts"] == 0 && now_ms() < due {
        die(&home, seen);
        let record = record(&home);
        if record["restarts"] == 0 && record["state"] == "backoff" {
            assert_eq!(boot_ms(&record["next_start"]), Some(due), "it is put off no further");
            seen += 1;
        }
    }
    assert!(seen >= 1, "no death within the delay");
    let started = wait_for("the start", || {
        let record = record(&home);
        if record["restarts"] == 1 { Ok(boot_ms(&record["started"])) } else { Err(record.to_string()) }
    });
    assert!(started.unwrap() >= due, "not before it was due");
    let next = wait_for("the next delay", || {
        let record = record(&home);
        boot_ms(&record["next_start"]).filter(|next| *next > due).ok_or_else(|| record.to_string())
    });
    // The second delay is counted from the second end, which came after the first delay and before a third.
    assert!(next < due + 5000 + 5000, "the restart came when it was due, not a delay later: {next} {due}");
}

#[test]
fn the_time_a_worker_has_to_end_is_not_prolonged() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    home.file("stubborn.sh", "trap '' INT TERM; touch deaf; while :; do sleep 0.1; done\n");
    home.ok(&["start", "stubborn.sh", "--kill-timeout", "5000"]);
    wait_for("the app to be deaf", || {
        if home.work().join("deaf").exists() { Ok(()) } else { Err("not yet".into()) }
    });
    let mut stop = home.command(&["stop", "stubborn"]).spawn().unwrap();
    let due = wait_for("the grace", || {
        let record = record(&home);
        // Who has not been told yet has all his time from then.
        let told = record["untold"] != true;
        boot_ms(&record["kill_at"]).filter(|_| told).ok_or_else(|| record.to_string())
    });
    let mut seen = 0;
    while now_ms() < due {
        die(&home, seen);
        let record = record(&home);
        // When it is over, a step with a due time of its own follows.
        if record["state"] == "stopping" && now_ms() < due {
            assert_eq!(boot_ms(&record["kill_at"]), Some(due), "the grace is what it was");
            seen += 1;
        }
    }
    assert!(seen >= 1, "no death within the grace");
    wait_for("the end", || {
        let statuses = home.statuses();
        if statuses == ["stopped"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    // Cut by the death of its daemon, it says so; or it saw the end.
    drop(stop.wait());
}
