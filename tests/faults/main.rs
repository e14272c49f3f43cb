//! The fault driver: a real fleet under log and HTTP load whose daemon and keeper are killed at every named point and at
//! random moments, and what the README promises checked number by number.
//!
//! `PMON_SEED` replays the choices of a run, `PMON_FAULT_MINUTES=60` makes the random part an hour,
//! `PMON_FAULTS_PM2=1` measures PM2 in the same load. `target/faults-*.md` has the figures afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, prints its figures, and waits for real things"
)]

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../support/mod.rs"]
mod support;

mod counted;
mod dice;
mod documented;
mod fleet;
mod follow;
mod halfway;
mod ill;
mod lines;
mod named;
mod orders;
mod pm2;
mod points;
mod random;
mod report;
mod shutdown;
mod slow;
mod story;
mod turnover;
