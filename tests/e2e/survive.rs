//! kill -9 of the daemon: nobody notices.

use crate::rebuild::Load;
use crate::support::{TestHome, fixture, free_port, kill, need, wait_for, wait_http};

/// Kills of the daemon under load; more by `PMON_KILLS`.
fn kills() -> usize {
    std::env::var("PMON_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(5)
}

#[test]
fn workers_keep_their_pids_counts_and_uptimes_and_no_request_fails() {
    let (failed, _) = kill_under_load("shared");
    assert_eq!(failed, Vec::<String>::new());
}

/// With `rr` the daemon alone has a connection from accept(2) to sendmsg(2), one at a time (docs/scheduling.md).
#[test]
fn round_robin_loses_at_most_the_connection_that_is_just_accepted() {
    let (failed, kills) = kill_under_load("rr");
    println!("rr: {} of {kills} kills fell into the window", failed.len());
    assert!(failed.iter().all(|why| why.contains("Connection reset")), "{failed:?}");
    // Far fewer: it is a few microseconds of each request. Half of the kills would be another cause.
    assert!(failed.len() <= kills.div_ceil(2), "{kills} kills: {failed:?}");
}

/// What failed, in how many kills.
fn kill_under_load(scheduling: &str) -> (Vec<String>, usize) {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let port = free_port();
    let script = fixture("server.js").display().to_string();
    home.command(&["start", &script, "-i", "4", "--name", "web", "--scheduling", scheduling])
        .env("PORT", port.to_string())
        .status()
        .unwrap();
    wait_http(port);
    home.ok(&["restart", "2"]);
    let facts = |home: &TestHome| {
        home.jlist()
            .iter()
            .map(|w| {
                (
                    w["pid"].clone(),
                    w["pm2_env"]["restart_time"].clone(),
                    w["pm2_env"]["pm_uptime"].clone(),
                    w["pm2_env"]["status"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    let before = facts(&home);
    let load = Load::on(port);
    let kills = kills();
    for _ in 0..kills {
        home.kill_daemon();
        load.goes_on();
        assert_eq!(facts(&home), before);
    }
    let failed = load.end();
    // It is not only alive, it is still led: channel, restart and reload work.
    home.ok(&["reload", "web"]);
    home.ok(&["restart", "web"]);
    assert_eq!(home.statuses(), vec!["online"; 4]);
    wait_http(port);
    (failed, kills)
}

#[test]
fn no_log_line_is_lost_or_doubled() {
    let home = TestHome::new();
    home.file(
        "count.sh",
        "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo line $i; done; echo end; sleep 1000\n",
    );
    home.ok(&["start", "count.sh"]);
    for _ in 0..5 {
        home.kill_daemon();
    }
    let path = home.path().join("logs/count-out.log");
    let text = wait_for("the last line", || {
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        if text.ends_with("end\n") { Ok(text) } else { Err(format!("{} bytes", text.len())) }
    });
    let want: String = (1..=60000).map(|i| format!("line {i}\n")).chain(["end\n".to_owned()]).collect();
    assert!(text == want, "the file differs: {} bytes instead of {}", text.len(), want.len());
    assert_eq!(home.restarts(), [0]);
}

#[test]
fn an_exit_while_no_daemon_lives_is_known_with_its_code() {
    let home = TestHome::new();
    home.file("leave.sh", "sleep 1000 & wait $!\nexit 5\n");
    home.ok(&["start", "leave.sh", "--no-autorestart"]);
    let worker = i32::try_from(home.pids()[0]).unwrap();
    let daemon = home.daemon_pid();
    // Stopped, the daemon hears nothing; killed then, it has never heard of the exit.
    kill(daemon, "STOP");
    let child = wait_for("the worker's child", || {
        let children = std::fs::read_to_string(format!("/proc/{worker}/task/{worker}/children"))
            .map_err(|e| e.to_string())?;
        children.split_whitespace().next().and_then(|c| c.parse::<i32>().ok()).ok_or(children)
    });
    kill(child, "TERM");
    wait_for(
        "the worker's end",
        || if crate::support::is_alive(worker) { Err("alive".into()) } else { Ok(()) },
    );
    home.kill_daemon();
    assert_eq!(home.statuses(), ["stopped"]);
    assert!(home.ok(&["describe", "leave"]).out.contains("exit code 5"));
}

#[test]
fn a_stop_that_the_daemon_did_not_live_to_finish_is_finished() {
    let home = TestHome::new();
    home.file("stubborn.sh", "trap '' INT; while :; do sleep 0.1; done\n");
    home.ok(&["start", "stubborn.sh", "--kill-timeout", "3000"]);
    let mut stopping = home.command(&["stop", "stubborn"]).spawn().unwrap();
    wait_for("stopping", || {
        let statuses = home.statuses();
        if statuses == ["stopping"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    home.kill_daemon();
    let _cut = stopping.wait();
    wait_for("stopped", || {
        let statuses = home.statuses();
        if statuses == ["stopped"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
}
