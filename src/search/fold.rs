//! Lines that repeat: of a run of lines of one source that differ in their numbers only, the first is shown, then how
//! many there were.

use super::scan::Line;
use std::collections::HashMap;

/// Runs, by source.
#[derive(Debug, Default)]
pub struct Fold {
    runs: HashMap<usize, Run>,
    /// Memory for the key of a line.
    key: Vec<u8>,
}

#[derive(Debug)]
struct Run {
    key: Vec<u8>,
    count: u64,
    first_ms: i64,
    last_ms: i64,
    told: u64,
}

/// A run that is over, or that has gone on since it was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    /// Whose.
    pub source: usize,
    /// Lines of it, with the first.
    pub count: u64,
    /// From its first line to its last.
    pub lasted_ms: i64,
}

impl Fold {
    /// Takes in a line. `true`: it is to be shown, behind the run that it ends.
    pub fn push(&mut self, source: usize, line: &Line<'_>, now_ms: i64) -> (Option<Repeated>, bool) {
        let at_ms = line.at_ms.unwrap_or(now_ms);
        self.key.clear();
        normalise(line.bytes, &mut self.key);
        match self.runs.get_mut(&source) {
            Some(run) if run.key == self.key => {
                run.count += 1;
                run.last_ms = at_ms;
                (None, false)
            }
            _other => {
                let key = std::mem::take(&mut self.key);
                let run = Run { key, count: 1, first_ms: at_ms, last_ms: at_ms, told: 1 };
                let ended = self.runs.insert(source, run).and_then(|mut run| run.tell(source));
                (ended, true)
            }
        }
    }

    /// Every run that has grown since it was told last: at the end, or because nothing came for a while.
    pub fn pending(&mut self) -> Vec<Repeated> {
        let mut all: Vec<Repeated> =
            self.runs.iter_mut().filter_map(|(source, run)| run.tell(*source)).collect();
        all.sort_by_key(|repeated| repeated.source);
        all
    }
}

impl Run {
    fn tell(&mut self, source: usize) -> Option<Repeated> {
        let grown = self.count > self.told;
        self.told = self.count;
        let lasted_ms = (self.last_ms - self.first_ms).max(0);
        grown.then_some(Repeated { source, count: self.count, lasted_ms })
    }
}

/// A line without its end, each number in it as one `0`.
pub fn normalise(line: &[u8], out: &mut Vec<u8>) {
    for byte in line.trim_ascii_end() {
        let byte = if byte.is_ascii_digit() { b'0' } else { *byte };
        if byte != b'0' || out.last() != Some(&b'0') {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shown_once_and_counted() {
        let mut fold = Fold::default();
        let mut push = |source, text: &str, at_ms| {
            let line =
                Line { bytes: text.as_bytes(), at_ms: Some(at_ms), known: true, hit: true, apart: false };
            fold.push(source, &line, 0)
        };
        assert_eq!(push(0, "10:00:01 ECONNREFUSED 10.0.0.1\n", 0), (None, true));
        assert_eq!(push(0, "10:00:02 ECONNREFUSED 10.0.0.12\n", 1000), (None, false));
        assert_eq!(push(1, "other\n", 1500), (None, true), "another source ends nothing");
        assert_eq!(push(0, "10:00:03 ECONNREFUSED 10.0.0.3\n", 3000), (None, false));
        let run = Repeated { source: 0, count: 3, lasted_ms: 3000 };
        assert_eq!(push(0, "up\n", 4000), (Some(run), true));
        assert_eq!(push(0, "up\n", 4500), (None, false));
        let run = Repeated { source: 0, count: 2, lasted_ms: 500 };
        assert_eq!((fold.pending(), fold.pending()), (vec![run], vec![]));
    }
}
