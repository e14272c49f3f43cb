//! The last lines for a client that does not read files: from memory what the pump remembers of each worker, and what is
//! missing to the wanted number from the files before that, so also after the daemon was started again.

use super::follow;
use super::outbox::{ClientGone, Outbox};
use crate::logs::LogLines;
use crate::model::date::DateFormat;
use crate::model::{StreamKind, WorkerId};
use crate::proto::Frame;
use crate::proto::push::{LogFile, LogHeader};
use crate::search::{Log, Merged, Query, Shelf};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// A frame of history is cut at about this size.
const CHUNK: usize = 256 << 10;
/// More lines of a file are for clients that read files themselves.
const LINES: usize = 100_000;
/// So many histories are read at a time, whoever asks.
static READERS: Semaphore = Semaphore::const_new(4);
/// Lines of a stream that were written within so many milliseconds are told together.
const TOGETHER_MS: i64 = 1000;

/// Sends at least the last `lines` lines of each file, in the order of time for each worker.
pub(super) async fn send(
    files: Vec<LogFile>,
    recent: Vec<LogLines>,
    lines: usize,
    outbox: &Outbox,
) -> Result<(), ClientGone> {
    let lines = lines.min(LINES);
    let shelf = Shelf::of_formats(files.iter().filter_map(|file| file.rotated_dates.as_deref()));
    let shelf = Arc::new(Mutex::new(shelf));
    let recent = of_all_streams(&files, recent);
    for files in by_worker(before_memory(files, &recent, lines)) {
        let (shelf, id) = (Arc::clone(&shelf), outbox.id);
        // Closed by nobody.
        let _turn = READERS.acquire().await.map_err(|_closed| ClientGone)?;
        let read = move || frames(&files, &mut shelf.lock().unwrap_or_else(PoisonError::into_inner), id);
        for frame in tokio::task::spawn_blocking(read).await.unwrap_or_default() {
            outbox.frame(frame).await?;
        }
    }
    for batch in recent {
        follow::send(&batch, true, outbox).await?;
    }
    Ok(())
}

/// What memory has of those workers of whom it has every stream. Lines of a stream that nobody wanted are in its file only,
/// and those of the other one belong between them.
fn of_all_streams(files: &[LogFile], recent: Vec<LogLines>) -> Vec<LogLines> {
    let known: HashSet<_> = recent.iter().map(|batch| (batch.worker, batch.stream)).collect();
    let lacks = |file: &&LogFile| !known.contains(&(file.worker, file.stream));
    let lacking: HashSet<_> = files.iter().filter(lacks).map(|file| file.worker).collect();
    recent.into_iter().filter(|batch| batch.spot.is_none() || !lacking.contains(&batch.worker)).collect()
}

/// A file, and how many of its lines are wanted.
type Wanted = (LogFile, usize);

/// The files cut where memory begins, and how many lines memory lacks.
fn before_memory(files: Vec<LogFile>, recent: &[LogLines], lines: usize) -> Vec<Wanted> {
    let mut known: HashMap<(Option<WorkerId>, StreamKind), usize> = HashMap::new();
    for batch in recent {
        *known.entry((batch.worker, batch.stream)).or_default() += batch.lines;
    }
    let cut = |mut file: LogFile| {
        let has = known.get(&(file.worker, file.stream)).copied().unwrap_or(0);
        // The oldest that memory has may stand in a file that was rotated since.
        let mut spots = recent.iter().filter_map(|batch| batch.spot.as_ref());
        if let Some(oldest) = spots.find(|spot| spot.path.to_str() == Some(&file.path)) {
            (file.file, file.end) = (oldest.file, oldest.start);
        }
        // The daemon's own lines have no place: they are all in its file.
        let missing = if file.worker.is_none() && has > 0 { 0 } else { lines.saturating_sub(has) };
        (file, missing)
    };
    files.into_iter().map(cut).filter(|(_, missing)| *missing > 0).collect()
}

fn by_worker(files: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut groups: Vec<Vec<Wanted>> = Vec::new();
    for wanted in files {
        match groups
            .last_mut()
            .filter(|group| group.first().is_some_and(|(f, _)| f.worker == wanted.0.worker))
        {
            Some(group) => group.push(wanted),
            None => groups.push(vec![wanted]),
        }
    }
    groups
}

