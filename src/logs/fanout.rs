//! Lines to those who watch. The pump puts a batch into every queue that wants it and goes on; sessions take
//! from their queue when they can. A full queue loses its oldest batches, and its owner is told how many lines
//! those were. All share one copy of the bytes.

use super::lines;
use super::queue::Queue;
use super::recent::Recent;
use super::spec::Source;
use super::tell::SMALL;
use crate::model::{FileId, StreamKind, WorkerId};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Where lines stand in a file, formatted as the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The log's path; the file may have another name by now.
    pub path: Arc<Path>,
    /// Which file.
    pub file: FileId,
    /// Where they begin.
    pub start: u64,
    /// And end.
    pub end: u64,
    /// Other streams write to it too.
    pub shared: bool,
}

/// Some lines of one stream, as the worker wrote them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLines {
    /// Whose; `None`: the daemon's own.
    pub worker: Option<WorkerId>,
    /// Its app's name.
    pub name: Arc<str>,
    /// Which stream.
    pub stream: StreamKind,
    /// Which copy of the app.
    pub instance: u32,
    /// The worker's process, or the daemon.
    pub pid: Option<u32>,
    /// When they were read from the worker, Unix milliseconds.
    pub at_ms: i64,
    /// The lines. Each ends with `\n`, but for one longer than [`lines::LONGEST`].
    pub bytes: Bytes,
    /// How many.
    pub lines: usize,
    /// Where they are on disk, in the stream's own file.
    pub spot: Option<Spot>,
    /// The lines are not in `bytes` but at `spot`: the print of their end ([`crate::model::tail`]).
    pub tail: Option<u64>,
    /// The entry of the process that wrote them, 0 if that is not known: a worker that is reloaded has two.
    pub entry: u64,
    /// Rises over all workers: the order they were read in.
    sequence: u64,
}

impl LogLines {
    /// Lines to publish.
    pub fn new(
        worker: Option<WorkerId>,
        name: Arc<str>,
        stream: StreamKind,
        at_ms: i64,
        bytes: Bytes,
    ) -> LogLines {
        let lines = lines::count(&bytes);
        LogLines {
            worker,
            name,
            stream,
            instance: 0,
            pid: None,
            at_ms,
            bytes,
            lines,
            spot: None,
            tail: None,
            entry: 0,
            sequence: 0,
        }
    }

    /// Lines of a worker, written by this entry's process.
    pub fn of(source: &Source, entry: u64, stream: StreamKind, at_ms: i64, bytes: Bytes) -> LogLines {
        let lines = LogLines::new(Some(source.worker), source.name.clone(), stream, at_ms, bytes);
        LogLines { instance: source.instance, pid: source.pid, entry, ..lines }
    }

    /// The last lines of it, without copying them. More than wanted where it could not be said any more where they
    /// stand: in a file of another format.
    pub fn last(&self, wanted: usize) -> LogLines {
        let start = lines::start_of_last(&self.bytes, wanted);
        let mut spot = self.spot.clone();
        if let Some(spot) = &mut spot {
            if start > 0 && spot.end - spot.start != self.bytes.len() as u64 {
                return self.clone();
            }
            spot.start += start as u64;
        }
        LogLines { bytes: self.bytes.slice(start..), lines: wanted.min(self.lines), spot, ..self.clone() }
    }

    /// What it weighs in a queue, in bytes. Lines that are told by their place are in no memory, but who is far behind
    /// must be told so.
    pub fn size(&self) -> u64 {
        match (&self.spot, self.tail) {
            (Some(spot), Some(_)) => (spot.end - spot.start) / 8,
            (_, _) => self.bytes.len() as u64,
        }
    }

    /// So many of its lines could not be told from others in a file, or are in none. The daemon's own are all in its log.
    pub fn unplaced(&self) -> u64 {
        let placed = self.worker.is_none() || self.spot.as_ref().is_some_and(|spot| !spot.shared);
        if placed { 0 } else { self.lines as u64 }
    }

