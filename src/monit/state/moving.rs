//! What each action does to the state, but for verbs.

use super::prompt::Prompt;
use super::reader::{Scope, Streams};
use super::rows::{Row, RowKey};
use super::{Pane, State, Tab, View};
use crate::monit::action::Action;
use crate::monit::event::Deed;
use crate::monit::layout;
use crate::monit::widget::plot::Marks;

/// Columns that one key press scrolls a long log line.
const SHIFT: u16 = 16;

impl State {
    pub(super) fn act(&mut self, action: Action) -> Vec<Deed> {
        if action.is_verb() {
            return self.order(action);
        }
        match action {
            Action::Quit => return vec![Deed::Quit],
            Action::Suspend => return vec![Deed::Suspend],
            Action::Repaint => return vec![Deed::Repaint],
            Action::Help => self.help = if self.help.is_some() { None } else { Some(0) },
            Action::Back => self.back(),
            _ if self.help.is_some() => self.scroll_help(action),
            Action::Zoom => self.zoomed = !self.zoomed && self.selected.is_some(),
            Action::Wall => {
                self.view = if self.view == View::Wall { View::Fleet } else { View::Wall };
                (self.zoomed, self.focus) = (false, Pane::Table);
            }
            Action::Marks => {
                self.marks = if self.marks == Marks::Blocks { Marks::Braille } else { Marks::Blocks };
            }
            Action::NextPane => self.focus_next(true),
            Action::PreviousPane => self.focus_next(false),
            Action::Tab(tab) => self.show_tab(tab),
            Action::Mark => self.mark(),
            Action::Find => self.open_prompt(),
            Action::SortNext => self.arrangement.sort = self.arrangement.sort.step(true),
            Action::SortPrevious => self.arrangement.sort = self.arrangement.sort.step(false),
            Action::Reverse => self.arrangement.reversed = !self.arrangement.reversed,
            movement => self.go(movement),
        }
        Vec::new()
    }

    fn go(&mut self, action: Action) {
        match action {
            Action::NextMatch => self.find(true),
            Action::PreviousMatch => self.find(false),
            Action::OnlyMatches => {
                self.reader.only_matches = !self.reader.only_matches && self.reader.search.is_some();
            }
            Action::NewestError => self.newest_error(),
            Action::Scope => {
                self.reader.bottom = None;
                self.reader.scope = match self.reader.scope {
                    Scope::Selection => Scope::App,
                    Scope::App => Scope::All,
                    Scope::All => Scope::Selection,
                };
            }
            Action::Streams => {
                self.reader.streams = match self.reader.streams {
                    Streams::Both => Streams::Out,
                    Streams::Out => Streams::Err,
                    Streams::Err => Streams::Both,
                };
            }
            Action::Wrap => (self.reader.wrap, self.reader.shift) = (!self.reader.wrap, 0),
            Action::Times => self.reader.times = !self.reader.times,
            Action::Clear => (self.reader.cleared, self.reader.bottom) = (self.book.next_seq(), None),
            Action::Follow => (self.reader.bottom, self.reader.shift) = (None, 0),
            step => self.step(self.reach(), step),
        }
    }

    /// The pane that movements go to.
    fn reach(&self) -> Pane {
        match (self.zoomed, self.focus) {
            // The page of a worker is its log below its graphs.
            (true, Pane::Table) => Pane::Logs,
            (_, Pane::Detail) if !layout::logs_apart(self) && self.tab == Tab::Logs => Pane::Logs,
            (_, pane) => pane,
        }
    }

    pub(super) fn step(&mut self, pane: Pane, step: Action) {
        match pane {
            Pane::Table if self.view == View::Wall && !self.zoomed => self.step_wall(step),
            Pane::Table => self.step_table(step),
            Pane::Logs => self.step_logs(step),
            Pane::Detail => self.step_detail(step),
        }
    }

