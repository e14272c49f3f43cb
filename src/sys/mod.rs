//! The only door to processes, file descriptors, signals and /proc; the only place for `unsafe`.

pub mod clock;
pub mod detach;
pub mod fd;
pub mod lock;
pub mod paths;
pub mod terminal;
