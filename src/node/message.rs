//! What workers say and what they are told, as types. Parsing never fails on an app's account: whatever is not a
//! message of the protocol is the app's own, and whatever the app may not have meant is ignored.
//!
//! Read from Node 16 to 24 (`lib/internal/child_process.js`, `lib/internal/cluster/`): the wire is the same in all.
//! A message is internal to Node if it is an object whose `cmd` starts with `NODE_`; `NODE_PMON` is therefore a
//! private channel to the preload that no app sees.

use crate::model::units::Bytes;
use crate::model::usage::NodeUsage;
use crate::sys::holder::Place;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

/// One message from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The first message of a cluster worker, before any of its code runs.
    Online,
    /// May it listen here?
    QueryServer {
        /// To be acknowledged.
        seq: u64,
        /// Where.
        ask: Box<Ask>,
        /// To be echoed; TLS servers keep their ticket keys in it.
        data: Value,
    },
    /// Its server listens.
    Listening(Box<Ask>),
    /// Its server of this key is closed.
    Close {
        /// Key.
        key: String,
    },
    /// It leaves on its own will; waits for an acknowledgement.
    ExitedAfterDisconnect {
        /// To be acknowledged.
        seq: u64,
    },
    /// Whether it took the connection of an earlier `newconn`.
    Accepted {
        /// Number of that `newconn`.
        ack: u64,
        /// `false`: its server is closed or full.
        accepted: bool,
    },
    /// It has the handle.
    HandleAck,
    /// It has no free descriptor for the handle.
    HandleNack,
    /// It sent a handle, and this with it.
    Handle(Option<Box<Incoming>>),
    /// It is about to leave on its own will, says the preload; `ExitedAfterDisconnect` follows.
    Leaving,
    /// A listen failed without our doing, says the preload: fork mode, or `exclusive`.
    ListenFailed {
        /// Where.
        ask: Box<Ask>,
        /// Why.
        errno: Errno,
    },
    /// The preload's report.
    Metrics(NodeUsage),
    /// `ready`, for `wait_ready`.
    Ready,
    /// Version of Node, from the preload or PM2's `{node_version}`.
    NodeVersion(String),
    /// `axm:monitor`: metrics to merge.
    AxmMonitor(Map<String, Value>),
    /// `axm:action`: an action that can be triggered.
    AxmAction(Value),
    /// `axm:option:configuration`: options to merge.
    AxmOption(Map<String, Value>),
    /// Another message for PM2's bus: `{type, data}`.
    Bus(Value),
    /// Internal and not for us, or a user message without meaning here.
    Other,
}

/// Where a server wants to listen: the fields of `queryServer`, kept in the record of the listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ask {
    /// IP address or absolute path; `None` is the unspecified address.
    pub address: Option<String>,
    /// Port, -1 for a path.
    pub port: i32,
    /// What kind of address.
    pub address_type: AddressType,
    /// A descriptor of the primary to listen on.
    #[serde(deserialize_with = "lenient")]
    pub fd: Option<i64>,
    /// Bit 0: IPv6 only. Bit 2 (UDP): SO_REUSEADDR.
    #[serde(deserialize_with = "lenient")]
    pub flags: Option<u32>,
    /// Backlog; none or not above 0 means 511.
    #[serde(deserialize_with = "lenient")]
    pub backlog: Option<i32>,
    /// How many servers on this address the worker had before.
    pub index: u64,
    /// Socket file readable by all.
    #[serde(deserialize_with = "lenient")]
    pub readable_all: Option<bool>,
    /// Socket file writable by all.
    #[serde(deserialize_with = "lenient")]
    pub writable_all: Option<bool>,
}

/// Node passes some fields on as they came to it: `backlog` is `false` in `listen(port, host)`. What has another type
/// than it should is as good as not given.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(given: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(given)?).ok())
}

