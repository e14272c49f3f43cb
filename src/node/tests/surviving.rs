//! Death of workers and of the daemon.

use super::harness::*;
use crate::model::policy::Scheduling;
use crate::node::NodeEvent;
use rustix::process::Signal;
use std::collections::BTreeSet;

#[test]
fn a_connection_handed_to_a_worker_that_dies_goes_to_another() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (runs, address) = fleet.serve(2, &web(0));
    fleet.signal(runs[0], Signal::STOP);
    // One of these is handed to the stopped one, which cannot answer for it.
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(address).unwrap()).collect();
    clients.iter_mut().for_each(|c| c.ask("/").unwrap());
    fleet.kill(runs[0]);
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().0, runs[1].entry.to_string());
    }
}

#[test]
fn the_slot_of_a_dead_worker_is_served_by_others() {
    let mut fleet = Fleet::new(Scheduling::ReusePort);
    let (runs, address) = fleet.serve(2, &web(0));
    fleet.kill(runs[0]);
    fleet.disconnected(runs[0]);
    for _ in 0..20 {
        assert_eq!(get(address), runs[1].entry.to_string());
    }
    let next = fleet.spawn("web", 0, &web(0));
    fleet.listening(next);
    let who: BTreeSet<String> = (0..60).map(|_| get(address)).collect();
    assert_eq!(who.len(), 2);
}

#[test]
fn a_crash_refuses_nobody() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (runs, address) = fleet.serve(1, &web(0));
    fleet.kill(runs[0]);
    let mut client = Client::connect(address).unwrap();
    client.ask("/").unwrap();
    let next = fleet.spawn("web", 0, &web(0));
    assert_eq!(client.answer().unwrap().0, next.entry.to_string());
}

#[test]
fn everything_goes_on_under_the_next_daemon() {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Shared, Scheduling::ReusePort] {
        let mut fleet = Fleet::new(scheduling);
        let code = format!("{} process.on('message', m => process.send({{type: 'echo', data: m}}));", web(0));
        let (runs, address) = fleet.serve(2, &code);
        let mut kept = Client::connect(address).unwrap();
        kept.ask("/").unwrap();
        kept.answer().unwrap();
        fleet.kill_daemon();
        kept.ask("/").unwrap();
        assert!(kept.answer().is_ok(), "workers do not need the daemon");
        let mut waiting: Vec<Client> = (0..10).map(|_| Client::connect(address).unwrap()).collect();
        waiting.iter_mut().for_each(|c| c.ask("/").unwrap());
        // One dies while there is no daemon.
        fleet.signal(runs[0], Signal::KILL);
        fleet.workers.get_mut(&runs[0]).unwrap().child.wait().unwrap();
        if scheduling == Scheduling::RoundRobin {
            fleet.start_daemon();
            assert!(waiting.iter_mut().all(|c| c.answer().is_ok()), "they waited in the backlog");
        } else {
            fleet.start_daemon();
        }
        fleet.disconnected(runs[0]);
        fleet.reap(runs[0]);
        fleet.hub().say(runs[1], "hello".into());
        assert_eq!(fleet.bus(runs[1], "echo"), "hello");
        let next = fleet.spawn("web", 0, &code);
        fleet.listening(next);
        let mut who = BTreeSet::new();
        fleet.until("old and new answer", |_| {
            let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address).unwrap()).collect();
            clients.iter_mut().for_each(|c| c.ask("/").unwrap());
            who.extend(clients.iter_mut().map(|c| c.answer().unwrap().0));
            who.len() == 2
        });
        fleet.hub().drain(runs[1], std::time::Duration::from_secs(1));
        fleet.disconnected(runs[1]);
        assert_eq!(fleet.kept(), 1);
        fleet.hub().close_listeners("web");
        fleet.until("the listener is closed", |fleet| fleet.kept() == 0);
    }
}

