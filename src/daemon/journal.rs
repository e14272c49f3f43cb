//! The daemon's own log: `pmon.log` (which is stderr: the keeper opened it) and the subscribers of `logs all`.

use super::scribe::Scribe;
use crate::logs::{Fanout, LogLines};
use crate::model::StreamKind;
use crate::model::change::{Change, What};
use crate::sys::fault;
use crate::sys::paths::Home;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Starts the log. `PMON_LOG` filters it as `RUST_LOG` does elsewhere; the default is `info`.
/// What is said goes to the scribe: the disk may hang.
pub(super) fn start(fanout: Fanout, scribe: Scribe) {
    let filter = EnvFilter::try_from_env("PMON_LOG").unwrap_or_else(|_unset| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_timer(LocalTime)
        .with_writer(Journal { fanout, scribe })
        .try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "a log was started before");
    }
}

/// After somebody else's rotation: this process writes to `pmon.log` as it is now. (The keeper goes on with the file
/// it has.) A stderr that is no file stays.
pub(super) fn reopen(home: &Home) {
    let open = || {
        let is_file = rustix::fs::fstat(io::stderr())
            .is_ok_and(|facts| rustix::fs::FileType::from_raw_mode(facts.st_mode).is_file());
        if is_file {
            fault::at("journal.open")?;
            let log = OpenOptions::new().append(true).create(true).mode(0o600).open(home.daemon_log())?;
            rustix::stdio::dup2_stderr(log)?;
        }
        io::Result::Ok(())
    };
    if let Err(error) = open() {
        tracing::warn!(%error, "failed to open the daemon's log anew");
    }
}

/// One line a fact: what the operator did, what happened, and why.
pub(super) fn note(change: &Change) {
    let (app, id) = (change.name.as_str(), change.worker.0);
    match &change.what {
        What::Spawned { pid } => tracing::info!(app, id, pid, "started"),
        What::State { state, reason } => {
            tracing::info!(app, id, state = state.pm2_name(), why = %reason, "state");
        }
        What::Exited { pid, exit, wanted: true } => {
            tracing::info!(app, id, pid, how = %exit, "ended as asked")
        }
        What::Exited { pid, exit, wanted: false } => {
            tracing::warn!(app, id, pid, how = %exit, "ended by itself")
        }
        What::Listening { address } => tracing::info!(app, id, address, "listens"),
        What::Deleted => tracing::info!(app, id, "deleted"),
        What::Note { text } => tracing::warn!(app, id, "{text}"),
    }
}

struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let now = jiff::Timestamp::from_millisecond(crate::sys::clock::now().wall_ms).unwrap_or_default();
        let local = now.to_zoned(jiff::tz::TimeZone::system());
        write!(w, "{}", local.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

#[derive(Clone)]
struct Journal {
    fanout: Fanout,
    scribe: Scribe,
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { journal: self }
    }
}

/// Takes one formatted line.
struct Line<'a> {
    journal: &'a Journal,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at_ms = crate::sys::clock::now().wall_ms;
        let text = bytes::Bytes::copy_from_slice(bytes);
        self.journal.scribe.print(text.clone());
        self.journal.fanout.publish(LogLines::new(None, "pmon".into(), StreamKind::Out, at_ms, text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
