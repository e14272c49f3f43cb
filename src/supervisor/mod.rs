//! The pure core: events in, effects out. No clock, no tokio, no file, no fd: `now` is an argument.
//!
//! `Event → Fleet::handle → Effect → the OS door does it → Event …`

pub mod effect;
pub mod event;
pub mod fleet;
pub mod oracle;
pub mod record;

mod again;
mod attach;
mod entry;
mod life;
mod order;
mod reload;
mod restart;
mod scale;
mod start;
mod stop;
mod turn;
mod view;
mod worker;

#[cfg(test)]
mod tests;

pub use effect::Effect;
pub use event::{Event, Found, Ticket, TimerKey};
pub use fleet::Fleet;
pub use record::{Record, Role};
pub use view::Places;
