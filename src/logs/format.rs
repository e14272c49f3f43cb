//! What a stream's bytes look like in a file. Nothing here keeps state: the same batch always gives the same
//! bytes, which is what makes repeating it harmless.

use super::spec::{SinkSpec, Source};
use crate::model::StreamKind;
use crate::model::date::{DateFormat, iso};
use memchr::memchr_iter;
use serde::Serialize;

/// A file format.
#[derive(Debug)]
pub enum Format {
    /// Bytes as they come.
    Raw,
    /// `<date>: ` before each line.
    Dated(DateFormat),
    /// PM2's `log_type: json`, one object a line; the date, if any, replaces the ISO time stamp.
    Json(Option<DateFormat>),
}

/// What is to be written.
#[derive(Debug)]
pub struct Piece<'a> {
    /// The worker's bytes.
    pub bytes: &'a [u8],
    /// When they were read, Unix milliseconds.
    pub at_ms: i64,
    /// They go on in the middle of a line.
    pub midline: bool,
    /// An unfinished last line is to be ended.
    pub ends_line: bool,
    /// Whose.
    pub source: &'a Source,
    /// Which stream.
    pub stream: StreamKind,
}

/// PM2's object, keys in PM2's order. `message` keeps its line end; a line too long for one batch lacks it.
#[derive(Serialize)]
struct JsonLine<'a> {
    message: &'a str,
    timestamp: &'a str,
    #[serde(rename = "type")]
    stream: &'a str,
    process_id: u32,
    app_name: &'a str,
}

impl Format {
    /// The format a sink asks for.
    pub fn of(sink: &SinkSpec) -> Format {
        let date = sink.date_format.as_deref().filter(|format| !format.is_empty()).map(DateFormat::new);
        match (sink.json, date) {
            (true, date) => Format::Json(date),
            (false, Some(date)) => Format::Dated(date),
            (false, None) => Format::Raw,
        }
    }

    /// The file has the worker's bytes.
    pub fn is_raw(&self) -> bool {
        match self {
            Format::Raw => true,
            Format::Dated(_) | Format::Json(_) => false,
        }
    }

    /// Only whole lines can be written.
    pub fn needs_whole_lines(&self) -> bool {
        match self {
            Format::Json(_) => true,
            Format::Raw | Format::Dated(_) => false,
        }
    }

    /// A line that the worker left unfinished when it ended is ended for it, as PM2 does.
    pub fn ends_lines(&self) -> bool {
        match self {
            Format::Dated(_) => true,
            Format::Raw | Format::Json(_) => false,
        }
    }

    /// The bytes for the file, in `out` unless they are the worker's own.
    pub fn render<'a>(&self, piece: &Piece<'a>, out: &'a mut Vec<u8>) -> &'a [u8] {
        out.clear();
        match self {
            Format::Raw if !piece.ends_line => return piece.bytes,
            Format::Raw => out.extend_from_slice(piece.bytes),
            Format::Dated(date) => prefix(piece, &date.format(piece.at_ms), out),
            Format::Json(date) => {
                let at = date.as_ref().map_or_else(|| iso(piece.at_ms), |date| date.format(piece.at_ms));
                objects(piece, &at, out);
                return out;
            }
        }
        let unfinished = piece.bytes.last().map_or(piece.midline, |last| *last != b'\n');
        if piece.ends_line && unfinished {
            out.push(b'\n');
        }
        out
    }
}

fn prefix(piece: &Piece<'_>, date: &str, out: &mut Vec<u8>) {
    let mut start = 0;
    let mut midline = piece.midline;
    let ends = memchr_iter(b'\n', piece.bytes).map(|at| at + 1).chain([piece.bytes.len()]);
    for end in ends {
        let line = piece.bytes.get(start..end).unwrap_or_default();
        if !line.is_empty() && !midline {
            out.extend_from_slice(date.as_bytes());
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(line);
        (start, midline) = (end, false);
    }
}

fn objects(piece: &Piece<'_>, date: &str, out: &mut Vec<u8>) {
    for line in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
        let object = JsonLine {
            message: &String::from_utf8_lossy(line),
            timestamp: date,
            stream: match piece.stream {
                StreamKind::Out => "out",
                StreamKind::Err => "err",
            },
            process_id: piece.source.worker.0,
            app_name: &piece.source.name,
        };
        if let Err(error) = serde_json::to_writer(&mut *out, &object) {
            // Strings and numbers into memory: cannot fail.
            tracing::error!(%error, "failed to write a log line as JSON");
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerId;
    use jiff::tz::TimeZone;

    fn render(format: &Format, bytes: &[u8], midline: bool, ends_line: bool) -> String {
        let source = Source { worker: WorkerId(3), name: "web".into(), instance: 0, pid: None };
        let piece = Piece { bytes, at_ms: 0, midline, ends_line, source: &source, stream: StreamKind::Err };
        String::from_utf8(format.render(&piece, &mut Vec::new()).to_vec()).unwrap()
    }

    fn dated() -> Format {
        Format::Dated(DateFormat::in_zone("ss", TimeZone::UTC))
    }

    #[test]
    fn a_date_goes_before_each_line_and_never_into_one() {
        assert_eq!(render(&dated(), b"a\n\nb\n", false, false), "00: a\n00: \n00: b\n");
        assert_eq!(render(&dated(), b"a\nb", true, false), "a\n00: b");
        assert_eq!(render(&dated(), b"\n", true, false), "\n");
        assert_eq!(render(&dated(), b"", false, false), "");
    }

    #[test]
    fn a_line_that_is_to_end_ends_once() {
        assert_eq!(render(&dated(), b"a", false, true), "00: a\n");
        assert_eq!(render(&dated(), b"", true, true), "\n");
        assert_eq!(render(&dated(), b"", false, true), "");
        assert_eq!(render(&Format::Raw, b"a\n", true, true), "a\n");
        assert_eq!(render(&Format::Raw, b"a", true, true), "a\n");
    }

    #[test]
    fn json_is_one_object_a_line_with_pm2s_keys() {
        let got = render(&Format::Json(None), b"a\"\xff\nb", false, false);
        assert_eq!(
            got,
            concat!(
                r#"{"message":"a\"�\n","timestamp":"1970-01-01T00:00:00.000Z","type":"err","process_id":3,"app_name":"web"}"#,
                "\n",
                r#"{"message":"b","timestamp":"1970-01-01T00:00:00.000Z","type":"err","process_id":3,"app_name":"web"}"#,
                "\n"
            )
        );
    }
}
