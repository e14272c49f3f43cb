//! From a worker's pipe to its file, and to subscribers.
//!
//! `pump` is the handle, `round` the thread that leads, `obey` what it is asked, `hall` what threads share, `hang` (with `calls`)
//! what happens when a disk hangs; `intake` what comes in of one stream (`lanes`: faster, if it is a lot); `pipe` what it does for one stream, with `record` to survive kill -9, `format`
//! for the looks, `file`, `shelf` and `handle` for the files, `marks` for their times, `spill` and its `ledger` for what no
//! file takes. `fanout` and `recent` serve those who watch, from a moment that `seam` knows. Reading files is `search`'s.
//! `rotate` (with `schedule`) puts files aside, and `attic` (with `kept`, `budget`, `compress`, `own`) looks after
//! them in a thread of its own.

mod attic;
mod budget;
mod calls;
mod command;
mod compress;
mod draw;
mod error;
pub mod fanout;
mod file;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod hall;
mod handle;
mod hang;
mod intake;
pub mod kept;
mod lanes;
mod late;
mod ledger;
pub mod lines;
mod marks;
mod obey;
mod overflow;
mod own;
mod pace;
mod pipe;
pub mod pump;
mod queue;
mod recent;
mod record;
mod removal;
mod rotate;
mod round;
mod schedule;
mod seam;
mod shelf;
mod sink;
mod spec;
mod spill;
mod stuck;
mod tell;
mod tools;

#[cfg(test)]
mod tests;

pub use attic::Plan;
pub use command::{Flushed, Seam};
pub use error::LogError;
pub use fanout::{Delivery, Demand, Fanout, Filter, LogLines, Skipped, Spot, Subscription, Workers};
pub use pump::Pump;
pub use seam::End;
pub use spec::{Held, Overflowed, PumpNotice, SinkSpec, Source, SpillFiles, held, spill_files};
pub use tell::SMALL;
