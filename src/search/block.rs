//! A span in blocks of whole lines, read forwards through one buffer.

use super::part::{Span, Text};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// A line that gets longer than this is passed on in pieces.
pub const LONGEST: usize = 8 << 20;

/// Reads a span block by block.
pub struct Blocks {
    source: Source,
    buffer: Vec<u8>,
    /// Bytes of the last block in front of `filled`.
    given: usize,
    filled: usize,
    /// Where the buffer begins in the file.
    offset: u64,
    /// Of the span, not yet read.
    left: u64,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("offset", &self.offset).finish_non_exhaustive()
    }
}

enum Source {
    Plain(File),
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

impl Blocks {
    /// Opens the file; `size` is that of a block, if lines are not longer.
    pub fn open(span: &Span, size: usize) -> io::Result<Blocks> {
        let left = span.to.saturating_sub(span.from);
        let mut source = Source::open(span)?;
        match &mut source {
            Source::Plain(file) => {
                file.seek(SeekFrom::Start(span.from))?;
            }
            Source::Packed(text) => {
                io::copy(&mut text.by_ref().take(span.from), &mut io::sink())?;
            }
        }
        let size = usize::try_from(left).unwrap_or(size).clamp(1, size);
        Ok(Blocks { source, buffer: vec![0; size], given: 0, filled: 0, offset: span.from, left })
    }

    /// The next block.
    pub fn next(&mut self) -> io::Result<Option<Block<'_>>> {
        self.buffer.copy_within(self.given..self.filled, 0);
        self.offset += self.given as u64;
        self.filled -= self.given;
        self.given = 0;
        let mut searched = 0;
        loop {
            let ended = self.fill()?;
            let fresh = self.buffer.get(searched..self.filled).unwrap_or_default();
            self.given = match memchr::memrchr(b'\n', fresh) {
                _ if ended => self.filled,
                Some(at) => searched + at + 1,
                None if self.buffer.len() < LONGEST => {
                    searched = self.filled;
                    self.buffer.resize((self.buffer.len() * 2).min(LONGEST), 0);
                    continue;
                }
                None => self.filled,
            };
            let bytes = self.buffer.get(..self.given).unwrap_or_default();
            return Ok((!bytes.is_empty()).then_some(Block { offset: self.offset, bytes }));
        }
    }

    /// Fills the buffer. `true`: this is the end of the span or of the file.
    fn fill(&mut self) -> io::Result<bool> {
        while self.left > 0 && self.filled < self.buffer.len() {
            let room = self.buffer.len() - self.filled;
            let room = usize::try_from(self.left).unwrap_or(room).min(room);
            let into = self.buffer.get_mut(self.filled..self.filled + room).unwrap_or_default();
            match self.source.read(into) {
                Ok(0) => self.left = 0,
                Ok(count) => {
                    self.filled += count;
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
    fn open(span: &Span) -> io::Result<Source> {
        Ok(match span.part.open()? {
            Text::Plain(file) => Source::Plain(file),
            Text::Packed(file) => {
                let file = BufReader::with_capacity(64 << 10, file);
                Source::Packed(Box::new(MultiGzDecoder::new(file)))
            }
        })
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read(into),
            Source::Packed(text) => text.read(into),
        }
    }
}
