//! When a new process is ready, and what becomes of one that never is.

use crate::support::load::{Connections, Load, Question};
use crate::support::{Ran, TestHome, free_port, get, need, wait_for, wait_http};
use std::process::Stdio;

const NODE: &str = "apt-get install nodejs";
const PYTHON: &str = "apt-get install python3";

/// A web app whose version and health are in files that it reads when it starts.
const APP: &str = "
const fs = require('fs');
if (fs.existsSync('broken')) { console.error('reading the settings'); throw new Error('no database in this version'); }
const sick = fs.existsSync('sick');
require('http').createServer((req, res) => {
  res.statusCode = req.url === '/healthz' && sick ? 503 : 200;
  res.end(`${process.pid}\\n`);
}).listen(Number(process.env.PORT), () => { if (!fs.existsSync('mute') && process.send) process.send('ready'); });
";

/// Starts that app in so many instances; its port.
fn start(home: &TestHome, instances: u32, more: &str) -> u16 {
    need("node", NODE);
    let port = free_port();
    let script = home.file("app.js", APP);
    home.file(
        "app.config.js",
        &format!(
            "module.exports = {{ apps: [{{ name: 'web', script: {script:?}, instances: {instances}, exec_mode: 'cluster', \
             listen_timeout: 4000, env: {{ PORT: {port} }}, {more} }}] }};\n"
        ),
    );
    home.ok(&["start", "app.config.js"]);
    // Each has read its files by then.
    wait_for("all instances", || {
        let there = home.log().matches("INFO listens").count();
        if there >= instances as usize { Ok(()) } else { Err(format!("{there} of {instances}")) }
    });
    wait_http(port);
    port
}

/// The reload failed, and the old processes serve as if nothing had been.
#[track_caller]
fn abandoned(home: &TestHome, reload: &[&str], port: u16) -> Ran {
    let (pids, restarts) = (home.pids(), home.restarts());
    let load = Load::new().with(2, port, Connections::Fresh, Question::Get("/"));
    let ran = home.run(reload).expect(1);
    let tally = load.end();
    assert_eq!(tally.failures(), 0, "{:?}", tally.failed);
    assert_eq!((home.pids(), home.restarts()), (pids, restarts));
    ran
}

#[test]
fn a_version_that_breaks_is_abandoned_with_its_last_words() {
    let home = TestHome::new();
    let port = start(&home, 5, "");
    home.file("broken", "");
    let ran = abandoned(&home, &["reload", "web"], port);
    assert!(ran.out.contains("reload web: 0/5, 2 failed, 3 not tried"), "{}", ran.all());
    assert!(ran.err.contains("Error: no database in this version"), "{}", ran.all());
    assert!(ran.err.contains("reading the settings") && ran.err.contains("exit code 1"), "{}", ran.all());
    std::fs::remove_file(home.work().join("broken")).unwrap();
    let ran = home.ok(&["reload", "web", "--parallel", "3"]);
    assert!(ran.out.contains("reload web: 5/5, 0 failed"), "{}", ran.out);
    assert_eq!(ran.out.matches("✓").count(), 5, "one line each: {}", ran.out);
}

#[test]
fn one_that_never_says_ready_is_abandoned_unless_forced() {
    let home = TestHome::new();
    let port = start(&home, 2, "wait_ready: true");
    home.file("mute", "");
    let ran = abandoned(&home, &["reload", "web"], port);
    assert!(ran.err.contains("it has not said `ready`"), "{}", ran.all());
    let before = home.pids();
    let ran = home.ok(&["reload", "web", "--force"]);
    assert!(ran.out.contains("reload web: 2/2, 0 failed"), "{}", ran.out);
    assert!(home.pids().iter().all(|pid| !before.contains(pid)));
    assert_eq!(get(port).unwrap().0, 200);
}

fn health_is_the_new_processes_own(scheduling: &str) {
    let home = TestHome::new();
    let more =
        format!("scheduling: '{scheduling}', health: {{ path: '/healthz', interval: 50, timeout: 3000 }}");
    let port = start(&home, 2, &more);
    home.file("sick", "");
    // All the old ones would say that they are well.
    let ran = abandoned(&home, &["reload", "web"], port);
    assert!(ran.err.contains("GET /healthz was answered with 503"), "{}", ran.all());
    std::fs::remove_file(home.work().join("sick")).unwrap();
    home.ok(&["reload", "web"]);
}

#[test]
fn health_is_asked_of_the_new_process_in_turn() {
    health_is_the_new_processes_own("rr");
}

#[test]
fn health_is_asked_of_the_new_process_on_a_shared_socket() {
    health_is_the_new_processes_own("shared");
}

#[test]
fn health_is_asked_of_the_new_process_on_a_socket_each() {
    health_is_the_new_processes_own("reuseport");
}

