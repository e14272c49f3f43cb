//! The screen's words for numbers: as short as a column, aligned by their users.

use crate::model::{Bytes, State};
use std::time::Duration;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `812K`, `52.4M`, `1.21G`: at most five cells.
pub fn bytes(bytes: Bytes) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut value = bytes.get() as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let suffix = UNITS.get(unit).copied().unwrap_or("T");
    match unit {
        0 => format!("{value:.0}{suffix}"),
        _ if value < 9.995 => format!("{value:.2}{suffix}"),
        _ if value < 99.95 => format!("{value:.1}{suffix}"),
        _ => format!("{value:.0}{suffix}"),
    }
}

/// `45s`, `2m 05s`, `3h 12m`, `4d 06h`, `123d`: at most seven cells.
pub fn span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        86_400..8_640_000 => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// `2.4s` below ten seconds, then as [`span`].
pub fn countdown(left: Duration) -> String {
    if left < Duration::from_secs(10) { format!("{:.1}s", left.as_secs_f64()) } else { span(left) }
}

/// `12.3%`, `182%`: at most five cells below 10,000.
pub fn percent(value: f32) -> String {
    if value < 99.95 { format!("{value:.1}%") } else { format!("{value:.0}%") }
}

/// Milliseconds as `0.4ms`, `23ms`, `1.23s`.
pub fn millis(ms: f32) -> String {
    match ms {
        _ if ms < 9.95 => format!("{ms:.1}ms"),
        _ if ms < 999.5 => format!("{ms:.0}ms"),
        _ => format!("{:.2}s", ms / 1000.0),
    }
}

/// A second's count: `0`, `3.2`, `412`, `12.3k`.
pub fn rate(value: f32) -> String {
    match value {
        _ if value < 0.05 => "0".to_owned(),
        _ if value < 9.95 => format!("{value:.1}"),
        _ if value < 9999.5 => format!("{value:.0}"),
        _ => format!("{:.1}k", value / 1000.0),
    }
}

/// A number with its noun: `1 worker`, `3 workers`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// PM2's word for a state, short enough for a column.
pub fn state(state: State) -> &'static str {
    match state {
        State::Backoff => "waiting",
        other => other.pm2_name(),
    }
}

/// A symbol for a state, so that nobody needs the colour.
pub fn symbol(state: State) -> &'static str {
    match state {
        State::Down => "○",
        State::Starting => "◐",
        State::Running | State::Ready => "●",
        State::Stopping => "◑",
        State::Backoff => "◌",
        State::Failed => "✖",
    }
}

/// Cells that a text takes.
pub fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// The text cut to `cells`, its end replaced by `…` where something is missing.
pub fn fit(text: &str, cells: u16) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0) as u16;
        if used + w + 1 > cells {
            break;
        }
        used += w;
        out.push(c);
    }
    if cells > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_stay_short() {
        let b = |n| bytes(Bytes(n));
        assert_eq!([b(0), b(812 << 10), b(54_945_382), b(1 << 30)], ["0B", "812K", "52.4M", "1.00G"]);
        let s = |n| span(Duration::from_secs(n));
        assert_eq!([s(45), s(125), s(11_520), s(367_200)], ["45s", "2m 05s", "3h 12m", "4d 06h"]);
        assert_eq!([percent(0.0), percent(99.96), percent(182.4)], ["0.0%", "100%", "182%"]);
        assert_eq!([millis(0.42), millis(23.4), millis(1234.0)], ["0.4ms", "23ms", "1.23s"]);
        assert_eq!([rate(0.0), rate(3.21), rate(412.0), rate(12_345.0)], ["0", "3.2", "412", "12.3k"]);
    }

    proptest! {
        #[test]
        fn a_fitted_text_is_never_wider(text in "\\PC{0,40}", cells in 0u16..50) {
            prop_assert!(width(&fit(&text, cells)) <= cells);
        }

        #[test]
        fn memory_takes_five_cells(n in 0u64..(1 << 49)) {
            prop_assert!(bytes(Bytes(n)).len() <= 5, "{}", bytes(Bytes(n)));
        }
    }
}
