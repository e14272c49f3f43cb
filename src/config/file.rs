//! The shapes a file may have: `{apps: […]}`, `{apps: {…}}`, `{pm2: …}`, a list, one app by itself.

use super::caller::Caller;
use super::error::{ConfigError, Place};
use super::find::{self, Format};
use super::value::describe;
use super::{js, json, yaml};
use serde_json::{Map, Value};
use std::path::Path;

/// One app as written.
pub type RawApp = Map<String, Value>;

/// A file, taken apart.
#[derive(Debug, Default)]
pub struct Document {
    /// The apps, in order.
    pub apps: Vec<RawApp>,
    /// `deploy`: only its `env`s are used.
    pub deploy: RawApp,
    /// There is a `static` list of file servers.
    pub has_static: bool,
}

/// Reads a file; the text comes along for looking up lines.
pub fn read(path: &Path, caller: &Caller) -> Result<(Document, String), ConfigError> {
    if !path.is_file() {
        return Err(ConfigError::FileNotFound { path: path.to_path_buf() });
    }
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let place = Place::in_file(path);
    let value = match find::format(&name).unwrap_or(Format::Json) {
        Format::Json => json::parse(&text, place.clone())?,
        Format::Yaml => yaml::parse(&text, place.clone())?,
        Format::JavaScript => js::evaluate(path, caller)?,
    };
    Ok((take_apart(value, &place)?, text))
}

/// Finds the apps in a parsed file.
pub fn take_apart(value: Value, place: &Place) -> Result<Document, ConfigError> {
    let Value::Object(mut root) = value else {
        return Ok(Document { apps: list(value, place)?, ..Document::default() });
    };
    let deploy = match root.remove("deploy") {
        Some(Value::Object(deploy)) => deploy,
        Some(_) | None => Map::new(),
    };
    let has_static = root.remove("static").is_some();
    let apps = match root.remove("apps").or_else(|| root.remove("pm2")) {
        Some(Value::Object(inner)) if inner.contains_key("apps") => {
            return take_apart(Value::Object(inner), place);
        }
        Some(apps) => list(apps, place)?,
        None if has_static && root.is_empty() => Vec::new(),
        None => vec![root],
    };
    Ok(Document { apps, deploy, has_static })
}

fn list(value: Value, place: &Place) -> Result<Vec<RawApp>, ConfigError> {
    let wrong = |expected, found: &Value| ConfigError::NoApps {
        place: Box::new(place.clone()),
        expected,
        found: describe(found),
    };
    match value {
        Value::Object(app) => Ok(vec![app]),
        Value::Array(apps) => apps
            .into_iter()
            .map(|app| match app {
                Value::Object(app) => Ok(app),
                other => Err(wrong("an object for each app", &other)),
            })
            .collect(),
        other => Err(wrong("a list of apps", &other)),
    }
}

/// `3000.0` → `3000`: to JavaScript they are one number, and `env` must not tell them apart.
pub fn integral(value: &mut Value) {
    match value {
        Value::Number(n) => {
            // Beyond 2^53 an f64 is no longer exact, and JavaScript would print it otherwise.
            const EXACT: f64 = 9_007_199_254_740_992.0;
            if let Some(float) = n.as_f64().filter(|f| n.is_f64() && f.fract() == 0.0 && f.abs() <= EXACT) {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(integral),
        Value::Object(fields) => fields.values_mut().for_each(integral),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scripts(value: Value) -> Vec<String> {
        let document = take_apart(value, &Place::default()).unwrap();
        document.apps.iter().map(|app| app["script"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_container_is_opened() {
        let (a, b) = (json!({"script": "a"}), json!({"script": "b"}));
        assert_eq!(scripts(json!({"apps": [a, b], "deploy": {}})), ["a", "b"]);
        assert_eq!(scripts(json!({"apps": a})), ["a"]);
        assert_eq!(scripts(json!({"pm2": [a, b]})), ["a", "b"]);
        assert_eq!(scripts(json!({"pm2": {"apps": [b]}, "name": "package"})), ["b"]);
        assert_eq!(scripts(json!([a, b])), ["a", "b"]);
        assert_eq!(scripts(a), ["a"]);
    }

    #[test]
    fn what_is_no_list_of_apps_is_refused() {
        for (value, found) in [
            (json!("x"), "the string 'x'"),
            (json!({"apps": 3}), "the number 3"),
            (json!([1]), "the number 1"),
        ] {
            let error = take_apart(value, &Place::in_file("/f.json")).unwrap_err().to_string();
            assert!(error.starts_with("File /f.json malformated") && error.ends_with(found), "{error}");
        }
    }

    #[test]
    fn a_whole_float_is_an_integer() {
        let mut value = json!({"a": [3000.0, 0.5, 1e300]});
        integral(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[3000,0.5,1e+300]}"#);
    }
}
