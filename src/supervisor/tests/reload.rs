//! Replacing processes side by side.

use super::story::{Story, all, cluster, reload, restart, start, stop};
use super::world::app;
use crate::model::app::{App, SocketAddress, SocketSpec};
use crate::model::order::{Rolling, Update};
use crate::model::policy::Health;
use crate::model::{Exit, Order};
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
    let abandoned = "keep 2.1 Retiring Stopping; drain 2.1 1600; timer RetiringKill 1600; \
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
fn as_many_are_replaced_at_once_as_the_order_or_the_app_says() {
    let spawned = |words: String| words.matches("spawn ").count();
    let mut wide = cluster(6);
    wide.reload.width = Some(3);
    let mut story = Story::with(wide.clone());
    assert_eq!(spawned(story.order(reload())), 3);
    let mut story = Story::with(wide);
    let rolling = Rolling { width: Some(5), force: false };
    let order = Order::Reload { select: all(), update: Update::default(), rolling };
    assert_eq!(spawned(story.order(order)), 5);
}

#[test]
fn after_an_abandoned_replacement_the_others_are_not_tried() {
    let mut story = Story::with(cluster(4));
    (1..=4).for_each(|entry| drop(story.listens(entry)));
    story.order(reload());
    story.spawned(5);
    story.spawned(6);
    assert_eq!(
        story.exits(5, Exit::Code(1)),
        "forget 5.1; keep 1.1 Current Ready; keep 3.1 Current Ready; keep 4.1 Current Ready"
    );
    let rest = story.listens(6);
    let answer = "reply 2: 0 ReloadAbandoned Ready, 1 Reloaded Ready, 2 Untouched Ready, 3 Untouched Ready";
    assert!(rest.ends_with(answer), "{rest}");
    assert_eq!(story.sees(2), "Ready r0 u0 (reload abandoned: not tried after that of worker 0)");
    assert_eq!(story.order(reload()).matches("spawn ").count(), 2, "the next order tries again");
}

#[test]
fn a_forced_reload_goes_on_with_what_is_not_ready_and_with_what_ends() {
    let forced = || {
        let rolling = Rolling { width: None, force: true };
        Order::Reload { select: all(), update: Update::default(), rolling }
    };
    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(forced());
    story.spawned(2);
    let run = story.run(2);
    story.event(Event::Online { run });
    let promoted = story.due(0, "ReplacementReady");
    assert!(promoted.ends_with("reply 2: 0 Reloaded Running"), "{promoted}");

    let mut story = Story::with(cluster(1));
    story.listens(1);
    story.order(forced());
    story.spawned(2);
    let gone_on = story.exits(2, Exit::Code(1));
    assert!(gone_on.contains("keep 1.1 Retiring Stopping; drain 1.1 1600"), "{gone_on}");
    assert!(gone_on.contains("spawn 2.2 Current r2"), "{gone_on}");
}

#[test]
fn what_was_declared_is_waited_for_all_of_it() {
    let mut slow = cluster(1);
    slow.readiness.notify = true;
    slow.readiness.health = Some(Health::default());
    let mut story = Story::with(slow);
    let run = story.run(1);
    story.event(Event::Notified { run });
    story.event(Event::Probed { run, health: Ok(()) });
    story.order(reload());
    assert!(story.spawned(2).contains("probe 2.1"));
    let run = story.run(2);
    assert_eq!(story.listens(2), "keep 2.1 Replacement Starting", "listening is not what was asked for");
    assert_eq!(story.event(Event::Probed { run, health: Err("GET / was answered with 503".into()) }), "");
    let mut twin = story.due(0, "ReplacementReady");
    twin.truncate(24);
    assert_eq!(twin, "keep 2.1 Retiring Stoppi");
    let why = "it has not sent READY=1, GET / was answered with 503)";
    assert!(story.sees(0).ends_with(why), "{}", story.sees(0));

    story.order(reload());
    story.spawned(3);
    let run = story.run(3);
    assert_eq!(story.event(Event::Notified { run }), "");
    assert!(story.event(Event::Probed { run, health: Ok(()) }).ends_with("reply 3: 0 Reloaded Ready"));
}

#[test]
fn whoever_only_inherits_a_socket_must_live_for_a_while_before_it_takes_over() {
    let address = SocketAddress::Tcp { host: String::new(), port: 80 };
    let sockets = vec![SocketSpec { name: "http".to_owned(), address }];
    let mut story = Story::with(App { sockets, ..app("web") });
    assert_eq!(story.order(reload()), "spawn 2.1 Replacement r1; timer ReplacementReady 1000");
    assert_eq!(story.spawned(2), "keep 2.1 Replacement Running");
    assert_eq!(
        story.exits(2, Exit::Code(1)),
        "forget 2.1; keep 1.1 Current Ready; reply 2: 0 ReloadAbandoned Ready"
    );
    story.order(reload());
    story.spawned(3);
    assert!(story.due(0, "ReplacementReady").ends_with("reply 3: 0 Reloaded Ready"));
}

#[test]
fn a_restart_lets_a_cluster_worker_finish_what_it_has() {
    let mut polite = cluster(1);
    polite.stop.shutdown_with_message = true;
    let mut story = Story::with(polite);
    story.listens(1);
    let drained = "keep 1.1 Current Stopping; drain 1.1 1600; timer Kill 1600";
    assert_eq!(story.order(restart()), drained);
    let run = story.run(1);
    // Its channel is closed, so no message would be heard.
    let asked = "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600";
    assert_eq!(story.event(Event::Disconnected { run }), asked);
    assert_eq!(story.exits(1, Exit::Code(0)), "spawn 1.2 Current r1");
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

#[test]
fn one_that_was_not_up_is_drained_too_and_asked_at_once_if_it_holds_no_socket() {
    let mut story = Story::new();
    story.order(start(cluster(1)));
    story.spawned(1);
    assert_eq!(story.order(restart()), "keep 1.1 Current Stopping; drain 1.1 1600; timer Kill 1600");
    let run = story.run(1);
    let idle = story.event(Event::Idle { run });
    assert_eq!(idle, "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600");
    let mut story = Story::new();
    story.order(start(cluster(1)));
    story.order(restart());
    let drained = story.spawned(1);
    assert!(drained.contains("drain 1.1 1600"), "it may have been given a socket already: {drained}");
}
