//! Whether to colour, and the few styles there are.

use anstyle::{AnsiColor, Style};
use std::fmt::Display;

/// Bold cyan: ids and headings.
pub const HEAD: Style = AnsiColor::Cyan.on_default().bold();
/// Online, enabled, within limits.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Launching; the column of cluster mode.
pub const BUSY: Style = AnsiColor::Blue.on_default().bold();
/// Needs a look.
pub const CARE: Style = AnsiColor::Yellow.on_default().bold();
/// Everything that is not well.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Frames, disabled things, headers of log files.
pub const FAINT: Style = AnsiColor::BrightBlack.on_default();
/// Stands out without a colour.
pub const BOLD: Style = Style::new().bold();
/// The column of fork mode.
pub const REVERSE: Style = Style::new().bold().invert();
/// A word to be found.
pub const FOUND: Style = Style::new().bg_color(Some(anstyle::Color::Ansi(AnsiColor::BrightBlack)));
/// What an expression found, as ripgrep colours it.
pub const MATCH: Style = AnsiColor::Red.on_default().bold();
/// Prefix of stdout lines.
pub const OUT: Style = AnsiColor::Green.on_default();
/// Prefix of stderr lines.
pub const ERR: Style = AnsiColor::Red.on_default();
/// Prefix of the daemon's lines.
pub const OWN: Style = AnsiColor::Blue.on_default();
/// No style.
pub const PLAIN: Style = Style::new();

/// Whether one stream is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub bool);

impl Colour {
    /// `text` in `style`, if this stream is coloured.
    pub fn paint(self, style: Style, text: impl Display) -> String {
        if self.0 && style != PLAIN { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// What holds for a stream: `NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb` and whether it is a terminal
    /// (anstream), after `--no-color` and `FORCE_COLOR`.
    pub fn of(stream: &impl anstream::stream::RawStream, forbidden: bool) -> Colour {
        if forbidden {
            return Colour(false);
        }
        match std::env::var("FORCE_COLOR").as_deref() {
            Ok("0" | "false") => Colour(false),
            Ok(value) if !value.is_empty() && std::env::var_os("NO_COLOR").is_none() => Colour(true),
            _ => Colour(anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never),
        }
    }
}

/// Good below `care`, bad from `bad` on.
pub fn by_level(value: f32, care: f32, bad: f32) -> Style {
    if value >= bad {
        BAD
    } else if value >= care {
        CARE
    } else {
        GOOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uncoloured_stream_gets_plain_text() {
        assert_eq!(Colour(false).paint(GOOD, "online"), "online");
        assert_eq!(Colour(true).paint(GOOD, "online"), "\u{1b}[1m\u{1b}[32monline\u{1b}[0m");
        assert_eq!(Colour(true).paint(PLAIN, "x"), "x");
    }
}
