//! The cells of one row of the table: an app's totals, or a worker.

use super::columns::{Column, Placed};
use super::table::explanation;
use crate::model::snapshot::WorkerView;
use crate::model::{Bytes, State as WorkerState, WorkerId};
use crate::monit::state::State;
use crate::monit::state::fleet::Totals;
use crate::monit::state::history::Quantity;
use crate::monit::state::rows::Row;
use crate::monit::theme::{Hue, Ramp, Theme};
use crate::monit::widget::put;
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

/// One row being drawn.
pub struct Cells<'a> {
    /// Onto this.
    pub buf: &'a mut Buffer,
    /// Its line.
    pub line: Rect,
    /// What there is.
    pub state: &'a State,
    /// In these colours.
    pub theme: &'a Theme,
    /// In these columns.
    pub placed: &'a [Placed],
}

/// What a row measures.
struct Measured<'a> {
    ids: &'a [WorkerId],
    totals: Totals,
    /// Percent of CPU that these workers can use.
    full: f32,
    /// `max_memory_restart` of one worker.
    limit: Option<Bytes>,
}

impl Cells<'_> {
    /// Draws all its columns.
    pub fn row(&mut self, row: &Row) {
        match row {
            Row::App { name, ids, folded } => self.app(name, ids, *folded),
            Row::Worker { id, child } => {
                let state = self.state;
                if let Some(worker) = state.fleet.worker(*id) {
                    self.worker(worker, *child);
                }
            }
        }
    }

    fn app(&mut self, name: &str, ids: &[WorkerId], folded: bool) {
        let (state, placed) = (self.state, self.placed);
        let totals = state.fleet.totals_of(ids);
        let measured = Measured { ids, totals, full: 100.0 * ids.len() as f32, limit: None };
        let Some(first) = ids.first().and_then(|id| state.fleet.worker(*id)) else { return };
        let worst = self.theme.state(worst(&totals));
        for at in placed {
            match at.column {
                Column::Symbol => self.text(at, words::symbol(self::worst(&totals)), worst),
                Column::Status => self.text(at, &format!("{}/{}", totals.online, totals.workers), worst),
                Column::Name => self.app_name(at, name, totals.workers, folded),
                Column::Restarts => self.restarts(at, totals.restarts),
                Column::Mode => self.mode(at, first),
                Column::Listen => self.listening(at, first),
                Column::Share | Column::Id | Column::Uptime | Column::Pid => {}
                Column::Cpu
                | Column::CpuGraph
                | Column::Memory
                | Column::MemoryGraph
                | Column::Rate
                | Column::P95
                | Column::Delay => self.measure(at, &measured),
            }
        }
        self.buf.set_style(self.line, Style::new().add_modifier(Modifier::BOLD));
    }

    fn worker(&mut self, worker: &WorkerView, child: Option<bool>) {
        let placed = self.placed;
        let speaks = explanation(worker, self.state);
        let measured = Measured {
            ids: &[worker.id],
            totals: self.state.fleet.totals_of(&[worker.id]),
            full: 100.0,
            limit: worker.app.limits.max_memory,
        };
        let look = self.theme.state(worker.state);
        for at in placed {
            match at.column {
                // Why there is nothing to measure takes the place of all that follows.
                Column::Cpu if speaks.is_some() => break,
                Column::Symbol => self.text(at, words::symbol(worker.state), look),
                Column::Status if worker.reloading => self.text(at, "reloading", self.theme.style(Hue::Warn)),
                Column::Status => self.text(at, words::state(worker.state), look),
                Column::Id => self.number(at, &worker.id.to_string(), self.theme.style(Hue::Cool)),
                Column::Name => self.name(at, worker, child),
                Column::Mode => self.mode(at, worker),
                Column::Restarts => self.restarts(at, u64::from(worker.restarts)),
                Column::Uptime => self.uptime(at, worker),
                Column::Listen => self.listening(at, worker),
                Column::Pid => {
                    let pid = worker.pid.map(|pid| pid.to_string()).unwrap_or_default();
                    self.number(at, &pid, self.theme.style(Hue::Muted));
                }
                Column::Cpu
                | Column::CpuGraph
                | Column::Memory
                | Column::MemoryGraph
                | Column::Share
                | Column::Rate
                | Column::P95
                | Column::Delay => self.measure(at, &measured),
            }
        }
        if let (Some((text, hue)), Some(at)) = (speaks, placed.iter().find(|p| p.column == Column::Cpu)) {
            let room = self.line.right().saturating_sub(at.x);
            put::left(self.buf, at.x, self.line.y, room, &text, self.theme.style(hue));
        }
    }

    fn app_name(&mut self, at: &Placed, name: &str, workers: usize, folded: bool) {
        let (y, end) = (self.line.y, at.x + at.width);
        let muted = self.theme.style(Hue::Muted);
        let x = put::left(self.buf, at.x, y, at.width, if folded { "▸ " } else { "▾ " }, muted);
        let x = put::left(self.buf, x, y, end - x, name, self.theme.style(Hue::Text));
        let times = format!(" ×{workers}");
        if x + words::width(&times) <= end {
            put::left(self.buf, x, y, end - x, &times, muted);
        }
    }

    fn name(&mut self, at: &Placed, worker: &WorkerView, child: Option<bool>) {
        let (y, end, name) = (self.line.y, at.x + at.width, &worker.app.name);
        let Some(last) = child else { return self.text(at, name, self.theme.style(Hue::Text)) };
        let branch = if last { "╰ " } else { "├ " };
        let x = put::left(self.buf, at.x, y, at.width, branch, self.theme.style(Hue::Faint));
        let number = format!(":{}", worker.instance);
        let room = (end - x).saturating_sub(words::width(&number));
        let x = put::left(self.buf, x, y, room, name, self.theme.style(Hue::Muted));
        put::left(self.buf, x, y, end - x, &number, self.theme.style(Hue::Text));
    }

    fn mode(&mut self, at: &Placed, worker: &WorkerView) {
        let mode = worker.app.mode.pm2_name().trim_end_matches("_mode");
        self.text(at, mode, self.theme.style(Hue::Muted));
    }

    fn listening(&mut self, at: &Placed, worker: &WorkerView) {
        self.text(at, &worker.listening.join(" "), self.theme.style(Hue::Muted));
    }

    fn restarts(&mut self, at: &Placed, restarts: u64) {
        let hue = if restarts == 0 { Hue::Muted } else { Hue::Warn };
        let text = if restarts > 99_999 { "99k+".to_owned() } else { restarts.to_string() };
        self.number(at, &text, self.theme.style(hue));
    }

    fn uptime(&mut self, at: &Placed, worker: &WorkerView) {
        if worker.state.has_process() {
            let text = words::span(worker.uptime(self.state.as_of()));
            self.number(at, &text, self.theme.style(Hue::Text));
        } else {
            self.number(at, "–", self.theme.style(Hue::Faint));
        }
    }

    /// A cell that shows a quantity; nothing in the other columns.
    fn measure(&mut self, at: &Placed, measured: &Measured<'_>) {
        let (theme, point) = (self.theme, measured.totals.point);
        let serves = measured.totals.serves;
        match at.column {
            Column::Cpu => {
                let style = Style::new().fg(theme.ramp(Ramp::Cpu, point.cpu / measured.full));
                self.number(at, &words::percent(point.cpu), style);
            }
            Column::Memory => {
                let level = measured.share();
                let text = words::bytes(Bytes(point.memory as u64));
                self.number(at, &text, Style::new().fg(theme.ramp(Ramp::Memory, level.unwrap_or(0.0))));
            }
            Column::Share => {
                if let Some(level) = measured.share() {
                    let style = Style::new().fg(theme.ramp(Ramp::Memory, level));
                    self.number(at, &format!("{:.0}%", level * 100.0), style);
                }
            }
            Column::CpuGraph => {
                // A busy core fills the cell; less is magnified, but not beyond a fifth of it.
                let values = self.values(at, measured, |p| p.cpu);
                let top = values.iter().copied().fold(measured.full / 5.0, f32::max) * 1.1;
                self.graph(at, &values, top, Ramp::Cpu, top / measured.full);
            }
            Column::MemoryGraph => {
                let values = self.values(at, measured, |p| p.memory);
                let peak = values.iter().copied().fold(1.0, f32::max) * 1.6;
                let top = measured.limit.map_or(peak, |limit| limit.get() as f32);
                self.graph(at, &values, top, Ramp::Memory, if measured.limit.is_some() { 1.0 } else { 0.4 });
            }
            Column::Rate if serves => {
                self.number(at, &words::rate(point.rps), theme.style(Hue::Cool));
            }
            Column::P95 if serves => {
                self.number(at, &words::millis(point.p95), theme.style(Hue::Text));
            }
            Column::Delay if serves => {
                let hue = if point.delay > 50.0 { Hue::Warn } else { Hue::Muted };
                self.number(at, &words::millis(point.delay), theme.style(hue));
            }
            _unmeasured => {}
        }
    }

    fn values(&self, at: &Placed, measured: &Measured<'_>, of: Quantity) -> Vec<f32> {
        let samples = usize::from(at.width) * self.state.marks.samples();
        self.state.fleet.points(measured.ids, samples).iter().map(of).collect()
    }

    /// A sparkline; `heat`: where its top stands on the gradient.
    fn graph(&mut self, at: &Placed, values: &[f32], top: f32, ramp: Ramp, heat: f32) {
        let area = Rect::new(at.x, self.line.y, at.width, 1);
        let theme = self.theme;
        self.state.marks.area(self.buf, area, values, top, |level| theme.ramp(ramp, level * heat));
    }

    fn text(&mut self, at: &Placed, text: &str, style: Style) {
        put::left(self.buf, at.x, self.line.y, at.width, text, style);
    }

    fn number(&mut self, at: &Placed, text: &str, style: Style) {
        put::right(self.buf, at.x, self.line.y, at.width, text, style);
    }
}

impl Measured<'_> {
    /// Memory's share of the limit.
    fn share(&self) -> Option<f32> {
        let limit = self.limit?;
        Some(self.totals.point.memory / (limit.get().max(1) as f32))
    }
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
