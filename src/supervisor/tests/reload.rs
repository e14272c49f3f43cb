//! Replacing processes side by side.

use super::story::{Story, cluster, reload, stop};
use crate::model::Exit;
use crate::supervisor::event::Event;

#[test]
fn a_reload_replaces_when_the_new_process_listens() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    assert_eq!(story.order(reload()), "spawn 2.1 Replacement r1; timer ReplacementReady 3000");
    story.spawned(2);
    let promoted = "keep 2.1 Replacement Ready; keep 2.1 Current Ready; keep 1.1 Retiring Stopping; \
                    drain 1.1 1600; timer RetiringKill 1600; reply 2: 0 Reloaded Ready";
    assert_eq!(story.listens(2), promoted);
    assert_eq!(story.sees(0), "Ready r1 u0 (reloaded on request)");
    let run = story.run(1);
    let left = story.event(Event::Disconnected { run });
    assert_eq!(left, "keep 1.1 Retiring Stopping; signal 1.1 2 tree; timer RetiringKill 1600");
    let kill = "keep 1.1 Retiring Stopping; signal 1.1 9 tree; timer RetiringKill 1600";
    assert_eq!(story.due(0, "RetiringKill"), kill);
    assert_eq!(story.exits(1, Exit::Signal(9)), "forget 1.1");
}

#[test]
fn a_replacement_that_is_not_ready_in_time_is_given_up_and_the_old_one_stays() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(reload());
    story.spawned(2);
    let run = story.run(2);
    story.event(Event::Online { run });
    let abandoned = "keep 2.1 Retiring Stopping; signal 2.1 2 tree; timer RetiringKill 1600; \
                     keep 1.1 Current Ready; reply 2: 0 ReloadAbandoned Ready";
    assert_eq!(story.due(0, "ReplacementReady"), abandoned);
    let why =
        "Ready r0 u0 (reload abandoned: the new process was not ready within 3000 ms: it does not listen)";
    assert_eq!(story.sees(0), why);
}

#[test]
fn an_app_that_never_listens_is_replaced_when_the_time_is_over() {
    let mut story = Story::with(cluster(1));
    story.order(reload());
    story.spawned(2);
    let run = story.run(2);
    assert_eq!(story.event(Event::Online { run }), "keep 2.1 Replacement Running");
    let promoted = "keep 2.1 Current Running; keep 1.1 Retiring Stopping; drain 1.1 1600; \
                    timer RetiringKill 1600; reply 2: 0 Reloaded Running";
    assert_eq!(story.due(0, "ReplacementReady"), promoted);
}

#[test]
fn a_replacement_that_ends_is_given_up() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(reload());
    story.spawned(2);
    let abandoned = "forget 2.1; keep 1.1 Current Ready; reply 2: 0 ReloadAbandoned Ready";
    assert_eq!(story.exits(2, Exit::Code(1)), abandoned);
}

#[test]
fn the_old_process_may_die_during_a_reload() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(reload());
    story.spawned(2);
    let taken = "keep 2.1 Current Starting; forget 1.1; timer Ready 3000";
    assert_eq!(story.exits(1, Exit::Code(1)), taken);
    assert_eq!(story.listens(2), "keep 2.1 Current Ready; reply 2: 0 Reloaded Ready");
}

#[test]
fn a_reload_rolls_and_refuses_a_second_one() {
    let mut story = Story::with(cluster(4));
    (1..=4).for_each(|entry| drop(story.listens(entry)));
    let timer = "timer ReplacementReady 3000";
    let two = format!("spawn 5.1 Replacement r1; {timer}; spawn 6.1 Replacement r1; {timer}");
    assert_eq!(story.order(reload()), two);
    assert_eq!(story.order(reload()), "refuse: Reload already in progress for process id 0");
    story.spawned(5);
    assert!(story.listens(5).ends_with(&format!("spawn 7.1 Replacement r1; {timer}")));
}

#[test]
fn a_stop_during_a_reload_ends_both() {
    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(reload());
    story.spawned(2);
    let both = "keep 2.1 Retiring Stopping; signal 2.1 2 tree; timer RetiringKill 1600; \
                keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600";
    assert_eq!(story.order(stop()), both);
    assert_eq!(story.exits(1, Exit::Code(0)), "keep 1.1 Current Down; reply 2: 0 ReloadAbandoned Down");
    assert_eq!(story.exits(2, Exit::Code(0)), "forget 2.1; close web; reply 3: 0 Stopped Down");
}
