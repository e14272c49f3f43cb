//! Rotation: when a log is put aside, and that it is, between two batches and by the thread that writes it.
//!
//! Before a batch is recorded its file may be replaced by an empty one: because it has reached its size, or because
//! the clock said so. That is the only moment, so a record never names a file that is rotated while it counts. A
//! file is cut at a line end, or wherever it is at twice its size. kill -9 between the renaming and the new file
//! does no harm: whoever comes next makes one. What becomes of the files put aside is the [`Attic`]'s business.

use super::attic::{Attic, Plan};
use super::error::LogError;
use super::file::Files;
use super::kept::{Family, put_aside};
use super::record::Place;
use super::schedule;
use super::spec::{PumpNotice, Source};
use crate::model::Rotation;
use crate::model::date::DateFormat;
use crate::model::rotation::Words;
use crate::sys::clock;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After a rotation that failed it is not tried again for so long.
const RETRY_MS: u64 = 60_000;
/// The wall clock may be set: it is looked at so often at least.
const LOOK_MS: u64 = 30_000;
/// A clock that goes back by less is only being corrected.
const STEP_MS: i64 = 1000;

/// All logs of the pump and their settings. Clones are the same. The lock is never held while the disk is asked.
#[derive(Debug, Clone)]
pub struct Rotor {
    logs: Arc<Mutex<Logs>>,
}

#[derive(Debug)]
struct Logs {
    home: Rotation,
    logs: HashMap<PathBuf, Log>,
    attic: Attic,
    /// When the first of the logs is due by the clock, Unix milliseconds.
    soonest_ms: Option<i64>,
    /// When that was looked at last, by the same clock.
    looked_ms: i64,
    /// News for the owner.
    turned: VecDeque<PumpNotice>,
}

#[derive(Debug)]
struct Log {
    users: usize,
    source: Source,
    words: Words,
    rotation: Arc<Rotation>,
    due_ms: Option<i64>,
    /// The clock has said so.
    overdue: bool,
    not_before_ms: u64,
    /// Date and counter of the last file put aside.
    last: Option<(String, u32)>,
}

impl Rotor {
    /// Rotates nothing before [`Rotor::plan`].
    pub fn new() -> io::Result<Rotor> {
        let logs = Logs {
            home: Rotation { enabled: false, ..Rotation::default() },
            logs: HashMap::new(),
            attic: Attic::start()?,
            soonest_ms: None,
            looked_ms: i64::MIN,
            turned: VecDeque::new(),
        };
        Ok(Rotor { logs: Arc::new(Mutex::new(logs)) })
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News for the owner.
    pub fn turned(&self) -> Option<PumpNotice> {
        self.lock().turned.pop_front()
    }

    /// The home's settings, from now on.
    pub fn plan(&self, plan: Plan) {
        let mut all = self.lock();
        all.home = plan.rotation.clone();
        all.attic.plan(plan);
        let now = clock::now().wall_ms;
        let Logs { home, logs, attic, .. } = &mut *all;
        for (path, log) in logs {
            log.settle(home, now);
            attic.learn(path, &log.source.name, &log.rotation);
        }
        all.reckon();
    }

    /// All logs that were written before are enlisted.
    pub fn begin(&self) {
        self.lock().attic.begin();
    }

    /// One more stream writes this log. What the clock asked for while nobody was there is made up for.
    pub fn enlist(&self, files: &Files, path: &Path, source: &Source, words: &Words) {
        let now = clock::now().wall_ms;
        let mut all = self.lock();
        let Logs { home, logs, attic, .. } = &mut *all;
        let log = logs.entry(path.to_owned()).or_insert_with(|| Log::new(source));
        log.users += 1;
        log.source = source.clone();
        log.words.clone_from(words);
        log.settle(home, now);
        attic.learn(path, &log.source.name, &log.rotation);
        let missed = schedule::last(&log.rotation, now).filter(|_| log.users == 1);
        all.reckon();
        drop(all);
        if let Some(missed) = missed
            && let Ok(facts) = files.ask(path, || std::fs::metadata(path))
            && let Some(log) = self.lock().logs.get_mut(path)
        {
            log.overdue = facts.mtime() < missed / 1000;
        }
    }

    /// One less does.
    pub fn release(&self, path: &Path) {
        let mut all = self.lock();
        let Some(log) = all.logs.get_mut(path) else { return };
        log.users = log.users.saturating_sub(1);
        if log.users == 0 {
            all.logs.remove(path);
            all.attic.forget(path);
            all.reckon();
        }
    }

    /// As [`Files::place`], in a new file if it is time for one.
    pub fn place(&self, files: &Files, path: &Path, token: u64) -> Result<Place, LogError> {
        let place = files.place(path, token)?;
        let wanted = self.wants(path, place.offset);
        if wanted && self.turn(files, path, Some(token), place.offset) {
            files.place(path, token)
        } else {
            Ok(place)
        }
    }

    fn wants(&self, path: &Path, length: u64) -> bool {
        self.lock().logs.get(path).is_some_and(|log| log.wants(length))
    }

    /// Milliseconds until the clock may ask for something.
    pub fn due_in(&self) -> Option<u64> {
        let due = self.lock().soonest_ms?.saturating_sub(clock::now().wall_ms);
        Some(u64::try_from(due).unwrap_or(0).min(LOOK_MS))
    }

    /// Notes what the clock asks for; returns these logs, for [`Rotor::catch_up`].
    pub fn due(&self) -> Vec<PathBuf> {
        let now = clock::now().wall_ms;
        let mut all = self.lock();
        if now < std::mem::replace(&mut all.looked_ms, now).saturating_sub(STEP_MS) {
            // The clock was set back: what it asks for next comes sooner than was reckoned.
            for log in all.logs.values_mut() {
                log.due_ms = schedule::next(&log.rotation, now);
            }
            all.reckon();
        }
        if all.soonest_ms.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (path, log) in &mut all.logs {
            if log.due_ms.is_some_and(|due| due <= now) {
                log.overdue = true;
                log.due_ms = schedule::next(&log.rotation, now);
                due.push(path.clone());
            }
        }
        all.reckon();
        due
    }

    /// Puts aside a log that is due. If it cannot be now (in the middle of a line), it is at the next batch.
    pub fn catch_up(&self, files: &Files, path: &Path) {
        let Ok(length) = files.ask(path, || {
            let facts = std::fs::metadata(path);
            Ok(facts.map_or(0, |facts| if facts.is_file() { facts.len() } else { 0 }))
        }) else {
            return;
        };
        if self.wants(path, length) {
            self.turn(files, path, None, length);
        } else if let Some(log) = self.lock().logs.get_mut(path).filter(|_| length == 0) {
            log.overdue = false;
        }
    }

    /// Puts a log aside, for the stream `token` if it is one that writes. `false`: not now.
    fn turn(&self, files: &Files, path: &Path, token: Option<u64>, length: u64) -> bool {
        let (rotation, last) = match self.lock().logs.get(path) {
            Some(log) => (Arc::clone(&log.rotation), log.last.clone()),
            None => return false,
        };
        let limit = rotation.max_size.get();
        let far_over = limit > 0 && length >= limit.saturating_mul(2);
        if !far_over && !files.ask(path, || ends_line(path, length)).unwrap_or(false) {
            return false;
        }
        let zone = rotation.time_zone();
        let date = DateFormat::in_zone(&rotation.date_format, zone).format(clock::now().wall_ms);
        let first = match &last {
            Some((last, counter)) if *last == date => counter.saturating_add(1),
            Some(_) | None => 0,
        };
        let turned = files.replace(path, token, |real| {
            let family = Family::of(real).ok_or(io::ErrorKind::InvalidFilename)?;
            put_aside(real, &family, &date, first)
        });
        let mut all = self.lock();
        let Logs { logs, attic, turned: news, .. } = &mut *all;
        let log = logs.get_mut(path);
        match turned {
            Ok(Some((kept, counter))) => {
                if let Some(log) = log {
                    log.overdue = false;
                    log.last = Some((date, counter));
                    let (source, path) = (log.source.clone(), path.to_owned());
                    news.push_back(PumpNotice::Rotated { source, path, kept, bytes: length });
                }
                attic.look();
                true
            }
            // Somebody else did.
            Ok(None) => true,
            Err(error) => {
                if let Some(log) = log {
                    log.not_before_ms = clock::now().boot_ms + RETRY_MS;
                }
                tracing::warn!(path = %path.display(), %error, "failed to rotate a log");
                false
            }
        }
    }
}

impl Logs {
    fn reckon(&mut self) {
        self.soonest_ms = self.logs.values().filter_map(|log| log.due_ms).min();
    }
}

impl Log {
    fn new(source: &Source) -> Log {
        Log {
            users: 0,
            source: source.clone(),
            words: Words::new(),
            rotation: Arc::default(),
            due_ms: None,
            overdue: false,
            not_before_ms: 0,
            last: None,
        }
    }

