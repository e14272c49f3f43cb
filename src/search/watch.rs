//! The finds among live lines of one source, with their context.

use super::query::Query;
use super::scan::Line;
use crate::model::StreamKind;
use std::collections::VecDeque;

/// A line that does not end within so many bytes is taken as it is.
const LONGEST: usize = 1 << 20;

/// One source's state.
#[derive(Debug, Default)]
pub struct Watch {
    unfinished: Vec<u8>,
    before: VecDeque<(Vec<u8>, i64)>,
    owed: usize,
    shown: bool,
    apart: bool,
}

impl Watch {
    /// Takes in bytes that came at `at_ms`; gives each line that is to be shown to `show`.
    pub fn push(
        &mut self,
        query: &Query,
        stream: StreamKind,
        bytes: &[u8],
        at_ms: i64,
        show: &mut impl FnMut(Line<'_>),
    ) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.unfinished.len() > LONGEST {
                let line = std::mem::take(&mut self.unfinished);
                self.line(query, stream, line, at_ms, show);
            }
        }
    }

    fn line(
        &mut self,
        query: &Query,
        stream: StreamKind,
        bytes: Vec<u8>,
        at_ms: i64,
        show: &mut impl FnMut(Line<'_>),
    ) {
        if query.pattern.wants(&bytes, stream) {
            for (bytes, at_ms) in std::mem::take(&mut self.before) {
                self.tell(&bytes, at_ms, false, show);
            }
            self.tell(&bytes, at_ms, true, show);
            self.owed = query.after;
        } else if self.owed > 0 {
            self.owed -= 1;
            self.tell(&bytes, at_ms, false, show);
        } else {
            self.before.push_back((bytes, at_ms));
            if self.before.len() > query.before {
                self.before.pop_front();
                // Without context nobody asks what is left out.
                self.apart = query.before + query.after > 0;
            }
        }
    }

    fn tell(&mut self, bytes: &[u8], at_ms: i64, hit: bool, show: &mut impl FnMut(Line<'_>)) {
        let apart = std::mem::take(&mut self.apart) && self.shown;
        self.shown = true;
        show(Line { bytes, at_ms: Some(at_ms), known: true, hit, apart });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Pattern;

    #[test]
    fn finds_come_whole_and_with_their_context() {
        let pattern = Pattern::new(Some("hit"), false, false, None).unwrap();
        let query = Query { pattern, before: 1, after: 1, ..Query::default() };
        let mut watch = Watch::default();
        let mut shown = String::new();
        for bytes in ["a\nb\nh", "it\nc\nd\ne\n", "f\nhit\n"] {
            watch.push(&query, StreamKind::Out, bytes.as_bytes(), 0, &mut |line| {
                shown.push_str(if line.apart { "--" } else { "" });
                shown.push_str(std::str::from_utf8(line.bytes.trim_ascii_end()).unwrap());
                shown.push(if line.hit { ':' } else { '-' });
            });
        }
        assert_eq!(shown, "b-hit:c---f-hit:");
    }
}
