//! Death at every named point: at its first pass and at a later one.

use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::points::{ALSO, Means, later, means};
use crate::support::pause_for;
use pmon::sys::fault::POINTS;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the sample of each test may take, without `PMON_FAULT_ALL`.
const SAMPLE: Duration = Duration::from_secs(25);

/// A death: where, at which pass, and how one comes there.
type Death = (&'static str, u64, Means);

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
            // A daemon that died between two batches has left none to repeat: then another has to.
            let asked = std::time::Instant::now();
            while !fired() && asked.elapsed() < std::time::Duration::from_secs(10) {
                pause_for(std::time::Duration::from_millis(20));
            }
        }
        if fired() {
            break;
        }
    }
    assert!(fired(), "nobody passes {point} {pass} times by {means:?}");
    let keepers = ["keeper."].iter().any(|room| point.starts_with(room));
    fleet.report.killed(if keepers { "keeper" } else { "daemon" });
    fleet.check(&format!("a death at {point}, pass {pass}"));
    // Each of the two clients may have had one that was accepted and not yet passed on.
    let lost = fleet.rr_failed() - lost;
    assert!(lost <= 2, "after a death at {point}, pass {pass}: {lost} requests of `rr` failed");
    println!("{point} {pass} by {means:?}: {:?}, rr lost {lost}", started.elapsed());
}

/// All deaths of a test.
fn deaths(mine: impl Fn(Means) -> bool) -> Vec<Death> {
    let first = POINTS.iter().filter_map(|point| Some((*point, 1, means(point)?)));
    let later = POINTS.iter().filter_map(|point| {
        let (pass, by) = later(point, means(point)?)?;
        Some((*point, pass, by))
    });
    first.chain(later).chain(ALSO.iter().copied()).filter(|(.., by)| mine(*by)).collect()
}

/// A variable's number.
fn wish(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A sample, whose seed is printed; then every point of this test that nobody has passed meanwhile. `PMON_FAULT_ALL`: all.
fn run(title: &str, name: &str, mine: impl Fn(Means) -> bool) {
    let only = std::env::var("PMON_FAULT_POINT").ok();
    let rounds = wish("PMON_FAULT_ROUNDS");
    let all = ["PMON_FAULT_ALL", "PMON_FAULT_POINT", "PMON_FAULT_ROUNDS", "PMON_FAULT_MINUTES"];
    let all = all.iter().any(|name| std::env::var_os(name).is_some());
    let mut dice = Dice::new(title);
    let wanted = |point: &str| only.as_ref().is_none_or(|only| point.contains(only.as_str()));
    let mut deaths: Vec<Death> = deaths(&mine).into_iter().filter(|(point, ..)| wanted(point)).collect();
    if !all {
        dice.shuffle(&mut deaths);
    }
    let mut fleet = Fleet::start(title);
    let begun = Instant::now();
    for (point, pass, by) in deaths {
        let unpassed = || !fleet.passed().contains(point);
        if all || begun.elapsed() < SAMPLE || unpassed() {
            eprintln!("{point} {pass} {by:?}");
            for _ in 0..rounds.unwrap_or(1) {
                die_at(&mut fleet, point, pass, by);
            }
        }
    }
    let passed = fleet.passed();
    let left = POINTS.iter().filter(|point| means(point).is_some_and(&mine) && wanted(point));
    let left: Vec<_> = left.filter(|point| !passed.contains(**point)).collect();
    assert!(left.is_empty(), "nobody has passed {left:?}");
    let report = fleet.finish();
    report.print(name);
    assert!(report.followed.is_exact(), "who follows: {:?}", report.followed);
    report.check_restarts();
    assert_eq!(report.exits, report.exits_known);
}

fn is_of_orders(means: Means) -> bool {
    match means {
        Means::Restart | Means::Reload | Means::Start | Means::Delete | Means::Exit | Means::Save => true,
        Means::Hundred | Means::ScaleUp | Means::ScaleDown => true,
        Means::Traffic | Means::Repeat | Means::Channel | Means::Update => false,
        Means::Daemon | Means::Keeper | Means::Both => false,
    }
}

#[test]
fn whoever_dies_in_the_middle_of_an_order_leaves_it_done_or_not_begun() {
    run("Deaths at named points of orders", "orders", is_of_orders);
}

#[test]
fn whoever_dies_between_two_steps_of_handing_over_loses_nothing() {
    run("Deaths at named points of logs, connections, hand-over and upgrade", "points", |means| {
        !is_of_orders(means)
    });
}

/// A point that nothing passes is of no use. At those of this driver's table somebody is killed by the tests above, which read
/// who passed them; the others are armed by name in the tests that are listed in `target/faults-covered.md`.
#[test]
fn every_point_is_in_the_program_and_armed_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut program, mut tests) = (Vec::new(), Vec::new());
    read_all(&root.join("src"), &mut program);
    read_all(&root.join("tests"), &mut tests);
    let mut table = String::from("| point | armed by |\n|---|---|\n");
    for point in POINTS {
        let quoted = format!("\"{point}\"");
        // Once in POINTS, once where it is passed.
        let passed: usize = program.iter().map(|(_, text)| text.matches(&quoted).count()).sum();
        assert!(passed >= 2, "`{point}` is nowhere in the program");
        let names = |text: &String| text.contains(&quoted) || text.contains(&format!("\"{point} "));
        let elsewhere =
            tests.iter().filter(|(path, text)| !path.ends_with("faults/points.rs") && names(text));
        let mut by: Vec<String> = elsewhere
            .map(|(path, _)| path.strip_prefix(root.join("tests")).unwrap().display().to_string())
            .collect();
        if let Some(means) = means(point) {
            by.push(format!("faults/named.rs (kill, by {means:?})"));
        }
        assert!(!by.is_empty(), "no test arms `{point}`");
        writeln!(table, "| `{point}` | {} |", by.join(", ")).unwrap();
    }
    std::fs::write(root.join("target/faults-covered.md"), table).unwrap();
}

/// All Rust files below a directory.
pub fn read_all(dir: &Path, texts: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            texts.push((path, text));
        }
    }
}
