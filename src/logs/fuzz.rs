//! What any bytes may do as lines, names of rotated files and formats of dates. Called by `tests/garbage.rs` and `tests/fuzz`.

use super::kept::Family;
use super::lines::{Splitter, count, start_of_last, whole};
use super::schedule;
use crate::model::Rotation;
use crate::model::date::DateFormat;
use crate::model::shapes::Shapes;
use std::path::Path;

/// Cuts bytes into lines as they come, in pieces as long as the first byte says; nothing of them may get lost.
pub fn lines(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let mut splitter = Splitter::default();
    let mut seen = Vec::new();
    for piece in text.chunks(usize::from(*first) + 1) {
        seen.extend(splitter.push(piece).into_iter().flatten());
    }
    seen.extend(splitter.finish().into_iter().flatten());
    assert_eq!(seen.len(), text.len() + usize::from(seen.len() > text.len()), "no byte is lost");
    assert!(whole(text) <= text.len() && start_of_last(text, count(text)) <= text.len());
}

/// The name of a file beside a log, after a line with the format of dates in such names.
pub fn rotated(text: &str) {
    let (format, name) = text.split_once('\n').unwrap_or(("", text));
    let mut rotation = Rotation::default();
    if rotation.set("dateFormat", format).is_err() || name.contains('/') {
        return;
    }
    let Some(family) = Family::of(Path::new("/logs/app-out.log")) else { return };
    if let Some(label) = family.label(name, &Shapes::of(&rotation)) {
        let path = family.path(&label.date, label.counter);
        assert_eq!(path.parent(), Some(Path::new("/logs")), "it is beside its log");
    }
}

/// A format of dates, a cron pattern and a time zone, a line each.
pub fn clock(text: &str) {
    let mut lines = text.lines().map(str::to_owned);
    let date_format = lines.next().unwrap_or_default();
    let rotation = Rotation {
        enabled: true,
        date_format,
        interval: lines.next(),
        zone: lines.next(),
        ..Rotation::default()
    };
    let format = DateFormat::in_zone(&rotation.date_format, rotation.time_zone());
    for at_ms in [0, 1_700_000_000_123, i64::MIN, i64::MAX] {
        let written = format.format(at_ms);
        assert!(written.len() <= 64 * (rotation.date_format.len() + 1), "a date is no story");
        let _any = format.read(written.as_bytes(), || at_ms);
        if let Some(next) = schedule::next(&rotation, at_ms) {
            assert!(next > at_ms, "the next is later");
        }
        assert!(schedule::last(&rotation, at_ms).is_none_or(|last| last <= at_ms), "the last was earlier");
    }
}
