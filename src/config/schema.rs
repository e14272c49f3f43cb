//! Raw values → checked ones: names made canonical, types checked and made uniform.
//!
//! After this every value has the form that its [`Expects`] promises, so the getters of
//! [`Attributes`] have nothing left to refuse.

use super::attributes::{self, Attribute, Expects, Fate};
use super::error::{ConfigError, Place};
use super::{sockets, units};
use crate::model::exit::signal_number;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where attributes were written, for messages.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The file, if it was one.
    pub file: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// Name of the app, or what else tells it from the others.
    pub app: String,
}

impl Origin {
    /// The place of a key. Its line is told only if the key occurs once: evaluated files keep no positions.
    pub fn place(&self, key: &str) -> Place {
        let mut lines = (1u32..).zip(self.text.lines()).filter(|(_, line)| has_key(line, key));
        let line = match (lines.next(), lines.next()) {
            (Some((number, _)), None) => Some(number),
            (None, _) | (Some(_), Some(_)) => None,
        };
        Place { file: self.file.clone(), line, column: None, key: Some(key.to_owned()) }
    }

    fn wrong_type(&self, key: &str, expects: Expects, value: &Value) -> ConfigError {
        // What stands in place of an environment may be a secret.
        let is_private = expects == Expects::Table && value.is_string();
        let found = if is_private { "a string".to_owned() } else { describe(culprit(expects, value)) };
        ConfigError::WrongType {
            place: Box::new(self.place(key)),
            app: self.app.clone(),
            key: key.to_owned(),
            expected: expected(expects).to_owned(),
            found,
        }
    }

    /// The file as a whole.
    pub fn whole(&self) -> Place {
        Place { file: self.file.clone(), ..Place::default() }
    }

    /// `file:line: app `web`: `.
    fn prefix(&self, key: &str) -> String {
        let app = format!("app `{}`: ", self.app);
        if self.file.is_some() { format!("{}: {app}", self.place(key)) } else { app }
    }
}

/// True if the line holds `key:`, `"key":` or `'key':` outside a `//` or `#` comment.
fn has_key(line: &str, key: &str) -> bool {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") || trimmed.starts_with('#') {
        return false;
    }
    line.match_indices(key).any(|(at, _)| {
        let (before, rest) = line.split_at_checked(at).unwrap_or_default();
        let after = rest.strip_prefix(key).unwrap_or_default();
        let starts = !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.'));
        starts && after.trim_start_matches(['"', '\'']).trim_start().starts_with(':')
    })
}

/// The checked attributes of one app, by their canonical names.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    values: Map<String, Value>,
    environments: BTreeMap<String, Map<String, Value>>,
}

impl Attributes {
    /// Checks what was written. Unknown keys and attributes without effect become warnings.
    pub fn read(
        raw: &Map<String, Value>,
        origin: &Origin,
        warnings: &mut Vec<String>,
    ) -> Result<Attributes, ConfigError> {
        let mut checked = Attributes::default();
        for (key, value) in raw {
            let Some(attribute) = attributes::find(key) else {
                checked.read_unknown(key, value, origin, warnings)?;
                continue;
            };
            if is_unset(attribute, value) || (key != attribute.name && raw.contains_key(attribute.name)) {
                continue;
            }
            let good = convert(attribute.expects, value)
                .ok_or_else(|| origin.wrong_type(key, attribute.expects, value))?;
            checked.values.entry(attribute.name).or_insert(good);
        }
        Ok(checked)
    }

