//! The lines a worker is sent, each with its newline. [`super::message`] reads the other direction.

use serde_json::{Value, json};

/// A user message.
pub fn user(message: &Value) -> Vec<u8> {
    end(message)
}

/// `newconn`: a connection for the server of this key; goes with the connection.
pub fn new_connection(key: &str, seq: u64) -> Vec<u8> {
    with_handle("net.Native", &json!({ "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq }))
}

/// Wraps a message that goes with a descriptor. `kind`: `net.Native` or `dgram.Native`.
pub fn with_handle(kind: &str, message: &Value) -> Vec<u8> {
    end(&json!({ "cmd": "NODE_HANDLE", "type": kind, "msg": message }))
}

/// A plain message, e.g. an answer without a handle.
pub fn plain(message: &Value) -> Vec<u8> {
    end(message)
}

/// Answers a request of the worker that needs nothing but an answer.
pub fn acknowledge(ack: u64, seq: u64) -> Vec<u8> {
    end(&json!({ "cmd": "NODE_CLUSTER", "ack": ack, "seq": seq }))
}

/// Close all servers, then the channel.
pub fn disconnect(seq: u64) -> Vec<u8> {
    end(&json!({ "cmd": "NODE_CLUSTER", "act": "disconnect", "seq": seq }))
}

/// To the preload: answer with `Connection: close` from now on, and leave idle connections alone for `ms`.
pub fn drain(ms: u64) -> Vec<u8> {
    end(&json!({ "cmd": "NODE_PMON", "act": "drain", "ms": ms }))
}

/// As `drain`, to who may have been told by a daemon that has died; then the preload does the work of `disconnect` too, which
/// must not come twice.
pub fn drain_again(ms: u64) -> Vec<u8> {
    end(&json!({ "cmd": "NODE_PMON", "act": "drain", "ms": ms, "again": true }))
}

/// To the preload: have a copy of the listening socket of this key, for the day when nobody else has one; goes with it.
pub fn hold(key: &str) -> Vec<u8> {
    with_handle("net.Native", &json!({ "cmd": "NODE_PMON", "act": "hold", "key": key }))
}

/// To the preload: close that copy.
pub fn release(key: &str) -> Vec<u8> {
    end(&json!({ "cmd": "NODE_PMON", "act": "release", "key": key }))
}

/// The handle that the worker sent is here.
pub fn handle_ack() -> Vec<u8> {
    end(&json!({ "cmd": "NODE_HANDLE_ACK" }))
}

fn end(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: Vec<u8>) -> String {
        String::from_utf8(line).unwrap()
    }

    /// As workers get them. Only to be appended to.
    #[test]
    fn golden_lines_to_workers() {
        let newconn = r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"null:3001:4:","seq":9}}"#;
        assert_eq!(text(new_connection("null:3001:4:", 9)), format!("{newconn}\n"));
        assert_eq!(text(acknowledge(5, 6)), "{\"cmd\":\"NODE_CLUSTER\",\"ack\":5,\"seq\":6}\n");
        assert_eq!(text(disconnect(6)), "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"disconnect\",\"seq\":6}\n");
        assert_eq!(text(drain(2000)), "{\"cmd\":\"NODE_PMON\",\"act\":\"drain\",\"ms\":2000}\n");
        let again = "{\"cmd\":\"NODE_PMON\",\"act\":\"drain\",\"ms\":9,\"again\":true}\n";
        assert_eq!(text(drain_again(9)), again);
        let hold =
            r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_PMON","act":"hold","key":"k"}}"#;
        assert_eq!(text(super::hold("k")), format!("{hold}\n"));
        assert_eq!(text(release("k")), "{\"cmd\":\"NODE_PMON\",\"act\":\"release\",\"key\":\"k\"}\n");
        assert_eq!(text(handle_ack()), "{\"cmd\":\"NODE_HANDLE_ACK\"}\n");
        assert_eq!(text(user(&json!("shutdown"))), "\"shutdown\"\n");
        assert_eq!(text(user(&json!("a\nb"))), "\"a\\nb\"\n", "never a newline inside a line");
    }
}
