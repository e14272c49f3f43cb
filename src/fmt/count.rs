//! Percentages, rates and plurals.

/// Percent with at most one decimal, as PM2 shows CPU: `0%`, `0.9%`, `12%`.
pub fn percent(value: f32) -> String {
    let text = format!("{value:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    format!("{}%", if short == "-0" { "0" } else { short })
}

/// Events per second: `0/s`, `7.3/s`, `850/s`, `1.2k/s`.
pub fn rate(per_second: f32) -> String {
    match per_second {
        r if r < 0.05 => "0/s".to_owned(),
        r if r < 99.95 => format!("{r:.1}/s"),
        r if r < 999.5 => format!("{r:.0}/s"),
        r if r < 999_950.0 => format!("{:.1}k/s", r / 1e3),
        r => format!("{:.1}M/s", r / 1e6),
    }
}

/// A count with its noun: `1 instance`, `4 instances`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_drops_an_empty_decimal() {
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(0.94), "0.9%");
        assert_eq!(percent(12.0), "12%");
        assert_eq!(percent(-0.01), "0%");
        assert_eq!(percent(399.96), "400%");
    }

    #[test]
    fn a_rate_keeps_to_six_columns() {
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(7.34), "7.3/s");
        assert_eq!(rate(99.96), "100/s");
        assert_eq!(rate(999.6), "1.0k/s");
        assert_eq!(rate(1_234.0), "1.2k/s");
        assert_eq!(rate(2_500_000.0), "2.5M/s");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(plural(0, "worker"), "0 workers");
        assert_eq!(plural(1, "worker"), "1 worker");
        assert_eq!(plural(2, "worker"), "2 workers");
    }
}
