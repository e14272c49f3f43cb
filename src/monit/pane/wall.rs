//! A pane an instance: what it uses, how it does, and the end of its log.

use super::{logs, table};
use crate::model::snapshot::WorkerView;
use crate::monit::layout;
use crate::monit::state::State;
use crate::monit::state::history::{Point, Quantity};
use crate::monit::theme::{Hue, Ramp, Theme};
use crate::monit::widget::plot::Marks;
use crate::monit::widget::{border, put};
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the page that holds the selection.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let ids = state.wall_ids();
    let selected = state.selected_worker().map(|w| w.id);
    if ids.is_empty() {
        table::draw(buf, area, state, theme);
        return;
    }
    for (id, cell) in layout::wall_cells(state, area, &ids) {
        if let Some(worker) = state.fleet.worker(id) {
            pane(buf, cell, state, theme, worker, Some(id) == selected);
        }
    }
}

fn pane(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, worker: &WorkerView, selected: bool) {
    let style = match (selected, table::explanation(worker, state)) {
        (true, _) => theme.style(Hue::Accent),
        (false, Some((_, Hue::Bad))) => theme.style(Hue::Bad),
        (false, _) => theme.style(Hue::Faint),
    };
    let inner = border::frame(buf, area, style);
    let x = put::left(
        buf,
        area.x + 2,
        area.y,
        2,
        &format!(" {}", words::symbol(worker.state)),
        theme.state(worker.state),
    );
    let mark = if state.marked.contains(&worker.id) { "◆ " } else { "" };
    let name = format!(" {mark}{} ", state.label(worker.id));
    let title = if selected { theme.bold(Hue::Accent) } else { theme.bold(Hue::Text) };
    let x = put::left(buf, x, area.y, area.right().saturating_sub(x + 1), &name, title);
    let remark = if worker.state.has_process() {
        format!("↺{} · {}", worker.restarts, words::span(worker.uptime(state.as_of())))
    } else {
        format!("↺{}", worker.restarts)
    };
    border::remark(buf, area, x, &remark, theme.style(Hue::Muted));
    let used = figures(buf, inner, state, theme, worker);
    let rest = Rect { y: inner.y + used, height: inner.height.saturating_sub(used), ..inner };
    logs::tail(buf, rest, state, theme, Some(worker.id));
}

/// One or two lines of figures; returns how many.
fn figures(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, worker: &WorkerView) -> u16 {
    if let Some((why, hue)) = table::explanation(worker, state) {
        put::left(buf, area.x + 1, area.y, area.width.saturating_sub(1), &why, theme.style(hue));
        return 1;
    }
    let limit = worker.app.limits.max_memory.map(|b| b.get() as f32);
    let memory = worker.usage.memory.get() as f32;
    let half = area.width / 2;
    let points = state.fleet.points(&[worker.id], usize::from(area.width));
    let left = Rect { width: half, height: 1, ..area };
    let right = Rect { x: area.x + half, width: area.width - half, height: 1, ..area };
    let cpu = Gauge {
        label: "cpu",
        value: words::percent(worker.usage.cpu),
        of: |p| p.cpu,
        ramp: Ramp::Cpu,
        least: 20.0,
        full: 100.0,
        now: worker.usage.cpu,
    };
    cpu.draw(buf, left, theme, state.marks, &points);
    let top = limit.unwrap_or(memory * 1.3);
    let memory = Gauge {
        label: "mem",
        value: words::bytes(worker.usage.memory),
        of: |p| p.memory,
        ramp: Ramp::Memory,
        least: top,
        full: limit.unwrap_or(top * 2.0),
        now: memory,
    };
    memory.draw(buf, right, theme, state.marks, &points);
    let (Some(node), true) = (worker.node, area.height >= 5) else { return 1 };
    let muted = theme.style(Hue::Muted);
    let pair = |label: &str, value: String, style: Style| {
        vec![(format!("{label} "), muted), (format!("{value}  "), style)]
    };
    let groups = [
        pair("req/s", words::rate(node.rps), theme.style(Hue::Cool)),
        pair("p95", words::millis(node.http_p95), theme.style(Hue::Text)),
        pair("loop", words::millis(node.loop_p95), muted),
    ];
    put::groups(buf, area.x + 1, area.y + 1, area.width.saturating_sub(1), &groups);
    2
}

/// A figure with its last seconds beside it.
struct Gauge {
    label: &'static str,
    value: String,
    of: Quantity,
    ramp: Ramp,
    /// The scale ends at least here.
    least: f32,
    /// Here the ramp is at its end.
    full: f32,
    now: f32,
}

impl Gauge {
    fn draw(&self, buf: &mut Buffer, area: Rect, theme: &Theme, marks: Marks, points: &[Point]) {
        let x = put::left(buf, area.x + 1, area.y, 4, self.label, theme.style(Hue::Muted));
        let style = Style::new().fg(theme.ramp(self.ramp, self.now / self.full));
        put::right(buf, x + 1, area.y, 5, &self.value, style);
        let graph = Rect { x: x + 7, width: area.right().saturating_sub(x + 8), ..area };
        let values: Vec<f32> = points.iter().map(self.of).collect();
        let top = values.iter().copied().fold(self.least, f32::max);
        marks.area(buf, graph, &values, top, |level| theme.ramp(self.ramp, level * top / self.full));
    }
}
