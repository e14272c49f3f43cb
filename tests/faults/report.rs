//! The figures of a run.

use crate::lines::Found;
use crate::support::load::Tally;
use std::fmt::Write;
use std::path::Path;

/// What came of it all.
pub struct Report {
    title: String,
    /// Who was killed how often.
    pub kills: std::collections::BTreeMap<&'static str, u64>,
    /// Of the files, and of who followed.
    pub lines: Found,
    pub followed: Found,
    pub requests: Vec<(String, Tally)>,
    /// Requests of round robin that failed where nobody but the dead had the socket.
    pub rr_both: u64,
    /// Ends of the app that crashes, and by how many its counter differs.
    pub crashes: i64,
    pub restarts_off: i64,
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
            rr_both: 0,
            crashes: 0,
            restarts_off: 0,
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
    }

    /// Every end is counted once; one that ran and ended within the moment in which its keeper died, or while there was
    /// neither, is run again without being counted.
    pub fn check_restarts(&self) {
        let unseen = self.kills.iter().filter(|(who, _)| !who.contains("daemon")).map(|(_, count)| count);
        let most = i64::try_from(unseen.sum::<u64>()).unwrap();
        assert!((-most..=0).contains(&self.restarts_off), "restarts are off by {}", self.restarts_off);
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
        row("of those of `rr`, with keeper and daemon dead together", self.rr_both.to_string());
        row("crashes of the crashing app", format!("{}: counter off by {}", self.crashes, self.restarts_off));
        row("exits with known code", format!("{} of {}", self.exits_known, self.exits));
        row("reloads with a death in them", self.reloads.to_string());
        row("orders cut", format!("{}: finished {}, not begun {}", self.cut, self.cut_done, self.cut_undone));
        println!("{text}");
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        // For people; the test does not depend on it.
        drop(std::fs::write(target.join(format!("faults-{name}.md")), text));
    }
}
