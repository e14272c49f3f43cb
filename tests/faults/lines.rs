//! Numbered lines: writers, and what became of every single line, over rotated and compressed files.

use crate::support::aside::whole;
use crate::support::{TestHome, wait_for};
use std::collections::HashSet;
use std::path::PathBuf;

/// One process that writes numbered lines until it is told to stop.
#[derive(Debug, Clone)]
pub struct Writer {
    /// What its lines say.
    pub name: String,
    /// The file they end up in.
    pub log: PathBuf,
    report: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub lines: u64,
    pub lost: u64,
    pub doubled: u64,
    pub disordered: u64,
    pub torn: u64,
}

impl Found {
    pub fn add(&mut self, other: Found) {
        self.lines += other.lines;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.torn += other.torn;
    }

    /// Every line once, whole and in order.
    pub fn is_exact(&self) -> bool {
        (self.lost, self.doubled, self.disordered, self.torn) == (0, 0, 0, 0)
    }
}

/// Adds up numbers of lines in the order in which they were found.
#[derive(Debug, Default)]
pub struct Count {
    seen: HashSet<u64>,
    next: u64,
    found: Found,
}

impl Count {
    /// The next line of the file, as far as it is this writer's.
    pub fn take(&mut self, line: &str, name: &str) {
        let Some(at) = line.find(&format!(" {name} x")) else {
            self.found.torn += 1;
            return;
        };
        let number = at.checked_sub(10).and_then(|from| line.get(from..at)?.parse::<u64>().ok());
        let Some(number) = number.filter(|_| line.ends_with("x .")) else {
            self.found.torn += 1;
            return;
        };
        self.found.lines += 1;
        if !self.seen.insert(number) {
            self.found.doubled += 1;
        } else if number < self.next {
            self.found.disordered += 1;
        }
        self.next = self.next.max(number + 1);
    }

    /// Of the numbers from `first` to before `end`.
    pub fn end(self, first: u64, end: u64) -> Found {
        let lost = (first..end).filter(|number| !self.seen.contains(number)).count() as u64;
        Found { lost, ..self.found }
    }

    /// The least and the greatest.
    pub fn range(&self) -> Option<(u64, u64)> {
        Some((*self.seen.iter().min()?, *self.seen.iter().max()?))
    }
}

impl Writer {
    pub fn new(home: &TestHome, name: &str, log: &str) -> Writer {
        let report = home.work().join(format!("{name}.report"));
        Writer { name: name.to_owned(), log: home.path().join("logs").join(log), report }
    }

    /// Tells it to stop; how many lines it has written.
    pub fn stop(&self) -> u64 {
        std::fs::write(format!("{}.stop", self.report.display()), "").unwrap();
        wait_for(&format!("the report of {}", self.name), || {
            let text = std::fs::read_to_string(&self.report).map_err(|e| e.to_string())?;
            text.trim().parse().map_err(|_not_yet| text)
        })
    }
}

/// Stops all writers and looks at all that they have written.
pub fn verify(writers: &[Writer]) -> Found {
    let counts: Vec<u64> = writers.iter().map(Writer::stop).collect();
    let mut all = Found::default();
    for (writer, count) in writers.iter().zip(counts) {
        let last = format!("{:010} {} x", count - 1, writer.name);
        let text = wait_for(&format!("the last line of {}", writer.name), || {
            let text = String::from_utf8(whole(&writer.log)).unwrap();
            if text.contains(&last) { Ok(text) } else { Err(format!("{} bytes", text.len())) }
        });
        let mut counted = Count::default();
        let others: Vec<String> = writers.iter().map(|other| format!(" {} x", other.name)).collect();
        for line in text.lines() {
            let foreign = others.iter().any(|other| line.contains(other.as_str()));
            if line.contains(&format!(" {} x", writer.name)) || !foreign {
                counted.take(line, &writer.name);
            }
        }
        let found = counted.end(0, count);
        assert!(found.is_exact(), "{}: {found:?} of {count} lines", writer.log.display());
        all.add(found);
    }
    all
}
