//! Tests of the core as a whole: tables, and generated sequences in a simulated world.

mod again;
mod attach;
mod faults;
mod life;
mod orders;
mod reload;
mod sequences;
mod story;
mod world;