/// The last lines of one worker's files, ready to be sent.
fn frames(files: &[Wanted], shelf: &mut Shelf, id: u64) -> Vec<bytes::Bytes> {
    let most = files.iter().map(|(_, missing)| *missing).max();
    let query = Query { last: most, timed: true, ..Query::default() };
    let logs = files.iter().map(|(file, _)| {
        let path = PathBuf::from(&file.path);
        let dates = file.dates.as_deref().map(|format| Arc::new(DateFormat::new(format)));
        Log { spans: shelf.history(&path, (file.file, file.end)), stream: file.stream, path, dates }
    });
    let mut headed = vec![false; files.len()];
    let mut frames = Vec::new();
    let mut group: Option<(usize, i64, Vec<u8>)> = None;
    let mut close = |(index, at_ms, bytes): (usize, i64, Vec<u8>)| {
        let (Some((file, _)), Some(headed)) = (files.get(index), headed.get_mut(index)) else { return };
        let path = (!std::mem::replace(headed, true)).then(|| file.path.clone());
        let header = LogHeader {
            id,
            worker: file.worker,
            name: file.name.clone(),
            stream: file.stream,
            instance: None,
            pid: None,
            at_ms: Some(at_ms),
            history: true,
            path,
            spot: None,
            at_spot: None,
        };
        frames.extend(Frame::log(&header, &bytes).ok());
    };
    let mut lines = Merged::new(logs.collect(), &query);
    while let Some((index, line)) = lines.line() {
        let at_ms = line.at_ms.unwrap_or_default();
        match &mut group {
            Some((of, since, bytes))
                if *of == index && at_ms - *since < TOGETHER_MS && bytes.len() < CHUNK =>
            {
                bytes.extend_from_slice(line.bytes);
            }
            other => {
                if let Some(done) = other.replace((index, at_ms, line.bytes.to_vec())) {
                    close(done);
                }
            }
        }
    }
    if let Some(done) = group {
        close(done);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Spot;
    use crate::model::FileId;
    use std::path::Path;

    fn file(worker: u32, end: u64) -> LogFile {
        LogFile {
            worker: Some(WorkerId(worker)),
            name: "web".into(),
            stream: StreamKind::Out,
            path: format!("/l/{worker}.log"),
            file: id(5),
            end,
            shared: false,
            dates: None,
            rotated_dates: None,
        }
    }

    fn id(inode: u64) -> FileId {
        FileId { inode, born_ns: 1 }
    }

    fn batch(worker: u32, text: &'static str, inode: u64, start: u64) -> LogLines {
        let mut lines =
            LogLines::new(Some(WorkerId(worker)), "web".into(), StreamKind::Out, 0, text.as_bytes().into());
        let path: Arc<Path> = Path::new(&format!("/l/{worker}.log")).into();
        let end = start + text.len() as u64;
        lines.spot = Some(Spot { path, file: id(inode), start, end, shared: false });
        lines
    }

    #[test]
    fn memory_is_used_for_workers_of_whom_it_has_every_stream() {
        let errors = LogFile { stream: StreamKind::Err, path: "/l/1e.log".into(), ..file(1, 9) };
        let files = [file(1, 100), errors, file(2, 100)];
        let of = |recent: Vec<LogLines>| of_all_streams(&files, recent).len();
        assert_eq!(of(vec![batch(1, "a\n", 5, 98), batch(2, "b\n", 6, 98)]), 1);
        let mut error = batch(1, "e\n", 7, 7);
        error.stream = StreamKind::Err;
        assert_eq!(of(vec![batch(1, "a\n", 5, 98), error.clone()]), 2);
        error.spot = None;
        assert_eq!(of(vec![error]), 1, "it has no file");
    }

    #[test]
    fn files_end_where_memory_begins() {
        let cut = |recent: &[LogLines], lines| {
            let cut = before_memory(vec![file(1, 100)], recent, lines);
            cut.iter().map(|(file, missing)| (file.file.inode, file.end, *missing)).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[], 3), [(5, 100, 3)]);
        assert_eq!(cut(&[batch(1, "a\nb\n", 5, 96)], 3), [(5, 96, 1)]);
        assert_eq!(cut(&[batch(1, "a\nb\n", 5, 96)], 2), []);
        assert_eq!(cut(&[batch(1, "a\n", 4, 50), batch(1, "b\n", 5, 98)], 3), [(4, 50, 1)], "it was rotated");
        assert_eq!(cut(&[batch(2, "a\n", 9, 1)], 1), [(5, 100, 1)]);
    }
}
