//! The daemon's own log, `pmon.log`. It is the stderr of the keeper and of each daemon, opened for appending by the
//! client that started them, and cannot be opened anew in the keeper: were it renamed, what the keeper says would go into a
//! file that is compressed and removed one day. So it is copied and cut in place. The last part is copied and cut under the
//! lock of stderr, so nothing that the daemon says is lost; what the keeper says (a line when something is wrong) could be,
//! in the microseconds between the last read and the cut.
//!
//! ```text
//!  pmon.log ──copy──▶ pmon.log.tmp;  cut pmon.log;  pmon.log.tmp ──▶ pmon__<date>.log
//! ```
//! Who is killed before the cut leaves a copy of what the log still begins with: it is thrown away. Who is killed behind it
//! leaves lines that are nowhere else: they are put aside by the next.

use super::kept::{Family, put_aside};
use crate::model::Rotation;
use crate::model::date::DateFormat;
use crate::sys::clock;
use crate::sys::replace::draft;
use crate::sys::{fault, plain};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Rotates it if it is due; where to.
pub fn rotate(log: &Path, rotation: &Rotation) -> io::Result<Option<PathBuf>> {
    let Some(family) = Family::of(log) else { return Ok(None) };
    let date = DateFormat::in_zone(&rotation.date_format, rotation.time_zone()).format(clock::now().wall_ms);
    let aside = log.with_extension("log.tmp");
    if let Some(kept) = finish(log, &aside, &family, &date)? {
        return Ok(Some(kept));
    }
    let limit = rotation.max_size.get();
    let mut from = match OpenOptions::new().read(true).write(true).open(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let facts = from.metadata()?;
    if !rotation.enabled || limit == 0 || !facts.is_file() || facts.len() < limit {
        return Ok(None);
    }
    let mut copy = draft(&aside)?;
    io::copy(&mut from, &mut copy)?;
    let hush = io::stderr().lock();
    io::copy(&mut from, &mut copy)?;
    fault::at("own_log.copied")?;
    from.set_len(0)?;
    drop(hush);
    fault::at("own_log.cut")?;
    Ok(Some(put_aside(&aside, &family, &date, 0)?.0))
}

/// Ends a rotation that was begun; where to, if there was something to put aside.
fn finish(log: &Path, aside: &Path, family: &Family, date: &str) -> io::Result<Option<PathBuf>> {
    let copied = match plain::open(aside) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let was_cut = match plain::open(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => true,
        opened => !begins_with(opened?, copied)?,
    };
    if was_cut {
        return Ok(Some(put_aside(aside, family, date, 0)?.0));
    }
    std::fs::remove_file(aside)?;
    Ok(None)
}

fn begins_with(log: File, copied: File) -> io::Result<bool> {
    let (mut log, mut copied) = (BufReader::new(log), BufReader::new(copied));
    loop {
        let (there, wanted) = (log.fill_buf()?, copied.fill_buf()?);
        let count = there.len().min(wanted.len());
        if wanted.is_empty() {
            return Ok(true);
        }
        if count == 0 || there.get(..count) != wanted.get(..count) {
            return Ok(false);
        }
        log.consume(count);
        copied.consume(count);
    }
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

    #[test]
    fn a_rotation_that_was_cut_short_doubles_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (log, tmp) = (dir.path().join("pmon.log"), dir.path().join("pmon.log.tmp"));
        let rotate = || rotate(&log, &Rotation::default()).unwrap();
        let text = "a line\n".repeat(10_000);
        // Killed while it was being copied, or before the log was cut; more was said since.
        for copied in [0, 1000, text.len()] {
            std::fs::write(&log, format!("{text}more\n")).unwrap();
            std::fs::write(&tmp, text.as_bytes().get(..copied).unwrap()).unwrap();
            assert_eq!(rotate(), None);
            assert_eq!((tmp.exists(), std::fs::read(&log).unwrap().len()), (false, text.len() + 5));
        }
        // Killed after that.
        for since in ["", "a line\nmore\n", "more\n"] {
            std::fs::write(&log, since).unwrap();
            std::fs::write(&tmp, &text).unwrap();
            let kept = rotate().unwrap();
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), text);
            assert_eq!((tmp.exists(), std::fs::read_to_string(&log).unwrap().as_str()), (false, since));
        }
    }
}
