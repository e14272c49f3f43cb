//! The only door to processes, file descriptors, signals and /proc; the only place for `unsafe`.

pub mod child;
pub mod clock;
pub mod detach;
pub mod fd;
pub mod limits;
pub mod inherit;
pub mod interrupt;
pub mod holder;
pub mod lock;
pub mod page;
pub mod paths;
pub mod signal;
pub mod spawn;
pub mod pipe;
pub mod user;
pub mod proc;
pub mod socket;
pub mod terminal;
