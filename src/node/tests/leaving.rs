//! Drain, voluntary leaving, restarts.

use super::harness::*;
use crate::model::policy::Scheduling;
use crate::node::NodeEvent;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Clients that keep their connections and count what they got, until told to stop: answers, failures.
fn load(to: SocketAddr, stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<(u32, u32)>> {
    let client = |stop: Arc<AtomicBool>| {
        move || {
            let (mut answers, mut failures) = (0, 0);
            let mut connection: Option<Client> = None;
            while !stop.load(Ordering::Relaxed) {
                let outcome = match connection.take() {
                    Some(client) => Ok(client),
                    None => Client::connect(to),
                }
                .and_then(|mut client| {
                    client.ask("/")?;
                    let (_, keeps) = client.answer()?;
                    Ok(keeps.then_some(client))
                });
                match outcome {
                    Ok(kept) => {
                        answers += 1;
                        connection = kept;
                    }
                    Err(_) => failures += 1,
                }
            }
            (answers, failures)
        }
    };
    (0..8).map(|_| std::thread::spawn(client(Arc::clone(stop)))).collect()
}

#[test]
fn a_rolling_reload_under_load_loses_nothing_in_any_mode() {
    let slow = "const id = String(require('cluster').worker.id);
        require('http').createServer((q, s) => setTimeout(() => { s.setHeader('Content-Length', id.length); s.end(id); }, 5)).listen(PORT);";
    for scheduling in [Scheduling::RoundRobin, Scheduling::Shared, Scheduling::ReusePort] {
        let mut fleet = Fleet::new(scheduling);
        let code = slow.replace("PORT", &free_port().to_string());
        let (old, address) = fleet.serve(2, &code);
        let stop = Arc::new(AtomicBool::new(false));
        let clients = load(address, &stop);
        for (slot, run) in (0..).zip(old) {
            let new = fleet.spawn("web", slot, &code);
            fleet.listening(new);
            fleet.hub().drain(run, Duration::from_secs(2));
            fleet.disconnected(run);
            assert_eq!(fleet.reap(run).code(), Some(0));
        }
        stop.store(true, Ordering::Relaxed);
        let sums = clients.into_iter().map(|c| c.join().unwrap()).fold((0, 0), |s, r| (s.0 + r.0, s.1 + r.1));
        assert!(sums.0 > 0);
        assert_eq!(sums.1, 0, "{scheduling:?}: {} answers", sums.0);
    }
}

#[test]
fn a_drained_worker_finishes_its_request_and_the_listener_stays() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "let answer; process.on('message', () => answer());
        require('http').createServer((q, s) => { answer = () => { s.setHeader('Content-Length', 2); s.end('ok'); }; process.send('ready'); }).listen(0);";
    let (runs, address) = fleet.serve(1, code);
    let run = runs[0];
    let mut client = Client::connect(address).unwrap();
    client.ask("/").unwrap();
    fleet.wait("the request is there", |e| *e == NodeEvent::Ready { run });
    fleet.hub().drain(run, Duration::from_secs(2));
    fleet.hub().say(run, "answer".into());
    assert_eq!(client.answer().unwrap().0, "ok");
    fleet.disconnected(run);
    fleet.reap(run);
    assert_eq!(fleet.kept(), 1);
    // A client of the time between waits for the next worker. (`listen(0)` again is the same port.)
    let mut waiting = Client::connect(address).unwrap();
    waiting.ask("/").unwrap();
    let next = fleet.spawn("web", 0, &web(0));
    assert_eq!(waiting.answer().unwrap().0, next.entry.to_string());
}

#[test]
fn a_drain_that_a_daemon_may_not_have_lived_to_send_is_sent_again_and_cuts_nobody() {
    let code = "let answer; process.on('message', () => answer());
        require('http').createServer((q, s) => { answer = () => { s.setHeader('Content-Length', 2); s.end('ok'); }; process.send('ready'); }).listen(0);";
    for was_sent in [true, false] {
        let mut fleet = Fleet::new(Scheduling::Shared);
        let (runs, address) = fleet.serve(1, code);
        let run = runs[0];
        let mut client = Client::connect(address).unwrap();
        client.ask("/").unwrap();
        fleet.wait("the request is there", |e| *e == NodeEvent::Ready { run });
        if was_sent {
            fleet.hub().drain(run, Duration::from_secs(2));
        }
        fleet.kill_daemon();
        fleet.workers.get_mut(&run).unwrap().ending = true;
        fleet.start_daemon();
        fleet.hub().drain(run, Duration::from_secs(2));
        fleet.hub().say(run, "answer".into());
        assert_eq!(client.answer().unwrap().0, "ok", "{was_sent}");
        fleet.disconnected(run);
        assert_eq!(fleet.reap(run).code(), Some(0), "{was_sent}");
    }
}

#[test]
fn a_program_that_closes_its_server_because_it_is_stopped_keeps_its_port() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const server = require('net').createServer().listen(0);
        process.on('SIGINT', () => server.close(() => process.exit(0)));";
    let (runs, address) = fleet.serve(1, code);
    fleet.hub().stopping(runs[0]);
    fleet.hub().say(runs[0], "order".into());
    fleet.signal(runs[0], rustix::process::Signal::INT);
    fleet.disconnected(runs[0]);
    fleet.reap(runs[0]);
    assert_eq!(fleet.kept(), 1);
    let next = fleet.spawn("web", 0, &web(0));
    assert_eq!(fleet.listening(next), address);
    assert_eq!(get(address), next.entry.to_string());
}

#[test]
fn a_worker_may_leave_on_its_own_will() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = format!("{} process.on('message', () => require('cluster').worker.disconnect());", web(0));
    let (runs, address) = fleet.serve(2, &code);
    fleet.hub().say(runs[0], "go".into());
    fleet.wait("voluntary", |e| *e == NodeEvent::Voluntary { run: runs[0] });
    fleet.disconnected(runs[0]);
    assert_eq!(fleet.reap(runs[0]).code(), Some(0));
    assert_eq!(get(address), runs[1].entry.to_string());
}

#[test]
fn a_worker_without_cluster_is_told_to_close_its_connections_only() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const server = require('http').createServer((q, s) => { s.setHeader('Content-Length', 1); s.end('1'); })
        .listen(0, () => process.send({type: 'port', data: server.address().port}));";
    let run = fleet.spawn_as("fork", 0, false, code);
    let port = u16::try_from(fleet.bus(run, "port").as_u64().unwrap()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut client = Client::connect(address).unwrap();
    client.ask("/").unwrap();
    assert!(client.answer().unwrap().1);
    fleet.hub().drain(run, Duration::from_secs(2));
    loop {
        client.ask("/").unwrap();
        if !client.answer().unwrap().1 {
            break;
        }
    }
    assert!(!fleet.is_disconnected(run));
}
