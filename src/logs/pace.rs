//! How long bytes may gather between two rounds: so long that a chatty stream costs a batch and not a round a line, and
//! so short that its pipe does not get fuller than a quarter, at the rate of the round before.

use std::time::Duration;

/// At most: what people see is live.
const LONGEST_NS: u64 = 5_000_000;
/// After a silence, whose rate says nothing of what comes now; doubled from round to round.
const FIRST_NS: u64 = 400_000;
/// Less is not worth a system call and a wake-up.
const LEAST_NS: u64 = 60_000;
/// So long between two rounds is a silence.
const SILENCE_NS: u64 = 20_000_000;
/// Not quite a quarter of a pipe, in thousandths: of the largest ones (`lanes`), as much as staging takes at once.
const QUARTER: u64 = 220;

/// The rate of the last round.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the last round was over.
    last_ns: u64,
    /// The pause behind it.
    pause_ns: u64,
    /// How full the fullest pipe was in this round, in thousandths.
    fullest: u32,
}

impl Pace {
    /// A pipe was so full, in thousandths, when it was emptied.
    pub fn saw(&mut self, filled: u32) {
        self.fullest = self.fullest.max(filled);
    }

    /// The round is over: how long to pause. Monotonic nanoseconds.
    pub fn pause(&mut self, now_ns: u64) -> Duration {
        let fullest = u64::from(std::mem::take(&mut self.fullest)).max(1);
        let passed = now_ns.saturating_sub(std::mem::replace(&mut self.last_ns, now_ns));
        self.pause_ns = if passed >= SILENCE_NS {
            FIRST_NS
        } else {
            // A round that found little need not be followed by one that does.
            let most = (self.pause_ns * 2).clamp(FIRST_NS / 2, LONGEST_NS);
            (passed * QUARTER / fullest).min(most)
        };
        Duration::from_nanos(if self.pause_ns < LEAST_NS { 0 } else { self.pause_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses of rounds that each find what a stream wrote meanwhile, `per_ms` thousandths of its pipe a millisecond.
    fn pauses(per_ms: u64, rounds: usize) -> Vec<u64> {
        let (mut pace, mut now, mut found) = (Pace::default(), 1_000_000_000, 1);
        (0..rounds)
            .map(|_| {
                pace.saw(found);
                let pause = u64::try_from(pace.pause(now).as_nanos()).unwrap();
                // The round itself takes 20 µs.
                now += pause + 20_000;
                found = u32::try_from((pause + 20_000) * per_ms / 1_000_000).unwrap();
                pause
            })
            .collect()
    }

    #[test]
    fn a_chatty_stream_soon_costs_a_round_every_five_milliseconds() {
        let pauses = pauses(1, 8);
        assert_eq!(pauses[0], FIRST_NS);
        assert!(pauses.windows(2).all(|two| two[1] <= 2 * two[0]));
        assert_eq!(pauses[7], LONGEST_NS);
    }

    #[test]
    fn a_fast_streams_pipe_gets_a_quarter_full() {
        // A pipe in 2.5 ms, as 256 KB are at 100 MB/s.
        for pause in &pauses(400, 20)[5..] {
            assert!((450_000..650_000).contains(pause), "{pause}");
        }
        assert!(pauses(10_000, 20)[5..].iter().all(|pause| *pause == 0));
    }
}
