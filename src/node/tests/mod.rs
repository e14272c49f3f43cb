//! The hub with real Node workers.

mod harness;
mod leaving;
mod listening;
mod strange;
mod surviving;
mod talking;
