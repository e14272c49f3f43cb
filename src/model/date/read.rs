//! A date read by the format that it was written in: `03/04/2026` is what the format says. What the format leaves out (the
//! year, the day, before or after noon) is what comes nearest to a time that is known otherwise.

use super::{DateFormat, Field, MONTHS, Part, WEEKDAYS};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

const MINUTE_MS: i64 = 60_000;

/// What stands at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<'a> {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// The format names the moment alone; else the time that was known chose among several.
    pub alone: bool,
    /// What follows.
    pub rest: &'a [u8],
}

/// Fields as far as they are read.
#[derive(Debug, Default)]
struct Found {
    year: Option<i16>,
    year_of_century: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: Option<i8>,
    hour12: Option<i8>,
    afternoon: Option<bool>,
    minute: Option<i8>,
    second: Option<i8>,
    millisecond: i64,
    /// East of Greenwich.
    offset_seconds: Option<i64>,
    epoch_ms: Option<i64>,
}

impl DateFormat {
    /// The moment at the beginning of a text; `None` if the text is not of this format, or the format names no time of
    /// day. `near_ms` is about when that was, Unix milliseconds, and asked for only if needed.
    pub fn read<'a>(&self, text: &'a [u8], near_ms: impl Fn() -> i64) -> Option<Read<'a>> {
        let mut found = Found::default();
        let mut rest = text;
        for part in &self.parts {
            rest = match part {
                Part::Text(text) => rest.strip_prefix(text.as_bytes())?,
                Part::Field(field) => field.read(rest, &mut found)?,
            };
        }
        let (at_ms, alone) = found.moment(&self.zone, &near_ms)?;
        Some(Read { at_ms, alone, rest })
    }
}

impl Field {
    fn read<'a>(self, text: &'a [u8], found: &mut Found) -> Option<&'a [u8]> {
        // Without a leading zero, a second digit is taken if it fits.
        let small = |wide: bool, most: i64| -> Option<(i8, &'a [u8])> {
            let two = number(text, 2).filter(|(value, _)| *value <= most);
            let (value, rest) = if wide { two } else { two.or_else(|| number(text, 1)) }?;
            Some((i8::try_from(value).ok()?, rest))
        };
        let (place, (value, rest)) = match self {
            Field::Month { wide } => (&mut found.month, small(wide, 12)?),
            Field::Day { wide } => (&mut found.day, small(wide, 31)?),
            Field::Hour { wide } => (&mut found.hour, small(wide, 23)?),
            Field::Hour12 { wide } => (&mut found.hour12, small(wide, 12)?),
            Field::Minute { wide } => (&mut found.minute, small(wide, 59)?),
            Field::Second { wide } => (&mut found.second, small(wide, 59)?),
            Field::MonthName { long } => {
                let letters = if long { usize::MAX } else { 3 };
                let (index, rest) = name(text, &MONTHS, letters)?;
                (&mut found.month, (i8::try_from(index + 1).ok()?, rest))
            }
            Field::WeekdayName { letters } => return name(text, &WEEKDAYS, letters).map(|(_, rest)| rest),
            Field::Weekday => return number(text, 1).map(|(_, rest)| rest),
            Field::HalfDay { capital } => {
                let halves: [&[u8]; 2] = if capital { [b"AM", b"PM"] } else { [b"am", b"pm"] };
                let half = halves.iter().position(|half| text.starts_with(half))?;
                found.afternoon = Some(half == 1);
                return text.get(2..);
            }
            Field::Year => {
                let (value, rest) = number(text, 4)?;
                found.year = i16::try_from(value).ok();
                return Some(rest);
            }
            Field::YearOfCentury => {
                let (value, rest) = number(text, 2)?;
                found.year_of_century = i16::try_from(value).ok();
                return Some(rest);
            }
            Field::Millisecond => {
                let (value, rest) = number(text, 3)?;
                found.millisecond = value;
                return Some(rest);
            }
            Field::Offset { colon } => {
                let (offset, rest) = offset(text, colon)?;
                found.offset_seconds = Some(offset);
                return Some(rest);
            }
            Field::Seconds => {
                let (value, rest) = digits(text)?;
                found.epoch_ms = found.epoch_ms.or(Some(value.checked_mul(1000)?));
                return Some(rest);
            }
            Field::Milliseconds => {
                let (value, rest) = digits(text)?;
                found.epoch_ms = Some(value);
                return Some(rest);
            }
        };
        *place = Some(value);
        Some(rest)
    }
}