    fn read_unknown(
        &mut self,
        key: &str,
        value: &Value,
        origin: &Origin,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        if let Some(name) = key.strip_prefix("env_").filter(|name| !name.is_empty()) {
            match value {
                Value::Object(table) => {
                    self.environments.insert(name.to_owned(), table.clone());
                }
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    return Err(origin.wrong_type(key, Expects::Table, value));
                }
            }
            return Ok(());
        }
        let hint =
            attributes::nearest(key).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        warnings.push(format!("{}unknown attribute `{key}` is ignored{hint}", origin.prefix(key)));
        Ok(())
    }

    /// Sets an attribute from a flag, over what a file says.
    pub fn set(&mut self, name: &'static str, flag: &str, value: &Value) -> Result<(), ConfigError> {
        let Some(attribute) = attributes::find(name) else { return Ok(()) };
        let good = convert(attribute.expects, value)
            .ok_or_else(|| Origin::default().wrong_type(flag, attribute.expects, value))?;
        self.values.insert(attribute.name.to_owned(), good);
        Ok(())
    }

    /// One line for each attribute that is set to something and has no effect yet.
    pub fn without_effect<'a>(&'a self, origin: &'a Origin) -> impl Iterator<Item = String> + 'a {
        self.values
            .iter()
            .filter(|(name, value)| is_of(name, Fate::Later) && is_truthy(value))
            .map(|(name, _)| format!("app `{}`: `{name}` is not supported yet and is ignored", origin.app))
    }

    /// What goes to `App::extra`.
    pub fn extra(&self) -> Map<String, Value> {
        self.values
            .iter()
            .filter(|(name, _)| is_of(name, Fate::Kept) || is_of(name, Fate::Later))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The value itself.
    pub fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(attributes::find(name).is_some_and(|a| a.name == name), "no attribute {name}");
        self.values.get(name)
    }

    /// A string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A boolean.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A number; larger ones become the largest.
    pub fn number(&self, name: &str) -> Option<u32> {
        Some(u32::try_from(self.get(name)?.as_u64()?).unwrap_or(u32::MAX))
    }

    /// A span.
    pub fn span(&self, name: &str) -> Option<Duration> {
        self.get(name)?.as_u64().map(Duration::from_millis)
    }

    /// Strings.
    pub fn words(&self, name: &str) -> Vec<String> {
        let words = self.get(name).and_then(Value::as_array).into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Names and values.
    pub fn table(&self, name: &str) -> Option<&Map<String, Value>> {
        self.get(name)?.as_object()
    }

    /// What `env_<name>` adds.
    pub fn environment(&self, name: &str) -> Option<&Map<String, Value>> {
        self.environments.get(name)
    }
}

fn is_of(name: &str, fate: Fate) -> bool {
    attributes::find(name).is_some_and(|attribute| attribute.fate == fate)
}

/// JavaScript's truth, with `'0'` false as well: PM2's way to switch a cron off.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0" | "false"),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// null, `'null'` and `''` mean that an attribute is not given. An app may be *called* null.
fn is_unset(attribute: &Attribute, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => {
            text.is_empty() || (text == "null" && !matches!(attribute.name, "name" | "script" | "namespace"))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The value in its uniform shape; `None` if it is of the wrong type.
fn convert(expects: Expects, value: &Value) -> Option<Value> {
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
        Expects::Anything => Some(value.clone()),
    }
}

/// Completes "must be …".
fn expected(expects: Expects) -> &'static str {
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
        Expects::Scheduling => "'rr', 'shared' or 'reuseport'",
        Expects::Signal => "a signal such as 'SIGTERM'",
        Expects::Sockets => {
            "a port, 'host:port', 'udp:port', 'unix:/path', {name, listen}, or a list of these"
        }
        Expects::Anything => "anything",
    }
}

