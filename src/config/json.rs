//! JSON as PM2 takes it: comments, trailing commas, unquoted keys, single quotes (JSON5).

use super::error::{ConfigError, Place};
use serde_json::Value;

/// Parses; errors carry line and column.
pub fn parse(text: &str, place: Place) -> Result<Value, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    json5::from_str(text).map_err(|error| {
        let number = |zero_based: usize| u32::try_from(zero_based + 1).ok();
        let (line, column) = error.position().map_or((None, None), |at| (number(at.line), number(at.column)));
        let message = match error.code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        };
        ConfigError::Malformed { place: Box::new(place.at(line, column)), message, advice: None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comments_trailing_commas_and_bare_keys_are_read() {
        let text =
            "\u{feff}/* { */ {apps: [{script: './a.js', env: {PORT: 3000, R: 0.5, N: null,},},],} // }";
        let value = parse(text, Place::default()).unwrap();
        let env = json!({"PORT": 3000, "R": 0.5, "N": null});
        assert_eq!(value, json!({"apps": [{"script": "./a.js", "env": env}]}));
    }

    #[test]
    fn an_error_has_line_and_column() {
        let error = parse("{\n  apps: [\n    {script 'a'}\n]}", Place::in_file("/x.json")).unwrap_err();
        assert_eq!(error.to_string(), "File /x.json:3:13 malformated: expected colon");
    }
}
