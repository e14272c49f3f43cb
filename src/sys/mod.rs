//! The only door to processes, file descriptors, signals and /proc; the only place for `unsafe`.

pub mod child;
pub mod clock;
pub mod detach;
pub mod ending;
pub mod exec;
pub mod fault;
pub mod fd;
pub mod holder;
pub mod inherit;
pub mod interrupt;
pub mod kin;
pub mod limits;
pub mod listening;
pub mod lock;
pub mod page;
pub mod paths;
pub mod pipe;
pub mod proc;
pub mod processes;
pub mod replace;
pub mod sdnotify;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod terminal;
pub mod user;
