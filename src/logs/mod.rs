//! From a worker's pipe to its file, and to subscribers.
//!
//! `pump` is the thread; `pipe` what it does for one stream, with `record` to survive kill -9, `format` and `date`
//! for the looks, `file` for the files. `fanout` and `recent` serve those who watch, `tail` reads files backwards.
//! `rotate` (with `schedule`) puts files aside, and `attic` (with `kept`, `budget`, `compress`, `own`) looks after
//! them in a thread of its own. Not here yet: search, spilling to memory.

mod attic;
mod budget;
mod command;
mod compress;
mod date;
mod error;
pub mod fanout;
mod file;
mod format;
pub mod kept;
pub mod lines;
mod own;
mod pipe;
pub mod pump;
mod recent;
mod record;
mod rotate;
mod schedule;
mod spec;
pub mod tail;

#[cfg(test)]
mod tests;

pub use attic::Plan;
pub use command::Flushed;
pub use error::LogError;
pub use fanout::{Delivery, Fanout, Filter, LogLines, Subscription, Workers};
pub use pump::Pump;
pub use spec::{Held, PumpNotice, SinkSpec, Source, held};
