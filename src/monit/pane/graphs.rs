//! The samples of the selection since the screen opened: CPU, memory, requests, response times.

use crate::model::Bytes;
use crate::monit::state::State;
use crate::monit::state::history::{Point, Quantity};
use crate::monit::theme::{Hue, Ramp, Theme};
use crate::monit::widget::plot::{self, Marks};
use crate::monit::widget::put;
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

/// A graph is not lower than this, with its title.
const MIN_HEIGHT: u16 = 3;

struct Chart {
    title: &'static str,
    of: Quantity,
    ramp: Ramp,
    unit: fn(f32) -> String,
    /// No scale ends below this.
    least_top: f32,
    limit: Option<f32>,
    /// Where the gradient ends; `None`: with the picture.
    full: Option<f32>,
    /// Several areas, one over the other, instead of one: response times.
    lines: &'static [(&'static str, Quantity, Hue)],
}

/// Draws as many graphs as fit, in one or two columns or all in a row.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let ids = state.selected_ids();
    if ids.is_empty() || area.height < 2 {
        return;
    }
    let serves = state.fleet.totals_of(&ids).serves;
    let charts = charts(state, ids.len(), serves);
    let columns = columns(area, charts.len() as u16);
    let rows = (charts.len() as u16).div_ceil(columns).min((area.height / MIN_HEIGHT).max(1));
    let points = state.fleet.points(&ids, usize::from(area.width) * 2);
    for (n, chart) in charts.iter().take(usize::from(columns * rows)).enumerate() {
        let (column, row) = (n as u16 % columns, n as u16 / columns);
        let x = |i: u16| area.width * i / columns;
        let y = |i: u16| area.height * i / rows;
        let gap = u16::from(column + 1 < columns);
        let place = Rect {
            x: area.x + x(column),
            y: area.y + y(row),
            width: x(column + 1) - x(column) - gap,
            height: y(row + 1) - y(row),
        };
        chart.draw(buf, place, &points, theme, state.marks);
    }
}

fn columns(area: Rect, n: u16) -> u16 {
    let in_a_row = area.width / n.max(1) >= 30;
    match n {
        _ if in_a_row && area.height < 2 * MIN_HEIGHT * 2 => n,
        3.. if area.width >= 44 => 2,
        2 if in_a_row => 2,
        _ => 1,
    }
}

fn charts(state: &State, workers: usize, serves: bool) -> Vec<Chart> {
    let limit = state.selected_worker().and_then(|w| w.app.limits.max_memory).map(|b| b.get() as f32);
    let mut charts = vec![
        Chart {
            title: "cpu",
            of: |p| p.cpu,
            ramp: Ramp::Cpu,
            unit: words::percent,
            least_top: 10.0,
            limit: None,
            full: Some(100.0 * workers as f32),
            lines: &[],
        },
        Chart {
            title: "memory",
            of: |p| p.memory,
            ramp: Ramp::Memory,
            unit: |bytes| words::bytes(Bytes(bytes as u64)),
            least_top: 1e6,
            limit: limit.map(|limit| limit * workers as f32),
            full: Some(limit.unwrap_or(1e9) * workers as f32),
            lines: &[],
        },
    ];
    if serves {
        charts.push(Chart {
            title: "requests/s",
            of: |p| p.rps,
            ramp: Ramp::Rate,
            unit: words::rate,
            least_top: 1.0,
            limit: None,
            full: None,
            lines: &[],
        });
        charts.push(Chart {
            title: "latency",
            of: |p| p.p99,
            ramp: Ramp::Latency,
            unit: words::millis,
            least_top: 1.0,
            limit: None,
            full: None,
            lines: &[
                ("p99", |p| p.p99, Hue::Muted),
                ("p95", |p| p.p95, Hue::Mark),
                ("p50", |p| p.p50, Hue::Cool),
            ],
        });
    }
    charts
}

impl Chart {
    fn draw(&self, buf: &mut Buffer, area: Rect, points: &[Point], theme: &Theme, marks: Marks) {
        let values: Vec<f32> = points.iter().map(self.of).collect();
        let place = Rect {
            x: area.x + 1,
            y: area.y + 1,
            width: area.width.saturating_sub(2),
            height: area.height.saturating_sub(1),
        };
        let seen = values.len().saturating_sub(usize::from(place.width) * marks.samples());
        let values = values.get(seen..).unwrap_or(&values);
        let peak = values.iter().copied().fold(0.0, f32::max);
        // The limit is in the picture once memory comes near it; far below, it would flatten the curve.
        let near = self.limit.filter(|limit| peak > limit * 0.4);
        let top = near.map_or(peak * 1.15, |limit| (limit * 1.1).max(peak * 1.05)).max(self.least_top);
        self.heading(buf, area, points, peak, theme);
        if place.height == 0 || place.width < 4 {
            return;
        }
        if self.lines.is_empty() {
            let full = self.full.unwrap_or(top);
            marks.area(buf, place, values, top, |level| theme.ramp(self.ramp, level * top / full));
        }
        for (_, of, hue) in self.lines {
            let line: Vec<f32> = points.iter().map(of).collect();
            let colour = theme.style(*hue).fg.unwrap_or_default();
            marks.area(buf, place, &line, top, |_| colour);
        }
        if let Some(limit) = near {
            plot::limit(buf, place, limit / top, theme.style(Hue::Bad));
        }
    }

    fn heading(&self, buf: &mut Buffer, area: Rect, points: &[Point], peak: f32, theme: &Theme) {
        let now = points.last().copied().unwrap_or_default();
        let mut groups = vec![vec![(format!("{} ", self.title), theme.style(Hue::Muted))]];
        if self.lines.is_empty() {
            let style = Style::new().fg(theme.ramp(self.ramp, 0.0)).add_modifier(Modifier::BOLD);
            groups.push(vec![(format!("{} ", (self.unit)((self.of)(&now))), style)]);
        }
        for (name, of, hue) in self.lines.iter().rev() {
            groups.push(vec![
                (format!("{name} "), theme.style(Hue::Muted)),
                (format!("{} ", (self.unit)(of(&now))), theme.style(*hue)),
            ]);
        }
        let x = put::groups(buf, area.x + 1, area.y, area.width.saturating_sub(1), &groups);
        let mut right = format!("max {}", (self.unit)(peak));
        if let Some(limit) = self.limit {
            right = format!("{right} · limit {}", (self.unit)(limit));
        }
        let end = (area.right()).saturating_sub(1);
        if end > x + words::width(&right) {
            put::right(buf, x, area.y, end - x, &right, theme.style(Hue::Muted));
        }
    }
}
