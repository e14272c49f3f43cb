//! What subscribers are told of a batch: its lines; or, where all who want them read files themselves, where they stand,
//! and then nothing is copied; or nothing.

use super::fanout::{Demand, Fanout, LogLines, Spot};
use super::file::Files;
use super::lines;
use super::pipe::Stream;
use super::record::{Batch, Place};
use super::spec::Source;
use crate::model::{FileId, tail};
use bytes::Bytes;

/// Fewer bytes are cheaper sent than looked up.
pub const SMALL: usize = 4 << 10;

impl Stream {
    /// A batch is in the files, as `rendered`.
    pub(super) fn tell_batch(
        &mut self,
        batch: &Batch,
        (bytes, rendered): (&[u8], &[u8]),
        source: &Source,
        files: &Files,
        fanout: &Fanout,
    ) {
        let [place, _] = batch.places;
        let (targets, shared) = (self.sink.paths.iter().zip(batch.places), self.sink.is_shared(files));
        // One moment for who subscribes: what is told and where that ends.
        let held = self.intake.clone();
        let mut intake = held.lock();
        for (path, place) in targets.filter_map(|(path, place)| Some((path.as_ref()?, place))) {
            files.set_end(path, Place { offset: place.offset + rendered.len() as u64, ..place });
        }
        // Without a file, those who come later see it from memory.
        let demand = if self.sink.has_file() {
            fanout.demand(source.worker, self.kind, bytes.len())
        } else {
            Demand::Bytes
        };
        // The first half of a line that goes on in another file is told by itself: where lines are told to stand, they stand
        // whole. In a shared file nobody looks there.
        if !shared && self.sink.has_file() && intake.told.is_torn(place) {
            let spot = intake.told.rest(shared);
            let half = self.splitter.release().filter(|_| demand != Demand::Nobody);
            self.tell(source, batch.at_ms, half, spot, fanout);
        }
        // The file has what would be sent, in one piece.
        let plain = self.sink.format.is_raw()
            && !batch.ends_line
            && !shared
            && lines::whole(bytes) >= SMALL
            && (self.splitter.is_empty() || intake.told.goes_on(place))
            && self.sink.paths[0].as_ref().is_some_and(|path| files.is_regular(path));
        let (lines, by_place) = match demand {
            Demand::Nobody => (self.splitter.skip(bytes), false),
            Demand::Places if plain => (self.splitter.skip(bytes), true),
            Demand::Places | Demand::Bytes => (self.splitter.push(bytes), false),
        };
        let whole = self.splitter.is_empty();
        let [own, _] = &self.sink.paths;
        let file = own.as_ref().map_or_else(FileId::default, |path| files.id(path, place.inode));
        let spot = intake.told.batch((file, place.offset), rendered, whole, batch.ends_line, shared);
        if by_place {
            let told = if whole { bytes } else { bytes.get(..lines::whole(bytes)).unwrap_or_default() };
            let mut lines = self.lines(source, batch.at_ms, Bytes::new());
            (lines.lines, lines.tail, lines.spot) = (lines::count(told), Some(tail::print(told)), spot);
            fanout.forget_stream(source.worker, self.kind);
            fanout.publish(lines);
        } else {
            self.tell(source, batch.at_ms, lines, spot, fanout);
        }
    }

    /// Lines, if there are any.
    pub(super) fn tell(
        &self,
        source: &Source,
        at_ms: i64,
        lines: Option<Bytes>,
        spot: Option<Spot>,
        fanout: &Fanout,
    ) {
        if let Some(bytes) = lines {
            let mut lines = self.lines(source, at_ms, bytes);
            lines.spot = spot;
            fanout.publish(lines);
        }
    }

    fn lines(&self, source: &Source, at_ms: i64, bytes: Bytes) -> LogLines {
        LogLines::of(source, self.token >> 1, self.kind, at_ms, bytes)
    }
}
