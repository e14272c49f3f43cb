//! A new keeper was told of some workers when its daemon died: the others are looked for.

use crate::fleet::signal;
use crate::support::{TestHome, fixture, free_port, get_path, need, wait_for, wait_http};

#[test]
fn round_robin_goes_on_when_a_new_keeper_has_heard_of_its_workers_and_not_of_its_socket() {
    need("node", "apt-get install nodejs");
    let (home, port) = (TestHome::new(), free_port());
    std::fs::create_dir(home.faults()).unwrap();
    let app = fixture("faults/app.js").display().to_string();
    home.command(&["start", &app, "-i", "2"]).env("PORT", port.to_string()).output().unwrap();
    wait_http(port);
    let pids = home.pids();
    let plan = home.faults().join("rebuild.order");
    // The keeper's own entry, and both workers.
    std::fs::write(&plan, "kill 3").unwrap();
    let keeper = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap();
    signal(keeper.trim().parse().unwrap(), "KILL");
    wait_for("the death of the daemon", || if plan.exists() { Err("not yet".into()) } else { Ok(()) });
    assert_eq!(home.pids(), pids);
    assert!(matches!(get_path(port, "/"), Ok((200, _))), "somebody accepts");
}