    /// Takes in the next batch, if both are told by their place, one behind the other, and not longer than `most`.
    pub fn goes_on_in(&mut self, next: &LogLines, most: u64) -> bool {
        let (Some(spot), Some(_), Some(then), Some(_)) = (&mut self.spot, self.tail, &next.spot, next.tail)
        else {
            return false;
        };
        let same = (self.entry, self.stream, self.pid) == (next.entry, next.stream, next.pid)
            && (spot.file, spot.end) == (then.file, then.start)
            && spot.path == then.path
            && then.end - spot.start <= most;
        if same {
            (spot.end, self.tail) = (then.end, next.tail);
            self.lines += next.lines;
        }
        same
    }
}

/// Which workers a subscriber wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workers {
    /// All, those that come later and the daemon itself too.
    All,
    /// These.
    Only(HashSet<WorkerId>),
}

/// How much is wanted of what a stream says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nobody,
    /// Where it stands.
    Places,
    /// The lines.
    Bytes,
}

/// What a subscriber wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Whose lines.
    pub workers: Workers,
    /// stdout's.
    pub out: bool,
    /// stderr's.
    pub err: bool,
    /// It reads lines where they stand, if it is told where.
    pub places: bool,
}

impl Filter {
    fn wants_worker(&self, worker: Option<WorkerId>) -> bool {
        match &self.workers {
            Workers::All => true,
            Workers::Only(ids) => worker.is_some_and(|id| ids.contains(&id)),
        }
    }

    fn wants(&self, batch: &LogLines) -> bool {
        self.fits(batch.worker, batch.stream)
    }

    fn fits(&self, worker: Option<WorkerId>, stream: StreamKind) -> bool {
        let stream = match stream {
            StreamKind::Out => self.out,
            StreamKind::Err => self.err,
        };
        stream && self.wants_worker(worker)
    }
}

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Lines.
    Lines(LogLines),
    /// So many lines were dropped before the next ones.
    Lagged {
        /// Since the last one told.
        lines: u64,
        /// Those of them that a reader would not find in a file of one writer.
        unplaced: u64,
        /// Where the others stand, by log.
        placed: Vec<Skipped>,
    },
}

/// Lines of one log that were dropped, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The log.
    pub path: Arc<Path>,
    /// Where they begin.
    pub from: (FileId, u64),
    /// And end.
    pub to: (FileId, u64),
    /// How many.
    pub lines: u64,
}

/// The hub. Clones are the same hub.
#[derive(Debug, Clone, Default)]
pub struct Fanout {
    hub: Arc<Mutex<Hub>>,
}

#[derive(Debug, Default)]
struct Hub {
    recent: HashMap<Option<WorkerId>, Recent>,
    queues: HashMap<u64, Queue>,
    next_queue: u64,
    next_sequence: u64,
}

impl Fanout {
    /// A hub without subscribers.
    pub fn new() -> Fanout {
        Fanout::default()
    }

    /// Gives lines to all who want them, and keeps them for those who come later. Waits for nobody.
    pub fn publish(&self, mut batch: LogLines) {
        let mut hub = self.lock();
        batch.sequence = hub.next_sequence;
        hub.next_sequence += 1;
        for queue in hub.queues.values_mut().filter(|queue| queue.filter.wants(&batch)) {
            queue.push(batch.clone());
        }
        if batch.tail.is_none() {
            hub.recent.entry(batch.worker).or_default().push(batch);
        }
    }