    fn step_table(&mut self, step: Action) {
        let page = layout::visible_rows(self).max(2) - 1;
        let last = self.rows.len().saturating_sub(1);
        let to = match step {
            Action::Up => self.cursor.saturating_sub(1),
            Action::Down => self.cursor + 1,
            Action::PageUp => self.cursor.saturating_sub(page),
            Action::PageDown => self.cursor + page,
            Action::Top => 0,
            Action::Bottom => last,
            Action::Left => return self.fold(),
            Action::Right => return self.unfold(),
            _other => return,
        };
        self.select(to.min(last));
    }

    /// Selects the row at this place.
    pub(super) fn select(&mut self, place: usize) {
        if let Some(row) = self.rows.get(place) {
            self.select_key(row.key());
            self.cursor = place;
        }
    }

    pub(super) fn select_key(&mut self, key: RowKey) {
        if self.selected.as_ref() != Some(&key) {
            self.selected = Some(key);
            self.tab_scroll = 0;
            if self.reader.scope != Scope::All {
                (self.reader.bottom, self.reader.shift) = (None, 0);
            }
        }
    }

    fn fold(&mut self) {
        let Some(worker) = self.selected_worker() else { return };
        let name = worker.app.name.clone();
        if self.rows.iter().any(|row| matches!(row, Row::App { name: n, .. } if *n == name)) {
            self.arrangement.folded.insert(name.clone());
            self.select_key(RowKey::App(name));
        }
    }

    fn unfold(&mut self) {
        if let Some(RowKey::App(name)) = &self.selected {
            self.arrangement.folded.remove(name);
        }
    }

    fn step_wall(&mut self, step: Action) {
        let ids = self.wall_ids();
        let grid = layout::grid(layout::areas(self).body, ids.len());
        let selected = self.selected_worker().map(|w| w.id);
        let at = ids.iter().position(|id| Some(*id) == selected).unwrap_or(0);
        let columns = usize::from(grid.columns);
        let to = match step {
            Action::Left => at.saturating_sub(1),
            Action::Right => at + 1,
            Action::Up => at.checked_sub(columns).unwrap_or(at),
            Action::Down => at + columns,
            Action::PageUp => at.saturating_sub(grid.shown()),
            Action::PageDown => at + grid.shown(),
            Action::Top => 0,
            Action::Bottom => ids.len(),
            _other => return,
        };
        if let Some(id) = ids.get(to.min(ids.len().saturating_sub(1))) {
            self.select_key(RowKey::Worker(*id));
        }
    }

    fn step_logs(&mut self, step: Action) {
        let height = layout::log_rows(self).max(2);
        let page = isize::try_from(height - 1).unwrap_or(1);
        let lines = match step {
            Action::Up => 1,
            Action::Down => -1,
            Action::PageUp => page,
            Action::PageDown => -page,
            Action::Left => return self.reader.shift = self.reader.shift.saturating_sub(SHIFT),
            Action::Right => return self.reader.shift = self.reader.shift.saturating_add(SHIFT).min(8192),
            Action::Bottom => return self.reader.bottom = None,
            Action::Top => {
                let sources = self.sources();
                return self.reader.top(&self.book, &sources, height);
            }
            _other => return,
        };
        self.scroll_logs(lines);
    }

    /// Scrolls the log, up when positive, but not past the first line.
    pub(super) fn scroll_logs(&mut self, lines: isize) {
        let sources = self.sources();
        self.reader.scroll(&self.book, &sources, lines);
        let height = layout::log_rows(self);
        if self.reader.up(&self.book, &sources).take(height).count() < height && !self.reader.wrap {
            self.reader.top(&self.book, &sources, height);
        }
    }

