//! The log of the selection, its app or everybody: from the bottom up, searched, wrapped or shifted.

use crate::model::level::{self, Level};
use crate::monit::event::Source;
use crate::monit::state::book::Line;
use crate::monit::state::reader::{Reader, Scope, Streams};
use crate::monit::state::{Pane, State};
use crate::monit::theme::{Hue, Theme};
use crate::monit::widget::{border, put};
use crate::monit::words;
use crate::proto::push::StreamKind;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthChar;

/// The log in a frame of its own.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let focused = state.focus == Pane::Logs || (state.zoomed && state.focus == Pane::Table);
    let inner = border::pane(buf, area, theme, focused);
    let x = border::title(buf, area, &title(state), theme.bold(Hue::Text));
    remarks(buf, area, x, state, theme);
    lines(buf, inner, state, theme);
}

fn title(state: &State) -> String {
    match state.reader.scope {
        Scope::All => "Logs · all".to_owned(),
        Scope::Selection => format!("Logs · {}", state.selected_name()),
        Scope::App => {
            let app = state.selected_worker().map(|w| w.app.name.clone());
            format!("Logs · {} (all instances)", app.unwrap_or_default())
        }
    }
}

/// What is unusual about what is shown, in the border.
pub fn remarks(buf: &mut Buffer, area: Rect, from: u16, state: &State, theme: &Theme) {
    let reader = &state.reader;
    let mut parts = Vec::new();
    match reader.streams {
        Streams::Both => {}
        Streams::Out => parts.push("stdout only".to_owned()),
        Streams::Err => parts.push("stderr only".to_owned()),
    }
    if reader.wrap {
        parts.push("wrap".to_owned());
    }
    if reader.shift > 0 {
        parts.push(format!("→{}", reader.shift));
    }
    let followed = match reader.bottom {
        None => "follow".to_owned(),
        Some(seq) => {
            let sources = state.sources();
            let newer =
                state.book.count(&sources, u64::MAX) - state.book.count(&sources, seq.saturating_add(1));
            format!("↓ {newer} newer")
        }
    };
    parts.push(followed);
    let hue = if reader.bottom.is_some() { Hue::Warn } else { Hue::Muted };
    border::remark(buf, area, from, &parts.join(" · "), theme.style(hue));
    if let Some(text) = search_remark(reader) {
        border::below(buf, area, &text, theme.style(Hue::Warn));
    } else if state.lagged > 0 {
        let text = format!("{} lines skipped: they came too fast", state.lagged);
        border::below(buf, area, &text, theme.style(Hue::Warn));
    }
}

fn search_remark(reader: &Reader) -> Option<String> {
    let search = reader.search.as_ref()?;
    let only = if reader.only_matches { " · only matches" } else { "" };
    let count = match (search.count, &search.regex) {
        (_, None) => " · not a regular expression".to_owned(),
        (Some((0, _)), _) => " · no match".to_owned(),
        (Some((all, place)), _) => format!(" · {}/{all}", place + 1),
        (None, _) => String::new(),
    };
    Some(format!("/{}{count}{only}", search.text))
}

/// The lines themselves.
pub fn lines(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let sources = state.sources();
    fill(buf, area, state, theme, &sources, &state.reader);
}

/// The newest lines of one worker, for small panes: neither searched nor scrolled.
pub fn tail(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, source: Source) {
    let reader = Reader { cleared: state.reader.cleared, ..Reader::default() };
    fill(buf, area, state, theme, &[source], &reader);
}

fn fill(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, sources: &[Source], reader: &Reader) {
    if area.height == 0 || area.width < 4 {
        return;
    }
    let painter = Painter { state, theme, reader, label: label_width(state, sources, area.width) };
    let mut rows: Vec<(&Line, Vec<Vec<Glyph>>)> = Vec::new();
    let mut used = 0;
    for line in reader.up(&state.book, sources) {
        let wrapped = painter.rows(line, area.width);
        used += wrapped.len();
        rows.push((line, wrapped));
        if used >= usize::from(area.height) {
            break;
        }
    }
    if rows.is_empty() {
        nothing(buf, area, state, theme);
        return;
    }
    // Few lines stand at the top; many at the bottom, the topmost cut.
    let mut skip = used.saturating_sub(usize::from(area.height));
    let mut y = area.y;
    for (line, wrapped) in rows.iter().rev() {
        for (n, row) in wrapped.iter().enumerate() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            painter.draw(buf, Rect { y, height: 1, ..area }, line, row, n == 0);
            y += 1;
        }
    }
}

fn nothing(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let text = if state.reader.only_matches { "no line matches" } else { "no output yet" };
    let x = area.x + area.width.saturating_sub(words::width(text)) / 2;
    put::left(
        buf,
        x,
        area.y + area.height / 2,
        area.right().saturating_sub(x),
        text,
        theme.style(Hue::Muted),
    );
}

/// Cells of the labels that tell several sources apart; 0 with one.
fn label_width(state: &State, sources: &[Source], room: u16) -> u16 {
    if sources.len() < 2 {
        return 0;
    }
    let longest = sources.iter().map(|source| words::width(&label(state, *source))).max().unwrap_or(0);
    longest.min(room / 4)
}

fn label(state: &State, source: Source) -> String {
    source.map_or_else(|| "pmon".to_owned(), |id| state.label(id))
}

/// One character with what belongs on top of it.
struct Glyph {
    text: String,
    width: u16,
    style: Style,
}

struct Painter<'a> {
    state: &'a State,
    theme: &'a Theme,
    reader: &'a Reader,
    label: u16,
}

