//! YAML. The only file that knows which crate reads it.

use super::error::{ConfigError, Place};
use serde_json::Value;

/// Parses one document; errors carry line and column.
pub fn parse(text: &str, place: Place) -> Result<Value, ConfigError> {
    // YAML 1.2, as PM2's parser: `y`, `on` and `no` are words.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location();
        let line = at.and_then(|at| u32::try_from(at.line()).ok());
        let column = at.and_then(|at| u32::try_from(at.column()).ok());
        let message = first_line(&error.without_snippet().to_string());
        ConfigError::Malformed { place: Box::new(place.at(line, column)), message, advice: None }
    })
}

/// Without the snippet and without the position, which the place tells already.
fn first_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("not YAML");
    let bare = line.strip_prefix("error: ").unwrap_or(line).trim();
    let bare = bare.split_once(" at line ").map_or(bare, |(before, _)| before);
    let positioned = bare.starts_with("line ").then(|| bare.split_once(": ")).flatten();
    positioned.map_or(bare, |(_, message)| message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn anchors_and_merge_keys_are_read() {
        let text =
            "base: &base\n  PORT: 3000\napps:\n  - script: a.js\n    env:\n      <<: *base\n      ON: true\n";
        let value = parse(text, Place::default()).unwrap();
        let env = json!({"PORT": 3000, "ON": true});
        assert_eq!(value.get("apps"), Some(&json!([{"script": "a.js", "env": env}])));
    }

    #[test]
    fn only_true_and_false_are_booleans() {
        let value =
            parse("{ name: y, FLAG: on, COUNTRY: no, watch: true, pmx: false }", Place::default()).unwrap();
        let words = json!({ "name": "y", "FLAG": "on", "COUNTRY": "no", "watch": true, "pmx": false });
        assert_eq!(value, words);
    }

    #[test]
    fn an_error_has_its_line() {
        let error = parse("apps:\n  - script: [a\n    name: b\n", Place::in_file("/x.yml")).unwrap_err();
        assert!(error.place().unwrap().line.is_some_and(|line| line >= 2), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}
