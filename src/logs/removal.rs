//! Removes a rotated file, and notes beside the log which it was and how long (`model::removed`): before it is gone, so
//! that a kill in between makes no lines vanish without a word.

use super::compress::remove;
use super::kept::{Form, Kept};
use crate::model::removed::{Removed, SIZE, sidecar};
use crate::model::{FileId, birth};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file of notes is halved when it gets larger: the last thousand removals, at least.
const LARGEST: u64 = 2048 * SIZE as u64;

/// Removes a rotated file of a log.
pub fn discard(log: &Path, kept: &Kept) -> io::Result<()> {
    if kept.label.form != Form::Unfinished
        && let Err(error) = note(log, kept)
    {
        tracing::debug!(%error, path = %kept.path.display(), "failed to note a removal");
    }
    remove(&kept.path)
}

fn note(log: &Path, kept: &Kept) -> io::Result<()> {
    let path = sidecar(log);
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create(true).mode(0o600).custom_flags(nofollow);
    let mut file = options.open(&path)?;
    let length = file.metadata()?.len();
    // A record that was cut would shift all that follow it.
    file.set_len(length - length % SIZE as u64)?;
    file.write_all(&facts(kept)?.to_bytes())?;
    if length >= LARGEST {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(LARGEST / 2))?;
        file.read_to_end(&mut bytes)?;
        let draft = path.with_extension("gone.new");
        std::fs::write(&draft, bytes)?;
        std::fs::set_permissions(&draft, file.metadata()?.permissions())?;
        std::fs::rename(draft, path)?;
    }
    Ok(())
}

fn facts(kept: &Kept) -> io::Result<Removed> {
    let mut file = File::open(&kept.path)?;
    if kept.label.form != Form::Packed {
        return Ok(Removed { file: FileId::of(&file.metadata()?), bytes: kept.size });
    }
    let (file, bytes) = birth::copied(&mut file)?;
    Ok(Removed { file, bytes })
}

#[cfg(test)]
mod tests {
    use super::super::compress::compress;
    use super::super::kept::{Family, packed};
    use super::*;
    use crate::model::Rotation;
    use crate::model::shapes::Shapes;
    use std::path::PathBuf;

    fn kept(log: &Path, path: &Path) -> Kept {
        let family = Family::of(log).unwrap();
        let mut entries = std::fs::read_dir(log.parent().unwrap()).unwrap().flatten();
        let entry = entries.find(|entry| entry.path() == path).unwrap();
        family.seen(&entry, &Shapes::of(&Rotation::default())).unwrap()
    }

    fn noted(log: &Path) -> Vec<Removed> {
        Removed::all(&std::fs::read(sidecar(log)).unwrap())
    }

    fn aside(log: &Path, second: usize) -> PathBuf {
        let path = log.with_file_name(format!("a__2026-11-22_08-00-{second:02}.log"));
        std::fs::write(&path, "text of it\n").unwrap();
        path
    }

    #[test]
    fn what_was_removed_is_noted_plain_or_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        let mut wanted = Vec::new();
        for second in 0..2 {
            let path = aside(&log, second);
            wanted.push(Removed { file: FileId::of(&path.metadata().unwrap()), bytes: 11 });
            let path = if second == 0 {
                path
            } else {
                compress(&path, &|| false).unwrap();
                packed(&path).1
            };
            discard(&log, &kept(&log, &path)).unwrap();
            assert!(!path.exists());
            // Its inode is taken now.
            std::fs::write(dir.path().join(format!("{second}")), "").unwrap();
        }
        assert_eq!(noted(&log), wanted);
    }

    #[test]
    fn notes_stay_few_and_the_newest_remain() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        let old = |inode| Removed { file: FileId { inode, born_ns: 1 }, bytes: 5 };
        let full: Vec<u8> = (1..=2048).flat_map(|inode| old(inode).to_bytes()).collect();
        std::fs::write(sidecar(&log), full).unwrap();
        discard(&log, &kept(&log, &aside(&log, 0))).unwrap();
        let noted = noted(&log);
        assert_eq!((noted.len(), noted[0], noted[1023]), (1025, old(1025), old(2048)));
        assert_eq!(noted[1024].bytes, 11);
    }
}
