//! Rotated files: their names, as pm2-logrotate makes them, and which of them belong to a log.
//!
//! ```text
//!  web-out.log ──▶ web-out__2026-11-22_08-16-03.log ──▶ ….log.gz.tmp ──▶ ….log.gz
//!                  web-out__2026-11-22_08-16-03_001.log      the second one of that second
//! ```
//!
//! Only a name with a date of the right shape counts, so another app's log is never taken for a rotated file.

use crate::model::shapes::Shapes;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

const PACKED: &str = ".gz";
const UNFINISHED: &str = ".gz.tmp";

/// A log's name, cut where the date goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    dir: PathBuf,
    stem: String,
    /// With its point; empty if there is none.
    extension: String,
}

/// What a name says of a rotated file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The date as written.
    pub date: String,
    /// 0 for the first one of that date.
    pub counter: u32,
    /// How far it is.
    pub form: Form,
}

/// How far a rotated file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it was written.
    Plain,
    /// Being compressed when somebody was killed, or right now.
    Unfinished,
    /// Compressed.
    Packed,
}

/// A rotated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// What its name says.
    pub label: Label,
    /// Last written, Unix nanoseconds.
    pub written_ns: i128,
    /// Bytes.
    pub size: u64,
}

impl Kept {
    /// Sorts the oldest first: by the last write, then by name.
    pub fn age(&self) -> impl Ord + '_ {
        (self.written_ns, &self.label.date, self.label.counter)
    }
}