    fn step_detail(&mut self, step: Action) {
        self.tab_scroll = match step {
            Action::Up => self.tab_scroll.saturating_sub(1),
            Action::Down => self.tab_scroll.saturating_add(1).min(1000),
            Action::PageUp => self.tab_scroll.saturating_sub(10),
            Action::PageDown => self.tab_scroll.saturating_add(10).min(1000),
            Action::Top => 0,
            Action::Left => return self.next_tab(false),
            Action::Right => return self.next_tab(true),
            _other => return,
        };
    }

    fn next_tab(&mut self, forward: bool) {
        let apart = layout::logs_apart(self);
        let tabs = &Tab::ALL[usize::from(apart)..];
        let at = tabs.iter().position(|tab| *tab == self.shown_tab(apart)).unwrap_or(0);
        let next = if forward { at + 1 } else { at + tabs.len() - 1 };
        self.show_tab(tabs[next % tabs.len()]);
    }

    pub(super) fn show_tab(&mut self, tab: Tab) {
        self.tab_scroll = 0;
        let apart = layout::logs_apart(self);
        if tab == Tab::Logs && apart {
            self.focus = Pane::Logs;
            return;
        }
        self.tab = tab;
        if self.zoomed || self.focus == Pane::Logs {
            self.focus = Pane::Detail;
        }
    }

    fn focus_next(&mut self, forward: bool) {
        let panes: &[Pane] = match (self.view, layout::logs_apart(self)) {
            (View::Wall, _) => &[Pane::Table],
            (View::Fleet, true) => &[Pane::Table, Pane::Logs, Pane::Detail],
            (View::Fleet, false) => &[Pane::Table, Pane::Detail],
        };
        let at = panes.iter().position(|pane| *pane == self.focus).unwrap_or(0);
        let next = if forward { at + 1 } else { at + panes.len() - 1 };
        self.focus = panes[next % panes.len()];
    }

    fn mark(&mut self) {
        let ids = match self.rows.get(self.cursor) {
            Some(row) if self.view == View::Fleet => row.ids(),
            _ => self.selected_worker().map(|w| w.id).into_iter().collect(),
        };
        if ids.iter().all(|id| self.marked.contains(id)) {
            self.marked.retain(|id| !ids.contains(id));
        } else {
            self.marked.extend(ids);
        }
        if self.view == View::Fleet {
            self.select((self.cursor + 1).min(self.rows.len().saturating_sub(1)));
        }
    }

    fn open_prompt(&mut self) {
        self.prompt = Some(match self.reach() {
            Pane::Table => {
                let text = self.arrangement.filter.text.clone();
                Prompt::Filter { before: text.clone(), text }
            }
            Pane::Logs | Pane::Detail => Prompt::Search { text: String::new() },
        });
    }

    fn newest_error(&mut self) {
        let sources = self.sources();
        if !self.reader.newest_error(&self.book, &sources) {
            self.say("no error in this log".to_owned(), false);
        }
    }

    /// Esc takes back one thing at a time, the nearest first.
    fn back(&mut self) {
        if self.help.is_some() {
            self.help = None;
        } else if self.reader.search.is_some() && self.reach() == Pane::Logs {
            (self.reader.search, self.reader.only_matches) = (None, false);
        } else if self.zoomed {
            self.zoomed = false;
        } else if !self.marked.is_empty() {
            self.marked.clear();
        } else if !self.arrangement.filter.is_empty() {
            self.arrangement.filter = super::filter::Filter::default();
        } else if self.focus != Pane::Table {
            self.focus = Pane::Table;
        } else {
            self.view = View::Fleet;
            (self.notice, self.lagged) = (None, 0);
        }
    }

    fn scroll_help(&mut self, action: Action) {
        let Some(at) = self.help else { return };
        let most = crate::monit::pane::help::overflow(self);
        self.help = Some(match action {
            Action::Up => at.saturating_sub(1),
            Action::Down => (at + 1).min(most),
            Action::PageUp => at.saturating_sub(10),
            Action::PageDown => (at + 10).min(most),
            Action::Top => 0,
            Action::Bottom => most,
            _other => return,
        });
    }
}
