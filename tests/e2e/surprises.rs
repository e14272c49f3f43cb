//! What a person with PM2 in the fingers does at three in the morning, and what must not go wrong then.

use crate::support::{TestHome, free_port, need, wait_http};
use std::os::unix::net::UnixStream;

#[test]
fn a_server_that_names_its_host_listens_in_cluster_mode() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let port = free_port();
    let script = format!("require('http').createServer((_, a) => a.end('x')).listen({port}, '127.0.0.1')\n");
    home.file("host.js", &script);
    home.ok(&["start", "host.js", "-i", "2"]);
    wait_http(port);
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let home = TestHome::new();
    home.ok(&["ping"]);
    let socket = home.path().join("pmon.sock");
    let silent: Vec<UnixStream> = (0..1500).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    home.ok(&["list"]);
    drop(silent);
    home.ok(&["list"]);
}

#[test]
fn an_app_whose_script_is_gone_is_still_stopped_and_deleted_by_its_file() {
    let home = TestHome::new();
    let script = home.file("nap.sh", "sleep 1000\n");
    home.file("apps.json", "{ apps: [{ name: 'nap', script: 'nap.sh' }, { script: 'never-there.sh' }] }");
    home.ok(&["start", "nap.sh"]);
    std::fs::remove_file(script).unwrap();
    home.ok(&["stop", "apps.json"]);
    assert_eq!(home.statuses(), ["stopped"]);
    home.ok(&["delete", "apps.json"]);
    assert_eq!(home.jlist().len(), 0);
}
