//! One value: is it what its attribute expects, and how it is spoken of if it is not.

use super::attributes::Expects;
use super::{health, sockets, units};
use crate::model::exit::signal_number;
use crate::model::rotation::{self, Words};
use serde_json::Value;
use std::path::Path;

/// The value in its uniform shape; `None` if it is of the wrong type.
pub fn convert(expects: Expects, value: &Value) -> Option<Value> {
    match expects {
        Expects::Text => text(value).map(Value::from),
        Expects::Flag => flag(value).map(Value::from),
        Expects::Whole => whole(value).map(Value::from),
        Expects::Span => quantity(value, units::span_ms).map(Value::from),
        Expects::Memory => quantity(value, units::memory).map(Value::from),
        Expects::Words => words(value).map(Value::from),
        Expects::Codes => codes(value).map(Value::from),
        Expects::Instances => instances(value).map(Value::from),
        Expects::Table => value.is_object().then(|| value.clone()),
        Expects::FlagOrText => flag(value).map(Value::from).or_else(|| text(value).map(Value::from)),
        Expects::Account => text(value).map(Value::from),
        Expects::Filter => filter(value),
        Expects::Mode => choice(value, &[("fork", "fork"), ("cluster", "cluster")]),
        Expects::Overflow => choice(value, &[("drop", "drop"), ("block", "block")]),
        Expects::Scheduling => choice(
            value,
            &[
                ("rr", "rr"),
                ("round_robin", "rr"),
                ("shared", "shared"),
                ("none", "shared"),
                ("reuseport", "reuseport"),
                ("reuse_port", "reuseport"),
            ],
        ),
        Expects::Signal => signal_number(&text(value)?).map(Value::from),
        Expects::Sockets => sockets::parse(value, Path::new("/")).is_ok().then(|| value.clone()),
        Expects::Rotation => rotation_words(value),
        Expects::Health => health::parse(value).is_some().then(|| value.clone()),
        Expects::Anything => Some(value.clone()),
    }
}

/// Completes "must be …".
pub fn expected(expects: Expects) -> &'static str {
    match expects {
        Expects::Text => "a string",
        Expects::Flag => "true or false",
        Expects::Whole => "a whole number, 0 or more",
        Expects::Span => "a number of milliseconds or a string such as '10s'",
        Expects::Memory => "a number of bytes or a string such as '500M'",
        Expects::Words => "a list of strings or one string",
        Expects::Codes => "a number or a list of numbers",
        Expects::Instances => "a number or 'max'",
        Expects::Table => "an object",
        Expects::FlagOrText => "a path or true",
        Expects::Account => "a name or a number",
        Expects::Filter => "true, a name or a list of names",
        Expects::Mode => "'fork' or 'cluster'",
        Expects::Overflow => "'drop' or 'block'",
        Expects::Scheduling => "'rr', 'shared' or 'reuseport'",
        Expects::Signal => "a signal such as 'SIGTERM'",
        Expects::Sockets => {
            "a port, 'host:port', 'udp:port', 'unix:/path', {name, listen}, or a list of these"
        }
        Expects::Rotation => "true, false, or settings such as {max_size: '10M', retain: 7}",
        Expects::Health => "a path, or {path, port, interval, timeout}",
        Expects::Anything => "anything",
    }
}

/// The element that is wrong, where the list itself would be right.
pub fn culprit(expects: Expects, value: &Value) -> &Value {
    if let (Expects::Rotation, Value::Object(words)) = (expects, value) {
        let wrong = |(word, value): &(&String, &Value)| rotation_words(&one(word, value)).is_none();
        return words.iter().find(wrong).map_or(value, |(_, value)| value);
    }
    let takes_lists = matches!(expects, Expects::Words | Expects::Codes | Expects::Filter | Expects::Sockets);
    let elements = value.as_array().filter(|_| takes_lists).into_iter().flatten();
    elements.into_iter().find(|element| convert(expects, element).is_none()).unwrap_or(value)
}

