//! Reloads, restarts and scaling under load: no request is lost, whoever shares out the connections.

use crate::support::installed::npm_app;
use crate::support::load::{Connections, Load, Question, Tally};
use crate::support::{TestHome, free_port, kill, need, wait_for, wait_http};
use serde_json::Value;

const NODE: &str = "apt-get install nodejs";

/// An app of the fixtures in so many instances, started; returns its port.
fn app(home: &TestHome, name: &str, instances: u32, more: &str) -> u16 {
    need("node", NODE);
    let port = free_port();
    let script = npm_app(name);
    home.file(
        "app.config.js",
        &format!(
            "module.exports = {{ apps: [{{ name: 'web', script: {script:?}, instances: {instances}, \
             exec_mode: 'cluster', listen_timeout: 20000, env: {{ PORT: {port} }}, {more} }}] }};\n"
        ),
    );
    home.ok(&["start", "app.config.js"]);
    wait_http(port);
    port
}

/// Kept and fresh connections, short and slow answers, and uploads.
fn mixed(port: u16) -> Load {
    Load::new()
        .with(3, port, Connections::Kept, Question::Get("/"))
        .with(3, port, Connections::Fresh, Question::Get("/"))
        .with(3, port, Connections::Kept, Question::Get("/slow"))
        .with(3, port, Connections::Fresh, Question::Get("/slow"))
        .with(1, port, Connections::Kept, Question::Upload(200_000))
        .with(1, port, Connections::Fresh, Question::Upload(200_000))
}

#[track_caller]
fn none_failed(tally: &Tally) {
    eprintln!("{} answered, slowest {:?}, failed {:?}", tally.ok, tally.slowest, tally.failed);
    assert_eq!(tally.failures(), 0, "of {}: {:?}", tally.ok, tally.failed);
}

fn five_reloads(name: &str, scheduling: &str) {
    let home = TestHome::new();
    let port = app(&home, name, 4, &format!("scheduling: '{scheduling}'"));
    let load = mixed(port);
    load.go_on(100);
    for _ in 0..5 {
        let before = home.pids();
        let ran = home.ok(&["reload", "web"]);
        assert!(ran.out.contains("reload web: 4/4, 0 failed"), "{}", ran.out);
        assert!(home.pids().iter().all(|pid| !before.contains(pid)), "every process is new");
        load.go_on(50);
    }
    none_failed(&load.end());
}

#[test]
fn five_reloads_under_load_lose_nothing_in_turn() {
    five_reloads("http", "rr");
}

#[test]
fn five_reloads_under_load_lose_nothing_with_one_shared_socket() {
    five_reloads("http", "shared");
}

#[test]
fn five_reloads_under_load_lose_nothing_with_a_socket_each() {
    five_reloads("http", "reuseport");
}

#[test]
fn five_reloads_of_express_lose_nothing() {
    five_reloads("express", "rr");
}

#[test]
fn five_reloads_of_fastify_lose_nothing() {
    five_reloads("fastify", "rr");
}

fn restarts_and_scaling(scheduling: &str) {
    let home = TestHome::new();
    let port = app(&home, "http", 3, &format!("scheduling: '{scheduling}'"));
    let load = mixed(port);
    load.go_on(100);
    for id in ["0", "1", "2"] {
        home.ok(&["restart", id]);
        load.go_on(20);
    }
    home.ok(&["scale", "web", "5"]);
    load.go_on(50);
    home.ok(&["scale", "web", "2"]);
    load.go_on(50);
    // All at once: new connections wait until somebody is back.
    home.ok(&["restart", "web"]);
    load.go_on(50);
    none_failed(&load.end());
}

#[test]
fn restarts_and_scaling_lose_nothing_in_turn() {
    restarts_and_scaling("rr");
}

#[test]
fn restarts_and_scaling_lose_nothing_with_one_shared_socket() {
    restarts_and_scaling("shared");
}

#[test]
fn restarts_and_scaling_lose_nothing_with_a_socket_each() {
    restarts_and_scaling("reuseport");
}

#[test]
fn an_app_over_its_memory_limit_is_replaced_and_loses_nothing() {
    let home = TestHome::new();
    // Any Node is over it, and stays over it: it is replaced again and again.
    let port = app(&home, "http", 2, "max_memory_restart: '1M', min_uptime: 2000");
    let load = mixed(port);
    wait_for("a replacement of each", || {
        let restarts = home.restarts();
        if restarts.iter().all(|n| *n >= 2) { Ok(()) } else { Err(format!("{restarts:?}")) }
    });
    none_failed(&load.end());
}

