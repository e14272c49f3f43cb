//! How loud a log line is: by its JSON field, or by the word that says so near its beginning.

use super::stream::StreamKind;
use std::ops::Range;

/// Loudness, rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `DEBUG`, `TRACE`.
    Debug,
    /// `INFO`.
    Info,
    /// `WARN`.
    Warn,
    /// `ERROR`, `FATAL`, `panic`.
    Error,
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

/// JSON fields that tell it, in the words of pino, winston, zap, Google and Python's loggers.
const FIELDS: [&str; 5] =
    [r#""level":"#, r#""severity":"#, r#""lvl":"#, r#""levelname":"#, r#""log.level":"#];

/// Levels stand within so many bytes: behind a timestamp and a logger's name.
const REACH: usize = 80;
/// And the field of a JSON line within so many.
const JSON_REACH: usize = 4096;

/// The level and where its word stands, in bytes.
pub fn find(text: &str) -> Option<(Level, Range<usize>)> {
    let json = text.starts_with('{').then(|| of_field(text)).flatten();
    json.or_else(|| of_prose(text))
}

/// The level of a line, judged also by where it came from: what stderr says without a level accuses.
pub fn of_line(text: &str, stream: StreamKind) -> Level {
    let unsaid = match stream {
        StreamKind::Out => Level::Info,
        StreamKind::Err => Level::Error,
    };
    find(text).map_or(unsaid, |(level, _)| level)
}

/// The line speaks of an error.
pub fn is_error(text: &str) -> bool {
    matches!(find(text), Some((Level::Error, _)))
}

/// A level by its name, as `--level` takes it.
pub fn named(word: &str) -> Option<Level> {
    of_word(word)
}

/// All words that name a level. A longer one that ends with `Error` names that.
pub fn words() -> impl Iterator<Item = (&'static str, Level)> {
    WORDS.into_iter()
}

fn of_prose(text: &str) -> Option<(Level, Range<usize>)> {
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

/// `"level":"warn"`, or pino's number.
fn of_field(text: &str) -> Option<(Level, Range<usize>)> {
    let mut end = text.len().min(JSON_REACH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end)?;
    let (at, name) = FIELDS.iter().find_map(|name| Some((text.find(name)?, name)))?;
    let value = text.get(at + name.len()..)?;
    let from = text.len() - value.trim_start_matches([' ', '"']).len();
    let rest = text.get(from..)?;
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let word = rest.get(..length)?;
    let level = of_word(word).or_else(|| word.parse().ok().and_then(of_number))?;
    Some((level, from..from + length))
}

fn of_word(word: &str) -> Option<Level> {
    // `TypeError` and its kin accuse as well.
    if word.len() > 5 && word.ends_with("Error") {
        return Some(Level::Error);
    }
    WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
}

/// pino and bunyan: 10 trace … 60 fatal.
fn of_number(number: u32) -> Option<Level> {
    match number {
        10..30 => Some(Level::Debug),
        30..40 => Some(Level::Info),
        40..50 => Some(Level::Warn),
        50..=60 => Some(Level::Error),
        _ => None,
    }
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

    #[test]
    fn a_json_line_is_judged_by_its_field() {
        let level = |text| find(text).map(|(level, _)| level);
        assert_eq!(level(r#"{"msg":"no error at all","level":"info"}"#), Some(Level::Info));
        assert_eq!(level(r#"{"level":50,"time":1,"msg":"x"}"#), Some(Level::Error));
        assert_eq!(level(r#"{"level": 30,"msg":"an error"}"#), Some(Level::Info));
        assert_eq!(level(r#"{"severity": "WARNING"}"#), Some(Level::Warn));
        assert_eq!(find(r#"{"level":"warn"}"#).map(|(_, at)| at), Some(10..14));
    }

    #[test]
    fn stderr_accuses_unless_it_says_otherwise() {
        assert_eq!(of_line("oops", StreamKind::Err), Level::Error);
        assert_eq!(of_line("oops", StreamKind::Out), Level::Info);
        assert_eq!(of_line("INFO:root:ready", StreamKind::Err), Level::Info);
        assert!(Level::Error > Level::Warn && Level::Info > Level::Debug);
    }
}
