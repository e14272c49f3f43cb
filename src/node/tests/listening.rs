//! Who may listen where, and that every worker gets its share.

use super::harness::*;
use crate::model::policy::Scheduling;
use crate::node::NodeEvent;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

const ALL: [Scheduling; 3] = [Scheduling::RoundRobin, Scheduling::Shared, Scheduling::ReusePort];

#[test]
fn every_worker_answers_in_every_mode() {
    for scheduling in ALL {
        let mut fleet = Fleet::new(scheduling);
        let (runs, address) = fleet.serve(4, &web(0));
        let mut who = BTreeSet::new();
        // Several at once, else a shared socket gives all to one.
        for _ in 0..200 {
            let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(address).unwrap()).collect();
            clients.iter_mut().for_each(|c| c.ask("/").unwrap());
            who.extend(clients.iter_mut().map(|c| c.answer().unwrap().0));
            if who.len() == runs.len() {
                break;
            }
        }
        assert_eq!(who.len(), 4, "{scheduling:?}");
    }
}

#[test]
fn round_robin_goes_round() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (_, address) = fleet.serve(3, &web(0));
    let answers: Vec<String> = (0..6).map(|_| get(address)).collect();
    assert_eq!(answers[..3], answers[3..]);
    assert_eq!(answers.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn a_foreign_holder_of_the_port_is_named() {
    let foreign = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    for scheduling in ALL {
        let mut fleet = Fleet::new(scheduling);
        let code = format!(
            "require('net').createServer().on('error', e => process.send({{type: 'error', data: e.code}})).listen({port});"
        );
        let run = fleet.spawn("web", 0, &code);
        assert_eq!(fleet.bus(run, "error"), "EADDRINUSE");
        let event = fleet.wait("bind failed", |e| matches!(e, NodeEvent::Troubled { .. }));
        let NodeEvent::Troubled { what, .. } = event else { panic!() };
        assert!(what.starts_with(&format!("listen on `*:{port}`: address already in use")), "{what}");
        assert!(what.contains(&format!("held by pid {}", std::process::id())), "{what}");
        assert_eq!(fleet.kept(), 0);
    }
}

#[test]
fn a_port_belongs_to_one_app() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (_, address) = fleet.serve(1, &web(0));
    let port = address.port();
    let code = format!(
        "const net = require('net'), say = data => process.send({{type: 'got', data}});
         const again = () => net.createServer().on('error', e => say(e.code)).listen({port}, () => say('it'));
         again(); process.on('message', again);"
    );
    let other = fleet.spawn("other", 0, &code);
    assert_eq!(fleet.bus(other, "got"), "EADDRINUSE");
    let event = fleet.wait("bind failed", |e| matches!(e, NodeEvent::Troubled { .. }));
    let NodeEvent::Troubled { what, .. } = event else { panic!() };
    assert!(what.ends_with("held by app `web`"), "{what}");
    fleet.seen.clear();
    fleet.hub().close_listeners("web");
    fleet.hub().say(other, "again".into());
    assert_eq!(fleet.bus(other, "got"), "it");
}

#[test]
fn the_errors_of_a_listen_reach_the_program() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const net = require('net');
        const at = (name, where) => net.createServer()
            .on('error', e => process.send({type: name, data: e.code})).listen(where);
        at('address', {port: 0, host: '192.0.2.1'});
        at('dir', {path: '/nowhere/s'});
        at('fd', {fd: 55});
        const one = net.createServer().listen({port: 0, host: '127.0.0.1'}, () =>
            at('twice', {port: one.address().port, host: '127.0.0.1'}));";
    let run = fleet.spawn("web", 0, code);
    assert_eq!(fleet.bus(run, "address"), "EADDRNOTAVAIL");
    assert_eq!(fleet.bus(run, "dir"), "ENOENT");
    assert_eq!(fleet.bus(run, "fd"), "EINVAL");
    assert_eq!(fleet.bus(run, "twice"), "EADDRINUSE");
}

