//! Messages of programs, metrics, and programs that misbehave.

use super::harness::*;
use crate::model::policy::Scheduling;
use crate::node::NodeEvent;
use serde_json::json;

#[test]
fn ready_shutdown_and_exit_code_pass() {
    for cluster in [false, true] {
        let mut fleet = Fleet::new(Scheduling::RoundRobin);
        let code = "process.on('message', m => { if (m === 'shutdown') process.exit(3); });
            process.send('ready'); process.send({type: 'who', data: require('cluster').isWorker + ' ' + process.env.PMON_PRELOAD});";
        let run = fleet.spawn_as("app", 0, cluster, code);
        fleet.wait("ready", |e| *e == NodeEvent::Ready { run });
        assert_eq!(fleet.bus(run, "who"), format!("{cluster} undefined"));
        assert_eq!(fleet.seen.contains(&NodeEvent::Online { run }), cluster);
        fleet.hub().say(run, json!("shutdown"));
        fleet.disconnected(run);
        assert_eq!(fleet.reap(run).code(), Some(3));
    }
}

#[test]
fn the_preload_reports_itself_and_requests() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (runs, address) = fleet.serve(1, &web(0));
    let run = runs[0];
    fleet.wait("a report", |e| matches!(e, NodeEvent::Reported { usage, .. } if usage.heap_used.get() > 0));
    for _ in 0..5 {
        get(address);
    }
    fleet.wait("requests", |e| {
        matches!(e, NodeEvent::Reported { run: r, usage } if *r == run && usage.rps > 0.0 && usage.http_p99 > 0.0)
    });
    let version = fleet.wait("version", |e| matches!(e, NodeEvent::NodeVersion { .. }));
    let NodeEvent::NodeVersion { version, .. } = version else { panic!() };
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
}

#[test]
fn the_preload_keeps_no_process_alive() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let run = fleet.spawn_as("app", 0, false, "setTimeout(() => {}, 50);");
    fleet.disconnected(run);
    assert_eq!(fleet.reap(run).code(), Some(0));
}

#[test]
fn what_pm2s_agent_sends_is_collected() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const say = (type, data) => process.send({type, data});
        say('axm:monitor', {a: {value: 1, type: 'x'}}); say('axm:monitor', {b: {value: 2}}); say('axm:monitor', {a: {value: 3}});
        say('axm:action', {action_name: 'gc', arity: 0}); say('axm:action', {action_name: 'gc', arity: 1});
        say('axm:option:configuration', {error: true}); say('axm:option:configuration', {latency: true});
        process.on('message', m => say('axm:reply', {at: 1, action_name: m, return: 'done'}));";
    let run = fleet.spawn("app", 0, code);
    fleet.wait("all of it", |e| {
        let NodeEvent::Axm { axm, .. } = e else { return false };
        axm.monitor.get("a") == Some(&json!({ "value": 3 }))
            && axm.monitor.contains_key("b")
            && axm.actions == [json!({ "action_name": "gc", "arity": 1 })]
            && axm.options.len() == 2
    });
    fleet.hub().say(run, json!("gc"));
    assert_eq!(fleet.bus(run, "axm:reply")["return"], "done");
}

#[test]
fn big_messages_and_floods_pass_both_ways() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "process.on('message', m => process.send({type: 'echo', data: m.length}));
        process.send({type: 'big', data: 'x'.repeat(300000)});
        for (let i = 0; i < 20000; i++) process.send({i}); process.send('ready');";
    let run = fleet.spawn("app", 0, code);
    assert_eq!(fleet.bus(run, "big").as_str().unwrap().len(), 300_000);
    fleet.wait("the end of the flood", |e| *e == NodeEvent::Ready { run });
    fleet.hub().say(run, json!("y".repeat(300_000)));
    assert_eq!(fleet.bus(run, "echo"), 300_000);
}

#[test]
fn a_handle_from_a_worker_does_not_stop_its_queue() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let code = "const server = require('net').createServer().listen({port: 0, exclusive: true}, () => {
        process.send({type: 'first', data: 1}, server); process.send({type: 'second', data: 2}, server); process.send('ready'); });";
    let run = fleet.spawn("app", 0, code);
    fleet.wait("what came after", |e| *e == NodeEvent::Ready { run });
    assert_eq!((fleet.bus(run, "first"), fleet.bus(run, "second")), (json!(1), json!(2)));
}

#[test]
fn garbage_harms_nobody() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (_, address) = fleet.serve(1, &web(0));
    let garbage = "const fs = require('fs'), put = text => { try { fs.writeSync(3, text); } catch (e) { if (e.code === 'EAGAIN') put(text); else throw e; } };
        put('garbage\\n{\"half\\n\\u0000\\xff\\n[[[[\\n');
        for (let i = 0; i < 100; i++) put('nonsense\\n');
        put('{\"cmd\":\"NODE_HANDLE_ACK\"}\\n{\"cmd\":\"NODE_HANDLE_NACK\"}\\n{\"cmd\":\"NODE_CLUSTER\",\"ack\":1,\"accepted\":true}\\n');
        put('{\"cmd\":\"NODE_CLUSTER\",\"act\":\"close\",\"key\":\"null:0:4::0\"}\\n');
        const mib = 'x'.repeat(1 << 16); for (let i = 0; i < 160; i++) put(mib); put('\\n');
        put('\"ready\"\\n'); put('{\"half');
        setInterval(() => {}, 1000);";
    let bad = fleet.spawn("web", 1, garbage);
    fleet.wait("what came after the garbage", |e| *e == NodeEvent::Ready { run: bad });
    let notes = fleet.seen.iter().filter(|e| matches!(e, NodeEvent::Note { run, .. } if *run == bad)).count();
    assert!((1..=8).contains(&notes), "{notes} notes");
    assert_eq!(get(address), "1");
    fleet.kill(bad);
    fleet.disconnected(bad);
    assert_eq!(get(address), "1");
}

#[test]
fn a_worker_that_does_not_read_costs_a_bounded_queue() {
    let mut fleet = Fleet::new(Scheduling::RoundRobin);
    let (_, address) = fleet.serve(1, &web(0));
    let deaf = fleet.spawn_as("deaf", 0, false, "process.send('ready', () => { for (;;); });");
    fleet.wait("ready", |e| *e == NodeEvent::Ready { run: deaf });
    for _ in 0..200 {
        fleet.hub().say(deaf, json!("z".repeat(30_000)));
    }
    fleet.wait("a note", |e| matches!(e, NodeEvent::Note { run, .. } if *run == deaf));
    assert_eq!(get(address), "1");
}
