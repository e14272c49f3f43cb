//! Of whom do daemons die at their start? An entry that no daemon survives is set aside: daemons do without it, and its
//! process and descriptors stay with the keeper.
//!
//! ```text
//!   two deaths ─▶ forgiven
//!   the third  ─▶ it said which entry it was busy with ──▶ that one is on trial
//!                                                          │ the next got further: guilty; whom it died of is on trial
//!                 it did not say, or that did not help ───▶│ part by part (one by one, up to sixteen) are on trial
//!                                                          └ none of them helped: all are
//!   READY      ─▶ who is on trial is guilty
//! ```
//! A daemon that serves and dies over an entry that it was just told to take back condemns that one at once.

use std::collections::BTreeMap;

/// Deaths in a row before anybody is suspected.
const STRIKES: u32 = 3;
/// Parts that are tried one after the other where no daemon says whom it dies of.
const PARTS: usize = 16;

/// What daemons do without, and why they die.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Deaths before READY in a row.
    deaths: u32,
    /// Who is set aside.
    aside: Vec<u64>,
    /// Those of them without whom no daemon has served yet.
    trial: Vec<u64>,
    /// What is still to be tried, the next one last; `None`: daemons are believed.
    parts: Option<Vec<Vec<u64>>>,
    all: bool,
    /// What the present daemon is busy with.
    busy: Option<u64>,
    /// Which order wanted an entry back last.
    keys: BTreeMap<u64, u64>,
}

impl Suspects {
    /// As the program before this one knew it.
    pub(super) fn from_image(aside: &[(u64, u64)], all: bool) -> Suspects {
        let aside_now = aside.iter().map(|(entry, _)| *entry).collect();
        Suspects { aside: aside_now, keys: aside.iter().copied().collect(), all, ..Suspects::default() }
    }

    /// Who is set aside, and which order wanted each of them back last (0: none).
    pub(super) fn aside(&self) -> Vec<(u64, u64)> {
        self.aside.iter().map(|entry| (*entry, self.keys.get(entry).copied().unwrap_or(0))).collect()
    }

    /// Also those who are not known yet.
    pub(super) fn all(&self) -> bool {
        self.all
    }

    /// True if somebody is set aside.
    pub(super) fn any(&self) -> bool {
        self.all || !self.aside.is_empty()
    }

    /// True while it is found out who is to blame.
    pub(super) fn searching(&self) -> bool {
        !self.trial.is_empty()
    }

    /// The daemon begins with this entry, or, with 0, is done with the last one.
    pub(super) fn busy_with(&mut self, entry: u64) {
        self.busy = Some(entry).filter(|entry| *entry != 0);
    }

    /// Daemons do without this one, as another keeper has found out.
    pub(super) fn set_aside(&mut self, entry: u64, key: u64) {
        self.keys.insert(entry, key);
        if !self.aside.contains(&entry) {
            self.aside.push(entry);
        }
    }

    /// The order `key` wants it back. `known`: all entries there are.
    pub(super) fn take_back(&mut self, entry: u64, key: u64, known: &[u64]) {
        if std::mem::take(&mut self.all) {
            self.aside = known.to_vec();
        }
        self.aside.retain(|other| *other != entry);
        self.keys.insert(entry, key);
    }

    /// A daemon serves.
    pub(super) fn served(&mut self) {
        self.deaths = 0;
        self.trial.clear();
        self.parts = None;
        self.busy = None;
    }

    /// One that served has died.
    pub(super) fn died_serving(&mut self) {
        if let Some(entry) = self.busy.take()
            && !self.aside.contains(&entry)
        {
            self.aside.push(entry);
        }
    }

    /// One has died at its start. `known`: all entries there are, in the order in which daemons begin with them. True if
    /// nothing is left to try.
    pub(super) fn died(&mut self, known: &[u64]) -> bool {
        self.deaths += 1;
        let busy = self.busy.take();
        if self.deaths < STRIKES {
            return false;
        }
        let place = |entry: &u64| known.iter().position(|other| other == entry);
        let further = |entry: &u64| {
            self.trial.iter().all(|last| match (place(last), place(entry)) {
                (Some(last), Some(now)) => last < now,
                _not_known_yet => last < entry,
            })
        };
        match busy.filter(|entry| self.parts.is_none() && !self.aside.contains(entry) && further(entry)) {
            Some(entry) => {
                self.trial = vec![entry];
                self.aside.push(entry);
                false
            }
            None => self.search(known),
        }
    }

