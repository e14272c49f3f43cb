//! From a worker's pipe to its file, and to subscribers.
//!
//! `pump` is the thread; `pipe` what it does for one stream, with `record` to survive kill -9, `format` and `date`
//! for the looks, `file` for the files, `marks` for their times. `fanout` and `recent` serve those who watch, from a
//! moment that `seam` knows. Reading files is `search`'s.
//! Not here yet: rotation, compression, spilling to memory.

mod command;
mod date;
mod error;
pub mod fanout;
mod file;
mod format;
pub mod lines;
mod marks;
mod pipe;
pub mod pump;
mod recent;
mod record;
mod seam;
mod spec;

#[cfg(test)]
mod tests;

pub use command::{Flushed, Seam};
pub use error::LogError;
pub use fanout::{Delivery, Fanout, Filter, LogLines, Spot, Subscription, Workers};
pub use pump::Pump;
pub use seam::End;
pub use spec::{Held, PumpNotice, SinkSpec, Source, held};
