//! When the next daemon may start.

/// So long a daemon must have served for its end to have nothing to do with its start.
pub(super) const STEADY_MS: u64 = 10_000;

/// When the next daemon may start.
#[derive(Debug, Default)]
pub(super) struct Pace {
    fails: u32,
    since_ms: u64,
    starts: u32,
}

impl Pace {
    /// After an end that is no failure: now, but after 100 within a second rest for 100 ms.
    pub(super) fn at_once(&mut self, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(self.since_ms) >= 1000 {
            (self.since_ms, self.starts) = (now_ms, 0);
        }
        self.starts += 1;
        if self.starts > 100 { 100 } else { 0 }
    }

    /// 50 ms, doubled with each failure in a row, up to 6.4 s.
    pub(super) fn after_failure(&mut self) -> u64 {
        let delay = 50 << self.fails.min(7);
        self.fails = self.fails.saturating_add(1);
        delay
    }

    /// What is tried next is something else.
    pub(super) fn reset(&mut self) {
        self.fails = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_wait_longer_and_longer() {
        let mut pace = Pace::default();
        let waits: Vec<u64> = (0..9).map(|_| pace.after_failure()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 6400, 6400]);
    }

    #[test]
    fn a_hundred_kills_a_second_cost_nothing_and_more_a_pause() {
        let mut pace = Pace::default();
        assert!((0..100).all(|n| pace.at_once(5000 + n) == 0));
        assert_eq!(pace.at_once(5500), 100);
        assert_eq!(pace.at_once(6000), 0);
    }
}
