//! The holder: parent of the daemon and of every worker, with a copy of every descriptor that must not die and
//! one opaque record for each worker. One thread, one poll loop; it parses no config, log or Node message and
//! decides nothing but when the daemon is started again.
//!
//! `message` is what is said (in `bytes`), `datagram` how it travels, `table` what is held, `daemon` the daemon's life,
//! `run` the loop, `enter` the way in, and `link` the daemon's end of it all.

mod bytes;
pub mod daemon;
mod datagram;
mod enter;
pub mod link;
pub mod message;
pub mod run;
mod table;

pub use crate::sys::spawn::{Creds, Stage};
pub use enter::{enter, settle};
pub use link::{Entry, EntryState, FromKeeper, Link, SpawnRequest};
pub use message::{Spent, Tag};
