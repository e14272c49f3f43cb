//! Log lines: prefixes, JSON, `key=value`, raw. Bytes go through as they came; only a prefix is added.

use super::colour::{self, Colour};
use super::frame::{Frame, Source, object};
use super::grid::Cell;
use crate::fmt;
use crate::model::change::{Change, What};
use crate::proto::LogHeader;
use crate::proto::push::StreamKind;
use crate::search::Pattern;
use memchr::memmem;
use serde_json::Value;
use std::time::Duration;

/// Narrowest prefix.
const PREFIX: usize = 10;
/// Frames of so many sources are remembered.
const FRAMES: usize = 64;

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

/// Makes text of batches. Remembers only how wide prefixes are, what goes around each source's lines, and which line is
/// unfinished.
#[derive(Debug)]
pub struct LogPrinter {
    form: Form,
    highlight: Option<String>,
    found: Pattern,
    colour: Colour,
    width: usize,
    frames: Vec<Frame>,
    /// The source whose last line has no end yet.
    open: Option<Source>,
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
        let (found, frames) = (Pattern::default(), Vec::new());
        LogPrinter { form, highlight, found, colour, width: longest.max(PREFIX), frames, open: None, lines }
    }

    /// Marks what an expression finds, every place of it.
    pub fn marking(self, found: Pattern) -> LogPrinter {
        LogPrinter { found, ..self }
    }

    /// A source's lines belong on stderr.
    pub fn is_for_stderr(&self, header: &LogHeader) -> bool {
        self.form == Form::Raw && header.stream == StreamKind::Err
    }

    /// Whole lines are shown as they are.
    pub fn changes_nothing(&self) -> bool {
        self.form == Form::Raw && self.open.is_none() && !self.marks()
    }

    /// Adds the text of one batch read at `now_ms`.
    pub fn batch(&mut self, header: &LogHeader, bytes: &[u8], now_ms: i64, out: &mut Vec<u8>) {
        self.file_head(header, out);
        if bytes.is_empty() {
            return;
        }
        let mut goes_on = self.open.as_ref().is_some_and(|open| open.is_of(header));
        if self.open.take().is_some() && !goes_on {
            out.push(b'\n');
        }
        let mut whole = bytes.ends_with(b"\n");
        if self.changes_nothing() {
            out.extend_from_slice(bytes);
        } else {
            // An object a line is whole in itself, so a long line becomes several objects.
            let cut = self.form == Form::Json && !whole;
            let frame = self.frame(header, now_ms);
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', bytes).chain((!whole).then_some(bytes.len())) {
                self.line(&frame, bytes.get(start..end).unwrap_or_default(), goes_on, out);
                if end < bytes.len() || cut {
                    out.push(b'\n');
                }
                (start, goes_on) = (end + 1, false);
            }
            self.frames.push(frame);
            whole |= cut;
        }
        self.open = (!whole).then(|| Source::of(header));
    }

    /// What goes around its lines; to be pushed back.
    fn frame(&mut self, header: &LogHeader, now_ms: i64) -> Frame {
        let known = self.frames.iter().position(|frame| frame.is_of(header));
        if let Some(at) = known {
            let mut frame = self.frames.swap_remove(at);
            frame.turn_to(&self.form, header, now_ms, self.colour);
            return frame;
        }
        let width = self.width;
        let frame = Frame::new(&self.form, header, now_ms, &mut self.width, self.colour);
        if self.width != width || self.frames.len() >= FRAMES {
            self.frames.clear();
        }
        frame
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
        let mut bytes = Vec::new();
        self.batch(header, format!("{text}\n").as_bytes(), 0, &mut bytes);
        Piece { to_stderr: false, bytes }
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

    fn line(&self, frame: &Frame, text: &[u8], goes_on: bool, out: &mut Vec<u8>) {
        match self.form {
            Form::Json => object_line(frame, text, out),
            Form::Raw => self.message(text, out),
            Form::KeyValue | Form::Prefixed { .. } => {
                if !goes_on {
                    out.extend_from_slice(frame.before.as_bytes());
                }
                self.message(text, out);
            }
        }
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

fn object_line(frame: &Frame, text: &[u8], out: &mut Vec<u8>) {
    let message = String::from_utf8_lossy(text);
    if frame.history && is_object_of_ours(&message) {
        return out.extend_from_slice(message.as_bytes());
    }
    out.extend_from_slice(frame.before.as_bytes());
    let length = out.len();
    if serde_json::to_writer(&mut *out, &message).is_err() {
        // Memory takes everything, and text is always JSON.
        out.truncate(length);
    }
    out.extend_from_slice(frame.behind.as_bytes());
}

/// A line of a file that was written with `log_type: json`: it is what would be made of it.
fn is_object_of_ours(line: &str) -> bool {
    line.starts_with(r#"{"message":"#) && line.ends_with('}') && line.contains(r#","process_id":"#)
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

    fn printed(printer: &mut LogPrinter, header: &LogHeader, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        printer.batch(header, bytes, AT, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn prefixes_align_with_the_longest_name() {
        let mut p = printer(Form::Prefixed { timestamp: None }, false);
        let out = header(Some(0), "timeline-app", StreamKind::Out);
        assert_eq!(printed(&mut p, &out, b"one\ntwo\n"), "0|timeline-app  | one\n0|timeline-app  | two\n");
        let own = header(None, "pmon", StreamKind::Out);
        assert_eq!(printed(&mut p, &own, b"x\n"), "pmon            | x\n");
        let longer = header(Some(11), "a-new-longer-name", StreamKind::Err);
        assert_eq!(printed(&mut p, &longer, b"x\n"), "11|a-new-longer-name  | x\n");
        assert_eq!(printed(&mut p, &own, b"x\n"), "pmon                  | x\n");
    }

    #[test]
    fn history_is_headed_by_its_file() {
        let mut p = printer(Form::Prefixed { timestamp: Some("YYYY".into()) }, false);
        let mut h = header(Some(0), "a", StreamKind::Out);
        (h.path, h.history, h.at_ms) = (Some("/h/logs/a-out.log".into()), true, None);
        assert_eq!(printed(&mut p, &h, b"x\n"), "/h/logs/a-out.log last 3 lines:\n0|a             | x\n");
        assert_eq!(printed(&mut p, &h, b""), "/h/logs/a-out.log last 3 lines:\n");
    }

    #[test]
    fn bytes_that_are_no_text_go_through() {
        let mut p = printer(Form::Raw, false);
        let (err, mut out) = (header(Some(0), "a", StreamKind::Err), Vec::new());
        p.batch(&err, b"\xff\x00\x1b[31m\r\n", AT, &mut out);
        assert_eq!((p.is_for_stderr(&err), out), (true, b"\xff\x00\x1b[31m\r\n".to_vec()));
    }

    #[test]
    fn a_line_in_parts_has_one_prefix_unless_another_comes_between() {
        let mut p = printer(Form::Prefixed { timestamp: None }, false);
        let a = header(Some(0), "timeline-app", StreamKind::Out);
        let b = header(Some(1), "b", StreamKind::Out);
        let mut shown = String::new();
        for (h, bytes) in [(&a, "be"), (&a, "gin\n"), (&a, "cut"), (&b, "other\n"), (&a, "rest\n")] {
            shown.push_str(&printed(&mut p, h, bytes.as_bytes()));
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
            printed(&mut p, &h, b"an \"err\"\xff\npart"),
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
        let shown = printed(&mut p, &h, b"x y\n");
        let (time, rest) = shown.split_once(" app=").unwrap();
        assert!(time.starts_with("timestamp=2026-11-2"), "{time}");
        assert_eq!(rest, "timeline-app id=0 type=error message=x y\n");
        let own = printed(&mut p, &header(None, "pmon", StreamKind::Out), b"x\n");
        assert!(own.ends_with(" app=pmon message=x\n"), "{own}");
    }

    #[test]
    fn the_first_find_is_highlighted_and_only_in_colour() {
        let h = header(Some(0), "a", StreamKind::Out);
        let coloured = printed(&mut printer(Form::Raw, true), &h, b"an err or err\n");
        assert_eq!(coloured, "an \u{1b}[100merr\u{1b}[0m or err\n");
        assert_eq!(printed(&mut printer(Form::Raw, false), &h, b"an err\n"), "an err\n");
    }

    #[test]
    fn what_is_searched_for_is_marked_wherever_it_stands_and_only_in_colour() {
        let h = header(Some(0), "a", StreamKind::Out);
        let print = |colour| {
            let pattern = Pattern::new(Some("[0-9]+"), false, false, None).unwrap();
            let printer = LogPrinter::new(Form::Raw, 3, None, &[], Colour(colour));
            printed(&mut printer.marking(pattern), &h, b"a 1 b 22\nnone\n")
        };
        let (on, off) = ("\u{1b}[1m\u{1b}[31m", "\u{1b}[0m");
        assert_eq!(print(true), format!("a {on}1{off} b {on}22{off}\nnone\n"));
        assert_eq!(print(false), "a 1 b 22\nnone\n");
    }

    #[test]
    fn prefixes_are_coloured_by_stream() {
        let mut p = printer(Form::Prefixed { timestamp: None }, true);
        let shown = printed(&mut p, &header(Some(0), "a", StreamKind::Err), b"x\n");
        assert_eq!(shown, "\u{1b}[31m0|a             | \u{1b}[0mx\n");
    }
}
