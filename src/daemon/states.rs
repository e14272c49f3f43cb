//! What the next daemon must know if keeper and daemon die together: one file an entry, `$PMON_HOME/state/<entry>.json`,
//! written beside every record that the keeper gets. Who lives is not believed from here, but looked up (`orphans`).
//!
//! No fsync: after a power cut there is no process left to find.

use crate::keeper::{Link, Tag};
use crate::supervisor::Record;
use crate::sys::child::Member;
use crate::sys::fault;
use crate::sys::kin;
use crate::sys::paths::Home;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

/// The directory of these files. Clones are the same directory.
#[derive(Debug, Clone)]
pub(super) struct States {
    dir: PathBuf,
    boot: String,
}

/// One file. Unknown fields are skipped, missing ones empty: versions follow each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    pub(super) fn new(home: &Home) -> States {
        States { dir: home.states(), boot: kin::boot() }
    }

    /// Writes down a worker's record, and who it is if its process is there.
    pub(super) fn worker(&self, record: &Record, process: Option<Member>, link: &Link) {
        match serde_json::to_value(record) {
            Ok(value) => self.write(record.run.entry, value, process, link),
            Err(error) => tracing::error!(%error, "failed to write a record"),
        }
    }

    /// Writes down an entry that is no worker, as the keeper has it.
    pub(super) fn listener(&self, entry: u64, link: &Link) {
        if let Ok(value) = serde_json::from_slice(&link.record(entry)) {
            self.write(entry, value, None, link);
        }
    }

    /// The entry is no more.
    pub(super) fn forget(&self, entry: u64) {
        fault::pass("state.forget");
        // It may never have been written.
        drop(std::fs::remove_file(self.path(entry)));
    }

    /// All of this boot, by entry; those of another are removed.
    pub(super) fn read(&self) -> BTreeMap<u64, State> {
        let files = fault::at("states.read")
            .and_then(|()| std::fs::read_dir(&self.dir))
            .into_iter()
            .flatten()
            .flatten();
        let mut states = BTreeMap::new();
        for path in files.map(|file| file.path()) {
            let entry = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            let whole = path.extension().is_some_and(|extension| extension == "json");
            let Some(entry) = entry.filter(|_| whole) else { continue };
            match std::fs::read(&path).map(|bytes| serde_json::from_slice::<State>(&bytes)) {
                Ok(Ok(state)) if state.boot == self.boot => {
                    states.insert(entry, state);
                }
                Ok(Ok(_of_another_boot)) => self.forget(entry),
                Ok(Err(error)) => tracing::error!(path = %path.display(), %error, "failed to read a state"),
                Err(error) => tracing::error!(path = %path.display(), %error, "failed to read a state"),
            }
        }
        states
    }

    fn write(&self, entry: u64, record: serde_json::Value, process: Option<Member>, link: &Link) {
        let held = link.inodes(entry).into_iter();
        let held = held.map(|(tag, inode)| Held { kind: tag.kind, index: tag.index, inode }).collect();
        let (pid, born) = process.map_or((0, 0), |process| (process.pid, process.start_time));
        let state = State { boot: self.boot.clone(), pid, born, held, record };
        if let Err(error) = self.replace(entry, &state) {
            tracing::warn!(entry, %error, "failed to write a state");
        }
    }

    /// Whole or not at all, for a process that may be killed at any moment.
    fn replace(&self, entry: u64, state: &State) -> io::Result<()> {
        let path = self.path(entry);
        let draft = path.with_extension("new");
        let write = || -> io::Result<()> {
            fault::at("states.open")?;
            let mut options = std::fs::OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            let mut file = io::BufWriter::new(file);
            serde_json::to_writer(&mut file, state)?;
            fault::pass("state.write");
            io::Write::flush(&mut file)
        };
        match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                write()?;
            }
            done => done?,
        }
        fault::pass("state.rename");
        std::fs::rename(draft, path)
    }

    fn path(&self, entry: u64) -> PathBuf {
        self.dir.join(format!("{entry}.json"))
    }
}
