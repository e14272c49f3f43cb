//! Death at any moment: whoever, whenever, while whatever.

use crate::dice::Dice;
use crate::fleet::{Fleet, signal};
use crate::support::{is_alive, pause_for, wait_for};
use std::time::{Duration, Instant};

/// Seconds without `PMON_FAULT_MINUTES`.
const SHORT: u64 = 15;

fn length() -> Duration {
    let minutes = std::env::var("PMON_FAULT_MINUTES").ok().and_then(|text| text.parse::<u64>().ok());
    Duration::from_secs(minutes.map_or(SHORT, |minutes| minutes * 60))
}

/// One fault.
fn strike(fleet: &mut Fleet, dice: &mut Dice, may_freeze: bool) {
    match dice.below(100) {
        0..60 => {
            fleet.kill_daemon();
            fleet.report.killed("daemon");
        }
        60..80 => {
            fleet.kill_keeper();
            fleet.report.killed("keeper");
        }
        80..92 => {
            // Anywhere in the middle of the replacement.
            let first_keeper = dice.below(2) == 0;
            if first_keeper {
                fleet.kill_keeper()
            } else {
                fleet.kill_daemon()
            }
            pause_for(Duration::from_micros(dice.below(60_000)));
            if first_keeper {
                fleet.kill_daemon()
            } else {
                fleet.kill_keeper()
            }
            fleet.report.killed("one after the other");
            // Whoever is asked next finds the fleet.
            fleet.home.run(&["list"]);
        }
        92..98 => {
            fleet.kill_both();
            fleet.report.killed("both");
            fleet.home.run(&["list"]);
        }
        _ if may_freeze => freeze(fleet),
        _ => {}
    }
}

/// A daemon that stands still is killed by its keeper, if it has one: whoever died before it is replaced first.
fn freeze(fleet: &mut Fleet) {
    wait_for("a keeper", || {
        let keeper = fleet.keeper_pid();
        if is_alive(keeper) { Ok(()) } else { Err(keeper.to_string()) }
    });
    let daemon = fleet.daemon_pid();
    signal(daemon, "STOP");
    wait_for(
        "the end of a frozen daemon",
        || {
            if is_alive(daemon) { Err(daemon.to_string()) } else { Ok(()) }
        },
    );
    fleet.report.killed("frozen daemon");
}

#[test]
fn death_at_any_moment_harms_nobody() {
    let mut dice = Dice::new("death_at_any_moment_harms_nobody");
    let (length, begun) = (length(), Instant::now());
    let mut fleet = Fleet::start(&format!("Deaths at random moments, {} s", length.as_secs()));
    let may_freeze = length.as_secs() > SHORT;
    while begun.elapsed() < length {
        for _ in 0..=dice.below(4) {
            pause_for(Duration::from_micros(dice.below(300_000)));
            order_and_strike(&mut fleet, &mut dice, may_freeze);
        }
        fleet.check("deaths at random moments");
    }
    if !may_freeze {
        freeze(&mut fleet);
    }
    let report = fleet.finish();
    report.print("random");
    assert!(report.followed.is_exact(), "who follows: {:?}", report.followed);
    assert_eq!(report.exits, report.exits_known);
    report.check_restarts();
}

/// A fault, and half of the time an order under way while it happens.
fn order_and_strike(fleet: &mut Fleet, dice: &mut Dice, may_freeze: bool) {
    let order = dice.of(&[
        &["restart", "victim"][..],
        &["reload", "turnover"],
        &["start", "rest.sh", "--name", "extra", "-f", "-i", "4"],
        &["delete", "extra"],
        &["save"],
        &["scale", "extra", "+2"],
        &["scale", "extra", "1"],
        &["stop", "extra"],
        &[],
        &[],
        &[],
        &[],
    ]);
    if order.is_empty() {
        return strike(fleet, dice, may_freeze);
    }
    fleet.report.reloads += u64::from(order[0] == "reload");
    let mut given = fleet.home.command(order).spawn().unwrap();
    pause_for(Duration::from_micros(dice.below(120_000)));
    strike(fleet, dice, may_freeze);
    // It says what came of it; it does not hang.
    wait_for(&format!("the answer to {order:?}"), || match given.try_wait() {
        Ok(Some(status)) => {
            fleet.report.cut += u64::from(!status.success());
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
}
