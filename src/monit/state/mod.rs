//! All that the screen knows, and the one way in which it changes: `update(event, now) -> deeds`.
//!
//! Pure: no terminal, no socket, no clock. `run` carries the deeds out, the panes draw from `&State`.

pub mod acting;
pub mod book;
pub mod filter;
pub mod fleet;
pub mod history;
pub mod moving;
pub mod news;
pub mod pointing;
pub mod prompt;
pub mod reader;
pub mod rows;

use super::event::{Deed, Event, Source};
use super::keymap;
use super::widget::plot::Marks;
use crate::model::snapshot::WorkerView;
use crate::model::{Stamp, WorkerId};
use book::Book;
use crossterm::event::{KeyEvent, KeyEventKind};
use fleet::Fleet;
use prompt::Prompt;
use reader::{Reader, Scope};
use rows::{Arrangement, Row, RowKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not made yet.
    Connecting,
    /// It stands.
    Up,
    /// The daemon is not there.
    Gone {
        /// Since when.
        since: Stamp,
        /// Why, completes "failed to …".
        why: String,
    },
}

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Table, logs, tabs.
    #[default]
    Fleet,
    /// A pane an instance.
    Wall,
}

/// A pane that can have the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// The rows.
    #[default]
    Table,
    /// The log.
    Logs,
    /// The tabs.
    Detail,
}

/// What is shown of the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tab {
    /// Its log; a pane of its own where there is room.
    #[default]
    Logs,
    /// Its samples.
    Graphs,
    /// What happened to it.
    Events,
    /// What `describe` shows.
    Metadata,
}

impl Tab {
    /// In order.
    pub const ALL: [Tab; 4] = [Tab::Logs, Tab::Graphs, Tab::Events, Tab::Metadata];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Tab::Logs => "Logs",
            Tab::Graphs => "Graphs",
            Tab::Events => "Events",
            Tab::Metadata => "Metadata",
        }
    }
}

/// A line about what came of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// For people.
    pub text: String,
    /// It failed.
    pub bad: bool,
    /// When it was said.
    pub at: Stamp,
}

/// Everything.
#[derive(Debug)]
pub struct State {
    /// The time of the last event.
    pub now: Stamp,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// No verbs.
    pub read_only: bool,
    /// The home, for people.
    pub home: String,
    /// For times of day.
    pub zone: jiff::tz::TimeZone,
    /// The connection.
    pub link: Link,
    /// The fleet.
    pub fleet: Fleet,
    /// Filter, order, folds.
    pub arrangement: Arrangement,
    /// The table's rows as they are now.
    pub rows: Vec<Row>,
    /// The selected row.
    pub selected: Option<RowKey>,
    /// Where it is among the rows.
    pub cursor: usize,
    /// First visible row.
    pub offset: usize,
    /// Marked workers.
    pub marked: BTreeSet<WorkerId>,
    /// What fills the screen.
    pub view: View,
    /// One pane fills it.
    pub zoomed: bool,
    /// Who gets the keys.
    pub focus: Pane,
    /// Which tab.
    pub tab: Tab,
    /// Lines scrolled in the tab.
    pub tab_scroll: u16,
    /// What graphs are made of.
    pub marks: Marks,
    /// Log lines.
    pub book: Book,
    /// How they are read.
    pub reader: Reader,
    /// Log lines lost because the screen was too slow.
    pub lagged: u64,
    /// Old log lines are all there.
    pub history_complete: bool,
    /// A question to the user.
    pub prompt: Option<Prompt>,
    /// The help is open, scrolled by so many lines.
    pub help: Option<u16>,
    /// Orders under way.
    pub pending: BTreeMap<u64, String>,
    /// What was said last.
    pub notice: Option<Notice>,
    /// The last click, to notice a double one.
    pub clicked: Option<(Stamp, u16, u16)>,
}

impl State {
    /// The screen before anything is known.
    pub fn new(now: Stamp, size: (u16, u16), read_only: bool, home: String) -> State {
        State {
            now,
            size,
            read_only,
            home,
            zone: jiff::tz::TimeZone::UTC,
            link: Link::Connecting,
            fleet: Fleet::default(),
            arrangement: Arrangement::default(),
            rows: Vec::new(),
            selected: None,
            cursor: 0,
            offset: 0,
            marked: BTreeSet::new(),
            view: View::default(),
            zoomed: false,
            focus: Pane::default(),
            tab: Tab::default(),
            tab_scroll: 0,
            marks: Marks::default(),
            book: Book::default(),
            reader: Reader::default(),
            lagged: 0,
            history_complete: false,
            prompt: None,
            help: None,
            pending: BTreeMap::new(),
            notice: None,
            clicked: None,
        }
    }

    /// Takes an event in; returns what is to be done about it.
    pub fn update(&mut self, event: Event, now: Stamp) -> Vec<Deed> {
        self.now = now;
        let deeds = match event {
            Event::Key(key) => self.key(&key),
            Event::Mouse(mouse) => self.point(mouse),
            Event::Paste(text) => self.paste(&text),
            Event::Resize(width, height) => {
                self.size = (width, height);
                Vec::new()
            }
            Event::Tick => self.tick(),
            Event::SuspendAsked => vec![Deed::Suspend],
            Event::News(super::event::News::Lines(lines)) => {
                lines.into_iter().for_each(|line| self.book.push(line));
                return Vec::new();
            }
            Event::News(news) => self.hear(news),
            Event::Asked { id, what } => {
                self.pending.insert(id, what);
                Vec::new()
            }
            Event::NotAsked { what, why } => {
                self.say(format!("{what}: {why}"), true);
                Vec::new()
            }
        };
        self.settle();
        deeds
    }