/// Node's `addressType`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum AddressType {
    /// 4
    #[default]
    Tcp4,
    /// 6
    Tcp6,
    /// -1
    Unix,
    /// `udp4`
    Udp4,
    /// `udp6`
    Udp6,
}

impl Default for Ask {
    fn default() -> Self {
        Ask {
            address: None,
            port: 0,
            address_type: AddressType::Tcp4,
            fd: None,
            flags: None,
            backlog: None,
            index: 0,
            readable_all: None,
            writable_all: None,
        }
    }
}

impl From<AddressType> for Value {
    fn from(kind: AddressType) -> Value {
        match kind {
            AddressType::Tcp4 => json!(4),
            AddressType::Tcp6 => json!(6),
            AddressType::Unix => json!(-1),
            AddressType::Udp4 => json!("udp4"),
            AddressType::Udp6 => json!("udp6"),
        }
    }
}

impl TryFrom<Value> for AddressType {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let all = [Self::Tcp4, Self::Tcp6, Self::Unix, Self::Udp4, Self::Udp6];
        let found = all.into_iter().find(|kind| Value::from(*kind) == value);
        found.ok_or_else(|| format!("unknown address type {value}"))
    }
}

impl AddressType {
    /// Whether datagrams go there.
    pub fn is_udp(self) -> bool {
        match self {
            AddressType::Udp4 | AddressType::Udp6 => true,
            AddressType::Tcp4 | AddressType::Tcp6 | AddressType::Unix => false,
        }
    }
}

impl Ask {
    /// The key under which the workers of one app share a socket. The index counts only where the port is free to
    /// choose: two `listen(0)` of one worker are two ports (Node 22's rule; older ones always add it, and cannot
    /// close and listen again while other workers hold the port).
    pub fn key(&self) -> String {
        let address = self.address.as_deref().unwrap_or("null");
        let kind = Value::from(self.address_type);
        let fd = self.fd.filter(|fd| *fd >= 0).map(|fd| fd.to_string()).unwrap_or_default();
        let port = self.port;
        match port {
            0 => format!("{address}:0:{kind}:{fd}:{}", self.index),
            _ => format!("{address}:{port}:{kind}:{fd}"),
        }
    }

    /// Where to look for whoever has the address.
    pub fn place(&self) -> Place {
        let port = u16::try_from(self.port).unwrap_or(0);
        match self.address_type {
            AddressType::Tcp4 | AddressType::Tcp6 => Place::Tcp(port),
            AddressType::Udp4 | AddressType::Udp6 => Place::Udp(port),
            AddressType::Unix => Place::Unix(self.address.clone().unwrap_or_default()),
        }
    }

    /// For people.
    pub fn display(&self) -> String {
        let address = self.address.as_deref().unwrap_or("*");
        let bracketed = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        match self.address_type {
            AddressType::Tcp4 | AddressType::Tcp6 => format!("{bracketed}:{}", self.port),
            AddressType::Udp4 | AddressType::Udp6 => format!("udp {bracketed}:{}", self.port),
            AddressType::Unix => match address.split_once('\0') {
                Some((_, name)) => format!("@{name}"),
                None => address.to_owned(),
            },
        }
    }
}

/// Reads one line. An error tells why it is no JSON.
pub fn parse(line: &[u8]) -> Result<Incoming, serde_json::Error> {
    serde_json::from_slice(line).map(interpret)
}

