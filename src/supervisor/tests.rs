//! Tables of what is given, what happens, and the effects. Publications are left out of them.

use super::effect::Effect;
use super::event::{Event, Found, Process, Ticket, TimerKey, TimerKind};
use super::fleet::Fleet;
use super::record::{Record, Role};
use super::view::Places;
use super::world::app;
use crate::model::app::{App, Env, Mode, SocketAddress, SocketSpec};
use crate::model::order::{IfPresent, Outcome, ScaleTo, Update};
use crate::model::usage::Usage;
use crate::model::{Bytes, Epoch, Exit, Order, Run, Selector, Stamp, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A fleet that is told things, in order, and what it wants done about them.
struct Story {
    fleet: Fleet,
    now: Stamp,
    tickets: u64,
    timers: BTreeMap<(u32, String), TimerKey>,
    records: BTreeMap<u64, Record>,
}

impl Story {
    fn new() -> Story {
        Story {
            fleet: Fleet::new(Places { logs_dir: "/l".into(), pids_dir: "/p".into() }),
            now: Stamp { boot_ms: 1_000_000, wall_ms: 1_700_000_000_000 },
            tickets: 0,
            timers: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Starts an app and lets all its processes come up.
    fn with(app: App) -> Story {
        let mut story = Story::new();
        story.order(start(app));
        let runs: Vec<Run> = story.records.values().map(|record| record.run).collect();
        for run in runs {
            story.event(Event::Spawned { run, pid: 100 });
            story.event(Event::Online { run });
        }
        story.pass(5_000);
        story
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
    }

    fn event(&mut self, event: Event) -> String {
        let mut effects = Vec::new();
        self.fleet.handle(event, self.now, &mut effects);
        for effect in &effects {
            match effect {
                Effect::Keep(record) | Effect::Spawn(record) => {
                    self.records.insert(record.run.entry, record.clone());
                }
                Effect::Forget { run } => {
                    self.records.remove(&run.entry);
                }
                Effect::Timer { key, .. } => {
                    let kind = format!("{:?}", key.kind);
                    self.timers.insert((key.worker.0, kind), *key);
                }
                _ => {}
            }
        }
        effects.iter().filter_map(told).collect::<Vec<_>>().join("; ")
    }

    fn order(&mut self, order: Order) -> String {
        self.tickets += 1;
        self.event(Event::Ordered { ticket: Ticket(self.tickets), order })
    }

    fn due(&mut self, worker: u32, kind: &str) -> String {
        let key = self.timers[&(worker, kind.to_owned())];
        self.event(Event::TimerDue(key))
    }

    fn exits(&mut self, entry: u64, exit: Exit) -> String {
        let run = self.run(entry);
        self.event(Event::Exited { run, exit, survivors: false })
    }

    fn run(&self, entry: u64) -> Run {
        self.records[&entry].run
    }

    fn spawned(&mut self, entry: u64) -> String {
        let run = self.run(entry);
        self.event(Event::Spawned { run, pid: 100 })
    }

    fn listens(&mut self, entry: u64) -> String {
        let run = self.run(entry);
        self.event(Event::Listening { run, address: ":::80".to_owned() })
    }

    /// What people see of a worker.
    fn sees(&mut self, id: u32) -> String {
        let views = self.fleet.views();
        let view = views.iter().find(|view| view.id.0 == id).expect("the worker is there");
        format!("{:?} r{} u{} ({})", view.state, view.restarts, view.unstable_restarts, view.reason)
    }
}

/// One effect in a few words.
fn told(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Keep(r) => format!("keep {} {:?} {:?}", r.run, r.role, r.state),
        Effect::Forget { run } => format!("forget {run}"),
        Effect::Spawn(r) => format!("spawn {} {:?} r{}", r.run, r.role, r.restarts),
        Effect::Signal { run, signal, tree } => {
            format!("signal {run} {signal}{}", if *tree { " tree" } else { "" })
        }
        Effect::SayShutdown { run } => format!("say shutdown {run}"),
        Effect::Drain { run, grace } => format!("drain {run} {}", grace.as_millis()),
        Effect::CloseListeners { app } => format!("close {app}"),
        Effect::Timer { key, after } => format!("timer {:?} {}", key.kind, after.as_millis()),
        Effect::Publish(_) => return None,
        Effect::Reply { outcome: Outcome::Refused(refusal), .. } => format!("refuse: {refusal}"),
        Effect::Reply { ticket, outcome: Outcome::Done { touched } } => {
            let each: Vec<_> =
                touched.iter().map(|t| format!("{} {:?} {:?}", t.id, t.deed, t.state)).collect();
            format!("reply {}: {}", ticket.0, each.join(", "))
        }
        Effect::End => "end".to_owned(),
    })
}

fn start(app: App) -> Order {
    Order::Start { apps: vec![app], if_present: IfPresent::Refuse }
}

fn all() -> Selector {
    Selector::all()
}

fn stop() -> Order {
    Order::Stop { select: all() }
}

fn restart() -> Order {
    Order::Restart { select: all(), update: Update::default() }
}

fn reload() -> Order {
    Order::Reload { select: all(), update: Update::default() }
}

fn delete() -> Order {
    Order::Delete { select: all() }
}

fn cluster(instances: u32) -> App {
    App { mode: Mode::Cluster, instances, ..app("web") }
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
    let failed = Event::SpawnFailed { run: story.run(1), what: "exec `/x`: no such file".to_owned() };
    assert_eq!(story.event(failed), "keep 1.1 Current Failed; close web; reply 1: 0 Launched Failed");
    assert_eq!(story.sees(0), "Failed r0 u0 (failed to exec `/x`: no such file)");
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
    assert_eq!(story.order(stop()), "keep 1.2 Current Down; close web; reply 2: 0 Stopped Down");
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
    assert_eq!(story.order(stop()), "keep 1.1 Current Down; reply 3: 0 Untouched Down");
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
    let why = "Ready r0 u0 (reload abandoned: the new process was not ready within 3000 ms)";
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
                  keep 3.1 Current Stopping; signal 3.1 2 tree; timer Kill 1600";
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
    let mut story = Story::with(delayed);
    let ended =
        |at| move |record: &Record| Process::Ended { run: record.run, pid: 100, exit: Exit::Code(1), at };
    let at = story.now;
    story.pass(500);
    let (next, effects) = attached(&story, ended(at));
    assert_eq!(effects, "keep 1.1 Current Backoff; timer Start 200", "the delay counts from the end");
    let (mut third, effects) = attached(&next, ended(at));
    assert_eq!(effects, "timer Start 200", "it was handled, only not acknowledged");
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
    assert_eq!(effects, "keep 2.1 Retiring Stopping; signal 2.1 2 tree; timer RetiringKill 1600");
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
    assert_eq!(effects, "keep 1.1 Retiring Stopping; signal 1.1 2 tree; timer RetiringKill 1600");
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
fn events_about_nobody_change_nothing() {
    let mut story = Story::with(app("web"));
    let run = Run { entry: 1, generation: 9 };
    let exit = Exit::Code(1);
    let key = TimerKey { worker: WorkerId(7), epoch: Epoch(1), kind: TimerKind::Start };
    for event in [
        Event::Spawned { run, pid: 1 },
        Event::SpawnFailed { run, what: String::new() },
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
