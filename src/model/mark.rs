//! Marks: when the bytes of a log file were written, since its lines may not say. They stand in a small hidden
//! file beside the log, `.web-out.log.idx`, of fixed records in the order they were made; the pump appends them,
//! who reads logs looks them up. Best effort: without them times are guessed.

use std::path::{Path, PathBuf};

/// Bytes of a mark in its file.
pub const SIZE: usize = 24;

/// The byte at `offset` of the file `inode` was written at `at_ms`, and no other mark's time had come since the mark
/// before. A mark at or below an offset of the same file seen earlier begins the file anew: it was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which file: its name may change when it is rotated.
    pub inode: u64,
    /// Where in it.
    pub offset: u64,
    /// Unix milliseconds.
    pub at_ms: i64,
}

impl Mark {
    /// As it stands in its file: three numbers, little endian.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        let numbers = [self.inode, self.offset, self.at_ms.cast_unsigned()];
        for (room, number) in out.chunks_exact_mut(8).zip(numbers) {
            room.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// All marks of a file; what is cut at its end is ignored.
    pub fn all(bytes: &[u8]) -> impl Iterator<Item = Mark> {
        let (records, _cut) = bytes.as_chunks::<SIZE>();
        records.iter().map(|record| {
            let (numbers, _) = record.as_chunks::<8>();
            let number = |index: usize| numbers.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
            Mark { inode: number(0), offset: number(1), at_ms: number(2).cast_signed() }
        })
    }

    /// True if this mark, made after `earlier`, says that the file began anew or is another one.
    pub fn begins_anew(&self, earlier: &Mark) -> bool {
        self.inode != earlier.inode || self.offset < earlier.offset || self.offset == 0
    }
}

/// Where the marks of a log stand.
pub fn sidecar(log: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(log.file_name().unwrap_or_default());
    name.push(".idx");
    log.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written_and_a_cut_one_is_ignored() {
        let marks = [Mark { inode: 7, offset: 1 << 40, at_ms: -5 }, Mark { inode: 7, offset: 9, at_ms: 10 }];
        let mut bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.to_bytes()).collect();
        bytes.extend_from_slice(&[1; SIZE - 1]);
        assert_eq!(Mark::all(&bytes).collect::<Vec<_>>(), marks);
        assert!(marks[1].begins_anew(&marks[0]) && !marks[0].begins_anew(&marks[1]));
    }

    #[test]
    fn they_hide_beside_their_log() {
        assert_eq!(sidecar(Path::new("/l/web-out.log")), Path::new("/l/.web-out.log.idx"));
    }
}
