//! Who may stay when there is no room for all: places for sessions, and memory for what they have not read.
//!
//! Everybody is let in while there is room. Then whoever has nothing under way leaves for whoever comes, the longest
//! silent first, and after those who has not read for a second. Of orders under way and subscriptions that are
//! read none is ended; but only half the places are for sessions with subscriptions.

use crate::sys::clock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Sessions at a time; further clients wait in the backlog until one leaves.
const SESSIONS: usize = 512;
/// Sessions with subscriptions among them.
const SUBSCRIBERS: usize = SESSIONS / 2;
/// Bytes that may wait for all clients together.
const UNREAD: usize = 32 << 20;
/// Sessions at a time that may be in the middle of a long request.
const LONG: usize = 8;
/// Who has not taken a frame for so long is stuck.
const STUCK_MS: u64 = 1000;
/// Where nobody could be asked to leave, it is looked again after this.
const LOOK: Duration = Duration::from_millis(100);

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    seats: Mutex<Seats>,
    unread: AtomicUsize,
    long: Arc<Semaphore>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    last: u64,
    taken: BTreeMap<u64, Arc<Seat>>,
}

/// What others must know of a session to see whether it should leave.
#[derive(Debug)]
struct Seat {
    /// When it last said a whole word, or came (boot milliseconds).
    said_ms: AtomicU64,
    /// Requests under way.
    tasks: AtomicUsize,
    subscribed: AtomicBool,
    /// Since when it does not take a frame; 0: it does.
    stuck_ms: AtomicU64,
    unread: AtomicUsize,
    leave: watch::Sender<bool>,
}

/// A session's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    seat: Arc<Seat>,
    places: Arc<Places>,
}

/// Bytes that wait for a client, until this is dropped.
#[derive(Debug)]
pub(super) struct Unread {
    bytes: usize,
    place: Arc<Place>,
}

/// A request that is not answered yet, or a subscription.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Place>);

/// For what somebody must leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scarce {
    Places,
    Memory,
}

impl Places {
    pub(super) fn new() -> Arc<Places> {
        Arc::new(Places {
            seats: Mutex::default(),
            unread: AtomicUsize::new(0),
            long: Arc::new(Semaphore::new(LONG)),
            freed: Notify::new(),
        })
    }

    /// A place, as soon as there is one.
    pub(super) async fn enter(self: &Arc<Places>) -> Arc<Place> {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_enter() {
                return place;
            }
            self.ask_one_to_leave(Scarce::Places);
            // Elapsed or not: it is looked again.
            drop(timeout(LOOK, freed).await);
        }
    }

    fn try_enter(self: &Arc<Places>) -> Option<Arc<Place>> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.taken.len() >= SESSIONS {
            return None;
        }
        seats.last += 1;
        let number = seats.last;
        let seat = Arc::new(Seat {
            said_ms: AtomicU64::new(now_ms()),
            tasks: AtomicUsize::new(0),
            subscribed: AtomicBool::new(false),
            stuck_ms: AtomicU64::new(0),
            unread: AtomicUsize::new(0),
            leave: watch::Sender::new(false),
        });
        seats.taken.insert(number, Arc::clone(&seat));
        Some(Arc::new(Place { number, seat, places: Arc::clone(self) }))
    }

    fn ask_one_to_leave(&self, scarce: Scarce) {
        let now = now_ms();
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let staying = seats.taken.values().filter(|seat| !*seat.leave.borrow());
        if let Some(seat) = staying.filter_map(|seat| Some((seat.rank(scarce, now)?, seat))).min_by_key(first)
        {
            seat.1.leave.send_replace(true);
        }
    }
}

fn first<T>((rank, _): &((u8, u64), T)) -> (u8, u64) {
    *rank
}

impl Seat {
    /// Who leaves first, and since when; `None`: not at all.
    fn rank(&self, scarce: Scarce, now_ms: u64) -> Option<(u8, u64)> {
        let stuck = self.stuck_ms.load(Relaxed);
        if stuck > 0 && stuck + STUCK_MS <= now_ms {
            return Some((1, stuck));
        }
        let idle = self.tasks.load(Relaxed) == 0 && stuck == 0;
        (idle && scarce == Scarce::Places).then(|| (0, self.said_ms.load(Relaxed)))
    }
}

impl Place {
    /// The session said something whole.
    pub(super) fn said(&self) {
        self.seat.said_ms.store(now_ms(), Relaxed);
    }

