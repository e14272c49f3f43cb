//! Small things to draw with, that know nothing of the state.

pub mod border;
pub mod plot;
pub mod put;