    /// What is wanted of the next `length` bytes of a stream. If nobody wants them, what is remembered of it is
    /// forgotten, because a gap would follow. stderr is never passed over: last words are asked for when they were said.
    pub fn demand(&self, worker: WorkerId, stream: StreamKind, length: usize) -> Demand {
        let hub = self.lock();
        let wanted = || hub.queues.values().filter(|queue| queue.filter.fits(Some(worker), stream));
        let demand = match stream {
            StreamKind::Out if wanted().next().is_none() => Demand::Nobody,
            StreamKind::Out if length >= SMALL && wanted().all(|queue| queue.filter.places) => Demand::Places,
            StreamKind::Out | StreamKind::Err => Demand::Bytes,
        };
        drop(hub);
        if demand == Demand::Nobody {
            self.forget_stream(worker, stream);
        }
        demand
    }

    /// What is remembered of a stream is forgotten, because a gap follows.
    pub fn forget_stream(&self, worker: WorkerId, stream: StreamKind) {
        if let Some(recent) = self.lock().recent.get_mut(&Some(worker)) {
            recent.forget(stream);
        }
    }

    /// From now on, after the last `recent` lines of each worker it wants, in the order they were read.
    /// `capacity` is in bytes.
    pub fn subscribe(&self, filter: Filter, recent: usize, capacity: usize) -> Subscription {
        let (subscription, past) = self.subscribe_after(filter, recent, capacity);
        if let Some(queue) = self.lock().queues.get_mut(&subscription.id) {
            queue.precede(past);
        }
        subscription
    }

    /// From now on; the last `recent` lines of each worker, in the order they were read, are not in the queue, which
    /// would not hold them.
    pub fn subscribe_after(
        &self,
        filter: Filter,
        recent: usize,
        capacity: usize,
    ) -> (Subscription, Vec<LogLines>) {
        let filled = Arc::new(Notify::new());
        let mut hub = self.lock();
        let wanted = hub.recent.iter().filter(|(worker, _)| filter.wants_worker(**worker));
        let mut past: Vec<LogLines> =
            wanted.flat_map(|(_, lines)| lines.last(recent, |batch| filter.wants(batch))).collect();
        past.sort_by_key(|batch| batch.sequence);
        let queue = Queue::new(filter, capacity, Arc::clone(&filled));
        let id = hub.next_queue;
        hub.next_queue += 1;
        hub.queues.insert(id, queue);
        (Subscription { hub: Arc::clone(&self.hub), id, filled }, past)
    }

    /// The last lines that the process of one of its entries wrote to its stderr, oldest first.
    pub fn last_words(&self, worker: WorkerId, entry: u64, wanted: usize) -> Vec<LogLines> {
        let hub = self.lock();
        let recent = hub.recent.get(&Some(worker));
        let fits = |batch: &LogLines| batch.entry == entry && batch.stream == StreamKind::Err;
        recent.map(|lines| lines.last(wanted, fits)).unwrap_or_default()
    }

    /// A worker is gone: its last lines with it.
    pub fn forget(&self, worker: WorkerId) {
        self.lock().recent.remove(&Some(worker));
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber's queue; dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Mutex<Hub>>,
    id: u64,
    filled: Arc<Notify>,
}

impl Subscription {
    /// Waits for the next delivery. Dropping the future loses nothing.
    pub async fn next(&self) -> Delivery {
        loop {
            let filled = self.filled.notified();
            if let Some(delivery) = self.take() {
                return delivery;
            }
            filled.await;
        }
    }

    /// The next delivery if there is one.
    pub fn take(&self) -> Option<Delivery> {
        self.lock().queues.get_mut(&self.id)?.take()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().queues.get(&self.id).is_none_or(Queue::is_empty)
    }

