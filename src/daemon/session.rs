//! One connection: frames in, answers and pushes out. Requests of one connection run side by side; what they say goes
//! through one `outbox`.

use super::mailbox::Desk;
use super::outbox::{ClientGone, Mouth, Outbox};
use super::places::Place;
use super::{answer, follow, watch};
use crate::proto::{ClientMessage, Code, DaemonMessage, Decoder, Frame, Hello, Reply, Request};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// Requests that one connection may have under way.
const REQUESTS: usize = 64;
/// Subscriptions among them.
const SUBSCRIPTIONS: usize = 8;
/// No request is longer: a thousand apps, each with an environment of its own.
const REQUEST: usize = 8 << 20;
/// Longer ones are read a few at a time.
const LONG: usize = 64 << 10;
/// A frame that has begun must be whole after this.
const WHOLE: Duration = Duration::from_secs(10);

/// Serves a client until it leaves, or must leave.
pub(super) async fn serve(stream: UnixStream, desk: Desk, place: Arc<Place>) {
    let (reader, writer) = stream.into_split();
    let (mouth, waiting) = Mouth::new(Arc::clone(&place));
    let mut writing = tokio::spawn(waiting.write(writer, Arc::clone(&place)));
    let mut session = Session { desk, mouth, place: Arc::clone(&place), tasks: HashMap::new() };
    tokio::select! {
        done = session.read(reader) => if let Err(reason) = done {
            tracing::debug!(reason, "closed a session");
        },
        () = place.must_leave() => tracing::debug!("a session gave way"),
    }
    drop(session);
    // What was said is still written; the place is taken until it is.
    tokio::select! {
        _written = &mut writing => {}
        () = place.must_leave() => writing.abort(),
    }
}

struct Session {
    desk: Desk,
    mouth: Mouth,
    place: Arc<Place>,
    tasks: HashMap<u64, Task>,
}

struct Task {
    running: AbortHandle,
    subscribes: bool,
}

impl Session {
    async fn read(&mut self, mut reader: OwnedReadHalf) -> Result<(), &'static str> {
        self.mouth.message(|| DaemonMessage::Hello(Hello::ours())).await.map_err(|ClientGone| "gone")?;
        let mut decoder = Decoder::with_limit(REQUEST);
        let mut long = None;
        // When the frame that is being read must be whole.
        let mut whole: Option<Instant> = None;
        loop {
            while let Some(frame) = decoder.next().map_err(|_bad| "bad frame")? {
                (whole, long) = (None, None);
                match frame {
                    Frame::Json(json) => self.take(Frame::parse(&json).map_err(|_bad| "bad message")?)?,
                    Frame::Log(_) => return Err("a log batch from a client"),
                }
                self.place.said();
            }
            if decoder.buffer().is_empty() {
                whole = None;
            } else {
                whole = whole.or_else(|| Some(Instant::now() + WHOLE));
            }
            if decoder.buffer().len() > LONG && long.is_none() {
                long = self.place.long().await;
                whole = Some(Instant::now() + WHOLE);
            }
            let read = reader.read_buf(decoder.buffer());
            let read = match whole {
                Some(at) => timeout_at(at, read).await.map_err(|_elapsed| "a frame that does not end")?,
                None => read.await,
            };
            match read {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_broken) => return Err("broken"),
            }
        }
    }

    fn under_way(&mut self) -> usize {
        self.tasks.retain(|_, task| !task.running.is_finished());
        self.tasks.len()
    }

    fn take(&mut self, message: ClientMessage) -> Result<(), &'static str> {
        match message {
            ClientMessage::Hello(_) | ClientMessage::Unknown => {}
            ClientMessage::Cancel { id } => {
                if let Some(task) = self.tasks.remove(&id) {
                    task.running.abort();
                }
            }
            ClientMessage::Request { id, request } => {
                if self.under_way() >= REQUESTS {
                    return Err("too many requests at once");
                }
                let subscribes = matches!(*request, Request::Watch | Request::Logs(_));
                let others = self.tasks.values().filter(|task| task.subscribes).count();
                if subscribes && others >= SUBSCRIPTIONS {
                    return Err("too many subscriptions at once");
                }
                let outbox = self.mouth.outbox(id);
                let (desk, place) = (self.desk.clone(), Arc::clone(&self.place));
                let under_way = place.begin();
                let running = tokio::spawn(async move {
                    perform(*request, desk, outbox, &place).await;
                    drop(under_way);
                });
                let running = running.abort_handle();
                // Two requests with one number: nobody could tell their answers apart.
                if let Some(before) = self.tasks.insert(id, Task { running, subscribes }) {
                    before.running.abort();
                }
            }
        }
        Ok(())
    }
}

impl Drop for Session {
    /// Subscriptions end with the connection; orders under way are the owner's and go on.
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.running.abort();
        }
    }
}

async fn perform(request: Request, desk: Desk, outbox: Outbox, place: &Place) {
    let done = match request {
        Request::Watch | Request::Logs(_) if !place.may_subscribe() => {
            let crowd = answer::error(Code::Busy, "too many clients watch already");
            outbox.reply(Reply::Error(crowd)).await
        }
        Request::Watch => watch::fleet(&desk, &outbox).await,
        Request::Logs(wanted) => follow::logs(wanted, &desk, &outbox).await,
        Request::List { with_env } => outbox.answer(|| answer::list(&desk, with_env)).await,
        other => outbox.reply(answer::to(other, &desk).await).await,
    };
    if let Err(ClientGone) = done {
        tracing::trace!("a client left before its answer");
    }
}
