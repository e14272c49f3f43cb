//! What goes around each line of a source: a prefix, keys and values, or the fields of an object.

use super::colour::{self, Colour};
use super::date;
use super::grid::Cell;
use super::logs::Form;
use crate::fmt;
use crate::model::WorkerId;
use crate::proto::LogHeader;
use crate::proto::push::StreamKind;
use serde_json::{Map, Value};

/// Whose lines they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    worker: Option<WorkerId>,
    name: String,
    stream: StreamKind,
}

/// What goes before and behind each of its lines.
#[derive(Debug)]
pub struct Frame {
    source: Source,
    /// The time that is said in it.
    at_ms: Option<i64>,
    moment: Moment,
    /// The frame without a time.
    timeless: String,
    /// In front; of JSON up to the message.
    pub before: String,
    /// Behind; of JSON from the message on.
    pub behind: String,
    /// The lines come from a file.
    pub history: bool,
}

/// A time as text. Neighbours of a line were mostly written in the same second: then it is not made anew.
#[derive(Debug, Default)]
struct Moment {
    second: Option<i64>,
    text: String,
}

impl Source {
    /// Of a batch.
    pub fn of(header: &LogHeader) -> Source {
        Source { worker: header.worker, name: header.name.clone(), stream: header.stream }
    }

    /// The batch is of this source.
    pub fn is_of(&self, header: &LogHeader) -> bool {
        (self.worker, self.stream) == (header.worker, header.stream) && self.name == header.name
    }
}

impl Frame {
    /// For the lines of a batch that is read at `now_ms`. Prefixes are `width` wide, which grows if need be.
    pub fn new(form: &Form, header: &LogHeader, now_ms: i64, width: &mut usize, colour: Colour) -> Frame {
        let timeless = match form {
            Form::Raw => String::new(),
            Form::Json => fields(header),
            Form::KeyValue => key_values(header),
            Form::Prefixed { .. } => prefix(header, width, colour),
        };
        let mut frame = Frame {
            source: Source::of(header),
            at_ms: time(form, header, now_ms),
            moment: Moment::default(),
            timeless,
            before: String::new(),
            behind: String::new(),
            history: header.history,
        };
        frame.say(form, colour);
        frame
    }

    /// It is for this source.
    pub fn is_of(&self, header: &LogHeader) -> bool {
        self.source.is_of(header) && self.history == header.history
    }

    /// For another batch of its source.
    pub fn turn_to(&mut self, form: &Form, header: &LogHeader, now_ms: i64, colour: Colour) {
        let at_ms = time(form, header, now_ms);
        if self.at_ms != at_ms {
            self.at_ms = at_ms;
            self.say(form, colour);
        }
    }

    fn say(&mut self, form: &Form, colour: Colour) {
        let Frame { moment, timeless, before, behind, .. } = self;
        before.clear();
        behind.clear();
        match (form, self.at_ms) {
            (Form::Raw, _) => {}
            (Form::Json, at_ms) => {
                before.push_str(r#"{"message":"#);
                if let Some(at_ms) = at_ms {
                    behind.push_str(r#","timestamp":""#);
                    behind.push_str(moment.iso(at_ms));
                    behind.push('"');
                }
                behind.push_str(timeless);
            }
            (Form::KeyValue, at_ms) => {
                if let Some(at_ms) = at_ms {
                    before.push_str("timestamp=");
                    before.push_str(moment.formatted(at_ms, "YYYY-MM-DD-HH:mm:ssZZ"));
                    before.push(' ');
                }
                before.push_str(timeless);
            }
            (Form::Prefixed { timestamp }, at_ms) => {
                if let Some((format, at_ms)) = timestamp.as_deref().zip(at_ms) {
                    before.push_str(&colour.paint(colour::FAINT, moment.formatted(at_ms, format)));
                    before.push(' ');
                }
                before.push_str(timeless);
            }
        }
    }
}

impl Moment {
    fn iso(&mut self, at_ms: i64) -> &str {
        let (second, ms) = (at_ms.div_euclid(1000), at_ms.rem_euclid(1000));
        match self.text.strip_suffix('Z').and_then(|text| text.len().checked_sub(3)) {
            Some(same) if self.second == Some(second) => {
                self.text.truncate(same);
                self.text.push_str(&format!("{ms:03}Z"));
            }
            _other => self.text = fmt::iso_utc(at_ms),
        }
        self.second = Some(second);
        &self.text
    }

    fn formatted(&mut self, at_ms: i64, format: &str) -> &str {
        let second = (!format.contains('S')).then(|| at_ms.div_euclid(1000));
        if second.is_none() || self.second != second {
            self.text = date::format(&date::local(at_ms), format);
            self.second = second;
        }
        &self.text
    }
}

/// The time that is shown, if one is. When a line of a file was written may not be known: no time rather than a wrong one.
fn time(form: &Form, header: &LogHeader, now_ms: i64) -> Option<i64> {
    let timed = match form {
        Form::Raw | Form::Prefixed { timestamp: None } => false,
        Form::Json | Form::KeyValue | Form::Prefixed { timestamp: Some(_) } => true,
    };
    let now = (!header.history).then_some(now_ms);
    header.at_ms.or(now).filter(|_| timed)
}

/// `0|web`, or the daemon's name. Control characters are taken out of it.
fn prefix(header: &LogHeader, width: &mut usize, colour: Colour) -> String {
    let name = header.name.replace(char::is_control, " ");
    let label = match header.worker {
        Some(id) => format!("{id}|{name}"),
        None => name,
    };
    let length = Cell::plain(&label).width();
    *width = (*width).max(length + 1);
    let pad = " ".repeat(*width - length);
    let style = match (header.worker, header.stream) {
        (None, _) => colour::OWN,
        (Some(_), StreamKind::Out) => colour::OUT,
        (Some(_), StreamKind::Err) => colour::ERR,
    };
    colour.paint(style, format!("{label}{pad} | "))
}

fn key_values(header: &LogHeader) -> String {
    let kind = match header.stream {
        StreamKind::Out => "out",
        StreamKind::Err => "error",
    };
    match header.worker {
        Some(id) => format!("app={} id={id} type={kind} message=", header.name),
        None => format!("app={} message=", header.name),
    }
}

/// What follows the message and its time.
fn fields(header: &LogHeader) -> String {
    let kind = match header.stream {
        StreamKind::Out => "out",
        StreamKind::Err => "err",
    };
    let id = header.worker.map_or_else(|| header.name.as_str().into(), |id| id.0.into());
    let object =
        object([("type", kind.into()), ("process_id", id), ("app_name", header.name.as_str().into())]);
    format!(",{}", object.trim_start_matches('{'))
}

/// One JSON object.
pub fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let map: Map<String, Value> = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_whatever_was_said_before() {
        let mut kept = Moment::default();
        for at_ms in [
            1_795_341_000_480,
            1_795_341_000_481,
            1_795_341_001_007,
            1_795_341_000_999,
            -1,
            -1000,
            0,
            i64::MAX,
            i64::MIN,
        ] {
            assert_eq!(kept.iso(at_ms), fmt::iso_utc(at_ms));
        }
        for format in ["HH:mm:ss", "ss.SSS"] {
            let mut kept = Moment::default();
            for at_ms in [1_795_341_000_480, 1_795_341_000_481, 1_795_341_001_007, -1, 0] {
                assert_eq!(kept.formatted(at_ms, format), date::format(&date::local(at_ms), format));
            }
        }
    }
}
