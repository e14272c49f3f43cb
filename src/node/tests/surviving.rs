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