/// The element that is wrong, where the list itself would be right.
fn culprit(expects: Expects, value: &Value) -> &Value {
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
    use serde_json::json;

    fn read(raw: Value) -> (Result<Attributes, ConfigError>, Vec<String>) {
        let mut warnings = Vec::new();
        let origin = Origin { app: "web".into(), ..Origin::default() };
        (Attributes::read(raw.as_object().unwrap(), &origin, &mut warnings), warnings)
    }

    #[test]
    fn numbers_may_be_strings_and_the_canonical_name_wins() {
        let raw = json!({"restartDelay": "3000", "maxRestarts": 5, "out": "a", "out_file": "b", "name": 7});
        let (checked, warnings) = read(raw);
        let checked = checked.unwrap();
        assert_eq!(checked.span("restart_delay"), Some(Duration::from_secs(3)));
        assert_eq!(checked.number("max_restarts"), Some(5));
        assert_eq!(checked.text("out_file"), Some("b"));
        assert_eq!(checked.text("name"), Some("7"));
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn null_means_not_given() {
        let (checked, _) =
            read(json!({"script": "a", "node_args": "null", "out_file": null, "name": "null"}));
        let checked = checked.unwrap();
        assert_eq!(checked.get("node_args"), None);
        assert_eq!(checked.get("out_file"), None);
        assert_eq!(checked.text("name"), Some("null"));
    }

    #[test]
    fn a_scalar_zero_is_an_exit_code() {
        let (checked, _) = read(json!({"stop_exit_codes": 0}));
        assert_eq!(checked.unwrap().get("stop_exit_codes"), Some(&json!([0])));
    }

    #[test]
    fn wrong_types_name_app_key_expectation_and_finding() {
        let cases = [
            (json!({"instances": "many"}), "`instances` must be a number or 'max', found the string 'many'"),
            (json!({"autorestart": 1}), "`autorestart` must be true or false, found the number 1"),
            (json!({"env": "A=1"}), "`env` must be an object, found a string"),
            (
                json!({"stop_exit_codes": [0, "x"]}),
                "`stop_exit_codes` must be a number or a list of numbers, found the string 'x'",
            ),
            (json!({"env_production": 3}), "`env_production` must be an object, found the number 3"),
            (json!({"script": ["a"]}), "`script` must be a string, found a list"),
            (json!({"args": {}}), "`args` must be a list of strings or one string, found an object"),
            (
                json!({"kill_signal": "SIGWHAT"}),
                "`kill_signal` must be a signal such as 'SIGTERM', found the string 'SIGWHAT'",
            ),
            (
                json!({"exec_mode": "clustr"}),
                "`exec_mode` must be 'fork' or 'cluster', found the string 'clustr'",
            ),
            (
                json!({"kill_timeout": -1}),
                "`kill_timeout` must be a number of milliseconds or a string such as '10s', found the number -1",
            ),
        ];
        for (raw, expected) in cases {
            let message = read(raw).0.unwrap_err().to_string();
            assert_eq!(message, format!("app `web`: {expected}"));
        }
    }

    #[test]
    fn only_what_would_do_something_is_warned_about() {
        let idle =
            json!({"watch": false, "cron_restart": "0", "ignore_watch": ["x"], "vizion": true, "pmx": false});
        let (checked, _) = read(idle);
        let origin = Origin { app: "web".into(), ..Origin::default() };
        assert_eq!(checked.unwrap().without_effect(&origin).count(), 0);
        let (checked, _) = read(json!({"watch": [], "cron": "0 3 * * *"}));
        let lines: Vec<_> = checked.as_ref().unwrap().without_effect(&origin).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(checked.unwrap().extra().get("cron_restart"), Some(&json!("0 3 * * *")));
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_a_guess() {
        let (checked, warnings) = read(json!({"instnaces": 2, "x": 1}));
        assert!(checked.is_ok());
        assert_eq!(
            warnings,
            [
                "app `web`: unknown attribute `instnaces` is ignored; did you mean `instances`?",
                "app `web`: unknown attribute `x` is ignored"
            ]
        );
    }

    #[test]
    fn a_line_is_told_if_the_key_is_there_once() {
        let text = "{\n  // instances: 3\n  \"instances\": 2,\n  name: 'a', env: {name: 1},\n  env_instances: 1\n  name: 3 }";
        let origin = Origin { text: text.into(), ..Origin::default() };
        assert_eq!(origin.place("instances").line, Some(3));
        assert_eq!(origin.place("name").line, None);
        assert_eq!(origin.place("absent").line, None);
    }

    #[test]
    fn args_split_as_in_pm2() {
        let split = |line| split_words(line).join("|");
        assert_eq!(split("a \"b c\"  'd e' "), "a|b c|d e");
        assert_eq!(split("--x=\"1 2\" y"), "--x=\"1 2\"|y");
        assert_eq!(split(""), "");
    }
}