impl Found {
    fn moment(&self, zone: &TimeZone, near_ms: &impl Fn() -> i64) -> Option<(i64, bool)> {
        if let Some(epoch_ms) = self.epoch_ms {
            let exact = epoch_ms % 1000 != 0;
            return Some((epoch_ms + if exact { 0 } else { self.millisecond }, true));
        }
        let minute = self.minute?;
        let hours = self.hours()?;
        let (dates, whole) = self.dates(zone, near_ms)?;
        let mut moments = Vec::new();
        for date in dates {
            for hour in &hours {
                let time = date.at(*hour, minute, self.second.unwrap_or(0), 0);
                self.moments(time, zone, &mut moments);
            }
        }
        let at_ms = match moments.as_slice() {
            [] => return None,
            [one] => *one,
            // Of an hour that the clock went through twice, too.
            several => {
                let near = near_ms();
                several.iter().copied().min_by_key(|at| at.abs_diff(near))?
            }
        };
        let alone = whole && hours.len() == 1;
        if self.second.is_none() {
            // Of a minute only: what is known may be exacter.
            let near = near_ms();
            return Some((if (at_ms..at_ms + MINUTE_MS).contains(&near) { near } else { at_ms }, alone));
        }
        Some((at_ms, alone))
    }

    fn hours(&self) -> Option<Vec<i8>> {
        match (self.hour, self.hour12, self.afternoon) {
            (Some(hour), _, _) => Some(vec![hour]),
            (None, Some(hour), Some(afternoon)) => Some(vec![hour % 12 + if afternoon { 12 } else { 0 }]),
            (None, Some(hour), None) => Some(vec![hour % 12, hour % 12 + 12]),
            (None, None, _) => None,
        }
    }

    /// Those that it can be, and whether the format names one.
    fn dates(&self, zone: &TimeZone, near_ms: &impl Fn() -> i64) -> Option<(Vec<Date>, bool)> {
        if let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) {
            return Some((vec![Date::new(year, month, day).ok()?], true));
        }
        let near = Timestamp::from_millisecond(near_ms()).ok()?.to_zoned(zone.clone()).date();
        let around: [i16; 3] = [-1, 0, 1];
        let dates = around.into_iter().filter_map(|step| match (self.month, self.day) {
            (Some(month), Some(day)) => {
                let year = match (self.year, self.year_of_century) {
                    (Some(year), _) => year,
                    (None, Some(of_century)) => near.year().div_euclid(100) * 100 + step * 100 + of_century,
                    (None, None) => near.year() + step,
                };
                Date::new(year, month, day).ok()
            }
            (None, Some(day)) if self.has_no_year() => {
                let month = near.first_of_month().checked_add(i32::from(step).months()).ok()?;
                Date::new(month.year(), month.month(), day).ok()
            }
            (None, None) if self.has_no_year() => near.checked_add(i32::from(step).days()).ok(),
            // A month without a day, a year with neither.
            (Some(_) | None, _) => None,
        });
        let named = self.year_of_century.is_some() && self.month.is_some() && self.day.is_some();
        Some((dates.collect(), named))
    }

    fn has_no_year(&self) -> bool {
        self.year.is_none() && self.year_of_century.is_none()
    }

    fn moments(&self, time: DateTime, zone: &TimeZone, out: &mut Vec<i64>) {
        let mut take = |at: Result<Timestamp, jiff::Error>, offset: i64| {
            let at_ms = at.map(|at| at.as_second().saturating_sub(offset) * 1000 + self.millisecond);
            out.extend(at_ms.ok().filter(|at_ms| !out.contains(at_ms)));
        };
        match self.offset_seconds {
            Some(offset) => take(TimeZone::UTC.to_timestamp(time), offset),
            None => {
                take(zone.to_ambiguous_timestamp(time).earlier(), 0);
                take(zone.to_ambiguous_timestamp(time).later(), 0);
            }
        }
    }
}

/// A number of so many digits.
fn number(text: &[u8], length: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(length)?;
    let value = digits.iter().try_fold(0i64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'))).flatten()
    })?;
    Some((value, rest))
}

/// All digits there are, of which a time has no more than 15.
fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let count = text.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
    number(text, count).filter(|_| (1..=15).contains(&count))
}

/// One of these names, or its first letters.
fn name<'a>(text: &'a [u8], names: &[&str], letters: usize) -> Option<(usize, &'a [u8])> {
    names.iter().enumerate().find_map(|(index, name)| {
        let letters = name.as_bytes().get(..letters.min(name.len()))?;
        Some((index, text.strip_prefix(letters)?))
    })
}