    fn settle(&mut self, home: &Rotation, now_ms: i64) {
        let rotation = home.with(&self.words);
        if *self.rotation != rotation || self.due_ms.is_none() {
            self.due_ms = schedule::next(&rotation, now_ms);
            self.overdue &= self.due_ms.is_some();
            self.rotation = Arc::new(rotation);
        }
        self.not_before_ms = 0;
    }

    /// So long, it is to be put aside.
    fn wants(&self, length: u64) -> bool {
        let limit = self.rotation.max_size.get();
        let full = limit > 0 && length >= limit;
        self.rotation.enabled
            && length > 0
            && (full || self.overdue)
            && (self.not_before_ms == 0 || clock::now().boot_ms >= self.not_before_ms)
    }
}

fn ends_line(path: &Path, length: u64) -> io::Result<bool> {
    let mut last = [0];
    File::open(path)?.read_exact_at(&mut last, length.saturating_sub(1))?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;
    use proptest::prelude::*;

    fn log(rotation: Rotation) -> Log {
        let source = Source { worker: crate::model::WorkerId(1), name: "web".into(), instance: 0, pid: None };
        Log { rotation: Arc::new(rotation), ..Log::new(&source) }
    }

    proptest! {
        #[test]
        fn a_log_is_put_aside_at_its_size_or_by_the_clock_and_never_empty_or_switched_off(
            length in 0u64..5000, limit in 0u64..4000, overdue in any::<bool>(), enabled in any::<bool>(),
        ) {
            let mut log = log(Rotation { enabled, max_size: Bytes(limit), ..Rotation::default() });
            log.overdue = overdue;
            let wanted = enabled && length > 0 && (overdue || (limit > 0 && length >= limit));
            prop_assert_eq!(log.wants(length), wanted);
            log.not_before_ms = u64::MAX;
            prop_assert!(!log.wants(length));
        }
    }

    #[test]
    fn new_settings_are_reckoned_at_once_and_an_apps_own_words_stay() {
        let mut log = log(Rotation::default());
        log.words = Words::from([("retain".to_owned(), "2".to_owned())]);
        let hourly = Rotation { interval: Some("0 * * * *".into()), ..Rotation::default() };
        log.settle(&hourly, 0);
        assert_eq!((log.due_ms, log.rotation.retain), (Some(3_600_000), Some(2)));
        log.overdue = true;
        log.settle(&Rotation::default(), 0);
        assert_eq!((log.due_ms, log.overdue), (None, false));
    }
}
