//! The table of log files: who writes to which, which one a call has, and which disk does not answer. The deeds are
//! in `file`. Its lock is never held while a disk is asked.

use super::calls::Calls;
use super::error::LogError;
use super::file::Files;
use super::handle::Handle;
use super::record::Place;
use crate::model::FileId;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) files: HashMap<PathBuf, LogFile>,
    calls: Calls,
}

/// One path.
#[derive(Debug, Default)]
pub(super) struct LogFile {
    users: usize,
    /// Token of the stream that must end its batch before anybody else may write.
    pub(super) reserved: Option<u64>,
    /// None also while a call has it.
    handle: Option<Handle>,
    /// A call has it.
    away: bool,
    /// It is to be opened anew.
    stale: bool,
    device: Option<u64>,
    /// What was open last.
    id: FileId,
    /// Where the last batch that was told ends, or the present one begins.
    end: Place,
}

impl Shelf {
    fn device(&self, path: &Path) -> Option<u64> {
        self.files.get(path).and_then(|file| file.device)
    }

    fn hangs(&self, path: &Path) -> Option<u64> {
        self.calls.hangs(path, self.device(path))
    }

    fn begin(&mut self, path: &Path) -> u64 {
        self.calls.begin(path, self.device(path))
    }
}

impl Files {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with what is open at a path; refuses where the disk hangs.
    pub(super) fn visit<T>(
        &self,
        path: &Path,
        deed: impl FnOnce(&mut Option<Handle>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut shelf = self.lock();
        if let Some(since_ms) = shelf.hangs(path) {
            return Err(LogError::Hangs { path: path.to_owned(), since_ms });
        }
        let Some(file) = shelf.files.get_mut(path) else {
            return Err(LogError::Open { path: path.to_owned(), source: io::ErrorKind::NotFound.into() });
        };
        if file.away {
            return Err(LogError::Reserved { path: path.to_owned() });
        }
        file.away = true;
        let mut handle = file.handle.take();
        let number = shelf.begin(path);
        drop(shelf);
        let done = deed(&mut handle);
        let mut shelf = self.lock();
        shelf.calls.end(number);
        if let Some(file) = shelf.files.get_mut(path) {
            file.away = false;
            file.device = handle.as_ref().map(|handle| handle.device).or(file.device);
            file.id = handle.as_ref().map_or(file.id, |handle| handle.id);
            if !std::mem::take(&mut file.stale) {
                file.handle = handle.take();
            }
        }
        drop(shelf);
        // To close a file may take its time too.
        drop(handle);
        done
    }

    /// Asks the disk something about a path that need not be written by anybody; refuses where it hangs.
    pub fn ask<T>(&self, path: &Path, question: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut shelf = self.lock();
        if shelf.hangs(path).is_some() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the disk hangs"));
        }
        let number = shelf.begin(path);
        drop(shelf);
        let answer = question();
        self.lock().calls.end(number);
        answer
    }

    /// All calls that are under way have been for so long that they are not waited for.
    pub fn give_up(&self, since_ms: u64) {
        self.lock().calls.give_up(since_ms);
    }

    /// The first of these whose disk does not answer, and since when.
    pub fn hanging<'a>(&self, mut paths: impl Iterator<Item = &'a Path>) -> Option<(PathBuf, u64)> {
        let shelf = self.lock();
        paths.find_map(|path| Some((path.to_owned(), shelf.hangs(path)?)))
    }

    /// Any file whose disk does not answer.
    pub fn hung(&self) -> Option<(PathBuf, u64)> {
        self.lock().calls.hung()
    }

    /// One more stream writes here.
    pub fn enlist(&self, path: &Path) {
        self.lock().files.entry(path.to_owned()).or_default().users += 1;
    }

    /// The stream `token` does so no longer; the last one closes the file.
    pub fn release(&self, path: &Path, token: u64) {
        self.unreserve(path, token);
        let mut shelf = self.lock();
        let mut over = None;
        if let Some(file) = shelf.files.get_mut(path) {
            file.users = file.users.saturating_sub(1);
            if file.users == 0 {
                over = shelf.files.remove(path);
            }
        }
        drop(shelf);
        drop(over);
    }

    /// More than one stream writes here.
    pub fn is_shared(&self, path: &Path) -> bool {
        self.lock().files.get(path).is_some_and(|file| file.users > 1)
    }

    /// It is open and has offsets, which a terminal and a FIFO have not.
    pub fn is_regular(&self, path: &Path) -> bool {
        self.lock()
            .files
            .get(path)
            .and_then(|file| file.handle.as_ref())
            .is_some_and(|handle| handle.seekable)
    }

    /// From now on only the stream `token` may write here: it has a batch to end, which was begun at this place.
    pub fn reserve(&self, path: &Path, token: u64, begun: Place) {
        if let Some(file) = self.lock().files.get_mut(path) {
            file.reserved.get_or_insert(token);
            // Who subscribes before the batch is repeated must be told where history ends.
            if file.end == Place::default() {
                file.end = begun;
            }
        }
    }

    /// The batch was ended.
    pub fn unreserve(&self, path: &Path, token: u64) {
        if let Some(file) = self.lock().files.get_mut(path) {
            file.reserved = file.reserved.filter(|owner| *owner != token);
        }
    }

    /// A batch up to here has been told.
    pub fn set_end(&self, path: &Path, end: Place) {
        if let Some(file) = self.lock().files.get_mut(path) {
            file.end = end;
        }
    }

    /// Which file of this path has this inode; its birth is known if it is the one that was open last.
    pub fn id(&self, path: &Path, inode: u64) -> FileId {
        let last = self.lock().files.get(path).map(|file| file.id);
        last.filter(|last| last.inode == inode).unwrap_or(FileId { inode, born_ns: 0 })
    }

    /// Where what has been told of it ends, without asking the disk.
    pub fn told_end(&self, path: &Path) -> Place {
        self.lock().files.get(path).map_or_else(Place::default, |file| file.end)
    }

    /// Closes all files; each is opened again when it is needed.
    pub fn reopen(&self) {
        let mut shelf = self.lock();
        let mut handles = Vec::with_capacity(shelf.files.len());
        for file in shelf.files.values_mut() {
            file.stale = file.away;
            handles.extend(file.handle.take());
        }
        drop(shelf);
        drop(handles);
    }
}
