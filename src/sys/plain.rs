//! Reading a file that should be a plain, small one, whatever somebody has put in its place: a FIFO is not waited for,
//! a device not read, and what is far too long is refused.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Nothing of ours grows to this.
const LONGEST: u64 = 256 << 20;

/// The bytes of the file at `path`; errors do not name it.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let facts = file.metadata()?;
    if facts.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be ours"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0));
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file at `path`, to be read.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    refuse(&file.metadata()?)?;
    Ok(file)
}

/// The same as text; bytes that are none are an error.
pub fn text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_binary| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
}

/// An error that says what it is instead of a plain file.
fn refuse(facts: &std::fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = facts.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory is in its place",
        () if kind.is_fifo() => "a FIFO is in its place",
        () if kind.is_socket() => "a socket is in its place",
        () => "a device is in its place",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_file_is_named_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("plain"), "text").unwrap();
        assert_eq!(text(&at("plain")).unwrap(), "text");
        std::fs::write(at("binary"), [0xff, 0xfe]).unwrap();
        assert_eq!(text(&at("binary")).unwrap_err().kind(), io::ErrorKind::InvalidData);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        let why = |name: &str| read(&at(name)).unwrap_err().to_string();
        assert!(why("fifo").contains("FIFO"), "{}", why("fifo"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("directory"));
        assert!(why("loop").contains("symbolic links"), "{}", why("loop"));
        assert!(read(Path::new("/dev/null")).unwrap_err().to_string().contains("device"));
        assert_eq!(read(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
