//! What waits for one subscriber: bounded in bytes, the oldest goes first and is counted. Lines that are told by their
//! place count for an eighth, and grow together, so that who is slow is told of a long piece once.

use super::fanout::{Delivery, Filter, LogLines, Skipped};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// A piece of a file that is told at once; the reader holds it in memory.
const PIECE: u64 = 1 << 20;

/// One subscriber's.
#[derive(Debug)]
pub struct Queue {
    /// What it wants.
    pub filter: Filter,
    batches: VecDeque<LogLines>,
    bytes: u64,
    capacity: u64,
    lagged: u64,
    unplaced: u64,
    placed: HashMap<Arc<Path>, Skipped>,
    filled: Arc<Notify>,
}

impl Queue {
    /// An empty one for so many bytes; `filled` is told of each batch.
    pub fn new(filter: Filter, capacity: usize, filled: Arc<Notify>) -> Queue {
        let (batches, capacity) = (VecDeque::new(), capacity as u64);
        Queue { filter, batches, bytes: 0, capacity, lagged: 0, unplaced: 0, placed: HashMap::new(), filled }
    }

    /// Adds a batch; what is too much by now goes.
    pub fn push(&mut self, batch: LogLines) {
        let last =
            self.batches.back_mut().map(|last| (last.size(), last.goes_on_in(&batch, PIECE), last.size()));
        match last {
            Some((before, true, after)) => self.bytes += after - before,
            _other => {
                self.bytes += batch.size();
                self.batches.push_back(batch);
            }
        }
        while self.bytes > self.capacity
            && self.batches.len() > 1
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.size();
            self.lagged += oldest.lines as u64;
            self.unplaced += oldest.unplaced();
            self.skip(&oldest);
        }
        self.filled.notify_one();
    }

    /// Notes where dropped lines are to be found.
    fn skip(&mut self, batch: &LogLines) {
        let Some(spot) = batch.spot.as_ref().filter(|spot| !spot.shared) else { return };
        let (from, to, lines) = ((spot.file, spot.start), (spot.file, spot.end), batch.lines as u64);
        let path = || spot.path.clone();
        let skipped =
            self.placed.entry(path()).or_insert_with(|| Skipped { path: path(), from, to, lines: 0 });
        (skipped.to, skipped.lines) = (to, skipped.lines + lines);
    }

    /// There is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.lagged == 0
    }

    /// The oldest there is.
    pub fn take(&mut self) -> Option<Delivery> {
        match std::mem::take(&mut self.lagged) {
            0 => {
                let batch = self.batches.pop_front()?;
                self.bytes -= batch.size();
                Some(Delivery::Lines(batch))
            }
            lines => {
                let placed = self.placed.drain().map(|(_, skipped)| skipped).collect();
                Some(Delivery::Lagged { lines, unplaced: std::mem::take(&mut self.unplaced), placed })
            }
        }
    }

    /// Puts these before all that is there.
    pub fn precede(&mut self, past: Vec<LogLines>) {
        let later = std::mem::take(&mut self.batches);
        self.bytes = 0;
        past.into_iter().chain(later).for_each(|batch| self.push(batch));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fanout::{Spot, Workers};
    use super::*;
    use crate::model::{FileId, StreamKind, WorkerId};

    fn file() -> FileId {
        FileId { inode: 1, born_ns: 2 }
    }

    fn skipped(start: u64, end: u64, lines: u64) -> Skipped {
        Skipped { path: Path::new("/x.log").into(), from: (file(), start), to: (file(), end), lines }
    }

    fn at(start: u64, end: u64, lines: usize) -> LogLines {
        let spot = Spot { path: Path::new("/x.log").into(), file: file(), start, end, shared: false };
        let mut told =
            LogLines::new(Some(WorkerId(1)), "web".into(), StreamKind::Out, 0, bytes::Bytes::new());
        (told.spot, told.lines, told.tail) = (Some(spot), lines, Some(end));
        told
    }

    fn queue(capacity: usize) -> Queue {
        let filter = Filter { workers: Workers::All, out: true, err: true, places: true };
        Queue::new(filter, capacity, Arc::default())
    }

    #[test]
    fn places_that_follow_each_other_become_one_and_count_for_an_eighth() {
        let mut queue = queue(5000 / 8);
        queue.push(at(0, 1000, 10));
        queue.push(at(1000, 3000, 20));
        queue.push(at(3500, 4000, 5));
        let Some(Delivery::Lines(first)) = queue.take() else { panic!("nothing") };
        assert_eq!(
            (first.spot.clone().map(|spot| (spot.start, spot.end)), first.lines),
            (Some((0, 3000)), 30)
        );
        assert_eq!(first.tail, Some(3000));
        queue.push(at(4000, 9000, 50));
        queue.push(at(0, 10, 1));
        let placed = vec![skipped(3500, 9000, 55)];
        assert_eq!(queue.take(), Some(Delivery::Lagged { lines: 55, unplaced: 0, placed }));
        queue.push(at(10, PIECE + 100, 1));
        let placed = vec![skipped(0, 10, 1)];
        let lagged = Delivery::Lagged { lines: 1, unplaced: 0, placed };
        assert_eq!(queue.take(), Some(lagged), "too long for one piece");
    }

    #[test]
    fn of_what_is_dropped_those_that_no_file_of_one_writer_has_are_counted() {
        let mut queue = queue(4);
        let text = |spot: Option<Spot>, worker: Option<u32>| {
            let worker = worker.map(WorkerId);
            let mut lines = LogLines::new(worker, "web".into(), StreamKind::Out, 0, "a\nb\n".into());
            lines.spot = spot;
            lines
        };
        let spot =
            |shared| Some(Spot { path: Path::new("/x.log").into(), file: file(), start: 0, end: 4, shared });
        queue.push(text(None, Some(1)));
        queue.push(text(spot(true), Some(1)));
        queue.push(text(spot(false), Some(1)));
        queue.push(text(None, None));
        queue.push(text(None, Some(1)));
        let placed = vec![skipped(0, 4, 2)];
        assert_eq!(queue.take(), Some(Delivery::Lagged { lines: 8, unplaced: 4, placed }));
        assert!(matches!(queue.take(), Some(Delivery::Lines(_))));
        assert_eq!(queue.take(), None, "told once");
    }
}
