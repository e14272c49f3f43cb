//! Logs for a client: the end of each file, then what comes, without a gap or a repeat between the two.

use super::answer;
use super::mailbox::Desk;
use super::session::{ClientGone, Outbox};
use crate::logs::tail;
use crate::logs::{Delivery, Filter, Workers};
use crate::model::{StreamKind, WorkerId};
use crate::proto::push::LogHeader;
use crate::proto::request::LogsRequest;
use crate::proto::{Frame, Push, Reply};
use std::path::PathBuf;

/// Bytes that may wait for one slow subscriber; the oldest lines go first.
const BACKLOG: usize = 4 << 20;
/// A frame of history is cut at about this size.
const CHUNK: usize = 256 << 10;

/// Serves a `Logs` until history is read, or until the client leaves.
pub(super) async fn logs(wanted: LogsRequest, desk: &Desk, outbox: &Outbox) -> Result<(), ClientGone> {
    let snapshot = desk.snapshot();
    let all = wanted.select.text == "all";
    let ids = match answer::resolve(&wanted.select, &snapshot) {
        Ok(ids) => ids,
        Err(_empty) if all => Vec::new(),
        Err(error) => return outbox.reply(Reply::Error(error)).await,
    };
    let mut files = history_files(&snapshot, &ids, &wanted);
    if all && wanted.out && wanted.err {
        files.insert(
            0,
            HistoryFile {
                worker: None,
                name: "pmon".into(),
                stream: StreamKind::Out,
                path: desk.home.daemon_log(),
            },
        );
    }
    let workers = if all { Workers::All } else { Workers::Only(ids.iter().copied().collect()) };
    let filter = Filter { workers, out: wanted.out, err: wanted.err };
    let paths = files.iter().map(|f| f.path.clone()).collect();
    // Where the files end and where the subscription begins is one moment of the pump.
    let (live, ends) = match answer::from_pump(desk.pump.subscribe(filter, BACKLOG, paths)).await {
        Ok(both) => both,
        Err(error) => return outbox.reply(Reply::Error(error)).await,
    };
    outbox.reply(Reply::Subscribed).await?;
    for (file, end) in files.into_iter().zip(ends) {
        send_history(file, end, wanted.lines as usize, outbox).await?;
    }
    outbox.push(Push::HistoryEnd).await?;
    if !wanted.follow {
        return Ok(());
    }
    loop {
        match live.next().await {
            Delivery::Lines(lines) => {
                let header = LogHeader {
                    id: outbox.id,
                    worker: lines.worker,
                    name: lines.name.to_string(),
                    stream: lines.stream,
                    instance: lines.worker.map(|_| lines.instance),
                    pid: lines.pid,
                    at_ms: Some(lines.at_ms),
                    history: false,
                    path: None,
                };
                if let Ok(head) = Frame::log_head(&header, lines.bytes.len()) {
                    outbox.log(head, lines.bytes).await?;
                }
            }
            Delivery::Lagged { lines } => outbox.push(Push::Lagged { lines }).await?,
        }
    }
}

struct HistoryFile {
    worker: Option<WorkerId>,
    name: String,
    stream: StreamKind,
    path: PathBuf,
}

/// The files of these workers, each once though several may share it.
fn history_files(
    snapshot: &crate::model::snapshot::Snapshot,
    ids: &[WorkerId],
    wanted: &LogsRequest,
) -> Vec<HistoryFile> {
    let mut files: Vec<HistoryFile> = Vec::new();
    for worker in snapshot.workers.iter().filter(|w| ids.contains(&w.id)) {
        let streams = [
            (StreamKind::Out, &worker.out_file, wanted.out),
            (StreamKind::Err, &worker.error_file, wanted.err),
        ];
        for (stream, path, wanted) in streams {
            let Some(path) = path.as_ref().filter(|_| wanted).map(PathBuf::from) else { continue };
            if !files.iter().any(|f| f.path == path) {
                files.push(HistoryFile {
                    worker: Some(worker.id),
                    name: worker.app.name.clone(),
                    stream,
                    path,
                });
            }
        }
    }
    files
}

async fn send_history(file: HistoryFile, end: u64, lines: usize, outbox: &Outbox) -> Result<(), ClientGone> {
    let path = file.path.clone();
    let read = tokio::task::spawn_blocking(move || tail::last_lines_before(&path, end, lines)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_missing)) => Vec::new(),
        Err(_panic) => Vec::new(),
    };
    let mut header = LogHeader {
        id: outbox.id,
        worker: file.worker,
        name: file.name,
        stream: file.stream,
        instance: None,
        pid: None,
        at_ms: None,
        history: true,
        path: Some(file.path.display().to_string()),
    };
    let mut rest = bytes.as_slice();
    loop {
        let cut = if rest.len() <= CHUNK {
            rest.len()
        } else {
            memchr::memrchr(b'\n', &rest[..CHUNK]).map_or(CHUNK, |newline| newline + 1)
        };
        let (chunk, later) = rest.split_at(cut);
        if let Ok(frame) = Frame::log(&header, chunk) {
            outbox.frame(frame).await?;
        }
        header.path = None;
        rest = later;
        if rest.is_empty() {
            return Ok(());
        }
    }
}
