//! Which rotated files of a log were removed, and how much stood in each: so that who was in the middle of one can say
//! exactly what is missing. In a small hidden file beside the log, `.web-out.log.gone`, of fixed records in the order of
//! the removals, oldest file first. Best effort: without it, it is only said that something is missing.

use super::birth::FileId;
use std::path::{Path, PathBuf};

/// Bytes of a record in its file.
pub const SIZE: usize = 24;

/// A file that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Which.
    pub file: FileId,
    /// Bytes of text that stood in it.
    pub bytes: u64,
}

impl Removed {
    /// As it stands in its file: three numbers, little endian.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        let numbers = [self.file.inode, self.file.born_ns, self.bytes];
        for (room, number) in out.chunks_exact_mut(8).zip(numbers) {
            room.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// All records of a file, each removal once though it was tried twice; what is cut at the end is ignored.
    pub fn all(bytes: &[u8]) -> Vec<Removed> {
        let (records, _cut) = bytes.as_chunks::<SIZE>();
        let mut all: Vec<Removed> = Vec::with_capacity(records.len());
        for record in records {
            let (numbers, _) = record.as_chunks::<8>();
            let number = |index: usize| numbers.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let file = FileId { inode: number(0), born_ns: number(1) };
            all.retain(|other| other.file != file || !file.is_some());
            all.push(Removed { file, bytes: number(2) });
        }
        all
    }
}

/// What was removed behind the byte `offset` of a file that was removed itself, and before that of another, which may be
/// there still. `None`: that is not known. `held`: the first file's own rest was not lost.
pub fn between(
    removed: &[Removed],
    (from, offset): (FileId, u64),
    held: bool,
    (to, end): (FileId, u64),
) -> Option<u64> {
    let first = removed.iter().rposition(|one| one.file.is(from))?;
    if held && from.is(to) {
        return Some(0);
    }
    let (first, mut skipped) = if held { (first + 1, 0) } else { (first, offset) };
    let mut sum = 0;
    for one in removed.iter().skip(first) {
        let is_last = one.file.is(to);
        let bytes = if is_last { one.bytes.min(end) } else { one.bytes };
        sum += bytes.saturating_sub(std::mem::take(&mut skipped));
        if is_last {
            break;
        }
    }
    Some(sum)
}

/// Where the removals of a log stand.
pub fn sidecar(log: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(log.file_name().unwrap_or_default());
    name.push(".gone");
    log.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64) -> FileId {
        FileId { inode, born_ns: inode * 10 }
    }

    #[test]
    fn removals_are_read_as_they_were_written_each_once() {
        let one = |inode, bytes| Removed { file: file(inode), bytes };
        let written = [one(1, 100), one(2, 200), one(1, 100)];
        let mut bytes: Vec<u8> = written.iter().flat_map(|one| one.to_bytes()).collect();
        bytes.extend_from_slice(&[1; SIZE - 1]);
        assert_eq!(Removed::all(&bytes), [one(2, 200), one(1, 100)]);
        assert_eq!(sidecar(Path::new("/l/web-out.log")), Path::new("/l/.web-out.log.gone"));
    }

    #[test]
    fn what_is_missing_between_two_places_is_summed() {
        let removed = [1, 2, 3].map(|inode| Removed { file: file(inode), bytes: 100 });
        let sum = |from, held, to| between(&removed, from, held, to);
        assert_eq!(sum((file(1), 30), false, (file(9), 5)), Some(270));
        assert_eq!(sum((file(1), 30), true, (file(9), 5)), Some(200));
        assert_eq!(sum((file(1), 30), false, (file(2), 40)), Some(110));
        assert_eq!(sum((file(2), 30), false, (file(2), 40)), Some(10));
        assert_eq!(sum((file(2), 30), true, (file(2), 40)), Some(0));
        assert_eq!(sum((file(3), 100), false, (file(9), 0)), Some(0));
        assert_eq!(sum((file(8), 0), false, (file(9), 0)), None, "somebody else removed it");
    }
}
