//! The real binary, real workers, real signals. Each test has a home and ports of its own.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may panic, and waits for real things"
)]

#[path = "../support/mod.rs"]
mod support;

mod errors;
mod everyday;
mod logs;
mod reading;
mod survive;
mod trees;
