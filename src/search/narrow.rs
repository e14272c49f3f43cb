//! What of a log can hold lines of some time, found by halving: a gigabyte is not read for its last minute.

use super::block::{Block, Blocks, Room};
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
    let mut room = Room::default();
    Blocks::open(&at)?.next(&mut room, CLOSE as usize)?;
    let bytes = room.block().bytes;
    let own = |line: Range<usize>| times.own(part(bytes, &line), from + line.start as u64);
    let first = lines(bytes).take(LOOK).find_map(own);
    Ok(first.unwrap_or_else(|| times.at(from).0))
}

/// When lines of a block were written.
#[derive(Debug, Clone, Copy)]
pub struct Dating<'a> {
    block: Block<'a>,
    times: &'a Times,
    /// The time of the lines before the block.
    before: Option<i64>,
    /// Lines of this block carry times.
    stamped: bool,
}

impl<'a> Dating<'a> {
    /// For a block of a file; `before`: the last time that lines in front of it carry.
    pub fn new(block: Block<'a>, times: &'a Times, before: Option<i64>) -> Dating<'a> {
        let own = |line: Range<usize>| times.own(part(block.bytes, &line), block.offset + line.start as u64);
        let stamped = before.is_some() || lines(block.bytes).take(LOOK).any(|line| own(line).is_some());
        Dating { block, times, before, stamped }
    }

    /// When the line that begins at `start` of the block was written, and whether that is known rather than guessed. A line
    /// without a time of its own, as of a stack trace, has that of the line it follows.
    pub fn at(&self, start: usize, end: usize) -> (i64, bool) {
        if let Some(own) = self.own(start, end) {
            return (own, true);
        }
        let known = if self.stamped { self.near(start) } else { None };
        known.map_or_else(|| self.times.at(self.block.offset + start as u64), |at_ms| (at_ms, true))
    }

    /// The time of the lines behind the block, if they carry none.
    pub fn behind(&self) -> Option<i64> {
        self.near(self.block.bytes.len())
    }

    /// What lines in front of `start` carry.
    fn near(&self, start: usize) -> Option<i64> {
        let mut start = start;
        for _ in 0..LOOK {
            let Some(end) = start.checked_sub(1) else { return self.before };
            let line = memchr::memrchr(b'\n', part(self.block.bytes, &(0..end))).map_or(0, |at| at + 1);
            if let Some(own) = self.own(line, start) {
                return Some(own);
            }
            start = line;
        }
        None
    }

    fn own(&self, start: usize, end: usize) -> Option<i64> {
        self.times.own(part(self.block.bytes, &(start..end)), self.block.offset + start as u64)
    }
}

/// The last time that lines of a plain file carry in front of `offset`; none of those in front of `from`.
pub fn before(file: &File, (from, offset): (u64, u64), times: &Times) -> io::Result<Option<i64>> {
    let near = offset.saturating_sub(CLOSE / 4).max(from);
    let start = if near == from { from } else { tail::line_from(file, near, offset)? };
    let mut bytes = vec![0; (offset - start) as usize];
    let read = tail::read_up_to(file, &mut bytes, start)?;
    let block = Block { offset: start, bytes: bytes.get(..read).unwrap_or_default() };
    Ok(Dating::new(block, times, None).behind())
}
