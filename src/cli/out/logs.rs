//! Log lines: prefixes, JSON, `key=value`, raw. Bytes go through as they came; only a prefix is added.

use super::colour::{self, Colour};
use super::date;
use super::grid::Cell;
use crate::fmt;
use crate::model::change::{Change, What};
use crate::proto::LogHeader;
use crate::proto::push::StreamKind;
use crate::search::Pattern;
use memchr::memmem;
use serde_json::{Map, Value};
use std::time::Duration;

/// Narrowest prefix.
const PREFIX: usize = 10;

/// In which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `0|web  | line`
    Prefixed {
        /// The time of reading before it, in this dayjs format.
        timestamp: Option<String>,
    },
    /// The line alone.
    Raw,
    /// One JSON object a line.
    Json,
    /// `timestamp=… app=… id=… type=… message=…`
    KeyValue,
}

/// Makes text of batches. Remembers only how wide prefixes are and which line is unfinished.
#[derive(Debug)]
pub struct LogPrinter {
    form: Form,
    highlight: Option<String>,
    found: Pattern,
    colour: Colour,
    width: usize,
    /// The source whose last line has no end yet.
    open: Option<(String, StreamKind)>,
    lines: u32,
}

/// Text, and on which of our streams it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// stderr rather than stdout (only in raw form).
    pub to_stderr: bool,
    /// What to write.
    pub bytes: Vec<u8>,
}

impl LogPrinter {
    /// For history of `lines` lines a file; `sources` are the known `id|name` labels, so that prefixes align
    /// from the first line on.
    pub fn new(
        form: Form,
        lines: u32,
        highlight: Option<String>,
        sources: &[String],
        colour: Colour,
    ) -> LogPrinter {
        let longest = sources.iter().map(|s| Cell::plain(s).width() + 1).max().unwrap_or(0);
        let found = Pattern::default();
        LogPrinter { form, highlight, found, colour, width: longest.max(PREFIX), open: None, lines }
    }

    /// Marks what an expression finds, every place of it.
    pub fn marking(self, found: Pattern) -> LogPrinter {
        LogPrinter { found, ..self }
    }

    /// The text of one batch read at `now_ms`.
    pub fn batch(&mut self, header: &LogHeader, bytes: &[u8], now_ms: i64) -> Piece {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        self.file_head(header, &mut out);
        let label = label(header);
        let mut rest = bytes;
        if self.form == Form::Raw && self.open.is_none() && !self.marks() {
            let whole = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
            let (lines, unfinished) = bytes.split_at(whole);
            out.extend_from_slice(lines);
            rest = unfinished;
        }
        for line in rest.split_inclusive(|b| *b == b'\n') {
            let source = (label.clone(), header.stream);
            let goes_on = self.open.as_ref() == Some(&source);
            if self.open.is_some() && !goes_on {
                out.push(b'\n');
            }
            let ended = line.ends_with(b"\n");
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            self.line(header, text, goes_on, now_ms, &mut out);
            // An object a line is whole in itself, so a long line becomes several objects.
            let whole = ended || self.form == Form::Json;
            if whole {
                out.push(b'\n');
            }
            self.open = if whole { None } else { Some(source) };
        }
        Piece { to_stderr: self.form == Form::Raw && header.stream == StreamKind::Err, bytes: out }
    }

    /// Something that happened: only the JSON form tells.
    pub fn event(&mut self, change: &Change) -> Option<Piece> {
        if self.form != Form::Json {
            return None;
        }
        let status = match &change.what {
            What::Spawned { .. } => "start",
            What::Exited { .. } => "exit",
            What::Deleted => "delete",
            What::State { state, .. } => state.pm2_name(),
            What::Listening { .. } | What::Note { .. } => return None,
        };
        let fields = [
            ("timestamp", Value::from(fmt::iso_utc(change.at.wall_ms))),
            ("type", "process_event".into()),
            ("status", status.into()),
            ("app_name", change.name.as_str().into()),
        ];
        Some(Piece { to_stderr: false, bytes: format!("{}\n", object(fields)).into_bytes() })
    }

    /// Told between lines: how many are missing.
    pub fn lagged(&mut self, lines: u64) -> Piece {
        let start = if self.open.take().is_some() { "\n" } else { "" };
        let text = format!("… {lines} lines skipped: the terminal was too slow");
        let bytes = format!("{start}{}\n", self.colour.paint(colour::CARE, text)).into_bytes();
        Piece { to_stderr: true, bytes }
    }

