//! The holder: parent of the daemon and of every worker, with a copy of every descriptor that must not die and
//! one opaque record for each worker. One thread, one poll loop; it parses no config, log or Node message and
//! decides nothing but when the daemon is started again.
//!
//! `message` is what is said (in `bytes`), `datagram` how it travels, `table` what is held (each an `entry`), `daemon` the daemon's life
//! (its `pace`, its `silence`, a new program's `trial`, and the `suspects` if it dies at its start),
//! `run` the loop, `enter` the way in, `upgrade` how it becomes another version of itself (from an `image`), `ledger` who was begun, and
//! `link` the daemon's end of it all, which can say it anew (`mirror`) to a keeper that replaces a dead one (`heir`).

mod bytes;
pub mod daemon;
mod datagram;
mod enter;
mod entry;
#[doc(hidden)]
pub mod fuzz;
pub mod heir;
mod image;
pub mod ledger;
pub mod link;
pub mod message;
mod mirror;
mod news;
mod pace;
mod pulse;
pub mod run;
mod silence;
mod suspects;
mod table;
mod trial;
mod upgrade;

pub use crate::sys::spawn::{Creds, Stage};
pub use enter::{Beginning, enter, settle};
pub use link::{Entry, EntryState, FromKeeper, Link, SpawnRequest};
pub use message::{Past, Spent, Tag};
