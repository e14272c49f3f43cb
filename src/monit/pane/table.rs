//! The rows: apps with totals, instances under them, and why a worker is down instead of what it uses.

use super::columns::{self, Column, Placed};
use crate::model::snapshot::WorkerView;
use crate::model::{Bytes, State as WorkerState, WorkerId};
use crate::monit::state::fleet::Totals;
use crate::monit::state::rows::Row;
use crate::monit::state::{Pane, State};
use crate::monit::theme::{Hue, Ramp, Theme};
use crate::monit::widget::{border, put};
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

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
        match column.is_text() {
            true => drop(put::left(buf, *x, y, *width, &title, style)),
            false => put::right(buf, *x, y, *width, &title, style),
        }
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

/// One row being drawn.
struct Cells<'a> {
    buf: &'a mut Buffer,
    line: Rect,
    state: &'a State,
    theme: &'a Theme,
    placed: &'a [Placed],
}

impl Cells<'_> {
    fn row(&mut self, row: &Row) {
        match row {
            Row::App { name, ids, folded } => self.app(name, ids, *folded),
            Row::Worker { id, child } => {
                if let Some(worker) = self.state.fleet.worker(*id).cloned() {
                    self.worker(&worker, *child);
                }
            }
        }
    }

    fn app(&mut self, name: &str, ids: &[WorkerId], folded: bool) {
        let totals = self.state.fleet.totals_of(ids);
        let theme = *self.theme;
        for at in self.placed.to_vec() {
            match at.column {
                Column::Symbol => {
                    let worst = worst(&totals);
                    self.text(at, words::symbol(worst), theme.state(worst));
                }
                Column::Status => {
                    let text = format!("{}/{}", totals.online, totals.workers);
                    self.text(at, &text, theme.state(worst(&totals)));
                }
                Column::Name => {
                    let fold = if folded { "▸ " } else { "▾ " };
                    let room = Placed { x: at.x + 2, width: at.width.saturating_sub(2), ..at };
                    self.text(at, fold, theme.style(Hue::Muted));
                    let x = self.text(room, name, theme.bold(Hue::Text));
                    let rest = (at.x + at.width).saturating_sub(x);
                    let times = format!(" ×{}", totals.workers);
                    if rest >= words::width(&times) {
                        put::left(self.buf, x, self.line.y, rest, &times, theme.style(Hue::Muted));
                    }
                }
                Column::Restarts => self.restarts(at, totals.restarts),
                Column::Share | Column::Id | Column::Mode | Column::Uptime | Column::Listen | Column::Pid => {
                }
                measured => self.measure(
                    Placed { column: measured, ..at },
                    &totals,
                    ids,
                    100.0 * ids.len() as f32,
                    None,
                ),
            }
        }
        self.buf.set_style(self.line, Style::new().add_modifier(Modifier::BOLD));
    }

    fn worker(&mut self, worker: &WorkerView, child: Option<bool>) {
        let theme = *self.theme;
        let totals = self.state.fleet.totals_of(&[worker.id]);
        let speaks = explanation(worker, self.state);
        for at in self.placed.to_vec() {
            if speaks.is_some() && at.column == Column::Cpu {
                break;
            }
            match at.column {
                Column::Symbol => self.text(at, words::symbol(worker.state), theme.state(worker.state)),
                Column::Status => {
                    let word = if worker.reloading { "reloading" } else { words::state(worker.state) };
                    self.text(at, word, theme.state(worker.state))
                }
                Column::Id => self.number(at, &worker.id.to_string(), theme.style(Hue::Cool)),
                Column::Name => self.name(at, worker, child),
                Column::Mode => {
                    let mode = worker.app.mode.pm2_name().trim_end_matches("_mode");
                    self.text(at, mode, theme.style(Hue::Muted))
                }
                Column::Restarts => {
                    self.restarts(at, u64::from(worker.restarts));
                    0
                }
                Column::Uptime => self.uptime(at, worker),
                Column::Listen => {
                    let places = worker.listening.join(" ");
                    self.text(at, &places, theme.style(Hue::Muted))
                }
                Column::Pid => {
                    let pid = worker.pid.map(|pid| pid.to_string()).unwrap_or_default();
                    self.number(at, &pid, theme.style(Hue::Muted))
                }
                measured => {
                    let limit = worker.app.limits.max_memory;
                    self.measure(Placed { column: measured, ..at }, &totals, &[worker.id], 100.0, limit);
                    0
                }
            };
        }
        if let Some((text, hue)) = speaks {
            self.explain(&text, hue);
        }
    }

    fn name(&mut self, at: Placed, worker: &WorkerView, child: Option<bool>) -> u16 {
        let theme = *self.theme;
        let Some(last) = child else {
            return self.text(at, &worker.app.name, theme.style(Hue::Text));
        };
        let branch = if last { "╰ " } else { "├ " };
        self.text(at, branch, theme.style(Hue::Faint));
        let room = Placed { x: at.x + 2, width: at.width.saturating_sub(2), ..at };
        let number = format!(":{}", worker.instance);
        let name = words::fit(&worker.app.name, room.width.saturating_sub(words::width(&number)));
        let x = self.text(room, &name, theme.style(Hue::Muted));
        let rest = (room.x + room.width).saturating_sub(x);
        put::left(self.buf, x, self.line.y, rest, &number, theme.style(Hue::Text))
    }

    fn restarts(&mut self, at: Placed, restarts: u64) {
        let hue = if restarts == 0 { Hue::Muted } else { Hue::Warn };
        let text = if restarts > 99_999 { "99k+".to_owned() } else { restarts.to_string() };
        self.number(at, &text, self.theme.style(hue));
    }

    fn uptime(&mut self, at: Placed, worker: &WorkerView) -> u16 {
        if !worker.state.has_process() {
            return self.number(at, "–", self.theme.style(Hue::Faint));
        }
        let text = words::span(worker.uptime(self.state.now));
        self.number(at, &text, self.theme.style(Hue::Text))
    }

    /// A cell that shows a quantity; `full` percent of CPU is all that these workers can use.
    fn measure(&mut self, at: Placed, totals: &Totals, ids: &[WorkerId], full: f32, limit: Option<Bytes>) {
        let (theme, point) = (*self.theme, totals.point);
        let area = Rect::new(at.x, self.line.y, at.width, 1);
        let known = |text: String| if totals.serves { text } else { String::new() };
        match at.column {
            Column::Cpu => {
                let style = Style::new().fg(theme.ramp(Ramp::Cpu, point.cpu / full));
                self.number(at, &words::percent(point.cpu), style);
            }
            Column::CpuGraph => {
                let values: Vec<f32> =
                    self.state.fleet.points(ids, usize::from(at.width) * 2).iter().map(|p| p.cpu).collect();
                // A busy core fills the cell; less is magnified, but not beyond a fifth of a core.
                let top = values.iter().copied().fold(full / 5.0, f32::max);
                self.state
                    .marks
                    .area(self.buf, area, &values, top, |level| theme.ramp(Ramp::Cpu, level * top / full));
            }
            Column::Memory => {
                let text = words::bytes(Bytes(point.memory as u64));
                let level = limit.map_or(0.0, |limit| share(point.memory, limit));
                self.number(at, &text, Style::new().fg(theme.ramp(Ramp::Memory, level)));
            }
            Column::MemoryGraph => {
                let values: Vec<f32> = self
                    .state
                    .fleet
                    .points(ids, usize::from(at.width) * 2)
                    .iter()
                    .map(|p| p.memory)
                    .collect();
                let peak = values.iter().copied().fold(1.0, f32::max) * 1.25;
                let top = limit.map_or(peak, |limit| limit.get() as f32);
                let hot = if limit.is_some() { 1.0 } else { 0.5 };
                self.state
                    .marks
                    .area(self.buf, area, &values, top, |level| theme.ramp(Ramp::Memory, level * hot));
            }
            Column::Share => {
                if let Some(limit) = limit {
                    let level = share(point.memory, limit);
                    let style = Style::new().fg(theme.ramp(Ramp::Memory, level));
                    self.number(at, &format!("{:.0}%", level * 100.0), style);
                }
            }
            Column::Rate => {
                self.number(at, &known(words::rate(point.rps)), theme.style(Hue::Cool));
            }
            Column::P95 => {
                self.number(at, &known(words::millis(point.p95)), theme.style(Hue::Text));
            }
            Column::Delay => {
                let hue = if point.delay > 50.0 { Hue::Warn } else { Hue::Muted };
                self.number(at, &known(words::millis(point.delay)), theme.style(hue));
            }
            Column::Symbol
            | Column::Status
            | Column::Id
            | Column::Name
            | Column::Mode
            | Column::Restarts
            | Column::Uptime
            | Column::Listen
            | Column::Pid => {}
        }
    }

    /// Says over the quantities' cells why there are none.
    fn explain(&mut self, text: &str, hue: Hue) {
        let Some(at) = self.placed.iter().find(|p| p.column == Column::Cpu) else { return };
        put::left(
            self.buf,
            at.x,
            self.line.y,
            self.line.right().saturating_sub(at.x),
            text,
            self.theme.style(hue),
        );
    }

    fn text(&mut self, at: Placed, text: &str, style: Style) -> u16 {
        put::left(self.buf, at.x, self.line.y, at.width, text, style)
    }

    fn number(&mut self, at: Placed, text: &str, style: Style) -> u16 {
        put::right(self.buf, at.x, self.line.y, at.width, text, style);
        at.x + at.width
    }
}

fn share(memory: f32, limit: Bytes) -> f32 {
    memory / (limit.get().max(1) as f32)
}

/// The state that an app's header shows.
fn worst(totals: &Totals) -> WorkerState {
    match totals {
        Totals { failed: 1.., .. } => WorkerState::Failed,
        Totals { moving: 1.., .. } => WorkerState::Backoff,
        Totals { online: 1.., .. } => WorkerState::Running,
        _none => WorkerState::Down,
    }
}

/// Why a worker that is not running is not; for one that waits, when it will be tried again.
pub fn explanation(worker: &WorkerView, state: &State) -> Option<(String, Hue)> {
    let why = worker.reason.to_string();
    match worker.state {
        WorkerState::Running | WorkerState::Ready | WorkerState::Starting | WorkerState::Stopping => None,
        WorkerState::Down => Some((why, Hue::Muted)),
        WorkerState::Failed => Some((why, Hue::Bad)),
        WorkerState::Backoff => {
            let left = worker.next_start.map(|at| at.since(state.now));
            let again = left.map(|left| format!("restart in {} · ", words::countdown(left)));
            Some((format!("{}{why}", again.unwrap_or_default()), Hue::Warn))
        }
    }
}
