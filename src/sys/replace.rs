//! Replacing a file as a whole: whoever reads it sees the old text or the new one, never a part.

use super::fault;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether the new text must be on the disk before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Yes: it is all that is left after a power cut.
    Disk,
    /// No: it is of use only while the system runs.
    Cache,
}

/// Writes `bytes` beside `path` (0600, `.tmp` added to its name) and renames. Errors name the path.
pub fn file(path: &Path, bytes: &[u8], sync: Sync) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".tmp");
    let aside = Path::new(&aside);
    let named = |e: io::Error| io::Error::new(e.kind(), format!("`{}`: {e}", path.display()));
    let write = || {
        fault::at("replace.open")?;
        let mut file = draft(aside)?;
        fault::at("replace.write")?;
        file.write_all(bytes)?;
        if sync == Sync::Disk {
            file.sync_all()?;
        }
        fault::at("replace.rename")?;
        std::fs::rename(aside, path)?;
        fault::at("replace.renamed")?;
        match (sync, path.parent()) {
            (Sync::Disk, Some(dir)) => File::open(dir)?.sync_all(),
            (Sync::Disk, None) | (Sync::Cache, _) => Ok(()),
        }
    };
    write().map_err(named)
}

/// A new file of ours, 0600, whatever a write that was cut short, or somebody else, left there.
pub fn draft(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_text_stays_when_the_new_one_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pid");
        file(&path, b"1", Sync::Cache).unwrap();
        file(&path, b"2", Sync::Disk).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        std::fs::create_dir(dir.path().join("a.pid.tmp")).unwrap();
        let error = file(&path, b"3", Sync::Cache).unwrap_err().to_string();
        assert!(error.contains("a.pid"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
    }
}
