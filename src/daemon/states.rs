//! What the next daemon must know if keeper and daemon die together: one file an entry, `$PMON_HOME/state/<entry>.json`,
//! written beside every record that the keeper gets. Who lives is not believed from here, but looked up (`orphans`).
//!
//! Written by the scribe, so that no disk holds the owner up; for processes just started, what they carry (`carry`) is there
//! before. No fsync: after a power cut there is no process left to find.

use super::scribe::Scribe;
use crate::keeper::{Link, Tag};
use crate::sys::child::Member;
use crate::sys::fault;
use crate::sys::paths::Home;
use crate::sys::{aside, kin, plain};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The directory of these files. Clones are the same directory.
#[derive(Debug, Clone)]
pub(super) struct States {
    dir: PathBuf,
    boot: String,
    scribe: Scribe,
}

/// One file. Unknown fields are skipped, missing ones empty: versions follow each other.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct State {
    /// Of which boot the rest speaks.
    pub(super) boot: String,
    /// The process of the record's run, if it was there.
    #[serde(default)]
    pub(super) pid: u32,
    /// Its birth, in clock ticks since boot.
    #[serde(default)]
    pub(super) born: u64,
    /// What the keeper held.
    #[serde(default)]
    pub(super) held: Vec<Held>,
    /// The keeper's record.
    pub(super) record: serde_json::Value,
}

/// A state but for its record, which is text already when it is written.
#[derive(Serialize)]
struct Head<'a> {
    boot: &'a str,
    pid: u32,
    born: u64,
    held: Vec<Held>,
}

/// A descriptor that the keeper held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) kind: u8,
    pub(super) index: u32,
    /// What it is, so that nothing else is mistaken for it.
    pub(super) inode: u64,
}

impl Held {
    pub(super) fn tag(self) -> Tag {
        Tag::new(self.kind, self.index)
    }
}

impl States {
    /// The states of a home.
    pub(super) fn new(home: &Home, scribe: Scribe) -> States {
        States { dir: home.states(), boot: kin::boot(), scribe }
    }

    /// The text of a state: a record as the keeper has it, and who it is if its process is there.
    pub(super) fn text(
        &self,
        entry: u64,
        record: &[u8],
        process: Option<Member>,
        link: &Link,
    ) -> serde_json::Result<Vec<u8>> {
        let held = link.inodes(entry).into_iter();
        let held = held.map(|(tag, inode)| Held { kind: tag.kind, index: tag.index, inode }).collect();
        let (pid, born) = process.map_or((0, 0), |process| (process.pid, process.start_time));
        let mut text = crate::model::skew::to_vec(&Head { boot: &self.boot, pid, born, held })?;
        text.pop();
        text.extend_from_slice(b",\"record\":");
        text.extend_from_slice(record);
        text.push(b'}');
        Ok(text)
    }

    /// Writes down an entry that is no worker, as the keeper has it.
    pub(super) fn listener(&self, entry: u64, link: &Link) {
        self.kept(entry, None, link);
    }

    /// Writes down any entry as the keeper has it, unless it has no record there.
    pub(super) fn kept(&self, entry: u64, process: Option<Member>, link: &Link) {
        let record = link.record(entry);
        if serde_json::from_slice::<IgnoredAny>(&record).is_err() {
            return;
        }
        let text = fault::at("states.open").and_then(|()| Ok(self.text(entry, &record, process, link)?));
        match text {
            Ok(bytes) => {
                fault::pass("state.write");
                self.scribe.write(self.path(entry), bytes);
                fault::pass("state.rename");
            }
            Err(error) => tracing::warn!(entry, %error, "failed to write a state"),
        }
    }

    /// The entry is no more.
    pub(super) fn forget(&self, entry: u64) {
        fault::pass("state.forget");
        self.scribe.remove(self.path(entry));
    }

    /// All of this boot, by entry; those of another are removed. What cannot be read is put aside: whose it was, and what to
    /// tell of it.
    pub(super) fn read(&self) -> (BTreeMap<u64, State>, BTreeMap<u64, String>) {
        let files = fault::at("states.read").and_then(|()| std::fs::read_dir(&self.dir));
        let files = files.into_iter().flatten().flatten();
        let (mut states, mut unread) = (BTreeMap::new(), BTreeMap::new());
        for path in files.map(|file| file.path()) {
            let entry = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            let whole = path.extension().is_some_and(|extension| extension == "json");
            let Some(entry) = entry.filter(|_| whole) else { continue };
            match read_one(&path) {
                Ok(state) if state.boot == self.boot => {
                    states.insert(entry, state);
                }
                Ok(_of_another_boot) => self.forget(entry),
                Err(why) => {
                    let kept = aside::told(&path);
                    tracing::error!(path = %path.display(), why, kept, "failed to read a state");
                    unread.insert(entry, format!("failed to read `{}`: {why}; {kept}", path.display()));
                }
            }
        }
        (states, unread)
    }

    /// Whether this is a state of this boot.
    pub(super) fn is_ours(&self, state: &State) -> bool {
        state.boot == self.boot
    }

    fn path(&self, entry: u64) -> PathBuf {
        self.dir.join(format!("{entry}.json"))
    }
}

fn read_one(path: &Path) -> Result<State, String> {
    let bytes = plain::read(path).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}
