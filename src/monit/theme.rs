//! Colours: one palette for dark and one for light terminals, shown in true colour, 256, 16 or none at all.
//!
//! Nothing means anything by colour alone. The terminal's own background and text colour are left as they are.

use super::ansi::{Ink, Look};
use crate::model::State;
use ratatui::style::{Color, Modifier, Style};

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// `NO_COLOR`, or a terminal without.
    Mono,
    /// The terminal's own sixteen.
    Sixteen,
    /// The cube.
    Indexed,
    /// True colour.
    True,
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    /// Ordinary text.
    Text,
    /// Labels and other secondary text.
    Muted,
    /// Borders and empty graphs.
    Faint,
    /// Focus, keys, titles.
    Accent,
    /// Well.
    Good,
    /// Under way, worth a look.
    Warn,
    /// Broken.
    Bad,
    /// Marks and counters.
    Mark,
    /// Times and ids.
    Cool,
    /// Background of the selected row.
    Selected,
}

/// A quantity's gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ramp {
    /// Green to red.
    Cpu,
    /// Blue to pink.
    Memory,
    /// Teal to blue.
    Rate,
    /// Green to red.
    Latency,
}

type Rgb = (u8, u8, u8);

/// The colours in use.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    depth: Depth,
    light: bool,
}

impl Theme {
    /// A theme for a terminal of this depth and ground.
    pub fn new(depth: Depth, light: bool) -> Theme {
        Theme { depth, light }
    }

    /// From `NO_COLOR`, `COLORTERM`, `TERM` and `COLORFGBG`, which `var` looks up.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Theme {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let true_colour = set("COLORTERM").is_some_and(|v| v == "truecolor" || v == "24bit");
        let depth = match () {
            () if set("NO_COLOR").is_some() || term == "dumb" || term == "vt100" => Depth::Mono,
            () if true_colour || term.ends_with("-direct") => Depth::True,
            () if term.contains("256color") || term.contains("kitty") || term.contains("alacritty") => {
                Depth::Indexed
            }
            () => Depth::Sixteen,
        };
        let ground = set("COLORFGBG").and_then(|v| v.rsplit(';').next().map(str::to_owned));
        Theme::new(depth, ground.is_some_and(|g| g == "7" || g == "15"))
    }

    /// Style of text in this hue.
    pub fn style(&self, hue: Hue) -> Style {
        let plain = Style::new();
        match (self.depth, hue) {
            (_, Hue::Text) => plain.fg(Color::Reset),
            (_, Hue::Selected) => self.selected(),
            (Depth::Mono, Hue::Muted | Hue::Faint) => plain.add_modifier(Modifier::DIM),
            (Depth::Mono, Hue::Bad) => plain.add_modifier(Modifier::BOLD),
            (Depth::Mono, Hue::Accent | Hue::Good | Hue::Warn | Hue::Mark | Hue::Cool) => plain,
            _ => plain.fg(self.colour(hue)),
        }
    }

    /// The same, bold.
    pub fn bold(&self, hue: Hue) -> Style {
        self.style(hue).add_modifier(Modifier::BOLD)
    }

    fn selected(&self) -> Style {
        match self.depth {
            Depth::Mono | Depth::Sixteen => Style::new().add_modifier(Modifier::REVERSED),
            Depth::Indexed | Depth::True => Style::new().bg(self.colour(Hue::Selected)),
        }
    }

    /// Style of a match of the search; `here` where it stands.
    pub fn found(&self, here: bool) -> Style {
        match self.depth {
            Depth::Mono => Style::new().add_modifier(Modifier::REVERSED),
            _ if here => Style::new().fg(self.shade((22, 22, 30), Color::Black)).bg(self.colour(Hue::Warn)),
            _ if self.light => Style::new().fg(Color::Black).bg(self.shade((150, 185, 240), Color::Blue)),
            _ => Style::new()
                .fg(self.shade((214, 222, 250), Color::White))
                .bg(self.shade((61, 89, 161), Color::Blue)),
        }
    }

    fn colour(&self, hue: Hue) -> Color {
        let (dark, light, ansi) = match hue {
            Hue::Text => return Color::Reset,
            Hue::Muted => ((127, 137, 170), (96, 104, 136), Color::DarkGray),
            Hue::Faint => ((62, 69, 99), (178, 184, 207), Color::DarkGray),
            Hue::Accent => ((122, 162, 247), (46, 109, 200), Color::Blue),
            Hue::Good => ((158, 206, 106), (72, 118, 44), Color::Green),
            Hue::Warn => ((224, 175, 104), (148, 98, 22), Color::Yellow),
            Hue::Bad => ((247, 118, 142), (196, 42, 72), Color::Red),
            Hue::Mark => ((187, 154, 247), (120, 71, 189), Color::Magenta),
            Hue::Cool => ((125, 207, 255), (0, 113, 151), Color::Cyan),
            Hue::Selected => ((40, 52, 87), (205, 214, 240), Color::Reset),
        };
        self.shade(if self.light { light } else { dark }, ansi)
    }

    fn shade(&self, rgb: Rgb, ansi: Color) -> Color {
        match self.depth {
            Depth::Mono => Color::Reset,
            Depth::Sixteen => ansi,
            Depth::Indexed => Color::Indexed(nearest(rgb)),
            Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
        }
    }

    /// The gradient's colour at `level`, 0 to 1.
    pub fn ramp(&self, ramp: Ramp, level: f32) -> Color {
        let stops: [(Rgb, Color); 3] = match ramp {
            Ramp::Cpu => [
                ((115, 200, 145), Color::Green),
                ((224, 175, 104), Color::Yellow),
                ((247, 118, 142), Color::Red),
            ],
            Ramp::Memory => [
                ((122, 162, 247), Color::Blue),
                ((187, 154, 247), Color::Magenta),
                ((247, 118, 142), Color::Red),
            ],
            Ramp::Rate => {
                [((65, 166, 181), Color::Cyan), ((90, 190, 225), Color::Cyan), ((125, 207, 255), Color::Cyan)]
            }
            Ramp::Latency => [
                ((122, 190, 160), Color::Green),
                ((224, 175, 104), Color::Yellow),
                ((247, 118, 142), Color::Red),
            ],
        };
        let level = if level.is_finite() { level.clamp(0.0, 1.0) } else { 0.0 };
        let (low, high, part) = if level < 0.5 {
            (stops[0], stops[1], level * 2.0)
        } else {
            (stops[1], stops[2], level * 2.0 - 1.0)
        };
        let rgb = mix(low.0, high.0, part);
        let rgb = if self.light { mix(rgb, (0, 0, 0), 0.3) } else { rgb };
        self.shade(rgb, if part < 0.5 { low.1 } else { high.1 })
    }

    /// How a state looks.
    pub fn state(&self, state: State) -> Style {
        match state {
            State::Running | State::Ready => self.style(Hue::Good),
            State::Starting | State::Stopping | State::Backoff => self.style(Hue::Warn),
            State::Failed => self.bold(Hue::Bad),
            State::Down => self.style(Hue::Muted),
        }
    }

    /// A colour to tell sources of a merged log apart.
    pub fn label(&self, number: u32) -> Style {
        const HUES: [Hue; 5] = [Hue::Accent, Hue::Good, Hue::Mark, Hue::Cool, Hue::Warn];
        self.style(HUES[number as usize % HUES.len()])
    }

    /// What a worker's own colours become.
    pub fn look(&self, look: &Look, base: Style) -> Style {
        let mut style = base;
        let pairs = [
            (look.bold, Modifier::BOLD),
            (look.dim, Modifier::DIM),
            (look.italic, Modifier::ITALIC),
            (look.underline, Modifier::UNDERLINED),
            (look.reverse, Modifier::REVERSED),
        ];
        for (_, modifier) in pairs.into_iter().filter(|(asked, _)| *asked) {
            style = style.add_modifier(modifier);
        }
        if self.depth != Depth::Mono {
            style.fg = look.fg.map(|ink| self.ink(ink)).or(style.fg);
            style.bg = look.bg.map(|ink| self.ink(ink)).or(style.bg);
        }
        style
    }

    fn ink(&self, ink: Ink) -> Color {
        match (ink, self.depth) {
            (Ink::Indexed(n), Depth::Sixteen) if n >= 16 => Color::Reset,
            (Ink::Rgb(..), Depth::Sixteen) => Color::Reset,
            (Ink::Indexed(n), _) => Color::Indexed(n),
            (Ink::Rgb(r, g, b), _) => self.shade((r, g, b), Color::Reset),
        }
    }
}

