//! From a worker's pipe to its file, and to subscribers.
//!
//! `pump` is the thread; `pipe` what it does for one stream, with `record` to survive kill -9, `format` and `date`
//! for the looks, `file` for the files, `spill` and its `ledger` for what no
//! file takes. `fanout` and `recent` serve those who watch, `tail` reads files backwards.
//! `rotate` (with `schedule`) puts files aside, and `attic` (with `kept`, `budget`, `compress`, `own`) looks after
//! them in a thread of its own. Not here yet: search.

mod attic;
mod budget;
mod command;
mod compress;
mod date;
mod draw;
mod error;
pub mod fanout;
mod file;
mod format;
pub mod kept;
mod ledger;
pub mod lines;
mod overflow;
mod own;
mod pipe;
pub mod pump;
mod recent;
mod record;
mod rotate;
mod schedule;
mod sink;
mod spec;
mod spill;
mod stuck;
pub mod tail;

#[cfg(test)]
mod tests;

pub use attic::Plan;
pub use command::Flushed;
pub use error::LogError;
pub use fanout::{Delivery, Fanout, Filter, LogLines, Subscription, Workers};
pub use pump::Pump;
pub use spec::{Held, Overflowed, PumpNotice, SinkSpec, Source, SpillFiles, held, spill_files};
