//! Death at every named point: at its first pass and at a later one.

use crate::fleet::Fleet;
use crate::points::{Means, later, loses_round_robin, means};
use crate::support::wait_for;
use pmon::sys::fault::POINTS;
use std::path::Path;

/// Kills whoever passes the point next.
fn die_at(fleet: &mut Fleet, point: &str, pass: u64, means: Means) {
    let started = std::time::Instant::now();
    let plan = fleet.home.faults().join(point);
    let (lost, fired) = (fleet.rr_failed(), || !plan.exists());
    if means == Means::Save {
        // The first of all leaves no copy behind.
        fleet.save();
    }
    std::fs::write(&plan, format!("kill {pass}")).unwrap();
    for _ in 0..4 {
        fleet.provoke(means, &fired);
        if means == Means::Traffic || means == Means::Repeat {
            wait_for(&format!("somebody to pass {point}"), || {
                if fired() { Ok(()) } else { Err("nobody".into()) }
            });
        }
        if fired() {
            break;
        }
    }
    assert!(fired(), "nobody passes {point} {pass} times by {means:?}");
    let keepers = ["keeper."].iter().any(|room| point.starts_with(room));
    fleet.report.killed(if keepers { "keeper" } else { "daemon" });
    fleet.check(&format!("a death at {point}, pass {pass}"));
    if loses_round_robin(point, means) {
        fleet.report.rr_both += fleet.rr_failed() - lost;
    } else {
        let most = if point == "hub.accepted" { 4 } else { 1 };
        let lost = fleet.rr_failed() - lost;
        assert!(lost <= most, "after a death at {point}, pass {pass}: {lost} requests of `rr` failed");
    }
    println!("{point} {pass}: {:?}", started.elapsed());
}

fn run(title: &str, name: &str, mine: impl Fn(&str, Means) -> bool) {
    let only = std::env::var("PMON_FAULT_POINT").unwrap_or_default();
    let rounds = std::env::var("PMON_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut fleet = Fleet::start(title);
    for point in POINTS {
        let Some(by) = means(point).filter(|by| mine(point, *by) && point.contains(&only)) else { continue };
        eprintln!("{point}");
        for _ in 0..rounds {
            die_at(&mut fleet, point, 1, by);
        }
        if let Some((pass, by)) = later(point, by) {
            for _ in 0..rounds {
                die_at(&mut fleet, point, pass, by);
            }
        }
    }
    let report = fleet.finish();
    report.print(name);
    assert!(report.followed.is_exact(), "who follows: {:?}", report.followed);
    report.check_restarts();
    assert_eq!(report.exits, report.exits_known);
}

fn is_of_orders(means: Means) -> bool {
    match means {
        Means::Restart | Means::Reload | Means::Start | Means::Delete | Means::Exit | Means::Save => true,
        Means::Traffic | Means::Repeat | Means::Channel | Means::Update => false,
        Means::Daemon | Means::Keeper | Means::Both => false,
    }
}

#[test]
fn whoever_dies_in_the_middle_of_an_order_leaves_it_done_or_not_begun() {
    run("Deaths at named points of orders", "orders", |_, means| is_of_orders(means));
}

#[test]
fn whoever_dies_between_two_steps_of_handing_over_loses_nothing() {
    run("Deaths at named points of logs, connections, hand-over and upgrade", "points", |_, means| {
        !is_of_orders(means)
    });
}

/// A point that nothing passes is of no use. Those of this driver's table are passed by the tests above, which kill there;
/// those where a call fails (`at`) are any program's way to start and serve a fleet, or are named by the test that arms them.
#[test]
fn every_point_is_passed_by_the_program_and_known_to_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut program, mut tests) = (String::new(), String::new());
    read_all(&root.join("src"), &mut program);
    read_all(&root.join("tests"), &mut tests);
    for point in POINTS {
        let quoted = format!("\"{point}\"");
        // Once in POINTS, once where it is passed.
        assert!(program.matches(&quoted).count() >= 2, "`{point}` is nowhere in the program");
        let may_fail = program.contains(&format!("fault::at({quoted})"));
        assert!(means(point).is_some() || may_fail || tests.contains(point), "no test passes `{point}`");
    }
}

fn read_all(dir: &Path, texts: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") {
            texts.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
