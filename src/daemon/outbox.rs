//! What a session has to say: whole frames in one bounded queue. A client that does not read stops only the tasks that
//! answer it, each before it has made its answer.

use super::places::{Place, Unread};
use crate::proto::{DaemonMessage, Frame, FrameError, Push, Reply};
use bytes::{Buf, Bytes};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

/// Frames that may wait for a slow client.
const FRAMES: usize = 32;
/// And their bytes; one frame may be longer.
const BYTES: u32 = 256 << 10;

/// One frame, in one or two pieces.
#[derive(Debug)]
struct Outgoing {
    head: Bytes,
    body: Bytes,
    _room: (OwnedSemaphorePermit, Unread),
}

/// Where a request's task writes its answer and pushes.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    mouth: Mouth,
    pub(super) id: u64,
}

/// The client is gone; there is nobody to write to.
#[derive(Debug)]
pub(super) struct ClientGone;

/// What a session's tasks write through.
#[derive(Debug, Clone)]
pub(super) struct Mouth {
    frames: mpsc::Sender<Outgoing>,
    /// Who has it makes a frame: there is never more than one that waits for room.
    pen: Arc<Mutex<()>>,
    room: Arc<Semaphore>,
    place: Arc<Place>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Waiting(mpsc::Receiver<Outgoing>);

impl Mouth {
    pub(super) fn new(place: Arc<Place>) -> (Mouth, Waiting) {
        let (frames, queue) = mpsc::channel(FRAMES);
        let room = Arc::new(Semaphore::new(BYTES as usize));
        (Mouth { frames, pen: Arc::default(), room, place }, Waiting(queue))
    }

    /// For the request `id`.
    pub(super) fn outbox(&self, id: u64) -> Outbox {
        Outbox { mouth: self.clone(), id }
    }

    /// Says what `make` makes, when there is room.
    pub(super) async fn say(
        &self,
        make: impl FnOnce() -> Result<(Bytes, Bytes), FrameError>,
    ) -> Result<(), ClientGone> {
        let _pen = self.pen.lock().await;
        // Not made for somebody who does not read: the whole budget must not be taken.
        drop(self.room.acquire().await.map_err(|_closed| ClientGone)?);
        let (head, body) = make().map_err(|error| {
            tracing::error!(%error, "failed to encode an answer");
            ClientGone
        })?;
        let length = head.len() + body.len();
        let share = u32::try_from(length).unwrap_or(BYTES).min(BYTES);
        let own = Arc::clone(&self.room).acquire_many_owned(share).await.map_err(|_closed| ClientGone)?;
        let room = (own, self.place.room(length).await);
        self.frames.send(Outgoing { head, body, _room: room }).await.map_err(|_closed| ClientGone)
    }

    /// A message.
    pub(super) async fn message(&self, make: impl FnOnce() -> DaemonMessage) -> Result<(), ClientGone> {
        self.say(|| Ok((Frame::json(&make())?, Bytes::new()))).await
    }
}

impl Outbox {
    /// The answer.
    pub(super) async fn reply(&self, reply: Reply) -> Result<(), ClientGone> {
        self.answer(|| reply).await
    }

    /// The answer, made when the client can take it.
    pub(super) async fn answer(&self, make: impl FnOnce() -> Reply) -> Result<(), ClientGone> {
        self.mouth.message(|| DaemonMessage::Reply { id: self.id, reply: make() }).await
    }

    /// News.
    pub(super) async fn push(&self, push: Push) -> Result<(), ClientGone> {
        self.mouth.message(|| DaemonMessage::Push { id: self.id, push }).await
    }

    /// A frame made elsewhere.
    pub(super) async fn frame(&self, frame: Bytes) -> Result<(), ClientGone> {
        self.log(frame, Bytes::new()).await
    }

    /// A log frame: what comes before the lines, and the lines, which all subscribers share.
    pub(super) async fn log(&self, head: Bytes, body: Bytes) -> Result<(), ClientGone> {
        self.mouth.say(|| Ok((head, body))).await
    }
}

impl Waiting {
    /// Writes what is said until everybody who could say something is gone, or the client is.
    pub(super) async fn write(mut self, mut writer: OwnedWriteHalf, place: Arc<Place>) {
        while let Some(Outgoing { head, body, _room }) = self.0.recv().await {
            place.writes(true);
            // Both in one writev(2).
            if writer.write_all_buf(&mut head.chain(body)).await.is_err() {
                return;
            }
            place.writes(false);
        }
    }
}
