//! The fleet as readers see it. A worker that has not changed keeps its `Arc`.

use super::entry::Phase;
use super::worker::Worker;
use crate::model::files::WorkerFiles;
use crate::model::snapshot::WorkerView;
use std::path::PathBuf;
use std::sync::Arc;

/// Where files go by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Log files.
    pub logs_dir: PathBuf,
    /// Pid files.
    pub pids_dir: PathBuf,
}

/// Names of files as shown.
#[derive(Default)]
struct Files {
    out: Option<String>,
    error: Option<String>,
    pid: Option<String>,
}

impl Worker {
    /// Its view; the last one if nothing has changed since.
    pub(super) fn view(&mut self, places: &Places) -> Arc<WorkerView> {
        match &self.seen {
            Some(seen) if !self.dirty => Arc::clone(seen),
            _ => {
                let view = Arc::new(self.look(places));
                self.dirty = false;
                self.seen = Some(Arc::clone(&view));
                view
            }
        }
    }

    fn look(&self, places: &Places) -> WorkerView {
        let entry = &self.current;
        let record = &entry.record;
        let files = self.files(places);
        WorkerView {
            id: self.id,
            instance: record.instance,
            desired: record.desired,
            state: record.state,
            reason: record.reason.clone(),
            epoch: record.epoch,
            pid: entry.pid.filter(|_| entry.phase == Phase::Alive),
            created: record.created,
            started: record.started,
            restarts: record.restarts,
            unstable_restarts: record.unstable_restarts,
            last_exit: record.last_exit,
            next_start: record.next_start,
            usage: entry.usage,
            node: entry.node,
            listening: entry.record.listening.clone(),
            reloading: self.replacement.is_some(),
            axm: entry.axm.clone(),
            node_version: record.node_version.clone(),
            trouble: record.trouble.clone(),
            log_trouble: entry.log_trouble.clone(),
            out_file: files.out,
            error_file: files.error,
            pid_file: files.pid,
            unique_id: record.unique_id.clone(),
            app: Arc::clone(&record.app),
        }
    }

    /// Names depend on the app alone, so the last view's are good while it has the same app.
    fn files(&self, places: &Places) -> Files {
        let app = &self.current.record.app;
        if let Some(seen) = self.seen.as_ref().filter(|seen| Arc::ptr_eq(&seen.app, app)) {
            let (out, error) = (seen.out_file.clone(), seen.error_file.clone());
            return Files { out, error, pid: seen.pid_file.clone() };
        }
        let files = WorkerFiles::of(app, self.id, &places.logs_dir, &places.pids_dir);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        Files { out: files.out.map(text), error: files.error.map(text), pid: Some(text(files.pid)) }
    }
}
