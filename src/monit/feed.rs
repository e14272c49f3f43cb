//! The daemon's stream on a thread of its own: connects once, subscribes, passes on what comes, ends with the
//! connection. A full queue makes it wait, which makes the daemon drop the oldest log lines and say how many.

use super::ansi;
use super::event::{Fresh, News};
use crate::client::stream::Asker;
use crate::client::{Client, Incoming, Stream};
use crate::model::Selector;
use crate::proto::request::LogsRequest;
use crate::proto::{LogBatch, Push, Request};
use crate::sys::paths::Home;
use std::sync::mpsc::SyncSender;
use std::thread;

/// Last lines of each file that are asked for at the start.
const HISTORY_LINES: u32 = 1000;

/// From the thread to the loop.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each is moved once, to where it is read")]
pub enum Fed {
    /// The connection's asking half, for orders.
    Asker(Asker),
    /// What the stream says.
    News(News),
}

/// How the thread passes things on; false: nobody listens any more.
pub type Pass = Box<dyn Fn(Fed) -> bool + Send>;

/// A way to pass things on through a bounded queue, ringing a bell so that the loop looks.
pub fn through(queue: SyncSender<Fed>, bell: SyncSender<()>) -> Pass {
    Box::new(move |fed| {
        let sent = queue.send(fed).is_ok();
        // A bell that is ringing already is enough.
        bell.try_send(()).ok();
        sent
    })
}

/// Starts the thread. Its last word is [`News::Gone`].
pub fn start(home: Home, pass: Pass) -> std::io::Result<()> {
    thread::Builder::new().name("monit-feed".to_owned()).spawn(move || {
        let why = attend(&home, &pass);
        pass(Fed::News(News::Gone { why }));
    })?;
    Ok(())
}

/// Runs one connection from its beginning to its end; returns why it ended.
fn attend(home: &Home, pass: &Pass) -> String {
    let mut stream = match Client::connect(home) {
        Ok(client) => client.into_stream(),
        Err(e) => return e.to_string(),
    };
    let subscribed = subscribe(&mut stream).map_err(|e| e.to_string());
    let asker = subscribed.and_then(|()| stream.asker().map_err(|e| e.to_string()));
    match asker {
        Ok(asker) => {
            if !pass(Fed::Asker(asker)) || !pass(Fed::News(News::Up)) {
                return String::new();
            }
        }
        Err(why) => return why,
    }
    loop {
        let incoming = match stream.next() {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return "hear the daemon: it went away".to_owned(),
            Err(e) => return e.to_string(),
        };
        if news(incoming).is_some_and(|news| !pass(Fed::News(news))) {
            return String::new();
        }
    }
}

fn subscribe(stream: &mut Stream) -> Result<(), crate::client::CallError> {
    stream.ask(Request::Watch)?;
    let request = LogsRequest {
        select: Selector::all(),
        lines: HISTORY_LINES,
        follow: true,
        out: true,
        err: true,
        files: false,
        places: true,
    };
    stream.ask(Request::Logs(request))?;
    Ok(())
}

fn news(incoming: Incoming) -> Option<News> {
    match incoming {
        Incoming::Reply { id, reply } => Some(News::Answer { id, reply }),
        Incoming::Log(batch) => Some(News::Lines(lines(&batch))),
        Incoming::Missed { lines, .. } => Some(News::Lagged(lines)),
        Incoming::Push { push, .. } => match push {
            Push::Fleet { whole, workers, removed, host, daemon } => {
                Some(News::Fleet { whole, workers, removed, host, daemon })
            }
            Push::Changed(change) => Some(News::Changed(change)),
            Push::HistoryEnd => Some(News::HistoryEnd),
            Push::Lagged { lines, .. } => Some(News::Lagged(lines)),
            Push::Files { .. } | Push::LogTrouble { .. } | Push::Unknown => None,
        },
    }
}

/// A batch cut into harmless lines.
fn lines(batch: &LogBatch) -> Vec<Fresh> {
    let LogBatch { header, bytes } = batch;
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let fresh = |line: &[u8]| Fresh {
        source: header.worker,
        stream: header.stream,
        at_ms: header.at_ms,
        clean: ansi::clean(line),
    };
    if bytes.is_empty() { Vec::new() } else { text.split(|byte| *byte == b'\n').map(fresh).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerId;
    use crate::proto::LogHeader;
    use crate::proto::push::StreamKind;

    #[test]
    fn a_batch_is_cut_at_its_newlines_and_empty_lines_stay() {
        let header = LogHeader {
            id: 2,
            worker: Some(WorkerId(1)),
            name: "api".into(),
            stream: StreamKind::Err,
            instance: None,
            pid: None,
            at_ms: Some(5),
            history: false,
            path: None,
            spot: None,
            at_spot: None,
        };
        let cut = |bytes: &'static [u8]| -> Vec<String> {
            let batch = LogBatch { header: header.clone(), bytes: bytes::Bytes::from_static(bytes) };
            lines(&batch).into_iter().map(|line| line.clean.text.into()).collect()
        };
        assert_eq!(cut(b"a\n\nb\n"), ["a", "", "b"]);
        assert_eq!(cut(b"no newline"), ["no newline"]);
        assert!(cut(b"").is_empty());
    }
}
