//! Times in the words of dayjs formats (`YYYY-MM-DD HH:mm:ss.SSS ZZ`), which PM2's users write.

use jiff::Zoned;
use jiff::tz::TimeZone;

/// Longest token first, so that `YYYY` is not read as `YY` twice.
const TOKENS: &[(&str, &str)] = &[
    ("YYYY", "%Y"),
    ("MMMM", "%B"),
    ("dddd", "%A"),
    ("MMM", "%b"),
    ("ddd", "%a"),
    ("SSS", "%3f"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("ZZ", "%z"),
    ("M", "%-m"),
    ("D", "%-d"),
    ("H", "%-H"),
    ("h", "%-I"),
    ("m", "%-M"),
    ("s", "%-S"),
    ("Z", "%:z"),
    ("A", "%p"),
    ("a", "%P"),
];

/// Unix milliseconds in the local zone.
pub fn local(unix_ms: i64) -> Zoned {
    timestamp(unix_ms).to_zoned(TimeZone::system())
}

/// `time` in a dayjs format; text in `[…]` and what is no token is copied.
pub fn format(time: &Zoned, format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    'next: while let Some(first) = rest.chars().next() {
        if let Some((literal, behind)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            out.push_str(literal);
            rest = behind;
            continue;
        }
        for (token, directive) in TOKENS {
            if let Some(behind) = rest.strip_prefix(token) {
                out.push_str(&time.strftime(directive).to_string());
                rest = behind;
                continue 'next;
            }
        }
        out.push(first);
        rest = rest.strip_prefix(first).unwrap_or_default();
    }
    out
}

/// True if `text` can be a dayjs format rather than a name: it has a token of two letters or more in it.
pub fn looks_like_format(text: &str) -> bool {
    ["YY", "MM", "DD", "HH", "hh", "mm", "ss", "SSS"].iter().any(|token| text.contains(token))
        && !text.chars().any(|c| c.is_ascii_lowercase() && !"hmsadt".contains(c))
}

fn timestamp(unix_ms: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_dayjs() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let time = timestamp(1_795_341_000_480).to_zoned(zone);
        let shown = |f: &str| format(&time, f);
        assert_eq!(shown("YYYY-MM-DD-HH:mm:ss"), "2026-11-22-11:50:00");
        assert_eq!(shown("YYYY-MM-DDTHH:mm:ss.SSS Z"), "2026-11-22T11:50:00.480 +02:00");
        assert_eq!(shown("DD/MM/YY ZZ [at] H"), "22/11/26 +0200 at 11");
        assert_eq!(shown("über ["), "über [");
    }

    #[test]
    fn a_name_is_no_format() {
        assert!(looks_like_format("HH:mm:ss"));
        assert!(looks_like_format("YYYY-MM-DDTHH:mm:ss"));
        for name in ["0", "web", "all", "web-ss-worker", "API"] {
            assert!(!looks_like_format(name), "{name}");
        }
    }
}
