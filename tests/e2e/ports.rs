//! Ports that cannot be had, and who has them; ports of workers that leave; workers that misbehave.

use crate::support::nodes::node;
use crate::support::{TestHome, fixture, free_port, get, get_path, need, wait_for, wait_http};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Command;

const SERVER: &str = "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT);\n";

/// Starts `script` (a file of the test) as `name`; what `start` says does not matter.
fn start(home: &TestHome, name: &str, port: u16, more: &Value) {
    let mut app = json!({ "name": name, "script": home.work().join("server.js"), "max_restarts": 2,
        "env": { "PORT": port.to_string(), "OUT": home.work().join("out") } });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    home.file("app.json", &json!({ "apps": [app] }).to_string());
    home.run(&["start", "app.json"]);
}

/// Waits until `describe` shows all of these words.
#[track_caller]
fn described(home: &TestHome, id: &str, words: &[&str]) -> String {
    wait_for(&format!("{words:?} in describe"), || {
        let shown = home.ok(&["describe", id]).out;
        if words.iter().all(|word| shown.contains(word)) { Ok(shown) } else { Err(shown) }
    })
}

#[test]
fn whoever_holds_the_port_is_named_where_the_worker_is_described() {
    need("node", "apt-get install nodejs");
    for mode in ["cluster", "fork"] {
        let home = TestHome::new();
        home.file("server.js", SERVER);
        let foreign = TcpListener::bind("[::]:0").unwrap();
        let port = foreign.local_addr().unwrap().port();
        start(&home, "web", port, &json!({ "exec_mode": mode }));
        let holder = format!("held by pid {} (", std::process::id());
        let shown = described(&home, "0", &["errored", &holder, "address already in use"]);
        assert!(shown.contains(&format!(":{port}")), "{shown}");
        let errors = std::fs::read_to_string(home.path().join("logs/web-error.log"))
            .or_else(|_| std::fs::read_to_string(home.path().join("logs/web-error-0.log")))
            .unwrap();
        assert!(errors.contains("EADDRINUSE"), "{errors}");
        let frame = home.ok(&["monit", "--once"]).out;
        assert!(frame.contains("address already in use") || frame.contains("failed to listen"), "{frame}");
        // It goes: the next start is as if nothing had been.
        drop(foreign);
        home.ok(&["restart", "web"]);
        wait_http(port);
        assert!(!home.ok(&["describe", "0"]).out.contains("held by"));
    }
}

#[test]
fn an_app_that_has_the_port_is_named_too() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file("server.js", SERVER);
    let port = free_port();
    start(&home, "first", port, &json!({ "exec_mode": "cluster" }));
    wait_http(port);
    start(&home, "second", port, &json!({ "exec_mode": "cluster" }));
    described(&home, "1", &["errored", "held by app `first`"]);
    assert_eq!(get(port), Ok((200, "ok".to_owned())));
}

#[test]
fn a_privileged_port_is_denied_to_an_ordinary_user_and_the_reason_is_shown() {
    need("node", "apt-get install nodejs");
    need("setpriv", "apt-get install util-linux");
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let lowest: u16 = lowest.trim().parse().unwrap();
    if lowest <= 1 {
        return; // This system has no such ports.
    }
    let home = TestHome::new();
    home.file("server.js", SERVER);
    let port = lowest - 1;
    home.file(
        "app.json",
        &json!({ "apps": [{ "name": "web", "script": "server.js", "exec_mode": "cluster",
        "max_restarts": 2, "env": { "PORT": port.to_string() } }] })
        .to_string(),
    );
    let ordinary = |args: &[&str]| {
        let ours = home.command(args);
        let is_root = rustix::process::geteuid().is_root();
        let mut command = if is_root { Command::new("setpriv") } else { Command::new("env") };
        if is_root {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]);
        }
        command.arg(ours.get_program()).args(args).current_dir(home.work());
        command.env("PMON_HOME", home.path()).env("NO_COLOR", "1").env("HOME", home.work()).output().unwrap()
    };
    let base = home.path().parent().unwrap().to_owned();
    let _given = Command::new("chown").args(["-R", "65534:65534"]).arg(&base).status();
    ordinary(&["start", "app.json"]);
    wait_for("the reason in describe", || {
        let shown = String::from_utf8_lossy(&ordinary(&["describe", "0"]).stdout).into_owned();
        let is = shown.contains(&format!("listen on `*:{port}`: Permission denied"));
        if is && shown.contains("errored") { Ok(()) } else { Err(shown) }
    });
    let errors = std::fs::read_to_string(home.path().join("logs/web-error-0.log"))
        .or_else(|_| std::fs::read_to_string(home.path().join("logs/web-error.log")));
    assert!(errors.as_ref().is_ok_and(|text| text.contains("EACCES")), "{errors:?}");
    ordinary(&["kill"]);
}

