//! Graphs in braille: two samples a cell side by side, four levels a line, newest at the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Dots of a cell's left and right column from the bottom up (U+2800 + bits).
const DOTS: [[u32; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];

/// An area filled from the bottom; `colour` of a level between 0 and 1. Zero keeps one dot, so that a sample of
/// nothing differs from no sample.
pub fn area(buf: &mut Buffer, area: Rect, values: &[f32], top: f32, colour: impl Fn(f32) -> Color) {
    let dots = u32::from(area.height) * 4;
    let heights = heights(area, values, top, |level| ((level * dots as f32).round() as u32).max(1));
    for cy in 0..area.height {
        let below = u32::from(area.height - 1 - cy) * 4;
        for cx in 0..area.width {
            let pair = [0, 1].map(|i| heights.get(usize::from(cx) * 2 + i).copied().flatten());
            let mut bits = 0;
            for (height, column) in pair.iter().zip(DOTS) {
                let filled = height.unwrap_or(0).saturating_sub(below).min(4);
                bits |= column.iter().take(filled as usize).sum::<u32>();
            }
            if bits != 0 {
                // On one line the colour tells the level; on several each line has its own.
                let peak = pair.iter().flatten().max().copied().unwrap_or(0);
                let level = if area.height == 1 { peak } else { below + 4 };
                let style = Style::new().fg(colour(level as f32 / dots as f32));
                set(buf, area.x + cx, area.y + cy, bits, style);
            }
        }
    }
}

/// A line through the values over what is drawn already.
pub fn line(buf: &mut Buffer, area: Rect, values: &[f32], top: f32, style: Style) {
    let dots = u32::from(area.height) * 4;
    let heights = heights(area, values, top, |level| (level * (dots - 1) as f32).round() as u32);
    let mut before = None;
    for (sx, height) in heights.iter().enumerate() {
        let Some(height) = *height else { continue };
        let from = before.unwrap_or(height);
        before = Some(height);
        for dot in from.min(height)..=from.max(height) {
            // A steep step belongs to the newer sample but for its first dot.
            let (cx, side) = (sx / 2, sx % 2);
            let cy = u32::from(area.height) - 1 - dot / 4;
            let bits = DOTS[side][(dot % 4) as usize];
            set(buf, area.x + cx as u16, area.y + cy as u16, bits, style);
        }
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

/// Height of each sample column, right-aligned; `None` where there is no sample.
fn heights(area: Rect, values: &[f32], top: f32, height: impl Fn(f32) -> u32) -> Vec<Option<u32>> {
    let columns = usize::from(area.width) * 2;
    let shown = &values[values.len().saturating_sub(columns)..];
    let level = |value: &f32| {
        let level = value / top.max(f32::MIN_POSITIVE);
        if level.is_finite() { level.clamp(0.0, 1.0) } else { 0.0 }
    };
    let empty = std::iter::repeat_n(None, columns - shown.len());
    empty.chain(shown.iter().map(|value| Some(height(level(value))))).collect()
}

/// Adds dots to a cell; dots that are there stay.
fn set(buf: &mut Buffer, x: u16, y: u16, bits: u32, style: Style) {
    let Some(cell) = buf.cell_mut((x, y)) else { return };
    let there = cell.symbol().chars().next().map_or(0, u32::from);
    let there = if (0x2800..0x2900).contains(&there) { there - 0x2800 } else { 0 };
    if let Some(symbol) = char::from_u32(0x2800 + (there | bits)) {
        cell.set_char(symbol).set_style(style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u16, height: u16, draw: impl Fn(&mut Buffer, Rect)) -> Vec<String> {
        let rect = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(rect);
        draw(&mut buf, rect);
        (0..height).map(|y| (0..width).map(|x| buf[(x, y)].symbol().to_owned()).collect()).collect()
    }

    #[test]
    fn samples_are_right_aligned_and_zero_shows() {
        let graph = drawn(3, 1, |buf, rect| area(buf, rect, &[0.0, 1.0, 0.5], 1.0, |_| Color::Reset));
        assert_eq!(graph[0].chars().next(), Some(' '), "no sample, no dot");
        assert_eq!(graph[0].chars().nth(1), Some('⢀'));
        assert_eq!(graph[0].chars().nth(2), Some('⣧'));
    }

    #[test]
    fn a_full_value_fills_all_lines() {
        let graph = drawn(1, 2, |buf, rect| area(buf, rect, &[5.0, 5.0], 5.0, |_| Color::Reset));
        assert_eq!(graph, ["⣿", "⣿"]);
    }

    #[test]
    fn nonsense_draws_nothing_worse_than_zero() {
        let graph = drawn(1, 1, |buf, rect| area(buf, rect, &[f32::NAN, -3.0], 0.0, |_| Color::Reset));
        assert_eq!(graph, ["⣀"]);
    }
}
