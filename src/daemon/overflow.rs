//! Log files that take nothing: memory for the pump, and what the fleet shows of it.

use super::keep::complain;
use super::owner::Owner;
use crate::keeper::Tag;
use crate::logs::{Overflowed, spill_files};
use crate::model::StreamKind;
use crate::model::snapshot::LogTrouble;
use crate::supervisor::Event;
use crate::sys::clock;
use std::os::fd::AsFd;

/// Both streams of an entry, stdout's first.
pub(super) type Troubles = [LogTrouble; 2];

impl Owner {
    /// Memory for a stuck stream. The keeper holds it before the first byte is in it.
    pub(super) fn give_spill(&mut self, entry: u64, stream: StreamKind) {
        let files = match spill_files() {
            Ok(files) => files,
            Err(error) => {
                tracing::error!(entry, %error, "failed to make memory for log bytes");
                return;
            }
        };
        let index = index(stream);
        let kept = [(Tag::LOG_SPILL, files.writer.as_fd()), (Tag::LOG_SPILL_READER, files.reader.as_fd())]
            .into_iter()
            .try_for_each(|(kind, fd)| self.link.keep(entry, Tag::new(kind, index), fd));
        if kept.is_ok() {
            self.pump.add_spill(entry, stream, files);
        }
        complain("keep memory for log bytes", kept);
    }

    /// Shows what the pump said of one stream, together with the other one.
    pub(super) fn log_trouble(
        &mut self,
        entry: u64,
        stream: StreamKind,
        what: Option<String>,
        amounts: Overflowed,
    ) {
        let Some(record) = self.entries.get(&entry) else { return };
        let both = self.log_troubles.entry(entry).or_default();
        let one = &mut both[index(stream) as usize];
        let since = if one.what.is_some() && what.is_some() { one.since } else { clock::now() };
        let Overflowed { spilled, dropped, dropped_lines } = amounts;
        *one = LogTrouble { what, since, spilled, dropped, dropped_lines };
        let trouble = together(both);
        if trouble.is_none() {
            self.log_troubles.remove(&entry);
        }
        self.happen(Event::LogTrouble { run: record.run, trouble });
    }
}

/// The tag's index of a stream's spill.
fn index(stream: StreamKind) -> u32 {
    match stream {
        StreamKind::Out => 0,
        StreamKind::Err => 1,
    }
}

/// One statement for both streams; `None`: all output is in the files.
fn together([out, err]: &Troubles) -> Option<LogTrouble> {
    let first = if out.what.is_some() || err.what.is_none() { out } else { err };
    let both = LogTrouble {
        what: first.what.clone(),
        since: first.since,
        spilled: out.spilled + err.spilled,
        dropped: out.dropped + err.dropped,
        dropped_lines: out.dropped_lines + err.dropped_lines,
    };
    (both.what.is_some() || both.dropped > 0).then_some(both)
}