    fn key(&mut self, key: &KeyEvent) -> Vec<Deed> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if self.prompt.is_some() {
            return self.answer(key);
        }
        keymap::action(key).map(|action| self.act(action)).unwrap_or_default()
    }

    fn tick(&mut self) -> Vec<Deed> {
        if self.link == Link::Up {
            // The daemon pushes once a second; an idle fleet may push nothing.
            self.fleet.sample(self.now, Duration::from_millis(1900));
        }
        let stays = |notice: &Notice| {
            let span = if notice.bad { 20 } else { 6 };
            self.now.since(notice.at) < Duration::from_secs(span)
        };
        if !self.notice.as_ref().is_some_and(stays) {
            self.notice = None;
        }
        Vec::new()
    }

    /// Puts rows, selection and scrolling in order after a change.
    fn settle(&mut self) {
        self.rows = self.arrangement.rows(&self.fleet, self.now);
        let place = |key: &RowKey| self.rows.iter().position(|row| row.key() == *key);
        let found = self.selected.as_ref().and_then(place);
        self.cursor = found.unwrap_or_else(|| self.cursor.min(self.rows.len().saturating_sub(1)));
        // A selection that a filter hides comes back with it; one that is gone moves to its neighbour.
        let exists = match &self.selected {
            None => false,
            Some(RowKey::App(name)) => self.fleet.workers().any(|w| w.app.name == *name),
            Some(RowKey::Worker(id)) => self.fleet.worker(*id).is_some(),
        };
        let hidden_by_filter = exists && !self.arrangement.filter.is_empty();
        if found.is_none() && !hidden_by_filter && self.fleet.known {
            self.selected = self.rows.get(self.cursor).map(Row::key);
        }
        self.marked.retain(|id| self.fleet.worker(*id).is_some());
        let visible = super::layout::visible_rows(self).max(1);
        self.offset = self
            .offset
            .clamp((self.cursor + 1).saturating_sub(visible), self.cursor)
            .min(self.rows.len().saturating_sub(visible));
    }

    /// The time as of which the fleet is known: it stands still while the daemon is gone.
    pub fn as_of(&self) -> Stamp {
        match &self.link {
            Link::Gone { since, .. } => *since,
            Link::Connecting | Link::Up => self.now,
        }
    }

    /// Says something in the status line.
    pub fn say(&mut self, text: String, bad: bool) {
        self.notice = Some(Notice { text, bad, at: self.now });
    }

    /// Workers that the selection stands for.
    pub fn selected_ids(&self) -> Vec<WorkerId> {
        match &self.selected {
            None => Vec::new(),
            Some(RowKey::App(name)) => self.fleet.of_app(name),
            Some(RowKey::Worker(id)) => self.fleet.worker(*id).map(|w| w.id).into_iter().collect(),
        }
    }

    /// The selected worker, or the first of the selected app.
    pub fn selected_worker(&self) -> Option<&Arc<WorkerView>> {
        self.fleet.worker(*self.selected_ids().first()?)
    }

    /// `api`, `api:3`: the selection's name.
    pub fn selected_name(&self) -> String {
        match &self.selected {
            None => String::new(),
            Some(RowKey::App(name)) => name.clone(),
            Some(RowKey::Worker(id)) => self.label(*id),
        }
    }

    /// `api:3` for one of several, `web` for the only one.
    pub fn label(&self, id: WorkerId) -> String {
        let Some(worker) = self.fleet.worker(id) else { return id.to_string() };
        let name = &worker.app.name;
        if self.fleet.instances(name) < 2 { name.clone() } else { format!("{name}:{}", worker.instance) }
    }

    /// Whose log is shown.
    pub fn sources(&self) -> Vec<Source> {
        match self.reader.scope {
            Scope::Selection => self.selected_ids().into_iter().map(Some).collect(),
            Scope::App => match self.selected_worker() {
                Some(worker) => self.fleet.of_app(&worker.app.name).into_iter().map(Some).collect(),
                None => Vec::new(),
            },
            Scope::All => self.fleet.workers().map(|w| Some(w.id)).chain([None]).collect(),
        }
    }

    /// Workers in the order of the wall.
    pub fn wall_ids(&self) -> Vec<WorkerId> {
        let unfolded = Arrangement { folded: BTreeSet::new(), ..self.arrangement.clone() };
        unfolded
            .rows(&self.fleet, self.now)
            .into_iter()
            .filter_map(|row| match row {
                Row::Worker { id, .. } => Some(id),
                Row::App { .. } => None,
            })
            .collect()
    }

    /// The tab that is drawn where logs have a pane of their own (or not).
    pub fn shown_tab(&self, logs_apart: bool) -> Tab {
        if logs_apart && self.tab == Tab::Logs { Tab::Graphs } else { self.tab }
    }
}
