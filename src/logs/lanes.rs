//! Large pipes for streams that write fast.
//!
//! A round of the pump is a wake-up, which costs as much as moving some 100 KB, and how soon the next one must come depends
//! on how soon a pipe fills (`pace`). So a stream that keeps filling its pipe gets a larger one, and costs a quarter of the
//! rounds. The others keep what they were born with, because a user's pipes may have 64 MB in all
//! (`pipe-user-pages-soft`); and only so many get one: where more write fast, they share their rounds anyway.
//!
//! Staging stays as it is: the next daemon must be able to look at all of it, though there be no more to be had for its
//! scratch pipe.

use super::pipe::Inlet;
use crate::sys::pipe;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes in a large pipe: what everybody may ask for (`pipe-max-size`).
const LARGE: usize = 1 << 20;
/// A round found the pipe so full, in thousandths: not far from what `pace` lets it get.
const BRISK: u32 = 100;
/// A stream is fast after so many such rounds in a row.
const ROUNDS: u32 = 8;
/// So many get large pipes at once.
const STREAMS: usize = 8;

/// Who has large pipes. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Lanes(Arc<AtomicUsize>);

/// One pipe's, as long as it is open.
#[derive(Debug)]
struct Lane(Lanes);

impl Lanes {
    /// For a pipe that is large already, an earlier daemon's work.
    fn claim(&self) -> Lane {
        self.0.fetch_add(1, Relaxed);
        Lane(self.clone())
    }

    fn take(&self) -> Option<Lane> {
        let free = |taken| (taken < STREAMS).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, free).is_ok().then(|| Lane(self.clone()))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// How fast a pipe is filled.
#[derive(Debug)]
pub(super) struct Speed {
    /// Rounds in a row that found it so.
    brisk: u32,
    lane: Option<Lane>,
}

impl Inlet {
    /// The read end of a pipe as it comes.
    pub(super) fn new(generation: u64, pipe: OwnedFd, lanes: &Lanes) -> Inlet {
        let capacity = pipe::capacity(&pipe);
        let lane = (capacity >= LARGE).then(|| lanes.claim());
        Inlet { generation, pipe, capacity, speed: Speed { brisk: 0, lane } }
    }

    /// A round found it so full, in thousandths: if that goes on, it gets larger. Once: who is refused has reached a limit.
    pub(super) fn widen(&mut self, filled: u32, lanes: &Lanes) {
        let speed = &mut self.speed;
        speed.brisk = if filled < BRISK { 0 } else { speed.brisk + 1 };
        if speed.brisk >= ROUNDS && speed.lane.is_none() {
            speed.lane = lanes.take();
            if speed.lane.is_some() {
                self.capacity = pipe::enlarge(&self.pipe, LARGE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlet(lanes: &Lanes) -> Inlet {
        Inlet::new(1, pipe::stdio(64 << 10).unwrap().0, lanes)
    }

    #[test]
    fn a_pipe_that_is_filled_again_and_again_gets_larger_once() {
        let lanes = Lanes::default();
        let mut inlet = inlet(&lanes);
        for filled in [BRISK; ROUNDS as usize - 1].into_iter().chain([0]).chain([BRISK; ROUNDS as usize - 1])
        {
            inlet.widen(filled, &lanes);
            assert_eq!(inlet.capacity, 64 << 10);
        }
        inlet.widen(BRISK, &lanes);
        assert_eq!((inlet.capacity, pipe::capacity(&inlet.pipe)), (LARGE, LARGE));
    }

    #[test]
    fn only_so_many_do_and_their_places_are_given_back() {
        let lanes = Lanes::default();
        let mut all: Vec<Inlet> = (0..=STREAMS).map(|_| inlet(&lanes)).collect();
        let widen = |all: &mut Vec<Inlet>| {
            for inlet in all.iter_mut() {
                (0..ROUNDS).for_each(|_| inlet.widen(BRISK, &lanes));
            }
            all.iter().filter(|inlet| inlet.capacity == LARGE).count()
        };
        assert_eq!((all.len(), widen(&mut all)), (STREAMS + 1, STREAMS));
        all.remove(0);
        assert_eq!((all.len(), widen(&mut all)), (STREAMS, STREAMS));
        // The next daemon's.
        let next = Lanes::default();
        let _taken_over: Vec<Inlet> = all.into_iter().map(|old| Inlet::new(1, old.pipe, &next)).collect();
        assert!(next.take().is_none());
    }
}
