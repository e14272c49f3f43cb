//! Real web frameworks, unmodified, in cluster mode: two instances each, all under one daemon.

use crate::support::nodes::{app, node};
use crate::support::{TestHome, free_port, get, wait_for, wait_http};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const NODE: &str = "22";

/// All of them started: name, port.
fn start(home: &TestHome, names: &[&'static str]) -> Vec<(&'static str, u16)> {
    let apps: Vec<(&str, u16)> = names.iter().map(|name| (*name, free_port())).collect();
    let declared = apps.iter().map(|(name, port)| {
        json!({ "name": name, "script": app(name).join("app.js"), "cwd": app(name), "interpreter": node(NODE),
            "instances": 2, "exec_mode": "cluster", "env": { "PORT": port.to_string() } })
    });
    let declared = json!({ "apps": declared.collect::<Vec<_>>() });
    home.file("apps.json", &declared.to_string());
    home.ok(&["start", "apps.json"]);
    apps
}

/// Pids that answer for this app, until there are two.
fn both(name: &str, port: u16) -> BTreeSet<i64> {
    wait_http(port);
    let mut pids = BTreeSet::new();
    wait_for(&format!("both instances of {name}"), || {
        let (code, body) = get(port)?;
        let answer: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        assert_eq!((code, answer["app"].as_str()), (200, Some(name)));
        pids.extend(answer["pid"].as_i64());
        if pids.len() == 2 { Ok(()) } else { Err(format!("{pids:?}")) }
    });
    pids
}

/// Runs a client of the app; what it prints.
fn client(name: &str, port: u16) -> String {
    let out = Command::new(node(NODE))
        .arg(app(name).join("client.js"))
        .env("PORT", port.to_string())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn frameworks_serve_from_both_instances_before_and_after_a_reload() {
    let home = TestHome::new();
    let apps = start(&home, &["http", "express", "fastify", "koa", "ws", "upload"]);
    let before: Vec<_> = apps.iter().map(|(name, port)| both(name, *port)).collect();
    let listed: BTreeSet<i64> = home.pids().into_iter().collect();
    assert_eq!(before.iter().flatten().copied().collect::<BTreeSet<_>>(), listed);
    assert!(home.jlist().iter().all(|w| w["pm2_env"]["version"] == "1.2.3"));
    home.ok(&["reload", "all"]);
    for ((name, port), before) in apps.iter().zip(before) {
        let now: Value = serde_json::from_str(&get(*port).unwrap().1).unwrap();
        assert!(!before.contains(&now["pid"].as_i64().unwrap()), "{name} is replaced");
        both(name, *port);
    }
    assert_eq!(home.statuses(), vec!["online"; 12]);
}

#[test]
fn a_websocket_stays_with_its_worker_and_the_next_goes_to_another() {
    let home = TestHome::new();
    let apps = start(&home, &["ws"]);
    let (name, port) = apps[0];
    both(name, port);
    let text = client(name, port);
    let words: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(words.len(), 20, "{text}");
    let workers: BTreeSet<&str> = words.iter().map(|(pid, _)| *pid).collect();
    assert_eq!(workers.len(), 2, "{text}");
    for worker in workers {
        let said: Vec<&str> = words.iter().filter(|(pid, _)| *pid == worker).map(|(_, word)| *word).collect();
        assert_eq!(said, (0..10).map(|n| format!("word {n}")).collect::<Vec<_>>());
    }
}

#[test]
fn uploads_arrive_as_they_were_sent() {
    let home = TestHome::new();
    let apps = start(&home, &["upload"]);
    let (name, port) = apps[0];
    both(name, port);
    assert_eq!(client(name, port).trim(), "[true,true]");
}

#[test]
fn the_installed_apps_are_those_of_the_fixtures() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/apps");
    for dir in std::fs::read_dir(fixtures).unwrap().flatten() {
        for file in std::fs::read_dir(dir.path()).unwrap().flatten() {
            let name = dir.file_name().to_string_lossy().into_owned();
            let installed = std::fs::read(app(&name).join(file.file_name())).unwrap_or_default();
            assert!(
                installed == std::fs::read(file.path()).unwrap(),
                "{name} has changed: run tests/nodes apps"
            );
        }
    }
}
