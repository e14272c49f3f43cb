//! Reading log files: the last lines, lines of some time, lines that match; over rotated and compressed files too, many
//! logs merged in time order. Runs in whoever asks (the `logs` verb, so that searching costs the daemon nothing), never
//! writes, and holds no more than a few blocks a log.
//!
//! ```text
//!  chain (which files) ─▶ narrow (since, until) ─▶ back (the last N) ─▶ sift (blocks, pattern) ─▶ scan (context) ─▶ merge
//!                                 └──── times (marks, or a guess) and stamp (the line's own) ────┘
//! ```
//! `fold`, `stats` and `watch` are for who shows lines.

mod back;
mod block;
pub mod chain;
pub mod fold;
mod held;
mod loud;
mod merge;
mod narrow;
mod part;
mod pattern;
mod query;
mod scan;
mod sift;
pub mod stamp;
pub mod stats;
mod tail;
#[cfg(test)]
mod tests;
mod times;
mod watch;
pub mod when;

pub use chain::{Gone, Missed, Shelf};
pub use held::{Held, Mark, Place};
pub use merge::{Coming, Log, Merged};
pub use part::{Part, Span};
pub use pattern::{Pattern, PatternError};
pub use query::Query;
pub use scan::Line;
pub use watch::Watch;
