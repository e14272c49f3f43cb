//! Lengths of time.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// PM2's uptime: whole units of the largest one that is there at least twice, so `119s` and then `2m`;
/// `h`, `D`, `M` (30 days), `Y` (365 days).
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    [(365 * DAY, "Y"), (30 * DAY, "M"), (DAY, "D"), (HOUR, "h"), (MINUTE, "m")]
        .into_iter()
        .map(|(unit, name)| (seconds / unit, name))
        .find(|(count, _)| *count > 1)
        .map_or_else(|| format!("{seconds}s"), |(count, name)| format!("{count}{name}"))
}

/// The monitor's form, two units: `45s`, `2m 05s`, `3h12m`, `4d 2h`.
pub fn clock_span(length: Duration) -> String {
    match length.as_secs() {
        s if s < MINUTE => format!("{s}s"),
        s if s < HOUR => format!("{}m {:02}s", s / MINUTE, s % MINUTE),
        s if s < DAY => format!("{}h{:02}m", s / HOUR, s % HOUR / MINUTE),
        s => format!("{}d {}h", s / DAY, s % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_follows_pm2s_rule() {
        let shown = |s| span(Duration::from_secs(s));
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(63), "63s");
        assert_eq!(shown(119), "119s");
        assert_eq!(shown(120), "2m");
        assert_eq!(shown(2 * HOUR - 1), "119m");
        assert_eq!(shown(3 * HOUR), "3h");
        assert_eq!(shown(4 * DAY), "4D");
        assert_eq!(shown(70 * DAY), "2M");
        assert_eq!(shown(800 * DAY), "2Y");
    }

    #[test]
    fn clock_span_shows_two_units() {
        let shown = |s| clock_span(Duration::from_secs(s));
        assert_eq!(shown(45), "45s");
        assert_eq!(shown(125), "2m 05s");
        assert_eq!(shown(3 * HOUR + 12 * MINUTE), "3h12m");
        assert_eq!(shown(HOUR + 59), "1h00m");
        assert_eq!(shown(4 * DAY + 2 * HOUR), "4d 2h");
    }
}
