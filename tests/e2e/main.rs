//! The real binary, real workers, real signals. Each test has a home and ports of its own.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may panic, and waits for real things"
)]

#[path = "../support/mod.rs"]
mod support;

mod apps;
mod behave;
mod clocks;
mod crowd;
mod disks;
mod doors;
mod errors;
mod everyday;
mod exhaust;
mod fallen;
mod frozen;
mod gaps;
mod home;
mod home_spoiled;
mod inject;
mod late;
mod lines;
mod logs;
mod matrix;
mod output;
mod pipes;
mod places;
mod ports;
mod reading;
mod ready;
mod rebuild;
mod reload;
mod rotate;
mod runtimes;
mod searching;
mod secrets;
mod skew;
mod sockets;
mod surprises;
mod survive;
mod suspects;
mod trees;
mod upgrades;
