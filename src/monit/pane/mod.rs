//! The screen, drawn from `&State` alone: each pane one area.

pub mod cells;
pub mod columns;
pub mod detail;
pub mod events;
pub mod footer;
pub mod graphs;
pub mod help;
pub mod logs;
pub mod metadata;
pub mod summary;
pub mod table;
pub mod wall;

use super::layout;
use super::state::{Link, State};
use super::theme::{Hue, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

/// Draws everything. `state.size` is the buffer's.
pub fn draw(buf: &mut Buffer, state: &State, theme: &Theme) {
    let areas = layout::areas(state);
    summary::draw(buf, areas.header, state, theme);
    if let Some(area) = areas.table {
        table::draw(buf, area, state, theme);
    }
    if let Some(area) = areas.logs {
        logs::draw(buf, area, state, theme);
    }
    if let Some(area) = areas.detail {
        detail::draw(buf, area, state, theme);
    }
    if let Some(area) = areas.wall {
        wall::draw(buf, area, state, theme);
    }
    if matches!(state.link, Link::Gone { .. }) {
        // What is shown is what was: grey.
        grey(buf, areas.body, theme);
        grey(buf, areas.header, theme);
        summary::connection(buf, areas.header, state, theme);
    }
    footer::draw(buf, areas.footer, state, theme);
    if state.help.is_some() {
        grey(buf, areas.body, theme);
        help::draw(buf, areas.body, state, theme);
    }
}

fn grey(buf: &mut Buffer, area: Rect, theme: &Theme) {
    let selected = theme.style(Hue::Selected).bg;
    let style = theme.style(Hue::Muted).remove_modifier(Modifier::BOLD);
    for position in area.intersection(buf.area).positions() {
        let cell = &mut buf[position];
        let ground = if selected == Some(cell.bg) { cell.bg } else { Color::Reset };
        cell.set_style(style.bg(ground));
    }
}
