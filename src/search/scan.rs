//! The finds of one log, oldest first, with their context.

use super::narrow::Dating;
use super::pattern::{lines, part};
use super::query::Query;
use super::sift::{Dated, Find, Haul, Sift, Sifted};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A line that is to be shown. Of a single log without times it is all lines that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// With its end, unless it has none.
    pub bytes: &'a [u8],
    /// When it was written, Unix milliseconds, if times were asked for.
    pub at_ms: Option<i64>,
    /// That is known from the line or from marks, not guessed.
    pub known: bool,
    /// Found, rather than shown as context.
    pub hit: bool,
    /// Lines before it are left out (told only with context).
    pub apart: bool,
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A line can be taken; it was written at this time.
    Ready(Option<i64>),
    /// Something was looked through, and there is no line yet.
    Quiet,
    /// There is nothing more.
    Over,
}

/// Goes through the spans of a log.
#[derive(Debug)]
pub struct Scan<'q> {
    query: &'q Query,
    sift: Sift,
    dated: bool,
    /// The block that lines are of.
    current: Option<Haul>,
    ready: VecDeque<Shown>,
    context: Context,
    /// The line that was taken last, if it is not of the block.
    taken: Vec<u8>,
    /// Files that could not be read.
    pub trouble: Vec<(PathBuf, io::Error)>,
}

/// A line that is shown, or perhaps will be.
#[derive(Debug)]
struct Shown {
    text: Text,
    at: Option<(i64, bool)>,
    hit: bool,
    apart: bool,
}

#[derive(Debug)]
enum Text {
    Here(Range<usize>),
    /// Of a block before.
    Kept(Vec<u8>),
}

#[derive(Debug, Default)]
struct Context {
    /// Last lines that were not shown.
    before: VecDeque<Shown>,
    /// So many lines behind the last find are still to be shown.
    owed: usize,
    shown: bool,
    /// Lines were left out since the last one shown.
    apart: bool,
}

impl<'q> Scan<'q> {
    /// Of what is sifted; `dated`: with times.
    pub fn new(query: &'q Query, sift: Sift, dated: bool) -> Scan<'q> {
        Scan {
            query,
            sift,
            dated,
            current: None,
            ready: VecDeque::new(),
            context: Context::default(),
            taken: Vec::new(),
            trouble: Vec::new(),
        }
    }

    /// Takes in a block if no line is ready.
    pub fn step(&mut self) -> State {
        if let Some(first) = self.ready.front() {
            return State::Ready(first.at.map(|(at_ms, _)| at_ms));
        }
        if self.leave() {
            return State::Quiet;
        }
        match self.sift.next() {
            None => return State::Over,
            Some(Sifted::Nothing) => {}
            Some(Sifted::Trouble(path, error)) => self.trouble.push((path, error)),
            Some(Sifted::Block(file, haul)) => {
                self.take_in(&file, &haul);
                self.current = Some(haul);
            }
        }
        self.ready.front().map_or(State::Quiet, |first| State::Ready(first.at.map(|(at_ms, _)| at_ms)))
    }

    /// The line that is ready.
    pub fn take(&mut self) -> Option<Line<'_>> {
        let Shown { text, at, hit, apart } = self.ready.pop_front()?;
        let bytes = match text {
            Text::Here(range) => part(self.current.as_ref()?.block().bytes, &range),
            Text::Kept(bytes) => {
                self.taken = bytes;
                &self.taken
            }
        };
        let known = at.is_some_and(|(_, known)| known);
        Some(Line { bytes, at_ms: at.map(|(at_ms, _)| at_ms), known, hit, apart })
    }

    /// The block's memory is used again: what may be shown later is kept. `false`: there is none.
    fn leave(&mut self) -> bool {
        let Some(haul) = self.current.take() else { return false };
        for line in &mut self.context.before {
            if let Text::Here(range) = &line.text {
                line.text = Text::Kept(part(haul.block().bytes, range).to_vec());
            }
        }
        self.sift.give_back(haul);
        true
    }

    fn take_in(&mut self, (_, times): &Dated, haul: &Haul) {
        let Scan { query, context, ready: out, .. } = self;
        if !query.has_context() {
            out.extend(haul.finds.iter().map(found));
            return;
        }
        let block = haul.block();
        let dating = self.dated.then(|| Dating::new(block, times, haul.before));
        let near = Near { query, bytes: block.bytes, dating };
        let mut at = 0;
        for find in &haul.finds {
            near.between(at..find.start, context, out);
            for line in std::mem::take(&mut context.before) {
                near.tell(line, context, out);
            }
            context.tell(found(find), out);
            context.owed = query.after;
            at = find.end;
        }
        near.between(at..block.bytes.len(), context, out);
    }
}

fn found(find: &Find) -> Shown {
    Shown { text: Text::Here(find.start..find.end), at: find.at, hit: true, apart: false }
}

/// Looks for context in a block.
struct Near<'a> {
    query: &'a Query,
    bytes: &'a [u8],
    dating: Option<Dating<'a>>,
}

impl Near<'_> {
    fn line(&self, line: Range<usize>) -> Shown {
        let at = self.dating.as_ref().map(|dating| dating.at(line.start, line.end));
        Shown { text: Text::Here(line), at, hit: false, apart: false }
    }

    /// Lines that are no finds: context of the last one, or perhaps of the next.
    fn between(&self, range: Range<usize>, context: &mut Context, out: &mut VecDeque<Shown>) {
        let mut start = range.start;
        while context.owed > 0 && start < range.end {
            let end = memchr::memchr(b'\n', part(self.bytes, &(start..range.end)));
            let end = end.map_or(range.end, |at| start + at + 1);
            context.owed -= 1;
            self.tell(self.line(start..end), context, out);
            start = end;
        }
        if start < range.end {
            self.keep(start..range.end, context);
        }
    }

    /// Context does not reach beyond the wanted times.
    fn tell(&self, line: Shown, context: &mut Context, out: &mut VecDeque<Shown>) {
        if line.at.is_none_or(|(at_ms, _)| self.query.wants_time(at_ms)) {
            context.tell(line, out);
        }
    }

    fn keep(&self, range: Range<usize>, context: &mut Context) {
        let rest = part(self.bytes, &range);
        let body = rest.strip_suffix(b"\n").unwrap_or(rest);
        let first = match self.query.before.checked_sub(1) {
            Some(more) => memchr::memrchr_iter(b'\n', body).nth(more).map_or(0, |at| at + 1),
            None => rest.len(),
        };
        if first > 0 {
            context.forget();
        }
        for line in lines(rest.get(first..).unwrap_or_default()) {
            let line = range.start + first + line.start..range.start + first + line.end;
            context.before.push_back(self.line(line));
            if context.before.len() > self.query.before {
                context.before.pop_front();
                context.apart = true;
            }
        }
    }
}

impl Context {
    fn forget(&mut self) {
        self.before.clear();
        self.apart = true;
    }

    fn tell(&mut self, mut line: Shown, out: &mut VecDeque<Shown>) {
        line.apart = std::mem::take(&mut self.apart) && self.shown;
        self.shown = true;
        out.push_back(line);
    }
}
