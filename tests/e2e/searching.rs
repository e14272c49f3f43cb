//! `pmon logs` on files that nobody can read through: it must look only where it has to, and stop when nobody reads on.

use crate::support::{TestHome, wait_for};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// An app whose log is a terabyte long, nearly all of it a hole.
fn huge(home: &TestHome, start: &[u8], end: &[u8]) -> PathBuf {
    home.ok(&["set", "pm2-logrotate:max_size", "0"]);
    home.file("app.sh", "sleep 1000\n");
    let path = home.work().join("huge.log");
    home.ok(&["start", "app.sh", "--name", "app", "--output", &path.display().to_string()]);
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(&path).unwrap();
    file.write_all_at(start, 0).unwrap();
    file.write_all_at(end, (1 << 40) - end.len() as u64).unwrap();
    path
}

#[test]
fn a_search_ends_when_its_reader_has_left_and_shows_a_find_at_once() {
    let home = TestHome::new();
    huge(&home, b"one needle\n", b"\n");
    for more in [&["--raw"][..], &["--raw", "-C", "1"], &["--json"]] {
        let args = [&["logs", "app", "--out", "--no-follow", "--grep", "needle"], more].concat();
        let mut searching = home.command(&args).spawn().unwrap();
        let mut out = BufReader::new(searching.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("one needle"), "{line}");
        drop(out);
        let code = wait_for("the end of the search", || match searching.try_wait().unwrap() {
            Some(status) => Ok(status.code()),
            None => Err("running".into()),
        });
        let mut told = String::new();
        searching.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!((code, told.as_str()), (Some(0), ""), "{more:?}");
    }
}

#[test]
fn the_last_lines_of_a_huge_file_of_long_lines_are_read_from_its_end() {
    let home = TestHome::new();
    let long = |name: &str| format!("{name}{}\n", "x".repeat(10 << 20));
    let lines = ["first ", "second ", "third "].map(long);
    huge(&home, b"start\n", format!("\n{}", lines.concat()).as_bytes());
    let last =
        |more: &[&str]| home.ok(&[&["logs", "app", "--out", "--no-follow", "--raw"], more].concat()).out;
    let shown = last(&["--lines", "2"]);
    let (heading, shown) = shown.split_once('\n').unwrap();
    assert!(heading.ends_with("huge.log last 2 lines:"), "{heading}");
    assert!(shown == lines[1..].concat(), "{} bytes", shown.len());
    assert!(last(&["--lines", "1", "--grep", "^(first|second)"]) == lines[1]);
    assert!(last(&["--lines", "1", "--grep", "first", "-A", "1"]) == lines[..2].concat());
}