/// Whether a line that is too long to be parsed carries a handle: Node writes `cmd` first.
pub fn begins_with_handle(head: &[u8]) -> bool {
    head.starts_with(br#"{"cmd":"NODE_HANDLE","#)
}

fn interpret(value: Value) -> Incoming {
    if value == "ready" {
        return Incoming::Ready;
    }
    let Value::Object(mut object) = value else { return Incoming::Other };
    match object.get("cmd").and_then(Value::as_str) {
        Some("NODE_CLUSTER") => cluster(object).unwrap_or(Incoming::Other),
        Some("NODE_PMON") => probe(&object),
        Some("NODE_HANDLE_ACK") => Incoming::HandleAck,
        Some("NODE_HANDLE_NACK") => Incoming::HandleNack,
        Some("NODE_HANDLE") => Incoming::Handle(match object.remove("msg") {
            // A handle within a handle is nothing that Node can send.
            Some(inner) if inner.get("cmd").is_none() => Some(Box::new(interpret(inner))),
            _ => None,
        }),
        Some(internal) if internal.len() > 5 && internal.starts_with("NODE_") => Incoming::Other,
        _ => user(object),
    }
}

fn cluster(mut object: Map<String, Value>) -> Option<Incoming> {
    if let Some(ack) = object.get("ack") {
        let accepted = object.get("accepted").and_then(Value::as_bool).unwrap_or(false);
        return Some(Incoming::Accepted { ack: ack.as_u64()?, accepted });
    }
    let seq = object.get("seq").and_then(Value::as_u64);
    let act = object.remove("act")?;
    match act.as_str()? {
        "online" => Some(Incoming::Online),
        "queryServer" => {
            let data = object.remove("data").unwrap_or(Value::Null);
            Some(Incoming::QueryServer { seq: seq?, ask: Box::new(ask(object)?), data })
        }
        "listening" => Some(Incoming::Listening(Box::new(ask(object)?))),
        "close" => Some(Incoming::Close { key: object.get("key")?.as_str()?.to_owned() }),
        "exitedAfterDisconnect" => Some(Incoming::ExitedAfterDisconnect { seq: seq? }),
        _ => None,
    }
}

/// Nulls stand for absent fields, and so does `false` for a number: `listen(port, host, callback)` sends
/// `"backlog":false`.
fn ask(mut object: Map<String, Value>) -> Option<Ask> {
    let absent = |name: &str, value: &Value| match value {
        Value::Null => true,
        Value::Bool(false) => matches!(name, "backlog" | "flags" | "fd"),
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => false,
    };
    object.retain(|name, value| !absent(name, value));
    serde_json::from_value(Value::Object(object)).ok()
}

fn probe(object: &Map<String, Value>) -> Incoming {
    match object.get("act").and_then(Value::as_str) {
        Some("hello") => match object.get("version").and_then(Value::as_str) {
            Some(version) => Incoming::NodeVersion(version.to_owned()),
            None => Incoming::Other,
        },
        Some("metrics") => Incoming::Metrics(usage(object)),
        Some("leaving") => Incoming::Leaving,
        Some("listen failed") => listen_failed(object).unwrap_or(Incoming::Other),
        _ => Incoming::Other,
    }
}

/// `{port, address, udp, errno}` of a failed listen or bind; `port` is -1 for a path, `errno` is positive.
fn listen_failed(object: &Map<String, Value>) -> Option<Incoming> {
    let port = i32::try_from(object.get("port")?.as_i64()?).ok()?;
    let udp = object.get("udp").and_then(Value::as_bool) == Some(true);
    let address_type = match (port, udp) {
        (-1, _) => AddressType::Unix,
        (_, true) => AddressType::Udp4,
        (_, false) => AddressType::Tcp4,
    };
    let address = object.get("address").and_then(Value::as_str).map(str::to_owned);
    let errno = Errno::from_raw_os_error(i32::try_from(object.get("errno")?.as_i64()?).ok()?);
    Some(Incoming::ListenFailed {
        ask: Box::new(Ask { address, port, address_type, ..Ask::default() }),
        errno,
    })
}

/// The preload's numbers; whatever is missing is 0.
fn usage(object: &Map<String, Value>) -> NodeUsage {
    let number = |group: &str, name: &str| {
        object.get(group).and_then(|g| g.get(name)).and_then(Value::as_f64).unwrap_or(0.0)
    };
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds and ratios do not need 64 bits")]
    let float = |group: &str, name: &str| number(group, name) as f32;
    let whole = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    let heap = |name: &str| Bytes(whole(object.get("heap").and_then(|h| h.get(name))));
    NodeUsage {
        rps: float("http", "rps"),
        http_mean: float("http", "mean"),
        http_p50: float("http", "p50"),
        http_p95: float("http", "p95"),
        http_p99: float("http", "p99"),
        loop_p50: float("loop", "p50"),
        loop_p95: float("loop", "p95"),
        elu: float("loop", "elu"),
        heap_used: heap("used"),
        heap_total: heap("total"),
        handles: u32::try_from(whole(object.get("handles"))).unwrap_or(u32::MAX),
    }
}

/// PM2's messages: `{type, data}` and `{node_version}`.
fn user(mut object: Map<String, Value>) -> Incoming {
    if let Some(Value::String(version)) = object.get("node_version") {
        return Incoming::NodeVersion(version.clone());
    }
    let kind = match object.get("type") {
        Some(Value::String(kind)) if !kind.is_empty() => kind.clone(),
        _ => return Incoming::Other,
    };
    match (kind.as_str(), object.remove("data")) {
        ("axm:monitor", Some(Value::Object(data))) => Incoming::AxmMonitor(data),
        ("axm:action", Some(data @ Value::Object(_))) => Incoming::AxmAction(data),
        ("axm:option:configuration", Some(Value::Object(data))) => Incoming::AxmOption(data),
        ("axm:option:setPID", _) => Incoming::Other,
        (_, Some(data)) if is_truthy(&data) => Incoming::Bus(json!({ "type": kind, "data": data })),
        _ => Incoming::Other,
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Incoming {
        parse(line.as_bytes()).unwrap()
    }

    /// As Node 20 writes them. Only to be appended to.
    #[test]
    fn a_listen_with_host_and_callback_has_false_for_its_backlog() {
        let query = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"127.0.0.1","port":3079,"addressType":4,"flags":0,"backlog":false,"seq":1}"#;
        let Ok(Incoming::QueryServer { ask, .. }) = parse(query.as_bytes()) else { panic!("not understood") };
        assert_eq!((ask.address.as_deref(), ask.port, ask.backlog), (Some("127.0.0.1"), 3079, None));
    }

    #[test]
    fn golden_lines_from_workers() {
        assert_eq!(read(r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#), Incoming::Online);
        let query = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":3001,"addressType":4,"backlog":0,"seq":1}"#;
        let ask = Ask { port: 3001, backlog: Some(0), ..Ask::default() };
        assert_eq!(
            read(query),
            Incoming::QueryServer { seq: 1, ask: Box::new(ask.clone()), data: Value::Null }
        );
        // `listen(3001, '127.0.0.1')`.
        let with_host =
            query.replace(r#""address":null"#, r#""address":"127.0.0.1""#).replace(r#"g":0"#, r#"g":false"#);
        let at_host = Ask { address: Some("127.0.0.1".into()), backlog: None, ..ask.clone() };
        assert_eq!(
            read(&with_host),
            Incoming::QueryServer { seq: 1, ask: Box::new(at_host), data: Value::Null }
        );
        let listening = r#"{"cmd":"NODE_CLUSTER","act":"listening","index":0,"data":null,"address":null,"port":3001,"addressType":4,"backlog":0,"seq":2}"#;
        assert_eq!(read(listening), Incoming::Listening(Box::new(ask)));
        let accepted = r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":true,"seq":3}"#;
        assert_eq!(read(accepted), Incoming::Accepted { ack: 7, accepted: true });
        let close = r#"{"cmd":"NODE_CLUSTER","act":"close","key":"null:3001:4:","seq":4}"#;
        assert_eq!(read(close), Incoming::Close { key: "null:3001:4:".into() });
        let leaving = r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":5}"#;
        assert_eq!(read(leaving), Incoming::ExitedAfterDisconnect { seq: 5 });
        assert_eq!(read(r#"{"cmd":"NODE_HANDLE_ACK"}"#), Incoming::HandleAck);
        assert_eq!(read(r#"{"cmd":"NODE_HANDLE_NACK"}"#), Incoming::HandleNack);
        let handle = r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":"ready","key":null}"#;
        assert_eq!(read(handle), Incoming::Handle(Some(Box::new(Incoming::Ready))));
        assert_eq!(read(r#""ready""#), Incoming::Ready);
        assert_eq!(read(r#"{"node_version":"20.1.0"}"#), Incoming::NodeVersion("20.1.0".into()));
        let bus = r#"{"type":"process:exception","data":{"message":"x"}}"#;
        assert_eq!(read(bus), Incoming::Bus(json!({"type":"process:exception","data":{"message":"x"}})));
    }

    #[test]
    fn keys_have_an_index_only_where_the_port_is_free() {
        let ask = Ask { index: 3, fd: Some(-1), ..Ask::default() };
        assert_eq!(ask.key(), "null:0:4::3");
        let fixed = Ask { port: 80, address: Some("::1".into()), address_type: AddressType::Tcp6, ..ask };
        assert_eq!((fixed.key().as_str(), fixed.display().as_str()), ("::1:80:6:", "[::1]:80"));
        let udp = Ask { port: 53, address_type: AddressType::Udp4, ..Ask::default() };
        assert_eq!((udp.key().as_str(), udp.display().as_str()), (r#"null:53:"udp4":"#, "udp *:53"));
        let path = Ask {
            port: -1,
            address: Some("/a\0b".into()),
            address_type: AddressType::Unix,
            ..Ask::default()
        };
        assert_eq!(path.display(), "@b");
    }

    #[test]
    fn nonsense_of_an_app_means_nothing() {
        let nonsense = [
            "null",
            "1",
            "[]",
            "{}",
            "\"x\"",
            r#"{"cmd":5}"#,
            r#"{"cmd":"NODE_"}"#,
            r#"{"cmd":"NODE_NEW_THING"}"#,
            r#"{"cmd":"NODE_CLUSTER"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","seq":1,"addressType":9}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":-1}"#,
            r#"{"cmd":"NODE_PMON","act":"?"}"#,
            r#"{"type":"x"}"#,
            r#"{"type":"x","data":0}"#,
            r#"{"type":1,"data":1}"#,
            r#"{"type":"axm:option:setPID","data":1}"#,
        ];
        for line in nonsense {
            assert_eq!(read(line), Incoming::Other, "{line}");
        }
        assert!(parse(b"{\"half").is_err());
    }

    #[test]
    fn the_preloads_report_is_read() {
        let line = r#"{"cmd":"NODE_PMON","act":"metrics","loop":{"p50":0.5,"p95":8,"elu":0.25},"heap":{"used":10,"total":20},"handles":9,"http":{"rps":100.5,"mean":1,"p50":2,"p95":3,"p99":4}}"#;
        let Incoming::Metrics(usage) = read(line) else { panic!("not metrics") };
        assert_eq!((usage.rps, usage.http_p99, usage.loop_p50, usage.elu), (100.5, 4.0, 0.5, 0.25));
        assert_eq!((usage.heap_used, usage.heap_total, usage.handles), (Bytes(10), Bytes(20), 9));
        assert_eq!(read(r#"{"cmd":"NODE_PMON","act":"metrics"}"#), Incoming::Metrics(NodeUsage::default()));
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&bytes).map_or(true, |incoming| incoming != Incoming::Online));
        }

        #[test]
        fn an_ask_survives_the_record(address in proptest::option::of("[a-z0-9:./]{0,30}"), port in -1i32..65536, flags in proptest::option::of(0u32..8)) {
            let ask = Ask { address, port, flags, address_type: AddressType::Udp6, ..Ask::default() };
            let back: Ask = serde_json::from_str(&serde_json::to_string(&ask).unwrap()).unwrap();
            prop_assert_eq!(back, ask);
        }
    }
}
