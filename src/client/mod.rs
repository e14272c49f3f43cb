//! Finding, starting and talking to the daemon. Blocking and without a runtime: `pmon list` must cost
//! a few milliseconds. Knows nothing of terminals.

mod again;
pub mod call;
pub mod connect;
mod places;
pub mod start;
pub mod stream;

pub use call::{CallError, Client};
pub use connect::ConnectError;
pub use start::{Notice, StartError};
pub use stream::{Incoming, Next, Stream};
