//! Lines that are loud enough. A word or number of a level stands in few lines that are not what their stream makes of
//! those that say nothing: only these are looked at.

use super::pattern::{PatternError, between, join, matching, part};
use crate::model::StreamKind;
use crate::model::level::{self, Level};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use std::ops::Range;

/// A level stands within so many bytes of a line, and of one of JSON within so many.
const REACH: usize = 128;
const JSON_REACH: usize = 4096;

/// The least level that is wanted.
#[derive(Debug, Clone)]
pub struct Loud {
    least: Level,
    /// Lines that may say a level on the other side of it than stdout has by itself.
    out: RegexMatcher,
    /// Than stderr has.
    err: RegexMatcher,
}

impl Loud {
    /// At least this.
    pub fn new(least: Level) -> Result<Loud, PatternError> {
        let other = |stream| {
            let wanted = level::of_line("", stream) >= least;
            let mut words: Vec<&str> = level::words()
                .filter(|(_, level)| (*level >= least) != wanted)
                .map(|(word, _)| word)
                .collect();
            // pino's numbers, whatever they say.
            words.push(r#"(?:level|severity|lvl|levelname)":[ "]*[0-9]"#);
            let mut builder = RegexMatcherBuilder::new();
            builder.case_insensitive(true).unicode(false).line_terminator(Some(b'\n'));
            builder.build(&words.join("|")).map_err(|error| PatternError(error.to_string()))
        };
        Ok(Loud { least, out: other(StreamKind::Out)?, err: other(StreamKind::Err)? })
    }

    /// This line is loud enough.
    pub fn admits(&self, line: &[u8], stream: StreamKind) -> bool {
        let reach = if line.first() == Some(&b'{') { JSON_REACH } else { REACH };
        let head = line.get(..reach).unwrap_or(line);
        level::of_line(&String::from_utf8_lossy(head), stream) >= self.least
    }

    /// The lines of a block that are, and (`false`) stretches of which all lines are.
    pub fn ranges(&self, block: &[u8], stream: StreamKind, show: &mut impl FnMut(Range<usize>, bool)) {
        let other = match stream {
            StreamKind::Out => &self.out,
            StreamKind::Err => &self.err,
        };
        let admits = |line: &Range<usize>| self.admits(part(block, line), stream);
        if level::of_line("", stream) < self.least {
            matching(other, block, |line| {
                if admits(&line) {
                    show(line, true)
                }
            });
            return;
        }
        let mut low = Vec::new();
        matching(other, block, |line| {
            if !admits(&line) {
                join(line, &mut low)
            }
        });
        between(block, &low, |range| show(range, false));
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::lines;
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static LOUD: LazyLock<[Loud; 4]> = LazyLock::new(|| {
        [Level::Debug, Level::Info, Level::Warn, Level::Error].map(|least| Loud::new(least).unwrap())
    });

    proptest! {
        #[test]
        fn the_same_lines_as_if_each_were_looked_at(
            text in proptest::collection::vec(proptest::sample::select(vec![
                "x\n", "WARN x\n", "an error\n", "error: x\n", "\n", "TypeError: y\n", "{\"level\":50}\n", "{\"level\": \"30\"}\n",
                "{\"severity\":\"debug\",\"msg\":\"no ERROR\"}\n", "[info] a\n", "Trace\n", "[SILLY]\n", "\u{ff}\u{17f}illy: NOTICE\n", "{\"lvl\":10}\n",
            ]), 0..12),
            least in proptest::sample::select(vec![Level::Debug, Level::Info, Level::Warn, Level::Error]), err: bool,
        ) {
            let stream = if err { StreamKind::Err } else { StreamKind::Out };
            let (text, loud) = (text.concat().into_bytes(), &LOUD[least as usize]);
            let mut found = Vec::new();
            loud.ranges(&text, stream, &mut |range, _| join(range, &mut found));
            let mut naive = Vec::new();
            lines(&text).filter(|line| loud.admits(part(&text, line), stream)).for_each(|line| join(line, &mut naive));
            prop_assert_eq!(found, naive);
        }
    }
}
