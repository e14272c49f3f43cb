//! Which lines of a block are wanted: by ripgrep's matcher, which finds a rare literal of the expression first and looks
//! at lines only there, and by level.

use crate::model::StreamKind;
use crate::model::level::{self, Level};
use grep_matcher::{LineMatchKind, Matcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use std::ops::Range;

/// An expression that is none. The message is the parser's, with a mark at the place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

/// Which lines are wanted; the default wants all.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    matcher: Option<RegexMatcher>,
    invert: bool,
    level: Option<Level>,
}

impl Pattern {
    /// Lines that match (`invert`: those that do not), and are at least as loud as `level`. The syntax is that of the
    /// `regex` crate; `^` and `$` are a line's.
    pub fn new(
        expression: Option<&str>,
        ignore_case: bool,
        invert: bool,
        level: Option<Level>,
    ) -> Result<Pattern, PatternError> {
        let compile = |expression: &str| {
            let mut builder = RegexMatcherBuilder::new();
            builder.multi_line(true).line_terminator(Some(b'\n')).case_insensitive(ignore_case);
            builder.build(expression).map_err(|error| PatternError(error.to_string()))
        };
        let matcher = expression.map(compile).transpose()?;
        let invert = invert && matcher.is_some();
        Ok(Pattern { matcher, invert, level })
    }

    /// Every line is wanted.
    pub fn takes_all(&self) -> bool {
        self.matcher.is_none() && self.level.is_none()
    }

    /// One line is wanted; its end may be part of it.
    pub fn wants(&self, line: &[u8], stream: StreamKind) -> bool {
        self.matches(line) && self.is_loud(line, stream)
    }

    /// Where the expression is found in a line, if lines are not wanted for lacking it; finds of nothing left out.
    pub fn finds(&self, line: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if let Some(matcher) = self.matcher.as_ref().filter(|_| !self.invert) {
            // The matcher cannot fail.
            let _done = matcher.find_iter(line, |one| {
                found.extend((one.start() < one.end()).then(|| one.start()..one.end()));
                true
            });
        }
        found
    }

    /// The wanted lines of `block`, which begins and ends with a line, in order; with their ends.
    pub fn select(&self, block: &[u8], stream: StreamKind, found: &mut Vec<Range<usize>>) {
        match &self.matcher {
            Some(matcher) if !self.invert => matching(matcher, block, found),
            Some(matcher) => {
                let mut hits = Vec::new();
                matching(matcher, block, &mut hits);
                others(block, &hits, found);
            }
            None => found.extend(lines(block)),
        }
        if self.level.is_some() {
            found.retain(|line| self.is_loud(part(block, line), stream));
        }
    }

    fn matches(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // The matcher cannot fail.
        let is_match = |matcher: &RegexMatcher| matcher.is_match(line).unwrap_or(false);
        self.matcher.as_ref().is_none_or(|matcher| is_match(matcher) != self.invert)
    }

    fn is_loud(&self, line: &[u8], stream: StreamKind) -> bool {
        let Some(least) = self.level else { return true };
        // A level stands near the beginning; what follows may be long.
        let head = line.get(..4096).unwrap_or(line);
        level::of_line(&String::from_utf8_lossy(head), stream) >= least
    }
}

fn matching(matcher: &RegexMatcher, block: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
        let (place, sure) = match matcher.find_candidate_line(rest) {
            Ok(Some(LineMatchKind::Confirmed(place))) => (at + place, true),
            Ok(Some(LineMatchKind::Candidate(place))) => (at + place, false),
            Ok(None) | Err(_) => return,
        };
        let line = around(block, place);
        let text = part(block, &line);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        at = line.end.max(at + 1);
        if sure || matcher.is_match(text).unwrap_or(false) {
            // A match of nothing behind the last line end is no line.
            if !line.is_empty() {
                found.push(line);
            }
        }
    }
}

/// The lines between these.
fn others(block: &[u8], hits: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    for hit in hits.iter().chain([&(block.len()..block.len())]) {
        found.extend(lines(part(block, &(at..hit.start))).map(|line| at + line.start..at + line.end));
        at = hit.end;
    }
}

/// The line that holds the byte at `place`.
fn around(block: &[u8], place: usize) -> Range<usize> {
    let place = place.min(block.len());
    let start = memchr::memrchr(b'\n', block.get(..place).unwrap_or_default()).map_or(0, |at| at + 1);
    let rest = block.get(place..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).map_or(block.len(), |at| place + at + 1);
    start..end
}

/// All lines of a block, with their ends.
pub fn lines(block: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let unfinished = block.last().is_some_and(|last| *last != b'\n').then_some(block.len());
    memchr::memchr_iter(b'\n', block).map(|at| at + 1).chain(unfinished).map(move |end| {
        let line = start..end;
        start = end;
        line
    })
}

/// A part of a block; nothing if it is not in it.
pub fn part<'a>(block: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    block.get(range.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn select(pattern: &Pattern, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        pattern.select(text.as_bytes(), StreamKind::Out, &mut found);
        found.into_iter().map(|line| text.get(line).unwrap().trim_end_matches('\n').to_owned()).collect()
    }

    fn grep(expression: &str, invert: bool) -> Pattern {
        Pattern::new(Some(expression), false, invert, None).unwrap()
    }

    #[test]
    fn anchors_are_a_lines() {
        let text = "ab\nb\n\nabc\nb";
        assert_eq!(select(&grep("^b$", false), text), ["b", "b"]);
        assert_eq!(select(&grep("^$", false), text), [""]);
        assert_eq!(select(&grep("^b$", true), text), ["ab", "", "abc"]);
        assert_eq!(select(&grep("", false), text).len(), 5);
        assert!(Pattern::new(Some("("), false, false, None).is_err());
    }

    #[test]
    fn a_level_is_the_least_that_is_wanted() {
        let warn = Pattern::new(None, false, false, Some(Level::Warn)).unwrap();
        assert_eq!(
            select(&warn, "INFO a\nWARN b\nERROR c\nplain\n{\"level\":50}\n"),
            ["WARN b", "ERROR c", "{\"level\":50}"]
        );
        assert!(warn.wants(b"plain\n", StreamKind::Err));
    }

    proptest! {
        #[test]
        fn the_same_lines_as_the_naive_way(
            text in "[abc\n]{0,80}",
            expression in proptest::sample::select(vec!["a", "bc", "^c", "b$", "a.*c", "[ab]b", "^$"]), invert: bool) {
            let pattern = grep(expression, invert);
            let regex = regex::Regex::new(expression).unwrap();
            let naive: Vec<String> = text.split_inclusive('\n').map(|line| line.trim_end_matches('\n'))
                .filter(|line| regex.is_match(line) != invert).map(str::to_owned).collect();
            prop_assert_eq!(select(&pattern, &text), naive);
        }
    }
}
