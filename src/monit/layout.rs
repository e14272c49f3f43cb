//! Where everything is: the one answer for drawing, scrolling and the mouse. Nothing is drawn here.

use super::state::{Pane, State, Tab, View};
use super::words;
use crate::model::WorkerId;
use ratatui::layout::{Position, Rect};

/// From this width on the log has a pane of its own beside the tabs.
const APART: u16 = 100;
/// Below this height there is room for the table or the tabs, not both.
const BOTH: u16 = 13;
/// A pane of the wall is never smaller.
const CELL: (u16, u16) = (30, 5);

/// The parts of the screen; `None` where one is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Areas {
    /// The summary.
    pub header: Rect,
    /// All between summary and status line.
    pub body: Rect,
    /// The table with its border.
    pub table: Option<Rect>,
    /// The log with its border.
    pub logs: Option<Rect>,
    /// The tabs with their border.
    pub detail: Option<Rect>,
    /// The wall.
    pub wall: Option<Rect>,
    /// The status line.
    pub footer: Rect,
}

/// Cuts up the screen.
pub fn areas(state: &State) -> Areas {
    let (width, height) = state.size;
    let head = header_height(width, height).min(height.saturating_sub(1));
    let foot = 1.min(height);
    let header = Rect::new(0, 0, width, head);
    let body = Rect::new(0, head, width, height - head - foot);
    let footer = Rect::new(0, height - foot, width, foot);
    let frame = Areas { header, body, footer, ..Areas::default() };
    match (state.view, state.zoomed) {
        (_, true) => zoomed(state, frame),
        (View::Wall, false) => Areas { wall: Some(body), ..frame },
        (View::Fleet, false) => fleet(state, frame),
    }
}

fn header_height(width: u16, height: u16) -> u16 {
    match height {
        0..14 => 1,
        14..28 => 2,
        28..44 => 4,
        _ if width < 110 => 4,
        _ => 5,
    }
}

fn zoomed(state: &State, frame: Areas) -> Areas {
    let body = frame.body;
    match state.focus {
        Pane::Logs => Areas { logs: Some(body), ..frame },
        Pane::Detail => Areas { detail: Some(body), ..frame },
        // The page of a worker: its graphs above its log.
        Pane::Table if body.height < BOTH => Areas { logs: Some(body), ..frame },
        Pane::Table => {
            let (graphs, log) = split_rows(body, (body.height * 2 / 5).max(7));
            Areas { detail: Some(graphs), logs: Some(log), ..frame }
        }
    }
}

fn fleet(state: &State, frame: Areas) -> Areas {
    let body = frame.body;
    if body.height < BOTH {
        return match state.focus {
            Pane::Table => Areas { table: Some(body), ..frame },
            Pane::Logs | Pane::Detail => Areas { detail: Some(body), ..frame },
        };
    }
    let wanted = u16::try_from(state.rows.len().max(3) + 3).unwrap_or(u16::MAX);
    let below = if body.height < 24 { 7 } else { (body.height / 3).max(10) };
    let (table, rest) = split_rows(body, wanted.min(body.height - below));
    if body.width < APART {
        return Areas { table: Some(table), detail: Some(rest), ..frame };
    }
    let logs = rest.width * 11 / 20;
    let left = Rect { width: logs, ..rest };
    let right = Rect { x: rest.x + logs, width: rest.width - logs, ..rest };
    Areas { table: Some(table), logs: Some(left), detail: Some(right), ..frame }
}

fn split_rows(area: Rect, at: u16) -> (Rect, Rect) {
    let at = at.min(area.height);
    (Rect { height: at, ..area }, Rect { y: area.y + at, height: area.height - at, ..area })
}

/// The log has a pane of its own.
pub fn logs_apart(state: &State) -> bool {
    areas(state).logs.is_some()
}

/// Within the border.
pub fn inside(area: Rect) -> Rect {
    Rect {
        x: area.x + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
    }
}

/// Rows of the table that fit below its header.
pub fn visible_rows(state: &State) -> usize {
    areas(state).table.map_or(0, |area| usize::from(inside(area).height.saturating_sub(1)))
}

