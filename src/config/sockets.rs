//! Listening sockets as people write them → `SocketSpec`.
//!
//! `3001`, `'0.0.0.0:8000'`, `'[::1]:80'`, `'udp:5353'`, `'unix:/run/x.sock'`, `/run/x.sock`, or
//! `{name, listen}` with one of these; one or a list.

use super::path;
use crate::model::app::{SocketAddress, SocketSpec};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Reads one or several; relative Unix paths are against `base`. The error is the part that was not understood.
pub fn parse(value: &Value, base: &Path) -> Result<Vec<SocketSpec>, Value> {
    match value {
        Value::Array(list) => list.iter().map(|one| spec(one, base)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Ok(vec![spec(value, base)?])
        }
    }
}

fn spec(value: &Value, base: &Path) -> Result<SocketSpec, Value> {
    let wrong = || value.clone();
    let Value::Object(fields) = value else {
        let address = address(value, base).ok_or_else(wrong)?;
        return Ok(SocketSpec { name: default_name(&address), address });
    };
    let listen = fields.get("listen").ok_or_else(wrong)?;
    let address = address(listen, base).ok_or_else(wrong)?;
    let name = match fields.get("name") {
        Some(Value::String(name)) if is_name(name) => name.clone(),
        None => default_name(&address),
        Some(_) => return Err(wrong()),
    };
    Ok(SocketSpec { name, address })
}

fn address(value: &Value, base: &Path) -> Option<SocketAddress> {
    let text = match value {
        Value::Number(port) => port.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    if let Some(written) = text.strip_prefix("unix:").or(text.starts_with('/').then_some(&text)) {
        let path = path::resolve(base, written, None);
        return (!written.is_empty()).then_some(SocketAddress::Unix { path });
    }
    if let Some(rest) = text.strip_prefix("udp:") {
        let (host, port) = host_and_port(rest)?;
        return Some(SocketAddress::Udp { host, port });
    }
    let (host, port) = host_and_port(text.strip_prefix("tcp:").unwrap_or(&text))?;
    Some(SocketAddress::Tcp { host, port })
}

/// `80`, `:80`, `*:80`, `127.0.0.1:80`, `[::1]:80`, `localhost:80`.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        // An IPv6 literal without brackets leaves open where the port begins.
        None if host.contains(':') => return None,
        None if host == "*" => "",
        None if host == "localhost" => "127.0.0.1",
        None => host,
    };
    if !bare.is_empty() {
        bare.parse::<std::net::IpAddr>().ok()?;
    }
    Some((bare.to_owned(), port.parse().ok()?))
}

/// The port or the file's stem: what `LISTEN_FDNAMES` says unless a name is given.
fn default_name(address: &SocketAddress) -> String {
    match address {
        SocketAddress::Tcp { port, .. } => port.to_string(),
        SocketAddress::Udp { port, .. } => format!("udp-{port}"),
        SocketAddress::Unix { path } => {
            let stem: PathBuf = path.file_stem().unwrap_or_default().into();
            stem.to_string_lossy().replace(':', "-")
        }
    }
}

/// sd_listen_fds_with_names(3): printable ASCII, no colon, at most 255.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tcp(name: &str, host: &str, port: u16) -> SocketSpec {
        SocketSpec { name: name.into(), address: SocketAddress::Tcp { host: host.into(), port } }
    }

    fn parsed(value: Value) -> Result<Vec<SocketSpec>, Value> {
        parse(&value, Path::new("/srv"))
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        assert_eq!(parsed(json!(3001)), Ok(vec![tcp("3001", "", 3001)]));
        assert_eq!(
            parsed(json!(["3001", "0.0.0.0:8000", "[::1]:80", "*:81", "tcp:localhost:82"])),
            Ok(vec![
                tcp("3001", "", 3001),
                tcp("8000", "0.0.0.0", 8000),
                tcp("80", "::1", 80),
                tcp("81", "", 81),
                tcp("82", "127.0.0.1", 82),
            ])
        );
        let udp = SocketAddress::Udp { host: String::new(), port: 5353 };
        assert_eq!(parsed(json!("udp:5353")), Ok(vec![SocketSpec { name: "udp-5353".into(), address: udp }]));
        for written in ["unix:/run/x.sock", "/run/x.sock", "unix:../run/x.sock"] {
            let address = SocketAddress::Unix { path: "/run/x.sock".into() };
            assert_eq!(parsed(json!(written)), Ok(vec![SocketSpec { name: "x".into(), address }]));
        }
        assert_eq!(parsed(json!([{"name": "web", "listen": 80}])), Ok(vec![tcp("web", "", 80)]));
    }

    #[test]
    fn what_is_not_an_address_is_given_back() {
        for wrong in [
            json!("http"),
            json!("::1:80"),
            json!("example.org:80"),
            json!(70000),
            json!("unix:"),
            json!(true),
            json!({"name": "a:b", "listen": 80}),
            json!({"name": "web"}),
        ] {
            assert_eq!(parsed(json!([80, wrong])), Err(wrong));
        }
    }
}
