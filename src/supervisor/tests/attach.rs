//! What a new daemon makes of what it finds.

use super::story::{Story, cluster, delete, reload, restart, start, stop};
use super::world::app;
use crate::model::Exit;
use crate::supervisor::event::{Event, Found, Process};
use crate::supervisor::record::{Record, Role};
use std::time::Duration;

/// A second daemon that finds the records of a story; `became` says what became of the processes.
fn attached(story: &Story, became: impl Fn(&Record) -> Process) -> (Story, String) {
    let mut next = Story::new();
    next.now = story.now;
    next.records.clone_from(&story.records);
    let found = |record: &Record| Found { record: record.clone(), process: became(record) };
    let found = story.records.values().map(found).collect();
    let effects = next.event(Event::Attached { found });
    (next, effects)
}

fn alive(record: &Record) -> Process {
    Process::Alive { pid: 100, run: record.run }
}

#[test]
fn a_new_daemon_takes_the_living_over_and_touches_nothing() {
    let mut story = Story::with(app("web"));
    let (mut next, effects) = attached(&story, alive);
    assert_eq!((effects.as_str(), next.sees(0)), ("", story.sees(0)));
}

#[test]
fn a_new_daemon_handles_an_end_that_nobody_had_handled_and_counts_it_once() {
    let mut delayed = app("web");
    delayed.restart.restart_delay = Duration::from_millis(700);
    delayed.restart.min_uptime = Duration::from_secs(60);
    let mut story = Story::with(delayed);
    let ended =
        |at| move |record: &Record| Process::Ended { run: record.run, pid: 100, exit: Exit::Code(1), at };
    let at = story.now;
    story.pass(500);
    let (next, effects) = attached(&story, ended(at));
    assert_eq!(effects, "keep 1.1 Current Backoff; timer Start 200", "the delay counts from the end");
    let (mut third, effects) = attached(&next, ended(at));
    assert_eq!(effects, "timer Start 200", "it was handled, only not acknowledged");
    assert_eq!(third.sees(0), "Backoff r0 u1 (exit code 1)", "nor is it counted as unstable twice");
    assert_eq!(third.due(0, "Start"), "spawn 1.2 Current r1");
    story.pass(500);
    let (_, effects) = attached(&story, ended(at));
    assert_eq!(effects, "spawn 1.2 Current r1", "the delay is over");
}

#[test]
fn a_new_daemon_goes_on_with_a_stop() {
    let mut story = Story::with(app("web"));
    story.order(stop());
    story.pass(600);
    let (mut next, effects) = attached(&story, alive);
    assert_eq!(effects, "timer Kill 1000");
    assert!(next.due(0, "Kill").contains("signal 1.1 9 tree"));
    let (_, effects) = attached(&story, |_| Process::None);
    assert_eq!(effects, "keep 1.1 Current Down; close web");
}

#[test]
fn who_drains_finishes_under_the_next_daemon_too_though_he_holds_no_socket_any_more() {
    let mut story = Story::with(cluster(1));
    story.order(restart());
    let (mut next, effects) = attached(&story, alive);
    assert!(effects.contains("drain 1.1"), "{effects}");
    let run = next.run(1);
    assert_eq!(next.event(Event::Idle { run }), "");
}

#[test]
fn a_signal_or_drain_that_a_daemon_may_not_have_lived_to_send_is_sent() {
    let mut story = Story::with(app("web"));
    story.order(stop());
    story.records.get_mut(&1).unwrap().untold = true;
    story.pass(600);
    let (next, effects) = attached(&story, alive);
    let all_his_time = "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600";
    assert_eq!(effects, all_his_time);
    story.records = next.records;
    story.records.get_mut(&1).unwrap().untold = false;
    story.pass(600);
    assert_eq!(attached(&story, alive).1, "timer Kill 1000", "once it is noted it is not sent again");

    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(reload());
    story.spawned(2);
    story.listens(2);
    story.pass(600);
    let (next, effects) = attached(&story, alive);
    assert_eq!(effects, "keep 1.1 Retiring Stopping; drain 1.1 1600; timer RetiringKill 1600");
    story.records = next.records;
    story.records.get_mut(&1).unwrap().untold = false;
    story.pass(600);
    let effects = attached(&story, alive).1;
    assert_eq!(
        effects, "drain 1.1 1000; timer RetiringKill 1000",
        "whoever has heard it hears no more in it"
    );
}

#[test]
fn a_new_daemon_finishes_a_delete() {
    let mut story = Story::with(app("web"));
    story.order(delete());
    let (next, effects) = attached(&story, |_| Process::None);
    assert_eq!(effects, "keep 1.1 Current Down; forget 1.1; close web");
    assert!(next.records.is_empty());
}

#[test]
fn a_new_daemon_ends_a_reload_that_was_under_way() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(reload());
    story.spawned(2);
    let (_, effects) = attached(&story, alive);
    assert_eq!(effects, "keep 2.1 Retiring Stopping; drain 2.1 1600; timer RetiringKill 1600");
    let old_is_gone = |record: &Record| match record.role {
        Role::Current => Process::Ended { run: record.run, pid: 1, exit: Exit::Code(1), at: record.created },
        Role::Replacement | Role::Retiring => alive(record),
    };
    let (mut next, effects) = attached(&story, old_is_gone);
    assert_eq!(effects, "keep 2.1 Current Starting; forget 1.1; timer Ready 3000");
    assert_eq!(next.sees(0), "Starting r1 u0 (reloaded on request)");
}

#[test]
fn of_two_that_are_current_the_later_one_wins() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    let old = story.records[&1].clone();
    story.order(reload());
    story.spawned(2);
    story.listens(2);
    // The daemon died between the two records of the promotion.
    story.records.insert(1, old);
    let (mut next, effects) = attached(&story, alive);
    assert_eq!(effects, "keep 1.1 Retiring Stopping; drain 1.1 1600; timer RetiringKill 1600");
    assert_eq!(next.sees(0), "Ready r1 u0 (reloaded on request)");
}

#[test]
fn a_spawn_that_never_happened_is_made_up_for_and_not_counted() {
    let mut story = Story::new();
    story.order(start(app("web")));
    let (_, effects) = attached(&story, |_| Process::None);
    assert_eq!(effects, "spawn 1.2 Current r0");
}

#[test]
fn a_new_daemon_leaves_what_was_given_up_as_it_is() {
    let mut hopeless = app("web");
    hopeless.restart.max_restarts = 0;
    let mut story = Story::with(hopeless);
    story.exits(1, Exit::Code(1));
    let at = story.now;
    let (_, effects) = attached(&story, |r| Process::Ended { run: r.run, pid: 100, exit: Exit::Code(1), at });
    assert_eq!(effects, "close web", "the end was handled, only not acknowledged");
}

#[test]
fn a_new_daemon_notices_that_the_unkillable_died_after_all() {
    let mut story = Story::with(app("web"));
    story.order(stop());
    story.due(0, "Kill");
    story.due(0, "Unkillable");
    let (_, effects) = attached(&story, |_| Process::None);
    assert_eq!(effects, "keep 1.1 Current Down; close web");
    let (mut next, effects) = attached(&story, alive);
    assert_eq!(effects, "");
    assert_eq!(next.exits(1, Exit::Signal(9)), "keep 1.1 Current Down; close web");
}
