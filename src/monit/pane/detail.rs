//! The tabs of the selection, in one frame.

use super::{events, graphs, logs, metadata};
use crate::monit::layout;
use crate::monit::state::{Pane, State, Tab};
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::{border, put};
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

/// Draws the shown tab.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let inner = border::pane(buf, area, theme, state.focus == Pane::Detail);
    // On the page of a worker only its graphs stand above the log.
    if state.zoomed && state.focus == Pane::Table {
        let x = border::title(buf, area, &state.selected_name(), theme.bold(Hue::Text));
        border::remark(buf, area, x, &describe(state), theme.style(Hue::Muted));
        graphs::draw(buf, inner, state, theme);
        return;
    }
    let apart = layout::logs_apart(state);
    let shown = state.shown_tab(apart);
    let mut x = area.x + 2;
    for (tab, span) in layout::tab_spans(area, apart) {
        let style = match tab == shown {
            true => theme.bold(Hue::Accent).add_modifier(Modifier::UNDERLINED),
            false => theme.style(Hue::Muted),
        };
        put::left(buf, span.x, span.y, 1, " ", theme.style(Hue::Text));
        put::left(buf, span.x + 1, span.y, span.width.saturating_sub(2), tab.title(), style);
        put::left(buf, span.right() - 1, span.y, 1, " ", theme.style(Hue::Text));
        x = span.right();
    }
    let name = state.selected_name();
    match shown {
        Tab::Logs => {
            logs::remarks(buf, area, x, state, theme);
            logs::lines(buf, inner, state, theme);
        }
        Tab::Graphs => {
            border::remark(buf, area, x, &name, theme.style(Hue::Muted));
            graphs::draw(buf, inner, state, theme);
        }
        Tab::Events => {
            border::remark(buf, area, x, &name, theme.style(Hue::Muted));
            events::draw(buf, inner, state, theme);
        }
        Tab::Metadata => {
            border::remark(buf, area, x, &name, theme.style(Hue::Muted));
            metadata::draw(buf, inner, state, theme);
        }
    }
}

/// The selection in one line.
fn describe(state: &State) -> String {
    let ids = state.selected_ids();
    let totals = state.fleet.totals_of(&ids);
    let Some(worker) = state.selected_worker().filter(|_| ids.len() == 1) else {
        return format!("{}/{} online · ↺ {}", totals.online, totals.workers, totals.restarts);
    };
    if let Some((why, _)) = super::table::explanation(worker, state) {
        return format!("{} {} · {why}", words::symbol(worker.state), words::state(worker.state));
    }
    let pid = worker.pid.map(|pid| format!(" · pid {pid}")).unwrap_or_default();
    format!(
        "{} {} {} · ↺ {}{pid}",
        words::symbol(worker.state),
        words::state(worker.state),
        words::span(worker.uptime(state.as_of())),
        worker.restarts,
    )
}
