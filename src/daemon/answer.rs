//! Requests that have one answer.

use super::dump;
use super::logbook;
use super::mailbox::{Desk, Letter};
use super::settings::{Conf, SettingsError};
use crate::model::order::{Outcome, Refusal, Touched};
use crate::model::select::Candidate;
use crate::model::snapshot::{Snapshot, WorkerView};
use crate::model::{Order, Selector, WorkerId};
use crate::proto::{Code, Reply, Request, WireError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Lines of an abandoned process that go with an answer.
const LAST_WORDS: usize = 15;
/// Processes of which they do; the others died of the same.
const MOURNED: usize = 4;
/// Longest wait for the last lines of a process that has just ended.
const SETTLE: Duration = Duration::from_secs(1);
/// A disk gets so long for what is asked of it.
const DISK_PATIENCE: Duration = Duration::from_secs(15);
/// The log pump is asked for so long: far longer than a batch takes, shorter than people wait.
const PUMP_PATIENCE: Duration = Duration::from_secs(3);

/// The answer to a request, when it is true.
pub(super) async fn to(request: Request, desk: &Desk) -> Reply {
    let answer = match request {
        Request::Ping => Ok(Reply::Pong),
        Request::List { with_env } => Ok(list(desk, with_env)),
        Request::Order { order } => self::order(order, desk).await,
        Request::Save { force } => save(force, desk).await,
        Request::Resurrect { key } => resurrect(key, desk).await,
        Request::Flush { select } => flush(select, desk).await,
        Request::Settings => read_settings(desk).await,
        Request::Configure { set, unset } => configure(set, unset, desk).await,
        Request::ReopenLogs => logbook::reopen(desk).await,
        Request::LogSizes { select } => logbook::sizes(&select, desk).await,
        Request::Upgrade { program } => upgrade(program, desk).await,
        Request::Watch | Request::Logs(_) => {
            Err(error(Code::Internal, "a subscription has no single answer"))
        }
        Request::Unknown => Err(WireError {
            code: Code::Invalid,
            message: "the daemon does not know this request".into(),
            hint: Some("it may be older than this client: pmon kill, then start again".into()),
        }),
    };
    answer.unwrap_or_else(Reply::Error)
}

/// An error without a hint.
pub(super) fn error(code: Code, message: impl Into<String>) -> WireError {
    WireError { code, message: message.into(), hint: None }
}

/// Ids that a selector means in a snapshot.
pub(super) fn resolve(select: &Selector, snapshot: &Snapshot) -> Result<Vec<WorkerId>, WireError> {
    let candidates = snapshot.workers.iter().map(|w| Candidate {
        id: w.id,
        name: &w.app.name,
        namespace: &w.app.namespace,
        script: &w.app.program.script,
    });
    select.resolve(candidates).map_err(|e| error(Code::NotFound, e.to_string()))
}

/// The view without the worker's environment: it is long, and may hold secrets.
pub(super) fn without_env(view: &Arc<WorkerView>) -> Arc<WorkerView> {
    let mut view = WorkerView::clone(view);
    let mut app = crate::model::App::clone(&view.app);
    app.env = crate::model::app::Env::default();
    view.app = Arc::new(app);
    Arc::new(view)
}

/// All workers as they are now.
pub(super) fn list(desk: &Desk, with_env: bool) -> Reply {
    let snapshot = desk.snapshot();
    let workers =
        if with_env { snapshot.workers.clone() } else { snapshot.workers.iter().map(without_env).collect() };
    Reply::Fleet { workers, host: snapshot.host, daemon: snapshot.daemon.clone() }
}

async fn order(order: Order, desk: &Desk) -> Result<Reply, WireError> {
    let (reply, answer) = oneshot::channel();
    let gone = |_closed| error(Code::ShuttingDown, "the daemon is shutting down");
    if desk.letters.send(Letter::Order { order, reply }).await.is_err() {
        return Err(error(Code::ShuttingDown, "the daemon is shutting down"));
    }
    match answer.await.map_err(gone)? {
        Outcome::Done { mut touched } => {
            // What it wrote is on the disk, if that takes it: a kill of everything may follow.
            desk.scribe.settled().await;
            last_words(&mut touched, desk).await;
            Ok(Reply::Done { touched })
        }
        Outcome::Refused(refusal) => {
            Err(WireError { code: code(&refusal), message: refusal.to_string(), hint: None })
        }
    }
}

/// What abandoned processes wrote to their stderr, after all of it is read.
async fn last_words(touched: &mut [Touched], desk: &Desk) {
    if touched.iter().all(|one| one.abandoned.is_none()) {
        return;
    }
    // A pump that is dead has said so already, and what there was of lines is still there.
    drop(tokio::time::timeout(SETTLE, desk.pump.settle()).await);
    let abandoned = touched.iter_mut().filter_map(|one| one.abandoned.map(|run| (one, run)));
    for (one, run) in abandoned.take(MOURNED) {
        let lines = desk.fanout.last_words(one.id, run.entry, LAST_WORDS);
        let text: String = lines.iter().map(|batch| String::from_utf8_lossy(&batch.bytes)).collect();
        one.last_words = text.lines().map(str::to_owned).collect();
    }
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotFound { .. } => Code::NotFound,
        Refusal::AlreadyLaunched { .. } => Code::AlreadyLaunched,
        Refusal::NothingToDo => Code::NothingToDo,
        Refusal::ReloadInProgress { .. } => Code::Busy,
        Refusal::ShuttingDown => Code::ShuttingDown,
        Refusal::SetAside { .. } => Code::Busy,
    }
}

