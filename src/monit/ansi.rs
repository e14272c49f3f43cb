//! Makes a worker's log line harmless: text without any control character, and the colours it asked for beside it.
//!
//! Nothing of a line reaches the terminal as it came. SGR sequences become [`Styled`] ranges; every other sequence
//! (cursor moves, titles, clipboard writes, queries) is dropped, with C1 controls, bidirectional overrides and
//! characters that have no width by nature. A carriage return starts the line anew, as it looks on a terminal.

use unicode_width::UnicodeWidthChar;

/// Longer lines are cut: 8 Ki characters are more than any screen shows.
const MAX_CHARS: usize = 8192;

/// A harmless line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clean {
    /// Printable characters only.
    pub text: Box<str>,
    /// Where it is not plain; ascending, in bytes of `text`.
    pub styles: Box<[Styled]>,
}

/// From this byte on the text has this look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Styled {
    /// First byte.
    pub from: u32,
    /// Its look.
    pub look: Look,
}

/// What SGR can ask for and the screen shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Foreground.
    pub fg: Option<Ink>,
    /// Background.
    pub bg: Option<Ink>,
    /// Bold.
    pub bold: bool,
    /// Faint.
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Foreground and background swapped.
    pub reverse: bool,
}

/// A colour as the worker named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// From the palette of 256, the first 16 being the terminal's own.
    Indexed(u8),
    /// True colour.
    Rgb(u8, u8, u8),
}

/// Cleans one line (without its newline).
pub fn clean(line: &[u8]) -> Clean {
    let text = String::from_utf8_lossy(line);
    if text.len() <= MAX_CHARS && text.chars().all(is_plain) {
        return Clean { text: text.into(), styles: Box::default() };
    }
    let mut cleaner = Cleaner::default();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if !cleaner.take(c, &mut rest) {
            break;
        }
    }
    Clean { text: cleaner.text.into(), styles: cleaner.styles.into() }
}

fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~') || (c >= '\u{a1}' && !is_hidden(c) && c.width().is_some())
}

/// Characters that reorder or hide others, or whose width terminals disagree about.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[derive(Default)]
struct Cleaner {
    text: String,
    styles: Vec<Styled>,
    look: Look,
    chars: usize,
    column: usize,
    returned: bool,
}

impl Cleaner {
    /// Takes one character and, if it opens a sequence, the rest of that. False: the line is full.
    fn take(&mut self, c: char, rest: &mut std::str::Chars<'_>) -> bool {
        match c {
            '\u{1b}' => self.escape(rest),
            '\u{9b}' => self.csi(rest),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(rest),
            '\r' => self.returned = true,
            '\t' => return (0..8 - self.column % 8).all(|_| self.put(' ')),
            c if c.is_control() || is_hidden(c) => {}
            c => return self.put(if c == '\u{a0}' { ' ' } else { c }),
        }
        true
    }

    fn put(&mut self, c: char) -> bool {
        if std::mem::take(&mut self.returned) {
            (self.chars, self.column) = (0, 0);
            self.text.clear();
            self.styles.clear();
            self.mark();
        }
        if self.chars == MAX_CHARS {
            self.text.push('…');
            return false;
        }
        self.chars += 1;
        self.column += c.width().unwrap_or(0);
        self.text.push(c);
        true
    }

    fn mark(&mut self) {
        let from = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.styles.retain(|s| s.from < from);
        if self.styles.last().map_or(Look::default(), |s| s.look) != self.look {
            self.styles.push(Styled { from, look: self.look });
        }
    }

    fn escape(&mut self, rest: &mut std::str::Chars<'_>) {
        match rest.next() {
            Some('[') => self.csi(rest),
            Some('P' | 'X' | ']' | '^' | '_') => skip_string(rest),
            // Intermediates, then one final byte (ECMA-48 §5.3: `ESC ( B` and the like).
            Some(' '..='/') => while matches!(rest.next(), Some(' '..='/')) {},
            Some(_) | None => {}
        }
    }

    fn csi(&mut self, rest: &mut std::str::Chars<'_>) {
        let mut parameters = String::new();
        for c in rest.by_ref() {
            match c {
                '0'..='?' if parameters.len() < 128 => parameters.push(c),
                '@'..='~' => {
                    if c == 'm' {
                        self.look.apply(&parameters);
                        self.mark();
                    }
                    return;
                }
                ' '..='?' => {}
                _broken => return,
            }
        }
    }
}

