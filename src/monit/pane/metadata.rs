//! What `describe` shows, of the selected worker or the first of the selected app.

use super::events;
use crate::model::snapshot::WorkerView;
use crate::monit::state::State;
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::put;
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the pairs, in two columns where there is room.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let Some(worker) = state.selected_worker() else { return };
    let pairs = pairs(worker, state, theme);
    let columns = if area.width >= 110 { 2 } else { 1 };
    let rows = (pairs.len() as u16).div_ceil(columns);
    let first = state.tab_scroll.min(rows.saturating_sub(area.height));
    for (n, (key, value, style)) in pairs.iter().enumerate() {
        let (column, row) = (n as u16 / rows, n as u16 % rows);
        let Some(row) = row.checked_sub(first).filter(|row| *row < area.height) else { continue };
        let x = area.x + 1 + area.width / columns * column;
        let end = area.x + area.width / columns * (column + 1);
        put::left(buf, x, area.y + row, 18.min(end.saturating_sub(x)), key, theme.style(Hue::Muted));
        put::left(buf, x + 19, area.y + row, end.saturating_sub(x + 20), value, *style);
    }
}

fn pairs(worker: &WorkerView, state: &State, theme: &Theme) -> Vec<(&'static str, String, Style)> {
    let app = &worker.app;
    let or_none = |text: Option<String>| text.filter(|t| !t.is_empty()).unwrap_or_else(|| "–".to_owned());
    let mut pairs = vec![
        (
            "status",
            format!("{} {}", words::symbol(worker.state), worker.state.pm2_name()),
            theme.state(worker.state),
        ),
        ("why", worker.why(), theme.style(Hue::Text)),
    ];
    if let Some(trouble) = &worker.log_trouble {
        pairs.push(("log trouble", trouble.told(state.as_of()), theme.style(Hue::Bad)));
    }
    let mut add = |key, value: String| pairs.push((key, value, theme.style(Hue::Text)));
    add("name", format!("{} (id {}, instance {})", app.name, worker.id, worker.instance));
    add("namespace", app.namespace.clone());
    add("version", or_none(app.version.clone()));
    add("restarts", format!("{} ({} unstable)", worker.restarts, worker.unstable_restarts));
    add("uptime", words::span(worker.uptime(state.as_of())));
    add("created", events::date(state, worker.created.wall_ms));
    add("last exit", or_none(worker.last_exit.map(|exit| exit.to_string())));
    add("script", app.program.script.display().to_string());
    add("args", or_none(Some(app.program.args.join(" "))));
    add("interpreter", app.program.interpreter.clone());
    add("interpreter args", or_none(Some(app.program.interpreter_args.join(" "))));
    add("node.js", or_none(worker.node_version().map(str::to_owned)));
    add("cwd", app.cwd.display().to_string());
    add("mode", app.mode.pm2_name().to_owned());
    add("listening", or_none(Some(worker.listening.join(" "))));
    add("processes", worker.usage.processes.to_string());
    add("max memory", or_none(app.limits.max_memory.map(words::bytes)));
    add("kill timeout", format!("{} ms", app.stop.kill_timeout.as_millis()));
    add("out log", or_none(worker.out_file.clone()));
    add("error log", or_none(worker.error_file.clone()));
    add("pid file", or_none(worker.pid_file.clone()));
    if let Some(node) = &worker.node {
        add("heap", format!("{} of {}", words::bytes(node.heap_used), words::bytes(node.heap_total)));
        add(
            "event loop",
            format!(
                "p50 {} p95 {}, {:.0}% busy",
                words::millis(node.loop_p50),
                words::millis(node.loop_p95),
                node.elu * 100.0
            ),
        );
        add("handles", node.handles.to_string());
    }
    if let Some(axm) = &worker.axm {
        for (name, metric) in axm.monitor.iter().take(40) {
            pairs.push(("metric", metric_text(name, metric), theme.style(Hue::Cool)));
        }
    }
    pairs
}

/// `Active requests 3`; what an app sends may be anything, so control characters go.
fn metric_text(name: &str, metric: &serde_json::Value) -> String {
    let plain = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let value = metric.get("value").map(plain).unwrap_or_default();
    let unit = metric.get("unit").map(plain).unwrap_or_default();
    let text = format!("{name} {value} {unit}");
    text.chars().filter(|c| !c.is_control()).collect()
}
