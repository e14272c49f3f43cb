//! Sockets that the daemon binds and workers in any language inherit: they are replaced without a gap.

use crate::support::installed::{npm_app, python};
use crate::support::load::{Connections, Load, Question};
use crate::support::{TestHome, fixture, free_port, get, need, wait_for, wait_http};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Reloads three times under load: no request is lost and each process is a new one.
fn three_reloads(home: &TestHome, app: &str, port: u16, fresh_only: bool) {
    wait_http(port);
    let mut load = Load::new().with(4, port, Connections::Fresh, Question::Get("/")).with(
        3,
        port,
        Connections::Fresh,
        Question::Get("/slow"),
    );
    if !fresh_only {
        load = load.with(3, port, Connections::Kept, Question::Get("/")).with(
            2,
            port,
            Connections::Kept,
            Question::Get("/slow"),
        );
    }
    load.go_on(50);
    for _ in 0..3 {
        let before = pids_of(home, app);
        let ran = home.ok(&["reload", app]);
        assert!(ran.out.contains("2/2, 0 failed"), "{}", ran.out);
        assert!(pids_of(home, app).iter().all(|pid| !before.contains(pid)));
        load.go_on(50);
    }
    let tally = load.end();
    eprintln!("{app}: {} answered, slowest {:?}, failed {:?}", tally.ok, tally.slowest, tally.failed);
    assert_eq!(tally.failures(), 0, "of {}: {:?}", tally.ok, tally.failed);
}

fn pids_of(home: &TestHome, app: &str) -> Vec<i64> {
    home.jlist().iter().filter(|w| w["name"] == app).map(|w| w["pid"].as_i64().unwrap_or(0)).collect()
}

fn start(home: &TestHome, app: &str) {
    home.file("app.config.js", &format!("module.exports = {{ apps: [{app}] }};\n"));
    home.ok(&["start", "app.config.js"]);
}

/// A WSGI and an ASGI app with a fast and a slow answer.
const WSGI: &str = "
import time
def app(environ, start):
    if environ['PATH_INFO'] == '/slow': time.sleep(0.4)
    start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '3')])
    return [b'ok\\n']
";
const ASGI: &str = "
import asyncio
async def app(scope, receive, send):
    if scope['type'] != 'http': return
    if scope['path'] == '/slow': await asyncio.sleep(0.4)
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'3')]})
    await send({'type': 'http.response.body', 'body': b'ok\\n'})
";

const PACKAGES: &[&str] = &["gunicorn==27.0.1", "uvicorn==0.54.0"];

#[test]
fn a_plain_python_script_is_replaced_without_a_gap() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    let port = free_port();
    let script = fixture("sockets/serve.py");
    start(
        &home,
        &format!(
            "{{ name: 'plain', script: {script:?}, instances: 2, listen: ['127.0.0.1:{port}'], kill_timeout: 8000 }}"
        ),
    );
    three_reloads(&home, "plain", port, true);
}

#[test]
fn gunicorn_is_replaced_without_a_gap() {
    let home = TestHome::new();
    let port = free_port();
    home.file("wsgi.py", WSGI);
    let bin = python(PACKAGES).join("gunicorn");
    // It takes LISTEN_FDS by itself, and says READY=1. SIGTERM is its graceful end, SIGINT its quick one.
    start(
        &home,
        &format!(
            "{{ name: 'gunicorn', script: {bin:?}, interpreter: 'none', args: ['--workers', '1', '--threads', '8', 'wsgi:app'], \
             instances: 2, listen: ['127.0.0.1:{port}'], notify: true, stop_signal: 'SIGTERM', kill_timeout: 8000, listen_timeout: 20000, cwd: {:?} }}",
            home.work()
        ),
    );
    three_reloads(&home, "gunicorn", port, true);
}

/// At its end uvicorn closes connections whose request it has not read yet. A proxy asks again; so nobody sees it.
#[test]
fn uvicorn_behind_nginx_is_replaced_without_a_gap() {
    let home = TestHome::new();
    let (port, behind) = (free_port(), free_port());
    home.file("asgi.py", ASGI);
    let bin = python(PACKAGES).join("uvicorn");
    let app = format!(
        "{{ name: 'uvicorn', script: {bin:?}, interpreter: 'none', args: ['--fd', '3', 'asgi:app'], min_uptime: 2000, \
         instances: 2, listen: ['127.0.0.1:{behind}'], stop_signal: 'SIGTERM', kill_timeout: 8000, listen_timeout: 20000, cwd: {:?} }}",
        home.work()
    );
    start(&home, &format!("{app}, {}", nginx(&home, port, &format!("127.0.0.1:{behind}"))));
    wait_http(behind);
    three_reloads(&home, "uvicorn", port, false);
}

