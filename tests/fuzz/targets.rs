//! Every door at which bytes come in that somebody else has written, by name: `tests/garbage.rs` knocks at each with mutated
//! corpora, and `cargo fuzz` with what coverage teaches it. A target panics where a promise is broken.

use pmon::model::{Rotation, Selector, WorkerId, quantity, rotation, select::Candidate};
use pmon::node::{codec, message};
use pmon::proto::{ClientMessage, DaemonMessage, Decoder, Frame};
use pmon::search::{Pattern, stamp, when};
use std::path::Path;

/// What is done with the bytes.
pub type Target = fn(&[u8]);

/// By name; corpora have these names.
pub const TARGETS: &[(&str, Target)] = &[
    ("wire", wire),
    ("keeper_message", pmon::keeper::fuzz::message),
    ("keeper_image", pmon::keeper::fuzz::image),
    ("node_channel", node_channel),
    ("config_json", |bytes| pmon::config::fuzz::json(&text(bytes))),
    ("config_yaml", |bytes| pmon::config::fuzz::yaml(&text(bytes))),
    ("config_caller", |bytes| pmon::config::fuzz::caller(&text(bytes))),
    ("dump", pmon::daemon::fuzz::dump),
    ("settings", pmon::daemon::fuzz::settings),
    ("state", pmon::daemon::fuzz::state),
    ("log_lines", pmon::logs::fuzz::lines),
    ("log_names", |bytes| pmon::logs::fuzz::rotated(&text(bytes))),
    ("log_clock", |bytes| pmon::logs::fuzz::clock(&text(bytes))),
    ("log_search", log_search),
    ("selector", |bytes| selector(&text(bytes))),
    ("words", |bytes| words(&text(bytes))),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a session reads, and a client.
fn wire(bytes: &[u8]) {
    let Some((first, wire)) = bytes.split_first() else { return };
    let mut decoder = Decoder::with_limit(1 << 20);
    for piece in wire.chunks(usize::from(*first) + 1) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(Frame::Json(json))) => message_of(&json),
                Ok(Some(Frame::Log(_))) => {}
                Ok(None) => break,
                Err(_refused) => return,
            }
        }
        assert!(decoder.buffer().capacity() <= (1 << 21), "room is made for what comes");
    }
}

fn message_of(json: &[u8]) {
    if let Ok(message) = Frame::parse::<ClientMessage>(json) {
        drop(Frame::json(&message));
    }
    if let Ok(message) = Frame::parse::<DaemonMessage>(json) {
        drop(Frame::json(&message));
    }
}

/// What a Node worker may write to its channel.
fn node_channel(bytes: &[u8]) {
    let Some((first, wire)) = bytes.split_first() else { return };
    let mut inbox = codec::Inbox::default();
    for piece in wire.chunks(usize::from(*first) + 1) {
        inbox.push(piece, |line| match line {
            codec::Line::Whole(line) => {
                let handle = message::begins_with_handle(&line);
                drop((handle, codec::is_binary(&line), message::parse(&line)));
            }
            codec::Line::TooLong(head, _) => drop(message::begins_with_handle(&head)),
        });
        inbox.drop_binary();
    }
}

/// An expression in the first line, then a log.
fn log_search(bytes: &[u8]) {
    let (expression, log) = bytes.split_at(bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len()));
    let expression = text(expression);
    let _moment = when::parse(&expression, 1_700_000_000_000);
    for line in log.split(|b| *b == b'\n') {
        let _moments = (stamp::own(line), stamp::iso(line));
    }
    let Ok(pattern) = Pattern::new(Some(&expression), false, false, None) else { return };
    let mut found = Vec::new();
    pattern.select(log, pmon::model::StreamKind::Out, &mut found);
    assert!(found.iter().all(|range| range.end <= log.len()), "lines are in the log");
}

fn selector(text: &str) {
    let names = ["web", "api-1", "0", "ä"];
    let candidates = names.iter().zip(0..).map(|(name, id)| Candidate {
        id: WorkerId(id),
        name,
        namespace: "default",
        script: Path::new("/srv/web.js"),
    });
    if let Ok(found) = Selector::new(text, "/srv").resolve(candidates) {
        assert!(!found.is_empty() && found.len() <= names.len(), "it means somebody");
    }
}

/// Sizes, spans, cron patterns and every word of the log rotation.
fn words(text: &str) {
    drop((quantity::memory(text), quantity::span_ms(text), rotation::cron(text)));
    let mut all = Rotation::default();
    let (word, value) = text.split_once('=').unwrap_or(("max_size", text));
    drop(all.set(word, value));
    for word in rotation::spellings() {
        drop(all.set(word, text));
    }
    drop((all.time_zone(), all.words().count()));
}

/// Runs the target of this name.
#[allow(clippy::allow_attributes, dead_code, reason = "for cargo-fuzz")]
pub fn run(name: &str, bytes: &[u8]) {
    for (_, target) in TARGETS.iter().filter(|(known, _)| *known == name) {
        target(bytes);
    }
}
