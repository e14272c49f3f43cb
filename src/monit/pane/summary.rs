//! The head of the screen: how the fleet is, in one glance, and whether that is true now.

use crate::model::Bytes;
use crate::monit::state::fleet::Totals;
use crate::monit::state::history::Quantity;
use crate::monit::state::{Link, State};
use crate::monit::theme::{Hue, Ramp, Theme};
use crate::monit::widget::put::Piece;
use crate::monit::widget::{border, put};
use crate::monit::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// A response time that is red.
const SLOW_MS: f32 = 1000.0;

/// Draws one line, two, or a line and a row of cards, by the area's height.
pub fn draw(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
    let totals = state.fleet.totals(state.fleet.workers());
    match area.height {
        0 => {}
        1 => {
            let end = connection(buf, area, state, theme);
            let mut pieces = census(&totals, theme, area.width >= 60);
            pieces.extend(figures(&totals, state, theme));
            put::groups(buf, area.x + 1, area.y, end.saturating_sub(area.x + 2), &pieces);
        }
        2 => {
            title(buf, area, state, theme, &totals);
            put::groups(
                buf,
                area.x + 1,
                area.y + 1,
                area.width.saturating_sub(2),
                &figures(&totals, state, theme),
            );
        }
        _ => {
            title(buf, area, state, theme, &totals);
            let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
            cards(buf, below, state, theme, &totals);
        }
    }
}

fn title(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, totals: &Totals) {
    let end = connection(buf, area, state, theme);
    let mut pieces = vec![vec![("pmon  ".to_owned(), theme.bold(Hue::Accent))]];
    pieces.extend(census(totals, theme, true));
    let x = put::groups(buf, area.x + 1, area.y, end.saturating_sub(area.x + 2), &pieces);
    let home = format!("{} ", state.home);
    if end > x + words::width(&home) + 2 {
        put::right(buf, x, area.y, end - x - 1, &home, theme.style(Hue::Faint));
    }
}

/// How many are how; the failed right behind the well.
fn census(totals: &Totals, theme: &Theme, in_words: bool) -> Vec<Vec<Piece>> {
    use crate::model::State as S;
    let kinds = [
        (totals.online, S::Running, "online"),
        (totals.failed, S::Failed, "errored"),
        (totals.moving, S::Backoff, "changing"),
        (totals.down, S::Down, "stopped"),
    ];
    let shown = kinds.into_iter().filter(|(n, _, word)| *n > 0 || *word == "online");
    shown
        .map(|(n, state, word)| {
            let word = if in_words { format!(" {word}") } else { String::new() };
            vec![(format!("{} {n}{word}  ", words::symbol(state)), theme.state(state))]
        })
        .collect()
}

/// The state of the connection, right-aligned; returns its first column.
pub fn connection(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) -> u16 {
    let (texts, style) = match &state.link {
        Link::Connecting => (vec!["◌ connecting".to_owned(), "◌".to_owned()], theme.style(Hue::Warn)),
        Link::Up => (vec!["● live".to_owned(), "●".to_owned()], theme.style(Hue::Good)),
        Link::Gone { since, .. } => {
            let span = words::span(state.now.since(*since));
            let clock = super::events::clock(state, since.wall_ms);
            let texts = vec![
                format!("✖ daemon gone since {clock} ({span}) · reconnecting"),
                format!("✖ daemon gone since {clock} ({span})"),
                format!("✖ gone since {clock}"),
            ];
            (texts, theme.bold(Hue::Bad))
        }
    };
    // The longer texts only where they leave room for the census.
    let room = area.width.saturating_sub(if area.width < 60 { 20 } else { 34 });
    let fits = texts.iter().find(|text| words::width(text) <= room).or(texts.last());
    let text = fits.map_or("", String::as_str);
    let x = area.right().saturating_sub(words::width(text) + 1);
    put::left(buf, x, area.y, words::width(text), text, style);
    x
}

/// The figures in one line, the most important first.
fn figures(totals: &Totals, state: &State, theme: &Theme) -> Vec<Vec<Piece>> {
    let (point, host) = (totals.point, state.fleet.host);
    let mut pieces = Vec::new();
    let mut add = |label: &str, value: String, style: Style| {
        let label = if label.is_empty() { String::new() } else { format!("{label} ") };
        pieces.push(vec![(label, theme.style(Hue::Muted)), (format!("{value}  "), style)]);
    };
    add("cpu", words::percent(point.cpu), Style::new().fg(theme.ramp(Ramp::Cpu, cpu_level(totals, state))));
    let memory = words::bytes(Bytes(point.memory as u64));
    add("mem", memory, Style::new().fg(theme.ramp(Ramp::Memory, 0.2)));
    let restarts = if totals.restarts == 0 { Hue::Muted } else { Hue::Warn };
    add("↺", totals.restarts.to_string(), theme.style(restarts));
    if totals.serves {
        add("req/s", words::rate(point.rps), theme.style(Hue::Cool));
        add("p95", words::millis(point.p95), Style::new().fg(theme.ramp(Ramp::Latency, point.p95 / SLOW_MS)));
    }
    add("host", words::percent(host.cpu), Style::new().fg(theme.ramp(Ramp::Cpu, host.cpu / 100.0)));
    let level = host.memory_used.get() as f32 / host.memory_total.get().max(1) as f32;
    let used = format!("{}/{}", words::bytes(host.memory_used), words::bytes(host.memory_total));
    add("", used, Style::new().fg(theme.ramp(Ramp::Memory, level)));
    add("load", format!("{:.2}", host.load1), theme.style(Hue::Text));
    pieces
}