fn mix(a: Rgb, b: Rgb, part: f32) -> Rgb {
    let one = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * part).round() as u8;
    (one(a.0, b.0), one(a.1, b.1), one(a.2, b.2))
}

/// The closest of the 6×6×6 cube and the 24 greys (xterm's values).
fn nearest(rgb: Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0..6u8).min_by_key(|i| LEVELS[usize::from(*i)].abs_diff(v)).unwrap_or(0);
    let (r, g, b) = (step(rgb.0), step(rgb.1), step(rgb.2));
    let cube = (LEVELS[usize::from(r)], LEVELS[usize::from(g)], LEVELS[usize::from(b)]);
    let mean = (u16::from(rgb.0) + u16::from(rgb.1) + u16::from(rgb.2)) / 3;
    let grey = u8::try_from((mean.saturating_sub(3) / 10).min(23)).unwrap_or(0);
    let level = 8 + 10 * grey;
    if distance(rgb, (level, level, level)) < distance(rgb, cube) {
        232 + grey
    } else {
        16 + 36 * r + 6 * g + b
    }
}

fn distance(a: Rgb, b: Rgb) -> u32 {
    let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
    square(a.0, b.0) + square(a.1, b.1) + square(a.2, b.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(vars: &[(&str, &str)]) -> Depth {
        let look = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Theme::from_env(look).depth
    }

    #[test]
    fn the_terminal_says_how_many_colours_it_has() {
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Depth::True);
        assert_eq!(depth(&[("TERM", "xterm-256color")]), Depth::Indexed);
        assert_eq!(depth(&[("TERM", "linux")]), Depth::Sixteen);
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), Depth::Mono);
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]), Depth::Indexed);
    }

    #[test]
    fn without_colour_nothing_is_coloured() {
        let theme = Theme::new(Depth::Mono, false);
        for hue in [Hue::Text, Hue::Bad, Hue::Selected, Hue::Accent] {
            let style = theme.style(hue);
            assert!(style.fg.is_none_or(|fg| fg == Color::Reset) && style.bg.is_none(), "{hue:?}");
        }
        assert_eq!(theme.ramp(Ramp::Cpu, 0.5), Color::Reset);
    }

    #[test]
    fn colours_fall_back_to_the_nearest_of_the_cube() {
        assert_eq!((nearest((255, 0, 0)), nearest((8, 8, 8)), nearest((255, 255, 255))), (196, 232, 231));
    }
}
