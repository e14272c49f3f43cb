//! One connection: frames in, answers and pushes out. Requests of one connection run side by side; each writes
//! whole frames to one bounded queue, so a client that does not read stops only its own tasks.

use super::mailbox::Desk;
use super::{answer, follow, watch};
use crate::proto::{ClientMessage, DaemonMessage, Decoder, Frame, Hello, Push, Reply, Request};
use bytes::{Buf, Bytes};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Frames that may wait for a slow client before its tasks wait.
const FRAMES: usize = 32;
/// Requests that one connection may have under way.
const REQUESTS: usize = 64;
/// Who asks for nothing for so long gives up his place, where places are scarce.
const IDLE: Duration = Duration::from_secs(1);

/// One frame, in one or two pieces.
#[derive(Debug)]
struct Outgoing {
    head: Bytes,
    body: Bytes,
}

impl From<Bytes> for Outgoing {
    fn from(head: Bytes) -> Outgoing {
        Outgoing { head, body: Bytes::new() }
    }
}

/// Where a request's task writes its answer and pushes.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Outgoing>,
    pub(super) id: u64,
}

/// The client is gone; there is nobody to write to.
#[derive(Debug)]
pub(super) struct ClientGone;

impl Outbox {
    /// The answer.
    pub(super) async fn reply(&self, reply: Reply) -> Result<(), ClientGone> {
        self.send(&DaemonMessage::Reply { id: self.id, reply }).await
    }

    /// News.
    pub(super) async fn push(&self, push: Push) -> Result<(), ClientGone> {
        self.send(&DaemonMessage::Push { id: self.id, push }).await
    }

    /// A frame made elsewhere.
    pub(super) async fn frame(&self, frame: Bytes) -> Result<(), ClientGone> {
        self.outgoing(Outgoing::from(frame)).await
    }

    /// A log frame: what comes before the lines, and the lines, which all subscribers share.
    pub(super) async fn log(&self, head: Bytes, body: Bytes) -> Result<(), ClientGone> {
        self.outgoing(Outgoing { head, body }).await
    }

    async fn outgoing(&self, outgoing: Outgoing) -> Result<(), ClientGone> {
        self.frames.send(outgoing).await.map_err(|_closed| ClientGone)
    }

    async fn send(&self, message: &DaemonMessage) -> Result<(), ClientGone> {
        match Frame::json(message) {
            Ok(frame) => self.frame(frame).await,
            Err(error) => {
                tracing::error!(%error, "failed to encode an answer");
                Err(ClientGone)
            }
        }
    }
}

/// Serves a client until it leaves; `crowded` tells whether places are scarce.
pub(super) async fn serve(stream: UnixStream, desk: Desk, crowded: impl Fn() -> bool) {
    let (reader, writer) = stream.into_split();
    let (frames, queue) = mpsc::channel(FRAMES);
    let writing = tokio::spawn(write(writer, queue));
    let mut session = Session { desk, frames, tasks: HashMap::new() };
    if let Err(reason) = session.read(reader, crowded).await {
        tracing::debug!(reason, "closed a session");
    }
    // What was asked for and not cancelled is still answered, if the client only shut its writing half;
    // a client that is gone fails its tasks at their next write.
    drop(session);
    drop(writing);
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { head, body }) = queue.recv().await {
        // Both in one writev(2).
        if writer.write_all_buf(&mut head.chain(body)).await.is_err() {
            return;
        }
    }
}

struct Session {
    desk: Desk,
    frames: mpsc::Sender<Outgoing>,
    tasks: HashMap<u64, AbortHandle>,
}

impl Session {
    async fn read(
        &mut self,
        mut reader: OwnedReadHalf,
        crowded: impl Fn() -> bool,
    ) -> Result<(), &'static str> {
        let hello = Frame::json(&DaemonMessage::Hello(Hello::ours())).map_err(|_bug| "no hello")?;
        self.frames.send(hello.into()).await.map_err(|_closed| "gone")?;
        let mut decoder = Decoder::default();
        loop {
            while let Some(frame) = decoder.next().map_err(|_bad| "bad frame")? {
                match frame {
                    Frame::Json(json) => self.take(Frame::parse(&json).map_err(|_bad| "bad message")?)?,
                    Frame::Log(_) => return Err("a log batch from a client"),
                }
            }
            match timeout(IDLE, reader.read_buf(decoder.buffer())).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(_broken)) => return Err("broken"),
                Err(_elapsed) if crowded() && !self.is_busy() => return Err("idle in a crowd"),
                Err(_elapsed) => {}
            }
        }
    }

    fn is_busy(&mut self) -> bool {
        self.tasks.retain(|_, task| !task.is_finished());
        !self.tasks.is_empty()
    }

    fn take(&mut self, message: ClientMessage) -> Result<(), &'static str> {
        match message {
            ClientMessage::Hello(_) | ClientMessage::Unknown => {}
            ClientMessage::Cancel { id } => {
                if let Some(task) = self.tasks.remove(&id) {
                    task.abort();
                }
            }
            ClientMessage::Request { id, request } => {
                if self.is_busy() && self.tasks.len() >= REQUESTS {
                    return Err("too many requests at once");
                }
                let outbox = Outbox { frames: self.frames.clone(), id };
                let task = tokio::spawn(perform(*request, self.desk.clone(), outbox));
                self.tasks.insert(id, task.abort_handle());
            }
        }
        Ok(())
    }
}

impl Drop for Session {
    /// Subscriptions end with the connection; orders under way are the owner's and go on.
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.abort();
        }
    }
}

async fn perform(request: Request, desk: Desk, outbox: Outbox) {
    let done = match request {
        Request::Watch => watch::fleet(&desk, &outbox).await,
        Request::Logs(wanted) => follow::logs(wanted, &desk, &outbox).await,
        other => outbox.reply(answer::to(other, &desk).await).await,
    };
    if let Err(ClientGone) = done {
        tracing::trace!("a client left before its answer");
    }
}
