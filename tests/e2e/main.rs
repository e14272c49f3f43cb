//! The real binary, real workers, real signals. Each test has a home and ports of its own.

#[path = "../support/mod.rs"]
mod support;

mod errors;
mod everyday;
mod logs;
mod survive;
mod trees;
