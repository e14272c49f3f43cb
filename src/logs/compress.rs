//! gzip of one rotated file, safe under kill -9 at any instant: `x.log → x.log.gz.tmp → rename → unlink x.log`.
//!
//! | found | means | done |
//! |---|---|---|
//! | `x.log.gz.tmp` | somebody was killed while writing it | removed, begun again |
//! | `x.log` and `x.log.gz` | killed before the last step: the copy is whole | `x.log` removed |

use super::kept::packed;
use crate::model::FileId;
use crate::sys::fault;
use flate2::{Compression, GzBuilder};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const BLOCK: usize = 128 << 10;

/// Compresses a rotated file and removes it; the copy has its mode and its time of the last write. `false` if it
/// was gone, or `stop` said so between two blocks: the file is as it was then.
pub fn compress(plain: &Path, stop: &dyn Fn() -> bool) -> io::Result<bool> {
    let (unfinished, done) = packed(plain);
    let mut from = match File::open(plain) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    if !done.exists() {
        fault::pass("compress.begun");
        let whole = pack(&mut from, &unfinished, stop);
        fault::pass("compress.packed");
        if !matches!(whole, Ok(true)) {
            remove(&unfinished)?;
            return whole;
        }
        std::fs::rename(&unfinished, &done)?;
    }
    fault::pass("compress.renamed");
    remove(plain)?;
    fault::pass("compress.removed");
    Ok(true)
}

fn pack(from: &mut File, to: &Path, stop: &dyn Fn() -> bool) -> io::Result<bool> {
    let facts = from.metadata()?;
    let copy =
        OpenOptions::new().write(true).create(true).truncate(true).mode(facts.mode() & 0o777).open(to)?;
    let mut packer = GzBuilder::new().extra(FileId::of(&facts).to_gzip()).write(copy, Compression::default());
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block) {
            Ok(0) => break,
            Ok(count) => packer.write_all(block.get(..count).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        fault::pass("compress.block");
        if stop() {
            return Ok(false);
        }
    }
    let copy = packer.finish()?;
    copy.set_modified(facts.modified()?)?;
    // The original goes: the copy must survive a power cut.
    copy.sync_all()?;
    Ok(true)
}

/// Removes a file; gone already is as good.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
pub fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    } else {
        (&file).read_to_end(&mut bytes).unwrap();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> bool {
        false
    }

    #[test]
    fn a_file_is_replaced_by_its_packed_copy_of_the_same_age_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("a__D.log");
        let text = b"the same line again\n".repeat(50_000);
        std::fs::write(&plain, &text).unwrap();
        std::fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        let before = plain.metadata().unwrap();
        let file = FileId::of(&before);
        assert!(compress(&plain, &never).unwrap());
        let (unfinished, done) = packed(&plain);
        assert!(!plain.exists() && !unfinished.exists());
        let after = done.metadata().unwrap();
        assert_eq!((after.mode(), after.mtime()), (before.mode(), before.mtime()));
        assert!(after.len() < before.len() / 20);
        assert_eq!(unpacked(&done), text);
        let (of, length) = crate::model::birth::copied(&mut File::open(&done).unwrap()).unwrap();
        assert_eq!((of, length), (file, before.len()), "it is known by that");
    }

    #[test]
    fn whatever_a_kill_left_behind_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("a__D.log");
        let (unfinished, done) = packed(&plain);
        std::fs::write(&plain, "text").unwrap();
        std::fs::write(&unfinished, "half of it").unwrap();
        assert!(compress(&plain, &never).unwrap());
        assert_eq!(unpacked(&done), b"text");
        assert!(!unfinished.exists());

        std::fs::write(&plain, "text").unwrap();
        assert!(compress(&plain, &never).unwrap());
        assert!(!plain.exists());
        assert_eq!(unpacked(&done), b"text");
        assert!(!compress(&plain, &never).unwrap(), "there is nothing left to do");
    }

    #[test]
    fn who_is_told_to_stop_leaves_no_half_copy() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("a__D.log");
        std::fs::write(&plain, "text").unwrap();
        assert!(!compress(&plain, &|| true).unwrap());
        let (unfinished, done) = packed(&plain);
        assert!(plain.exists() && !unfinished.exists() && !done.exists());
    }
}