async fn save(force: bool, desk: &Desk) -> Result<Reply, WireError> {
    let (reply, answer) = oneshot::channel();
    if desk.letters.send(Letter::Dump { reply }).await.is_err() {
        return Err(error(Code::ShuttingDown, "the daemon is shutting down"));
    }
    let saved = answer.await.map_err(|_closed| error(Code::ShuttingDown, "the daemon is shutting down"))?;
    let workers = saved.len();
    if workers == 0 && !force {
        return Err(WireError {
            code: Code::NothingToDo,
            message: "PM2 is not managing any process, skipping save...".into(),
            hint: Some("to save an empty list: pmon save --force".into()),
        });
    }
    let path = desk.home.dump();
    let shown = path.display().to_string();
    let alone = Arc::clone(&desk.saving).lock_owned();
    let Ok(alone) = tokio::time::timeout(DISK_PATIENCE, alone).await else {
        return Err(hangs("write", &shown));
    };
    let writing = tokio::task::spawn_blocking(move || {
        let written = dump::write(&path, saved);
        drop(alone);
        written
    });
    match tokio::time::timeout(DISK_PATIENCE, writing).await {
        Ok(Ok(Ok(()))) => Ok(Reply::Saved { path: shown, workers }),
        Ok(Ok(Err(why))) => Err(error(Code::Io, format!("failed to {why}"))),
        Ok(Err(_panic)) => Err(error(Code::Internal, "failed to write the dump")),
        Err(_elapsed) => Err(hangs("write", &shown)),
    }
}

async fn resurrect(key: Option<u64>, desk: &Desk) -> Result<Reply, WireError> {
    let path = desk.home.dump();
    let shown = path.display().to_string();
    let reading = tokio::task::spawn_blocking(move || dump::read(&path));
    let (saved, told) = match tokio::time::timeout(DISK_PATIENCE, reading).await {
        Ok(Ok(Ok(read))) => read,
        Ok(Ok(Err(why))) => return Err(error(why.code(), format!("failed to {why}"))),
        Ok(Err(_panic)) => return Err(error(Code::Internal, "failed to read the dump")),
        Err(_elapsed) => return Err(hangs("read", &shown)),
    };
    for what in told {
        tracing::warn!(what, "not all of the dump was understood");
        // An owner that is gone needs no telling.
        drop(desk.letters.send(Letter::Tell { what }).await);
    }
    let all = Order::Resurrect { saved };
    let keyed = |key| Order::Keyed { key, order: Box::new(all.clone()) };
    order(key.map_or_else(|| all.clone(), keyed), desk).await
}

/// A disk that does not answer: it may do so later, and then it is done.
fn hangs(verb: &str, path: &str) -> WireError {
    error(Code::Io, format!("failed to {verb} `{path}` so far: the disk does not answer"))
}

