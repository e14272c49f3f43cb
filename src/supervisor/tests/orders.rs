//! What orders do, and when they are answered.

use super::story::{Story, all, cluster, delete, restart, start, stop};
use super::world::app;
use crate::model::app::{App, Env};
use crate::model::order::{IfPresent, ScaleTo};
use crate::model::{Exit, Order, Selector};
use std::sync::Arc;

#[test]
fn a_restart_stops_counts_and_starts() {
    let mut story = Story::with(app("web"));
    assert_eq!(story.order(restart()), "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600");
    assert_eq!(story.exits(1, Exit::Code(0)), "spawn 1.2 Current r1");
    assert_eq!(story.spawned(1), "keep 1.2 Current Running; reply 2: 0 Restarted Running");
    assert_eq!(story.sees(0), "Running r1 u0 (restarted on request)");
}

#[test]
fn the_later_order_wins_and_both_are_answered_with_what_is_true() {
    let mut story = Story::with(app("web"));
    story.order(stop());
    assert_eq!(story.order(restart()), "keep 1.1 Current Stopping");
    assert_eq!(story.exits(1, Exit::Code(0)), "spawn 1.2 Current r0; reply 2: 0 Untouched Starting");
    assert_eq!(story.spawned(1), "keep 1.2 Current Running; reply 3: 0 Started Running");
    story.order(restart());
    story.order(stop());
    let gone = story.exits(1, Exit::Code(0));
    assert_eq!(gone, "keep 1.2 Current Down; close web; reply 4: 0 Restarted Down; reply 5: 0 Stopped Down");
}

#[test]
fn delete_forgets_and_ids_begin_anew_when_nobody_is_left() {
    let mut story = Story::with(app("web"));
    story.order(delete());
    let gone = "keep 1.1 Current Down; forget 1.1; close web; reply 2: 0 Deleted Down";
    assert_eq!(story.exits(1, Exit::Code(0)), gone);
    assert_eq!(story.order(start(app("web"))), "spawn 2.1 Current r0");
    assert_eq!(story.sees(0), "Starting r0 u0 (started)");
}

#[test]
fn ports_are_kept_while_one_instance_is_left() {
    let mut story = Story::with(App { instances: 2, ..app("web") });
    story.order(stop());
    assert_eq!(story.exits(1, Exit::Code(0)), "keep 1.1 Current Down");
    let last = "keep 2.1 Current Down; close web; reply 2: 0 Stopped Down, 1 Stopped Down";
    assert_eq!(story.exits(2, Exit::Code(0)), last);
}

#[test]
fn scaling_fills_holes_and_dismisses_the_newest() {
    let mut counted = cluster(2);
    counted.increment_var = Some("PORT".to_owned());
    counted.env = Env([("PORT".to_owned(), "3000".to_owned())].into());
    let mut story = Story::with(counted);
    let scale = |to| Order::Scale { name: "web".to_owned(), to };
    assert_eq!(story.order(scale(ScaleTo::To(2))), "refuse: Nothing to do");
    assert_eq!(story.order(scale(ScaleTo::By(1))), "spawn 3.1 Current r0");
    let ports: Vec<_> = story.records.values().map(|r| r.app.env.0["PORT"].clone()).collect();
    assert_eq!(ports, ["3000", "3001", "3002"]);
    story.spawned(3);
    let down = story.order(scale(ScaleTo::To(1)));
    let newest = "keep 2.1 Current Stopping; drain 2.1 1600; timer Kill 1600; \
                  keep 3.1 Current Stopping; drain 3.1 1600; timer Kill 1600";
    assert_eq!(down, newest);
    story.exits(3, Exit::Code(0));
    let gone = "keep 2.1 Current Down; forget 2.1; reply 4: 1 Deleted Down, 2 Deleted Down";
    assert!(story.exits(2, Exit::Code(0)).ends_with(gone));
    story.order(scale(ScaleTo::To(2)));
    assert_eq!(story.records[&4].instance, 1);
    let unknown = story.order(Order::Scale { name: "nope".to_owned(), to: ScaleTo::To(2) });
    assert_eq!(unknown, "refuse: Process or Namespace nope not found");
}

