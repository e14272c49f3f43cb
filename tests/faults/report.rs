//! The figures of a run.

use crate::lines::Found;
use crate::support::load::Tally;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// What came of it all.
#[derive(Debug)]
pub struct Report {
    title: String,
    /// Who was killed how often.
    pub kills: std::collections::BTreeMap<&'static str, u64>,
    /// Of the files, and of who followed.
    pub lines: Found,
    pub followed: Found,
    pub requests: Vec<(String, Tally)>,
    /// Restarts of the app that crashes, as it tells itself, and as they are counted.
    restarted: u64,
    counted: u64,
    /// Runs of it that were begun twice under one number, with the deaths between.
    begun_twice: Vec<String>,
    /// When who was killed, in seconds of the wall clock.
    deaths: Vec<(f64, &'static str)>,
    /// Exits with a code that the test knows, and those that were known with it.
    pub exits: u64,
    pub exits_known: u64,
    /// Reloads under load, each with a death in it.
    pub reloads: u64,
    /// Orders whose daemon died; those that were found done, and those that were found not begun.
    pub cut: u64,
    pub cut_done: u64,
    pub cut_undone: u64,
}

impl Report {
    pub fn new(title: &str) -> Report {
        Report {
            title: title.to_owned(),
            kills: Default::default(),
            lines: Found::default(),
            followed: Found::default(),
            requests: Vec::new(),
            restarted: 0,
            counted: 0,
            begun_twice: Vec::new(),
            deaths: Vec::new(),
            exits: 0,
            exits_known: 0,
            reloads: 0,
            cut: 0,
            cut_done: 0,
            cut_undone: 0,
        }
    }

    pub fn killed(&mut self, who: &'static str) {
        *self.kills.entry(who).or_default() += 1;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        self.deaths.push((now.as_secs_f64(), who));
    }

    /// The runs (number, beginning) that the crashing app has told of, and the restarts that were counted.
    pub fn crashes(&mut self, runs: &[(u64, f64)], counted: u64) {
        let numbers: BTreeSet<u64> = runs.iter().map(|(number, _)| *number).collect();
        (self.restarted, self.counted) = (numbers.len() as u64 - 1, counted);
        for number in numbers {
            let begun: Vec<f64> =
                runs.iter().filter(|(other, _)| *other == number).map(|(_, at)| *at).collect();
            let (Some(first), Some(last)) = (begun.first(), begun.last()) else { continue };
            if begun.len() > 1 {
                // A kill is written down a moment after it has been sent.
                let between = self.deaths.iter().filter(|(at, _)| *at > first - 1.0 && *at < last + 1.0);
                let who: Vec<String> =
                    between.map(|(at, who)| format!("{who} {:+.0} ms", (at - first) * 1e3)).collect();
                self.begun_twice.push(format!(
                    "run {number}, again after {:.0} ms; killed: {}",
                    (last - first) * 1e3,
                    who.join(", ")
                ));
            }
        }
    }

    /// Every run is counted, and begun once.
    pub fn check_restarts(&self) {
        assert_eq!(self.begun_twice, [""; 0]);
        assert_eq!(self.counted, self.restarted, "restarts that are counted, and as they were");
    }

    /// As counted, and as they were.
    pub fn restarts_differ(&self) -> bool {
        self.counted != self.restarted
    }

    /// Prints the table and leaves it in `target/`.
    pub fn print(&self, name: &str) {
        let mut text = format!("| {} | |\n|---|---|\n", self.title);
        let mut row = |what: &str, figure: String| writeln!(text, "| {what} | {figure} |").unwrap();
        let kills: Vec<String> = self.kills.iter().map(|(who, count)| format!("{who} {count}")).collect();
        row("killed", kills.join(", "));
        for (what, found) in [("lines in files", self.lines), ("lines at `pmon logs`", self.followed)] {
            let Found { lines, lost, doubled, disordered, torn } = found;
            row(
                what,
                format!("{lines}: lost {lost}, doubled {doubled}, disordered {disordered}, torn {torn}"),
            );
        }
        for (mode, tally) in &self.requests {
            let reasons =
                if tally.failed.is_empty() { String::new() } else { format!(" {:?}", tally.failed) };
            row(
                &format!("requests, `{mode}`"),
                format!("{}: failed {}{reasons}, slowest {:?}", tally.ok, tally.failures(), tally.slowest),
            );
        }
        row("restarts of the crashing app", format!("{}: counted {}", self.restarted, self.counted));
        let twice = if self.begun_twice.is_empty() { "0".into() } else { self.begun_twice.join("; ") };
        row("runs of it that nobody saw end and that were begun again under their number", twice);
        row("exits with known code", format!("{} of {}", self.exits_known, self.exits));
        row("reloads with a death in them", self.reloads.to_string());
        row("orders cut", format!("{}: finished {}, not begun {}", self.cut, self.cut_done, self.cut_undone));
        println!("{text}");
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        // For people; the test does not depend on it.
        drop(std::fs::write(target.join(format!("faults-{name}.md")), text));
    }
}
