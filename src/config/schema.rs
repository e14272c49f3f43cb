//! Raw values → checked ones: names made canonical, types checked and made uniform.
//!
//! After this every value has the form that its [`Expects`] promises, so the getters of
//! [`Attributes`] have nothing left to refuse.

use super::attributes::{self, Attribute, Expects, Fate};
use super::error::ConfigError;
use super::origin::Origin;
use super::value::convert;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

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
            .filter(|(name, _)| is_of(name, Fate::Kept))
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

    /// Names and texts.
    pub fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let table = self.table(name).into_iter().flatten();
        table.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
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
        assert_eq!(checked.unwrap().extra().get("cron_restart"), None, "no output may claim that it is on");
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
}
