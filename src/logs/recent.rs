//! The last lines of each worker in memory, so that a subscriber sees something at once, also when files are off.

use super::fanout::LogLines;
use crate::model::StreamKind;
use std::collections::VecDeque;

/// So many lines are kept of a worker (whole batches, so it may be some more).
pub const LINES: usize = 1000;
/// And no more than so many bytes, but always the last batch.
pub const BYTES: usize = 128 << 10;

/// One worker's last lines.
#[derive(Debug, Default)]
pub struct Recent {
    batches: VecDeque<LogLines>,
    lines: usize,
    bytes: usize,
}

impl Recent {
    /// Adds a batch, forgets the oldest that are in excess.
    pub fn push(&mut self, batch: LogLines) {
        self.lines += batch.lines;
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
        while self.batches.len() > 1
            && let Some(oldest) = self.batches.front()
            && (self.lines - oldest.lines >= LINES || self.bytes > BYTES)
        {
            self.lines -= oldest.lines;
            self.bytes -= oldest.bytes.len();
            self.batches.pop_front();
        }
    }

    /// Forgets what a stream said.
    pub fn forget(&mut self, stream: StreamKind) {
        self.batches.retain(|batch| batch.stream != stream);
        self.lines = self.batches.iter().map(|batch| batch.lines).sum();
        self.bytes = self.batches.iter().map(|batch| batch.bytes.len()).sum();
    }

    /// The last `wanted` lines of those batches that `fits` says yes to, oldest first.
    pub fn last(&self, mut wanted: usize, fits: impl Fn(&LogLines) -> bool) -> Vec<LogLines> {
        let mut found = Vec::new();
        for batch in self.batches.iter().rev().filter(|batch| fits(batch)) {
            if wanted == 0 {
                break;
            }
            found.push(batch.last(wanted));
            wanted = wanted.saturating_sub(batch.lines);
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerId;
    use bytes::Bytes;

    fn batch(stream: StreamKind, bytes: impl Into<Bytes>) -> LogLines {
        LogLines::new(Some(WorkerId(1)), "web".into(), stream, 0, bytes.into())
    }

    fn told(found: &[LogLines]) -> String {
        found.iter().map(|batch| String::from_utf8_lossy(&batch.bytes)).collect()
    }

    #[test]
    fn the_last_lines_come_in_order_and_exactly_as_many_as_wanted() {
        let mut recent = Recent::default();
        for text in ["a\nb\n", "c\nd\ne\n", "f\n"] {
            recent.push(batch(StreamKind::Out, text));
        }
        recent.push(batch(StreamKind::Err, "oops\n"));
        let out = |wanted| told(&recent.last(wanted, |batch| batch.stream == StreamKind::Out));
        assert_eq!(out(0), "");
        assert_eq!(out(3), "d\ne\nf\n");
        assert_eq!(out(4), "c\nd\ne\nf\n");
        assert_eq!(out(100), "a\nb\nc\nd\ne\nf\n");
        assert_eq!(told(&recent.last(2, |_| true)), "f\noops\n");
    }

    #[test]
    fn neither_many_lines_nor_long_ones_grow_it() {
        let mut recent = Recent::default();
        for _ in 0..10_000 {
            recent.push(batch(StreamKind::Out, "x\n"));
        }
        assert_eq!(recent.lines, LINES);
        for _ in 0..10 {
            recent.push(batch(StreamKind::Out, vec![b'x'; BYTES / 2]));
        }
        assert!(recent.bytes <= BYTES);
        recent.push(batch(StreamKind::Out, vec![b'x'; BYTES * 2]));
        assert_eq!(recent.batches.len(), 1);
    }
}
