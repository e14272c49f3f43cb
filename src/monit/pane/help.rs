//! All keys, from the key map itself, in a box over the body.

use crate::monit::keymap::{BINDINGS, Group};
use crate::monit::layout;
use crate::monit::state::State;
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::{border, put};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

/// Cells of a column of the help.
const COLUMN: u16 = 38;

enum Entry {
    Heading(&'static str),
    Key(String, &'static str),
    Blank,
}

/// Draws the box.
pub fn draw(buf: &mut Buffer, body: Rect, state: &State, theme: &Theme) {
    let area = area(body, state);
    Clear.render(area, buf);
    let inner = border::frame(buf, area, theme.style(Hue::Accent));
    let x = border::title(buf, area, "Keys", theme.bold(Hue::Accent));
    border::remark(buf, area, x, "? or esc closes", theme.style(Hue::Muted));
    let columns = columns(body, state);
    let first = usize::from(state.help.unwrap_or(0));
    for (column, entries) in columns.iter().enumerate() {
        let x = inner.x + 1 + COLUMN * column as u16;
        for (n, entry) in entries.iter().skip(first).take(usize::from(inner.height)).enumerate() {
            let y = inner.y + n as u16;
            let room = inner.right().saturating_sub(x).min(COLUMN);
            match entry {
                Entry::Heading(text) => {
                    put::left(buf, x, y, room.saturating_sub(1), text, theme.bold(Hue::Text));
                }
                Entry::Key(keys, words) => {
                    put::left(buf, x, y, 9.min(room), keys, theme.style(Hue::Accent));
                    put::left(buf, x + 10, y, room.saturating_sub(11), words, theme.style(Hue::Muted));
                }
                Entry::Blank => {}
            }
        }
    }
    if overflow(state) > 0 {
        border::below(buf, area, "j k scroll", theme.style(Hue::Muted));
    }
}

/// Lines of the help that do not fit.
pub fn overflow(state: &State) -> u16 {
    let body = layout::areas(state).body;
    let inner = layout::inside(area(body, state));
    (height(&columns(body, state)) as u16).saturating_sub(inner.height)
}

fn area(body: Rect, state: &State) -> Rect {
    let columns = columns(body, state);
    let width = (COLUMN * columns.len() as u16 + 2).min(body.width);
    let height = (height(&columns) as u16 + 2).min(body.height);
    Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height }
}

fn height(columns: &[Vec<Entry>]) -> usize {
    columns.iter().map(Vec::len).max().unwrap_or(0)
}

/// The groups dealt out to as many columns as fit, at most three, of about the same height.
fn columns(body: Rect, state: &State) -> Vec<Vec<Entry>> {
    let n = usize::from((body.width.saturating_sub(2) / COLUMN).clamp(1, 3));
    let mut columns: Vec<Vec<Entry>> = (0..n).map(|_| Vec::new()).collect();
    for group in Group::ALL {
        let entries = entries(group, state);
        if entries.is_empty() {
            continue;
        }
        let Some(shortest) = columns.iter_mut().min_by_key(|column| column.len()) else { break };
        if !shortest.is_empty() {
            shortest.push(Entry::Blank);
        }
        shortest.push(Entry::Heading(group.title()));
        shortest.extend(entries);
    }
    columns
}

fn entries(group: Group, state: &State) -> Vec<Entry> {
    let of_group = BINDINGS.iter().filter(|binding| binding.group == group);
    let allowed = of_group.filter(|binding| !(state.read_only && binding.action.is_verb()));
    allowed.map(|binding| Entry::Key(binding.label(), binding.words)).collect()
}
