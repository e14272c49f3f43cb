//! Reloads whose daemon, keeper or both die at any moment: no request to the app is lost.

use crate::dice::Dice;
use crate::fleet::signal;
use crate::support::load::{Connections, Load, Question};
use crate::support::{TestHome, fixture, free_port, is_alive, need, pause_for, wait_for, wait_http};
use std::time::{Duration, Instant};

/// Seconds without `PMON_FAULT_MINUTES`.
const SHORT: u64 = 8;

fn length() -> Duration {
    let minutes = std::env::var("PMON_FAULT_MINUTES").ok().and_then(|text| text.parse::<u64>().ok());
    Duration::from_secs(minutes.map_or(SHORT, |minutes| minutes * 60))
}

fn pid_in(home: &TestHome, file: &str) -> i32 {
    let text = std::fs::read_to_string(home.path().join(file)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Both, with neither able to replace the other.
fn kill_both(home: &TestHome) {
    let (keeper, daemon) = (pid_in(home, "keeper.lock"), pid_in(home, "pmon.pid"));
    signal(daemon, "STOP");
    signal(keeper, "KILL");
    signal(daemon, "KILL");
    wait_for("the end of both", || {
        if [keeper, daemon].iter().any(|pid| is_alive(*pid)) { Err(keeper.to_string()) } else { Ok(()) }
    });
}

fn deaths_in_reloads(scheduling: &str) {
    need("node", "apt-get install nodejs");
    let mut dice = Dice::new(&format!("deaths in reloads, {scheduling}"));
    let (home, port) = (TestHome::new(), free_port());
    let script = fixture("faults/app.js");
    let app = serde_json::json!({ "apps": [{ "name": "turnover", "script": script, "instances": 2,
        "exec_mode": "cluster", "scheduling": scheduling, "env": { "PORT": port.to_string() } }] });
    home.file("app.json", &app.to_string());
    home.ok(&["start", "app.json"]);
    wait_http(port);
    let get = Question::Get("/");
    let load = Load::new().with(2, port, Connections::Kept, get).with(2, port, Connections::Fresh, get);
    let (length, begun) = (length(), Instant::now());
    let (mut deaths, mut lost) = (0, 0);
    while begun.elapsed() < length {
        let mut reload = home.command(&["reload", "turnover"]).spawn().unwrap();
        let after = dice.below(400);
        pause_for(Duration::from_millis(after));
        let who = dice.of(&["daemon", "keeper", "both", "both"]);
        match who {
            "daemon" => signal(pid_in(&home, "pmon.pid"), "KILL"),
            "keeper" => signal(pid_in(&home, "keeper.lock"), "KILL"),
            _ => kill_both(&home),
        }
        deaths += 1;
        home.run(&["list"]);
        wait_for("the answer to the reload", || match reload.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        wait_for("two instances that serve", || {
            let statuses = home.statuses();
            if statuses == ["online", "online"] { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
        let failed = load.failed.lock().unwrap().clone();
        if failed.len() > lost {
            lost = failed.len();
            eprintln!("{who}, {after} ms after the reload: {failed:?}");
        }
    }
    let tally = load.end();
    println!("{scheduling}: {} answered in {deaths} deaths, failed {:?}", tally.ok, tally.failed);
    assert_eq!(tally.failures(), 0, "of {} in {deaths} deaths: {:?}", tally.ok, tally.failed);
}

#[test]
fn whoever_dies_in_a_reload_no_request_is_lost_with_one_shared_socket() {
    deaths_in_reloads("shared");
}

#[test]
fn whoever_dies_in_a_reload_no_request_is_lost_with_a_socket_each() {
    deaths_in_reloads("reuseport");
}
