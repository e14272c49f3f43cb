//! Graphs from characters, newest sample at the right.
//!
//! Blocks (one sample a cell, eight levels a line) are in every font and on the Linux console; braille (two samples
//! a cell, four levels a line) is finer, where the terminal's font has it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// What graphs are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marks {
    /// `▁▂▃▄▅▆▇█`.
    #[default]
    Blocks,
    /// `⣀⣤⣶⣿`.
    Braille,
}

const BLOCKS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Dots of a cell's left and right column from the bottom up (U+2800 + bits).
const DOTS: [[u32; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];

impl Marks {
    /// Samples side by side in a cell.
    pub fn samples(self) -> usize {
        match self {
            Marks::Blocks => 1,
            Marks::Braille => 2,
        }
    }

    /// An area filled from the bottom; `colour` of a level between 0 and 1. Zero keeps the lowest mark, so that a
    /// sample of nothing differs from no sample. Over another area, that one shines through above.
    pub fn area(self, buf: &mut Buffer, area: Rect, values: &[f32], top: f32, colour: impl Fn(f32) -> Color) {
        let per_cell = self.samples();
        let per_line = if self == Marks::Blocks { 8 } else { 4 };
        let steps = u32::from(area.height) * per_line;
        let heights = heights(usize::from(area.width) * per_cell, values, top, steps);
        for (cx, samples) in heights.chunks(per_cell).enumerate() {
            let Some(peak) = samples.iter().flatten().max().copied() else { continue };
            for cy in 0..area.height {
                let below = u32::from(area.height - 1 - cy) * per_line;
                if peak <= below {
                    continue;
                }
                let filled = |sample: Option<u32>| sample.unwrap_or(0).saturating_sub(below).min(per_line);
                // On one line the colour tells the level; on several each line has its own.
                let level = if area.height == 1 { peak } else { below + per_line / 2 };
                let colour = colour(level as f32 / steps as f32);
                let (x, y) = (area.x + cx as u16, area.y + cy);
                match (self, samples) {
                    (Marks::Braille, &[left, right]) => {
                        dots(buf, x, y, [filled(left), filled(right)], colour)
                    }
                    (Marks::Braille | Marks::Blocks, _) => block(buf, x, y, filled(Some(peak)), colour),
                }
            }
        }
    }
}

fn block(buf: &mut Buffer, x: u16, y: u16, eighths: u32, colour: Color) {
    let Some(cell) = buf.cell_mut((x, y)) else { return };
    let mut style = Style::new().fg(colour);
    if eighths < 8 && cell.symbol() == "█" {
        style = style.bg(cell.fg);
    }
    cell.set_symbol(BLOCKS[eighths as usize]).set_style(style);
}

fn dots(buf: &mut Buffer, x: u16, y: u16, filled: [u32; 2], colour: Color) {
    let Some(cell) = buf.cell_mut((x, y)) else { return };
    let column = |(n, dots): (u32, [u32; 4])| dots.iter().take(n as usize).sum::<u32>();
    let bits: u32 = filled.into_iter().zip(DOTS).map(column).sum();
    // Dots of another area that are there already stay.
    let there = cell.symbol().chars().next().map_or(0, u32::from);
    let there = if (0x2800..0x2900).contains(&there) { there - 0x2800 } else { 0 };
    if let Some(symbol) = char::from_u32(0x2800 + (there | bits)) {
        cell.set_char(symbol).set_style(Style::new().fg(colour));
    }
}

/// A dashed line at a level, only where nothing is drawn.
pub fn limit(buf: &mut Buffer, area: Rect, level: f32, style: Style) {
    let row = ((1.0 - level.clamp(0.0, 1.0)) * f32::from(area.height)).floor() as u16;
    let y = area.y + row.min(area.height.saturating_sub(1));
    for x in area.x..area.right() {
        if let Some(cell) = buf.cell_mut((x, y))
            && cell.symbol() == " "
        {
            cell.set_symbol("╌").set_style(style);
        }
    }
}

/// Steps that each sample column is high, right-aligned; `None` where there is no sample.
fn heights(columns: usize, values: &[f32], top: f32, steps: u32) -> Vec<Option<u32>> {
    let shown = &values[values.len().saturating_sub(columns)..];
    let height = |value: &f32| {
        let level = value / top.max(f32::MIN_POSITIVE);
        let level = if level.is_finite() { level.clamp(0.0, 1.0) } else { 0.0 };
        ((level * steps as f32).round() as u32).max(1)
    };
    let empty = std::iter::repeat_n(None, columns - shown.len());
    empty.chain(shown.iter().map(|value| Some(height(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(marks: Marks, width: u16, height: u16, values: &[f32]) -> Vec<String> {
        let rect = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(rect);
        marks.area(&mut buf, rect, values, 1.0, |_| Color::Reset);
        (0..height).map(|y| (0..width).map(|x| buf[(x, y)].symbol().to_owned()).collect()).collect()
    }

    #[test]
    fn samples_are_right_aligned_and_zero_differs_from_none() {
        assert_eq!(drawn(Marks::Blocks, 4, 1, &[0.0, 1.0, 0.5]), [" ▁█▄"]);
        assert_eq!(drawn(Marks::Braille, 3, 1, &[0.0, 1.0, 0.5]), [" ⢀⣧"]);
    }

    #[test]
    fn a_full_value_fills_all_lines() {
        assert_eq!(drawn(Marks::Blocks, 1, 2, &[1.0]), ["█", "█"]);
        assert_eq!(drawn(Marks::Blocks, 1, 2, &[0.75]), ["▄", "█"]);
        assert_eq!(drawn(Marks::Braille, 1, 2, &[1.0, 1.0]), ["⣿", "⣿"]);
    }

    #[test]
    fn nonsense_draws_nothing_worse_than_zero_or_full() {
        assert_eq!(drawn(Marks::Blocks, 3, 1, &[f32::NAN, -3.0, 9.0]), ["▁▁█"]);
        assert_eq!(drawn(Marks::Braille, 1, 1, &[f32::NAN, -3.0]), ["⣀"]);
    }

    #[test]
    fn an_area_over_another_lets_it_shine_through() {
        let rect = Rect::new(0, 0, 1, 1);
        let mut buf = Buffer::empty(rect);
        Marks::Blocks.area(&mut buf, rect, &[1.0], 1.0, |_| Color::Red);
        Marks::Blocks.area(&mut buf, rect, &[0.5], 1.0, |_| Color::Green);
        let cell = &buf[(0, 0)];
        assert_eq!((cell.symbol(), cell.fg, cell.bg), ("▄", Color::Green, Color::Red));
    }
}
