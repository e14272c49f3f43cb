//! Logs for a client: history, then what comes, without a gap or a repeat between the two. Who reads files itself is told
//! which and how far; others are sent their last lines.

use super::ailing::Ailing;
use super::answer;
use super::mailbox::Desk;
use super::outbox::{ClientGone, Outbox};
use super::past;
use crate::logs::{Delivery, End, Filter, LogLines, SMALL, Spot, Workers};
use crate::model::snapshot::Snapshot;
use crate::model::{FileId, Rotation, StreamKind, WorkerId, tail};
use crate::proto::push::{AtSpot, LogFile, LogHeader, LogPlace, LogSpot, Skipped};
use crate::proto::request::LogsRequest;
use crate::proto::{Frame, Push, Reply};
use crate::sys::clock;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes that may wait for one slow subscriber; the oldest lines go first.
const BACKLOG: usize = 4 << 20;
/// Between batches that a client reads itself: of a fast stream it is told in few frames what came since.
const GATHER_NS: u64 = 20_000_000;

/// Serves a `Logs` until history is read, or until the client leaves.
pub(super) async fn logs(wanted: LogsRequest, desk: &Desk, outbox: &Outbox) -> Result<(), ClientGone> {
    let snapshot = desk.snapshot();
    let all = wanted.select.text == "all";
    let ids = match answer::resolve(&wanted.select, &snapshot) {
        Ok(ids) => ids,
        Err(_empty) if all => Vec::new(),
        Err(error) => return outbox.reply(Reply::Error(error)).await,
    };
    let mut files = history_files(&snapshot, &ids, &wanted, &desk.settings.rotation());
    if all && wanted.out && wanted.err {
        files.insert(0, own_log(desk));
    }
    let workers = if all { Workers::All } else { Workers::Only(ids.iter().copied().collect()) };
    let filter = Filter { workers: workers.clone(), out: wanted.out, err: wanted.err, places: wanted.places };
    let paths = files.iter().map(|f| PathBuf::from(&f.path)).collect();
    let recent = if wanted.files { 0 } else { wanted.lines as usize };
    // Where the files end and where the subscription begins is one moment of the pump.
    let seam = match answer::from_pump(desk.pump.subscribe(filter, recent, BACKLOG, paths)).await {
        Ok(seam) => seam,
        Err(error) => return outbox.reply(Reply::Error(error)).await,
    };
    for (file, End { file: id, offset, shared }) in files.iter_mut().zip(seam.ends) {
        (file.file, file.end, file.shared) = (id, offset, shared);
    }
    outbox.reply(Reply::Subscribed).await?;
    if wanted.files {
        outbox.push(Push::Files { files }).await?;
    } else {
        past::send(files, seam.recent, wanted.lines as usize, outbox).await?;
    }
    let mut fleet = desk.snapshot.clone();
    let mut ailing = Ailing::of(workers);
    let now = fleet.borrow_and_update().clone();
    ailing.tell(&now, outbox).await?;
    outbox.push(Push::HistoryEnd).await?;
    if !wanted.follow {
        return Ok(());
    }
    loop {
        let delivery = tokio::select! {
            delivery = seam.live.next() => delivery,
            Ok(()) = fleet.changed() => {
                let now = fleet.borrow_and_update().clone();
                ailing.tell(&now, outbox).await?;
                continue;
            }
        };
        match delivery {
            Delivery::Lines(lines) if wanted.places && by_place(&lines) => {
                send_place(&lines, outbox).await?;
                if seam.live.is_empty() {
                    tokio::time::sleep(until_gathered()).await;
                }
            }
            Delivery::Lines(lines) => send(&lines, false, outbox).await?,
            Delivery::Lagged { lines, unplaced, placed } => {
                let placed = placed.into_iter().map(skipped).collect();
                outbox.push(Push::Lagged { lines, unplaced: Some(unplaced), placed }).await?;
            }
        }
    }
}

fn skipped(lines: crate::logs::Skipped) -> Skipped {
    let place = |(file, offset)| LogPlace { file, offset };
    let (from, to) = (place(lines.from), place(lines.to));
    Skipped { path: lines.path.display().to_string(), from, to, lines: lines.lines }
}

/// All subscribers wait for the same moments: one wake-up serves them.
fn until_gathered() -> Duration {
    Duration::from_nanos(GATHER_NS - clock::monotonic_ns() % GATHER_NS)
}

/// It is large, and its file has it as it would be sent.
fn by_place(lines: &LogLines) -> bool {
    let plain = |spot: &Spot| !spot.shared && spot.end - spot.start == lines.bytes.len() as u64;
    lines.tail.is_some() || (lines.bytes.len() >= SMALL && lines.spot.as_ref().is_some_and(plain))
}

/// Only where they stand.
async fn send_place(lines: &LogLines, outbox: &Outbox) -> Result<(), ClientGone> {
    let tail = lines.tail.unwrap_or_else(|| tail::print(&lines.bytes));
    let at_spot = Some(AtSpot { lines: lines.lines as u64, tail });
    let header = LogHeader { at_spot, ..header(lines, false, outbox) };
    match Frame::log_head(&header, 0) {
        Ok(head) => outbox.log(head, bytes::Bytes::new()).await,
        Err(_too_long) => Ok(()),
    }
}

/// A batch as it came.
pub(super) async fn send(lines: &LogLines, history: bool, outbox: &Outbox) -> Result<(), ClientGone> {
    match Frame::log_head(&header(lines, history, outbox), lines.bytes.len()) {
        Ok(head) => outbox.log(head, lines.bytes.clone()).await,
        Err(_too_long) => Ok(()),
    }
}

fn header(lines: &LogLines, history: bool, outbox: &Outbox) -> LogHeader {
    let spot = lines.spot.as_ref().map(|spot| LogSpot {
        path: spot.path.display().to_string(),
        file: spot.file,
        start: spot.start,
        end: spot.end,
        shared: spot.shared,
    });
    LogHeader {
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
        at_spot: None,
    }
}

fn own_log(desk: &Desk) -> LogFile {
    let path = desk.home.daemon_log().display().to_string();
    LogFile {
        worker: None,
        name: "pmon".into(),
        stream: StreamKind::Out,
        path,
        file: FileId::default(),
        end: 0,
        shared: false,
        dates: None,
        rotated_dates: Some(desk.settings.rotation().date_format),
    }
}

/// The files of these workers, each once though several may share it.
fn history_files(
    snapshot: &Snapshot,
    ids: &[WorkerId],
    wanted: &LogsRequest,
    home: &Rotation,
) -> Vec<LogFile> {
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
                    file: FileId::default(),
                    end: 0,
                    shared: false,
                    dates: worker.app.logs.date_format.clone(),
                    rotated_dates: Some(home.with(&worker.app.logs.rotate).date_format),
                });
            }
        }
    }
    files
}
