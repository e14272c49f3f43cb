//! How loud a log line is, by the word that says so near its beginning.

use std::ops::Range;

/// Loudness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `ERROR`, `FATAL`, `panic`.
    Error,
    /// `WARN`.
    Warn,
    /// `INFO`.
    Info,
    /// `DEBUG`, `TRACE`.
    Debug,
}

const WORDS: [(&str, Level); 14] = [
    ("error", Level::Error),
    ("err", Level::Error),
    ("fatal", Level::Error),
    ("critical", Level::Error),
    ("crit", Level::Error),
    ("panic", Level::Error),
    ("warning", Level::Warn),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("notice", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Debug),
    ("verbose", Level::Debug),
    ("silly", Level::Debug),
];

/// Levels stand within so many bytes: behind a timestamp and a logger's name.
const REACH: usize = 80;

/// The level and where its word stands, in bytes.
pub fn find(text: &str) -> Option<(Level, Range<usize>)> {
    let mut start = None;
    let mut before = None;
    let mut last = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_ascii_alphabetic(), start) {
            (true, None) => (start, before) = (Some(at), last),
            (false, Some(from)) => {
                start = None;
                let word = text.get(from..at)?;
                if let Some(level) = of_word(word).filter(|_| stands_out(word, before, c)) {
                    return Some((level, from..at));
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
        last = Some(c);
        if at > REACH {
            return None;
        }
    }
    None
}

/// In small letters a level must be set off from prose: first of the line, bracketed, quoted or before a colon.
/// Short ones (`err`, `crit`) are keys of JSON rather than levels.
fn stands_out(word: &str, before: Option<char>, after: char) -> bool {
    if word.chars().any(char::is_uppercase) {
        return true;
    }
    let set_off = matches!(before, None | Some('[' | '(' | '<' | '=' | '"')) || after == ':';
    word.len() > 3 && set_off
}

fn of_word(word: &str) -> Option<Level> {
    // `TypeError` and its kin accuse as well.
    if word.len() > 5 && word.ends_with("Error") {
        return Some(Level::Error);
    }
    WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
}

/// The line speaks of an error.
pub fn is_error(text: &str) -> bool {
    matches!(find(text), Some((Level::Error, _)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_level_word_counts() {
        let level = |text| find(text).map(|(level, _)| level);
        assert_eq!(level("2026-11-22T10:00:00Z WARN pool: no error yet"), Some(Level::Warn));
        assert_eq!(level(r#"{"level":"error","msg":"x"}"#), Some(Level::Error));
        assert_eq!(level("TypeError: x is undefined"), Some(Level::Error));
        assert_eq!(level("information terror, no error and no warning"), None);
        assert_eq!(level(r#"{"err":null,"level":"info"}"#), Some(Level::Info));
        assert_eq!(level("warn: slow"), Some(Level::Warn));
        assert_eq!(level("é漢 [INFO] ready"), Some(Level::Info));
    }
}
