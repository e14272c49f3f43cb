//! A file that cannot be understood, or is none, is not overwritten: it is put aside under a name that says so.

use super::clock;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Renames `path` to `<path>.corrupt-<date>`; where to. What is not there is no error, and nowhere.
pub fn put(path: &Path) -> io::Result<Option<PathBuf>> {
    let now = jiff::Timestamp::from_millisecond(clock::now().wall_ms).unwrap_or_default();
    let date = now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H-%M-%S").to_string();
    let mut number = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{date}"));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        let aside = PathBuf::from(name);
        if aside.symlink_metadata().is_ok() {
            number += 1;
            continue;
        }
        return match std::fs::rename(path, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        };
    }
}

/// Whether something is in the way of a file of ours that can be put aside: what is no file, or cannot be opened by us.
pub fn is_in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, PermissionDenied};
    // A loop of links has no name there yet, nor has a FIFO that nobody reads.
    let unnamed = [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
    matches!(error.kind(), InvalidInput | IsADirectory | NotADirectory | PermissionDenied)
        || unnamed.contains(&error.raw_os_error())
}

/// Opens a file of ours; what is in its way is put aside first.
pub fn clear<T>(path: &Path, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match open() {
        Err(error) if is_in_the_way(&error) => match put(path) {
            Ok(_) => open(),
            Err(_stays) => Err(error),
        },
        done => done,
    }
}

/// The same for whoever only tells people of it: what became of the file.
pub fn told(path: &Path) -> String {
    match put(path) {
        Ok(Some(aside)) => format!("it is kept as `{}`", aside.display()),
        Ok(None) => "it is gone".to_owned(),
        Err(error) => format!("it could not be put aside: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bad_files_of_one_moment_are_both_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(put(&path).unwrap(), None);
        let mut kept = Vec::new();
        for text in ["one", "two"] {
            std::fs::write(&path, text).unwrap();
            kept.extend(put(&path).unwrap());
        }
        assert_eq!(
            kept.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect::<Vec<_>>(),
            ["one", "two"]
        );
        assert!(kept[0].display().to_string().contains("a.json.corrupt-2"));
    }
}