/// The fleet's share of all cores.
fn cpu_level(totals: &Totals, state: &State) -> f32 {
    totals.point.cpu / (state.fleet.host.cores.max(1) as f32 * 100.0)
}

struct Card<'a> {
    title: &'a str,
    value: String,
    style: Style,
    note: String,
    /// Quantity, gradient, and where the gradient ends.
    graph: Option<(Quantity, Ramp, f32)>,
    /// Level of a bar where there is no history.
    bar: Option<(f32, Ramp)>,
}

fn cards(buf: &mut Buffer, area: Rect, state: &State, theme: &Theme, totals: &Totals) {
    let cards = choose(state, theme, totals, area.width);
    let n = cards.len() as u16;
    for (i, card) in cards.iter().enumerate() {
        let edge = |i: usize| area.x + (u32::from(area.width) * i as u32 / u32::from(n)) as u16;
        let place = Rect { x: edge(i), width: edge(i + 1) - edge(i), ..area };
        card.draw(buf, place, state, theme);
    }
}

/// The cards that fit, the most important first.
fn choose<'a>(state: &State, theme: &Theme, totals: &Totals, width: u16) -> Vec<Card<'a>> {
    let (point, host) = (totals.point, state.fleet.host);
    let plain =
        |title, value, style| Card { title, value, style, note: String::new(), graph: None, bar: None };
    let ramp = |ramp, level| Style::new().fg(theme.ramp(ramp, level));
    let level = host.memory_used.get() as f32 / host.memory_total.get().max(1) as f32;
    let mut cards = vec![
        Card {
            note: format!("of {} cores", host.cores),
            graph: Some((|p| p.cpu, Ramp::Cpu, host.cores.max(1) as f32 * 100.0)),
            ..plain("cpu", words::percent(point.cpu), ramp(Ramp::Cpu, cpu_level(totals, state)))
        },
        Card {
            graph: Some((|p| p.memory, Ramp::Memory, host.memory_total.get().max(1) as f32)),
            ..plain("memory", words::bytes(Bytes(point.memory as u64)), ramp(Ramp::Memory, 0.1))
        },
    ];
    if totals.serves {
        cards.push(Card {
            graph: Some((|p| p.rps, Ramp::Rate, point.rps.max(1.0))),
            ..plain("requests", format!("{}/s", words::rate(point.rps)), ramp(Ramp::Rate, 0.9))
        });
        cards.push(Card {
            graph: Some((|p| p.p95, Ramp::Latency, SLOW_MS)),
            ..plain("p95", words::millis(point.p95), ramp(Ramp::Latency, point.p95 / SLOW_MS))
        });
    }
    let restarts = if totals.restarts == 0 { Hue::Muted } else { Hue::Warn };
    cards.push(Card {
        note: format!("load {:.2}", host.load1),
        bar: Some((host.cpu / 100.0, Ramp::Cpu)),
        ..plain("host cpu", words::percent(host.cpu), ramp(Ramp::Cpu, host.cpu / 100.0))
    });
    cards.push(Card {
        note: format!("of {}", words::bytes(host.memory_total)),
        bar: Some((level, Ramp::Memory)),
        ..plain("host memory", words::bytes(host.memory_used), ramp(Ramp::Memory, level))
    });
    cards.push(plain("restarts", totals.restarts.to_string(), theme.style(restarts)));
    // Restarts come before the host's memory where not all fit.
    let fit = usize::from(width / 17).max(2);
    if cards.len() > fit {
        let last = cards.len() - 1;
        cards.swap(last, fit.saturating_sub(1).min(last));
        cards.truncate(fit);
    }
    cards
}

impl Card<'_> {
    fn draw(&self, buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
        let inner = border::frame(buf, area, theme.style(Hue::Faint));
        border::title(buf, area, self.title, theme.style(Hue::Muted));
        if inner.width < 4 || inner.height == 0 {
            return;
        }
        let value = words::width(&self.value);
        put::left(
            buf,
            inner.x + 1,
            inner.y,
            inner.width - 1,
            &self.value,
            self.style.add_modifier(Modifier::BOLD),
        );
        if inner.height > 1 {
            put::left(buf, inner.x + 1, inner.y + 1, inner.width - 1, &self.note, theme.style(Hue::Muted));
        }
        let text = if inner.height > 1 { value.max(words::width(&self.note)) } else { value }.max(6);
        let x = inner.x + text + 2;
        let graph = Rect { x, width: inner.right().saturating_sub(x), ..inner };
        self.picture(buf, graph, state, theme);
    }

    fn picture(&self, buf: &mut Buffer, area: Rect, state: &State, theme: &Theme) {
        if area.width < 3 {
            return;
        }
        if let Some((of, ramp, full)) = self.graph {
            let values = state.fleet.total.last(usize::from(area.width) * 2, of);
            let top = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max) * 1.6;
            state.marks.area(buf, area, &values, top, |level| theme.ramp(ramp, level * top / full));
        }
        if let Some((level, ramp)) = self.bar {
            bar(buf, area, level, theme, |at| theme.ramp(ramp, at));
        }
    }
}

/// A bar that fills to `level`, its cells coloured by their place.
fn bar(buf: &mut Buffer, area: Rect, level: f32, theme: &Theme, colour: impl Fn(f32) -> Color) {
    let width = area.width.saturating_sub(1);
    let filled = (level.clamp(0.0, 1.0) * f32::from(width)).round() as u16;
    for i in 0..width {
        let style = if i < filled {
            Style::new().fg(colour(f32::from(i) / f32::from(width.max(1))))
        } else {
            theme.style(Hue::Faint)
        };
        put::left(buf, area.x + i, area.y, 1, if i < filled { "■" } else { "·" }, style);
    }
}
