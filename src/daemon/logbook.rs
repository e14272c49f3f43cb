//! What logs there are, how large, and how they are rotated; and opening them anew.

use super::answer::{error, resolve};
use super::journal;
use super::mailbox::Desk;
use crate::logs::kept::{Family, inventory, real};
use crate::model::files::WorkerFiles;
use crate::model::shapes::Shapes;
use crate::model::snapshot::WorkerView;
use crate::model::{Rotation, Selector};
use crate::proto::reply::LogSize;
use crate::proto::{Code, Reply, WireError};
use std::path::PathBuf;
use std::time::Duration;

/// Files are asked for so long: far longer than a disk takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sizes of the logs of some workers.
pub(super) async fn sizes(select: &Selector, desk: &Desk) -> Result<Reply, WireError> {
    let snapshot = desk.snapshot();
    let ids = resolve(select, &snapshot)?;
    let home = desk.settings.rotation();
    let mut wanted = Vec::new();
    for worker in snapshot.workers.iter().filter(|worker| ids.contains(&worker.id)) {
        let rotation = home.with(&worker.app.logs.rotate);
        wanted.extend(files(worker, desk).into_iter().map(|path| (worker.id, path, rotation.clone())));
    }
    let looked = tokio::task::spawn_blocking(move || {
        wanted.into_iter().map(|(worker, path, rotation)| measure(worker, path, &rotation)).collect()
    });
    let looked = tokio::time::timeout(PATIENCE, looked).await;
    let looked =
        looked.map_err(|_late| error(Code::Io, "failed to measure the logs: a disk does not answer"))?;
    let logs = looked.map_err(|_panic| error(Code::Internal, "failed to measure the logs"))?;
    Ok(Reply::LogSizes { logs })
}

/// Every log file of a worker, its own and the combined one.
pub(super) fn files(worker: &WorkerView, desk: &Desk) -> Vec<PathBuf> {
    let files = WorkerFiles::of(&worker.app, worker.id, &desk.home.logs(), &desk.home.pids());
    [files.out, files.error, files.combined].into_iter().flatten().collect()
}

fn measure(worker: crate::model::WorkerId, path: PathBuf, rotation: &Rotation) -> LogSize {
    let kept = Family::of(&real(&path))
        .and_then(|family| inventory(&[(family, Shapes::of(rotation))], None).ok())
        .unwrap_or_default();
    let kept: Vec<_> = kept.into_values().flatten().collect();
    LogSize {
        worker,
        bytes: std::fs::metadata(&path).map_or(0, |facts| facts.len()),
        path: path.display().to_string(),
        rotated: kept.len(),
        rotated_bytes: kept.iter().map(|kept| kept.size).sum(),
        rotation: rotation.words().map(|(word, value)| (word.to_owned(), value)).collect(),
    }
}

/// Opens all logs anew, the daemon's own with them; nothing is written to the old files after this.
pub(super) async fn reopen(desk: &Desk) -> Result<Reply, WireError> {
    desk.pump.reopen();
    desk.pump.settle().await.map_err(|_gone| error(Code::Internal, "the log pump is dead"))?;
    let home = desk.home.clone();
    let reopened = tokio::task::spawn_blocking(move || journal::reopen(&home));
    let reopened = tokio::time::timeout(PATIENCE, reopened).await;
    reopened
        .map_err(|_late| error(Code::Io, "failed to open the daemon's log anew: a disk does not answer"))?
        .ok();
    tracing::info!("opened the logs anew");
    Ok(Reply::Done { touched: Vec::new() })
}

/// PM2's signal for the same.
pub(super) async fn reopen_at_signal(desk: Desk) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = match signal(SignalKind::user_defined2()) {
        Ok(asked) => asked,
        Err(error) => return tracing::warn!(%error, "failed to catch SIGUSR2"),
    };
    while asked.recv().await.is_some() {
        if let Err(error) = reopen(&desk).await {
            tracing::warn!(reason = %error, "failed to open the logs anew");
        }
    }
}
