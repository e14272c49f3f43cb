//! JSON values as Node's `util.inspect(value, {depth: null, maxArrayLength: null, maxStringLength: null})`
//! prints them, for `prettylist`: scripts grep that text.
//!
//! The rules, found by comparing with Node 20 (a test still does):
//! - A string is in single quotes; in double quotes or backticks where that saves escapes. A long one with
//!   newlines is cut behind each and joined by ` +`.
//! - A key that is no identifier is quoted.
//! - More than six elements of an array are put in columns; numbers are aligned to the right.
//! - A container goes on one line if its parts and the indentation stay within 80 columns, ten of them reserved,
//!   and if the container visited last in it is fewer than three levels below it.

use super::number;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr;

/// Node's `breakLength`.
const BREAK: usize = 80;
/// Node's `compact`.
const COMPACT: usize = 3;
/// Strings up to this length are never cut.
const SHORT_STRING: usize = 16;

/// The text, without a newline at its end.
pub fn inspect(value: &Value) -> String {
    Printer { indent: 0, visited: 0 }.value(value, 0)
}

/// State that Node keeps in its context while it walks.
struct Printer {
    /// Columns of indentation.
    indent: usize,
    /// Depth of the container that was entered last; empty ones do not count.
    visited: usize,
}

/// How the parts of an array are padded.
#[derive(Clone, Copy, PartialEq)]
enum Align {
    Left,
    Right,
}

impl Printer {
    fn value(&mut self, value: &Value, depth: usize) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => number::text(n),
            Value::String(s) => self.string(s),
            Value::Array(items) => self.array(items, depth),
            Value::Object(map) => self.object(map, depth),
        }
    }

    fn array(&mut self, items: &[Value], depth: usize) -> String {
        if items.is_empty() {
            return "[]".to_owned();
        }
        self.visited = depth;
        let parts: Vec<String> = items.iter().map(|item| self.nested(item, depth)).collect();
        let align = if items.iter().all(Value::is_number) { Align::Right } else { Align::Left };
        let count = parts.len();
        let parts = if count > 6 { self.columns(parts, align) } else { parts };
        let grouped = parts.len() != count;
        self.join(parts, ('[', ']'), depth, grouped)
    }

    fn object(&mut self, map: &Map<String, Value>, depth: usize) -> String {
        if map.is_empty() {
            return "{}".to_owned();
        }
        self.visited = depth;
        let parts = map.iter().map(|(k, v)| format!("{}: {}", key(k), self.nested(v, depth))).collect();
        self.join(parts, ('{', '}'), depth, false)
    }

    fn nested(&mut self, value: &Value, depth: usize) -> String {
        self.indent += 2;
        let text = self.value(value, depth + 1);
        self.indent -= 2;
        text
    }

    fn join(&self, parts: Vec<String>, (open, close): (char, char), depth: usize, grouped: bool) -> String {
        if !grouped && self.visited - depth < COMPACT {
            let reserved = parts.len() + self.indent + 1 + 10;
            let length = parts.iter().map(|p| utf16(p)).sum::<usize>() + parts.len() + reserved;
            if length <= BREAK && !parts.iter().any(|p| p.contains('\n')) {
                return format!("{open} {} {close}", parts.join(", "));
            }
        }
        let pad = " ".repeat(self.indent);
        format!("{open}\n{pad}  {}\n{pad}{close}", parts.join(&format!(",\n{pad}  ")))
    }

    fn string(&self, text: &str) -> String {
        let length = utf16(text);
        if length > SHORT_STRING && length + self.indent + 4 > BREAK {
            let lines: Vec<String> = text.split_inclusive('\n').map(quote).collect();
            return lines.join(&format!(" +\n{}", " ".repeat(self.indent + 2)));
        }
        quote(text)
    }

    /// Puts the parts of a long array in columns, nearly as a square; returns one part a line.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the layout is defined in floating point; values are small and not negative"
    )]
    fn columns(&self, parts: Vec<String>, align: Align) -> Vec<String> {
        let lengths: Vec<usize> = parts.iter().map(|p| columns_of(p)).collect();
        let total: usize = lengths.iter().map(|l| l + 2).sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let widest = longest + 2;
        let alike = total as f64 / widest as f64 > 5.0 || longest <= 6;
        if widest * 3 + self.indent >= BREAK || !alike {
            return parts;
        }
        let bias = (widest as f64 - total as f64 / parts.len() as f64).sqrt();
        let biased = (widest as f64 - 3.0 - bias).max(1.0);
        let square = ((2.5 * biased * parts.len() as f64).sqrt() / biased).round() as usize;
        let columns = square.min((BREAK - self.indent) / widest).min(COMPACT * 4).min(15);
        if columns <= 1 {
            return parts;
        }
        let width = |i: usize| lengths.iter().skip(i).step_by(columns).max().copied().unwrap_or(0) + 2;
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let measured: Vec<(String, usize)> = parts.into_iter().zip(lengths).collect();
        measured.chunks(columns).map(|line| put_in_columns(line, &widths, align)).collect()
    }
}

