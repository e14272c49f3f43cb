//! What tells a rotated file from a user's own beside a log: only a name with a date of the right shape counts, and perhaps
//! a counter behind it.

use super::Rotation;
use super::date::DateFormat;

/// What dates in names look like: those of the formats in force, and of the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes(Vec<String>);

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes::of_formats([])
    }
}

impl Shapes {
    /// Those of these settings.
    pub fn of(rotation: &Rotation) -> Shapes {
        Shapes::of_formats([rotation.date_format.as_str()])
    }

    /// Those of these date formats.
    pub fn of_formats<'a>(formats: impl IntoIterator<Item = &'a str>) -> Shapes {
        let shape_of = |format: &str| shape(&DateFormat::in_zone(format, jiff::tz::TimeZone::UTC).format(0));
        let mut shapes = vec![shape_of(&Rotation::default().date_format)];
        for format in formats {
            let shape = shape_of(format);
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        Shapes(shapes)
    }

    /// A date, with its counter if there is one.
    pub fn split<'a>(&self, middle: &'a str) -> Option<(&'a str, u32)> {
        if self.0.contains(&shape(middle)) {
            return Some((middle, 0));
        }
        let (date, counter) = middle.rsplit_once('_')?;
        let counter = counter.parse().ok().filter(|_| counter.bytes().all(|b| b.is_ascii_digit()))?;
        self.0.contains(&shape(date)).then_some((date, counter))
    }
}

/// Runs of digits become `0`, runs of letters `a`, the rest stays.
fn shape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let class = match c {
            c if c.is_ascii_digit() => '0',
            c if c.is_alphabetic() => 'a',
            other => other,
        };
        if !(matches!(class, '0' | 'a') && out.ends_with(class)) {
            out.push(class);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_right_shape_count_and_their_counters() {
        let shapes = Shapes::of_formats(["MMM-YYYY"]);
        assert_eq!(shapes.split("2026-11-22_08-16-03"), Some(("2026-11-22_08-16-03", 0)));
        assert_eq!(shapes.split("2026-11-22_08-16-03_012"), Some(("2026-11-22_08-16-03", 12)));
        assert_eq!(shapes.split("Nov-2026_2"), Some(("Nov-2026", 2)));
        for other in ["notes", "2026-11-22", "11-2026", "", "2026-11-22_08-16-03_x", "Nov-2026_"] {
            assert_eq!(shapes.split(other), None, "{other}");
        }
        assert_eq!(Shapes::default().split("Nov-2026"), None);
    }
}
