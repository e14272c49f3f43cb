//! Rounded frames.

use super::put;
use crate::monit::layout;
use crate::monit::theme::{Hue, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, BorderType, Widget};

/// Draws a frame in this style; returns what is inside.
pub fn frame(buf: &mut Buffer, area: Rect, style: Style) -> Rect {
    Block::bordered().border_type(BorderType::Rounded).border_style(style).render(area, buf);
    layout::inside(area)
}

/// The frame of a pane: brighter with the focus.
pub fn pane(buf: &mut Buffer, area: Rect, theme: &Theme, focused: bool) -> Rect {
    frame(buf, area, theme.style(if focused { Hue::Accent } else { Hue::Faint }))
}

/// A title in the upper border; returns the next free column.
pub fn title(buf: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    put::left(buf, area.x + 2, area.y, area.width.saturating_sub(4), &format!(" {text} "), style)
}

/// A remark at the right end of the upper border, if there is room behind column `from`.
pub fn remark(buf: &mut Buffer, area: Rect, from: u16, text: &str, style: Style) {
    at_right(buf, area, area.y, from, text, style);
}

/// A remark at the right end of the lower border.
pub fn below(buf: &mut Buffer, area: Rect, text: &str, style: Style) {
    at_right(buf, area, area.bottom().saturating_sub(1), area.x + 1, text, style);
}

fn at_right(buf: &mut Buffer, area: Rect, y: u16, from: u16, text: &str, style: Style) {
    let text = format!(" {text} ");
    let width = crate::monit::words::width(&text);
    let end = area.right().saturating_sub(2);
    if text.len() > 2 && end >= from + width {
        put::left(buf, end - width, y, width, &text, style);
    }
}
