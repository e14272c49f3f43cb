//! The rows: apps with totals, instances under them, and why a worker is down instead of what it uses.

use super::cells::Cells;
use super::columns::{self, Placed};
use crate::model::State as WorkerState;
use crate::model::snapshot::WorkerView;
use crate::monit::state::rows::Row;
use crate::monit::state::{Pane, State};
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::{border, put};
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the table with its frame.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let inner = border::pane(buf, area, theme, state.focus == Pane::Table);
    titles(buf, area, state, theme);
    if state.rows.is_empty() {
        empty(buf, inner, state, theme);
        return;
    }
    let placed = columns::place(state, inner);
    heading(buf, inner.y, state, theme, &placed);
    let visible = usize::from(inner.height.saturating_sub(1));
    for (n, row) in state.rows.iter().skip(state.offset).take(visible).enumerate() {
        let y = inner.y + 1 + n as u16;
        let line = Rect { y, height: 1, ..inner };
        let selected = state.selected.as_ref() == Some(&row.key());
        Cells { buf, line, state, theme, placed: &placed }.row(row);
        gutter(buf, line, state, theme, row, selected);
        if selected {
            buf.set_style(line, theme.style(Hue::Selected));
        }
    }
    scrollbar(buf, area, state, theme, visible);
}

fn titles(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let mut x = border::title(buf, area, "Fleet", theme.bold(Hue::Text));
    if !state.arrangement.filter.is_empty() {
        let shown: usize = state.rows.iter().filter(|row| matches!(row, Row::Worker { .. })).count();
        let text = format!(" filter: {} · {shown} shown ", state.arrangement.filter.text);
        x = put::left(buf, x, area.y, area.right().saturating_sub(x + 2), &text, theme.style(Hue::Warn));
    }
    let mut remark = words::count(state.fleet.workers().len(), "worker");
    if !state.marked.is_empty() {
        remark = format!("◆ {} marked · {remark}", state.marked.len());
    }
    border::remark(buf, area, x, &remark, theme.style(Hue::Muted));
}

fn empty(buf: &mut Buffer, inner: Rect, state: &State, theme: &Theme) {
    let (first, second) = match (state.fleet.known, state.arrangement.filter.is_empty()) {
        (false, _) => ("waiting for the daemon …", ""),
        (true, true) => ("the fleet is empty", "pmon start app.js begins"),
        (true, false) => ("nothing passes the filter", "esc clears it"),
    };
    for (n, (text, hue)) in [(first, Hue::Text), (second, Hue::Muted)].into_iter().enumerate() {
        let x = inner.x + inner.width.saturating_sub(words::width(text)) / 2;
        let y = inner.y + inner.height.saturating_sub(2) / 2 + n as u16;
        if y < inner.bottom() {
            put::left(buf, x, y, inner.right().saturating_sub(x), text, theme.style(hue));
        }
    }
}

fn heading(buf: &mut Buffer, y: u16, state: &State, theme: &Theme, placed: &[Placed]) {
    for Placed { column, x, width } in placed {
        let sorted = column.sort() == Some(state.arrangement.sort) && !column.title().is_empty();
        let arrow = if state.arrangement.reversed { "▴" } else { "▾" };
        let (title, style) = match sorted {
            true => (format!("{}{arrow}", column.title()), theme.style(Hue::Accent)),
            false => (column.title().to_owned(), theme.style(Hue::Muted)),
        };
        let put = if column.is_text() { put::left } else { put::right };
        put(buf, *x, y, *width, &title, style);
    }
}

fn gutter(buf: &mut Buffer, line: Rect, state: &State, theme: &Theme, row: &Row, selected: bool) {
    if selected && state.focus == Pane::Table {
        put::left(buf, line.x, line.y, 1, "▌", theme.style(Hue::Accent));
    }
    let ids = row.ids();
    if ids.iter().all(|id| state.marked.contains(id)) {
        put::left(buf, line.x + 1, line.y, 1, "◆", theme.style(Hue::Mark));
    }
}

fn scrollbar(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, visible: usize) {
    let all = state.rows.len();
    if all <= visible || visible == 0 {
        return;
    }
    let length = (visible * visible / all).max(1);
    let start = state.offset * (visible - length) / (all - visible).max(1);
    for n in start..(start + length).min(visible) {
        let y = area.y + 2 + n as u16;
        put::left(buf, area.right() - 1, y, 1, "┃", theme.style(Hue::Muted));
    }
}

/// Why a worker that is not running is not; for one that waits, when it will be tried again.
pub fn explanation(worker: &WorkerView, state: &State) -> Option<(String, Hue)> {
    let why = worker.why();
    match worker.state {
        WorkerState::Running | WorkerState::Ready | WorkerState::Starting | WorkerState::Stopping => {
            let trouble = worker.log_trouble.as_ref().filter(|trouble| trouble.what.is_some())?;
            Some((format!("log: {}", trouble.told(state.as_of())), Hue::Bad))
        }
        WorkerState::Down => Some((why, Hue::Muted)),
        WorkerState::Failed => Some((why, Hue::Bad)),
        WorkerState::Backoff => {
            let left = worker.next_start.map(|at| at.since(state.as_of()));
            let again = left.map(|left| format!("restart in {} · ", words::countdown(left)));
            Some((format!("{}{why}", again.unwrap_or_default()), Hue::Warn))
        }
    }
}
