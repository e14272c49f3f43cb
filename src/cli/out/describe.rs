//! `describe`: everything about one worker, in sections.

use super::colour::{self, Colour};
use super::grid::{Cell, draw_fitting};
use super::inspect;
use super::number;
use super::table::{status_style, uptime, watched};
use crate::fmt;
use crate::model::files::WorkerFiles;
use crate::model::rotation::{Word, Words};
use crate::model::snapshot::WorkerView;
use crate::model::{Bytes, Reason, Rotation, Stamp, State};
use crate::proto::reply::LogSize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// All sections. `is_stopped`: its process is, by a signal; `caller` is the environment of who asks, to show what differs in the worker's.
pub fn describe(
    worker: &WorkerView,
    is_stopped: bool,
    logs: &[LogSize],
    caller: &BTreeMap<String, String>,
    now: Stamp,
    colour: Colour,
) -> String {
    let mut out =
        heading(&format!("Describing process with id {} - name {}", worker.id, worker.app.name), colour);
    out.push_str(&facts(worker, is_stopped, logs, now, colour));
    if let Some(axm) = worker.axm.as_deref() {
        if !axm.actions.is_empty() {
            let names = axm.actions.iter().filter_map(|action| action.get("action_name")?.as_str());
            let rows: Vec<Vec<Cell>> = names.map(|name| vec![Cell::plain(name)]).collect();
            out.push_str(&section("Actions available", &rows, colour));
        }
        if !axm.monitor.is_empty() {
            let rows: Vec<Vec<Cell>> = axm.monitor.iter().map(|(name, m)| metric(name, m)).collect();
            out.push_str(&section("Code metrics value", &rows, colour));
        }
    }
    let divergent: Vec<Vec<Cell>> = caller
        .iter()
        .filter_map(|(key, ours)| {
            let theirs = worker.app.env.0.get(key)?;
            (theirs != ours).then(|| row(key, theirs.clone()))
        })
        .collect();
    if !divergent.is_empty() {
        out.push_str(&section("Divergent env variables from local env", &divergent, colour));
    }
    out.push_str(&footer(worker, colour));
    out
}

fn facts(worker: &WorkerView, is_stopped: bool, logs: &[LogSize], now: Stamp, colour: Colour) -> String {
    let app = &worker.app;
    let none = || "N/A".to_owned();
    let combined = WorkerFiles::of(app, worker.id, Path::new("/"), Path::new("/")).combined;
    let cron = app.extra.get("cron_restart").filter(|cron| !cron.is_null());
    let mut rows = vec![
        vec![Cell::plain("status"), Cell::styled(status_style(worker.state), worker.state.pm2_name())],
        row("name", app.name.clone()),
        row("namespace", app.namespace.clone()),
        row("version", app.version.clone().unwrap_or_else(none)),
        row("restarts", worker.restarts.to_string()),
    ];
    rows.extend(app.limits.max_memory.map(|Bytes(n)| row("max memory restart", n.to_string())));
    rows.extend(cron.map(|cron| row("cron restart", plain(cron))));
    rows.push(row("uptime", uptime(worker, now)));
    rows.extend(combined.map(|path| row("entire log path", path.display().to_string())));
    rows.extend([
        row("script path", app.program.script.display().to_string()),
        row("script args", some(app.program.args.join(" "))),
        row("error log path", worker.error_file.clone().unwrap_or_else(|| "/dev/null".to_owned())),
        row("out log path", worker.out_file.clone().unwrap_or_else(|| "/dev/null".to_owned())),
        row("pid path", worker.pid_file.clone().unwrap_or_else(none)),
        row("interpreter", app.program.interpreter.clone()),
        row("interpreter args", some(app.program.interpreter_args.join(" "))),
        row("script id", worker.id.to_string()),
        row("exec cwd", app.cwd.display().to_string()),
        row("exec mode", app.mode.pm2_name().to_owned()),
        row("node.js version", worker.node_version().map_or_else(none, str::to_owned)),
        row("node env", app.env.0.get("NODE_ENV").cloned().unwrap_or_else(none)),
        row("watch & reload", if watched(worker) { "✔" } else { "✘" }.to_owned()),
        row("unstable restarts", worker.unstable_restarts.to_string()),
        row("created at", fmt::iso_utc(worker.created.wall_ms)),
    ]);
    // Below PM2's rows, where no script looks for its own: what PM2 cannot tell.
    rows.push(row("reason", worker.why()));
    // How it took the request to stop.
    let exit = worker.last_exit.filter(|_| worker.reason == Reason::StopRequested);
    rows.extend(exit.map(|exit| row("last exit", exit.to_string())));
    if let (true, Some(pid)) = (is_stopped, worker.pid) {
        rows.push(row("process", format!("stopped by a signal; `kill -CONT {pid}` lets it go on")));
    }
    if let (State::Backoff, Some(due)) = (worker.state, worker.next_start) {
        rows.push(row("next start", format!("in {:.1}s", due.since(now).as_secs_f64())));
    }
    if let Some(trouble) = &worker.log_trouble {
        rows.push(row("log trouble", trouble.told(now)));
    }
    if !worker.listening.is_empty() {
        rows.push(row("listening on", worker.listening.join(" ")));
    }
    rows.extend(log_rows(worker, logs));
    format!("{}\n", draw_fitting(&rows, colour))
}

