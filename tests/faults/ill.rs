//! Calls of the logs that fail where no other test makes them: nothing is lost that is not told.

use crate::lines::{self, Writer};
use crate::support::{TestHome, need, wait_for};
use serde_json::{Value, json};

/// A home with a writer of numbered lines and a fault plan.
fn writing(more: &Value) -> (TestHome, Writer) {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    std::fs::create_dir(home.faults()).unwrap();
    let report = home.work().join("raw.report");
    let mut app = json!({ "name": "raw", "script": crate::support::fixture("lines.py"), "interpreter": "python3",
        "args": ["0", report], "rotate": false,
        "env": { "LINES_NAME": "raw", "LINES_WIDTH": "40", "LINES_BURST": "5" } });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    home.file("app.json", &json!({ "apps": [app] }).to_string());
    home.ok(&["start", "app.json"]);
    let writer = Writer::new(&home, "raw", "raw-out.log");
    wait_for("lines", || match std::fs::metadata(&writer.log) {
        Ok(facts) if facts.len() > 1000 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    (home, writer)
}

fn rotated(home: &TestHome) -> usize {
    let files = std::fs::read_dir(home.path().join("logs")).unwrap().flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("raw-out__")).count()
}

#[test]
fn a_rotation_that_fails_loses_nothing_and_is_made_up_for() {
    let (home, writer) = writing(&json!({ "rotate": { "max_size": "20K", "retain": "all" } }));
    let plan = home.faults().join("file.rename");
    std::fs::write(&plan, "EIO 1 always").unwrap();
    let before = std::fs::metadata(&writer.log).unwrap().len();
    wait_for("a file beyond its size", || {
        let now = std::fs::metadata(&writer.log).unwrap().len();
        if now > 60_000 { Ok(()) } else { Err(format!("{before}, {now}")) }
    });
    let said = std::fs::read_to_string(home.path().join("pmon.log")).unwrap();
    assert!(said.contains("failed to rotate"), "{said}");
    home.ok(&["list"]);
    let kept = rotated(&home);
    std::fs::remove_file(plan).unwrap();
    // It is tried again after a minute, or by the next daemon.
    home.kill_daemon();
    wait_for("the rotation", || if rotated(&home) > kept { Ok(()) } else { Err(kept.to_string()) });
    assert!(lines::verify(&[writer]).is_exact());
}

#[test]
fn without_memory_for_what_no_file_takes_all_that_is_missing_is_told() {
    let (home, writer) = writing(&json!({ "env": {
        "LINES_NAME": "raw", "LINES_WIDTH": "400", "LINES_BURST": "50" } }));
    std::fs::write(home.faults().join("spec.spill"), "ENOMEM 1 always").unwrap();
    std::fs::write(home.faults().join("file.write"), "ENOSPC 1 always").unwrap();
    wait_for("a file that takes nothing", || {
        let said = home.ok(&["list"]).all();
        if said.contains("log of raw") { Ok(()) } else { Err(said) }
    });
    // It may wait or lose lines; it is still led.
    let pids = home.pids();
    home.kill_daemon();
    assert_eq!(home.pids(), pids);
    std::fs::remove_file(home.faults().join("file.write")).unwrap();
    std::fs::remove_file(home.faults().join("spec.spill")).unwrap();
    let count = writer.stop();
    let last = format!("{:010} raw x", count - 1);
    let text = wait_for("the last line", || {
        let text = std::fs::read_to_string(&writer.log).map_err(|e| e.to_string())?;
        if text.contains(&last) { Ok(text) } else { Err(format!("{} bytes", text.len())) }
    });
    let told: usize = text.lines().filter_map(told).sum();
    let ours: Vec<&str> = text.lines().filter(|line| line.contains(" raw x")).collect();
    let width = ours[0].len() + 1;
    let there: std::collections::BTreeSet<&str> = ours.iter().copied().collect();
    assert_eq!(there.len(), ours.len(), "none twice");
    assert!(there.iter().zip(&ours).all(|(sorted, found)| sorted == found), "in their order");
    let missing = (usize::try_from(count).unwrap() - ours.len()) * width;
    eprintln!("{count} lines, {missing} bytes missing, {told} told");
    assert_eq!(missing, told);
}

/// `[pmon] 4711 bytes dropped: …`
fn told(line: &str) -> Option<usize> {
    line.strip_prefix("[pmon] ")?.split_once(" bytes dropped")?.0.parse().ok()
}
