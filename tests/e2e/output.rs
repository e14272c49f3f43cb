//! Where output goes and how it looks: every option of it, through the command line.

use crate::support::{TestHome, need, wait_for};
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Waits until the file says what `fits` wants.
#[track_caller]
fn wait_text(path: &Path, fits: impl Fn(&str) -> bool) -> String {
    wait_for(&format!("text in {}", path.display()), || {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        if fits(&text) { Ok(text) } else { Err(text) }
    })
}

const TALK: &str =
    "echo out; echo err >&2; while :; do sleep 0.05; [ -e say ] && echo live && sleep 1000; done\n";

#[test]
fn a_date_goes_before_each_line_in_the_format_asked_for() {
    let home = TestHome::new();
    home.file("talk.sh", TALK);
    home.ok(&["start", "talk.sh", "--name", "dated", "--log-date-format", "YYYY [at] HH"]);
    home.ok(&["start", "talk.sh", "--name", "timed", "--time"]);
    let dated = wait_text(&home.path().join("logs/dated-out.log"), |text| text.ends_with('\n'));
    let shape: String = dated.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999 at 99: out\n");
    let timed = wait_text(&home.path().join("logs/timed-error.log"), |text| text.ends_with('\n'));
    let shape: String = timed.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99T99:99:99: err\n");
}

#[test]
fn json_lines_have_message_time_stream_id_and_name() {
    let home = TestHome::new();
    home.file("talk.sh", TALK);
    home.ok(&["start", "talk.sh", "--log-type", "json"]);
    let text = wait_text(&home.path().join("logs/talk-error.log"), |text| text.ends_with('\n'));
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "err\n");
    assert_eq!(line["type"], "err");
    assert_eq!(line["process_id"], 0);
    assert_eq!(line["app_name"], "talk");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[test]
fn files_go_where_they_are_asked_to_and_the_third_has_both_streams() {
    let home = TestHome::new();
    home.file("talk.sh", TALK);
    let options = ["--output", "a/o.log", "--error", "b/e.log", "--log", "c/all.log", "--merge-logs"];
    home.ok(&[&["start", "talk.sh"], &options[..]].concat());
    let at = |name: &str| home.work().join(name);
    wait_text(&at("a/o.log"), |text| text == "out\n");
    wait_text(&at("b/e.log"), |text| text == "err\n");
    wait_text(&at("c/all.log"), |text| text == "out\nerr\n" || text == "err\nout\n");
}

#[test]
fn instances_share_a_file_when_logs_are_merged() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file("say.js", "console.log('I am ' + process.env.NODE_APP_INSTANCE); setInterval(() => {}, 1000);");
    home.ok(&["start", "say.js", "-i", "3", "--merge-logs"]);
    let text = wait_text(&home.path().join("logs/say-out.log"), |text| text.lines().count() == 3);
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["I am 0", "I am 1", "I am 2"]);
}

/// Speaks again and again, and counts in a file how often.
const CHATTER: &str = "i=0; while :; do i=$((i+1)); echo $1 says $i; echo $i >$1.count; sleep 0.05; done\n";

/// Live lines of all workers until `enough`.
fn live(home: &TestHome, enough: impl Fn(&str) -> bool) -> Vec<String> {
    let mut following = home.command(&["logs", "--raw", "--lines", "0"]).spawn().unwrap();
    let mut seen = Vec::new();
    for line in BufReader::new(following.stdout.take().unwrap()).lines().map_while(Result::ok) {
        seen.push(line);
        if enough(seen.last().unwrap()) {
            break;
        }
    }
    following.kill().unwrap();
    following.wait().unwrap();
    seen
}

#[test]
fn files_that_are_off_leave_the_live_stream() {
    for off in ["/dev/null", "NULL"] {
        let home = TestHome::new();
        home.file("talk.sh", CHATTER);
        home.ok(&["start", "talk.sh", "--output", off, "--error", off, "--", "talk"]);
        live(&home, |line| line.contains("talk says"));
        assert!(!home.path().join("logs/talk-out.log").exists());
        assert!(!home.work().join("NULL").exists());
        assert_eq!(home.jlist()[0]["pm2_env"]["pm_out_log_path"], "/dev/null");
    }
}

#[test]
fn disabled_logs_leave_neither_file_nor_stream() {
    let home = TestHome::new();
    home.file("talk.sh", CHATTER);
    home.ok(&["start", "talk.sh", "--name", "mute", "--disable-logs", "--", "mute"]);
    home.ok(&["start", "talk.sh", "--name", "loud", "--", "loud"]);
    let count = || std::fs::read_to_string(home.work().join("mute.count")).unwrap_or_default();
    wait_text(&home.work().join("mute.count"), |text| !text.is_empty());
    let before = count();
    // It spoke while the stream was watched.
    let seen = live(&home, |line| line.contains("loud says") && count() != before);
    assert!(!seen.iter().any(|line| line.contains("mute says")), "{seen:?}");
    assert!(!home.path().join("logs/mute-out.log").exists());
}

#[test]
fn what_a_cluster_worker_and_its_children_write_past_node_is_captured_too() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file(
        "past.js",
        "require('fs').writeSync(1, 'sync\\n'); require('fs').writeSync(2, 'sync err\\n');
         require('child_process').spawn('sh', ['-c', 'echo child; echo child err >&2'], { stdio: 'inherit' });
         setInterval(() => {}, 1000);",
    );
    home.ok(&["start", "past.js", "-i", "1"]);
    wait_text(&home.path().join("logs/past-out-0.log"), |text| text == "sync\nchild\n");
    wait_text(&home.path().join("logs/past-error-0.log"), |text| text == "sync err\nchild err\n");
}

#[test]
fn a_config_file_chooses_what_gives_way_and_a_wrong_word_is_refused() {
    let home = TestHome::new();
    home.file("talk.sh", TALK);
    let config = |policy: &str| {
        format!(r#"{{"apps":[{{"name":"talk","script":"talk.sh","log_overflow":"{policy}"}}]}}"#)
    };
    home.file("bad.json", &config("explode"));
    let refused = home.run(&["start", "bad.json"]);
    assert!(refused.all().contains("'drop' or 'block'"), "{}", refused.all());
    home.file("good.json", &config("block"));
    home.ok(&["start", "good.json"]);
    assert_eq!(home.statuses(), ["online"]);
}

#[test]
fn a_full_device_is_named_in_list_and_describe_and_the_worker_goes_on() {
    let home = TestHome::new();
    home.file("talk.sh", TALK);
    home.ok(&["start", "talk.sh", "--output", "/dev/full", "--merge-logs"]);
    wait_for("the reason", || {
        let shown = home.ok(&["list"]).out;
        if shown.contains("No space left on device") { Ok(()) } else { Err(shown) }
    });
    assert!(home.ok(&["describe", "talk"]).out.contains("log trouble"));
    assert_eq!(home.statuses(), ["online"]);
    assert_eq!(home.restarts(), [0]);
}