#[test]
fn what_a_start_does_with_a_name_that_is_taken() {
    let mut story = Story::with(app("web"));
    let again = |if_present| Order::Start { apps: vec![app("web")], if_present };
    let refused = "refuse: Script already launched, add -f option to force re-execution";
    assert_eq!(story.order(again(IfPresent::Refuse)), refused);
    assert_eq!(story.order(again(IfPresent::Add)), "spawn 2.1 Current r0");
    let both = "keep 1.1 Current Stopping; signal 1.1 2 tree; timer Kill 1600; keep 2.1 Current Stopping";
    assert_eq!(story.order(again(IfPresent::Restart)), both);
    let mut story = Story::with(app("web"));
    story.order(stop());
    story.exits(1, Exit::Code(0));
    assert_eq!(story.order(again(IfPresent::Refuse)), "spawn 1.2 Current r0");
}

#[test]
fn a_new_file_brings_new_settings_and_merges_the_environment() {
    let env =
        |pairs: &[(&str, &str)]| Env(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    let mut story = Story::with(App { env: env(&[("A", "1"), ("B", "1")]), instances: 2, ..app("web") });
    let mut next = App { env: env(&[("B", "2")]), instances: 7, ..app("web") };
    next.stop.signal = 15;
    story.order(Order::Start { apps: vec![next], if_present: IfPresent::Restart });
    let app = &story.records[&1].app;
    assert_eq!((&app.env, app.stop.signal, app.instances), (&env(&[("A", "1"), ("B", "2")]), 15, 2));
    assert_eq!(story.records.len(), 2, "the number of instances stays");
}

#[test]
fn autostart_off_only_registers() {
    let mut story = Story::new();
    let reply = story.order(start(App { autostart: false, ..app("web") }));
    assert_eq!(reply, "keep 1.1 Current Down; reply 1: 0 Launched Down");
    assert_eq!(story.order(restart()), "spawn 1.2 Current r0");
}

#[test]
fn a_dump_comes_back_but_for_names_that_are_there() {
    let mut story = Story::with(App { instances: 2, ..app("web") });
    story.order(stop());
    story.exits(1, Exit::Code(0));
    story.exits(2, Exit::Code(0));
    let saved = story.fleet.dump();
    let kept = story.order(Order::Resurrect { saved: saved.clone() });
    assert_eq!(kept, "reply 3: 0 Untouched Down, 1 Untouched Down");
    let mut other = Story::new();
    let back = other.order(Order::Resurrect { saved });
    assert_eq!(
        back,
        "keep 1.1 Current Down; keep 2.1 Current Down; reply 1: 0 Launched Down, 1 Launched Down"
    );
}

#[test]
fn reset_and_signals_are_done_at_once() {
    let mut story = Story::with(app("web"));
    story.exits(1, Exit::Signal(9));
    story.spawned(1);
    let reset = story.order(Order::Reset { select: all() });
    assert_eq!(reset, "keep 1.2 Current Running; reply 2: 0 Reset Running");
    assert_eq!(story.sees(0), "Running r0 u0 (SIGKILL)");
    let signal = story.order(Order::Signal { select: all(), signal: 10 });
    assert_eq!(signal, "signal 1.2 10; reply 3: 0 Signalled Running");
    let unknown = Order::Reset { select: Selector::new("99", "/") };
    assert_eq!(story.order(unknown), "refuse: 99 : id unknown");
}

#[test]
fn a_shutdown_stops_all_answers_and_ends() {
    let mut story = Story::with(app("web"));
    story.order(Order::Shutdown);
    assert!(story.fleet.is_ending());
    assert_eq!(story.order(stop()), "refuse: the daemon is shutting down");
    let last = "keep 1.1 Current Down; forget 1.1; close web; reply 2: 0 Deleted Down; end";
    assert_eq!(story.exits(1, Exit::Code(0)), last);
    assert_eq!(Story::new().order(Order::Shutdown), "reply 1: ; end");
}

#[test]
fn views_of_workers_that_did_not_change_keep_their_arc() {
    let mut story = Story::with(App { instances: 2, ..app("web") });
    let before = story.fleet.views();
    story.exits(1, Exit::Code(1));
    let after = story.fleet.views();
    assert!(!Arc::ptr_eq(&before[0], &after[0]) && Arc::ptr_eq(&before[1], &after[1]));
    assert_eq!(after[0].out_file.as_deref(), Some("/l/web-out-0.log"));
}

#[test]
fn instances_of_one_start_share_its_unique_id() {
    let mut story = Story::with(App { instances: 2, ..app("web") });
    story.order(start(app("api")));
    let ids: Vec<_> = story.records.values().map(|record| record.unique_id.clone()).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    assert_eq!(ids[0].split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
}
