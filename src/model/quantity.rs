//! Quantities as people write them: `500M`, `10s`. The other direction is `fmt`.
//!
//! PM2 takes `300M` but neither `300m` nor `1.5G`, and `10s` for `min_uptime` only; all of these are
//! taken here, everywhere. A bare number means what it means in PM2: bytes, milliseconds.

/// Bytes, from `1073741824`, `500M`, `1.5G`, `200mb`, `64KiB`; steps of 1024.
pub fn memory(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = unit.to_ascii_lowercase();
    let short = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let factor = match (short, unit.as_str()) {
        ("", "ib") => return None,
        ("", _) => 1,
        ("k", _) => 1 << 10,
        ("m", _) => 1 << 20,
        ("g", _) => 1 << 30,
        ("t", _) => 1u64 << 40,
        _ => return None,
    };
    scale(number, factor)
}

/// Milliseconds, from `1500`, `1500ms`, `10s`, `1.5m`, `1h`, `1d`.
pub fn span_ms(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    scale(number, factor)
}

/// `1.5 GB` → `1.5` and `GB`.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number, unit.trim_start()))
}

/// Whole numbers stay exact; `None` if there is no number or it does not fit.
fn scale(number: &str, factor: u64) -> Option<u64> {
    if !number.contains('.') {
        return number.parse::<u64>().ok()?.checked_mul(factor);
    }
    let product = number.parse::<f64>().ok()? * factor as f64;
    (product < u64::MAX as f64).then_some(product.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_is_in_powers_of_1024() {
        assert_eq!(memory("1024"), Some(1024));
        assert_eq!(memory("500M"), Some(500 << 20));
        assert_eq!(memory("1.5G"), Some(1536 << 20));
        assert_eq!(memory("200mb"), Some(200 << 20));
        assert_eq!(memory("64 KiB"), Some(64 << 10));
        assert_eq!(memory("7b"), Some(7));
        for wrong in ["", "M", "ib", "7ib", "-1", "5X", "1.2.3M", "1 2", "99999999999999999999"] {
            assert_eq!(memory(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_bare_span_is_in_milliseconds() {
        assert_eq!(span_ms("3000"), Some(3000));
        assert_eq!(span_ms("250ms"), Some(250));
        assert_eq!(span_ms("10s"), Some(10_000));
        assert_eq!(span_ms("1.5m"), Some(90_000));
        assert_eq!(span_ms("1h"), Some(3_600_000));
        for wrong in ["", "s", "-5s", "5 parsecs", "1h30m"] {
            assert_eq!(span_ms(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whole_quantities_are_exact(n in 0u64..(1 << 20)) {
            prop_assert_eq!(memory(&format!("{n}G")), Some(n << 30));
            prop_assert_eq!(memory(&n.to_string()), Some(n));
            prop_assert_eq!(span_ms(&format!("{n}s")), Some(n * 1000));
            prop_assert_eq!(span_ms(&format!("{n}ms")), span_ms(&n.to_string()));
        }

        #[test]
        fn a_fraction_is_within_half_a_unit(tenths in 1u64..100_000) {
            let text = format!("{}.{}M", tenths / 10, tenths % 10);
            let exact = tenths as f64 / 10.0 * f64::from(1 << 20);
            prop_assert!((memory(&text).unwrap() as f64 - exact).abs() <= 0.5);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = (memory(&text), span_ms(&text));
        }
    }
}