/// `+05:30` or `+0530`, in seconds.
fn offset(text: &[u8], colon: bool) -> Option<(i64, &[u8])> {
    let (sign, rest) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _other => return None,
    };
    let (hours, rest) = number(rest, 2)?;
    let rest = if colon { rest.strip_prefix(b":")? } else { rest };
    let (minutes, rest) = number(rest, 2)?;
    Some((sign * (hours * 3600 + minutes * 60), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Sunday, 22 November 2026, 08:07:05.042 UTC.
    const AT: i64 = 1_795_334_825_042;

    fn read(format: &str, text: &str, near_ms: i64) -> Option<(i64, bool)> {
        let format = DateFormat::in_zone(format, TimeZone::UTC);
        format.read(text.as_bytes(), || near_ms).map(|read| (read.at_ms, read.alone))
    }

    #[test]
    fn day_and_month_stand_where_the_format_says() {
        let at = |format, text| read(format, text, 0);
        let third_of_april = at("YYYY-MM-DD HH:mm:ss", "2026-04-03 05:06:07");
        assert!(third_of_april.is_some());
        assert_eq!(at("DD/MM/YYYY HH:mm:ss", "03/04/2026 05:06:07: ready"), third_of_april);
        assert_eq!(at("MM/DD/YYYY HH:mm:ss", "04/03/2026 05:06:07"), third_of_april);
        assert_eq!(at("YYYY-DD-MM HH:mm:ss", "2026-03-04 05:06:07"), third_of_april);
        assert_eq!(at("dddd, D. MMMM YYYY H:m:s", "Friday, 3. April 2026 5:6:7"), third_of_april);
        assert_eq!(at("DD MMM YYYY hh:mm:ss A", "03 Apr 2026 05:06:07 AM"), third_of_april);
        assert_eq!(at("[on] D/M/YYYY h:mm:ss a ZZ", "on 3/4/2026 7:06:07 am +0200"), third_of_april);
    }

    #[test]
    fn what_is_left_out_is_what_comes_nearest() {
        let day = 86_400_000;
        let near = |format, text| read(format, text, AT).map(|(at_ms, alone)| (at_ms - AT, alone));
        assert_eq!(near("HH:mm:ss.SSS", "08:07:04.042"), Some((-1000, false)));
        let midnight = AT - AT % day + 500;
        assert_eq!(read("HH:mm:ss", "23:59:59", midnight), Some((midnight - 1500, false)), "yesterday's");
        assert_eq!(near("MMM DD HH:mm:ss.SSS", "Nov 21 08:07:05.042"), Some((-day, false)));
        assert_eq!(near("D HH:mm:ss.SSS", "23 08:07:05.042"), Some((day, false)));
        assert_eq!(near("DD/MM/YY HH:mm:ss.SSS", "22/11/26 08:07:05.042"), Some((0, true)));
        assert_eq!(near("YYYY-MM-DD h:mm:ss.SSS", "2026-11-22 8:07:05.042"), Some((0, false)));
        assert_eq!(near("DD/MM/YYYY HH:mm", "22/11/2026 08:07"), Some((0, true)), "of that minute");
    }

    #[test]
    fn an_hour_that_was_twice_is_the_nearer_one() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let format = DateFormat::in_zone("DD/MM/YYYY HH:mm:ss", zone);
        // 25 October 2026, 01:30 UTC: half past two for the second time.
        for at in [1_792_891_800_000, 1_792_891_800_000 - 3_600_000] {
            let text = format.format(at);
            assert_eq!(text, "25/10/2026 02:30:00");
            assert_eq!(format.read(text.as_bytes(), || at + 40).unwrap().at_ms, at);
        }
    }

    #[test]
    fn what_names_no_time_or_is_of_another_format_is_none() {
        for (format, text) in [
            ("DD/MM/YYYY", "22/11/2026"),
            ("MMMM HH:mm:ss", "November 08:07:05"),
            ("YYYY HH:mm:ss", "2026 08:07:05"),
            ("A", "PM"),
            ("", "x"),
            ("DD/MM/YYYY HH:mm:ss", "31/02/2026 08:07:05"),
            ("DD/MM/YYYY HH:mm:ss", "11/22/2026 08:07:05"),
            ("DD/MM/YYYY HH:mm:ss", "22/11/2026 08:07"),
            ("DD/MM/YYYY HH:mm:ss", "    at x (y.js:1:2)"),
            ("x", "99999999999999999999"),
        ] {
            assert_eq!(read(format, text, AT), None, "{format}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            at_ms in 0i64..4_000_000_000_000, drift in -3_600_000i64..3_600_000, index in 0usize..8,
        ) {
            let format = [
                "DD/MM/YYYY HH:mm:ss.SSS", "D MMMM YY H:m:s SSS", "dd MMM D YYYY, h:mm:ss.SSS a", "x", "X SSS",
                "HH:mm:ss.SSS", "ZZ MMM DD hh:mm:ss.SSS A", "YYYYMMDDHHmmssSSS Z",
            ][index];
            let written = DateFormat::in_zone(format, TimeZone::UTC);
            let text = format!("{}: x", written.format(at_ms));
            let read = written.read(text.as_bytes(), || at_ms + drift).unwrap();
            prop_assert_eq!((read.at_ms, read.rest), (at_ms, &b": x"[..]), "{}", text);
        }

        #[test]
        fn anything_is_read_without_panic(
            format in "[YMDdHhAamsSZXx :/.é]{0,12}", text in proptest::collection::vec(any::<u8>(), 0..40),
            digits in "[0-9 :/+-]{0,30}", near in any::<i64>(),
        ) {
            let format = DateFormat::in_zone(&format, TimeZone::UTC);
            let _any = (format.read(&text, || near), format.read(digits.as_bytes(), || near));
        }
    }
}
