//! Generated sequences: orders, crashes, lost words, absurd reports, time, and daemons that die at any
//! effect. The oracle holds after each turn (in `Fleet::handle`), the world checks every effect, and
//! once all is quiet everything is as it was asked for.

use super::world::{World, app};
use crate::model::app::{App, Env, Mode, SocketAddress, SocketSpec};
use crate::model::order::{IfPresent, Rolling, ScaleTo, Update};
use crate::model::policy::Health;
use crate::model::{Bytes, Exit, Order, Selector};
use proptest::prelude::*;
use std::time::Duration;

/// One step of a sequence.
#[derive(Debug, Clone)]
enum Step {
    Start(usize, usize),
    Verb(usize, usize),
    Scale(usize, i32),
    Crash(usize, usize),
    Say(usize, usize),
    Swell(usize),
    Deliver(usize),
    CatchUp,
    Advance(u64),
    Absurd(u64, u64, usize),
    KillDaemon,
    DieSoon(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..1000_usize;
    prop_oneof![
        3 => (prop_oneof![0..9_usize, Just(3), Just(5)], n.clone()).prop_map(|(a, b)| Step::Start(a, b)),
        5 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Verb(a, b)),
        1 => (n.clone(), -3..4_i32).prop_map(|(a, b)| Step::Scale(a, b)),
        3 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Crash(a, b)),
        6 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Say(a, b)),
        1 => n.clone().prop_map(Step::Swell),
        10 => n.clone().prop_map(Step::Deliver),
        5 => Just(Step::CatchUp),
        5 => (0..4000_u64).prop_map(Step::Advance),
        1 => (0..12_u64, 0..5_u64, n.clone()).prop_map(|(a, b, c)| Step::Absurd(a, b, c)),
    ]
}

fn step_with_death() -> impl Strategy<Value = Step> {
    prop_oneof![
        15 => step(),
        1 => Just(Step::KillDaemon),
        2 => (0..40_usize).prop_map(Step::DieSoon),
    ]
}

/// Apps of all kinds.
pub(super) fn kind(n: usize) -> App {
    let ms = Duration::from_millis;
    let cluster = |name| App { mode: Mode::Cluster, ..app(name) };
    match n {
        0 => app("plain"),
        1 => {
            let mut delayed = App { instances: 2, ..app("delayed") };
            delayed.restart.restart_delay = ms(700);
            delayed
        }
        2 => {
            let mut growing = app("growing");
            growing.restart.exp_backoff = ms(100);
            growing.restart.max_restarts = 3;
            growing.stop.treekill = false;
            growing
        }
        3 => App { instances: 5, ..cluster("web") },
        4 => {
            let mut polite = App { instances: 2, ..cluster("polite") };
            polite.readiness.wait_ready = true;
            polite.readiness.health = Some(Health::default());
            polite.stop.shutdown_with_message = true;
            polite
        }
        5 => cluster("silent"),
        6 => {
            let mut once = app("once");
            once.restart.autorestart = false;
            once.readiness.wait_ready = true;
            once.readiness.notify = true;
            once
        }
        7 => {
            let address = SocketAddress::Tcp { host: String::new(), port: 80 };
            let sockets = vec![SocketSpec { name: "http".to_owned(), address }];
            let mut inherits = App { sockets, increment_var: Some("PORT".to_owned()), ..app("inherits") };
            inherits.limits.max_memory = Some(Bytes(1 << 20));
            inherits
        }
        _ => App { autostart: false, ..app("later") },
    }
}

