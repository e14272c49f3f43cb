//! What a key, a click or the wheel can mean.

use super::state::Tab;

/// A user's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Stop as a job of the shell.
    Suspend,
    /// Draw every cell anew.
    Repaint,
    /// Show or hide the keys.
    Help,
    /// One step back: prompt, zoom, search, filter, marks, wall.
    Back,
    /// Fill the screen with the pane, or give it back.
    Zoom,
    /// Graphs of blocks or of braille.
    Marks,
    /// Between fleet and wall.
    Wall,
    /// Focus the next pane.
    NextPane,
    /// Focus the pane before.
    PreviousPane,
    /// Show this tab.
    Tab(Tab),
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// Fold, previous tab, or scroll left.
    Left,
    /// Unfold, next tab, or scroll right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the beginning.
    Top,
    /// To the end; in logs: follow.
    Bottom,
    /// Mark or unmark the row.
    Mark,
    /// Restart.
    Restart,
    /// Reload.
    Reload,
    /// Stop.
    Stop,
    /// Start what is down.
    Start,
    /// Delete, after asking.
    Delete,
    /// One instance more.
    More,
    /// One instance fewer.
    Fewer,
    /// Zero the restart counters.
    Reset,
    /// Filter the table or search the log, by focus.
    Find,
    /// To the next older match.
    NextMatch,
    /// To the next newer match.
    PreviousMatch,
    /// Hide lines that do not match.
    OnlyMatches,
    /// To the newest error.
    NewestError,
    /// Log of the selection, its app, or everybody.
    Scope,
    /// stdout, stderr, or both.
    Streams,
    /// Wrap long lines.
    Wrap,
    /// Show times.
    Times,
    /// Hide the lines so far.
    Clear,
    /// Back to the newest line.
    Follow,
    /// Sort by the next column.
    SortNext,
    /// Sort by the column before.
    SortPrevious,
    /// Sort the other way round.
    Reverse,
}

impl Action {
    /// It changes the fleet: gone with `--read-only`.
    pub fn is_verb(self) -> bool {
        matches!(
            self,
            Action::Restart
                | Action::Reload
                | Action::Stop
                | Action::Start
                | Action::Delete
                | Action::More
                | Action::Fewer
                | Action::Reset
        )
    }
}
