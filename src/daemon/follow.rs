//! Logs for a client: history, then what comes, without a gap or a repeat between the two. Who reads files itself is told
//! which and how far; others are sent their last lines.

use super::answer;
use super::mailbox::Desk;
use super::outbox::{ClientGone, Outbox};
use super::past;
use crate::logs::{Delivery, End, Filter, LogLines, Workers};
use crate::model::snapshot::Snapshot;
use crate::model::{StreamKind, WorkerId};
use crate::proto::push::{LogFile, LogHeader, LogSpot};
use crate::proto::request::LogsRequest;
use crate::proto::{Frame, Push, Reply};
use std::path::PathBuf;

/// Bytes that may wait for one slow subscriber; the oldest lines go first.
const BACKLOG: usize = 4 << 20;

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
        files.insert(0, own_log(desk));
    }
    let workers = if all { Workers::All } else { Workers::Only(ids.iter().copied().collect()) };
    let filter = Filter { workers, out: wanted.out, err: wanted.err };
    let paths = files.iter().map(|f| PathBuf::from(&f.path)).collect();
    let recent = if wanted.files { 0 } else { wanted.lines as usize };
    // Where the files end and where the subscription begins is one moment of the pump.
    let seam = match answer::from_pump(desk.pump.subscribe(filter, recent, BACKLOG, paths)).await {
        Ok(seam) => seam,
        Err(error) => return outbox.reply(Reply::Error(error)).await,
    };
    for (file, End { inode, offset, shared }) in files.iter_mut().zip(seam.ends) {
        (file.inode, file.end, file.shared) = (inode, offset, shared);
    }
    outbox.reply(Reply::Subscribed).await?;
    if wanted.files {
        outbox.push(Push::Files { files }).await?;
    } else {
        past::send(files, seam.recent, wanted.lines as usize, outbox).await?;
    }
    outbox.push(Push::HistoryEnd).await?;
    if !wanted.follow {
        return Ok(());
    }
    loop {
        match seam.live.next().await {
            Delivery::Lines(lines) => send(&lines, false, outbox).await?,
            Delivery::Lagged { lines } => outbox.push(Push::Lagged { lines }).await?,
        }
    }
}

/// A batch as it came.
pub(super) async fn send(lines: &LogLines, history: bool, outbox: &Outbox) -> Result<(), ClientGone> {
    let spot = lines.spot.as_ref().map(|spot| LogSpot {
        path: spot.path.display().to_string(),
        inode: spot.inode,
        start: spot.start,
        end: spot.end,
        shared: spot.shared,
    });
    let header = LogHeader {
        id: outbox.id,
        worker: lines.worker,
        name: lines.name.to_string(),
        stream: lines.stream,
        instance: lines.worker.map(|_| lines.instance),
        pid: lines.pid,
        at_ms: Some(lines.at_ms),
        history,
        path: None,
        spot,
    };
    match Frame::log_head(&header, lines.bytes.len()) {
        Ok(head) => outbox.log(head, lines.bytes.clone()).await,
        Err(_too_long) => Ok(()),
    }
}

fn own_log(desk: &Desk) -> LogFile {
    let path = desk.home.daemon_log().display().to_string();
    LogFile {
        worker: None,
        name: "pmon".into(),
        stream: StreamKind::Out,
        path,
        inode: 0,
        end: 0,
        shared: false,
    }
}

/// The files of these workers, each once though several may share it.
fn history_files(snapshot: &Snapshot, ids: &[WorkerId], wanted: &LogsRequest) -> Vec<LogFile> {
    let mut files: Vec<LogFile> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for worker in snapshot.workers.iter().filter(|w| ids.contains(&w.id)) {
        let streams = [
            (StreamKind::Out, &worker.out_file, wanted.out),
            (StreamKind::Err, &worker.error_file, wanted.err),
        ];
        for (stream, path, wanted) in streams {
            let Some(path) = path.as_ref().filter(|_| wanted) else { continue };
            if seen.insert(path.clone()) {
                files.push(LogFile {
                    worker: Some(worker.id),
                    name: worker.app.name.clone(),
                    stream,
                    path: path.clone(),
                    inode: 0,
                    end: 0,
                    shared: false,
                });
            }
        }
    }
    files
}