impl Family {
    /// That of a log; `None` if its name is not text.
    pub fn of(log: &Path) -> Option<Family> {
        let stem = log.file_stem()?.to_str()?.to_owned();
        let extension = log.extension().map_or(Some(String::new()), |e| Some(format!(".{}", e.to_str()?)))?;
        Some(Family { dir: log.parent()?.to_owned(), stem, extension })
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The log's own path.
    pub fn log(&self) -> PathBuf {
        self.dir.join(format!("{}{}", self.stem, self.extension))
    }

    /// The path of a rotated file.
    pub fn path(&self, date: &str, counter: u32) -> PathBuf {
        let counter = if counter == 0 { String::new() } else { format!("_{counter:03}") };
        self.dir.join(format!("{}__{date}{counter}{}", self.stem, self.extension))
    }

    /// One more than the highest counter of this date.
    fn next(&self, date: &str) -> u32 {
        let before = format!("{}__{date}", self.stem);
        let counter = |name: &str| {
            let rest = formed(name.strip_prefix(before.as_str())?).0.strip_suffix(self.extension.as_str())?;
            match rest {
                "" => Some(0),
                rest => rest.strip_prefix('_')?.parse::<u32>().ok(),
            }
        };
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let taken = entries.filter_map(|entry| counter(entry.file_name().to_str()?)).max();
        taken.map_or(0, |highest| highest.saturating_add(1))
    }

    /// What a file's name says, if it is one of this family's.
    pub fn label(&self, name: &str, shapes: &Shapes) -> Option<Label> {
        let rest = name.strip_prefix(self.stem.as_str())?.strip_prefix("__")?;
        let (rest, form) = formed(rest);
        let middle = rest.strip_suffix(self.extension.as_str())?;
        let (date, counter) = shapes.split(middle)?;
        Some(Label { date: date.to_owned(), counter, form })
    }

    /// A directory's entry, if it is one of this family's.
    pub fn seen(&self, entry: &DirEntry, shapes: &Shapes) -> Option<Kept> {
        use std::os::unix::fs::MetadataExt;
        let label = self.label(entry.file_name().to_str()?, shapes)?;
        let facts = entry.metadata().ok().filter(|facts| facts.is_file())?;
        let written_ns = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
        Some(Kept { path: entry.path(), label, written_ns, size: facts.len() })
    }
}

fn formed(name: &str) -> (&str, Form) {
    match (name.strip_suffix(UNFINISHED), name.strip_suffix(PACKED)) {
        (Some(rest), _) => (rest, Form::Unfinished),
        (None, Some(rest)) => (rest, Form::Packed),
        (None, None) => (name, Form::Plain),
    }
}

/// `x.log` → `x.log.gz.tmp` and `x.log.gz`.
pub fn packed(plain: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix: &str| {
        let mut name = plain.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    (with(UNFINISHED), with(PACKED))
}

/// The rotated files of these logs; and with `strays`, of logs in that directory that nobody knows any more. Each
/// directory is read once.
pub fn inventory(
    logs: &[(Family, Shapes)],
    strays: Option<(&Path, &Shapes)>,
) -> io::Result<BTreeMap<Family, Vec<Kept>>> {
    let mut by_name: HashMap<(&Path, &str), Vec<&(Family, Shapes)>> = HashMap::new();
    for log in logs {
        by_name.entry((&log.0.dir, &log.0.stem)).or_default().push(log);
    }
    let mut found: BTreeMap<Family, Vec<Kept>> =
        logs.iter().map(|(family, _)| (family.clone(), Vec::new())).collect();
    let dirs: BTreeSet<&Path> =
        logs.iter().map(|(family, _)| family.dir()).chain(strays.map(|s| s.0)).collect();
    for dir in dirs {
        let entries = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some((stem, _)) = name.to_str().and_then(|name| name.rsplit_once("__")) else { continue };
            let known = by_name.get(&(dir, stem)).into_iter().flatten();
            let mut own =
                known.filter_map(|(family, shapes)| Some((family.clone(), family.seen(&entry, shapes)?)));
            let stray = || {
                let (_, shapes) = strays.filter(|(place, _)| *place == dir)?;
                let stem = stem.to_owned();
                let family = Family { dir: dir.to_owned(), stem, extension: ".log".to_owned() };
                Some((family.clone(), family.seen(&entry, shapes)?))
            };
            if let Some((family, kept)) = own.next().or_else(stray) {
                found.entry(family).or_default().push(kept);
            }
        }
    }
    Ok(found)
}

/// Gives `from` the family's first free name of that date, from this counter on; never another file's. Returns the
/// name and its counter.
pub fn put_aside(from: &Path, family: &Family, date: &str, first: u32) -> io::Result<(PathBuf, u32)> {
    // Lower ones may have been removed already: names must sort as they came.
    let mut counter = if first == 0 { family.next(date) } else { first };
    loop {
        let to = family.path(date, counter);
        let (unfinished, done) = packed(&to);
        let free = [&to, &unfinished, &done].into_iter().all(|path| path.symlink_metadata().is_err());
        if free {
            match rename_new(from, &to) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                renamed => return renamed.map(|()| (to, counter)),
            }
        }
        counter = counter.checked_add(1).ok_or(io::ErrorKind::AlreadyExists)?;
    }
}

/// Renames unless there is such a file. Where the file system cannot promise that, it was looked at just before.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