#[test]
fn the_same_server_twice_in_one_worker_is_in_use_and_the_first_goes_on() {
    for scheduling in ALL {
        let mut fleet = Fleet::new(scheduling);
        let port = free_port();
        let code = format!(
            "{} require('net').createServer().on('error', e => process.send({{type: 'error', data: e.code}})).listen({port});",
            web(port)
        );
        let run = fleet.spawn("two", 0, &code);
        assert_eq!(fleet.bus(run, "error"), "EADDRINUSE");
        let address = fleet.listening(run);
        assert_eq!(get(address), run.entry.to_string());
    }
}

#[test]
fn unix_sockets_work_and_go_with_the_app() {
    for scheduling in ALL {
        let mut fleet = Fleet::new(scheduling);
        let path = fleet.path("sock");
        let code = format!(
            "require('net').createServer(s => s.end('hello')).listen({{path: '{path}', readableAll: true}});"
        );
        for slot in 0..2 {
            let run = fleet.spawn("web", slot, &code);
            let address = path.clone();
            fleet.wait("listening", |e| *e == NodeEvent::Listening { run, address: address.clone() });
        }
        let mut text = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        fleet.hub().close_listeners("web");
        fleet.until("the socket file is gone", |_| !std::path::Path::new(&path).exists());
    }
}

#[test]
fn abstract_sockets_work() {
    use std::os::linux::net::SocketAddrExt;
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let name = format!("pmon-node-{}", std::process::id());
    let run = fleet.spawn(
        "web",
        0,
        &format!("require('net').createServer(s => s.end('hello')).listen('\\0{name}');"),
    );
    let address = format!("@{name}");
    fleet.wait("listening", |e| *e == NodeEvent::Listening { run, address: address.clone() });
    let to = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    let mut text = String::new();
    UnixStream::connect_addr(&to).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn datagrams_are_answered() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const s = require('dgram').createSocket('udp4');
        s.on('message', (m, from) => s.send(m, from.port, from.address));
        s.bind(0, '127.0.0.1', () => process.send({type: 'port', data: s.address().port}));";
    let runs = [fleet.spawn("dns", 0, code), fleet.spawn("dns", 1, code)];
    let ports: Vec<_> = runs.iter().map(|run| fleet.bus(*run, "port")).collect();
    assert_eq!(ports[0], ports[1]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = u16::try_from(ports[0].as_u64().unwrap()).unwrap();
    client.send_to(b"ping", ("127.0.0.1", port)).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(client.recv(&mut buffer).unwrap(), 4);
}

#[test]
fn listen_close_listen_works_also_while_others_hold_the_port() {
    for scheduling in ALL {
        let mut fleet = Fleet::new(scheduling);
        let port = free_port();
        let (first, _) = fleet.serve(1, &web(port));
        let code = format!(
            "const id = '7', server = require('http').createServer((q, s) => {{ s.setHeader('Content-Length', 1); s.end(id); }});
             let n = 0; const again = () => server.listen({port}, () => n++ < 5 ? server.close(again) : process.send({{type: 'n', data: n}}));
             server.on('error', e => process.send({{type: 'n', data: e.code}})); again();"
        );
        let run = fleet.spawn("web", 1, &code);
        assert_eq!(fleet.bus(run, "n"), 6, "{scheduling:?}");
        // Alone as well: the listener closes and opens again.
        fleet.kill(run);
        fleet.kill(first[0]);
        fleet.hub().close_listeners("web");
        let alone = fleet.spawn("alone", 1, &code);
        assert_eq!(fleet.bus(alone, "n"), 6, "{scheduling:?}");
    }
}

#[test]
fn a_server_that_the_app_closes_is_closed() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const server = require('net').createServer().listen(0); process.on('message', () => server.close());";
    let (runs, address) = fleet.serve(2, code);
    fleet.hub().say(runs[0], "close".into());
    fleet.hub().say(runs[1], "close".into());
    fleet.until("the keeper has forgotten it", |fleet| fleet.kept() == 0);
    assert!(Client::connect(address).is_err());
}

