//! Boxes of lines round cells: given widths, cut to them, coloured after cutting.

use super::colour::{self, Colour};
use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// One cell.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Plain text.
    pub fn plain(text: impl Into<String>) -> Cell {
        Cell::styled(colour::PLAIN, text)
    }

    /// Text in a style. Control characters would break the frame, or command the terminal: they become spaces.
    pub fn styled(style: Style, text: impl Into<String>) -> Cell {
        let text: String = text.into();
        Cell { text: text.replace(char::is_control, " "), style }
    }

    /// Columns it takes.
    pub fn width(&self) -> usize {
        self.text.width()
    }
}

/// Draws `rows` with these column widths (a space on either side included). `head` may be empty.
pub fn draw(widths: &[usize], head: &[Cell], rows: &[Vec<Cell>], colour: Colour) -> String {
    let rule = |left: char, middle: &str, right: char| {
        let parts: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
        colour.paint(colour::FAINT, format!("{left}{}{right}", parts.join(middle)))
    };
    let mut lines = vec![rule('┌', "┬", '┐')];
    if !head.is_empty() {
        lines.push(row(widths, head, colour));
    }
    // An empty table has no line under its head, as PM2's.
    if !head.is_empty() && !rows.is_empty() {
        lines.push(rule('├', "┼", '┤'));
    }
    lines.extend(rows.iter().map(|cells| row(widths, cells, colour)));
    lines.push(rule('└', "┴", '┘'));
    lines.join("\n")
}

/// Draws `rows` as wide as their content needs.
pub fn draw_fitting(rows: &[Vec<Cell>], colour: Colour) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(Cell::width).max().unwrap_or(0) + 2;
    let widths: Vec<usize> = (0..columns).map(width).collect();
    draw(&widths, &[], rows, colour)
}

fn row(widths: &[usize], cells: &[Cell], colour: Colour) -> String {
    let bar = colour.paint(colour::FAINT, "│");
    let mut line = bar.clone();
    for (cell, width) in cells.iter().zip(widths) {
        let inner = width.saturating_sub(2);
        let text = fit(&cell.text, inner);
        let pad = inner.saturating_sub(text.width());
        line.push(' ');
        line.push_str(&colour.paint(cell.style, &text));
        line.push_str(&" ".repeat(pad + 1));
        line.push_str(&bar);
    }
    line
}

/// `text`, cut with `…` to at most `columns`.
pub fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        // Measured as a whole: what is behind a character can change its width.
        if out.width() + 1 > columns {
            out.pop();
            break;
        }
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cell_never_breaks_the_frame(text in "\\PC{0,30}|[\u{1f300}-\u{1f5ff}\u{fe0f}\u{200d}日a]{0,20}", width in 3usize..20) {
            let drawn = draw(&[width, 4], &[], &[vec![Cell::plain(text), Cell::plain("x")]], Colour(false));
            for line in drawn.lines() {
                prop_assert_eq!(line.width(), width + 4 + 3, "{}", drawn);
            }
        }
    }

    #[test]
    fn long_text_is_cut_at_columns_not_bytes() {
        assert_eq!(fit("waiting restart", 9), "waiting …");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 6), "日本語");
        assert_eq!(fit("", 0), "");
    }

    #[test]
    fn escapes_in_a_cell_never_reach_the_terminal() {
        let drawn = draw_fitting(&[vec![Cell::plain("a\u{1b}[2Jb\n")]], Colour(false));
        assert_eq!(drawn, "┌─────────┐\n│ a [2Jb  │\n└─────────┘");
    }
}
