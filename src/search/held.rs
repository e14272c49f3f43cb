//! A log file that is kept open, so that it is known again though it was renamed, compressed or removed since: its inode is
//! not given to another file, and the system tells the name it had last (proc(5), `/proc/self/fd`).

use super::chain::Part;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What proc(5) says behind the name of a file that has none any more.
const DELETED: &[u8] = b" (deleted)";

/// One file, open.
#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// The file of this inode: the log, or what was made of it beside it.
    pub fn find(log: &Path, inode: u64) -> Option<Held> {
        let log = std::fs::canonicalize(log).unwrap_or_else(|_gone| log.to_owned());
        if let Some(held) = open(&log, inode) {
            return Some(held);
        }
        let entries = std::fs::read_dir(log.parent()?).ok()?.flatten();
        let mut alike = entries.filter(|entry| entry.ino() == inode);
        alike.find_map(|entry| open(&entry.path(), inode))
    }

    /// The path it has, or had when it was removed.
    pub fn path(&self) -> Option<PathBuf> {
        let path = std::fs::read_link(self.link()).ok()?.into_os_string().into_vec();
        let path = path.strip_suffix(DELETED).unwrap_or(&path);
        Some(std::ffi::OsStr::from_bytes(path).into())
    }

    /// To be read as long as it is held, also when it has no name any more.
    pub fn part(&self) -> Option<Part> {
        Part::at(self.link()).ok()
    }

    pub(super) fn into_file(self) -> File {
        self.0
    }

    fn link(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Never waits, whatever has taken the name.
fn open(path: &Path, inode: u64) -> Option<Held> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let facts = file.metadata().ok()?;
    (facts.ino() == inode && facts.is_file()).then_some(Held(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_last_name_and_read_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let log = dir.join("x.log");
        std::fs::write(&log, "one\n").unwrap();
        let inode = Part::at(log.clone()).unwrap().inode;
        let aside = dir.join("x__2026.log");
        std::fs::rename(&log, &aside).unwrap();
        let held = Held::find(&log, inode).unwrap();
        assert_eq!(held.path(), Some(aside.clone()));
        std::fs::remove_file(&aside).unwrap();
        assert_eq!(held.path(), Some(aside));
        assert_eq!(std::fs::read(held.part().unwrap().path).unwrap(), b"one\n");
        assert!(Held::find(&log, inode).is_none());
    }
}
