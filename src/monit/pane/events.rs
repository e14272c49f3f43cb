//! What happened to the selection, newest first.

use crate::model::change::{Change, What};
use crate::monit::state::State;
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::put;
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the events.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let ids = state.selected_ids();
    let name = state.selected_worker().map(|w| w.app.name.clone()).unwrap_or_default();
    let ours = |change: &&Change| ids.contains(&change.worker) || (ids.len() > 1 && change.name == name);
    let found: Vec<&Change> = state.fleet.changes.iter().rev().filter(ours).collect();
    if found.is_empty() {
        let text = "nothing has happened since the screen opened";
        put::left(buf, area.x + 1, area.y, area.width.saturating_sub(2), text, theme.style(Hue::Muted));
        return;
    }
    let first = usize::from(state.tab_scroll).min(found.len().saturating_sub(1));
    for (n, change) in found.iter().skip(first).take(usize::from(area.height)).enumerate() {
        let y = area.y + n as u16;
        let end = area.right().saturating_sub(1);
        let room = |x: u16| end.saturating_sub(x);
        let mut x = put::left(
            buf,
            area.x + 1,
            y,
            room(area.x + 1),
            &clock(state, change.at.wall_ms),
            theme.style(Hue::Muted),
        );
        if ids.len() > 1 {
            let label = state.label(change.worker);
            x = put::left(buf, x + 1, y, room(x + 1), &label, theme.label(change.worker.0));
        }
        let (symbol, text, style) = tell(change, theme);
        x = put::left(buf, x + 1, y, room(x + 1), symbol, style);
        put::left(buf, x + 1, y, room(x + 1), &text, style);
    }
}

fn tell(change: &Change, theme: &Theme) -> (&'static str, String, Style) {
    match &change.what {
        What::Spawned { pid } => ("+", format!("started as pid {pid}"), theme.style(Hue::Text)),
        What::State { state, reason } => {
            (words::symbol(*state), format!("{}: {reason}", words::state(*state)), theme.state(*state))
        }
        What::Exited { pid, exit, wanted } => {
            let hue = if *wanted { Hue::Muted } else { Hue::Bad };
            let asked = if *wanted { ", as asked" } else { "" };
            ("−", format!("pid {pid} ended: {exit}{asked}"), theme.style(hue))
        }
        What::Listening { address } => ("⇄", format!("listens on {address}"), theme.style(Hue::Cool)),
        What::Deleted => ("×", "deleted".to_owned(), theme.style(Hue::Muted)),
        What::Note { text } => ("·", text.clone(), theme.style(Hue::Warn)),
    }
}

/// Time of day, `14:03:02`.
pub fn clock(state: &State, wall_ms: i64) -> String {
    zoned(state, wall_ms).map(|t| t.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}

/// Time of day, `14:03:02.123`.
pub fn clock_millis(state: &State, wall_ms: i64) -> String {
    zoned(state, wall_ms).map(|t| t.strftime("%H:%M:%S%.3f").to_string()).unwrap_or_default()
}

/// Date and time of day.
pub fn date(state: &State, wall_ms: i64) -> String {
    zoned(state, wall_ms).map(|t| t.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn zoned(state: &State, wall_ms: i64) -> Option<jiff::Zoned> {
    Some(jiff::Timestamp::from_millisecond(wall_ms).ok()?.to_zoned(state.zone.clone()))
}
