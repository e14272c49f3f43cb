//! Which rotated files are too many, too old, or too much. Decisions only; nothing is removed here.

use super::kept::{Form, Kept};
use crate::model::Rotation;
use std::collections::HashMap;

/// Of one log's rotated files those that go: more than `retain`, or older than `max_age`. The file and its half
/// compressed copy count as one.
pub fn excess<'a>(kept: &'a [Kept], rotation: &Rotation, now_ms: i64) -> Vec<&'a Kept> {
    let mut sorted: Vec<&Kept> = kept.iter().filter(|kept| kept.label.form != Form::Unfinished).collect();
    sorted.sort_by(|a, b| b.age().cmp(&a.age()));
    let oldest_ns = match rotation.max_age.as_nanos() {
        0 => i128::MIN,
        age => i128::from(now_ms) * 1_000_000 - i128::try_from(age).unwrap_or(i128::MAX),
    };
    let retain = rotation.retain.map_or(usize::MAX, |count| count as usize);
    let many = sorted.iter().skip(retain);
    let old = sorted.iter().take(retain).filter(|kept| kept.written_ns < oldest_ns);
    many.chain(old).copied().collect()
}

/// Of several logs' rotated files the oldest, until they and `live` bytes of logs fit `limit` (0: none).
pub fn overdraft<'a>(kept: impl IntoIterator<Item = &'a Kept>, live: u64, limit: u64) -> Vec<&'a Kept> {
    let mut sorted: Vec<&Kept> = kept.into_iter().collect();
    let mut total = sorted.iter().fold(live, |sum, kept| sum.saturating_add(kept.size));
    if limit == 0 || total <= limit {
        return Vec::new();
    }
    sorted.sort_by(|a, b| a.age().cmp(&b.age()));
    let mut gone = Vec::new();
    for kept in sorted {
        if total <= limit {
            break;
        }
        total -= kept.size;
        gone.push(kept);
    }
    gone
}

/// Sums by key.
pub fn sums<K: std::hash::Hash + Eq>(parts: impl IntoIterator<Item = (K, u64)>) -> HashMap<K, u64> {
    let mut sums = HashMap::new();
    for (key, part) in parts {
        *sums.entry(key).or_default() += part;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::kept::Label;
    use super::*;
    use crate::model::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::time::Duration;

    fn file(second: u32, counter: u32, size: u64, form: Form) -> Kept {
        let label = Label { date: format!("D{second:05}"), counter, form };
        let path = format!("/l/a__{second}_{counter}.log").into();
        Kept { path, label, written_ns: i128::from(second) * 1_000_000_000, size }
    }

    fn names(kept: &[&Kept]) -> Vec<(String, u32)> {
        kept.iter().map(|kept| (kept.label.date.clone(), kept.label.counter)).collect()
    }

    #[test]
    fn the_newest_are_retained_also_within_one_instant() {
        let all: Vec<Kept> = [(5, 0), (3, 10), (3, 2), (9, 0), (3, 0)]
            .map(|(second, counter)| file(second, counter, 1, Form::Packed))
            .into();
        let rotation = Rotation { retain: Some(3), ..Rotation::default() };
        assert_eq!(names(&excess(&all, &rotation, 10_000)), [("D00003".into(), 2), ("D00003".into(), 0)]);
        assert!(excess(&all, &Rotation { retain: None, ..rotation.clone() }, 10_000).is_empty());
        assert_eq!(excess(&all, &Rotation { retain: Some(0), ..rotation }, 10_000).len(), 5);
    }

    #[test]
    fn the_old_go_though_there_are_few() {
        let all = [file(1, 0, 1, Form::Packed), file(99, 0, 1, Form::Plain), file(1, 1, 1, Form::Unfinished)];
        let rotation = Rotation { max_age: Duration::from_secs(50), ..Rotation::default() };
        assert_eq!(names(&excess(&all, &rotation, 100_000)), [("D00001".into(), 0)]);
    }

    #[test]
    fn a_budget_takes_the_oldest_of_all_logs_and_counts_the_live_ones() {
        let all = [file(3, 0, 40, Form::Plain), file(1, 0, 30, Form::Packed), file(2, 0, 20, Form::Packed)];
        assert_eq!(names(&overdraft(&all, 10, 75)), [("D00001".into(), 0)]);
        assert_eq!(overdraft(&all, 10, 100).len(), 0);
        assert_eq!(overdraft(&all, 500, 75).len(), 3);
        assert_eq!(overdraft(&all, 500, Bytes(0).get()).len(), 0);
    }

    proptest! {
        #[test]
        fn what_stays_fits_is_newest_and_no_more_went_than_had_to(
            sizes in vec(0u64..100, 0..30), live in 0u64..500, limit in 1u64..2000,
        ) {
            let all: Vec<Kept> =
                (0u32..).zip(&sizes).map(|(second, size)| file(second, 0, *size, Form::Plain)).collect();
            let gone = overdraft(&all, live, limit).len();
            let left = |gone: usize| live + sizes[gone..].iter().sum::<u64>();
            prop_assert!(left(gone) <= limit || gone == all.len());
            prop_assert!(gone == 0 || left(gone - 1) > limit);
        }

        #[test]
        fn retain_keeps_exactly_so_many(count in 0u32..40, retain in 0u32..40) {
            let all: Vec<Kept> = (0..count).map(|second| file(second, 0, 1, Form::Packed)).collect();
            let rotation = Rotation { retain: Some(retain), ..Rotation::default() };
            let gone = excess(&all, &rotation, 0);
            prop_assert_eq!(gone.len() as u32, count.saturating_sub(retain));
            prop_assert!(gone.iter().all(|kept| kept.written_ns < i128::from(count - count.min(retain)) * 1_000_000_000));
        }
    }
}
