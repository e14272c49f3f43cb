//! When files are put aside by the clock: cron patterns in a time zone.

use crate::model::Rotation;
use crate::model::rotation::cron;
use jiff::Timestamp;

/// The first moment after `after_ms` that the pattern names, Unix milliseconds; `None` if there is none.
pub fn next(rotation: &Rotation, after_ms: i64) -> Option<i64> {
    let after = Timestamp::from_millisecond(after_ms).ok()?.to_zoned(rotation.time_zone());
    let found = pattern(rotation)?.find_next_occurrence(&after, false).ok()?;
    Some(found.timestamp().as_millisecond())
}

/// The last moment before or at `now_ms`.
pub fn last(rotation: &Rotation, now_ms: i64) -> Option<i64> {
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(rotation.time_zone());
    let found = pattern(rotation)?.find_previous_occurrence(&now, true).ok()?;
    Some(found.timestamp().as_millisecond())
}

fn pattern(rotation: &Rotation) -> Option<croner::Cron> {
    rotation.interval.as_deref().filter(|_| rotation.enabled).and_then(cron)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn every(pattern: &str, zone: &str) -> Rotation {
        Rotation { interval: Some(pattern.into()), zone: Some(zone.into()), ..Rotation::default() }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn midnight_is_that_of_the_zone() {
        let from = at("2026-11-22T08:00:00Z");
        assert_eq!(next(&every("0 0 * * *", "UTC"), from), Some(at("2026-11-23T00:00:00Z")));
        assert_eq!(next(&every("0 0 * * *", "America/New_York"), from), Some(at("2026-11-23T05:00:00Z")));
        assert_eq!(next(&every("0 0 * * *", "Asia/Kolkata"), from), Some(at("2026-11-22T18:30:00Z")));
        assert_eq!(last(&every("0 0 * * *", "Asia/Kolkata"), from), Some(at("2026-11-21T18:30:00Z")));
    }

    #[test]
    fn a_day_of_23_or_25_hours_has_one_midnight() {
        let paris = every("0 0 * * *", "Europe/Paris");
        let spring = [at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z"), at("2026-03-30T22:00:00Z")];
        assert_eq!(next(&paris, spring[0]), Some(spring[1]));
        assert_eq!(next(&paris, spring[1]), Some(spring[2]));
        let autumn = [at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z")];
        assert_eq!(next(&paris, autumn[0]), Some(autumn[1]));
    }

    #[test]
    fn six_fields_have_seconds_and_off_has_no_moment() {
        let from = at("2026-11-22T08:00:01Z");
        assert_eq!(next(&every("*/30 * * * * *", "UTC"), from), Some(at("2026-11-22T08:00:30Z")));
        assert_eq!(next(&Rotation::default(), from), None);
        assert_eq!(next(&Rotation { enabled: false, ..every("* * * * *", "UTC") }, from), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_next_moment_is_later_and_nothing_lies_between(
            from in 0i64..4_000_000_000_000, minute in 0u32..60, hour in 0u32..24,
        ) {
            let daily = every(&format!("{minute} {hour} * * *"), "Australia/Lord_Howe");
            let found = next(&daily, from).unwrap();
            prop_assert!(found > from);
            prop_assert_eq!(last(&daily, found), Some(found));
            prop_assert!(last(&daily, found - 1).unwrap() <= from);
        }
    }
}