    /// The next part is on trial instead of the last.
    fn search(&mut self, known: &[u64]) -> bool {
        let trial = std::mem::take(&mut self.trial);
        self.aside.retain(|entry| !trial.contains(entry));
        let aside = &self.aside;
        let parts = self.parts.get_or_insert_with(|| {
            let left: Vec<u64> = known.iter().copied().filter(|entry| !aside.contains(entry)).collect();
            let size = left.len().div_ceil(PARTS).max(1);
            left.chunks(size).rev().map(<[u64]>::to_vec).collect()
        });
        match parts.pop() {
            Some(part) => {
                self.aside.extend(&part);
                self.trial = part;
                false
            }
            None => std::mem::replace(&mut self.all, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts daemons that die of `poison` until one serves; `says`: they tell whom they are busy with.
    fn run(known: &[u64], poison: &[u64], says: bool) -> (Suspects, u32) {
        let mut suspects = Suspects::default();
        for starts in 1..100 {
            let aside: Vec<u64> = suspects.aside().iter().map(|(entry, _)| *entry).collect();
            let killer = known.iter().find(|entry| poison.contains(entry) && !aside.contains(entry));
            match killer.filter(|_| !suspects.all()) {
                None => {
                    suspects.served();
                    return (suspects, starts);
                }
                Some(killer) => {
                    suspects.busy_with(if says { *killer } else { 0 });
                    assert!(!suspects.died(known));
                }
            }
        }
        panic!("no daemon came up: {suspects:?}");
    }

    fn aside(suspects: &Suspects) -> Vec<u64> {
        let mut aside: Vec<u64> = suspects.aside().iter().map(|(entry, _)| *entry).collect();
        aside.sort_unstable();
        aside
    }

    const KNOWN: [u64; 5] = [1, 2, 3, 4, 5];

    #[test]
    fn whom_daemons_name_is_set_aside_and_nobody_else() {
        for poison in [&[3][..], &[1, 2, 5], &[1, 2, 3, 4, 5]] {
            let (suspects, starts) = run(&KNOWN, poison, true);
            assert_eq!((aside(&suspects), suspects.all()), (poison.to_vec(), false));
            assert_eq!(starts as usize, 3 + poison.len());
        }
    }

    #[test]
    fn one_whom_nobody_names_is_found_and_where_one_does_not_help_all_are_set_aside() {
        let (suspects, _) = run(&KNOWN, &[4], false);
        assert_eq!((aside(&suspects), suspects.all()), (vec![4], false));
        let (suspects, starts) = run(&KNOWN, &[2, 4], false);
        assert!(suspects.all());
        assert_eq!((aside(&suspects), starts), (vec![], 3 + 5 + 1));
    }

    #[test]
    fn a_large_fleet_is_searched_in_sixteen_parts() {
        let known: Vec<u64> = (1..=1000).collect();
        let (suspects, starts) = run(&known, &[1000], false);
        assert!(aside(&suspects).contains(&1000) && starts <= 20, "{starts}");
    }

    #[test]
    fn an_innocent_who_was_named_is_led_again() {
        let mut suspects = Suspects::default();
        for _ in 0..3 {
            suspects.busy_with(3);
            assert!(!suspects.died(&KNOWN));
        }
        assert_eq!(aside(&suspects), [3]);
        // The next one died before it came so far.
        suspects.busy_with(2);
        suspects.died(&KNOWN);
        assert_eq!(aside(&suspects), [1]);
    }

    #[test]
    fn who_is_taken_back_and_kills_again_is_set_aside_at_once_with_the_order_that_asked() {
        let (mut suspects, _) = run(&KNOWN, &[3], true);
        suspects.take_back(3, 77, &KNOWN);
        suspects.busy_with(3);
        suspects.died_serving();
        assert_eq!(suspects.aside(), [(3, 77)]);
        suspects.take_back(3, 78, &KNOWN);
        suspects.busy_with(3);
        suspects.busy_with(0);
        suspects.died_serving();
        assert_eq!(suspects.aside(), []);
    }

    #[test]
    fn where_nobody_is_left_to_blame_that_is_said() {
        let mut suspects = Suspects::default();
        let hopeless = (0..10).position(|_| suspects.died(&[]));
        assert_eq!((hopeless, suspects.all()), (Some(3), true));
    }
}
