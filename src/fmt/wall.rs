//! Moments, from Unix milliseconds.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Local time without its zone, as in PM2's own log: `2026-11-22T08:05:42`.
pub fn wall(unix_ms: i64) -> String {
    wall_in(unix_ms, TimeZone::system())
}

fn wall_in(unix_ms: i64, zone: TimeZone) -> String {
    at(unix_ms).to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// UTC with milliseconds, as JavaScript's `toISOString`: `2026-11-22T08:05:42.480Z`.
pub fn iso_utc(unix_ms: i64) -> String {
    format!("{:.3}", at(unix_ms))
}

/// Outside jiff's range (years -9999 to 9999) a moment is the epoch: nothing here can be that old.
fn at(unix_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_has_milliseconds_and_z() {
        assert_eq!(iso_utc(1_795_337_563_480), "2026-11-22T08:52:43.480Z");
        assert_eq!(iso_utc(1_795_337_563_000), "2026-11-22T08:52:43.000Z");
        assert_eq!(iso_utc(i64::MAX), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn wall_is_in_the_zone_and_bare() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(wall_in(1_795_337_563_480, zone), "2026-11-22T10:52:43");
    }
}
