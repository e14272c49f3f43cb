//! The bottom line: a question, what came of an order, or the keys that matter here.

use crate::monit::action::Action;
use crate::monit::keymap::{BINDINGS, Binding};
use crate::monit::state::prompt::Prompt;
use crate::monit::state::{Link, Pane, State, View};
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::put::{self, Piece};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Draws the line.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let (x, room) = (area.x + 1, area.width.saturating_sub(2));
    if let Some(prompt) = &state.prompt {
        ask(buf, x, area.y, room, prompt, theme);
        return;
    }
    if let Some(what) = state.pending.values().next_back() {
        let frame = SPINNER[(state.now.boot_ms / 100 % 10) as usize];
        let more = state.pending.len() - 1;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        put::left(buf, x, area.y, room, &format!("{frame} {what}{more} …"), theme.style(Hue::Accent));
        return;
    }
    if let Some(notice) = &state.notice {
        let (symbol, hue) = if notice.bad { ("✖", Hue::Bad) } else { ("✓", Hue::Good) };
        put::left(buf, x, area.y, room, &format!("{symbol} {}", notice.text), theme.style(hue));
        return;
    }
    put::groups(buf, x, area.y, room, &hints(state, theme));
}

fn ask(buf: &mut Buffer, x: u16, y: u16, room: u16, prompt: &Prompt, theme: &Theme) {
    let (label, text, hint) = match prompt {
        Prompt::Filter { text, .. } => ("filter", text.as_str(), "cpu>20 mem>100M status:errored !word"),
        Prompt::Search { text } => ("search", text.as_str(), "regular expression"),
        Prompt::Confirm { question, .. } => (question.as_str(), "", "y yes · any other key no"),
    };
    let end = x + room;
    let label_hue = if matches!(prompt, Prompt::Confirm { .. }) { Hue::Bad } else { Hue::Accent };
    let mut at = put::left(buf, x, y, room, &format!("{label} "), theme.bold(label_hue));
    at = put::left(buf, at, y, end.saturating_sub(at + 1), text, theme.style(Hue::Text));
    if at < end {
        if !matches!(prompt, Prompt::Confirm { .. }) {
            put::left(buf, at, y, 1, " ", Style::new().add_modifier(Modifier::REVERSED));
        }
        if text.is_empty() {
            put::left(buf, at + 2, y, end.saturating_sub(at + 2), hint, theme.style(Hue::Muted));
        }
    }
}

/// The most useful keys of where the focus is, the most useful first.
fn hints(state: &State, theme: &Theme) -> Vec<Vec<Piece>> {
    let acting = [Action::Restart, Action::Reload, Action::Stop, Action::Delete, Action::More];
    let here: &[Action] = match (state.zoomed, state.focus, state.view) {
        (true, _, _) => {
            &[Action::Back, Action::Find, Action::NextMatch, Action::Scope, Action::Wrap, Action::Times]
        }
        (false, Pane::Table, View::Fleet) => {
            &[Action::Help, Action::Zoom, Action::Wall, Action::Find, Action::Mark]
        }
        (false, Pane::Table, View::Wall) => &[Action::Help, Action::Zoom, Action::Wall, Action::Find],
        (false, Pane::Logs, _) => &[
            Action::Help,
            Action::Find,
            Action::NextMatch,
            Action::Scope,
            Action::Wrap,
            Action::Times,
            Action::NewestError,
        ],
        (false, Pane::Detail, _) => {
            &[Action::Help, Action::Zoom, Action::Left, Action::Right, Action::NextPane]
        }
    };
    let can_act = !state.read_only && state.link == Link::Up && state.focus == Pane::Table && !state.zoomed;
    let verbs = acting.iter().filter(|_| can_act);
    let all = here.iter().chain(verbs).chain(&[Action::Quit]);
    all.filter_map(|action| BINDINGS.iter().find(|b| b.action == *action)).map(|b| hint(b, theme)).collect()
}

fn hint(binding: &Binding, theme: &Theme) -> Vec<Piece> {
    let key = binding.keys.first().map(|press| press.label()).unwrap_or_default();
    let words = match binding.action {
        Action::Help => "help",
        Action::Wall => "wall",
        Action::Find => "find",
        Action::Reload => "reload",
        Action::Delete => "delete",
        Action::More => "scale up",
        Action::NextMatch => "next",
        Action::Scope => "whose",
        Action::Left => "tab before",
        Action::Right => "next tab",
        _same => binding.words,
    };
    vec![(format!("{key} "), theme.bold(Hue::Accent)), (format!("{words}  "), theme.style(Hue::Muted))]
}
