//! How processes come up, end by themselves, and are ended.

use super::story::{Story, cluster, restart, start, stop};
use super::world::app;
use crate::model::app::{App, SocketAddress, SocketSpec};
use crate::model::usage::Usage;
use crate::model::{Bytes, Epoch, Exit, Run, WorkerId};
use crate::supervisor::event::{Event, TimerKey, TimerKind};
use std::time::Duration;

#[test]
fn events_about_nobody_change_nothing() {
    let mut story = Story::with(app("web"));
    let run = Run { entry: 1, generation: 9 };
    let exit = Exit::Code(1);
    let key = TimerKey { worker: WorkerId(7), epoch: Epoch(1), kind: TimerKind::Start };
    for event in [
        Event::Spawned { run, pid: 1 },
        Event::SpawnFailed { run, what: String::new(), may_pass: true },
        Event::Online { run },
        Event::Exited { run, exit, survivors: true },
        Event::TreeGone { run },
        Event::Disconnected { run },
        Event::TimerDue(key),
    ] {
        assert_eq!(story.event(event), "");
    }
    let run = story.run(1);
    assert_eq!(story.event(Event::Spawned { run, pid: 2 }), "", "twice");
    assert_eq!(story.event(Event::TreeGone { run }), "", "it lives");
}

#[test]
fn a_fork_is_online_when_it_is_spawned() {
    let mut story = Story::new();
    assert_eq!(story.order(start(app("web"))), "spawn 1.1 Current r0");
    assert_eq!(story.spawned(1), "keep 1.1 Current Running; reply 1: 0 Launched Running");
    assert_eq!(story.sees(0), "Running r0 u0 (started)");
}

#[test]
fn a_cluster_worker_is_online_when_it_says_so_and_ready_when_it_listens() {
    let mut story = Story::new();
    story.order(start(cluster(1)));
    assert_eq!(story.spawned(1), "timer Ready 3000");
    let run = story.run(1);
    let online = story.event(Event::Online { run });
    assert_eq!(online, "keep 1.1 Current Running; reply 1: 0 Launched Running");
    assert_eq!(story.listens(1), "keep 1.1 Current Ready");
    assert_eq!(story.listens(1), "", "the same address again is no news");
    assert_eq!(story.due(0, "Ready"), "", "a timer of a past state is ignored");
}

#[test]
fn words_that_overtake_the_spawned_event_are_not_lost() {
    let mut story = Story::new();
    story.order(start(cluster(1)));
    assert_eq!(story.listens(1), "");
    assert_eq!(story.spawned(1), "keep 1.1 Current Ready; reply 1: 0 Launched Ready");
}

#[test]
fn wait_ready_waits_for_ready_or_the_timeout() {
    let mut slow = app("web");
    slow.readiness.wait_ready = true;
    let mut story = Story::new();
    story.order(start(slow.clone()));
    assert_eq!(story.spawned(1), "timer Ready 3000");
    let run = story.run(1);
    let ready = story.event(Event::SaidReady { run });
    assert_eq!(ready, "keep 1.1 Current Ready; reply 1: 0 Launched Ready");

    let mut story = Story::new();
    story.order(start(slow));
    story.spawned(1);
    assert_eq!(story.due(0, "Ready"), "keep 1.1 Current Running; reply 1: 0 Launched Running");
}

#[test]
fn inherited_sockets_are_served_from_the_spawn_on() {
    let address = SocketAddress::Tcp { host: String::new(), port: 80 };
    let sockets = vec![SocketSpec { name: "http".to_owned(), address }];
    let mut story = Story::new();
    story.order(start(App { sockets, ..app("web") }));
    assert_eq!(story.spawned(1), "keep 1.1 Current Ready; reply 1: 0 Launched Ready");
}

