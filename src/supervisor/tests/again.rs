//! Daemons that die over an order, after any number of its records, and the next one that is asked it again.

use super::story::{Story, all, cluster, start};
use super::world::app;
use crate::model::app::App;
use crate::model::order::{Rolling, ScaleTo, Update};
use crate::model::{Exit, Order, State};
use crate::supervisor::effect::Effect;
use crate::supervisor::event::{Event, Found, Process, Ticket};
use crate::supervisor::record::Record;
use std::collections::BTreeMap;

fn keyed(order: Order) -> Order {
    Order::Keyed { key: 7, order: Box::new(order) }
}

/// The next daemon's story, after `records`; whoever lived lives.
fn after(records: &BTreeMap<u64, Record>) -> Story {
    let mut next = Story::new();
    next.now = next.now.after(std::time::Duration::from_secs(10));
    let found = records.values().map(|record| {
        let lives = !matches!(record.state, State::Down) && record.run.generation > 0;
        let process = if lives { Process::Alive { pid: 100, run: record.run } } else { Process::None };
        Found { record: record.clone(), process }
    });
    let found: Vec<Found> = found.collect();
    next.records.clone_from(records);
    next.event(Event::Attached { found });
    next
}

/// For each number of records that the first daemon lived to write: the next one's story, asked again.
fn cut(before: impl Fn() -> Story, order: &Order, then: impl Fn(usize, Story, String)) {
    for count in 0.. {
        let mut story = before();
        let mut effects = Vec::new();
        let mut records = story.records.clone();
        let ordered = Event::Ordered { ticket: Ticket(99), order: keyed(order.clone()) };
        story.fleet.handle(ordered, story.now, &mut effects);
        let kept = effects.iter().filter_map(|effect| match effect {
            Effect::Keep(record) | Effect::Spawn(record) => Some(record.clone()),
            _ => None,
        });
        let kept: Vec<Record> = kept.collect();
        records.extend(kept.iter().take(count).map(|record| (record.run.entry, record.clone())));
        let mut next = after(&records);
        let told = next.order(keyed(order.clone()));
        then(count, next, told);
        if count >= kept.len() {
            return;
        }
    }
}

/// Each process that is asked to end does, each new one comes up, until nothing changes.
fn settle(story: &mut Story) -> String {
    let mut told = String::new();
    for _ in 0..20 {
        let records: Vec<Record> = story.records.values().cloned().collect();
        for record in records {
            told = match record.state {
                State::Stopping => story.exits(record.run.entry, Exit::Code(0)),
                State::Starting => story.spawned(record.run.entry),
                _ => continue,
            } + &told;
        }
    }
    told
}

fn three() -> Story {
    Story::with(App { instances: 3, ..app("web") })
}

#[test]
fn a_start_makes_as_many_as_were_wanted() {
    let wanted = App { instances: 3, ..app("web") };
    cut(Story::new, &start(wanted), |count, mut next, told| {
        assert!(!told.contains("refuse"), "{count}: {told}");
        settle(&mut next);
        assert_eq!(next.records.len(), 3, "{count}");
        assert!((0..3).all(|id| next.sees(id).starts_with("Running r0")), "{count}");
    });
}

#[test]
fn a_restart_restarts_each_once_and_answers_for_all() {
    let order = Order::Restart { select: all(), update: Update::default() };
    cut(three, &order, |count, mut next, told| {
        let told = format!("{}{told}", settle(&mut next));
        assert!((0..3).all(|id| next.sees(id).starts_with("Running r1")), "{count}: {told}");
        assert!(
            told.contains("reply 1: 0 Restarted Running, 1 Restarted Running, 2 Restarted Running"),
            "{told}"
        );
    });
}

#[test]
fn a_stop_and_a_delete_are_finished() {
    cut(three, &Order::Stop { select: all() }, |_, mut next, told| {
        let told = format!("{}{told}", settle(&mut next));
        assert!(told.contains("reply 1: 0 Stopped Down, 1 Stopped Down, 2 Stopped Down"), "{told}");
    });
    cut(three, &Order::Delete { select: all() }, |_, mut next, told| {
        let told = format!("{}{told}", settle(&mut next));
        assert!(told.contains("2 Deleted Down") && next.records.is_empty(), "{told}");
    });
}

#[test]
fn a_scale_by_so_many_adds_so_many() {
    let order = Order::Scale { name: "web".to_owned(), to: ScaleTo::By(2) };
    cut(three, &order, |count, mut next, told| {
        settle(&mut next);
        assert_eq!(next.records.len(), 5, "{count}: {told}");
    });
}

#[test]
fn a_scale_down_is_answered_for_those_that_a_former_daemon_dismissed() {
    let order = Order::Scale { name: "web".to_owned(), to: ScaleTo::To(1) };
    cut(three, &order, |count, mut next, told| {
        assert!(!told.contains("refuse") && !told.contains("reply"), "{count}: {told}");
        let told = settle(&mut next);
        assert!(told.contains("reply 1: 1 Deleted Down, 2 Deleted Down"), "{count}: {told}");
        assert_eq!(next.records.len(), 1, "{count}: {told}");
    });
}

#[test]
fn a_reload_goes_on_with_those_that_were_not_replaced() {
    let order = Order::Reload { select: all(), update: Update::default(), rolling: Rolling::default() };
    let mut story = Story::with(cluster(3));
    (1..=3).for_each(|entry| drop(story.listens(entry)));
    story.order(keyed(order.clone()));
    story.spawned(4);
    story.listens(4);
    // The first has been replaced, another one is under way.
    let records = story.records.clone();
    assert_eq!(records[&4].ordered.map(|ordered| ordered.key), Some(7));
    let mut next = after(&records);
    let told = next.order(keyed(order));
    assert!(!told.contains("refuse"), "{told}");
    for _ in 0..20 {
        let records: Vec<Record> = next.records.values().cloned().collect();
        for record in records {
            match record.state {
                State::Starting => {
                    next.spawned(record.run.entry);
                    next.listens(record.run.entry);
                }
                State::Stopping => drop(next.exits(record.run.entry, Exit::Code(0))),
                _ => {}
            }
        }
    }
    assert!(
        (0..3).all(|id| next.sees(id).starts_with("Ready r1")),
        "{:?}",
        [0, 1, 2].map(|id| next.sees(id))
    );
}
