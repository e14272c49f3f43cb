//! The moment at which history ends and live lines begin: one moment of the pump, for every file at once.
//!
//! What live lines will tell is what no subscriber was told before: an unfinished line that stands in a file
//! already is delivered whole when it ends, so history ends before it.

use super::fanout::Spot;
use super::file::Files;
use super::record::Place;
use crate::model::FileId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where history ends in one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct End {
    /// The file that is being written, if there is one.
    pub file: FileId,
    /// History is what stands before this.
    pub offset: u64,
    /// Several streams write to it.
    pub shared: bool,
}

/// How far the lines of a stream's own file have been told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    path: Option<Arc<Path>>,
    file: FileId,
    /// Up to here.
    told: u64,
    /// The stream wrote up to here; what lies between is an unfinished line.
    written: u64,
}

impl Told {
    /// For a stream that writes to this file.
    pub fn new(path: Option<&PathBuf>) -> Told {
        Told { path: path.map(|path| Arc::from(path.as_path())), ..Told::default() }
    }

    /// A batch was written as `bytes` at `offset` of a file. `whole`: nothing of it is held back as the start of a line; `ended`: its
    /// last line end is not the worker's. Where the lines that are told now stand.
    pub fn batch(
        &mut self,
        (file, offset): (FileId, u64),
        bytes: &[u8],
        whole: bool,
        ended: bool,
        shared: bool,
    ) -> Option<Spot> {
        let path = self.path.clone()?;
        let start = if self.goes_on(Place { inode: file.inode, offset }) { self.told } else { offset };
        let end = offset + bytes.len() as u64;
        let own = if ended { bytes.strip_suffix(b"\n").unwrap_or(bytes) } else { bytes };
        let told = match memchr::memrchr(b'\n', own) {
            _ if whole => end,
            Some(at) => offset + at as u64 + 1,
            None => start,
        };
        (self.file, self.told, self.written) = (file, told, end);
        Some(Spot { path, file, start, end: told, shared })
    }

    /// Nothing but what this stream wrote stands before this place, since its last batch.
    pub fn goes_on(&self, place: Place) -> bool {
        self.file.inode == place.inode && self.written == place.offset
    }

    /// A line that was held back does not go on at this place: the file was put aside, cut, or written by somebody else.
    pub fn is_torn(&self, place: Place) -> bool {
        self.told < self.written && !self.goes_on(place)
    }

    /// The line that was held back is told too.
    pub fn rest(&mut self, shared: bool) -> Option<Spot> {
        let path = self.path.clone().filter(|_| self.file.is_some())?;
        let start = std::mem::replace(&mut self.told, self.written);
        Some(Spot { path, file: self.file, start, end: self.written, shared })
    }

    /// Something of this stream stands at the end of the file at `path` and was not told: where it begins. What others have
    /// written behind it is told already.
    fn held_back(&self, path: &Path, (inode, end): (u64, u64)) -> Option<u64> {
        let ours = self.path.as_deref() == Some(path) && self.file.inode == inode;
        (ours && self.told < self.written && self.written >= end).then_some(self.told)
    }
}

/// Where history ends in each of these files, by those who write them. `found`: where the files end; none where a batch is
/// under way.
pub fn ends<'a>(
    paths: &[PathBuf],
    found: &[Option<Place>],
    files: &Files,
    told: impl Iterator<Item = &'a Told>,
) -> Vec<End> {
    let told: Vec<&Told> = told.filter(|told| told.told < told.written).collect();
    let end = |(path, found): (&PathBuf, &Option<Place>)| {
        let Place { inode, offset } = found.unwrap_or_else(|| files.told_end(path));
        let unfinished = told.iter().filter_map(|told| told.held_back(path, (inode, offset))).min();
        let offset = unfinished.map_or(offset, |start| start.min(offset));
        End { file: files.id(path, inode), offset, shared: files.is_shared(path) }
    };
    paths.iter().zip(found).map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(spot: Option<Spot>) -> (u64, u64) {
        spot.map(|spot| (spot.start, spot.end)).unwrap()
    }

    #[test]
    fn lines_are_told_from_their_beginning_to_their_end() {
        let mut told = Told::new(Some(&PathBuf::from("/x.log")));
        let at = |offset| (FileId { inode: 3, born_ns: 5 }, offset);
        assert_eq!(span(told.batch(at(10), b"a\nb", false, false, false)), (10, 12));
        assert_eq!(span(told.batch(at(13), b"c", false, false, false)), (12, 12));
        assert_eq!(told.held_back(Path::new("/x.log"), (3, 14)), Some(12));
        assert_eq!(told.held_back(Path::new("/x.log"), (3, 50)), None, "another stream wrote behind it");
        assert_eq!(span(told.batch(at(14), b"d\n", true, false, false)), (12, 16));
        assert_eq!(told.held_back(Path::new("/x.log"), (3, 16)), None);
        assert_eq!(span(told.batch(at(30), b"e\n", true, false, false)), (30, 32), "others wrote between");
        assert_eq!(span(told.batch(at(0), b"f", false, false, false)), (0, 0), "it was emptied");
        assert_eq!(span(told.rest(false)), (0, 1));
    }

    #[test]
    fn a_line_that_is_ended_for_the_worker_is_told_when_its_text_is() {
        let mut told = Told::new(Some(&PathBuf::from("/x.log")));
        let place = (FileId { inode: 3, born_ns: 5 }, 0);
        assert_eq!(span(told.batch(place, b"00: a\n", false, true, false)), (0, 0));
        assert_eq!(span(told.rest(false)), (0, 6));
    }
}
