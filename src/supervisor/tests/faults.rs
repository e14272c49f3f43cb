//! Scripted stories, and each of them again for every effect of it and everything that can go wrong with that one:
//! then orders are answered, once and truly, and what was asked comes true.

use super::sequences::kind;
use super::world::{Fault, World};
use crate::model::order::{IfPresent, Rolling, ScaleTo, Update};
use crate::model::{App, Desired, Exit, Order, Reason, Selector, State};

type Script = fn(&mut World);

fn select(name: &str) -> Selector {
    Selector::new(name.to_owned(), "/")
}

fn start(world: &mut World, apps: Vec<App>) {
    world.order(Order::Start { apps, if_present: IfPresent::Refuse });
    world.catch_up();
    world.advance(4_000);
    world.catch_up();
}

fn restart(world: &mut World, name: &str) {
    world.order(Order::Restart { select: select(name), update: Update::default() });
}

fn reload(world: &mut World, name: &str, width: Option<u32>, force: bool) {
    let (update, rolling) = (Update::default(), Rolling { width, force });
    world.order(Order::Reload { select: select(name), update, rolling });
}

fn pass(world: &mut World) {
    world.catch_up();
    world.advance(2_000);
    world.catch_up();
}

const STORIES: [(&str, Script); 14] = [
    ("start and stop", |world| {
        start(world, vec![kind(0), kind(3)]);
        world.order(Order::Stop { select: Selector::all() });
        pass(world);
    }),
    ("start what is stopped", |world| {
        start(world, vec![kind(0)]);
        world.order(Order::Stop { select: Selector::all() });
        pass(world);
        start(world, vec![kind(0)]);
    }),
    ("restart", |world| {
        start(world, vec![kind(1), kind(5)]);
        restart(world, "all");
        pass(world);
    }),
    ("rolling reload", |world| {
        start(world, vec![kind(3)]);
        reload(world, "web", Some(3), false);
        pass(world);
    }),
    ("reload one at a time", |world| {
        start(world, vec![kind(4)]);
        reload(world, "polite", Some(1), false);
        pass(world);
    }),
    ("reload regardless", |world| {
        start(world, vec![kind(4)]);
        reload(world, "polite", Some(1), true);
        pass(world);
    }),
    ("reload of what inherits sockets", |world| {
        start(world, vec![kind(7)]);
        reload(world, "inherits", None, false);
        pass(world);
    }),
    ("scale up and down", |world| {
        start(world, vec![kind(3)]);
        world.order(Order::Scale { name: "web".to_owned(), to: ScaleTo::By(2) });
        pass(world);
        world.order(Order::Scale { name: "web".to_owned(), to: ScaleTo::To(3) });
        pass(world);
    }),
    ("delete", |world| {
        start(world, vec![kind(0), kind(4)]);
        world.order(Order::Delete { select: Selector::all() });
        pass(world);
    }),
    ("a crash loop", |world| {
        start(world, vec![kind(2)]);
        for _ in 0..3 {
            world.crash(0, Exit::Code(1));
            world.catch_up();
            world.advance(400);
        }
        pass(world);
    }),
    ("too much memory", |world| {
        start(world, vec![kind(7)]);
        world.swell(0);
        pass(world);
    }),
    ("orders as cron gives them, over each other", |world| {
        start(world, vec![kind(0), kind(5)]);
        restart(world, "plain");
        restart(world, "plain");
        pass(world);
        reload(world, "silent", None, false);
        restart(world, "silent");
        pass(world);
    }),
    ("several orders at once", |world| {
        start(world, vec![kind(0), kind(1), kind(3)]);
        reload(world, "web", None, false);
        restart(world, "delayed");
        world.order(Order::Stop { select: select("plain") });
        world.order(Order::Scale { name: "web".to_owned(), to: ScaleTo::By(-1) });
        world.order(Order::Reset { select: Selector::all() });
        world.order(Order::Signal { select: select("delayed"), signal: 10 });
        world.order(Order::Delete { select: select("delayed") });
        pass(world);
    }),
    ("the end of everything", |world| {
        start(world, vec![kind(0), kind(4), kind(3)]);
        reload(world, "web", None, false);
        world.order(Order::Shutdown);
        world.order(Order::Restart { select: Selector::all(), update: Update::default() });
        pass(world);
    }),
];

fn tell(script: Script, fault: Option<(usize, Fault)>) -> World {
    let mut world = World::new(1);
    world.tame = true;
    world.fault = fault;
    script(&mut world);
    world.settle();
    world.assert_quiet();
    world
}

/// What a fault may leave behind, once it is over.
fn assert_as_wished(world: &World, fault: Fault) {
    for worker in world.fleet.workers.values() {
        let record = &worker.current.record;
        let excused = match (&record.reason, fault) {
            (Reason::SpawnFailed { what }, Fault::Unmade(said, may_pass)) => !may_pass && what == said,
            // One end more than the app's row of unstable ends allows.
            (Reason::TooManyUnstable { .. }, Fault::EndsEarly | Fault::EndsTwice | Fault::GoneBefore) => true,
            (Reason::TooManyUnstable { .. }, _) => record.app.name == "growing",
            _ => false,
        };
        if record.desired == Desired::Up && !excused {
            assert!(
                record.state.is_online(),
                "worker {} is {:?}: {}",
                worker.id,
                record.state,
                record.reason
            );
        }
        assert_ne!(record.reason, Reason::Unkillable, "everybody can be killed");
        assert!(record.state != State::Backoff, "nothing is in its way any more");
    }
}

#[test]
fn whatever_goes_wrong_with_whichever_effect_every_order_is_answered_truly_and_comes_true() {
    let mut runs = 0;
    for (name, script) in STORIES {
        let plain = tell(script, None);
        assert!(plain.effects > 10, "{name} has only {} effects", plain.effects);
        for (n, faults) in plain.faults.iter().enumerate() {
            for fault in faults {
                println!("{name}: {fault:?} at effect {}", n + 1);
                let world = tell(script, Some((n + 1, *fault)));
                if name == "the end of everything" {
                    // A shutdown that the daemon did not live to hear of is the shell's to know.
                    let dead = matches!(fault, Fault::DiesBefore | Fault::DiesAfter);
                    assert!(world.ended || dead, "it does not end");
                } else {
                    assert_as_wished(&world, *fault);
                }
                runs += 1;
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 2_000, "only {runs} runs");
}