/// Serves on the inherited socket and, for health, on a port of its own choice.
const INHERITS: &str = "
import http.server, os, socket, sys, threading, time, signal
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == '/healthz' and os.path.exists('sick') and sick else 200)
        self.send_header('Content-Length', '3'); self.end_headers(); self.wfile.write(b'ok\\n')
    def log_message(self, *a): pass
sick = os.path.exists('sick')
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
own = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=own.serve_forever, daemon=True).start()
main = Server(('', 0), Handler, bind_and_activate=False)
main.socket = socket.socket(fileno=3)
main.socket.setblocking(False)
signal.signal(signal.SIGINT, lambda *a: threading.Thread(target=main.shutdown).start())
if not sick and os.environ.get('NOTIFY_SOCKET'):
    time.sleep(0.3)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])
    s.send(b'STATUS=here\\nREADY=1')
main.serve_forever()
main.server_close()
own.shutdown()
";

fn inherits(home: &TestHome, more: &str) -> u16 {
    need("python3", PYTHON);
    let port = free_port();
    home.file("inherits.py", INHERITS);
    let config = format!(
        "{{ apps: [{{ name: 'web', script: 'inherits.py', listen: '127.0.0.1:{port}', listen_timeout: 6000, {more} }}] }}"
    );
    home.file("inherits.json", &config);
    home.ok(&["start", "inherits.json"]);
    wait_http(port);
    port
}

#[test]
fn a_process_with_an_inherited_socket_is_asked_on_one_it_alone_has() {
    let home = TestHome::new();
    let port = inherits(&home, "health: { path: '/healthz', interval: 50, timeout: 3000 }");
    home.ok(&["reload", "web"]);
    home.file("sick", "");
    let ran = abandoned(&home, &["reload", "web"], port);
    assert!(ran.err.contains("GET /healthz was answered with 503"), "{}", ran.all());
}

#[test]
fn health_on_a_port_that_the_old_process_has_too_proves_nothing() {
    let home = TestHome::new();
    let port = free_port();
    home.file("inherits.py", INHERITS);
    let health = format!("health: {{ path: '/healthz', port: {port}, timeout: 1500 }}");
    let config = format!(
        "{{ apps: [{{ name: 'web', script: 'inherits.py', listen: '127.0.0.1:{port}', listen_timeout: 2000, {health} }}] }}"
    );
    home.file("inherits.json", &config);
    home.ok(&["start", "inherits.json"]);
    wait_http(port);
    let ran = abandoned(&home, &["reload", "web"], port);
    assert!(ran.err.contains(&format!("port {port} is also served by pid")), "{}", ran.all());
}

#[test]
fn ready_1_on_the_notify_socket_makes_ready() {
    let home = TestHome::new();
    let port = inherits(&home, "notify: true");
    let before = home.pids();
    home.ok(&["reload", "web"]);
    assert_ne!(home.pids(), before);
    home.file("sick", "");
    let ran = abandoned(&home, &["reload", "web"], port);
    assert!(ran.err.contains("it has not sent READY=1"), "{}", ran.all());
}

#[test]
fn a_child_may_send_ready_1_for_its_worker() {
    let home = TestHome::new();
    need("systemd-notify", "apt-get install systemd");
    // It ends right after: it is known by its session, and waits until its message is read.
    home.file("says.sh", "sleep 0.2; systemd-notify --ready; while :; do sleep 1; done\n");
    home.ok(&["start", "says.sh", "--notify", "--listen-timeout", "20000"]);
    let log = home.log();
    assert_eq!(home.statuses(), ["online"], "{log}");
    let sent = wait_for("readiness", || {
        let views = home.ok(&["describe", "says"]).out;
        if home.log().matches("state=\"online\"").count() == 1 { Ok(views) } else { Err(home.log()) }
    });
    assert!(sent.contains("online"));
}

#[test]
fn a_second_reload_is_refused_and_a_client_that_dies_locks_nothing() {
    let home = TestHome::new();
    let port = start(&home, 2, "wait_ready: true, listen_timeout: 3000");
    home.file("mute", "");
    let mut first =
        home.command(&["reload", "web"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the first replacement", || {
        let made = home.log().matches("INFO started").count();
        if made > 2 { Ok(()) } else { Err(format!("{made} processes")) }
    });
    let ran = home.run(&["reload", "web"]).expect(1);
    assert!(ran.err.contains("Reload already in progress for process id 0"), "{}", ran.all());
    first.kill().unwrap();
    first.wait().unwrap();
    std::fs::remove_file(home.work().join("mute")).unwrap();
    wait_for("a reload that is not refused", || {
        let ran = home.run(&["reload", "web"]);
        if ran.code == 0 { Ok(()) } else { Err(ran.all()) }
    });
    assert_eq!(get(port).unwrap().0, 200);
}