    /// Between lines that do not follow each other, as grep has it.
    pub fn apart(&mut self) -> Piece {
        let start = if self.open.take().is_some() { "\n" } else { "" };
        let bytes = format!("{start}{}\n", self.colour.paint(colour::FAINT, "--")).into_bytes();
        Piece { to_stderr: false, bytes }
    }

    /// Behind the first line of a run: how many there were.
    pub fn repeated(&mut self, header: &LogHeader, count: u64, lasted_ms: i64) -> Piece {
        let lasted = Duration::from_millis(lasted_ms.unsigned_abs());
        let text = match lasted.as_secs() {
            0 => format!("… × {} in {lasted_ms} ms", grouped(count)),
            seconds @ 1..60 => format!("… × {} in {seconds} s", grouped(count)),
            _ => format!("… × {} in {}", grouped(count), fmt::clock_span(lasted)),
        };
        let mut piece = self.batch(header, format!("{text}\n").as_bytes(), 0);
        piece.to_stderr = false;
        piece
    }

    fn file_head(&mut self, header: &LogHeader, out: &mut Vec<u8>) {
        let Some(path) = &header.path else { return };
        let named = match self.form {
            Form::Prefixed { .. } | Form::Raw => true,
            Form::Json | Form::KeyValue => false,
        };
        if named {
            if self.open.take().is_some() {
                out.push(b'\n');
            }
            let text = format!("{path} last {} lines:", self.lines);
            out.extend_from_slice(format!("{}\n", self.colour.paint(colour::FAINT, text)).as_bytes());
        }
    }

    fn line(&mut self, header: &LogHeader, text: &[u8], goes_on: bool, now_ms: i64, out: &mut Vec<u8>) {
        match self.form.clone() {
            Form::Json => out.extend_from_slice(json_line(header, text, now_ms).as_bytes()),
            Form::Raw => self.message(text, out),
            Form::KeyValue => {
                if !goes_on {
                    out.extend_from_slice(key_values(header, now_ms).as_bytes());
                }
                self.message(text, out);
            }
            Form::Prefixed { timestamp } => {
                if !goes_on {
                    let time = timestamp.filter(|_| !header.history || header.at_ms.is_some());
                    out.extend_from_slice(self.prefix(header, time.as_deref(), now_ms).as_bytes());
                }
                self.message(text, out);
            }
        }
    }

    fn prefix(&mut self, header: &LogHeader, timestamp: Option<&str>, now_ms: i64) -> String {
        let label = label(header);
        let length = Cell::plain(&label).width();
        self.width = self.width.max(length + 1);
        let pad = " ".repeat(self.width - length);
        let style = match (header.worker, header.stream) {
            (None, _) => colour::OWN,
            (Some(_), StreamKind::Out) => colour::OUT,
            (Some(_), StreamKind::Err) => colour::ERR,
        };
        let time = timestamp.map(|format| {
            let shown = date::format(&date::local(header.at_ms.unwrap_or(now_ms)), format);
            format!("{} ", self.colour.paint(colour::FAINT, shown))
        });
        format!("{}{}", time.unwrap_or_default(), self.colour.paint(style, format!("{label}{pad} | ")))
    }

    /// Something may be marked in lines.
    fn marks(&self) -> bool {
        self.colour.0 && (self.highlight.is_some() || !self.found.takes_all())
    }

    fn message(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.colour.0 && self.highlight.is_none() {
            return self.marked(text, out);
        }
        let wanted = self.highlight.as_deref().filter(|word| self.colour.0 && !word.is_empty());
        let found = wanted.and_then(|word| memmem::find(text, word.as_bytes()).map(|at| (at, word)));
        match found {
            None => out.extend_from_slice(text),
            Some((at, word)) => {
                out.extend_from_slice(&text[..at]);
                out.extend_from_slice(self.colour.paint(colour::FOUND, word).as_bytes());
                out.extend_from_slice(&text[at + word.len()..]);
            }
        }
    }

    /// The expression's finds in colour, as ripgrep has them.
    fn marked(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut shown = 0;
        for found in self.found.finds(text) {
            out.extend_from_slice(text.get(shown..found.start).unwrap_or_default());
            let (on, off) = (colour::MATCH.render(), colour::MATCH.render_reset());
            out.extend_from_slice(on.to_string().as_bytes());
            out.extend_from_slice(text.get(found.clone()).unwrap_or_default());
            out.extend_from_slice(off.to_string().as_bytes());
            shown = found.end;
        }
        out.extend_from_slice(text.get(shown..).unwrap_or_default());
    }
}

