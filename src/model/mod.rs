//! The words everybody uses. No I/O, no async, no clock: plain data that the core decides over,
//! the wire carries and the screen shows. Not for reading what users write (that is `config`; only `quantity` and
//! `rotation`, whose words the daemon keeps as written, are here) and not for printing (that is `fmt` and `cli::out`).

pub mod app;
pub mod birth;
pub mod change;
pub mod date;
pub mod exit;
pub mod files;
pub mod level;
pub mod mark;
pub mod order;
pub mod policy;
pub mod quantity;
pub mod reason;
pub mod removed;
pub mod rotation;
pub mod select;
pub mod shapes;
pub mod skew;
pub mod snapshot;
pub mod state;
pub mod stream;
pub mod tail;
pub mod time;
pub mod units;
pub mod usage;
pub mod worker;

pub use app::App;
pub use birth::FileId;
pub use exit::Exit;
pub use order::Order;
pub use reason::Reason;
pub use rotation::Rotation;
pub use select::Selector;
pub use state::{Desired, State};
pub use stream::StreamKind;
pub use time::{Now, Stamp};
pub use units::Bytes;
pub use worker::{Epoch, Run, WorkerId};
