//! The everyday case: a Node web app in sixteen instances on one port, and the verbs on it.

use crate::support::{TestHome, fixture, free_port, get, kill, need, wait_for, wait_http};
use serde_json::Value;
use std::collections::BTreeMap;

const NODE: &str = "apt-get install nodejs";

/// `timeline-app` with so many instances, started; returns its port.
fn timeline(home: &TestHome, instances: u32) -> u16 {
    need("node", NODE);
    let port = free_port();
    let script = fixture("server.js");
    home.file(
        "ecosystem.config.js",
        &format!(
            "module.exports = {{ apps: [{{ name: 'timeline-app', script: {script:?}, instances: {instances}, exec_mode: 'cluster',\n\
             autorestart: true, max_restarts: 10, min_uptime: '10s', max_memory_restart: '500M', env: {{ PORT: {port} }} }}] }};\n"
        ),
    );
    home.ok(&["start", "ecosystem.config.js"]);
    port
}

/// Asks until every instance has answered; who answered how often.
fn ask_everybody(port: u16, instances: usize) -> BTreeMap<String, Value> {
    wait_http(port);
    let mut seen = BTreeMap::new();
    wait_for("an answer of every instance", || {
        for _ in 0..instances {
            let (code, body) = get(port)?;
            assert_eq!(code, 200);
            let answer: Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
            seen.insert(answer["instance"].as_str().unwrap_or("?").to_owned(), answer);
        }
        if seen.len() >= instances { Ok(()) } else { Err(format!("{:?}", seen.keys())) }
    });
    seen
}

#[test]
fn sixteen_unmodified_instances_share_one_port() {
    let home = TestHome::new();
    let port = timeline(&home, 16);
    assert_eq!(home.statuses(), vec!["online"; 16], "the answer of start is true");
    let seen = ask_everybody(port, 16);
    let mut numbers: Vec<u32> = seen.keys().map(|k| k.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..16).collect::<Vec<_>>(), "NODE_APP_INSTANCE");
    assert!(seen.values().all(|a| a["worker"] == true), "cluster.isWorker");
    let mut pids: Vec<i64> = seen.values().map(|a| a["pid"].as_i64().unwrap()).collect();
    let mut listed = home.pids();
    pids.sort_unstable();
    listed.sort_unstable();
    assert_eq!(pids, listed, "the pids in jlist are the ones that answer");
    let table = home.ok(&["list"]).out;
    assert_eq!(table.matches("│ timeline-app").count(), 16, "{table}");
}

#[test]
fn list_is_right_after_each_verb() {
    let home = TestHome::new();
    let port = timeline(&home, 4);
    let count = |home: &TestHome| home.jlist().len();

    home.ok(&["scale", "timeline-app", "2"]);
    assert_eq!(count(&home), 2);
    home.ok(&["scale", "timeline-app", "+2"]);
    assert_eq!((count(&home), home.statuses()), (4, vec!["online".to_owned(); 4]));
    let before = home.pids();
    home.ok(&["restart", "0"]);
    let after = home.pids();
    assert_ne!(before[0], after[0], "a restart is a new process");
    assert_eq!(before[1..], after[1..], "the others are left alone");
    assert_eq!(home.restarts(), [1, 0, 0, 0]);
    home.ok(&["restart", "all"]);
    assert_eq!(home.restarts(), [2, 1, 1, 1]);
    assert_eq!(home.statuses(), vec!["online"; 4]);
    let before = home.pids();
    home.ok(&["reload", "all"]);
    assert!(home.pids().iter().all(|pid| !before.contains(pid)), "every process is new");
    assert_eq!(home.statuses(), vec!["online"; 4]);
    ask_everybody(port, 4);
    home.ok(&["stop", "timeline-app"]);
    assert_eq!(home.statuses(), vec!["stopped"; 4]);
    assert_eq!(home.pids(), vec![0; 4]);
    assert!(get(port).is_err(), "a stopped app does not hold its port");
    home.ok(&["start", "timeline-app"]);
    assert_eq!(home.statuses(), vec!["online"; 4]);
    ask_everybody(port, 4);
    home.ok(&["delete", "all"]);
    assert_eq!(count(&home), 0);
}

#[test]
fn a_worker_killed_is_back_with_a_count_of_one_and_the_log_says_why() {
    let home = TestHome::new();
    let port = timeline(&home, 2);
    wait_http(port);
    let before = home.pids();
    kill(i32::try_from(before[0]).unwrap(), "KILL");
    wait_for("the restarted worker", || {
        let (pids, statuses) = (home.pids(), home.statuses());
        if pids[0] != before[0] && pids[0] != 0 && statuses[0] == "online" {
            Ok(())
        } else {
            Err(format!("{pids:?} {statuses:?}"))
        }
    });
    assert_eq!(home.restarts(), [1, 0]);
    assert_eq!(home.pids()[1], before[1]);
    let log = home.log();
    assert!(log.contains("ended by itself") && log.contains("SIGKILL"), "{log}");
    assert!(home.ok(&["describe", "0"]).out.contains("SIGKILL"));
}