/// `48,210`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `0|web`, or the daemon's name. Control characters are taken out of it.
fn label(header: &LogHeader) -> String {
    let name = header.name.replace(char::is_control, " ");
    match header.worker {
        Some(id) => format!("{id}|{name}"),
        None => name,
    }
}

fn json_line(header: &LogHeader, text: &[u8], now_ms: i64) -> String {
    let message = String::from_utf8_lossy(text);
    if header.history && is_object_of_ours(&message) {
        return message.into_owned();
    }
    let kind = match header.stream {
        StreamKind::Out => "out",
        StreamKind::Err => "err",
    };
    // When a line of a file was written is not known: no timestamp rather than a wrong one.
    let at = if header.history { header.at_ms } else { header.at_ms.or(Some(now_ms)) };
    let mut fields = vec![("message", Value::from(message))];
    fields.extend(at.map(|ms| ("timestamp", Value::from(fmt::iso_utc(ms)))));
    fields.push(("type", kind.into()));
    fields.push(("process_id", header.worker.map_or_else(|| header.name.as_str().into(), |id| id.0.into())));
    fields.push(("app_name", header.name.as_str().into()));
    object(fields)
}

/// A line of a file that was written with `log_type: json`: it is what would be made of it.
fn is_object_of_ours(line: &str) -> bool {
    line.starts_with(r#"{"message":"#) && line.ends_with('}') && line.contains(r#","process_id":"#)
}

fn key_values(header: &LogHeader, now_ms: i64) -> String {
    let kind = match header.stream {
        StreamKind::Out => "out",
        StreamKind::Err => "error",
    };
    let at = date::local(header.at_ms.unwrap_or(now_ms));
    let mut out = String::new();
    if !header.history || header.at_ms.is_some() {
        out.push_str(&format!("timestamp={} ", date::format(&at, "YYYY-MM-DD-HH:mm:ssZZ")));
    }
    out.push_str(&format!("app={} ", header.name));
    if let Some(id) = header.worker {
        out.push_str(&format!("id={id} type={kind} "));
    }
    out + "message="
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let map: Map<String, Value> = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::{Exit, WorkerId};

    const AT: i64 = 1_795_341_000_480;

    fn header(id: Option<u32>, name: &str, stream: StreamKind) -> LogHeader {
        let at_ms = Some(AT);
        LogHeader {
            id: 1,
            worker: id.map(WorkerId),
            name: name.into(),
            stream,
            instance: None,
            pid: None,
            at_ms,
            history: false,
            path: None,
            spot: None,
            at_spot: None,
        }
    }

    fn printer(form: Form, colour: bool) -> LogPrinter {
        LogPrinter::new(form, 3, Some("err".into()), &["0|timeline-app".into()], Colour(colour))
    }

    fn text(piece: &Piece) -> String {
        String::from_utf8_lossy(&piece.bytes).into_owned()
    }

    #[test]
    fn prefixes_align_with_the_longest_name() {
        let mut p = printer(Form::Prefixed { timestamp: None }, false);
        let out = header(Some(0), "timeline-app", StreamKind::Out);
        assert_eq!(text(&p.batch(&out, b"one\ntwo\n", AT)), "0|timeline-app  | one\n0|timeline-app  | two\n");
        let own = header(None, "pmon", StreamKind::Out);
        assert_eq!(text(&p.batch(&own, b"x\n", AT)), "pmon            | x\n");
        let longer = header(Some(11), "a-new-longer-name", StreamKind::Err);
        assert_eq!(text(&p.batch(&longer, b"x\n", AT)), "11|a-new-longer-name  | x\n");
        assert_eq!(text(&p.batch(&own, b"x\n", AT)), "pmon                  | x\n");
    }

    #[test]
    fn history_is_headed_by_its_file() {
        let mut p = printer(Form::Prefixed { timestamp: Some("YYYY".into()) }, false);
        let mut h = header(Some(0), "a", StreamKind::Out);
        (h.path, h.history, h.at_ms) = (Some("/h/logs/a-out.log".into()), true, None);
        assert_eq!(text(&p.batch(&h, b"x\n", AT)), "/h/logs/a-out.log last 3 lines:\n0|a             | x\n");
        assert_eq!(text(&p.batch(&h, b"", AT)), "/h/logs/a-out.log last 3 lines:\n");
    }

    #[test]
    fn bytes_that_are_no_text_go_through() {
        let mut p = printer(Form::Raw, false);
        let piece = p.batch(&header(Some(0), "a", StreamKind::Err), b"\xff\x00\x1b[31m\r\n", AT);
        assert_eq!(piece, Piece { to_stderr: true, bytes: b"\xff\x00\x1b[31m\r\n".to_vec() });
    }

    #[test]
    fn a_line_in_parts_has_one_prefix_unless_another_comes_between() {
        let mut p = printer(Form::Prefixed { timestamp: None }, false);
        let a = header(Some(0), "timeline-app", StreamKind::Out);
        let b = header(Some(1), "b", StreamKind::Out);
        let mut shown = String::new();
        for (h, bytes) in [(&a, "be"), (&a, "gin\n"), (&a, "cut"), (&b, "other\n"), (&a, "rest\n")] {
            shown.push_str(&text(&p.batch(h, bytes.as_bytes(), AT)));
        }
        assert_eq!(
            shown,
            "0|timeline-app  | begin\n0|timeline-app  | cut\n1|b             | other\n0|timeline-app  | rest\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut p = printer(Form::Json, true);
        let h = header(Some(0), "timeline-app", StreamKind::Err);
        assert_eq!(
            text(&p.batch(&h, b"an \"err\"\xff\npart", AT)),
            "{\"message\":\"an \\\"err\\\"\u{fffd}\",\"timestamp\":\"2026-11-22T09:50:00.480Z\",\"type\":\"err\",\
             \"process_id\":0,\"app_name\":\"timeline-app\"}\n\
             {\"message\":\"part\",\"timestamp\":\"2026-11-22T09:50:00.480Z\",\"type\":\"err\",\
             \"process_id\":0,\"app_name\":\"timeline-app\"}\n"
        );
        let what = What::Exited { pid: 7, exit: Exit::Code(1), wanted: false };
        let change = Change { at: sample::NOW, worker: WorkerId(0), name: "a".into(), what };
        assert_eq!(
            text(&p.event(&change).unwrap()),
            "{\"timestamp\":\"2026-11-22T09:50:00.000Z\",\"type\":\"process_event\",\"status\":\"exit\",\
             \"app_name\":\"a\"}\n"
        );
    }

    #[test]
    fn key_values_name_everything() {
        let mut p = printer(Form::KeyValue, false);
        let h = header(Some(0), "timeline-app", StreamKind::Err);
        let shown = text(&p.batch(&h, b"x y\n", AT));
        let (time, rest) = shown.split_once(" app=").unwrap();
        assert!(time.starts_with("timestamp=2026-11-2"), "{time}");
        assert_eq!(rest, "timeline-app id=0 type=error message=x y\n");
        let own = text(&p.batch(&header(None, "pmon", StreamKind::Out), b"x\n", AT));
        assert!(own.ends_with(" app=pmon message=x\n"), "{own}");
    }

    #[test]
    fn the_first_find_is_highlighted_and_only_in_colour() {
        let h = header(Some(0), "a", StreamKind::Out);
        let coloured = text(&printer(Form::Raw, true).batch(&h, b"an err or err\n", AT));
        assert_eq!(coloured, "an \u{1b}[100merr\u{1b}[0m or err\n");
        assert_eq!(text(&printer(Form::Raw, false).batch(&h, b"an err\n", AT)), "an err\n");
    }

    #[test]
    fn what_is_searched_for_is_marked_wherever_it_stands_and_only_in_colour() {
        let h = header(Some(0), "a", StreamKind::Out);
        let print = |colour| {
            let pattern = Pattern::new(Some("[0-9]+"), false, false, None).unwrap();
            let printer = LogPrinter::new(Form::Raw, 3, None, &[], Colour(colour));
            text(&printer.marking(pattern).batch(&h, b"a 1 b 22\nnone\n", AT))
        };
        let (on, off) = ("\u{1b}[1m\u{1b}[31m", "\u{1b}[0m");
        assert_eq!(print(true), format!("a {on}1{off} b {on}22{off}\nnone\n"));
        assert_eq!(print(false), "a 1 b 22\nnone\n");
    }

    #[test]
    fn prefixes_are_coloured_by_stream() {
        let mut p = printer(Form::Prefixed { timestamp: None }, true);
        let shown = text(&p.batch(&header(Some(0), "a", StreamKind::Err), b"x\n", AT));
        assert_eq!(shown, "\u{1b}[31m0|a             | \u{1b}[0mx\n");
    }
}