#[test]
fn a_line_cut_by_the_death_of_the_daemon_is_dropped() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    std::fs::write(fleet.path("preload.js"), "").unwrap();
    let begun = fleet.path("begun");
    let code = format!(
        "const fs = require('fs'); fs.writeSync(3, '{{\"type\":\"cut\",\"da'); fs.writeFileSync('{begun}', '');
         process.on('message', () => fs.writeSync(3, 'ta\":1}}\\n\"ready\"\\n'));"
    );
    let run = fleet.spawn_as("app", 0, false, &code);
    fleet.until("the daemon has read the head", |fleet| {
        std::path::Path::new(&begun).exists() && fleet.unread(run) == 0
    });
    fleet.kill_daemon();
    fleet.start_daemon();
    fleet.hub().say(run, "go on".into());
    fleet.wait("what came after", |e| *e == NodeEvent::Ready { run });
    assert_eq!(fleet.seen, [NodeEvent::Ready { run }]);
}

/// A server that takes one connection at a time, and half a second for each.
fn one_at_a_time() -> String {
    "const s = require('http').createServer((q, s) => setTimeout(() => {
         s.setHeader('Connection', 'close'); s.setHeader('Content-Length', 2); s.end('ok');
     }, 500));
     s.maxConnections = 1;
     s.listen(0);"
        .to_owned()
}

#[test]
fn connections_that_all_have_refused_are_answered_under_the_next_daemon() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (_, address) = fleet.serve(4, &one_at_a_time());
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(address).unwrap()).collect();
    clients.iter_mut().for_each(|c| c.ask("/").unwrap());
    for _ in 0..2 {
        fleet.until("some wait in the daemon", |fleet| fleet.waiting() > 0);
        fleet.kill_daemon();
        fleet.start_daemon();
    }
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().0, "ok");
    }
    fleet.until("nothing is kept", |fleet| fleet.waiting() == 0);
}

#[test]
fn workers_have_a_copy_of_the_socket_that_the_daemon_accepts_on() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = format!(
        "{} const active = () => process._getActiveHandles().filter(h => h.constructor.name === 'TCP').length;
         process.on('message', m => {{
             if (m === 'close') require('cluster').worker.disconnect();
             process.send({{ type: 'active', data: String(active()) }});
         }});",
        web(0)
    );
    let (runs, address) = fleet.serve(2, &code);
    let inode = fleet.inode(address);
    let has = |fleet: &Fleet, run| {
        let pid = fleet.workers[&run].child.id();
        crate::sys::kin::sockets(pid).into_iter().filter(|(_, socket)| *socket == inode).count()
    };
    fleet.until("each has one", |fleet| runs.iter().all(|run| has(fleet, *run) == 1));
    for run in &runs {
        assert_ne!(get(address), "");
        fleet.hub().say(*run, "how many".into());
        assert_eq!(fleet.bus(*run, "active"), "0");
    }
    fleet.kill_daemon();
    fleet.start_daemon();
    assert_ne!(get(address), "");
    assert!(runs.iter().all(|run| has(&fleet, *run) == 1), "no daemon gives another");
    fleet.hub().say(runs[0], "close".into());
    fleet.disconnected(runs[0]);
    assert_eq!(fleet.reap(runs[0]).code(), Some(0), "it keeps nobody alive");
}

#[test]
fn a_worker_that_closes_its_server_closes_the_copy() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const s = require('http').createServer((q, s) => s.end('ok')).listen(0);
                process.on('message', () => s.close());";
    let (runs, address) = fleet.serve(2, code);
    let inode = fleet.inode(address);
    let has = |fleet: &Fleet, run| {
        let pid = fleet.workers[&run].child.id();
        crate::sys::kin::sockets(pid).into_iter().any(|(_, socket)| socket == inode)
    };
    fleet.until("both have one", |fleet| runs.iter().all(|run| has(fleet, *run)));
    fleet.hub().say(runs[0], "close".into());
    fleet.until("it is closed", |fleet| !has(fleet, runs[0]));
    assert!(has(&fleet, runs[1]));
}