impl Painter<'_> {
    /// Cells before the text: time, label, and the bar that tells stderr.
    fn prefix(&self) -> u16 {
        let time = if self.reader.times { 13 } else { 0 };
        let label = if self.label > 0 { self.label + 1 } else { 0 };
        time + label + 2
    }

    /// The line's text in rows of at most the width.
    fn rows(&self, line: &Line, width: u16) -> Vec<Vec<Glyph>> {
        let room = width.saturating_sub(self.prefix()).max(1);
        let glyphs = self.glyphs(line);
        if !self.reader.wrap {
            return vec![shifted(glyphs, self.reader.shift, room)];
        }
        let mut rows = vec![Vec::new()];
        let mut used = 0;
        for glyph in glyphs {
            if used + glyph.width > room {
                rows.push(Vec::new());
                used = 0;
            }
            used += glyph.width;
            if let Some(row) = rows.last_mut() {
                row.push(glyph);
            }
        }
        rows
    }

    fn glyphs(&self, line: &Line) -> Vec<Glyph> {
        let text = &*line.clean.text;
        let found = self.matches(line);
        let here = self.reader.search.as_ref().is_some_and(|search| search.at == Some(line.seq));
        let level = level::find(text).filter(|_| line.clean.styles.is_empty());
        let base = self.base(line, level.as_ref().map(|(level, _)| *level));
        let mut styles = line.clean.styles.iter().peekable();
        let mut current = base;
        let mut glyphs: Vec<Glyph> = Vec::new();
        for (at, c) in text.char_indices() {
            while let Some(styled) = styles.next_if(|styled| styled.from as usize <= at) {
                current = self.theme.look(&styled.look, base);
            }
            let width = c.width().unwrap_or(0) as u16;
            match glyphs.last_mut() {
                // At most two marks on a letter: more are a prank that some terminals take badly.
                Some(last) if width == 0 => {
                    if last.text.chars().count() < 3 {
                        last.text.push(c);
                    }
                    continue;
                }
                None if width == 0 => continue,
                Some(_) | None => {}
            }
            let style = match &level {
                _ if found.iter().any(|range| range.contains(&at)) => self.theme.found(here),
                Some((level, range)) if range.contains(&at) => self.level(*level),
                _ => current,
            };
            glyphs.push(Glyph { text: c.to_string(), width, style });
        }
        glyphs
    }

    fn base(&self, line: &Line, level: Option<Level>) -> Style {
        match (line.stream, level) {
            (_, Some(Level::Debug)) => self.theme.style(Hue::Muted),
            (StreamKind::Err, Some(Level::Warn | Level::Info)) | (StreamKind::Out, _) => {
                self.theme.style(Hue::Text)
            }
            (StreamKind::Err, Some(Level::Error) | None) => self.theme.style(Hue::Bad),
        }
    }

    fn level(&self, level: Level) -> Style {
        match level {
            Level::Error => self.theme.bold(Hue::Bad),
            Level::Warn => self.theme.bold(Hue::Warn),
            Level::Info => self.theme.style(Hue::Good),
            Level::Debug => self.theme.style(Hue::Muted),
        }
    }

    fn matches(&self, line: &Line) -> Vec<std::ops::Range<usize>> {
        let regex = self.reader.search.as_ref().and_then(|search| search.regex.as_ref());
        let ranges =
            regex.map(|regex| regex.find_iter(&line.clean.text).take(64).map(|m| m.range()).collect());
        ranges.unwrap_or_default()
    }

    fn draw(&self, buf: &mut Buffer, area: Rect, line: &Line, row: &[Glyph], first: bool) {
        let mut x = area.x;
        if first {
            x = self.draw_prefix(buf, area, line);
        }
        let (bar, style) = match line.stream {
            StreamKind::Err => ("▎", self.theme.style(Hue::Bad)),
            StreamKind::Out => (" ", Style::new()),
        };
        let text = area.x + self.prefix();
        x = x.max(text.saturating_sub(2));
        put::left(buf, x, area.y, 1, bar, style);
        let mut x = text.saturating_sub(1);
        for glyph in row {
            if x + glyph.width > area.right() {
                break;
            }
            buf.set_stringn(x, area.y, &glyph.text, usize::from(glyph.width), glyph.style);
            x += glyph.width;
        }
    }

    fn draw_prefix(&self, buf: &mut Buffer, area: Rect, line: &Line) -> u16 {
        let mut x = area.x;
        if self.reader.times {
            let time = line.at_ms.map(|ms| super::events::clock_millis(self.state, ms));
            let text = time.unwrap_or_else(|| "      history".to_owned());
            put::left(buf, x, area.y, 12, text.trim_start(), self.theme.style(Hue::Muted));
            x += 13;
        }
        if self.label > 0 {
            let style = line.source.map_or(self.theme.style(Hue::Muted), |id| self.theme.label(id.0));
            put::left(buf, x, area.y, self.label, &label(self.state, line.source), style);
            x += self.label + 1;
        }
        x
    }
}

/// What is left of a row after so many cells, within the room.
fn shifted(glyphs: Vec<Glyph>, shift: u16, room: u16) -> Vec<Glyph> {
    let mut skipped = 0;
    let mut used = 0;
    let mut rest = glyphs.into_iter().skip_while(move |glyph| {
        let skip = skipped < shift;
        skipped += glyph.width;
        skip
    });
    let mut row = Vec::new();
    for glyph in rest.by_ref() {
        used += glyph.width;
        if used > room {
            break;
        }
        row.push(glyph);
    }
    row
}
