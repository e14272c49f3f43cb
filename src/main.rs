//! The `pmon` binary.
fn main() {}