#[test]
fn a_connection_is_not_accepted_for_a_worker_whose_last_handle_is_on_its_way() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (a, b) = (free_port(), free_port());
    let busy = fleet.path("busy");
    let code = format!(
        "const http = require('http'), fs = require('fs');
         const answer = (q, s) => s.end('ok');
         http.createServer(answer).listen({a}).on('listening', () => http.createServer(answer).listen({b}));
         process.on('message', () => {{
             fs.writeFileSync('{busy}', '');
             const until = Date.now() + 1500;
             while (Date.now() < until);
         }});"
    );
    let run = fleet.spawn("web", 0, &code);
    fleet.until("it listens twice", |fleet| {
        [a, b].iter().all(|port| {
            fleet.seen.iter().any(
                |e| matches!(e, NodeEvent::Listening { address, .. } if address.ends_with(&port.to_string())),
            )
        })
    });
    let ports = [a, b].map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    assert!(ports.iter().all(|port| !get(*port).is_empty()));
    fleet.hub().say(run, "be busy".into());
    fleet.until("it is busy", |_| std::path::Path::new(&busy).exists());
    let mut clients = ports.map(|port| Client::connect(port).unwrap());
    clients.iter_mut().for_each(|c| c.ask("/").unwrap());
    // One is handed to it, which it does not see. The other one stays in the kernel, and survives us.
    fleet.kill_daemon();
    fleet.start_daemon();
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().0, "ok");
    }
}

#[test]
fn an_answer_that_waits_behind_a_handle_is_given_by_the_next_daemon() {
    let mut fleet = Fleet::new(Scheduling::Shared);
    let (a, b, busy) = (free_port(), free_port(), fleet.path("busy"));
    let code = format!(
        "const http = require('http'), fs = require('fs');
         for (const port of [{a}, {b}]) http.createServer((q, s) => s.end('ok')).listen(port);
         fs.writeFileSync('{busy}', '');
         const until = Date.now() + 1500;
         while (Date.now() < until);"
    );
    let run = fleet.spawn("web", 0, &code);
    fleet.until("both questions are heard, and it is busy", |fleet| {
        std::path::Path::new(&busy).exists() && fleet.kept() == 2 && fleet.unread(run) == 0
    });
    fleet.kill_daemon();
    fleet.start_daemon();
    for port in [a, b] {
        fleet.until("it listens on both", |fleet| {
            fleet.seen.iter().any(
                |e| matches!(e, NodeEvent::Listening { address, .. } if address.ends_with(&port.to_string())),
            )
        });
        assert_eq!(get(std::net::SocketAddr::from(([127, 0, 0, 1], port))), "ok");
    }
    let owes = |fleet: &Fleet| {
        fleet.keeper.0.lock().unwrap().values().any(|kept| {
            let record: serde_json::Value = serde_json::from_slice(&kept.blob).unwrap();
            record["owed"] != serde_json::json!([])
        })
    };
    fleet.until("nothing is owed", |fleet| !owes(fleet));
}

#[test]
fn who_asks_again_for_what_only_an_old_record_says_he_has_gets_it() {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Shared, Scheduling::ReusePort] {
        let mut fleet = Fleet::new(scheduling);
        let port = free_port();
        let code = format!(
            "const open = () => {{
                 const s = require('http').createServer((q, s) => s.end('ok'));
                 s.on('error', e => process.send({{ type: 'error', data: e.code }}));
                 s.listen({port}, () => process.send({{ type: 'open', data: 1 }}));
                 return s;
             }};
             let server = open();
             process.on('message', m => {{ if (m === 'close') server.close(); else server = open(); }});"
        );
        let run = fleet.spawn("web", 0, &code);
        fleet.listening(run);
        let old: Vec<_> =
            fleet.keeper.0.lock().unwrap().iter().map(|(id, kept)| (*id, kept.blob.clone())).collect();
        fleet.hub().say(run, "close".into());
        fleet.until("it is closed", |fleet| fleet.kept() == 0);
        fleet.kill_daemon();
        // Both die, and what is written is older.
        let socket = crate::sys::socket::tcp(([0, 0, 0, 0], port).into(), false, true).unwrap();
        for (id, blob) in old {
            let mut kept = Kept { blob: crate::node::doubted(&blob), ..Kept::default() };
            kept.fds.insert(0, socket.try_clone().unwrap());
            fleet.keeper.0.lock().unwrap().insert(id, kept);
        }
        drop(socket);
        fleet.start_daemon();
        fleet.seen.clear();
        fleet.hub().say(run, "open".into());
        let told = fleet.wait("an answer", |e| matches!(e, NodeEvent::Message { .. }));
        let NodeEvent::Message { value, .. } = told else { panic!() };
        assert_eq!(value["type"], "open", "{scheduling:?}: {value}");
    }
}
