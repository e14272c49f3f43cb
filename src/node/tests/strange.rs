//! Programs that are not Node, spoken with byte by byte, and daemons that die between two bytes.

use super::harness::*;
use crate::model::Run;
use crate::model::policy::Scheduling;
use crate::node::{ChannelSpec, NodeEvent, channel};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// The worker's end of a channel, and the keeper's copy of the daemon's.
struct Raw {
    run: Run,
    cluster: bool,
    ours: OwnedFd,
    stream: BufReader<UnixStream>,
}

impl Raw {
    fn new(fleet: &Fleet, cluster: bool) -> Raw {
        let (ours, theirs) = channel().unwrap();
        let stream = UnixStream::from(theirs);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let raw = Raw { run: Run::first(1), cluster, ours, stream: BufReader::new(stream) };
        raw.give(fleet, false);
        raw
    }

    fn give(&self, fleet: &Fleet, adopted: bool) {
        let fd = self.ours.try_clone().unwrap();
        let scheduling = Scheduling::RoundRobin;
        let (run, cluster) = (self.run, self.cluster);
        fleet.hub().add(ChannelSpec {
            run,
            app: "raw".into(),
            slot: 0,
            cluster,
            scheduling,
            fd,
            adopted,
            preload: false,
            ending: false,
        });
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn say(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn online() -> Value {
    json!({ "cmd": "NODE_CLUSTER", "act": "online", "seq": 0 })
}

fn query(seq: u64) -> Value {
    json!({ "cmd": "NODE_CLUSTER", "act": "queryServer", "index": 0, "data": null, "address": "127.0.0.1", "port": 0,
        "addressType": 4, "backlog": 0, "seq": seq })
}

#[test]
fn who_does_not_say_online_first_is_not_taken_for_a_worker_of_the_cluster() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let mut raw = Raw::new(&fleet, true);
    raw.say(&json!("hello"));
    raw.say(&online());
    raw.say(&query(1));
    raw.say(&json!("ready"));
    let run = raw.run;
    let told = fleet.wait("it is told", |e| matches!(e, NodeEvent::Troubled { .. }));
    let NodeEvent::Troubled { what, .. } = told else { panic!() };
    assert!(what.contains("online") && what.contains("fork mode"), "{what}");
    fleet.wait("messages pass", |e| *e == NodeEvent::Ready { run });
    assert!(!fleet.seen.contains(&NodeEvent::Online { run }));
    assert_eq!(fleet.kept(), 0, "nothing was bound for it");
}

#[test]
fn advanced_serialization_is_refused_by_name() {
    for end in ["", "\n"] {
        let mut fleet = Fleet::new(Scheduling::RoundRobin);
        let mut raw = Raw::new(&fleet, false);
        raw.write(b"\0\0\0\x08\xff\x0f\x22\x05ready");
        raw.write(end.as_bytes());
        let told = fleet.wait("it is told", |e| matches!(e, NodeEvent::Note { .. }));
        let NodeEvent::Note { text, .. } = told else { panic!() };
        assert!(text.contains("`advanced` serialization is not supported"), "{text}");
    }
}

#[test]
fn a_question_that_a_daemon_did_not_live_to_take_off_the_socket_is_answered_alike_by_the_next() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let mut raw = Raw::new(&fleet, true);
    raw.say(&online());
    raw.say(&query(1));
    let first = raw.hear();
    assert_eq!((&first["ack"], &first["errno"]), (&json!(1), &json!(0)));
    fleet.kill_daemon();
    // As it stands on the socket if the kill came before the last step.
    raw.say(&query(1));
    fleet.start_daemon();
    raw.give(&fleet, true);
    let again = raw.hear();
    assert_eq!((&again["ack"], &again["errno"]), (&json!(1), &json!(0)));
    assert_eq!(again["sockname"], first["sockname"]);
    assert_eq!(fleet.kept(), 1);
    // Another question for what it has is another server.
    raw.say(&query(2));
    assert_eq!(raw.hear()["errno"], json!(-libc::EADDRINUSE));
}

#[test]
fn a_question_asked_while_there_is_no_daemon_is_answered_by_the_next() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let mut raw = Raw::new(&fleet, true);
    raw.say(&online());
    fleet.wait("online", |e| matches!(e, NodeEvent::Online { .. }));
    fleet.kill_daemon();
    raw.say(&query(1));
    fleet.start_daemon();
    raw.give(&fleet, true);
    assert_eq!(raw.hear()["errno"], json!(0));
}

#[test]
fn a_long_message_is_whole_on_the_socket_before_the_worker_reads_any_of_it() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let mut raw = Raw::new(&fleet, false);
    let long = json!("x".repeat(100_000));
    for _ in 0..8 {
        fleet.hub().say(raw.run, long.clone());
    }
    fleet.hub().say(raw.run, json!("end"));
    // What is there now is what would be there if the daemon died now: whole lines.
    raw.say(&json!("ready"));
    fleet.wait("its message", |e| matches!(e, NodeEvent::Ready { .. }));
    let unread = rustix::io::ioctl_fionread(raw.stream.get_ref()).unwrap();
    assert!(unread > 0 && [0, 6].contains(&(unread % 100_003)), "{unread} bytes");
    for _ in 0..8 {
        assert_eq!(raw.hear(), long);
    }
    assert_eq!(raw.hear(), json!("end"));
}