#[test]
fn a_worker_killed_under_load_loses_its_own_requests_only() {
    let home = TestHome::new();
    let port = app(&home, "http", 4, "");
    let load = mixed(port);
    load.go_on(200);
    for id in 0..3 {
        kill(i32::try_from(home.pids()[id]).unwrap(), "KILL");
        load.go_on(200);
    }
    let tally = load.end();
    eprintln!("three kills: {} answered, failed {:?}", tally.ok, tally.failed);
    // Fourteen clients have one request each under way, spread over four workers.
    assert!(tally.failures() <= 3 * 14, "{:?}", tally.failed);
    let refused =
        tally.failed.keys().any(|reason| reason.starts_with("connect:") || reason.contains("in time"));
    assert!(!refused, "new connections go to the others: {:?}", tally.failed);
}

#[test]
fn websockets_are_taken_leave_of_and_can_come_back_at_once() {
    let home = TestHome::new();
    let port = app(&home, "ws", 2, "kill_timeout: 800");
    let modules = npm_app("ws").parent().unwrap().join("node_modules");
    let client = home.file(
        "client.js",
        "const WebSocket = require('ws');\n\
         let sent = 0, echoed = 0, closed = {}, errors = [], ending = false;\n\
         const open = () => {\n\
           const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}`);\n\
           let waiting = null, timer;\n\
           socket.on('open', () => { timer = setInterval(() => { if (!waiting && socket.readyState === 1) { waiting = String(++sent); socket.send(waiting); } }, 5); });\n\
           socket.on('message', (data) => { if (data.toString() === waiting) { echoed++; waiting = null; if (ending) socket.close(1000); } });\n\
           socket.on('error', (error) => errors.push(error.message));\n\
           socket.on('close', (code) => { clearInterval(timer); closed[code] = (closed[code] || 0) + 1;\n\
             if (!ending) open(); else if (--left === 0) console.log(JSON.stringify({ sent, echoed, closed, errors })); });\n\
         };\n\
         let left = 8;\n\
         for (let i = 0; i < left; i++) open();\n\
         process.on('SIGTERM', () => { ending = true; });\n",
    );
    let running = std::process::Command::new("node")
        .arg(&client)
        .arg(port.to_string())
        .env("NODE_PATH", modules)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let load = Load::new().with(2, port, Connections::Kept, Question::Get("/"));
    load.go_on(100);
    for _ in 0..3 {
        home.ok(&["reload", "web"]);
        // The old ones keep their websockets until their time is over.
        wait_for("the end of the old workers", || {
            let left = home.processes().len();
            if left == 4 { Ok(()) } else { Err(format!("{left} processes")) }
        });
        load.go_on(20);
    }
    none_failed(&load.end());
    kill(i32::try_from(running.id()).unwrap(), "TERM");
    let out = running.wait_with_output().unwrap().stdout;
    let told: Value = serde_json::from_slice(&out).unwrap();
    eprintln!("websockets: {told}");
    assert_eq!(told["errors"], serde_json::json!([]), "nobody was refused: {told}");
    let closed = |code: &str| told["closed"][code].as_i64().unwrap_or(0);
    assert_eq!((closed("1001"), closed("1006")), (24, 0), "each was told three times, none was cut: {told}");
    let lost = told["sent"].as_i64().unwrap() - told["echoed"].as_i64().unwrap();
    assert!(lost <= 24, "at most the message that met the goodbye: {told}");
}

#[test]
fn a_daemon_killed_within_a_reload_or_a_restart_loses_nothing() {
    let home = TestHome::new();
    // With round robin, a connection that is just being handed over is lost: `tests/faults` counts those.
    let port = app(&home, "http", 4, "scheduling: 'shared'");
    let load = mixed(port);
    load.go_on(100);
    for verb in [["reload", "web"], ["restart", "web"], ["reload", "web"]] {
        let mut client = home.command(&verb).spawn().unwrap();
        // Some have been replaced, some are draining, some wait.
        let before = home.restarts();
        wait_for("the first new process", || {
            let now = home.restarts();
            if now == before { Err(format!("{now:?}")) } else { Ok(()) }
        });
        let old = home.daemon_pid();
        kill(old, "KILL");
        client.wait().unwrap();
        wait_for("another daemon", || {
            let now = home.daemon_pid();
            if now != old { Ok(()) } else { Err(format!("still {now}")) }
        });
        load.go_on(100);
    }
    wait_for("a reload that is not refused", || {
        let ran = home.run(&["reload", "web"]);
        if ran.code == 0 { Ok(()) } else { Err(ran.all()) }
    });
    none_failed(&load.end());
}
