//! What `logs --stats` says: how much each app wrote, and what repeats.

use super::colour::{self, Colour};
use super::grid::{self, Cell};
use super::logs::grouped;
use crate::fmt;
use crate::model::Bytes;
use crate::search::stats::Stats;
use serde_json::json;

/// So many of the lines that repeat most are named.
const TOP: usize = 10;
/// Columns of a line that is named.
const WIDTH: usize = 120;

/// For people.
pub fn text(stats: &Stats, colour: Colour) -> String {
    let head = ["app", "lines", "bytes", "lines/s", "stderr", "errors", "warnings"];
    let mut rows = vec![head.map(|name| Cell::styled(colour::BOLD, name)).to_vec()];
    for (app, totals) in stats.apps() {
        let rate = totals.rate().map_or_else(|| "-".to_owned(), fmt::rate);
        let numbers = [totals.err_lines, totals.errors, totals.warnings].map(grouped);
        let size = fmt::bytes(Bytes(totals.bytes));
        let cells = [app.to_owned(), grouped(totals.lines), size, rate].into_iter().chain(numbers);
        rows.push(cells.map(Cell::plain).collect());
    }
    let mut out = grid::draw_fitting(&rows, colour);
    for (count, line) in stats.top(TOP) {
        let line: String = String::from_utf8_lossy(line).chars().take(WIDTH).collect();
        out.push_str(&format!("\n{:>10} × {}", grouped(count), line.replace(char::is_control, " ")));
    }
    out
}

/// For programs.
pub fn json(stats: &Stats) -> String {
    let apps = stats.apps().map(|(app, totals)| {
        json!({
            "app_name": app,
            "lines": totals.lines,
            "bytes": totals.bytes,
            "lines_per_second": totals.rate(),
            "err_lines": totals.err_lines,
            "errors": totals.errors,
            "warnings": totals.warnings,
            "first": totals.span.map(|(first, _)| fmt::iso_utc(first)),
            "last": totals.span.map(|(_, last)| fmt::iso_utc(last)),
        })
    });
    let top = stats.top(TOP).into_iter();
    let top = top.map(|(count, line)| json!({ "count": count, "example": String::from_utf8_lossy(line) }));
    json!({ "apps": apps.collect::<Vec<_>>(), "repeated": top.collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamKind;
    use crate::search::Line;

    #[test]
    fn apps_and_repeated_lines_are_counted() {
        let mut stats = Stats::default();
        for n in 0..2000 {
            let text = format!("ERROR refused {n}\n");
            let line =
                Line { bytes: text.as_bytes(), at_ms: Some(n * 10), known: true, hit: true, apart: false };
            stats.push("web", StreamKind::Out, &line);
        }
        insta::assert_snapshot!(text(&stats, Colour(false)), @"
        ┌─────┬───────┬────────┬─────────┬────────┬────────┬──────────┐
        │ app │ lines │ bytes  │ lines/s │ stderr │ errors │ warnings │
        │ web │ 2,000 │ 36.0kb │ 100/s   │ 0      │ 2,000  │ 0        │
        └─────┴───────┴────────┴─────────┴────────┴────────┴──────────┘
             2,000 × ERROR refused 0
        ");
        assert!(json(&stats).contains(r#""lines":2000"#));
    }
}
