//! The whole protocol with each version of Node: what programs do with ports, messages and their own end.

use crate::support::nodes::{VERSIONS, node};
use crate::support::{TestHome, fixture, free_port, get_path, kill, need, wait_for, wait_http};
use serde_json::{Value, json};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `case` with each version, two at a time: most of it is waiting.
fn with_each_version(case: fn(&str)) {
    for pair in VERSIONS.chunks(2) {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                pair.iter().map(|version| (version, scope.spawn(move || case(version)))).collect();
            for (version, test) in running {
                assert!(test.join().is_ok(), "with Node {version}");
            }
        });
    }
}

/// A key and a certificate in `dir`.
fn certify(dir: &Path) {
    need("openssl", "apt-get install openssl");
    let made = Command::new("openssl")
        .current_dir(dir)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=x", "-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What `cases.js` says when all is well. The one who is first to `exclusive` has it; `only6` refuses IPv4.
fn expected() -> Value {
    json!({
        "worker": "true,false,true,true,false,false,true", "hidden": "", "main": "true",
        "port": "web", "any": "web", "host": "web", "name": "web", "host6": "web", "all4": "web", "all6": "web",
        "only6": "ECONNREFUSED", "backlog": "web", "path": "web", "abstract": "listens",
        "again": "web", "two": "web,web,true", "twice": "EADDRINUSE", "taken": "EADDRINUSE",
        "takenHost": "EADDRINUSE", "address": "EADDRNOTAVAIL", "directory": "ENOENT", "descriptor": "EINVAL",
        "udp4": "echo", "udp6": "echo", "tls": "secret", "http2": "two", "http2s": "two",
        "null": "sent", "string": "sent", "object": "sent", "megabyte": "sent", "huge": "sent", "internal": "sent",
        "handle": "sent,sent,sent",
    })
}

/// Starts `script` with this Node in two cluster instances.
fn start(home: &TestHome, version: &str, script: &str, more: &Value) {
    let mut app = json!({
        "name": "app", "script": fixture(script), "interpreter": node(version), "instances": 2, "exec_mode": "cluster",
    });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    home.file("app.json", &json!({ "apps": [app] }).to_string());
    home.ok(&["start", "app.json"]);
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

#[test]
fn programs_get_from_listen_and_send_what_node_itself_would_give_them() {
    with_each_version(|version| {
        let home = TestHome::new();
        certify(&home.work());
        // Both address families: `::` is refused as `0.0.0.0` is.
        let foreign = TcpListener::bind("[::]:0").unwrap();
        let udp = || UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let ports = json!({
            "port": free_port(), "again": free_port(), "exclusive": free_port(), "only6": free_port(),
            "tls": free_port(), "http2": free_port(), "http2s": free_port(), "udp4": udp(), "udp6": udp(),
            "taken": foreign.local_addr().unwrap().port(),
        });
        let out = home.work().join("out");
        start(
            &home,
            version,
            "node/cases.js",
            &json!({
                "wait_ready": true, "listen_timeout": 60000, "shutdown_with_message": true, "kill_timeout": 20000,
                // Not what pmon speaks: it must not reach the worker.
                "env": { "OUT": out, "DIR": home.work(), "PORTS": ports.to_string(),
                    "NODE_CHANNEL_SERIALIZATION_MODE": "advanced" },
            }),
        );
        assert_eq!(
            home.restarts(),
            [0, 0],
            "{:?} {}",
            read(&home.path().join("logs/app-error-0.log")),
            home.log()
        );
        let mut exclusive = Vec::new();
        for instance in 0..2 {
            let mut words: Value =
                serde_json::from_str(&read(&with(&out, &instance.to_string())).unwrap()).unwrap();
            let word = words.as_object_mut().unwrap().remove("exclusive").unwrap();
            exclusive.push(word.as_str().unwrap().to_owned());
            let differing: Vec<_> = expected()
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, word)| words[*name] != **word)
                .map(|(name, word)| format!("{name}: {} instead of {word}", words[name]))
                .collect();
            assert!(differing.is_empty(), "Node {version}, instance {instance}: {differing:#?}");
        }
        exclusive.sort();
        assert_eq!(exclusive, ["EADDRINUSE", "mine"]);
        assert_eq!(home.statuses(), ["online", "online"], "null harms nobody");
        assert_eq!(home.restarts(), [0, 0]);
        let named = home.jlist()[0]["pm2_env"]["node_version"].as_str().unwrap().to_owned();
        assert!(named.starts_with(&format!("{version}.")), "{named}");
        let shown = home.ok(&["describe", "0"]).out;
        assert!(shown.contains(&named), "{shown}");
        let again = format!("*:{}", ports["again"]);
        assert!(shown.lines().any(|l| l.contains("listening on") && l.contains(&again)), "{shown}");
        let closed = format!("*:{}", ports["port"]);
        wait_for("what was closed to be gone", || {
            let shown = home.ok(&["describe", "0"]).out;
            let is_open =
                |port: &str| shown.contains(&format!("{port} ")) || shown.contains(&format!("{port}\n"));
            if is_open(&again) && !is_open(&closed) { Ok(()) } else { Err(shown) }
        });
        home.ok(&["stop", "app"]);
        for instance in 0..2 {
            let said = read(&with(&out, &format!("{instance}.shutdown")));
            assert_eq!(said.as_deref(), Ok("asked"), "shutdown_with_message");
        }
    });
}