/// How large its logs are, and what keeps them from growing.
fn log_rows(worker: &WorkerView, logs: &[LogSize]) -> Vec<Vec<Cell>> {
    let mine: Vec<&LogSize> = logs.iter().filter(|log| log.worker == worker.id).collect();
    let mut rows: Vec<_> = mine
        .iter()
        .map(|log| {
            let path = Some(&log.path);
            let name = match path {
                path if path == worker.out_file.as_ref() => "out log size",
                path if path == worker.error_file.as_ref() => "error log size",
                Some(_) | None => "entire log size",
            };
            let kept = match log.rotated {
                0 => String::new(),
                count => format!(" + {} in {count} rotated", fmt::bytes(Bytes(log.rotated_bytes))),
            };
            row(name, format!("{}{kept}", fmt::bytes(Bytes(log.bytes))))
        })
        .collect();
    rows.extend(mine.first().map(|log| row("log rotation", rotation(&log.rotation))));
    rows
}

/// `at 10M or 0 0 * * *, keep 30, gzip`
fn rotation(words: &Words) -> String {
    let rotation = Rotation::default().with(words);
    if !rotation.enabled {
        return "off".to_owned();
    }
    let size = (rotation.max_size.get() > 0).then(|| rotation.value(Word::MaxSize));
    let when: Vec<String> = [size, rotation.interval.clone()].into_iter().flatten().collect();
    let when = if when.is_empty() { "never".to_owned() } else { format!("at {}", when.join(" or ")) };
    let gzip = if rotation.compress { ", gzip" } else { "" };
    format!("{when}, keep {}{gzip}", rotation.value(Word::Retain))
}

fn metric(name: &str, metric: &Value) -> Vec<Cell> {
    let value = metric.get("value").map_or_else(|| "N/A".to_owned(), plain);
    let unit = metric.get("unit").and_then(Value::as_str).unwrap_or_default();
    row(name, format!("{value} {unit}").trim_end().to_owned())
}

/// A JSON value for people: strings without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => number::text(n),
        Value::Null => "N/A".to_owned(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => inspect::inspect(value),
    }
}

fn some(text: String) -> String {
    if text.is_empty() { "N/A".to_owned() } else { text }
}

fn row(key: &str, value: String) -> Vec<Cell> {
    vec![Cell::styled(colour::HEAD, key), Cell::plain(value)]
}

fn section(title: &str, rows: &[Vec<Cell>], colour: Colour) -> String {
    format!("{}{}\n", heading(title, colour), draw_fitting(rows, colour))
}

fn heading(title: &str, colour: Colour) -> String {
    format!("{}\n", colour.paint(colour::REVERSE, format!(" {title} ")))
}

fn footer(worker: &WorkerView, colour: Colour) -> String {
    let (name, id) = (&worker.app.name, worker.id);
    let hints = [
        format!(" Logs of this app:       pmon logs {name} [--lines 1000]"),
        format!(" Its environment:        pmon env {id}"),
        " The whole fleet, live:  pmon monit".to_owned(),
    ];
    let painted: Vec<String> = hints.iter().map(|hint| colour.paint(colour::FAINT, hint)).collect();
    painted.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_worker_with_metrics_is_described_in_sections() {
        let caller = [("HOME", "/root"), ("NODE_ENV", "test"), ("MINE", "1")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        insta::assert_snapshot!(describe(
            &sample::fleet()[0],
            false,
            &[],
            &caller,
            sample::NOW,
            Colour(false)
        ));
    }

    #[test]
    fn logs_have_their_sizes_and_what_bounds_them() {
        let worker = &sample::fleet()[0];
        let log = |path: &str, rotated| LogSize {
            worker: worker.id,
            path: path.to_owned(),
            bytes: 1536,
            rotated,
            rotated_bytes: 3 << 20,
            rotation: Rotation::default().words().map(|(word, value)| (word.to_owned(), value)).collect(),
        };
        let logs = [log(worker.out_file.as_deref().unwrap(), 4), log("/elsewhere.log", 0)];
        let text = describe(worker, false, &logs, &BTreeMap::new(), sample::NOW, Colour(false));
        let has = |row: &[&str]| text.lines().any(|line| row.iter().all(|part| line.contains(part)));
        assert!(has(&["out log size", "1.5kb + 3.0mb in 4 rotated"]), "{text}");
        assert!(has(&["entire log size", "1.5kb"]), "{text}");
        assert!(has(&["log rotation", "at 10M, keep 30, gzip"]), "{text}");
        let off = Words::from([("enabled".to_owned(), "false".to_owned())]);
        assert_eq!(rotation(&off), "off");
    }

    #[test]
    fn every_optional_row_is_there_when_it_was_given() {
        insta::assert_snapshot!(describe(
            &sample::fleet()[3],
            true,
            &[],
            &BTreeMap::new(),
            sample::NOW,
            Colour(false)
        ));
    }
}
