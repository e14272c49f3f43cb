//! By what a log file is known whatever becomes of it: its inode, and when that was born, because an inode is given again.
//! Both stay when a file is renamed; a compressed copy has those of its original in its head, in a field of gzip's
//! (RFC 1952, 2.3.1.1) that others skip.

use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// So many first bytes of a compressed file hold its [`FileId`].
const HEAD: u64 = 64;

/// The field: two letters, the length of what follows (16 bits, as all numbers here little endian), inode and birth.
const FIELD: [u8; 4] = [b'p', b'm', 16, 0];
/// Bytes before the extra fields: magic, method, flags, time, two more, and their length.
const FIXED: usize = 12;
/// The flag that there are extra fields.
const EXTRA: u8 = 4;

/// Which file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// 0: none.
    pub inode: u64,
    /// Unix nanoseconds, as exact as the file system has it; 0: not known.
    #[serde(default)]
    pub born_ns: u64,
}

impl FileId {
    /// That of a file that is there.
    pub fn of(facts: &Metadata) -> FileId {
        let born = facts.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born_ns = born.and_then(|age| u64::try_from(age.as_nanos()).ok()).unwrap_or(0);
        FileId { inode: facts.ino(), born_ns }
    }

    /// Both are the same file, as far as both births are known.
    pub fn is(&self, other: FileId) -> bool {
        let unknown = self.born_ns == 0 || other.born_ns == 0;
        self.inode != 0 && self.inode == other.inode && (unknown || self.born_ns == other.born_ns)
    }

    /// There is such a file.
    pub fn is_some(&self) -> bool {
        self.inode != 0
    }

    /// The extra field of a compressed copy.
    pub fn to_gzip(self) -> Vec<u8> {
        [&FIELD[..], &self.inode.to_le_bytes(), &self.born_ns.to_le_bytes()].concat()
    }
}

/// What a compressed copy is of, if it says so, and the length of its text modulo 2^32 (gzip(1): the last four bytes).
pub fn copied(copy: &mut (impl Read + Seek)) -> io::Result<(FileId, u64)> {
    let mut head = Vec::new();
    copy.take(HEAD).read_to_end(&mut head)?;
    let mut last = [0; 4];
    copy.seek(SeekFrom::End(-4))?;
    copy.read_exact(&mut last)?;
    Ok((of_head(&head).unwrap_or_default(), u32::from_le_bytes(last).into()))
}

fn of_head(head: &[u8]) -> Option<FileId> {
    let flags = head.starts_with(&[0x1f, 0x8b]).then(|| head.get(3).copied())??;
    let length = usize::from(u16::from_le_bytes([*head.get(10)?, *head.get(11)?]));
    let fields = head.get(FIXED..FIXED + length).filter(|_| flags & EXTRA != 0)?;
    let (inode, born) = fields.strip_prefix(&FIELD)?.split_first_chunk::<8>()?;
    let born = born.first_chunk::<8>()?;
    Some(FileId { inode: u64::from_le_bytes(*inode), born_ns: u64::from_le_bytes(*born) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_that_was_given_again_is_another_file() {
        let file = |inode, born_ns| FileId { inode, born_ns };
        assert!(file(1, 5).is(file(1, 5)) && file(1, 5).is(file(1, 0)));
        assert!(!file(1, 5).is(file(1, 6)) && !file(1, 5).is(file(2, 5)));
        assert!(!FileId::default().is(FileId::default()), "none is no file");
    }

    #[test]
    fn a_compressed_copy_says_what_it_is_of_and_another_does_not() {
        let file = FileId { inode: 7, born_ns: 1 << 60 };
        let head = |flags: u8, extra: &[u8]| {
            let length = u16::try_from(extra.len()).unwrap().to_le_bytes();
            [&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3][..], &length, extra, b"data"].concat()
        };
        let of = |bytes: Vec<u8>| copied(&mut io::Cursor::new(bytes)).unwrap();
        assert_eq!(of([&head(4, &file.to_gzip())[..], &[5, 1, 0, 0]].concat()), (file, 261));
        for other in [head(0, &file.to_gzip()), head(4, b"xy\0\0"), b"\x1f\x8b\x08\x04".to_vec()] {
            assert_eq!(of(other).0, FileId::default());
        }
        let cut = head(4, &file.to_gzip());
        assert_eq!(of(cut[..20].to_vec()).0, FileId::default());
        assert!(copied(&mut io::Cursor::new(b"\x1f")).is_err(), "it is no copy");
    }
}
