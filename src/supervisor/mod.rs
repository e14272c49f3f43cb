//! The pure core: events in, effects out. No clock, no tokio, no file, no fd: `now` is an argument.
//!
//! `Event → Fleet::handle → Effect → the OS door does it → Event …`

pub mod effect;
pub mod event;
pub mod record;

pub use effect::Effect;
pub use event::{Event, Found, Ticket, TimerKey};
pub use record::{Record, Role};
