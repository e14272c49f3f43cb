//! The screen: `pmon monit`. One glance tells whether the fleet is well; every row can be acted on.
//!
//! ```text
//! terminal ──┐                       ┌─> deeds ──> daemon, terminal
//! signals ───┼─> event ──> state ────┤
//! daemon ────┘   (bounded)  (pure)   └─> panes ──> frame, when dirty, at most 30 a second
//! ```
//!
//! Threads only wait and pass on: `feed` for the daemon's stream, `input` for keys and signals. `run` owns the state;
//! nothing it does waits for the daemon. It never starts a daemon: where none is, it says so and comes back by itself.

mod action;
mod ansi;
mod event;
mod feed;
#[cfg(test)]
mod fixture;
mod input;
mod keymap;
mod layout;
mod once;
mod pane;
#[cfg(test)]
mod pty;
mod run;
mod state;
mod term;
#[cfg(test)]
mod tests;
mod theme;
mod widget;
mod words;

use crate::sys::paths::Home;

/// What was asked for on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Print one frame as text and end.
    pub once: bool,
    /// Columns and rows of that frame; default the terminal's, or 120×40 without one.
    pub size: Option<(u16, u16)>,
    /// No verbs.
    pub read_only: bool,
}

/// Shows the screen until it is left; or one frame of it with [`Options::once`].
/// Errors: no terminal, or (with `once`) no daemon.
pub fn run(home: &Home, options: Options) -> anyhow::Result<()> {
    if options.once { once::run(home, options) } else { run::run(home, options) }
}
