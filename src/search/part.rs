//! One file of a log, found again whatever its name is by now.

use super::tail;
use crate::model::{FileId, birth};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file that is put aside or compressed whenever it is looked for is looked for so often.
const PATIENCE: usize = 20;

/// One file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where.
    pub path: PathBuf,
    /// Which: of a compressed file that of which it is a copy, if it says so.
    pub file: FileId,
    /// Bytes of text. Of a compressed file modulo 2^32, as gzip has it.
    pub length: u64,
    /// Compressed.
    pub packed: bool,
    /// When it was born, if the file system knows; Unix milliseconds.
    pub born_ms: Option<i64>,
    /// When it was last written to.
    pub modified_ms: i64,
}

/// A part that is open.
#[derive(Debug)]
pub enum Text {
    /// As it was written.
    Plain(File),
    /// As a compressed copy.
    Packed(File),
}

impl Part {
    /// The file that a path leads to.
    pub fn at(path: PathBuf) -> io::Result<Part> {
        let facts = std::fs::metadata(&path)?;
        if !facts.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let packed = is_packed(&path);
        let born = facts.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born_ms = born.and_then(|age| i64::try_from(age.as_millis()).ok());
        let (file, length) = if packed { unpacked(&path)? } else { (FileId::of(&facts), facts.len()) };
        Ok(Part { path, file, length, packed, born_ms, modified_ms: modified(&facts) })
    }

    /// The file that a path leads to, and where its last whole line ends.
    pub fn whole_lines(path: &Path) -> io::Result<(FileId, u64)> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        let (end, _) = tail::start_of_last(&file, 0, facts.len(), 1)?;
        let mut last = [0];
        let ended = tail::read_up_to(&file, &mut last, facts.len().saturating_sub(1))? == 1 && last == *b"\n";
        Ok((FileId::of(&facts), if ended { facts.len() } else { end }))
    }

    /// All of it.
    pub fn whole(self) -> Span {
        let to = if self.packed { u64::MAX } else { self.length };
        Span { part: self, lead: 0, from: 0, to }
    }

    /// Opens it, also if it was put aside or compressed since it was found.
    pub fn open(&self) -> io::Result<Text> {
        if self.packed {
            return File::open(&self.path).map(Text::Packed);
        }
        for _ in 0..PATIENCE {
            if let Some(file) = open_if(&self.path, self.file) {
                return Ok(Text::Plain(file));
            }
            if let Some(text) = self.beside() {
                return Ok(text);
            }
            if !self.path.exists() && self.path.parent().is_none_or(|dir| !dir.exists()) {
                break;
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// The same where it is not compressed.
    pub fn open_plain(&self) -> io::Result<Option<File>> {
        match self.open()? {
            Text::Plain(file) => Ok(Some(file)),
            Text::Packed(_) => Ok(None),
        }
    }

    /// What was made of it: its names begin as its own did.
    fn beside(&self) -> Option<Text> {
        let stem = self.path.file_stem()?.to_str()?;
        let name = self.path.file_name()?.to_str()?;
        for entry in std::fs::read_dir(self.path.parent()?).ok()?.flatten() {
            let other = entry.file_name();
            let Some(other) = other.to_str().filter(|other| other.starts_with(stem)) else { continue };
            let path = entry.path();
            if entry.ino() == self.file.inode {
                if let Some(file) = open_if(&path, self.file) {
                    return Some(Text::Plain(file));
                }
            } else if is_packed(&path)
                && let Ok((file, _)) = unpacked(&path)
                // Who compresses by hand leaves no word of what it was.
                && (file.is(self.file) || (!file.is_some() && other.strip_suffix(".gz") == Some(name)))
            {
                return File::open(path).ok().map(Text::Packed);
            }
        }
        None
    }
}

/// The file at a path, if it is this one. Never waits, whatever has taken the name.
pub(super) fn open_if(path: &Path, wanted: FileId) -> Option<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let facts = file.metadata().ok()?;
    (facts.is_file() && FileId::of(&facts).is(wanted)).then_some(file)
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

fn unpacked(path: &Path) -> io::Result<(FileId, u64)> {
    birth::copied(&mut File::open(path)?)
}

fn modified(facts: &Metadata) -> i64 {
    facts.mtime() * 1000 + facts.mtime_nsec() / 1_000_000
}

/// A piece of a part that is to be read; of a compressed one in bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Of which.
    pub part: Part,
    /// Lines before this are read for context only.
    pub lead: u64,
    /// From here.
    pub from: u64,
    /// Up to here, or to its end.
    pub to: u64,
}

impl Span {
    /// So many bytes, as far as the part has them.
    pub fn length(&self) -> u64 {
        self.to.min(self.part.length).saturating_sub(self.from)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};

    /// Compresses a file as the daemon does.
    pub fn pack(path: &Path) {
        let file = FileId::of(&path.metadata().unwrap());
        let mut packer = GzBuilder::new().extra(file.to_gzip()).write(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut packer, &std::fs::read(path).unwrap()).unwrap();
        std::fs::write(packed(path), packer.finish().unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
    }

    /// Its path then.
    pub fn packed(path: &Path) -> PathBuf {
        format!("{}.gz", path.display()).into()
    }

    #[test]
    fn a_part_is_opened_under_each_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        std::fs::write(&log, "one\n").unwrap();
        let part = Part::at(log.clone()).unwrap();
        let is_plain = || matches!(part.open(), Ok(Text::Plain(_)));
        assert!(is_plain());
        let aside = dir.path().join("x__2026-01-01_00-00-00.log");
        std::fs::rename(&log, &aside).unwrap();
        std::fs::write(&log, "two\n").unwrap();
        assert!(is_plain());
        let moved = Part::at(aside.clone()).unwrap();
        pack(&aside);
        assert!(matches!(part.open(), Ok(Text::Packed(_))));
        assert!(matches!(moved.open(), Ok(Text::Packed(_))));
        let copy = Part::at(packed(&aside)).unwrap();
        assert_eq!((copy.file, copy.length), (part.file, 4));
        std::fs::remove_file(copy.path).unwrap();
        assert_eq!(part.open().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
