//! The hub with real Node workers.

mod harness;
mod leaving;
mod listening;
mod surviving;
mod talking;
