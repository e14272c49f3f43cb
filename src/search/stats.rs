//! Counts of lines: by app, and the lines that repeat most, their numbers aside.

use super::fold::normalise;
use super::scan::Line;
use crate::model::StreamKind;
use crate::model::level::{self, Level};
use std::collections::{BTreeMap, HashMap};

/// So many different lines are counted at once; when there are more, the rare ones are forgotten.
const DIFFERENT: usize = 20_000;
/// A line's beginning tells it from others.
const HEAD: usize = 256;

/// What one app wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of stderr.
    pub err_lines: u64,
    /// That say they are errors, or of stderr and say nothing.
    pub errors: u64,
    /// And warnings.
    pub warnings: u64,
    /// Time of the first line and of the last, Unix milliseconds.
    pub span: Option<(i64, i64)>,
}

impl Totals {
    fn add(&mut self, stream: StreamKind, line: &Line<'_>, head: &[u8]) {
        self.lines += 1;
        self.bytes += line.bytes.len() as u64;
        self.err_lines += u64::from(stream == StreamKind::Err);
        match level::of_line(&String::from_utf8_lossy(head), stream) {
            Level::Error => self.errors += 1,
            Level::Warn => self.warnings += 1,
            Level::Info | Level::Debug => {}
        }
        if let Some(at) = line.at_ms {
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
    }

    /// Lines a second, over the time they span; `None` if that is shorter than a second.
    pub fn rate(&self) -> Option<f32> {
        let (first, last) = self.span?;
        let seconds = (last - first) as f32 / 1000.0;
        (seconds >= 1.0).then_some(self.lines as f32 / seconds)
    }
}

/// Counts.
#[derive(Debug, Default)]
pub struct Stats {
    apps: BTreeMap<String, Totals>,
    repeated: HashMap<Vec<u8>, (u64, Vec<u8>)>,
    /// Memory for the key of a line.
    key: Vec<u8>,
}

impl Stats {
    /// Counts a line of an app.
    pub fn push(&mut self, app: &str, stream: StreamKind, line: &Line<'_>) {
        let head = line.bytes.get(..HEAD).unwrap_or(line.bytes);
        match self.apps.get_mut(app) {
            Some(totals) => totals.add(stream, line, head),
            None => self.apps.entry(app.to_owned()).or_default().add(stream, line, head),
        }
        self.key.clear();
        normalise(head, &mut self.key);
        if let Some((count, _)) = self.repeated.get_mut(&self.key) {
            *count += 1;
            return;
        }
        if self.repeated.len() >= DIFFERENT {
            self.forget_rare();
        }
        self.repeated.insert(self.key.clone(), (1, head.trim_ascii_end().to_vec()));
    }

    /// By app.
    pub fn apps(&self) -> impl Iterator<Item = (&str, &Totals)> {
        self.apps.iter().map(|(app, totals)| (app.as_str(), totals))
    }

    /// The `n` lines that came most often and more than once, an example of each. Counts of lines that are rare among
    /// very many may be too low.
    pub fn top(&self, n: usize) -> Vec<(u64, &[u8])> {
        let often = self.repeated.values().filter(|(count, _)| *count > 1);
        let mut all: Vec<(u64, &[u8])> = often.map(|(count, line)| (*count, line.as_slice())).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        all.truncate(n);
        all
    }

    fn forget_rare(&mut self) {
        let mut least = 1;
        while self.repeated.len() > DIFFERENT / 2 {
            self.repeated.retain(|_, (count, _)| *count > least);
            least *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, at_ms: i64) -> Line<'_> {
        Line { bytes: text.as_bytes(), at_ms: Some(at_ms), known: true, hit: true, apart: false }
    }

    #[test]
    fn lines_are_counted_by_app_and_by_what_they_say() {
        let mut stats = Stats::default();
        for n in 0..10 {
            stats.push("web", StreamKind::Out, &line(&format!("GET /{n} 200\n"), n * 1000));
        }
        stats.push("api", StreamKind::Err, &line("boom\n", 5));
        let apps: Vec<_> = stats.apps().map(|(app, totals)| (app, totals.lines, totals.errors)).collect();
        assert_eq!(apps, [("api", 1, 1), ("web", 10, 0)]);
        assert_eq!(stats.apps["web"].rate(), Some(10.0 / 9.0));
        assert_eq!(stats.top(5), [(10, &b"GET /0 200"[..])]);
    }

    #[test]
    fn very_many_different_lines_are_not_all_remembered() {
        let mut stats = Stats::default();
        let word = |n: usize| -> String { n.to_string().bytes().map(|b| char::from(b + 49)).collect() };
        for n in 0..3 * DIFFERENT {
            stats.push("web", StreamKind::Out, &line(&word(n), 0));
            stats.push("web", StreamKind::Out, &line("again", 0));
        }
        assert!(stats.repeated.len() <= DIFFERENT);
        assert_eq!(stats.top(1), [(3 * DIFFERENT as u64, &b"again"[..])]);
    }
}