#[test]
fn a_rust_program_is_replaced_without_a_gap() {
    let home = TestHome::new();
    let port = free_port();
    let program = home.work().join("serve");
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-o"])
        .arg(&program)
        .arg(fixture("sockets/serve.rs"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    start(
        &home,
        &format!(
            "{{ name: 'rust', script: {program:?}, instances: 2, listen: ['127.0.0.1:{port}'], stop_signal: 'SIGTERM', kill_timeout: 8000 }}"
        ),
    );
    three_reloads(&home, "rust", port, true);
}

#[test]
fn an_unmodified_node_program_outside_the_cluster_is_drained() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let port = free_port();
    let script = fixture("sockets/serve.js");
    start(
        &home,
        &format!(
            "{{ name: 'node', script: {script:?}, instances: 2, exec_mode: 'fork', listen: ['127.0.0.1:{port}'], kill_timeout: 8000 }}"
        ),
    );
    three_reloads(&home, "node", port, false);
}

/// nginx's configuration: everything on `port` goes to `upstream`, on kept connections.
fn nginx(home: &TestHome, port: u16, upstream: &str) -> String {
    let dir = home.work();
    // Its workers are otherwise somebody who may not look into the test's directory.
    let user = if std::fs::metadata("/proc/self").unwrap().uid() == 0 { "user root;" } else { "" };
    let text = format!(
        "{user} pid {0}/nginx.pid; error_log {0}/error.log; worker_processes 1; events {{ worker_connections 256; }}\n\
         http {{ access_log off;\n\
           client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\n\
           upstream app {{ server {upstream} max_fails=0; server {upstream} max_fails=0; keepalive 8; }}\n\
           server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}\n\
         }}\n",
        dir.display()
    );
    let config = home.file("nginx.conf", &text);
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|p| Path::new(p).exists());
    let program = program.expect("this test needs `nginx`: apt-get install nginx-light");
    format!(
        "{{ name: 'nginx', script: '{program}', interpreter: 'none', stop_signal: 'SIGQUIT', \
         args: ['-p', {dir:?}, '-c', {config:?}, '-g', 'daemon off;'] }}"
    )
}

#[test]
fn nginx_before_a_cluster_sees_no_reload() {
    let home = TestHome::new();
    let (port, behind) = (free_port(), free_port());
    let script = npm_app("http");
    let app = format!(
        "{{ name: 'web', script: {script:?}, instances: 2, exec_mode: 'cluster', kill_timeout: 8000, env: {{ PORT: {behind} }} }}"
    );
    start(&home, &format!("{app}, {}", nginx(&home, port, &format!("127.0.0.1:{behind}"))));
    wait_http(behind);
    three_reloads(&home, "web", port, false);
}

#[test]
fn nginx_before_a_unix_socket_sees_no_reload() {
    let home = TestHome::new();
    let port = free_port();
    home.file("wsgi.py", WSGI);
    let path = home.work().join("app.sock");
    let bin = python(PACKAGES).join("gunicorn");
    let app = format!(
        "{{ name: 'gunicorn', script: {bin:?}, interpreter: 'none', args: ['--workers', '1', '--threads', '8', 'wsgi:app'], \
         instances: 2, listen: ['unix:{}'], notify: true, stop_signal: 'SIGTERM', kill_timeout: 8000, listen_timeout: 20000, cwd: {:?} }}",
        path.display(),
        home.work()
    );
    start(&home, &format!("{app}, {}", nginx(&home, port, &format!("unix:{}", path.display()))));
    wait_for("an answer through the proxy", || match get(port)? {
        (200, _) => Ok(()),
        (code, _) => Err(format!("status {code}")),
    });
    three_reloads(&home, "gunicorn", port, false);
}

#[test]
fn all_kinds_of_sockets_come_in_order_and_with_names() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    let (port, udp) = (free_port(), UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let path = home.work().join("x.sock");
    home.file(
        "kinds.py",
        "import os, socket, time\n\
         assert os.environ['LISTEN_PID'] == str(os.getpid())\n\
         kinds = [socket.socket(fileno=fd) for fd in range(3, 3 + int(os.environ['LISTEN_FDS']))]\n\
         print(os.environ['LISTEN_FDNAMES'], [f'{s.family.name}/{s.type.name}' for s in kinds], flush=True)\n\
         time.sleep(1000)\n",
    );
    home.file(
        "kinds.json",
        &format!(
            "{{ apps: [{{ name: 'kinds', script: 'kinds.py', listen: ['127.0.0.1:{port}', 'unix:{}', {{ name: 'dns', listen: 'udp:127.0.0.1:{udp}' }}] }}] }}",
            path.display()
        ),
    );
    home.ok(&["start", "kinds.json"]);
    let log = home.path().join("logs/kinds-out.log");
    let line = wait_for("its line", || {
        let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
        if text.ends_with('\n') { Ok(text) } else { Err(text) }
    });
    let kinds = "['AF_INET/SOCK_STREAM', 'AF_UNIX/SOCK_STREAM', 'AF_INET/SOCK_DGRAM']";
    assert_eq!(line.trim(), format!("{port}:x:dns {kinds}"));
    home.ok(&["delete", "kinds"]);
    assert!(!path.exists(), "the socket file goes with the app");
}

#[test]
fn a_port_in_use_names_its_holder_and_start_fails() {
    let home = TestHome::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let ran = home.run(&["start", "sleep", "--name", "late", "--listen", &listen, "--", "1000"]).expect(1);
    let holder = format!("address already in use, held by pid {}", std::process::id());
    assert!(ran.err.contains(&holder) && ran.err.contains(&listen), "{}", ran.all());
    assert_eq!(home.statuses(), ["errored"]);
    drop(taken);
    home.ok(&["restart", "late"]);
    assert_eq!(home.statuses(), ["online"]);
    let ran = home.run(&["start", "sleep", "--name", "second", "--listen", &listen, "--", "1000"]).expect(1);
    assert!(ran.err.contains("held by app `late`"), "{}", ran.all());
}
