//! `health` as people write it → `Health`: `'/healthz'`, or `{path, port, interval, timeout}`, spans in milliseconds
//! or as `'2s'`.

use super::units;
use crate::model::policy::Health;
use serde_json::Value;
use std::time::Duration;

/// Reads it; `None` if it is not understood.
pub fn parse(value: &Value) -> Option<Health> {
    match value {
        Value::String(path) => Some(Health { path: absolute(path)?, ..Health::default() }),
        Value::Object(fields) => {
            let mut health = Health::default();
            for (name, value) in fields {
                match name.as_str() {
                    "path" => health.path = absolute(value.as_str()?)?,
                    "port" => health.port = Some(port(value)?),
                    "interval" => health.interval = span(value)?,
                    "timeout" => health.timeout = span(value)?,
                    _unknown => return None,
                }
            }
            Some(health)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// What a request line can hold.
fn absolute(path: &str) -> Option<String> {
    let plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    plain.then(|| path.to_owned())
}

fn port(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// At least a hundredth of a second: it is asked again and again.
fn span(value: &Value) -> Option<Duration> {
    let ms = value.as_u64().or_else(|| units::span_ms(value.as_str()?))?;
    Some(Duration::from_millis(ms.max(10)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_enough_and_all_may_be_said() {
        let plain = parse(&json!("/healthz")).unwrap();
        assert_eq!((plain.path.as_str(), plain.port), ("/healthz", None));
        let all = json!({"path": "/h?full", "port": "9000", "interval": "2s", "timeout": 0});
        let expected = Health {
            path: "/h?full".into(),
            port: Some(9000),
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(10),
        };
        assert_eq!(parse(&all), Some(expected));
    }

    #[test]
    fn what_could_not_be_asked_is_refused() {
        for wrong in [json!("healthz"), json!("/a b"), json!({"port": 0}), json!({"paht": "/"}), json!(true)]
        {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
