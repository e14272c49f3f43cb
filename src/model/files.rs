//! Which files belong to a worker: names only, nothing is opened here.

use super::app::App;
use super::worker::WorkerId;
use std::path::{Path, PathBuf};

/// The files of one worker. `None`: switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerFiles {
    /// stdout.
    pub out: Option<PathBuf>,
    /// stderr.
    pub error: Option<PathBuf>,
    /// Both.
    pub combined: Option<PathBuf>,
    /// Pid.
    pub pid: PathBuf,
}

impl WorkerFiles {
    /// PM2's naming: `<name>-out-<id>.log`, without `-<id>` when logs are merged; the pid file always has it.
    pub fn of(app: &App, id: WorkerId, logs_dir: &Path, pids_dir: &Path) -> WorkerFiles {
        let name = sanitize(&app.name);
        let log = |configured: &Option<PathBuf>, default: PathBuf| {
            let path = configured.clone().unwrap_or(default);
            let off = app.logs.disabled || path.as_os_str() == "/dev/null" || path.as_os_str() == "NULL";
            (!off).then(|| if app.logs.merge { path } else { with_id(&path, id, "log") })
        };
        WorkerFiles {
            out: log(&app.logs.out_file, logs_dir.join(format!("{name}-out.log"))),
            error: log(&app.logs.error_file, logs_dir.join(format!("{name}-error.log"))),
            combined: app.logs.log_file.as_ref().and_then(|path| log(&Some(path.clone()), PathBuf::new())),
            pid: with_id(
                &app.pid_file.clone().unwrap_or_else(|| pids_dir.join(format!("{name}.pid"))),
                id,
                "pid",
            ),
        }
    }
}

/// `a.log` → `a-3.log`; a name without that extension gets the id at its end.
fn with_id(path: &Path, id: WorkerId, extension: &str) -> PathBuf {
    if path.extension().is_some_and(|e| e == extension) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{stem}-{id}.{extension}"))
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{name}-{id}"))
    }
}

/// An app's name as part of a file name, by PM2's rule: all but letters, digits, `.`, `-` and `\` becomes `-`.
pub fn sanitize(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '\\') { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_before_the_extension() {
        let at = |p: &str| with_id(Path::new(p), WorkerId(3), "log").display().to_string();
        assert_eq!(at("/l/web-out.log"), "/l/web-out-3.log");
        assert_eq!(at("/l/plain"), "/l/plain-3");
        assert_eq!(sanitize("my app/é"), "my-app--");
    }
}
