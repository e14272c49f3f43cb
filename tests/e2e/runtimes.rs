//! Bun and Deno: plain processes with Node's message channel; not workers of a cluster.

use crate::support::nodes::program;
use crate::support::{TestHome, fixture, free_port, get, wait_for, wait_http};
use serde_json::{Value, json};

/// Name, what it needs before the script.
const RUNTIMES: [(&str, &[&str]); 2] = [("bun", &[]), ("deno", &["run", "-A"])];

fn declare(home: &TestHome, (name, args): (&str, &[&str]), port: u16, more: &Value) {
    let mut app = json!({
        "name": name, "script": fixture("runtimes/server.cjs"), "interpreter": program(name, name),
        "interpreter_args": args, "env": { "PORT": port.to_string(), "OUT": home.work().join("said") },
    });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    home.file("app.json", &json!({ "apps": [app] }).to_string());
}

#[test]
fn they_serve_say_ready_and_hear_shutdown_in_fork_mode() {
    for runtime in RUNTIMES {
        let home = TestHome::new();
        let port = free_port();
        let more = json!({ "wait_ready": true, "listen_timeout": 60000, "shutdown_with_message": true,
            "kill_timeout": 30000 });
        declare(&home, runtime, port, &more);
        home.ok(&["start", "app.json"]);
        let (code, body) = get(port).unwrap();
        let said: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(code, 200, "ready is awaited");
        assert_eq!((&said["hidden"], &said["channel"]), (&json!(true), &json!("function")), "{runtime:?}");
        assert_eq!(home.jlist()[0]["pm2_env"]["exec_mode"], "fork_mode");
        home.ok(&["restart", runtime.0]);
        wait_http(port);
        home.ok(&["stop", runtime.0]);
        let heard = std::fs::read_to_string(home.work().join("said")).unwrap();
        assert_eq!(heard, "\"shutdown\"", "{runtime:?}");
        assert!(home.ok(&["describe", "0"]).out.contains("exit code 0") || home.restarts() == [1]);
    }
}

#[test]
fn cluster_mode_is_refused_with_the_reason_and_one_instance_serves() {
    for runtime in RUNTIMES {
        let home = TestHome::new();
        let port = free_port();
        declare(&home, runtime, port, &json!({ "exec_mode": "cluster", "instances": 1 }));
        let said = home.ok(&["start", "app.json"]).all();
        assert!(said.contains("cluster mode needs node") && said.contains("fork mode"), "{said}");
        assert_eq!(home.jlist()[0]["pm2_env"]["exec_mode"], "fork_mode");
        wait_http(port);
        wait_for("online", || {
            let statuses = home.statuses();
            if statuses == ["online"] { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
    }
}