fn order(verb: usize, which: usize, ids: &[u32]) -> Order {
    let text = match which % 5 {
        0 => "all".to_owned(),
        1 => kind(which % 9).name,
        _ => ids.get(which % ids.len().max(1)).map_or_else(|| "0".to_owned(), u32::to_string),
    };
    let select = Selector::new(text, "/");
    let env = which.is_multiple_of(2).then(|| Env([("N".to_owned(), which.to_string())].into()));
    let update = Update { env };
    match verb % 8 {
        0 | 1 => Order::Stop { select },
        2 | 3 => Order::Restart { select, update },
        4 | 5 => {
            let rolling =
                Rolling { width: which.is_multiple_of(3).then_some(3), force: which.is_multiple_of(7) };
            Order::Reload { select, update, rolling }
        }
        6 => Order::Delete { select },
        _ => Order::Signal { select, signal: 10 },
    }
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Start(a, b) => {
            let how = [
                IfPresent::Refuse,
                IfPresent::Restart,
                IfPresent::Reload,
                IfPresent::ReloadAnyway,
                IfPresent::Add,
            ];
            world.order(Order::Start { apps: vec![kind(a)], if_present: how[b % how.len()] });
        }
        Step::Verb(a, b) => {
            let order = order(a, b, &world.ids());
            world.order(order);
        }
        Step::Scale(a, by) => world.order(Order::Scale { name: kind(a % 9).name, to: ScaleTo::By(by) }),
        Step::Crash(a, b) => {
            let exits = [Exit::Code(1), Exit::Code(0), Exit::Signal(9), Exit::Unknown];
            world.crash(a, exits[b % exits.len()]);
        }
        Step::Say(a, b) => world.say(a, b),
        Step::Swell(a) => world.swell(a),
        Step::Deliver(a) => world.deliver(a),
        Step::CatchUp => world.catch_up(),
        Step::Advance(ms) => world.advance(ms),
        Step::Absurd(a, b, c) => world.absurd(a, b, c),
        Step::KillDaemon => world.kill_daemon(),
        Step::DieSoon(after) => world.die_soon(after),
    }
    world.forget_counts();
}

fn run(seed: u64, steps: Vec<Step>) -> World {
    let mut world = World::new(seed);
    for step in steps {
        take(&mut world, step);
    }
    world.settle();
    world.assert_quiet();
    world
}

/// A day in the life of a fleet, with a bit of everything; the daemon dies with the effect `dies_at`.
fn day(seed: u64, dies_at: Option<usize>) -> World {
    let mut world = World::new(seed);
    world.dies_at = dies_at;
    let apps: Vec<App> = (0..9).map(kind).collect();
    world.order(Order::Start { apps: apps.clone(), if_present: IfPresent::Add });
    world.catch_up();
    world.advance(4000);
    (0..5).for_each(|n| world.crash(n * 3, Exit::Code(1)));
    world.catch_up();
    let (update, rolling) = (Update::default(), Rolling::default());
    world.order(Order::Reload { select: Selector::all(), update, rolling });
    world.catch_up();
    world.crash(4, Exit::Signal(9));
    world.advance(5000);
    world.catch_up();
    world.order(Order::Start { apps, if_present: IfPresent::Restart });
    world.order(Order::Scale { name: "web".to_owned(), to: ScaleTo::By(-2) });
    world.catch_up();
    world.advance(1700);
    world.catch_up();
    world.swell(12);
    world.order(Order::Stop { select: Selector::new("silent", "/") });
    world.order(Order::Delete { select: Selector::new("delayed", "/") });
    world.advance(1700);
    world.catch_up();
    world
}

#[test]
fn a_daemon_may_die_at_every_single_effect_of_a_day() {
    for seed in 0..3 {
        let effects = day(seed, None).effects;
        assert!(effects > 200, "a day has only {effects} effects");
        for dies_at in 1..=effects {
            println!("seed {seed}, the daemon dies with effect {dies_at}");
            let mut world = day(seed, Some(dies_at));
            world.settle();
            world.assert_quiet();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_is_answered_once_and_what_was_asked_comes_true(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        run(seed, steps);
    }

    #[test]
    fn a_daemon_that_dies_at_any_effect_loses_no_worker_and_counts_each_end_once(
        seed in any::<u64>(),
        steps in prop::collection::vec(step_with_death(), 0..120),
    ) {
        run(seed, steps);
    }

    #[test]
    fn a_shutdown_leaves_no_process_and_is_the_last_answer(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..80),
        then in prop::collection::vec(step(), 0..20),
    ) {
        let mut world = World::new(seed);
        for step in steps {
            take(&mut world, step);
        }
        world.order(Order::Shutdown);
        for step in then {
            take(&mut world, step);
        }
        world.settle();
        prop_assert!(world.ended);
        prop_assert_eq!(world.mortals(), 0);
    }
}
