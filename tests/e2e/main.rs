//! The real binary, real workers, real signals. Each test has a home and ports of its own.

#[path = "../support/mod.rs"]
mod support;

mod everyday;
mod errors;
mod logs;
mod survive;
mod trees;
