//! How the log is read: whose lines, from where, searched for what.
//!
//! The position is the number of the line at the bottom. `None` follows: the bottom is whatever came last.

use super::book::{Book, Line};
use crate::monit::event::Source;
use crate::proto::push::StreamKind;
use regex::{Regex, RegexBuilder};

/// Whose lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Of the selected row: one worker, or all of an app.
    #[default]
    Selection,
    /// Of the selected row's app.
    App,
    /// Everybody's and the daemon's own.
    All,
}

/// Which streams are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streams {
    /// Both.
    #[default]
    Both,
    /// Only stdout.
    Out,
    /// Only stderr.
    Err,
}

/// A pattern that is looked for.
#[derive(Debug, Clone)]
pub struct Search {
    /// As typed.
    pub text: String,
    /// Understood; `None`: it is no regular expression (yet).
    pub regex: Option<Regex>,
    /// Line numbered so is where `n` stands.
    pub at: Option<u64>,
    /// Lines that matched when last counted, and the rank of `at` among them from the end.
    pub count: Option<(usize, usize)>,
}

impl Search {
    /// A pattern in small letters ignores case, one with a capital does not.
    pub fn new(text: &str) -> Search {
        let insensitive = !text.chars().any(char::is_uppercase);
        let regex = RegexBuilder::new(text).case_insensitive(insensitive).build().ok();
        Search { text: text.to_owned(), regex, at: None, count: None }
    }
}

/// The reader's position and taste.
#[derive(Debug, Default)]
pub struct Reader {
    /// Whose.
    pub scope: Scope,
    /// Which streams.
    pub streams: Streams,
    /// Number of the line at the bottom; `None` follows.
    pub bottom: Option<u64>,
    /// Columns scrolled to the right.
    pub shift: u16,
    /// Long lines are wrapped.
    pub wrap: bool,
    /// The time of each line is shown.
    pub times: bool,
    /// What is looked for.
    pub search: Option<Search>,
    /// Only lines that match.
    pub only_matches: bool,
    /// Lines before this number were cleared away.
    pub cleared: u64,
}

impl Reader {
    /// The line is one to show.
    pub fn accepts(&self, line: &Line) -> bool {
        let stream = match self.streams {
            Streams::Both => true,
            Streams::Out => line.stream == StreamKind::Out,
            Streams::Err => line.stream == StreamKind::Err,
        };
        stream && line.seq >= self.cleared && (!self.only_matches || self.matches(line).unwrap_or(true))
    }

    /// Lines to show from the bottom up.
    pub fn up<'a>(&'a self, book: &'a Book, sources: &[Source]) -> impl Iterator<Item = &'a Line> {
        let before = self.bottom.map_or(u64::MAX, |seq| seq.saturating_add(1));
        book.back(sources, before).take_while(|line| line.seq >= self.cleared).filter(|l| self.accepts(l))
    }

    /// Moves the bottom by so many lines, up when positive. At the end it follows again.
    pub fn scroll(&mut self, book: &Book, sources: &[Source], lines: isize) {
        if lines == 0 {
            return;
        }
        if lines > 0 {
            let steps = lines.unsigned_abs();
            let mut above = self.up(book, sources).map(|line| line.seq);
            let seq = above.nth(steps).or_else(|| self.first(book, sources));
            drop(above);
            self.bottom = seq.or(self.bottom);
            return;
        }
        let Some(bottom) = self.bottom else { return };
        let newer: Vec<u64> = book
            .back(sources, u64::MAX)
            .take_while(|line| line.seq > bottom)
            .filter(|line| self.accepts(line))
            .map(|line| line.seq)
            .collect();
        self.bottom = newer.len().checked_sub(lines.unsigned_abs()).filter(|at| *at > 0).map(|at| newer[at]);
    }

    /// Goes to the oldest line.
    pub fn top(&mut self, book: &Book, sources: &[Source], height: usize) {
        self.bottom = None;
        let mut all: Vec<u64> = self.up(book, sources).map(|line| line.seq).collect();
        all.reverse();
        self.bottom = (all.len() > height).then(|| all.get(height.saturating_sub(1)).copied()).flatten();
    }

    fn first(&self, book: &Book, sources: &[Source]) -> Option<u64> {
        self.up(book, sources).last().map(|line| line.seq)
    }