/// `the string 'abc'`, `the number 3`, `true`, `a list`, `an object`, `null`.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(text) if text.chars().count() > 40 => {
            format!("the string '{}…'", text.chars().take(40).collect::<String>())
        }
        Value::String(text) => format!("the string '{text}'"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Words of `model::rotation`; `true` and `false` are `enabled`.
fn rotation_words(value: &Value) -> Option<Value> {
    let written: Words = match value {
        Value::Bool(on) => Words::from([("enabled".to_owned(), on.to_string())]),
        Value::Object(table) => {
            let word = |(word, value): (&String, &Value)| {
                Some((word.clone(), text(value).or_else(|| Some(flag(value)?.to_string()))?))
            };
            table.iter().map(word).collect::<Option<Words>>()?
        }
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
    };
    let words = rotation::checked(&written).ok()?;
    Some(words.into_iter().map(|(word, value)| (word, Value::from(value))).collect())
}

fn one(word: &str, value: &Value) -> Value {
    Value::from_iter([(word.to_owned(), value.clone())])
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn whole(value: &Value) -> Option<u64> {
    text(value)?.trim().parse().ok()
}

fn quantity(value: &Value, read: fn(&str) -> Option<u64>) -> Option<u64> {
    read(&text(value)?)
}

fn instances(value: &Value) -> Option<i64> {
    let text = text(value)?;
    if text == "max" { Some(0) } else { text.trim().parse().ok() }
}

fn codes(value: &Value) -> Option<Vec<i32>> {
    let one = |v: &Value| text(v)?.trim().parse().ok();
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Some(vec![one(value)?])
        }
    }
}

fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(list) => list.iter().map(|v| text(v).or_else(|| Some(flag(v)?.to_string()))).collect(),
        Value::String(line) => Some(split_words(line)),
        Value::Number(n) => Some(vec![n.to_string()]),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

fn filter(value: &Value) -> Option<Value> {
    match value {
        Value::Array(list) => list.iter().all(Value::is_string).then(|| value.clone()),
        Value::Bool(_) | Value::String(_) => Some(value.clone()),
        Value::Null | Value::Number(_) | Value::Object(_) => None,
    }
}

fn choice(value: &Value, choices: &[(&str, &str)]) -> Option<Value> {
    let written = value.as_str()?.to_ascii_lowercase().replace('-', "_");
    let plain = written.strip_suffix("_mode").unwrap_or(&written);
    choices.iter().find(|(name, _)| *name == plain).map(|(_, meant)| Value::from(*meant))
}

/// PM2's rule for `args` as one string: at white space, a word that is quoted as a whole loses its
/// quotes, quotes inside a word (`--x="1 2"`) hold it together and stay.
pub fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut open: Option<char> = None;
    for c in line.chars() {
        match open {
            Some(quote) if c == quote => open = None,
            None if matches!(c, '"' | '\'') => open = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(unquoted(std::mem::take(&mut word)));
                }
                continue;
            }
            Some(_) | None => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(unquoted(word));
    }
    words
}

fn unquoted(word: String) -> String {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote))
        .filter(|inner| !inner.contains(['"', '\'']))
        .map(str::to_owned)
        .unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_a_switch_or_words_and_what_is_wrong_is_shown() {
        use serde_json::json;
        let read = |value: Value| convert(Expects::Rotation, &value);
        assert_eq!(read(json!(false)), Some(json!({"enabled": "false"})));
        let words = json!({"maxSize": "5M", "retain": 7, "compress": false, "interval": "0 0 * * *"});
        let read_words = read(words).unwrap();
        assert_eq!(read_words["max_size"], "5M");
        assert_eq!((&read_words["retain"], &read_words["compress"]), (&json!("7"), &json!("false")));
        assert_eq!(read_words["rotateInterval"], "0 0 * * *");
        assert_eq!(read(json!(7)), None);
        let wrong = json!({"retain": 7, "max_size": "much"});
        assert_eq!(read(wrong.clone()), None);
        assert_eq!(culprit(Expects::Rotation, &wrong), &json!("much"));
    }

    #[test]
    fn args_split_as_in_pm2() {
        let split = |line| split_words(line).join("|");
        assert_eq!(split("a \"b c\"  'd e' "), "a|b c|d e");
        assert_eq!(split("--x=\"1 2\" y"), "--x=\"1 2\"|y");
        assert_eq!(split(""), "");
    }
}