    /// A request is under way until the result is dropped.
    pub(super) fn begin(self: &Arc<Place>) -> UnderWay {
        self.seat.tasks.fetch_add(1, Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// A frame is being written from now on, or is taken.
    pub(super) fn writes(&self, writes: bool) {
        self.seat.stuck_ms.store(if writes { now_ms() } else { 0 }, Relaxed);
    }

    /// Whether this session may have subscriptions; it counts as one that has.
    pub(super) fn may_subscribe(&self) -> bool {
        let seats = self.places.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let subscribed = |seat: &&Arc<Seat>| seat.subscribed.load(Relaxed);
        if !self.seat.subscribed.load(Relaxed)
            && seats.taken.values().filter(subscribed).count() >= SUBSCRIBERS
        {
            return false;
        }
        self.seat.subscribed.store(true, Relaxed);
        true
    }

    /// Leave to read on in a long request.
    pub(super) async fn long(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places.long).acquire_owned().await.ok()
    }

    /// Returns when the session must leave.
    pub(super) async fn must_leave(&self) {
        // An error means that the seat is gone, which it is not while we have it.
        drop(self.seat.leave.subscribe().wait_for(|leave| *leave).await);
    }

    /// Room for so many bytes that the client is to read, when there is some.
    pub(super) async fn room(self: &Arc<Place>, bytes: usize) -> Unread {
        loop {
            let freed = self.places.freed.notified();
            let all = self.places.unread.load(Relaxed);
            // A client that has read everything gets its next frame in any case.
            if all.saturating_add(bytes) <= UNREAD || self.seat.unread.load(Relaxed) == 0 {
                self.places.unread.fetch_add(bytes, Relaxed);
                self.seat.unread.fetch_add(bytes, Relaxed);
                return Unread { bytes, place: Arc::clone(self) };
            }
            self.places.ask_one_to_leave(Scarce::Memory);
            drop(timeout(LOOK, freed).await);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.seats.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.number);
        self.places.freed.notify_waiters();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.seat.tasks.fetch_sub(1, Relaxed);
        self.0.said();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let places = &self.place.places;
        let before = places.unread.fetch_sub(self.bytes, Relaxed);
        self.place.seat.unread.fetch_sub(self.bytes, Relaxed);
        if before > UNREAD / 2 {
            places.freed.notify_waiters();
        }
    }
}

fn now_ms() -> u64 {
    clock::now().boot_ms.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_silent_leaves_for_whoever_comes() {
        let places = Places::new();
        let mut taken = Vec::new();
        for _ in 0..SESSIONS {
            taken.push(places.enter().await);
        }
        for (silent, place) in taken.iter().enumerate() {
            place.seat.said_ms.store(if silent == 7 { 1 } else { 2 }, Relaxed);
        }
        let _busy = taken[7].begin();
        taken[9].seat.said_ms.store(1, Relaxed);
        let (_, ()) = tokio::join!(places.enter(), async {
            taken[9].must_leave().await;
            taken.remove(9);
        });
        assert_eq!(taken.iter().filter(|place| *place.seat.leave.borrow()).count(), 0);
    }

    #[tokio::test]
    async fn who_reads_nothing_leaves_when_memory_is_scarce() {
        let places = Places::new();
        let (deaf, other) = (places.enter().await, places.enter().await);
        let _busy = deaf.begin();
        let _held = (deaf.room(UNREAD - 10).await, deaf.room(10).await);
        deaf.seat.stuck_ms.store(1, Relaxed);
        let mine = other.room(100).await;
        assert!(!*deaf.seat.leave.borrow(), "the first frame of each has room");
        let (_second, ()) = tokio::join!(other.room(100), async {
            deaf.must_leave().await;
            drop(_held);
        });
        drop(mine);
        assert_eq!(places.unread.load(Relaxed), 100);
    }

    #[tokio::test]
    async fn half_the_places_are_for_those_who_subscribe_to_nothing() {
        let places = Places::new();
        let mut taken = Vec::new();
        for _ in 0..SUBSCRIBERS {
            taken.push(places.enter().await);
        }
        assert!(taken.iter().all(|place| place.may_subscribe()));
        let late = places.enter().await;
        assert!(!late.may_subscribe());
        assert!(taken[0].may_subscribe(), "again is free");
        taken.pop();
        assert!(late.may_subscribe());
    }
}