fn put_in_columns(line: &[(String, usize)], widths: &[usize], align: Align) -> String {
    let mut out = String::new();
    for (i, ((part, length), width)) in line.iter().zip(widths).enumerate() {
        let last = i + 1 == line.len();
        let pad = " ".repeat(width.saturating_sub(length + 2));
        match align {
            Align::Right => out.push_str(&format!("{pad}{part}{}", if last { "" } else { ", " })),
            Align::Left if last => out.push_str(part),
            Align::Left => out.push_str(&format!("{part}, {pad}")),
        }
    }
    out
}

/// Length as JavaScript counts it.
fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Columns on a terminal; line breaks take none.
fn columns_of(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).sum()
}

fn key(name: &str) -> String {
    let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match name {
        "__proto__" => "['__proto__']".to_owned(),
        _ if identifier => name.to_owned(),
        _ => quote(name),
    }
}

/// The quote that needs no escape, single if all would.
fn quote(text: &str) -> String {
    let mark = if !text.contains('\'') {
        '\''
    } else if !text.contains('"') {
        '"'
    } else if !text.contains('`') && !text.contains("${") {
        '`'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            '\'' if mark == '\'' => out.push_str("\\'"),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn quotes_are_chosen_to_save_escapes() {
        let shown = |text: &str| inspect(&json!(text));
        assert_eq!(shown("plain"), "'plain'");
        assert_eq!(shown("it's"), "\"it's\"");
        assert_eq!(shown("it's \"so\""), "`it's \"so\"`");
        assert_eq!(shown("it's \"so\" `${x}"), "'it\\'s \"so\" `${x}'");
        assert_eq!(shown("tab\t nl\n esc\u{1b} del\u{7f} back\\"), r"'tab\t nl\n esc\x1B del\x7F back\\'");
    }

    #[test]
    fn keys_that_are_no_identifiers_are_quoted() {
        assert_eq!(inspect(&json!({"a_1": 1, "a-b": 2, "1a": {}})), "{ a_1: 1, 'a-b': 2, '1a': {} }");
    }

    #[test]
    fn a_container_is_inlined_up_to_about_72_columns() {
        let lines = |length: usize| inspect(&json!({"key": "x".repeat(length)})).lines().count();
        assert_eq!((lines(60), lines(61)), (1, 3), "one part: 71 columns");
        let lines = |length: usize| inspect(&json!({"a": 1, "key": "x".repeat(length)})).lines().count();
        assert_eq!((lines(54), lines(55)), (1, 4), "two parts: 71 columns");
    }

    #[test]
    fn the_fourth_level_breaks_the_outermost() {
        assert_eq!(inspect(&json!({"a": {"b": {"c": {}}}})), "{ a: { b: { c: {} } } }");
        assert_eq!(inspect(&json!({"a": {"b": {"c": {"d": 1}}}})), "{\n  a: { b: { c: { d: 1 } } }\n}");
    }

    #[test]
    fn many_numbers_stand_in_columns() {
        let numbers: Vec<u32> = (0..20).map(|n| n * n).collect();
        insta::assert_snapshot!(inspect(&json!(numbers)));
    }

    /// Any JSON, with keys that JavaScript does not reorder (numbers come first there).
    fn any_json() -> impl Strategy<Value = Value> {
        let text = "[ -~\\n\\t]{0,40}|[a-z'\"`$\\\\{}é\u{1}]{0,90}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-100_000i64..100_000).prop_map(Value::from),
            (-1e9..1e9).prop_map(|f: f64| Value::from((f * 100.0).round() / 100.0 + 0.005)),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 80, 24, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..24).prop_map(Value::from),
                proptest::collection::vec(-5000i64..5000, 0..60).prop_map(Value::from),
                proptest::collection::vec("[a-z]{1,12}", 0..30).prop_map(Value::from),
                proptest::collection::vec(("[a-zA-Z_][a-z_ '-]{0,9}", inner), 0..8)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    /// What Node itself prints for each of `values`; `None` without Node (install `nodejs` to have it compared).
    fn node_says(values: &[Value]) -> Option<Vec<String>> {
        let script = "const o = {depth: null, maxArrayLength: null, maxStringLength: null};
            const all = JSON.parse(require('fs').readFileSync(0, 'utf8'));
            process.stdout.write(JSON.stringify(all.map(v => require('util').inspect(v, o))));";
        let mut child = std::process::Command::new("node")
            .args(["-e", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .ok()?;
        serde_json::to_writer(child.stdin.take().unwrap(), values).unwrap();
        let output = child.wait_with_output().unwrap();
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }

    #[test]
    fn node_prints_the_same() {
        use proptest::strategy::ValueTree;
        let mut runner = proptest::test_runner::TestRunner::default();
        let values: Vec<Value> =
            (0..1500).map(|_| any_json().new_tree(&mut runner).unwrap().current()).collect();
        let Some(expected) = node_says(&values) else {
            eprintln!("not compared: `node` is missing, install the package `nodejs`");
            return;
        };
        for (value, expected) in values.iter().zip(expected) {
            assert_eq!(inspect(value), expected, "{value}");
        }
    }
}
