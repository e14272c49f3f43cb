//! Calls into file systems that are under way, and which of them hang: so that no second thread is lost to the same disk.

use std::path::{Path, PathBuf};

/// So many calls may hang at once in files of which it is not known on what device they are.
const UNKNOWN_HANGING: usize = 8;

/// Those under way, rarely more than one.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    next: u64,
}

#[derive(Debug)]
struct Call {
    number: u64,
    path: PathBuf,
    device: Option<u64>,
    /// It has been waited for in vain, since then.
    hangs: Option<u64>,
}

impl Calls {
    /// One for this path, on this device if that is known; returns its number.
    pub(super) fn begin(&mut self, path: &Path, device: Option<u64>) -> u64 {
        self.next += 1;
        self.calls.push(Call { number: self.next, path: path.to_owned(), device, hangs: None });
        self.next
    }

    /// It has returned.
    pub(super) fn end(&mut self, number: u64) {
        self.calls.retain(|call| call.number != number);
    }

    /// All that are under way have been, since then, for so long that they are not waited for.
    pub(super) fn give_up(&mut self, since_ms: u64) {
        for call in self.calls.iter_mut().filter(|call| call.hangs.is_none()) {
            call.hangs = Some(since_ms);
        }
    }

    /// One that hangs: in which file, since when.
    pub(super) fn hung(&self) -> Option<(PathBuf, u64)> {
        self.calls.iter().find_map(|call| Some((call.path.clone(), call.hangs?)))
    }

    /// The disk of this file, on this device if that is known, does not answer: since when.
    pub(super) fn hangs(&self, path: &Path, device: Option<u64>) -> Option<u64> {
        let hanging = || self.calls.iter().filter_map(|call| Some((call, call.hangs?)));
        hanging().next()?;
        let concerned = hanging().find(|(call, _)| match (device, call.device) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // Not known where it is: next to one that hangs it is likely there too.
            (None, _) | (_, None) => call.path.parent() == path.parent(),
        });
        let crowded = || {
            let unknown = hanging().filter(|(call, _)| call.device.is_none());
            (device.is_none() && unknown.count() >= UNKNOWN_HANGING).then(|| hanging().next()).flatten()
        };
        concerned.or_else(crowded).map(|(_, since)| since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_hangs_is_not_asked_again_and_others_are() {
        let mut calls = Calls::default();
        let number = calls.begin(Path::new("/slow/a.log"), Some(1));
        assert_eq!(calls.hangs(Path::new("/slow/b.log"), Some(1)), None, "not yet");
        calls.give_up(7);
        assert_eq!(calls.hangs(Path::new("/elsewhere/b.log"), Some(1)), Some(7));
        assert_eq!(calls.hangs(Path::new("/slow/b.log"), None), Some(7), "beside it");
        assert_eq!(calls.hangs(Path::new("/slow/b.log"), Some(2)), None);
        assert_eq!(calls.hangs(Path::new("/fast/b.log"), None), None);
        calls.end(number);
        assert_eq!(calls.hangs(Path::new("/slow/a.log"), Some(1)), None);
    }

    #[test]
    fn not_every_unknown_file_costs_a_thread() {
        let mut calls = Calls::default();
        for n in 0..UNKNOWN_HANGING {
            calls.begin(&PathBuf::from(format!("/{n}/x.log")), None);
        }
        calls.give_up(7);
        assert_eq!(calls.hangs(Path::new("/new/x.log"), None), Some(7));
        assert_eq!(calls.hangs(Path::new("/new/x.log"), Some(3)), None, "it is known to be elsewhere");
    }
}