#[test]
fn an_app_that_exits_at_once_is_errored_with_the_reason() {
    let home = TestHome::new();
    home.file("crash.sh", "echo it breaks >&2\nexit 7\n");
    home.ok(&["start", "crash.sh", "--max-restarts", "3"]);
    wait_for("errored", || {
        let statuses = home.statuses();
        if statuses == ["errored"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    assert_eq!(home.restarts(), [2], "three launches in all");
    let shown = home.ok(&["describe", "crash"]).out;
    assert!(shown.contains("errored") && shown.contains("exit code 7"), "{shown}");
}

#[test]
fn anything_else_runs_in_fork_mode() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    home.file("a.py", "import time\nprint('python here')\nwhile True: time.sleep(1)\n");
    home.file("b.sh", "echo shell here\nwhile :; do sleep 1; done\n");
    home.ok(&["start", "a.py"]);
    home.ok(&["start", "b.sh"]);
    home.ok(&["start", "sleep", "--name", "binary", "--", "1000"]);
    home.ok(&["start", "echo quoted here; sleep 1000", "--name", "quoted"]);
    assert_eq!(home.statuses(), vec!["online"; 4]);
    assert!(home.jlist().iter().all(|w| w["pm2_env"]["exec_mode"] == "fork_mode"));
    for (file, line) in
        [("a-out.log", "python here"), ("b-out.log", "shell here"), ("quoted-out.log", "quoted here")]
    {
        let path = home.path().join("logs").join(file);
        wait_for(&format!("`{line}` in {}", path.display()), || {
            let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
            if text.contains(line) { Ok(()) } else { Err(text) }
        });
    }
}

#[test]
fn what_is_saved_is_resurrected() {
    let home = TestHome::new();
    home.ok(&["start", "sleep", "--name", "one", "--", "1000"]);
    home.ok(&["start", "sleep", "--name", "two", "-i", "2", "--", "1000"]);
    home.ok(&["stop", "one"]);
    home.ok(&["save"]);
    home.ok(&["kill"]);
    wait_for("the end of everything", || {
        let left = home.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    home.ok(&["resurrect"]);
    let list: Vec<_> = home
        .jlist()
        .iter()
        .map(|w| {
            (w["name"].as_str().unwrap().to_owned(), w["pm2_env"]["status"].as_str().unwrap().to_owned())
        })
        .collect();
    let want = [("one", "stopped"), ("two", "online"), ("two", "online")];
    assert_eq!(list, want.map(|(n, s)| (n.to_owned(), s.to_owned())));
}

#[test]
fn an_app_inherits_the_sockets_it_asks_for() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    let port = free_port();
    home.file(
        "inherit.py",
        "import os, socket\nassert os.environ['LISTEN_FDS'] == '1' and int(os.environ['LISTEN_PID']) == os.getpid()\n\
         s = socket.socket(fileno=3)\n\
         while True:\n    c, _ = s.accept()\n    c.recv(4096)\n    c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n%d\\n' % os.getpid())\n    c.close()\n",
    );
    home.file(
        "inherit.json",
        &format!("{{ apps: [{{ name: 'inherit', script: 'inherit.py', instances: 3, listen: ['127.0.0.1:{port}'] }}] }}"),
    );
    home.ok(&["start", "inherit.json"]);
    wait_http(port);
    for _ in 0..3 {
        home.ok(&["restart", "inherit"]);
        assert_eq!(get(port).unwrap().0, 200, "the socket stays open over a restart");
    }
    home.ok(&["delete", "inherit"]);
    assert!(get(port).is_err());
}

#[test]
fn a_host_and_a_callback_in_listen_change_nothing() {
    need("node", NODE);
    let home = TestHome::new();
    let port = free_port();
    home.file(
        "host.js",
        &format!("require('http').createServer((q, r) => r.end('ok')).listen({port}, '127.0.0.1', () => console.log('up'));"),
    );
    home.ok(&["start", "host.js", "-i", "2"]);
    wait_http(port);
    home.ok(&["restart", "host"]);
    wait_http(port);
}

#[test]
fn the_demo_shows_one_frame_without_a_terminal_and_leaves_nothing_behind() {
    let home = TestHome::new();
    for with in
        [&["demo", "--once", "--instances", "2"][..], &["demo", "--once", "--instances", "2", "--no-node"]]
    {
        let ran = {
            let mut command = home.command(with);
            command.env("TMPDIR", home.work());
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(ran.contains("timeline-app") && ran.contains("2 online"), "{ran}");
        let left: Vec<_> = std::fs::read_dir(home.work()).unwrap().flatten().map(|e| e.path()).collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new());
    }
}
