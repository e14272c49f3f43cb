//! A span in blocks of whole lines, read forwards through one buffer.

use super::part::{Span, Text};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A line that gets longer than this is passed on in pieces.
pub const LONGEST: usize = 16 << 20;

/// Reads a span block by block.
pub struct Blocks {
    source: Source,
    /// The beginning of a line whose end was not in the last block.
    begun: Vec<u8>,
    /// Where that begins in the file.
    offset: u64,
    /// Of the span, not yet read.
    left: u64,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// A file that is open, as it is to be read.
pub enum Source {
    /// Text, from any place and by several at a time.
    Plain(Arc<File>),
    /// gzip, forwards.
    Packed(Box<MultiGzDecoder<BufReader<File>>>),
}

/// Whole lines, but for a last one without end and one longer than [`LONGEST`].
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Where it begins in the file.
    pub offset: u64,
    /// The lines.
    pub bytes: &'a [u8],
}

/// Memory for a block, used again for the next.
#[derive(Debug, Default)]
pub struct Room {
    offset: u64,
    buffer: Vec<u8>,
    length: usize,
}

impl Room {
    /// The block that was read last.
    pub fn block(&self) -> Block<'_> {
        Block { offset: self.offset, bytes: self.buffer.get(..self.length).unwrap_or_default() }
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }
}

impl Blocks {
    /// Opens the file.
    pub fn open(span: &Span) -> io::Result<Blocks> {
        Blocks::of(Source::open(span)?, span.from, span.to)
    }

    /// What stands in it from one place up to another, or to its end.
    pub fn of(mut source: Source, from: u64, to: u64) -> io::Result<Blocks> {
        if let Source::Packed(text) = &mut source {
            io::copy(&mut text.by_ref().take(from), &mut io::sink())?;
        }
        let left = to.saturating_sub(from);
        Ok(Blocks { source, begun: Vec::new(), offset: from, left })
    }

    /// Reads the next block, of `size` bytes if lines are not longer. `false`: there is none.
    pub fn next(&mut self, room: &mut Room, size: usize) -> io::Result<bool> {
        let mut filled = self.begun.len();
        let rest = usize::try_from(self.left).unwrap_or(size).min(size);
        room.offset = self.offset;
        room.length = 0;
        room.buffer.resize(room.buffer.len().max(rest + filled), 0);
        if let Some(begun) = room.buffer.get_mut(..filled) {
            begun.copy_from_slice(&self.begun);
        }
        self.begun.clear();
        let mut searched = 0;
        loop {
            let ended = self.fill(&mut room.buffer, &mut filled)?;
            let fresh = room.buffer.get(searched..filled).unwrap_or_default();
            room.length = match memchr::memrchr(b'\n', fresh) {
                _ if ended => filled,
                Some(at) => searched + at + 1,
                None if room.buffer.len() < LONGEST => {
                    searched = filled;
                    room.buffer.resize((room.buffer.len() * 2).min(LONGEST), 0);
                    continue;
                }
                None => filled,
            };
            self.begun.extend_from_slice(room.buffer.get(room.length..filled).unwrap_or_default());
            self.offset += room.length as u64;
            return Ok(room.length > 0);
        }
    }

    /// Nothing more is read.
    pub fn stop(&mut self) {
        (self.left, self.begun) = (0, Vec::new());
    }

    /// Fills the buffer. `true`: this is the end of the span or of the file.
    fn fill(&mut self, buffer: &mut [u8], filled: &mut usize) -> io::Result<bool> {
        while self.left > 0 && *filled < buffer.len() {
            let room = buffer.len() - *filled;
            let room = usize::try_from(self.left).unwrap_or(room).min(room);
            let into = buffer.get_mut(*filled..*filled + room).unwrap_or_default();
            match self.source.read(into, self.offset + *filled as u64) {
                Ok(0) => self.left = 0,
                Ok(count) => {
                    *filled += count;
                    self.left -= count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.left == 0)
    }
}

impl Source {
    /// Of a file that may have been put aside or compressed since it was found.
    pub fn open(span: &Span) -> io::Result<Source> {
        Ok(match span.part.open()? {
            Text::Plain(file) => Source::Plain(Arc::new(file)),
            Text::Packed(file) => {
                let file = BufReader::with_capacity(64 << 10, file);
                Source::Packed(Box::new(MultiGzDecoder::new(file)))
            }
        })
    }

    fn read(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read_at(into, offset),
            Source::Packed(text) => text.read(into),
        }
    }
}
