//! The file that `save` writes and `resurrect` reads. It is replaced as a whole and synced.

use super::mend;
use crate::model::order::Saved;
use crate::proto::Code;
use crate::sys::fault;
use crate::sys::replace::{self, Sync};
use crate::sys::{aside, plain};
use serde::{Deserialize, Serialize};
use serde_json::Value;
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

#[derive(Debug, Serialize)]
struct Dump {
    version: u32,
    workers: Vec<Saved>,
}

/// The same as far as it has to be understood.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    version: u32,
    workers: Vec<Value>,
}

/// Writes the dump, 0600. The previous one is kept beside it as `.bak`, or put aside if nothing can be read of it.
pub(super) fn write(path: &Path, workers: Vec<Saved>) -> Result<(), DumpError> {
    let fail = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| DumpError::Io { verb, path, source }
    };
    let text = crate::model::skew::to_vec_pretty(&Dump { version: VERSION, workers })
        .map_err(|source| DumpError::Garbage { path: path.to_owned(), source })?;
    let copy = path.with_extension("json.bak");
    match plain::read(path) {
        Ok(old) if understand(&old).is_ok() => {
            replace::file(&copy, &old, Sync::Disk).map_err(fail("keep a copy of", path))?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // It must not take the place of a good copy, nor be lost.
        Ok(_) | Err(_) => {
            aside::put(path).map_err(fail("put aside", path))?;
        }
    }
    fault::pass("dump.copied");
    replace::file(path, &text, Sync::Disk).map_err(fail("write", path))
}

/// Reads the dump; where it is missing or garbage, the copy of the one before. Beside it, what people should know: what was
/// not understood, and of what only the copy was left.
pub(super) fn read(path: &Path) -> Result<(Vec<Saved>, Vec<String>), DumpError> {
    let first = match read_one(path) {
        Ok(read) => return Ok(read),
        Err(first) => first,
    };
    let copy = path.with_extension("json.bak");
    match read_one(&copy) {
        Ok((workers, mut told)) => {
            told.insert(0, format!("failed to {first}; used `{}`, the dump before it", copy.display()));
            Ok((workers, told))
        }
        Err(_worse) => Err(first),
    }
}

fn read_one(path: &Path) -> Result<(Vec<Saved>, Vec<String>), DumpError> {
    let text = match plain::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(DumpError::Missing(path.to_owned())),
        Err(source) => return Err(DumpError::Io { verb: "read", path: path.to_owned(), source }),
    };
    let dump = understand(&text).map_err(|source| DumpError::Garbage { path: path.to_owned(), source })?;
    if dump.version > VERSION {
        return Err(DumpError::Later { path: path.to_owned(), version: dump.version });
    }
    let (mut workers, mut told) = (Vec::with_capacity(dump.workers.len()), Vec::new());
    for (worker, number) in dump.workers.into_iter().zip(1..) {
        let name = worker.pointer("/app/name").and_then(Value::as_str).unwrap_or("?").to_owned();
        match mend::saved(worker) {
            Ok((saved, mended)) => {
                workers.push(saved);
                if !mended.is_empty() {
                    let what = mended.join("; ");
                    told.push(format!(
                        "not everything is understood that `{}` says of `{name}`: {what}",
                        path.display()
                    ));
                }
            }
            Err(why) => {
                told.push(format!("left `{name}` out, number {number} in `{}`: {why}", path.display()));
            }
        }
    }
    Ok((workers, told))
}

/// The text of a dump.
pub(super) fn understand(text: &[u8]) -> Result<Found, serde_json::Error> {
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
        let (workers, told) = read(&path).unwrap();
        assert_eq!((workers.len(), told.len()), (0, 1));
        assert!(told[0].contains("the dump before it"), "{told:?}");
        std::fs::remove_file(dir.path().join("dump.json.bak")).unwrap();
        assert!(matches!(read(&path), Err(DumpError::Garbage { .. })));
    }

    #[test]
    fn garbage_is_put_aside_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.json");
        std::fs::write(&path, "garbage").unwrap();
        write(&path, Vec::new()).unwrap();
        assert_eq!(read(&path).unwrap(), (Vec::new(), Vec::new()));
        let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
        let aside: Vec<_> = files.filter(|path| path.display().to_string().contains("corrupt")).collect();
        assert_eq!(std::fs::read(&aside[0]).unwrap(), b"garbage");
    }
}