#[test]
fn a_process_that_cannot_be_made_fails_at_once_and_the_order_says_so() {
    let mut story = Story::new();
    story.order(start(app("web")));
    let what = "exec `/x`: no such file".to_owned();
    let failed = Event::SpawnFailed { run: story.run(1), what, may_pass: false };
    assert_eq!(story.event(failed), "keep 1.1 Current Failed; close web; reply 1: 0 Launched Failed");
    assert_eq!(story.sees(0), "Failed r0 u0 (failed to exec `/x`: no such file)");
}

#[test]
fn a_process_that_cannot_be_made_for_now_is_tried_again_and_counted_once() {
    let mut story = Story::with(app("web"));
    let fails = |story: &Story| {
        let what = "make a process: no room".to_owned();
        Event::SpawnFailed { run: story.run(1), what, may_pass: true }
    };
    assert_eq!(story.exits(1, Exit::Code(1)), "spawn 1.2 Current r1");
    assert_eq!(story.event(fails(&story)), "keep 1.2 Current Backoff; timer Start 100");
    assert_eq!(story.sees(0), "Backoff r1 u0 (failed to make a process: no room)");
    assert_eq!(story.due(0, "Start"), "spawn 1.3 Current r1");
    assert_eq!(story.event(fails(&story)), "keep 1.3 Current Backoff; timer Start 150");
    assert_eq!(story.due(0, "Start"), "spawn 1.4 Current r1");
    story.spawned(1);
    assert_eq!(story.sees(0), "Running r1 u0 (exit code 1)", "why it was started, not what was in the way");
    assert_eq!(story.exits(1, Exit::Code(1)), "spawn 1.5 Current r2");
    assert_eq!(story.event(fails(&story)), "keep 1.5 Current Backoff; timer Start 100", "patience is anew");
}

#[test]
fn a_first_start_that_finds_no_room_is_answered_and_can_be_ordered_again_at_once() {
    let mut story = Story::new();
    story.order(start(app("web")));
    let what = "make a process: no room".to_owned();
    let failed = Event::SpawnFailed { run: story.run(1), what, may_pass: true };
    let answer = "keep 1.1 Current Backoff; timer Start 100; reply 1: 0 Launched Backoff";
    assert_eq!(story.event(failed), answer);
    assert_eq!(story.order(start(app("web"))), "spawn 1.2 Current r0");
    assert_eq!(story.due(0, "Start"), "", "the timer is stale");
}

#[test]
fn a_start_is_answered_even_if_the_app_only_crashes() {
    let mut slow = app("web");
    slow.readiness.wait_ready = true;
    let mut story = Story::new();
    story.order(start(slow));
    story.spawned(1);
    let died = story.exits(1, Exit::Code(1));
    assert_eq!(died, "spawn 1.2 Current r1; reply 1: 0 Launched Starting");
}

#[test]
fn sixteen_launches_in_a_row_fail_with_fifteen_restarts() {
    let mut story = Story::new();
    story.order(start(app("web")));
    for _ in 0..15 {
        story.spawned(1);
        story.exits(1, Exit::Code(1));
    }
    story.spawned(1);
    assert_eq!(story.exits(1, Exit::Code(1)), "keep 1.16 Current Failed; close web");
    assert_eq!(story.sees(0), "Failed r15 u16 (16 unstable restarts in a row, last: exit code 1)");
    assert_eq!(story.order(restart()), "spawn 1.17 Current r15", "starting what is down does not count");
    assert_eq!(story.sees(0), "Starting r15 u0 (started)");
}

#[test]
fn a_kill_from_outside_restarts_at_once() {
    let mut story = Story::with(app("web"));
    assert_eq!(story.exits(1, Exit::Signal(9)), "spawn 1.2 Current r1");
    assert_eq!(story.sees(0), "Starting r1 u0 (SIGKILL)");
}