/// Where a log really is: next to that its rotated files go.
pub fn real(log: &Path) -> PathBuf {
    std::fs::canonicalize(log).unwrap_or_else(|_gone| log.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rotation;

    fn shapes() -> Shapes {
        Shapes::of(&Rotation::default())
    }

    #[test]
    fn names_are_pm2_logrotates() {
        let family = Family::of(Path::new("/l/web-out.log")).unwrap();
        assert_eq!(family.path("2026-11-22_08-16-03", 0), Path::new("/l/web-out__2026-11-22_08-16-03.log"));
        assert_eq!(
            family.path("2026-11-22_08-16-03", 7),
            Path::new("/l/web-out__2026-11-22_08-16-03_007.log")
        );
        assert_eq!(Family::of(Path::new("/l/plain")).unwrap().path("D", 0), Path::new("/l/plain__D"));
        assert_eq!(family.log(), Path::new("/l/web-out.log"));
    }

    #[test]
    fn a_name_is_read_back() {
        let family = Family::of(Path::new("/l/web-out.log")).unwrap();
        let label = |name: &str| family.label(name, &shapes());
        let date = "2026-11-22_08-16-03".to_owned();
        let wanted = |counter, form| Some(Label { date: date.clone(), counter, form });
        assert_eq!(label("web-out__2026-11-22_08-16-03.log"), wanted(0, Form::Plain));
        assert_eq!(label("web-out__2026-11-22_08-16-03_012.log.gz"), wanted(12, Form::Packed));
        assert_eq!(label("web-out__2026-11-22_08-16-03.log.gz.tmp"), wanted(0, Form::Unfinished));
    }

    #[test]
    fn what_looks_like_it_and_is_not_is_left_alone() {
        let family = Family::of(Path::new("/l/web-out.log")).unwrap();
        for name in [
            "web-out.log",
            "web-out-1.log",
            "web-out__canary.log",
            "web-out__canary-out-2.log",
            "web-out__.log",
            "web-out__2026-11-22_08-16-03.txt",
            "web-out__2026-11-22_08-16-03.log.bz2",
            "other-web-out__2026-11-22_08-16-03.log",
            "web-out-1__2026-11-22_08-16-03.log",
        ] {
            assert_eq!(family.label(name, &shapes()), None, "{name}");
        }
    }

    #[test]
    fn dates_of_another_format_have_their_own_shape() {
        let monthly = Rotation { date_format: "MMM-YYYY".into(), ..Rotation::default() };
        let family = Family::of(Path::new("/l/a.log")).unwrap();
        let shapes = Shapes::of(&monthly);
        assert!(family.label("a__Nov-2026_002.log", &shapes).is_some_and(|label| label.counter == 2));
        assert!(family.label("a__2026-11-22_08-16-03.log", &shapes).is_some(), "as the usual one");
        assert_eq!(family.label("a__11-2026.log", &shapes), None);
    }

    #[test]
    fn each_rotated_file_is_found_under_its_log_and_strays_under_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [
            "gone-out__2026-11-22_08-16-03.log.gz",
            "web-out__2026-11-22_08-16-03.log",
            "web-out__2026-11-22_08-16-03_001.log.gz",
            "web-out.log",
            "web-out__x.log",
            "plain__2026-11-22_08-16-03",
        ] {
            std::fs::write(at(name), "x").unwrap();
        }
        let logs: Vec<_> =
            ["web-out.log", "plain"].map(|log| (Family::of(&at(log)).unwrap(), shapes())).into();
        let found = inventory(&logs, Some((dir.path(), &shapes()))).unwrap();
        let counts: Vec<_> = found.iter().map(|(family, kept)| (family.log(), kept.len())).collect();
        assert_eq!(counts, [(at("gone-out.log"), 1), (at("plain"), 1), (at("web-out.log"), 2)]);
        assert_eq!(inventory(&logs, None).unwrap().len(), 2);
    }

    #[test]
    fn a_name_that_is_taken_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        let family = Family::of(&log).unwrap();
        for taken in [family.path("D", 0), packed(&family.path("D", 1)).1, packed(&family.path("D", 2)).0] {
            std::fs::write(taken, "older").unwrap();
        }
        std::fs::write(&log, "newest").unwrap();
        let (to, counter) = put_aside(&log, &family, "D", 0).unwrap();
        assert_eq!((to.file_name().unwrap().to_str().unwrap(), counter), ("a__D_003.log", 3));
        assert_eq!(std::fs::read(to).unwrap(), b"newest");
        assert!(put_aside(&log, &family, "D", 0).is_err(), "there is nothing to put aside");
        std::fs::remove_file(family.path("D", 0)).unwrap();
        std::fs::write(&log, "newer still").unwrap();
        assert_eq!(put_aside(&log, &family, "D", 0).unwrap().1, 4, "it sorts behind the others");
    }
}