#[test]
fn workers_leave_in_every_way_and_are_replaced_while_the_other_serves() {
    with_each_version(|version| {
        let home = TestHome::new();
        let (port, out) = (free_port(), home.work().join("out"));
        start(&home, version, "node/leave.js", &json!({ "env": { "PORT": port.to_string(), "OUT": out } }));
        wait_http(port);
        // Ways to leave, and what the worker then knew: exitedAfterDisconnect, isConnected().
        let ways = [
            ("/worker.disconnect", "true,false"),
            ("/worker.kill", "true,false"),
            ("/process.disconnect", "false,false"),
            ("/exit", "false,true"),
        ];
        for (way, known) in ways {
            let (code, body) = get_path(port, way).unwrap();
            assert_eq!(code, 200);
            let who: Value = serde_json::from_str(&body).unwrap();
            let pid = who["pid"].as_i64().unwrap();
            let file = with(&out, &pid.to_string());
            let end = wait_for(&format!("the end by {way} with Node {version}"), || read(&file));
            assert_eq!(end, known, "{way} with Node {version}");
            wait_for("two workers that listen", || {
                assert_eq!(get_path(port, "/").map(|(code, _)| code), Ok(200), "one always serves");
                let (pids, statuses) = (home.pids(), home.statuses());
                let up = statuses == ["online", "online"] && !pids.contains(&pid) && !pids.contains(&0);
                let listening =
                    (0..2).all(|id| home.ok(&["describe", &id.to_string()]).out.contains("listening on"));
                if up && listening { Ok(()) } else { Err(format!("{pids:?} {statuses:?}")) }
            });
        }
    });
}

#[test]
fn a_daemon_killed_at_any_moment_owes_no_worker_an_answer() {
    let home = TestHome::new();
    let out = home.work().join("out");
    home.file(
        "busy.js",
        "const http = require('http'), fs = require('fs'); let count = 0;\n\
         const next = () => { const server = http.createServer().listen(0, () => server.close(() => {\n\
           fs.writeFileSync(process.env.OUT + '.' + process.env.NODE_APP_INSTANCE, String(++count)); setImmediate(next); })); };\n\
         http.createServer((q, s) => s.end('ok')).listen(process.env.PORT, next);\n",
    );
    let port = free_port();
    home.command(&["start", "busy.js", "-i", "3"])
        .env("OUT", &out)
        .env("PORT", port.to_string())
        .status()
        .unwrap();
    let pids = home.pids();
    let count = |instance: u32| -> Result<u64, String> {
        read(&with(&out, &instance.to_string()))?.parse().map_err(|e| format!("{e}"))
    };
    for _ in 0..8 {
        let old = home.daemon_pid();
        kill(old, "KILL");
        let before: Vec<u64> = (0..3).map(|i| count(i).unwrap_or(0)).collect();
        wait_for("every worker to go on listening", || {
            let now: Vec<u64> = (0..3).map(|i| count(i).unwrap_or(0)).collect();
            let on = now.iter().zip(&before).all(|(now, before)| *now > before + 5);
            if on { Ok(()) } else { Err(format!("{before:?} {now:?}")) }
        });
    }
    assert_eq!(home.pids(), pids);
    assert_eq!(get_path(port, "/").map(|(code, _)| code), Ok(200));
}

fn with(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}.{end}", path.display()))
}
