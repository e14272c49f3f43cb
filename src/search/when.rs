//! Moments as people type them behind `--since` and `--until`.

use super::stamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Unix milliseconds meant by `10m` or `1h30m` (ago), `2026-11-22T08:07[:05[Z]]`, `2026-11-22`, or `14:30[:05]` (the last
/// time it was that). Times without a zone are the system's.
pub fn parse(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.trim();
    if text == "now" {
        return Some(now_ms);
    }
    ago(text)
        .map(|span| now_ms.saturating_sub(span))
        .or_else(|| stamp::iso(text.as_bytes()))
        .or_else(|| stamp::iso(format!("{text}:00").as_bytes()).filter(|_| text.len() == 16))
        .or_else(|| day(text))
        .or_else(|| clock(text, now_ms))
}

/// `1h30m`: pairs of a number and `ms`, `s`, `m`, `h`, `d` or `w`.
fn ago(text: &str) -> Option<i64> {
    let mut rest = text.strip_suffix(" ago").unwrap_or(text);
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            "w" => 604_800e3,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    Some(total as i64)
}

fn day(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok().filter(|_| text.len() == 10)?;
    Some(date.to_zoned(TimeZone::system()).ok()?.timestamp().as_millisecond())
}

fn clock(text: &str, now_ms: i64) -> Option<i64> {
    let time: Time = text.parse().ok().filter(|_| text.contains(':'))?;
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::system());
    let today = now.date().to_datetime(time).to_zoned(TimeZone::system()).ok()?;
    // A second of grace, for who types the present.
    let future = today.timestamp().duration_since(now.timestamp()) > SignedDuration::from_secs(1);
    let meant = if future { today.checked_sub(1.day()).ok()? } else { today };
    Some(meant.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_334_825_042;

    #[test]
    fn moments_are_read() {
        assert_eq!(parse("10m", NOW), Some(NOW - 600_000));
        assert_eq!(parse("1h30m", NOW), Some(NOW - 5_400_000));
        assert_eq!(parse("1.5s ago", NOW), Some(NOW - 1500));
        assert_eq!(parse("2026-11-22T08:07:05.042Z", NOW), Some(NOW));
        let minute = parse("2026-11-22 08:07", NOW).unwrap();
        assert_eq!(parse("2026-11-22", NOW).unwrap() + (8 * 60 + 7) * 60_000, minute);
        let today = Timestamp::from_millisecond(NOW).unwrap().to_zoned(TimeZone::system());
        let ago = today.checked_sub(90.minutes()).unwrap().strftime("%H:%M:%S").to_string();
        assert_eq!(parse(&ago, NOW), Some((NOW - 5_400_000) / 1000 * 1000));
        let ahead = today.checked_add(90.minutes()).unwrap().strftime("%H:%M:%S").to_string();
        assert_eq!(parse(&ahead, NOW), Some((NOW + 5_400_000 - 86_400_000) / 1000 * 1000), "yesterday's");
    }

    #[test]
    fn others_are_not() {
        for text in ["", "10", "ten", "10x", "m", "25:00", "yesterday", "2026-13-01"] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }
}
