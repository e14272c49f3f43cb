//! One slow thing delays nothing else.

use crate::support::{TestHome, is_alive, kill, need, wait_for};
use serde_json::json;

/// An app that takes a minute to stop, and two that do not.
fn start(home: &TestHome) -> i32 {
    need("python3", "apt-get install python3");
    let stubborn = "import signal, time\nfor s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n\
                    open('deaf', 'w').close()\nwhile True: time.sleep(1000)\n";
    home.file("stubborn.py", stubborn);
    home.file("rest.sh", "exec sleep 100000\n");
    let apps = json!({ "apps": [
        { "name": "stubborn", "script": "stubborn.py", "interpreter": "python3", "kill_timeout": 60_000 },
        { "name": "crashes", "script": "rest.sh" },
        { "name": "other", "script": "rest.sh" },
    ] });
    home.file("apps.json", &apps.to_string());
    home.ok(&["start", "apps.json"]);
    wait_for("the app to be deaf", || {
        if home.work().join("deaf").exists() { Ok(()) } else { Err("not yet".into()) }
    });
    i32::try_from(home.pids()[0]).unwrap()
}

#[test]
fn while_one_app_takes_its_time_to_stop_the_others_are_listed_restarted_and_stopped() {
    let home = TestHome::new();
    let stubborn = start(&home);
    let mut stop = home.command(&["stop", "stubborn"]).spawn().unwrap();
    wait_for("the stop", || {
        let statuses = home.statuses();
        if statuses[0] == "stopping" { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    // Each of these is over before the stop is.
    for _ in 0..3 {
        home.ok(&["list"]);
    }
    let before = home.pids();
    kill(i32::try_from(before[1]).unwrap(), "KILL");
    wait_for("the neighbour", || {
        let now = home.pids();
        if now[1] != before[1] && now[1] > 0 { Ok(()) } else { Err(format!("{now:?}")) }
    });
    home.ok(&["restart", "other"]);
    home.ok(&["stop", "other"]);
    home.ok(&["delete", "other"]);
    assert!(is_alive(stubborn), "all of that happened while it was stopping");
    assert!(stop.try_wait().unwrap().is_none(), "and the stop was still waited for");
    kill(stubborn, "KILL");
    assert!(stop.wait().unwrap().success());
}

#[test]
fn restart_all_waits_for_nobody_before_the_next() {
    let home = TestHome::new();
    let stubborn = start(&home);
    let before = home.pids();
    let mut restart = home.command(&["restart", "all"]).spawn().unwrap();
    wait_for("the other two", || {
        let now = home.pids();
        if now[1..].iter().zip(&before[1..]).all(|(new, old)| new != old && *new > 0) {
            Ok(())
        } else {
            Err(format!("{now:?} after {before:?}"))
        }
    });
    assert!(is_alive(stubborn), "they did not wait for the one that is slow");
    kill(stubborn, "KILL");
    assert!(restart.wait().unwrap().success());
}