#[test]
fn a_full_worker_leaves_its_connections_to_others() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const id = String(require('cluster').worker.id);
        const server = require('net').createServer(s => s.write(id)).listen(0);
        server.maxConnections = 1;";
    let (_, address) = fleet.serve(2, code);
    let mut held: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let mut who = BTreeSet::new();
    let mut byte = [0; 1];
    for client in &mut held[..2] {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_exact(&mut byte).unwrap();
        who.insert(byte);
    }
    assert_eq!(who.len(), 2);
    // The third waits until one leaves.
    held.remove(0).shutdown(std::net::Shutdown::Both).unwrap();
    held[1].set_read_timeout(Some(PATIENCE)).unwrap();
    held[1].read_exact(&mut byte).unwrap();
}

#[test]
fn a_worker_without_free_descriptors_leaves_its_connections_to_others() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (runs, address) = fleet.serve(1, &web(0));
    let code = format!(
        "{} process.on('message', () => {{ try {{ for (;;) require('fs').openSync('/dev/null'); }} catch (e) {{ process.send('ready'); }} }});",
        web(0)
    );
    let poor = fleet.spawn("web", 1, &code);
    fleet.listening(poor);
    fleet.hub().say(poor, "take all".into());
    fleet.wait("it has none", |e| *e == NodeEvent::Ready { run: poor });
    for _ in 0..20 {
        assert_eq!(get(address), runs[0].entry.to_string());
    }
}

#[test]
fn a_port_that_the_app_does_not_use_any_more_is_closed() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (old, address) = fleet.serve(1, &web(0));
    let new = fleet.spawn("web", 0, &web(free_port()));
    let elsewhere = fleet.listening(new);
    fleet.hub().drain(old[0], std::time::Duration::ZERO);
    fleet.disconnected(old[0]);
    fleet.reap(old[0]);
    assert_eq!(fleet.kept(), 2, "it might be a restart");
    fleet.until("only one is left", |fleet| fleet.kept() == 1);
    assert!(Client::connect(address).is_err());
    assert_eq!(get(elsewhere), new.entry.to_string());
}

#[test]
fn tls_sessions_resume_on_any_worker() {
    let openssl = std::process::Command::new("openssl").arg("version").output();
    assert!(openssl.is_ok(), "this test needs `openssl` in PATH: `apt install openssl`");
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (key, cert) = (fleet.path("key.pem"), fleet.path("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=x",
        ])
        .args(["-keyout", &key, "-out", &cert])
        .output()
        .unwrap();
    assert!(made.status.success());
    let code = format!(
        "const fs = require('fs'); require('tls').createServer({{key: fs.readFileSync('{key}'), cert: fs.readFileSync('{cert}'), maxVersion: 'TLSv1.2'}},
         s => s.end(require('cluster').worker.id + ' ' + s.isSessionReused())).listen(0);"
    );
    let (_, address) = fleet.serve(2, &code);
    let client = fleet.path("client.js");
    let program = format!(
        "const tls = require('tls'); const at = {{port: {}, rejectUnauthorized: false, maxVersion: 'TLSv1.2'}};
         const ask = (session, then) => {{ let text = ''; const s = tls.connect({{...at, session}});
           s.on('data', d => text += d); s.on('end', () => then(text, s.getSession())); }};
         ask(undefined, (a, session) => ask(session, b => console.log(a + ',' + b)));",
        address.port()
    );
    std::fs::write(&client, program).unwrap();
    let out = std::process::Command::new("node").arg(&client).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let ids: Vec<&str> = text.trim().split([' ', ',']).collect();
    assert!(matches!(ids[..], [a, "false", b, "true"] if a != b), "{text}");
}

/// `listen(0)` of one worker and of another have one key, whatever they serve.
#[test]
fn a_tls_server_may_come_to_the_port_of_a_plain_one() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    fleet.serve(1, &web(0));
    let tls =
        fleet.spawn("web", 1, "require('tls').createServer({}).listen(0, () => process.send('ready'));");
    fleet.wait("it lives", |e| *e == NodeEvent::Ready { run: tls });
}

#[test]
fn many_requests_at_once_all_get_answers() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (_, address) = fleet.serve(2, &web(0));
    let mut clients: Vec<Client> = (0..300).map(|_| Client::connect(address).unwrap()).collect();
    clients.iter_mut().for_each(|c| c.ask("/").unwrap());
    assert!(clients.iter_mut().all(|c| c.answer().is_ok()));
}