#[test]
fn a_delay_is_waited_for_and_a_stop_ends_the_wait() {
    let mut delayed = app("web");
    delayed.restart.restart_delay = Duration::from_millis(700);
    let mut story = Story::with(delayed);
    assert_eq!(story.exits(1, Exit::Code(1)), "keep 1.1 Current Backoff; timer Start 700");
    assert_eq!(story.due(0, "Start"), "spawn 1.2 Current r1");
    story.spawned(1);
    story.exits(1, Exit::Code(1));
    assert_eq!(story.order(stop()), "sweep 1.2; keep 1.2 Current Down; close web; reply 2: 0 Stopped Down");
    assert_eq!(story.due(0, "Start"), "");
    assert_eq!(story.order(restart()), "spawn 1.3 Current r1");
}

#[test]
fn what_rests_after_its_end_is_down() {
    let mut once = app("web");
    once.restart.autorestart = false;
    once.restart.restart_delay = Duration::from_secs(1);
    let mut story = Story::with(once);
    assert_eq!(story.exits(1, Exit::Code(3)), "keep 1.1 Current Down; close web");
    assert_eq!(story.sees(0), "Down r0 u0 (exit code 3, autorestart is off)");
}

#[test]
fn a_stop_is_answered_when_the_tree_is_gone() {
    let mut story = Story::with(app("web"));
    assert_eq!(story.order(stop()), "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600");
    let run = story.run(1);
    let exit = Event::Exited { run, exit: Exit::Signal(2), survivors: true };
    assert_eq!(story.event(exit), "keep 1.1 Current Stopping");
    assert_eq!(story.due(0, "Kill"), "keep 1.1 Current Stopping; signal 1.1 9 tree; timer Unkillable 1600");
    let gone = story.event(Event::TreeGone { run });
    assert_eq!(gone, "keep 1.1 Current Down; close web; reply 2: 0 Stopped Down");
    assert_eq!(story.order(stop()), "sweep 1.1; keep 1.1 Current Down; reply 3: 0 Untouched Down");
}

#[test]
fn the_unkillable_is_failed_until_it_dies_after_all() {
    let mut story = Story::with(app("web"));
    story.order(stop());
    story.due(0, "Kill");
    assert_eq!(story.due(0, "Unkillable"), "keep 1.1 Current Failed; reply 2: 0 Untouched Failed");
    assert_eq!(story.sees(0), "Failed r0 u0 (still alive after SIGKILL)");
    let again = story.order(restart());
    assert_eq!(again, "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600");
    assert_eq!(story.exits(1, Exit::Signal(9)), "spawn 1.2 Current r1");
}

#[test]
fn a_stop_during_the_spawn_signals_as_soon_as_there_is_somebody() {
    let mut story = Story::new();
    story.order(start(app("web")));
    assert_eq!(story.order(stop()), "keep 1.1 Current Stopping");
    assert_eq!(story.spawned(1), "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600");
    let gone = "keep 1.1 Current Down; close web; reply 1: 0 Launched Down; reply 2: 0 Stopped Down";
    assert_eq!(story.exits(1, Exit::Code(0)), gone);
}

#[test]
fn shutdown_by_message_and_without_the_tree() {
    let mut polite = app("web");
    polite.stop.shutdown_with_message = true;
    polite.stop.treekill = false;
    let mut story = Story::with(polite);
    assert_eq!(story.order(stop()), "keep 1.1 Current Stopping; say shutdown 1.1; timer Kill 1600");
    let kill = "keep 1.1 Current Stopping; signal 1.1 9; timer Unkillable 1600";
    assert_eq!(story.due(0, "Kill"), kill);
}

#[test]
fn too_much_memory_reloads_or_restarts_once() {
    let mut hungry = app("web");
    hungry.limits.max_memory = Some(Bytes(1 << 20));
    let mut story = Story::with(hungry);
    let usage = Usage { memory: Bytes(5 << 20), ..Usage::default() };
    let sample = Event::Sampled { usages: vec![(story.run(1), usage)] };
    let over = story.event(sample.clone());
    assert_eq!(over, "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600");
    assert_eq!(story.sees(0), "Stopping r0 u0 (memory 5 MB over max_memory_restart 1 MB)");
    assert_eq!(story.event(sample), "");
    assert_eq!(story.exits(1, Exit::Code(0)), "spawn 1.2 Current r1");
}
