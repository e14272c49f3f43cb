//! The file that `save` writes and `resurrect` reads. It is replaced as a whole and synced.

use crate::model::order::Saved;
use crate::proto::Code;
use crate::sys::fault;
use crate::sys::replace::{self, Sync};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Changes when an older daemon could not read it.
const VERSION: u32 = 1;

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub(super) enum DumpError {
    #[error("find a dump at `{}`: nothing was saved yet", .0.display())]
    Missing(PathBuf),
    #[error("{verb} `{}`: {source}", .path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("understand `{}`: {source}", .path.display())]
    Garbage { path: PathBuf, source: serde_json::Error },
    #[error("read `{}`: it was written by a later version ({version})", .path.display())]
    Later { path: PathBuf, version: u32 },
}

impl DumpError {
    /// Kind on the wire.
    pub(super) fn code(&self) -> Code {
        match self {
            DumpError::Missing(_) => Code::NotFound,
            DumpError::Io { .. } => Code::Io,
            DumpError::Garbage { .. } | DumpError::Later { .. } => Code::Invalid,
        }
    }
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dump {
    version: u32,
    workers: Vec<Saved>,
}

/// Writes the dump, 0600. The previous one is kept beside it as `.bak`.
pub(super) fn write(path: &Path, workers: Vec<Saved>) -> Result<(), DumpError> {
    let fail = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| DumpError::Io { verb, path, source }
    };
    let text = serde_json::to_vec_pretty(&Dump { version: VERSION, workers })
        .map_err(|source| DumpError::Garbage { path: path.to_owned(), source })?;
    let copy = path.with_extension("json.bak");
    match std::fs::read(path) {
        Ok(old) if understand(&old).is_ok() => {
            replace::file(&copy, &old, Sync::Disk).map_err(fail("keep a copy of", path))?;
        }
        // Garbage must not take the place of a good copy.
        Ok(_garbage) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail("read", path)(e)),
    }
    fault::pass("dump.copied");
    replace::file(path, &text, Sync::Disk).map_err(fail("write", path))
}

/// Reads the dump; where it is missing or garbage, the copy of the one before.
pub(super) fn read(path: &Path) -> Result<Vec<Saved>, DumpError> {
    match read_one(path) {
        Ok(workers) => Ok(workers),
        Err(first) => match read_one(&path.with_extension("json.bak")) {
            Ok(workers) => {
                tracing::warn!(reason = %first, "used the copy of the last dump");
                Ok(workers)
            }
            Err(_worse) => Err(first),
        },
    }
}

fn read_one(path: &Path) -> Result<Vec<Saved>, DumpError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(DumpError::Missing(path.to_owned())),
        Err(source) => return Err(DumpError::Io { verb: "read", path: path.to_owned(), source }),
    };
    let dump = understand(&text).map_err(|source| DumpError::Garbage { path: path.to_owned(), source })?;
    if dump.version > VERSION {
        return Err(DumpError::Later { path: path.to_owned(), version: dump.version });
    }
    Ok(dump.workers)
}

/// The text of a dump.
pub(super) fn understand(text: &[u8]) -> Result<Dump, serde_json::Error> {
    serde_json::from_slice(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_private_and_garbage_falls_back_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.json");
        assert!(matches!(read(&path), Err(DumpError::Missing(_))));
        write(&path, Vec::new()).unwrap();
        write(&path, Vec::new()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "{\"version\":1,\"wor").unwrap();
        assert_eq!(read(&path).unwrap(), []);
        std::fs::remove_file(dir.path().join("dump.json.bak")).unwrap();
        assert!(matches!(read(&path), Err(DumpError::Garbage { .. })));
    }
}