#[test]
fn the_port_of_the_only_worker_waits_for_the_next_one_but_not_for_ever() {
    let home = TestHome::new();
    std::fs::copy(fixture("node/leave.js"), home.work().join("server.js")).unwrap();
    let port = free_port();
    start(&home, "web", port, &json!({ "exec_mode": "cluster", "interpreter": node("24") }));
    wait_http(port);
    for _ in 0..3 {
        let before = home.pids();
        assert_eq!(get_path(port, "/worker.disconnect").map(|(code, _)| code), Ok(200));
        wait_for("the next worker", || {
            assert_eq!(get(port).map(|(code, _)| code), Ok(200), "nobody is refused");
            let now = home.pids();
            if now != before && now[0] != 0 { Ok(()) } else { Err(format!("{now:?}")) }
        });
        home.ok(&["reset", "web"]);
    }
    // One that leaves and lives on: there will be no next one, so its port is closed, as Node's primary would do.
    let pids = home.pids();
    get_path(port, "/stay").unwrap();
    wait_for("the port to be closed", || {
        let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        match std::net::TcpStream::connect_timeout(&at, std::time::Duration::from_secs(1)) {
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(home.pids(), pids);
}

#[test]
fn half_a_message_of_one_worker_harms_nobody_else() {
    let home = TestHome::new();
    std::fs::copy(fixture("node/leave.js"), home.work().join("server.js")).unwrap();
    let port = free_port();
    start(&home, "web", port, &json!({ "exec_mode": "cluster", "instances": 2, "interpreter": node("22") }));
    wait_http(port);
    for _ in 0..2 {
        assert_eq!(get_path(port, "/garbage").map(|(code, _)| code), Ok(200));
    }
    for _ in 0..20 {
        assert_eq!(get(port).map(|(code, _)| code), Ok(200));
    }
    assert!(home.log().contains("is not JSON"), "{}", home.log());
    home.ok(&["reload", "web"]);
    assert_eq!(get(port).map(|(code, _)| code), Ok(200));
}

#[test]
fn a_flood_of_failing_listens_delays_nobody_and_fills_no_log() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file("server.js", SERVER);
    let port = free_port();
    start(&home, "web", port, &json!({ "exec_mode": "cluster", "instances": 2 }));
    wait_http(port);
    // Twenty ports that somebody has, so that no search helps the next.
    let taken: Vec<TcpListener> = (0..20).map(|_| TcpListener::bind("[::]:0").unwrap()).collect();
    let ports: Vec<u16> = taken.iter().map(|t| t.local_addr().unwrap().port()).collect();
    home.file(
        "flood.js",
        &format!(
            "const net = require('net'), fs = require('fs'), ports = {ports:?}; let n = 0;\n\
             const again = () => net.createServer().on('error', () => {{ if (++n % 100 === 0) {{ fs.writeFileSync('count.new', String(n)); fs.renameSync('count.new', 'count'); }} setImmediate(again); }})\n\
               .listen(ports[n % 20]);\n\
             for (let i = 0; i < 20; i++) again();\n"
        ),
    );
    home.ok(&["start", "flood.js", "-i", "1"]);
    let count = || -> u64 {
        std::fs::read_to_string(home.work().join("count")).ok().and_then(|t| t.parse().ok()).unwrap_or(0)
    };
    wait_for("the flood", || if count() > 0 { Ok(()) } else { Err("none".into()) });
    let (before, began) = (count(), std::time::Instant::now());
    for _ in 0..300 {
        assert_eq!(get(port), Ok((200, "ok".to_owned())));
    }
    let (after, seconds) = (count(), began.elapsed().as_secs());
    assert!(after > before, "the flood went on: {before} {after}");
    let lines =
        wait_for("a line about the failures", || match home.log().matches("failed to listen").count() {
            0 => Err("none".into()),
            some => Ok(some),
        });
    let seconds = seconds.max(began.elapsed().as_secs());
    let most = 4 * (usize::try_from(seconds).unwrap() + 30);
    assert!(lines <= most, "{lines} lines for {after} failures in {seconds} s");
    described(&home, "2", &["held by pid"]);
}

#[test]
fn a_connection_that_finds_the_daemon_without_descriptors_waits_until_it_has_one() {
    need("node", "apt-get install nodejs");
    need("prlimit", "apt-get install util-linux");
    let home = TestHome::new();
    home.file("server.js", SERVER);
    let port = free_port();
    start(&home, "web", port, &json!({ "exec_mode": "cluster", "instances": 2 }));
    wait_http(port);
    let daemon = home.daemon_pid();
    let limit = |soft: &str| {
        let done = Command::new("prlimit")
            .args(["--pid", &daemon.to_string(), &format!("--nofile={soft}:")])
            .status();
        assert!(done.unwrap().success());
    };
    // Below all that it has open: every accept4(2) fails with EMFILE.
    limit("3");
    let clients: Vec<_> = (0..5).map(|_| std::thread::spawn(move || get(port))).collect();
    wait_for("the clients to wait in the backlog", || {
        let table = std::fs::read_to_string("/proc/net/tcp6").map_err(|e| e.to_string())?;
        let at = format!(":{port:04X}");
        let waiting = table.lines().find(|l| l.contains(&at) && l.contains(" 0A ")).ok_or(table.clone())?;
        // Of a listening socket the second number of `tx:rx` is the length of its queue.
        let queue =
            waiting.split_whitespace().nth(4).and_then(|q| q.split_once(':')).map(|(_, rx)| rx.to_owned());
        if queue.as_deref() == Some("00000005") { Ok(()) } else { Err(format!("{queue:?}")) }
    });
    limit("4096");
    for client in clients {
        assert_eq!(client.join().unwrap(), Ok((200, "ok".to_owned())));
    }
    home.ok(&["list"]);
}
