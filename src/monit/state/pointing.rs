//! The mouse: select, scroll, sort by header, click tabs, double click to zoom.

use super::rows::{Row, RowKey};
use super::{Pane, State, View};
use crate::monit::action::Action;
use crate::monit::event::Deed;
use crate::monit::layout::{self, Areas};
use crate::monit::pane::columns;
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use std::time::Duration;

const DOUBLE_CLICK: Duration = Duration::from_millis(400);
/// Lines a notch of the wheel.
const NOTCH: isize = 3;

impl State {
    pub(super) fn point(&mut self, mouse: MouseEvent) -> Vec<Deed> {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => self.click(at),
            MouseEventKind::ScrollUp => self.wheel(at, true),
            MouseEventKind::ScrollDown => self.wheel(at, false),
            _other => {}
        }
        Vec::new()
    }

    fn click(&mut self, at: Position) {
        if self.help.take().is_some() || self.prompt.is_some() {
            return;
        }
        let double = self
            .clicked
            .is_some_and(|(when, x, y)| (x, y) == (at.x, at.y) && self.now.since(when) < DOUBLE_CLICK);
        self.clicked = (!double).then_some((self.now, at.x, at.y));
        let areas = layout::areas(self);
        if areas.table.is_some_and(|area| area.contains(at)) {
            self.click_table(areas.table.unwrap_or_default(), at, double);
        } else if areas.wall.is_some_and(|area| area.contains(at)) {
            self.click_wall(&areas, at, double);
        } else if areas.detail.is_some_and(|area| area.contains(at)) {
            self.click_detail(areas.detail.unwrap_or_default(), at, double);
        } else if areas.logs.is_some_and(|area| area.contains(at)) {
            self.focus_or_zoom(Pane::Logs, double);
        }
    }

    fn focus_or_zoom(&mut self, pane: Pane, double: bool) {
        self.focus = pane;
        if double {
            self.zoomed = !self.zoomed;
        }
    }

    fn click_table(&mut self, area: Rect, at: Position, double: bool) {
        self.focus = Pane::Table;
        let inner = layout::inside(area);
        if at.y == inner.y {
            self.click_header(inner, at.x);
            return;
        }
        let place = usize::from(at.y.saturating_sub(inner.y + 1)) + self.offset;
        if at.y <= inner.y || at.y >= inner.bottom() || place >= self.rows.len() {
            return;
        }
        let fold = columns::name_start(self, inner).is_some_and(|x| at.x >= x && at.x <= x + 1);
        if fold && let Some(Row::App { name, folded, .. }) = self.rows.get(place).cloned() {
            if folded {
                self.arrangement.folded.remove(&name);
            } else {
                self.arrangement.folded.insert(name);
            }
        }
        self.select(place);
        if double && !fold {
            self.zoomed = true;
        }
    }

    fn click_header(&mut self, inner: Rect, x: u16) {
        let Some(sort) = columns::sort_at(self, inner, x) else { return };
        if self.arrangement.sort == sort {
            self.arrangement.reversed = !self.arrangement.reversed;
        } else {
            (self.arrangement.sort, self.arrangement.reversed) = (sort, false);
        }
    }

    fn click_wall(&mut self, areas: &Areas, at: Position, double: bool) {
        let ids = self.wall_ids();
        let shown = layout::wall_cells(self, areas.body, &ids);
        if let Some((id, _)) = shown.into_iter().find(|(_, area)| area.contains(at)) {
            self.select_key(RowKey::Worker(id));
            self.zoomed = double;
        }
    }

    fn click_detail(&mut self, area: Rect, at: Position, double: bool) {
        let apart = layout::logs_apart(self);
        let tab = layout::tab_spans(area, apart).into_iter().find(|(_, span)| span.contains(at));
        self.focus = Pane::Detail;
        match tab {
            Some((tab, _)) => self.show_tab(tab),
            None => self.focus_or_zoom(Pane::Detail, double),
        }
    }

    fn wheel(&mut self, at: Position, up: bool) {
        let step = if up { Action::Up } else { Action::Down };
        if self.help.is_some() {
            self.act(step);
            return;
        }
        let areas = layout::areas(self);
        let over = |area: Option<Rect>| area.is_some_and(|area| area.contains(at));
        let logs_in_tab = !layout::logs_apart(self) && self.tab == super::Tab::Logs;
        if over(areas.logs) || (over(areas.detail) && logs_in_tab) {
            self.scroll_logs(if up { NOTCH } else { -NOTCH });
        } else if over(areas.detail) {
            self.step(Pane::Detail, step);
        } else if over(areas.table) || self.view == View::Wall {
            let step = match (self.view, up) {
                (View::Fleet, _) => step,
                (View::Wall, true) => Action::PageUp,
                (View::Wall, false) => Action::PageDown,
            };
            self.step(Pane::Table, step);
        }
    }
}