/// Lines of the log that fit.
pub fn log_rows(state: &State) -> usize {
    let areas = areas(state);
    areas.logs.or(areas.detail).map_or(0, |area| usize::from(inside(area).height))
}

/// Where the titles of the tabs stand in the border.
pub fn tab_spans(area: Rect, apart: bool) -> Vec<(Tab, Rect)> {
    let mut x = area.x + 2;
    Tab::ALL
        .into_iter()
        .skip(usize::from(apart))
        .map(|tab| {
            let span = Rect::new(x, area.y, words::width(tab.title()) + 2, 1);
            x += span.width;
            (tab, span.intersection(area))
        })
        .collect()
}

/// How the wall is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Panes side by side.
    pub columns: u16,
    /// Panes one below the other.
    pub rows: u16,
}

impl Grid {
    /// Panes a page.
    pub fn shown(self) -> usize {
        usize::from(self.columns) * usize::from(self.rows)
    }
}

/// The division that gives `n` panes the best shape: about three and a half cells wide for each line.
pub fn grid(body: Rect, n: usize) -> Grid {
    let most_columns = (body.width / CELL.0).max(1);
    let most_rows = (body.height / CELL.1).max(1);
    let n = u16::try_from(n.max(1)).unwrap_or(u16::MAX);
    let fitting = (1..=most_columns).filter(|columns| n.div_ceil(*columns) <= most_rows);
    let shape = |columns: &u16| {
        let rows = n.div_ceil(*columns);
        (body.width * 2 / columns).min(body.height * 7 / rows)
    };
    match fitting.max_by_key(shape) {
        Some(columns) => Grid { columns, rows: n.div_ceil(columns) },
        None => Grid { columns: most_columns, rows: most_rows },
    }
}

/// The panes of the wall's present page: the one that holds the selection.
pub fn wall_cells(state: &State, body: Rect, ids: &[WorkerId]) -> Vec<(WorkerId, Rect)> {
    let grid = grid(body, ids.len());
    let selected = state.selected_worker().map(|w| w.id);
    let at = ids.iter().position(|id| Some(*id) == selected).unwrap_or(0);
    let first = at / grid.shown() * grid.shown();
    let edge = |i: u16, n: u16, length: u16| u16::try_from(u32::from(length) * u32::from(i) / u32::from(n));
    let cell = |place: usize| {
        let place = u16::try_from(place).unwrap_or(0);
        let (column, row) = (place % grid.columns, place / grid.columns);
        let x = |i| edge(i, grid.columns, body.width).unwrap_or(0);
        let y = |i| edge(i, grid.rows, body.height).unwrap_or(0);
        let corner = Position::new(body.x + x(column), body.y + y(row));
        Rect::new(corner.x, corner.y, x(column + 1) - x(column), y(row + 1) - y(row))
    };
    ids.iter().skip(first).take(grid.shown()).enumerate().map(|(n, id)| (*id, cell(n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monit::fixture;
    use proptest::prelude::*;

    #[test]
    fn sixteen_panes_fit_at_160_by_45() {
        let grid = grid(Rect::new(0, 5, 160, 39), 16);
        assert_eq!((grid.columns, grid.rows), (4, 4));
    }

    proptest! {
        #[test]
        fn parts_lie_on_the_screen_and_the_table_always_has_rows(
            width in 40u16..400, height in 10u16..120, wall: bool, zoom: bool,
        ) {
            let mut state = fixture::sixteen();
            state.size = (width, height);
            state.zoomed = zoom;
            if wall {
                state.view = View::Wall;
            }
            let screen = Rect::new(0, 0, width, height);
            let areas = areas(&state);
            for part in [areas.table, areas.logs, areas.detail, areas.wall].into_iter().flatten() {
                prop_assert_eq!(part.intersection(screen), part);
                prop_assert!(part.height >= 3 && part.width >= 3, "{:?}", part);
            }
            if !wall && !zoom {
                prop_assert!(visible_rows(&state) >= 2);
            }
            let ids = state.wall_ids();
            for (_, cell) in wall_cells(&state, areas.body, &ids) {
                prop_assert_eq!(cell.intersection(areas.body), cell);
            }
        }
    }
}
