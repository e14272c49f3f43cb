//! What of a log can hold lines of some time, found by halving: a gigabyte is not read for its last minute.

use super::block::{Block, Blocks};
use super::part::Span;
use super::pattern::{lines, part};
use super::query::Query;
use super::tail;
use super::times::Times;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Halving ends here.
const CLOSE: u64 = 64 << 10;
/// Lines may be out of order by so many bytes: several threads of an app, a logger's buffer.
const SLACK: u64 = 1 << 20;
/// A file's lines carry times if one of so many does; and a line without one belongs to one of so many before it.
const LOOK: usize = 64;

/// Leaves out what cannot hold a wanted time.
pub fn narrow(spans: Vec<(Span, Times)>, query: &Query) -> io::Result<Vec<(Span, Times)>> {
    if !query.has_times() {
        return Ok(spans);
    }
    let recent = |span: &Span| query.since.is_none_or(|since| span.part.modified_ms >= since);
    let mut kept = Vec::new();
    for (mut span, times) in spans.into_iter().filter(|(span, _)| recent(span)) {
        if let Some(file) = plain(&span)? {
            let (from, to) = (span.from, span.to);
            if let Some(since) = query.since {
                let near = seek(&file, &span, &times, since)?.saturating_sub(SLACK).max(from);
                span.from = if near == from { from } else { tail::line_from(&file, near, to)? };
            }
            if let Some(until) = query.until {
                let near = seek(&file, &span, &times, until)?.saturating_add(CLOSE + SLACK).min(to);
                span.to = if near == to { to } else { tail::line_from(&file, near, to)? };
            }
            span.lead = span.lead.max(span.from);
        }
        if span.from < span.to {
            kept.push((span, times));
        }
    }
    Ok(kept)
}

/// The file, where it can be halved. One that is gone by now is told when it is to be read.
pub(super) fn plain(span: &Span) -> io::Result<Option<File>> {
    if span.part.packed {
        return Ok(None);
    }
    match span.part.open_plain() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened,
    }
}

/// About where lines of this time begin: nothing before is later, but for disorder.
fn seek(file: &File, span: &Span, times: &Times, at_ms: i64) -> io::Result<u64> {
    let (mut low, mut high) = (span.from, span.to);
    while high - low > CLOSE {
        let middle = low + (high - low) / 2;
        if probe(file, span, times, middle)? < at_ms { low = middle } else { high = middle }
    }
    Ok(low)
}

/// The time of the first line behind `offset`.
fn probe(file: &File, span: &Span, times: &Times, offset: u64) -> io::Result<i64> {
    let from = tail::line_from(file, offset, span.to)?;
    let at = Span { from, to: span.to.min(from + CLOSE), ..span.clone() };
    let mut blocks = Blocks::open(&at, CLOSE as usize)?;
    let first = blocks.next()?.and_then(|block| {
        let own = |line: Range<usize>| times.own(part(block.bytes, &line), from + line.start as u64);
        lines(block.bytes).take(LOOK).find_map(own)
    });
    Ok(first.unwrap_or_else(|| times.at(from).0))
}

/// When lines of a block were written.
#[derive(Debug, Clone, Copy)]
pub struct Dating<'a> {
    block: Block<'a>,
    times: &'a Times,
    /// Lines of this block carry times.
    stamped: bool,
}

impl<'a> Dating<'a> {
    /// For a block of a file.
    pub fn new(block: Block<'a>, times: &'a Times) -> Dating<'a> {
        let own = |line: Range<usize>| times.own(part(block.bytes, &line), block.offset + line.start as u64);
        let stamped = lines(block.bytes).take(LOOK).any(|line| own(line).is_some());
        Dating { block, times, stamped }
    }

    /// When the line that begins at `start` of the block was written, and whether that is known rather than guessed. A line
    /// without a time of its own, as of a stack trace, has that of the line it follows.
    pub fn at(&self, start: usize, end: usize) -> (i64, bool) {
        let bytes = self.block.bytes;
        let mut line = start..end;
        for _ in 0..LOOK {
            if let Some(own) = self.times.own(part(bytes, &line), self.block.offset + line.start as u64) {
                return (own, true);
            }
            if !self.stamped || line.start == 0 {
                break;
            }
            let before = part(bytes, &(0..line.start - 1));
            line = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1)..line.start;
        }
        self.times.at(self.block.offset + start as u64)
    }
}
