//! Numbers as JavaScript prints them, which is what PM2's users parse.

use serde_json::{Number, Value};

/// `0`, `0.9`, `12`: rounded to one decimal, no trailing `.0`.
pub fn tenth(value: f32) -> f64 {
    let tenth = (f64::from(value) * 10.0).round() / 10.0;
    if tenth.is_finite() { tenth + 0.0 } else { 0.0 }
}

/// A JSON number without `.0` where there is no fraction.
pub fn json(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// JavaScript's `String(number)`: exponents only from 1e21 and below 1e-6.
pub fn text(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => float(value),
        _integer => number.to_string(),
    }
}

fn float(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    if (1e-6..1e21).contains(&value.abs()) {
        return value.to_string();
    }
    let scientific = format!("{value:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _small => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_javascripts() {
        let shown = |v: f64| text(&Number::from_f64(v).unwrap());
        assert_eq!(shown(0.0), "0");
        assert_eq!(shown(-0.0), "-0");
        assert_eq!(shown(27.14999999999999), "27.14999999999999");
        assert_eq!(shown(1e21), "1e+21");
        assert_eq!(shown(1.5e-7), "1.5e-7");
        assert_eq!(shown(1e20), "100000000000000000000");
        assert_eq!(json(0.0).to_string(), "0");
        assert_eq!(json(0.9).to_string(), "0.9");
        assert_eq!(json(tenth(0.94)).to_string(), "0.9");
    }
}
