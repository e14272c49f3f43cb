//! The daemon's own log, `pmon.log`. It is the stderr of the keeper and of each daemon, opened for appending by the
//! client that started them, and cannot be opened anew in the keeper. So it is copied and cut in place. The last
//! part is copied and cut under the lock of stderr, so nothing that the daemon says is lost; what the keeper says
//! (a line when something is wrong) could be, in the microseconds between the last read and the cut. A kill
//! between the copy's renaming and the cut doubles lines, in this log only.

use super::kept::{Family, put_aside};
use crate::model::Rotation;
use crate::model::date::DateFormat;
use crate::sys::clock;
use crate::sys::replace::draft;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// Rotates it if it is due; where to.
pub fn rotate(log: &Path, rotation: &Rotation) -> io::Result<Option<PathBuf>> {
    let limit = rotation.max_size.get();
    let mut from = match OpenOptions::new().read(true).write(true).open(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let facts = from.metadata()?;
    if !rotation.enabled || limit == 0 || !facts.is_file() || facts.len() < limit {
        return Ok(None);
    }
    let Some(family) = Family::of(log) else { return Ok(None) };
    let date = DateFormat::in_zone(&rotation.date_format, rotation.time_zone()).format(clock::now().wall_ms);
    // A copy that a kill cut short is overwritten by the next.
    let aside = log.with_extension("log.tmp");
    let mut copy = draft(&aside)?;
    io::copy(&mut from, &mut copy)?;
    let hush = io::stderr().lock();
    io::copy(&mut from, &mut copy)?;
    let (kept, _) = put_aside(&aside, &family, &date, 0)?;
    from.set_len(0)?;
    drop(hush);
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;
    use std::io::Write;

    #[test]
    fn who_appends_goes_on_in_the_emptied_file() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("pmon.log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let small = Rotation { max_size: Bytes(1024), ..Rotation::default() };
        writer.write_all(&[b'x'; 1023]).unwrap();
        assert_eq!(rotate(&log, &small).unwrap(), None);
        writer.write_all(b"\n").unwrap();
        let first = rotate(&log, &small).unwrap().unwrap();
        assert_eq!(first.metadata().unwrap().len(), 1024);
        writer.write_all(b"next\n").unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"next\n");
        writer.write_all(&[b'y'; 2000]).unwrap();
        let second = rotate(&log, &small).unwrap().unwrap();
        assert_ne!(first, second);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