    /// Goes to the next match, up when `older`, round the end; counts matches. False: there is none.
    pub fn find(&mut self, book: &Book, sources: &[Source], older: bool) -> bool {
        let found: Vec<u64> = book
            .back(sources, u64::MAX)
            .filter(|line| self.accepts(line) && self.matches(line).unwrap_or(false))
            .map(|line| line.seq)
            .collect();
        let Some(search) = self.search.as_mut() else { return false };
        let place = match search.at {
            None => 0,
            Some(at) if older => found.iter().position(|seq| *seq < at).unwrap_or(0),
            Some(at) => found.iter().rposition(|seq| *seq > at).unwrap_or(found.len().saturating_sub(1)),
        };
        search.at = found.get(place).copied();
        search.count = Some((found.len(), place));
        if let Some(at) = search.at {
            self.show(book, sources, at);
        }
        !found.is_empty()
    }

    /// Goes to the newest line that accuses: stderr, or an error by its level.
    pub fn newest_error(&mut self, book: &Book, sources: &[Source]) -> bool {
        let found = book
            .back(sources, u64::MAX)
            .filter(|line| self.accepts(line))
            .find(|line| line.stream == StreamKind::Err || crate::model::level::is_error(&line.clean.text))
            .map(|line| line.seq);
        if let Some(seq) = found {
            self.show(book, sources, seq);
        }
        found.is_some()
    }

    /// Puts a line some rows above the bottom.
    fn show(&mut self, book: &Book, sources: &[Source], seq: u64) {
        const BELOW: usize = 3;
        let newer: Vec<u64> = book
            .back(sources, u64::MAX)
            .take_while(|line| line.seq > seq)
            .filter(|line| self.accepts(line))
            .map(|line| line.seq)
            .collect();
        self.bottom = newer.len().checked_sub(BELOW).and_then(|at| newer.get(at)).copied();
    }

    fn matches(&self, line: &Line) -> Option<bool> {
        let regex = self.search.as_ref()?.regex.as_ref()?;
        Some(regex.is_match(&line.clean.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerId;
    use crate::monit::event::Fresh;
    use proptest::prelude::*;

    const SOURCES: [Source; 1] = [Some(WorkerId(1))];

    fn book(lines: &[String]) -> Book {
        let mut book = Book::default();
        for line in lines {
            book.push(Fresh {
                source: SOURCES[0],
                stream: StreamKind::Out,
                at_ms: None,
                clean: crate::monit::ansi::clean(line.as_bytes()),
            });
        }
        book
    }

    #[test]
    fn scrolling_up_stops_following_and_down_to_the_end_follows_again() {
        let lines: Vec<_> = (0..10).map(|n| n.to_string()).collect();
        let book = book(&lines);
        let mut reader = Reader::default();
        reader.scroll(&book, &SOURCES, 3);
        assert_eq!(reader.bottom, Some(6));
        reader.scroll(&book, &SOURCES, -1);
        assert_eq!(reader.bottom, Some(7));
        reader.scroll(&book, &SOURCES, -2);
        assert_eq!(reader.bottom, None);
        reader.scroll(&book, &SOURCES, 100);
        assert_eq!(reader.bottom, Some(0));
    }

    #[test]
    fn a_broken_pattern_finds_nothing_and_hides_nothing() {
        let book = book(&["a(".to_owned()]);
        let mut reader = Reader { search: Some(Search::new("a(")), only_matches: true, ..Reader::default() };
        assert!(!reader.find(&book, &SOURCES, true));
        assert_eq!(reader.up(&book, &SOURCES).count(), 1);
    }

    proptest! {
        #[test]
        fn next_visits_every_match_once_and_goes_round(lines in proptest::collection::vec("[ab]{1,3}", 1..40)) {
            let book = book(&lines);
            let mut reader = Reader { search: Some(Search::new("a")), ..Reader::default() };
            let matching: Vec<u64> = (0..lines.len()).rev().filter(|n| lines[*n].contains('a')).map(|n| n as u64).collect();
            let mut visited = Vec::new();
            for _ in 0..matching.len() {
                prop_assert!(reader.find(&book, &SOURCES, true));
                visited.extend(reader.search.as_ref().unwrap().at);
            }
            prop_assert_eq!(&visited, &matching);
            prop_assert_eq!(reader.find(&book, &SOURCES, true), !matching.is_empty());
            prop_assert_eq!(reader.search.as_ref().unwrap().at, matching.first().copied());
        }

        #[test]
        fn any_scrolling_stays_within_the_lines(moves in proptest::collection::vec(-20isize..20, 0..30)) {
            let lines: Vec<_> = (0..25).map(|n| n.to_string()).collect();
            let book = book(&lines);
            let mut reader = Reader::default();
            for step in moves {
                reader.scroll(&book, &SOURCES, step);
                prop_assert!(reader.bottom.is_none_or(|seq| seq < 24));
                prop_assert!(reader.up(&book, &SOURCES).next().is_some());
            }
        }
    }
}
