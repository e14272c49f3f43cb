//! Which key means what: the one table that key presses, the help and the footer are made from.

use super::action::Action;
use super::state::Tab;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key, with or without Ctrl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    code: KeyCode,
    ctrl: bool,
}

/// Where a binding stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Views and panes.
    Look,
    /// Moving about.
    Move,
    /// Verbs.
    Act,
    /// Logs.
    Logs,
    /// Table.
    Table,
}

impl Group {
    /// In the order of the help.
    pub const ALL: [Group; 5] = [Group::Act, Group::Look, Group::Move, Group::Table, Group::Logs];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Look => "Views",
            Group::Move => "Moving",
            Group::Act => "Acting on row, marked rows or app",
            Group::Logs => "Logs",
            Group::Table => "Table",
        }
    }
}

/// Keys for one action.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Any of these.
    pub keys: &'static [Press],
    /// What they mean.
    pub action: Action,
    /// Where the help lists it.
    pub group: Group,
    /// What it does, in a few words.
    pub words: &'static str,
}

const fn key(c: char) -> Press {
    Press { code: KeyCode::Char(c), ctrl: false }
}

const fn ctrl(c: char) -> Press {
    Press { code: KeyCode::Char(c), ctrl: true }
}

const fn code(code: KeyCode) -> Press {
    Press { code, ctrl: false }
}

const fn bind(keys: &'static [Press], action: Action, group: Group, words: &'static str) -> Binding {
    Binding { keys, action, group, words }
}

/// All of them.
pub const BINDINGS: &[Binding] = &[
    bind(&[key('r')], Action::Restart, Group::Act, "restart"),
    bind(&[key('R')], Action::Reload, Group::Act, "reload without a gap"),
    bind(&[key('s')], Action::Stop, Group::Act, "stop"),
    bind(&[key('S')], Action::Start, Group::Act, "start"),
    bind(&[key('x'), code(KeyCode::Delete)], Action::Delete, Group::Act, "delete (asks)"),
    bind(&[key('+'), key('=')], Action::More, Group::Act, "one instance more"),
    bind(&[key('-')], Action::Fewer, Group::Act, "one instance fewer"),
    bind(&[key('0')], Action::Reset, Group::Act, "zero the restart counter"),
    bind(&[code(KeyCode::Enter), key('z')], Action::Zoom, Group::Look, "zoom"),
    bind(&[code(KeyCode::Esc)], Action::Back, Group::Look, "back"),
    bind(&[key('v')], Action::Wall, Group::Look, "fleet or wall"),
    bind(&[key('b')], Action::Marks, Group::Look, "blocks or braille"),
    bind(&[code(KeyCode::Tab)], Action::NextPane, Group::Look, "next pane"),
    bind(&[code(KeyCode::BackTab)], Action::PreviousPane, Group::Look, "pane before"),
    bind(&[key('1')], Action::Tab(Tab::Logs), Group::Look, "logs"),
    bind(&[key('2')], Action::Tab(Tab::Graphs), Group::Look, "graphs"),
    bind(&[key('3')], Action::Tab(Tab::Events), Group::Look, "events"),
    bind(&[key('4')], Action::Tab(Tab::Metadata), Group::Look, "metadata"),
    bind(&[key('?'), code(KeyCode::F(1))], Action::Help, Group::Look, "these keys"),
    bind(&[key('q'), ctrl('c')], Action::Quit, Group::Look, "quit"),
    bind(&[ctrl('z')], Action::Suspend, Group::Look, "suspend"),
    bind(&[ctrl('l')], Action::Repaint, Group::Look, "draw anew"),
    bind(&[key('k'), code(KeyCode::Up)], Action::Up, Group::Move, "up"),
    bind(&[key('j'), code(KeyCode::Down)], Action::Down, Group::Move, "down"),
    bind(&[key('h'), code(KeyCode::Left)], Action::Left, Group::Move, "fold, tab before, left"),
    bind(&[key('l'), code(KeyCode::Right)], Action::Right, Group::Move, "unfold, next tab, right"),
    bind(&[code(KeyCode::PageUp), ctrl('u'), ctrl('b')], Action::PageUp, Group::Move, "page up"),
    bind(&[code(KeyCode::PageDown), ctrl('d'), ctrl('f')], Action::PageDown, Group::Move, "page down"),
    bind(&[key('g'), code(KeyCode::Home)], Action::Top, Group::Move, "beginning"),
    bind(&[key('G'), code(KeyCode::End)], Action::Bottom, Group::Move, "end"),
    bind(&[key(' ')], Action::Mark, Group::Table, "mark"),
    bind(&[key('/')], Action::Find, Group::Table, "filter (logs: search)"),
    bind(&[key('>'), key('.')], Action::SortNext, Group::Table, "sort by next column"),
    bind(&[key('<'), key(',')], Action::SortPrevious, Group::Table, "by column before"),
    bind(&[key('i')], Action::Reverse, Group::Table, "reverse the order"),
    bind(&[key('a')], Action::Scope, Group::Logs, "selection, app, all"),
    bind(&[key('n')], Action::NextMatch, Group::Logs, "next older match"),
    bind(&[key('N')], Action::PreviousMatch, Group::Logs, "next newer match"),
    bind(&[key('&')], Action::OnlyMatches, Group::Logs, "only matches"),
    bind(&[key('e')], Action::NewestError, Group::Logs, "newest error"),
    bind(&[key('o')], Action::Streams, Group::Logs, "stdout, stderr, both"),
    bind(&[key('w')], Action::Wrap, Group::Logs, "wrap"),
    bind(&[key('t')], Action::Times, Group::Logs, "times"),
    bind(&[key('c')], Action::Clear, Group::Logs, "clear"),
    bind(&[key('f')], Action::Follow, Group::Logs, "follow"),
];

/// What a key means.
pub fn action(event: &KeyEvent) -> Option<Action> {
    let press = Press { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) };
    BINDINGS.iter().find(|binding| binding.keys.contains(&press)).map(|binding| binding.action)
}

impl Press {
    /// As the help shows it.
    pub fn label(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Enter => "⏎".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::BackTab => "S-tab".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            other => other.to_string().to_lowercase(),
        };
        if self.ctrl { format!("^{name}") } else { name }
    }
}

impl Binding {
    /// All its keys.
    pub fn label(&self) -> String {
        self.keys.iter().take(2).map(|press| press.label()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let mut seen: Vec<Press> = Vec::new();
        for press in BINDINGS.iter().flat_map(|binding| binding.keys) {
            assert!(!seen.contains(press), "{} twice", press.label());
            seen.push(*press);
        }
    }

    #[test]
    fn every_group_of_the_help_has_bindings() {
        for group in Group::ALL {
            assert!(BINDINGS.iter().any(|binding| binding.group == group), "{group:?}");
        }
    }
}
