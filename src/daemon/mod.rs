//! The shell round the core: everything that can wait, fail or block happens here, and becomes an event.
//!
//! One task owns the fleet ([`owner`]); its loop ([`run`]) only turns what happens into events; effects go
//! through [`act`] to the doors of `sys`, `keeper`, `node` and `logs`. Sessions ([`session`]) read the
//! published snapshot and never touch the fleet. The log pump and Node's channels have a thread each.

mod act;
mod ailing;
mod answer;
mod attach;
mod begun;
mod boot;
mod carry;
mod door;
mod dump;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod journal;
mod keep;
mod lease;
mod logbook;
mod mailbox;
mod mend;
mod notify;
mod orphans;
mod outbox;
mod overflow;
mod owner;
mod past;
mod places;
mod premises;
mod probe;
mod rebuild;
mod run;
mod scratch;
mod scribe;
mod server;
mod session;
mod settings;
mod sockets;
mod spawn;
mod states;
mod suspects;
mod timers;
mod told;
mod trees;
mod upgrade;
mod watch;
mod work;

pub use boot::enter;
