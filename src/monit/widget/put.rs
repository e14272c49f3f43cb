//! Text into cells, cut and aligned.

use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::style::Style;

/// Writes from `x` on, at most `room` cells; `…` where it is cut. Returns the next free column.
pub fn left(buf: &mut Buffer, x: u16, y: u16, room: u16, text: &str, style: Style) -> u16 {
    if room == 0 || !buf.area.contains((x, y).into()) {
        return x;
    }
    let text = words::fit(text, room);
    buf.set_stringn(x, y, &text, usize::from(room), style).0
}

/// Writes so that the text ends with the field. Returns the next free column.
pub fn right(buf: &mut Buffer, x: u16, y: u16, room: u16, text: &str, style: Style) -> u16 {
    let pad = room.saturating_sub(words::width(text));
    left(buf, x + pad, y, room - pad, text, style)
}

/// Text with its style.
pub type Piece = (String, Style);

/// Groups of pieces one after the other; stops where the next group does not fit in whole.
pub fn groups(buf: &mut Buffer, x: u16, y: u16, room: u16, groups: &[Vec<Piece>]) -> u16 {
    let end = x + room;
    let mut at = x;
    for group in groups {
        // Blanks at the end of a group may be cut.
        let text: String = group.iter().map(|(text, _)| text.as_str()).collect();
        if at + words::width(text.trim_end()) > end {
            break;
        }
        for (text, style) in group {
            let fits = at + words::width(text) <= end;
            let text = if fits { text.as_str() } else { text.trim_end() };
            at = left(buf, at, y, end.saturating_sub(at), text, *style);
        }
    }
    at
}
