//! Where the last finds of a log begin, looked for from its end.

use super::block::{Block, Blocks, LONGEST, Room};
use super::narrow::{self, Dating};
use super::part::Span;
use super::query::Query;
use super::tail;
use super::times::Times;
use crate::model::StreamKind;
use std::collections::VecDeque;
use std::fs::File;
use std::io;

/// What is looked at at once.
const WINDOW: u64 = if cfg!(test) { 400 } else { 256 << 10 };

/// The end of a log that holds its last `n` finds, and what context needs before them.
pub fn last(
    mut spans: Vec<(Span, Times)>,
    query: &Query,
    stream: StreamKind,
    n: usize,
) -> io::Result<Vec<(Span, Times)>> {
    let mut missing = n;
    let mut kept = VecDeque::new();
    while missing > 0
        && let Some((mut span, times)) = spans.pop()
    {
        let file = narrow::plain(&span)?;
        let found = match &file {
            None => packed(&span, &times, query, stream, missing),
            Some(file) if query.takes_all() => tail::start_of_last(file, span.from, span.to, missing),
            Some(file) => plain(file, &span, &times, query, stream, missing),
        };
        let (start, fewer) = match found {
            // It was removed by now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        missing = fewer;
        let from = span.from;
        if missing == 0 {
            span.lead = start;
            span.from = start;
            if let Some(file) = file.filter(|_| query.before > 0) {
                span.from = tail::start_of_last(&file, from, start, query.before)?.0;
            }
        }
        kept.push_front((span, times));
    }
    Ok(kept.into())
}

/// Start of the last `n` finds of a span, and how many fewer there are, window by window.
fn plain(
    file: &File,
    span: &Span,
    times: &Times,
    query: &Query,
    stream: StreamKind,
    n: usize,
) -> io::Result<(u64, usize)> {
    let mut missing = n;
    let mut end = span.to;
    let mut length = WINDOW;
    let mut buffer = Vec::new();
    while end > span.from {
        let near = end.saturating_sub(length).max(span.from);
        let start = if near == span.from { near } else { tail::line_from(file, near, end)? };
        if start >= end && length < LONGEST as u64 {
            length *= 2;
            continue;
        }
        // A line longer than all windows is looked at in pieces.
        let start = if start >= end { near } else { start };
        buffer.resize(usize::try_from(end - start).map_err(io::Error::other)?, 0);
        let read = tail::read_up_to(file, &mut buffer, start)?;
        let block = Block { offset: start, bytes: buffer.get(..read).unwrap_or_default() };
        let dated = query.has_times();
        let before = if dated { narrow::before(file, (span.from, start), times)? } else { None };
        let finds = finds(block, times, before, query, stream);
        match finds.len().checked_sub(missing).and_then(|first| finds.get(first)) {
            Some(first) => return Ok((*first, 0)),
            None => missing -= finds.len(),
        }
        (end, length) = (start, WINDOW);
    }
    Ok((span.from, missing))
}

/// The same forwards, since a compressed file has no other direction.
fn packed(
    span: &Span,
    times: &Times,
    query: &Query,
    stream: StreamKind,
    n: usize,
) -> io::Result<(u64, usize)> {
    let (mut blocks, mut room) = (Blocks::open(span)?, Room::default());
    let (mut found, mut before) = (VecDeque::new(), None);
    while blocks.next(&mut room, WINDOW as usize)? {
        found.extend(finds(room.block(), times, before, query, stream));
        if query.has_times() {
            before = Dating::new(room.block(), times, before).behind();
        }
        let excess = found.len().saturating_sub(n);
        found.drain(..excess);
    }
    Ok((found.front().copied().unwrap_or(span.from), n - found.len()))
}

/// Where in the file the wanted lines of a block begin.
fn finds(
    block: Block<'_>,
    times: &Times,
    before: Option<i64>,
    query: &Query,
    stream: StreamKind,
) -> Vec<u64> {
    let mut lines = Vec::new();
    query.pattern.select(block.bytes, stream, &mut lines);
    if query.has_times() {
        let dating = Dating::new(block, times, before);
        lines.retain(|line| query.wants_time(dating.at(line.start, line.end).0));
    }
    lines.into_iter().map(|line| block.offset + line.start as u64).collect()
}
