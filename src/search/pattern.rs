//! Which lines of a block are wanted: by ripgrep's matcher, which finds a rare literal of the expression first and looks
//! at lines only there, and by level.

use super::loud::Loud;
use crate::model::StreamKind;
use crate::model::level::Level;
use grep_matcher::{LineMatchKind, Matcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use std::ops::Range;

/// An expression may be so many bytes as a program: more is a slip of the hand, and would take minutes.
const LARGEST: usize = 10 << 20;

/// An expression that is none. The message is the parser's, with a mark at the place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

/// Which lines are wanted; the default wants all.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    matcher: Option<RegexMatcher>,
    invert: bool,
    level: Option<Loud>,
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
            builder.size_limit(LARGEST);
            builder.build(expression).map_err(|error| PatternError(error.to_string()))
        };
        let matcher = expression.map(compile).transpose()?;
        let invert = invert && matcher.is_some();
        let level = level.map(Loud::new).transpose()?;
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
        self.ranges(block, stream, &mut |range, is_line| {
            if is_line {
                found.push(range);
            } else {
                let of_block = |line: Range<usize>| range.start + line.start..range.start + line.end;
                found.extend(lines(part(block, &range)).map(of_block));
            }
        });
    }

    /// The same, but wanted lines that follow each other as one.
    pub fn select_runs(&self, block: &[u8], stream: StreamKind, found: &mut Vec<Range<usize>>) {
        self.ranges(block, stream, &mut |range, _| join(range, found));
    }

    /// Wanted lines, and (`false`) stretches of the block of which all lines are: nobody has looked at these one by one.
    fn ranges(&self, block: &[u8], stream: StreamKind, show: &mut impl FnMut(Range<usize>, bool)) {
        let loud = |line: &Range<usize>| self.is_loud(part(block, line), stream);
        match (&self.matcher, &self.level) {
            (None, None) => show(0..block.len(), false),
            (None, Some(least)) => least.ranges(block, stream, show),
            (Some(matcher), _) if !self.invert => matching(matcher, block, |line| {
                if loud(&line) {
                    show(line, true);
                }
            }),
            (Some(matcher), level) => {
                let mut hits = Vec::new();
                matching(matcher, block, |line| join(line, &mut hits));
                between(block, &hits, |range| match level {
                    None => show(range, false),
                    Some(_) => lines(part(block, &range))
                        .map(|line| range.start + line.start..range.start + line.end)
                        .filter(loud)
                        .for_each(|line| show(line, true)),
                });
            }
        }
    }

    fn matches(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // The matcher cannot fail.
        let is_match = |matcher: &RegexMatcher| matcher.is_match(line).unwrap_or(false);
        self.matcher.as_ref().is_none_or(|matcher| is_match(matcher) != self.invert)
    }

    fn is_loud(&self, line: &[u8], stream: StreamKind) -> bool {
        self.level.as_ref().is_none_or(|least| least.admits(line, stream))
    }
}

/// The lines of a block that match.
pub fn matching(matcher: &RegexMatcher, block: &[u8], mut show: impl FnMut(Range<usize>)) {
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
                show(line);
            }
        }
    }
}

/// What lies between these.
pub fn between(block: &[u8], hits: &[Range<usize>], mut show: impl FnMut(Range<usize>)) {
    let mut at = 0;
    for hit in hits.iter().chain([&(block.len()..block.len())]) {
        if at < hit.start {
            show(at..hit.start);
        }
        at = hit.end;
    }
}

/// Adds a range, to the last one if it begins where that ends.
pub fn join(range: Range<usize>, found: &mut Vec<Range<usize>>) {
    match found.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => found.push(range),
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
