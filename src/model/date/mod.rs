//! PM2's date formats: the letters of dayjs (day.js.org/docs/en/display/format), in the system's time zone. `read` is the
//! way back.

mod read;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt::Write;

pub use read::Read;

/// A compiled format.
#[derive(Debug, Clone)]
pub struct DateFormat {
    parts: Vec<Part>,
    zone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    YearOfCentury,
    Month { wide: bool },
    MonthName { long: bool },
    Day { wide: bool },
    Weekday,
    WeekdayName { letters: usize },
    Hour { wide: bool },
    Hour12 { wide: bool },
    HalfDay { capital: bool },
    Minute { wide: bool },
    Second { wide: bool },
    Millisecond,
    Offset { colon: bool },
    Seconds,
    Milliseconds,
}

/// Longest first, so that the first that fits is right.
const FIELDS: [(&str, Field); 27] = [
    ("YYYY", Field::Year),
    ("YY", Field::YearOfCentury),
    ("MMMM", Field::MonthName { long: true }),
    ("MMM", Field::MonthName { long: false }),
    ("MM", Field::Month { wide: true }),
    ("M", Field::Month { wide: false }),
    ("DD", Field::Day { wide: true }),
    ("D", Field::Day { wide: false }),
    ("dddd", Field::WeekdayName { letters: usize::MAX }),
    ("ddd", Field::WeekdayName { letters: 3 }),
    ("dd", Field::WeekdayName { letters: 2 }),
    ("d", Field::Weekday),
    ("HH", Field::Hour { wide: true }),
    ("H", Field::Hour { wide: false }),
    ("hh", Field::Hour12 { wide: true }),
    ("h", Field::Hour12 { wide: false }),
    ("A", Field::HalfDay { capital: true }),
    ("a", Field::HalfDay { capital: false }),
    ("mm", Field::Minute { wide: true }),
    ("m", Field::Minute { wide: false }),
    ("SSS", Field::Millisecond),
    ("ss", Field::Second { wide: true }),
    ("s", Field::Second { wide: false }),
    ("ZZ", Field::Offset { colon: false }),
    ("Z", Field::Offset { colon: true }),
    ("X", Field::Seconds),
    ("x", Field::Milliseconds),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl DateFormat {
    /// Compiles a format; every string is one: what is no letter of the format stands for itself, and so does
    /// everything in `[…]`.
    pub fn new(format: &str) -> DateFormat {
        DateFormat::in_zone(format, TimeZone::system())
    }

    /// As [`DateFormat::new`], in this time zone.
    pub fn in_zone(format: &str, zone: TimeZone) -> DateFormat {
        let mut parts = Vec::new();
        let mut rest = format;
        while let Some(next) = rest.chars().next() {
            let quoted = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
            let field =
                FIELDS.iter().find_map(|(letters, field)| Some((rest.strip_prefix(letters)?, *field)));
            if let Some((text, behind)) = quoted {
                parts.push(Part::Text(text.to_owned()));
                rest = behind;
            } else if let Some((behind, field)) = field {
                parts.push(Part::Field(field));
                rest = behind;
            } else {
                parts.push(Part::Text(next.to_string()));
                rest = rest.strip_prefix(next).unwrap_or_default();
            }
        }
        DateFormat { parts, zone }
    }

    /// The time, given in Unix milliseconds, in this format.
    pub fn format(&self, at_ms: i64) -> String {
        let at =
            Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone());
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(field) => out.push_str(&field.of(&at)),
            }
        }
        out
    }
}

/// Unix milliseconds as JavaScript's `toISOString` has them.
pub fn iso(at_ms: i64) -> String {
    DateFormat::in_zone("YYYY-MM-DDTHH:mm:ss.SSS[Z]", TimeZone::UTC).format(at_ms)
}