    /// Wants something else from now on; what is queued stays queued.
    pub fn retarget(&self, filter: Filter) {
        if let Some(queue) = self.lock().queues.get_mut(&self.id) {
            queue.filter = filter;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.lock().queues.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(worker: Option<u32>, stream: StreamKind, text: &'static str) -> LogLines {
        LogLines::new(worker.map(WorkerId), "web".into(), stream, 0, Bytes::from_static(text.as_bytes()))
    }

    fn all() -> Filter {
        Filter { workers: Workers::All, out: true, err: true, places: false }
    }

    fn drain(subscription: &Subscription) -> String {
        let mut got = String::new();
        while let Some(delivery) = subscription.take() {
            match delivery {
                Delivery::Lines(batch) => got.push_str(&String::from_utf8_lossy(&batch.bytes)),
                Delivery::Lagged { lines, .. } => got.push_str(&format!("-{lines}-")),
            }
        }
        got
    }

    #[test]
    fn everybody_gets_what_they_want_and_nothing_else() {
        let fanout = Fanout::new();
        let everything = fanout.subscribe(all(), 0, 1000);
        let errors = fanout.subscribe(Filter { out: false, ..all() }, 0, 1000);
        let two = Filter { workers: Workers::Only([WorkerId(2)].into()), ..all() };
        let second = fanout.subscribe(two, 0, 1000);
        fanout.publish(lines(Some(1), StreamKind::Out, "a\n"));
        fanout.publish(lines(Some(2), StreamKind::Err, "b\n"));
        fanout.publish(lines(None, StreamKind::Out, "own\n"));
        second.retarget(Filter { workers: Workers::Only([WorkerId(1)].into()), ..all() });
        fanout.publish(lines(Some(1), StreamKind::Out, "c\n"));
        assert_eq!(drain(&everything), "a\nb\nown\nc\n");
        assert_eq!(drain(&errors), "b\n");
        assert_eq!(drain(&second), "b\nc\n");
    }

    #[test]
    fn a_newcomer_gets_each_workers_last_lines_in_the_order_they_were_read() {
        let fanout = Fanout::new();
        for (worker, text) in [(1, "a\nb\n"), (2, "x\n"), (1, "c\n"), (2, "y\n"), (3, "gone\n")] {
            fanout.publish(lines(Some(worker), StreamKind::Out, text));
        }
        fanout.forget(WorkerId(3));
        let newcomer = fanout.subscribe(all(), 2, 1000);
        fanout.publish(lines(Some(1), StreamKind::Out, "d\n"));
        assert_eq!(drain(&newcomer), "b\nx\nc\ny\nd\n");
    }

    #[test]
    fn what_nobody_wants_leaves_no_gap_in_memory_and_last_words_stay() {
        let fanout = Fanout::new();
        fanout.publish(lines(Some(1), StreamKind::Out, "old\n"));
        fanout.publish(lines(Some(1), StreamKind::Err, "oops\n"));
        let demand = |stream| fanout.demand(WorkerId(1), stream, 9999);
        assert_eq!((demand(StreamKind::Out), demand(StreamKind::Err)), (Demand::Nobody, Demand::Bytes));
        let newcomer = fanout.subscribe(all(), 9, 1000);
        assert_eq!(demand(StreamKind::Out), Demand::Bytes);
        assert_eq!(drain(&newcomer), "oops\n");
    }

    #[test]
    fn who_does_not_read_loses_the_oldest_and_is_told() {
        let fanout = Fanout::new();
        let slow = fanout.subscribe(all(), 0, 6);
        for text in ["1\n2\n", "3\n", "4\n", "5\n"] {
            fanout.publish(lines(Some(1), StreamKind::Out, text));
        }
        assert_eq!(drain(&slow), "-2-3\n4\n5\n");
        fanout.publish(lines(Some(1), StreamKind::Out, "longer than the queue\n"));
        assert_eq!(drain(&slow), "longer than the queue\n");
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let fanout = Fanout::new();
        let subscription = fanout.subscribe(all(), 0, 1000);
        let publisher = fanout.clone();
        let thread = std::thread::spawn(move || publisher.publish(lines(None, StreamKind::Out, "x\n")));
        let Delivery::Lines(batch) = subscription.next().await else { panic!("not lines") };
        assert_eq!(&batch.bytes[..], b"x\n");
        thread.join().unwrap();
    }
}
