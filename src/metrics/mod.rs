//! Samples of the host and of workers' process trees, and their history. Not for judging them (that is
//! `supervisor`) and not for what apps report about themselves (that comes through `node`).

pub mod history;
mod host;
pub mod sample;
mod tree;

pub use history::{History, Point};
pub use sample::Sampler;