impl Field {
    fn of(self, at: &Zoned) -> String {
        let number = |value: i16, wide: bool| if wide { format!("{value:02}") } else { value.to_string() };
        let hour = i16::from(at.hour());
        let hour12 = (hour + 11) % 12 + 1;
        let weekday = at.weekday().to_sunday_zero_offset();
        let named = |names: &[&'static str], index: i8| {
            usize::try_from(index).ok().and_then(|i| names.get(i)).copied().unwrap_or_default()
        };
        match self {
            Field::Year => format!("{:04}", at.year()),
            Field::YearOfCentury => number(at.year().rem_euclid(100), true),
            Field::Month { wide } => number(at.month().into(), wide),
            Field::MonthName { long: true } => named(&MONTHS, at.month() - 1).to_owned(),
            Field::MonthName { long: false } => named(&MONTHS, at.month() - 1).chars().take(3).collect(),
            Field::Day { wide } => number(at.day().into(), wide),
            Field::Weekday => weekday.to_string(),
            Field::WeekdayName { letters } => named(&WEEKDAYS, weekday).chars().take(letters).collect(),
            Field::Hour { wide } => number(hour, wide),
            Field::Hour12 { wide } => number(hour12, wide),
            Field::HalfDay { capital: true } => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Field::HalfDay { capital: false } => if hour < 12 { "am" } else { "pm" }.to_owned(),
            Field::Minute { wide } => number(at.minute().into(), wide),
            Field::Second { wide } => number(at.second().into(), wide),
            Field::Millisecond => format!("{:03}", at.millisecond()),
            Field::Offset { colon } => offset(at.offset().seconds(), colon),
            Field::Seconds => at.timestamp().as_second().to_string(),
            Field::Milliseconds => at.timestamp().as_millisecond().to_string(),
        }
    }
}

/// `+05:30` or `+0530`.
fn offset(seconds: i32, colon: bool) -> String {
    let minutes = seconds.abs() / 60;
    let mut out = String::from(if seconds < 0 { "-" } else { "+" });
    // Writing to a string cannot fail.
    let _infallible = write!(out, "{:02}{}{:02}", minutes / 60, if colon { ":" } else { "" }, minutes % 60);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sunday, 22 November 2026, 08:07:05.042 UTC.
    const AT: i64 = 1_795_334_825_042;

    fn utc(format: &str) -> String {
        DateFormat::in_zone(format, TimeZone::UTC).format(AT)
    }

    #[test]
    fn pm2s_usual_formats() {
        assert_eq!(utc("YYYY-MM-DDTHH:mm:ss"), "2026-11-22T08:07:05");
        assert_eq!(utc("YYYY-MM-DD HH:mm:ss Z"), "2026-11-22 08:07:05 +00:00");
        assert_eq!(utc("YYYY-MM-DD-HH:mm:ssZZ"), "2026-11-22-08:07:05+0000");
        assert_eq!(utc("DD/MM/YY HH:mm:ss.SSS"), "22/11/26 08:07:05.042");
        assert_eq!(iso(AT), "2026-11-22T08:07:05.042Z");
    }

    #[test]
    fn every_letter() {
        assert_eq!(utc("M D d H h m s"), "11 22 0 8 8 7 5");
        assert_eq!(utc("MMM MMMM dd ddd dddd"), "Nov November Su Sun Sunday");
        assert_eq!(utc("hh A a"), "08 AM am");
        assert_eq!(utc("X x"), "1795334825 1795334825042");
    }

    #[test]
    fn noon_and_midnight_are_twelve() {
        let at = |hour: i64| DateFormat::in_zone("h A", TimeZone::UTC).format(hour * 3_600_000);
        assert_eq!((at(0), at(12), at(13)), ("12 AM".into(), "12 PM".into(), "1 PM".into()));
    }

    #[test]
    fn brackets_quote_and_strangers_stand_for_themselves() {
        assert_eq!(utc("[at Y] YYYY é [open"), "at Y 2026 é [open");
        assert_eq!(utc(""), "");
    }

    #[test]
    fn zones_west_and_east_and_by_the_half_hour() {
        let at = |seconds| {
            let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).unwrap());
            DateFormat::in_zone("HH:mm Z ZZ", zone).format(AT)
        };
        assert_eq!(at(19_800), "13:37 +05:30 +0530");
        assert_eq!(at(-12_600), "04:37 -03:30 -0330");
    }
}
