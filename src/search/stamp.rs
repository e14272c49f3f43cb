//! The time that a line carries itself: by the app's `log_date_format`; else ISO 8601 and its kin near the beginning (most
//! loggers), or a JSON line's `time`, `timestamp`, `ts` or `@timestamp`.

use crate::model::date::DateFormat;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use std::sync::LazyLock;

/// A date stands within so many bytes: behind a bracket, or a level.
const REACH: usize = 24;

/// Times without a zone are the system's.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    time: Value,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    ts: Value,
    #[serde(default, rename = "@timestamp")]
    at_timestamp: Value,
}

/// The time before a line, or in its JSON, as pmon wrote it there in this format; and whether the format names it alone.
/// `near_ms` is about when that was.
pub fn dated(line: &[u8], dates: &DateFormat, near_ms: impl Fn() -> i64) -> Option<(i64, bool)> {
    if line.first() == Some(&b'{')
        && let Ok(Fields { timestamp: Value::String(text), .. }) =
            serde_json::from_slice(line.trim_ascii_end())
    {
        let read = dates.read(text.as_bytes(), near_ms).filter(|read| read.rest.is_empty())?;
        return Some((read.at_ms, read.alone));
    }
    let read = dates.read(line, near_ms).filter(|read| read.rest.starts_with(b": "))?;
    Some((read.at_ms, read.alone))
}

/// A line's own time, Unix milliseconds.
pub fn own(line: &[u8]) -> Option<i64> {
    if line.first() == Some(&b'{') {
        return of_json(line);
    }
    let head = line.get(..REACH.min(line.len()))?;
    let year = head.windows(5).position(|five| {
        five.iter().take(4).all(u8::is_ascii_digit) && matches!(five.last(), Some(b'-' | b'/'))
    })?;
    iso(line.get(year..)?)
}

fn of_json(line: &[u8]) -> Option<i64> {
    let fields: Fields = serde_json::from_slice(line.trim_ascii_end()).ok()?;
    [fields.time, fields.timestamp, fields.ts, fields.at_timestamp].iter().find_map(|value| match value {
        Value::String(text) => iso(text.as_bytes()),
        Value::Number(number) => of_number(number.as_f64()?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// Seconds or milliseconds since 1970, by their size.
fn of_number(number: f64) -> Option<i64> {
    match number {
        n if n > 1e8 && n < 1e11 => Some((n * 1000.0) as i64),
        n if (1e11..1e14).contains(&n) => Some(n as i64),
        _ => None,
    }
}

/// `2026-11-22T08:07:05.042Z` and what differs from it: other separators, no fraction, a zone as `+01:00` or `+0100`,
/// perhaps behind a blank, or none. What follows does not matter.
pub fn iso(text: &[u8]) -> Option<i64> {
    let number = |from: usize, length: usize| -> Option<i16> {
        let digits = text.get(from..from + length)?;
        digits.iter().try_fold(0i16, |sum, digit| {
            digit.is_ascii_digit().then(|| sum.wrapping_mul(10) + i16::from(digit - b'0'))
        })
    };
    let is = |at: usize, any: &[u8]| text.get(at).is_some_and(|byte| any.contains(byte));
    let separated = is(4, b"-/") && is(7, b"-/") && is(10, b"T -_") && is(13, b":") && is(16, b":");
    if !separated {
        return None;
    }
    let small = |from| number(from, 2).and_then(|n| i8::try_from(n).ok());
    let date = Date::new(number(0, 4)?, small(5)?, small(8)?).ok()?;
    // A leap second is the second before it.
    let time = date.at(small(11)?.min(23), small(14)?.min(59), small(17)?.min(59), 0);
    let rest = text.get(19..).unwrap_or_default();
    let (fraction_ms, rest) = fraction(rest);
    let seconds = match offset(rest) {
        Some(offset) => time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second() - offset,
        None => time.to_zoned(ZONE.clone()).ok()?.timestamp().as_second(),
    };
    Some(seconds * 1000 + fraction_ms)
}

/// `.042` or `,042`: milliseconds, and what follows.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some((b'.' | b',', digits)) = text.split_first() else { return (0, text) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digit = |at: usize| digits.get(at).filter(|_| at < count).map_or(0, |digit| i64::from(digit - b'0'));
    (digit(0) * 100 + digit(1) * 10 + digit(2), digits.get(count..).unwrap_or_default())
}

/// Seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, rest) = match text.split_first()? {
        (b'Z', _) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let two = |from: usize| -> Option<i64> {
        let digits = rest.get(from..from + 2)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let minutes = if rest.get(2) == Some(&b':') { two(3) } else { two(2) };
    Some(sign * (two(0)? * 3600 + minutes? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_795_334_825_042;

    #[test]
    fn isos_kin_is_read() {
        for text in [
            "2026-11-22T08:07:05.042Z ready",
            "[2026-11-22 08:07:05,042 +00:00] ready",
            "INFO 2026-11-22T09:07:05.042999+0100 x",
            "2026/11/22 07:07:05.042-01:00",
            r#"{"level":30,"time":1795334825042,"msg":"x"}"#,
            r#"{"timestamp":"2026-11-22T08:07:05.042Z","time":null}"#,
            r#"{"ts":1795334825.042}"#,
            "{\"@timestamp\":\"2026-11-22T08:07:05.042Z\"}\n",
        ] {
            assert_eq!(own(text.as_bytes()), Some(AT), "{text}");
        }
        let local = own(b"2026-11-22T08:07:05: ready").unwrap();
        assert!((local - AT).abs() < 15 * 3_600_000);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "2026", "2026-11-22", "2026-13-22T08:07:05Z", "ready", "{", "{}", "9999-99-99-99:99:99"]
        {
            assert_eq!(own(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            let _any = (own(&bytes), iso(&bytes));
        }
    }
}