async fn read_settings(desk: &Desk) -> Result<Reply, WireError> {
    let theirs = Arc::clone(&desk.settings);
    let read = tokio::task::spawn_blocking(move || theirs.conf());
    match tokio::time::timeout(DISK_PATIENCE, read).await {
        Ok(Ok(conf)) => settings(conf, desk),
        Ok(Err(_panic)) => Err(error(Code::Internal, "failed to read the settings")),
        Err(_elapsed) => Err(hangs("read", &desk.home.settings().display().to_string())),
    }
}

fn settings(conf: Result<Conf, SettingsError>, desk: &Desk) -> Result<Reply, WireError> {
    let conf = conf.map_err(|refused| match refused {
        SettingsError::Word(_) | SettingsError::Key(_) => error(Code::Invalid, refused.to_string()),
        SettingsError::Garbage { .. } | SettingsError::Write { .. } => error(Code::Io, refused.to_string()),
    })?;
    let rotation = desk.settings.rotation();
    Ok(Reply::Settings {
        conf,
        rotation: rotation.words().map(|(word, value)| (word.to_owned(), value)).collect(),
    })
}

async fn configure(set: Vec<(String, String)>, unset: Vec<String>, desk: &Desk) -> Result<Reply, WireError> {
    let theirs = Arc::clone(&desk.settings);
    let changed = tokio::task::spawn_blocking(move || theirs.change(&set, &unset)).await;
    let changed = changed.map_err(|_panic| error(Code::Internal, "failed to write the settings"))?;
    if changed.is_ok() {
        tracing::info!("the settings were changed");
    }
    settings(changed, desk)
}

async fn upgrade(program: PathBuf, desk: &Desk) -> Result<Reply, WireError> {
    let (reply, answer) = oneshot::channel();
    let gone = || error(Code::ShuttingDown, "the daemon is shutting down");
    let letter = Letter::Upgrade { path: program.clone(), reply };
    desk.letters.send(letter).await.map_err(|_closed| gone())?;
    match answer.await.map_err(|_closed| gone())? {
        Ok(()) => Ok(Reply::Upgrading),
        Err(why) => Err(error(Code::Invalid, format!("failed to go on as `{}`: {why}", program.display()))),
    }
}

async fn flush(select: Option<Selector>, desk: &Desk) -> Result<Reply, WireError> {
    let snapshot = desk.snapshot();
    let mut paths: Vec<PathBuf> = Vec::new();
    let ids = match &select {
        Some(select) => resolve(select, &snapshot)?,
        None => snapshot.workers.iter().map(|w| w.id).collect(),
    };
    for worker in snapshot.workers.iter().filter(|w| ids.contains(&w.id)) {
        paths.extend(logbook::files(worker, desk));
    }
    if select.is_none() {
        paths.push(desk.home.daemon_log());
    }
    paths.sort();
    paths.dedup();
    let freed = from_pump(desk.pump.flush(paths)).await?;
    let mut files = Vec::with_capacity(freed.len());
    for (path, bytes) in freed {
        let path = path.display().to_string();
        match bytes {
            Ok(bytes) => files.push((path, bytes)),
            // Never written to: nothing to free.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(error(Code::Io, format!("failed to empty `{path}`: {e}"))),
        }
    }
    Ok(Reply::Flushed { files })
}

/// What the pump answers. It does so between two batches, at once; but who asks for something that a disk is needed for
/// is not to hang with that.
pub(super) async fn from_pump<T>(answer: oneshot::Receiver<T>) -> Result<T, WireError> {
    match tokio::time::timeout(PUMP_PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_gone)) => Err(error(Code::Internal, "the log pump is dead")),
        Err(_elapsed) => Err(error(Code::Io, "a disk hangs: it does not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pump_that_hangs_is_told_and_hangs_nobody() {
        let (_hanging, answer) = oneshot::channel::<()>();
        assert!(from_pump(answer).await.unwrap_err().message.contains("hangs"));
        let (dead, answer) = oneshot::channel::<()>();
        drop(dead);
        assert!(from_pump(answer).await.unwrap_err().message.contains("dead"));
    }
}