/// OSC, DCS and their kin end with BEL, ST, or the line.
fn skip_string(rest: &mut std::str::Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next();
                return;
            }
            _inside => {}
        }
    }
}

impl Look {
    fn apply(&mut self, parameters: &str) {
        if parameters.starts_with(['<', '=', '>', '?']) {
            return;
        }
        let mut codes = parameters.split([';', ':']).map(|p| p.parse::<u16>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Look::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 | 21 => self.underline = true,
                7 => self.reverse = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.reverse = false,
                30..=37 | 90..=97 => self.fg = Some(basic(code)),
                40..=47 | 100..=107 => self.bg = Some(basic(code - 10)),
                38 => self.fg = extended(&mut codes).or(self.fg),
                48 => self.bg = extended(&mut codes).or(self.bg),
                39 => self.fg = None,
                49 => self.bg = None,
                _unsupported => {}
            }
        }
    }
}

fn basic(code: u16) -> Ink {
    let number = if code >= 90 { code - 90 + 8 } else { code - 30 };
    Ink::Indexed(u8::try_from(number).unwrap_or(7))
}

fn extended(codes: &mut impl Iterator<Item = u16>) -> Option<Ink> {
    let byte = |code: Option<u16>| code.map(|n| u8::try_from(n).unwrap_or(u8::MAX));
    match codes.next()? {
        5 => Some(Ink::Indexed(byte(codes.next())?)),
        2 => Some(Ink::Rgb(byte(codes.next())?, byte(codes.next())?, byte(codes.next())?)),
        _unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(line: &str) -> String {
        clean(line.as_bytes()).text.into()
    }

    #[test]
    fn sequences_that_would_act_on_the_terminal_vanish() {
        assert_eq!(text("a\u{1b}[2J\u{1b}[1;1Hb"), "ab");
        assert_eq!(text("a\u{1b}]0;title\u{7}b\u{1b}]52;c;aGk=\u{1b}\\c"), "abc");
        assert_eq!(text("a\u{1b}(0b\u{1b}7c\u{9b}31md\u{7}\u{8}"), "abcd");
        assert_eq!(text("a\u{202e}b\u{200b}c"), "abc");
        assert_eq!(text("cut\u{1b}[3"), "cut");
    }

    #[test]
    fn a_carriage_return_starts_the_line_anew_and_tabs_align() {
        assert_eq!(text("10%\r20%\r100%\r"), "100%");
        assert_eq!(text("ab\tc"), "ab      c");
    }

    #[test]
    fn colours_are_kept_beside_the_text() {
        let line = clean(b"\x1b[1;31merr\x1b[0m ok \x1b[38;2;1;2;3mrgb");
        assert_eq!(&*line.text, "err ok rgb");
        let looks: Vec<_> = line.styles.iter().map(|s| (s.from, s.look.bold, s.look.fg)).collect();
        assert_eq!(
            looks,
            [(0, true, Some(Ink::Indexed(1))), (3, false, None), (7, false, Some(Ink::Rgb(1, 2, 3)))]
        );
    }

    #[test]
    fn a_long_line_is_cut() {
        assert_eq!(clean(&[b'x'; 100_000]).text.chars().count(), MAX_CHARS + 1);
    }

    proptest! {
        #[test]
        fn no_control_character_survives(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = clean(&bytes);
            prop_assert!(line.text.chars().all(|c| !c.is_control() && !is_hidden(c)));
            prop_assert!(line.styles.iter().all(|s| line.text.is_char_boundary(s.from as usize)));
            prop_assert!(line.styles.is_sorted_by_key(|s| s.from));
        }

        #[test]
        fn no_sequence_survives(parts in proptest::collection::vec("(\u{1b}[\\[\\]P(_^X]?[0-9;?]{0,4}[a-zA-Z]?|\u{9b}1m|[a-z\r\t\u{7}é漢]{0,4})", 0..20)) {
            let line = clean(parts.concat().as_bytes());
            prop_assert!(line.text.chars().all(|c| !c.is_control()));
        }
    }
}
