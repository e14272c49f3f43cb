//! `pmon kill` whose daemon or keeper dies: nothing is left of anything, and who gave the order is told what came of it.

use crate::dice::Dice;
use crate::support::{TestHome, wait_for};
use serde_json::json;

/// Where somebody dies, and at which pass.
const POINTS: &[(&str, u64)] = &[
    ("turn.handled", 1),
    ("turn.record", 1),
    ("turn.kept", 1),
    ("turn.deed", 2),
    ("act.signalled", 1),
    ("act.signalled", 3),
    ("act.exited", 1),
    ("act.over", 1),
    ("owner.forget", 2),
    ("turn.unacknowledged", 2),
    ("keeper.received", 2),
    ("keeper.handled", 3),
    ("keeper.reaped", 1),
    ("keeper.told_exited", 2),
];

/// So many of them without `PMON_FAULT_ALL`.
const SAMPLE: usize = 5;

fn shut_down(point: &str, pass: u64) {
    let home = TestHome::new();
    std::fs::create_dir(home.faults()).unwrap();
    home.file("rest.sh", "exec sleep 100000\n");
    home.file("slow.sh", "trap 'sleep 0.2; exit 0' INT TERM; while :; do sleep 0.02; done\n");
    let apps = json!({ "apps": [
        { "name": "rest", "script": "rest.sh", "instances": 3 },
        { "name": "slow", "script": "slow.sh", "instances": 2 },
    ] });
    home.file("apps.json", &apps.to_string());
    home.ok(&["start", "apps.json"]);
    let plan = home.faults().join(point);
    std::fs::write(&plan, format!("kill {pass}")).unwrap();
    let ran = home.run(&["kill"]);
    let fired = !plan.exists();
    eprintln!(
        "kill, death at {point} {pass}: {}, code {}",
        if fired { "died" } else { "not passed" },
        ran.code
    );
    drop(std::fs::remove_file(&plan));
    if ran.code != 0 {
        assert!(fired && !ran.err.trim().is_empty(), "`kill` failed without a reason: {ran:?}");
        home.ok(&["kill"]);
    }
    wait_for(&format!("nothing to be left after a shutdown with a death at {point} {pass}"), || {
        let left = home.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} {ran:?}")) }
    });
}

#[test]
fn whoever_dies_in_the_middle_of_a_shutdown_nothing_is_left() {
    let mut points = POINTS.to_vec();
    let mut dice = Dice::new("whoever_dies_in_the_middle_of_a_shutdown_nothing_is_left");
    if std::env::var_os("PMON_FAULT_ALL").is_none() {
        dice.shuffle(&mut points);
        points.truncate(SAMPLE);
    }
    points.into_iter().for_each(|(point, pass)| shut_down(point, pass));
}
