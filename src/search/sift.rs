//! The blocks of a log with what is wanted in them, in order. Where there is much to look through, threads do it for
//! pieces of the files, no further ahead of who asks than a few blocks.

use super::block::{Block, Blocks, LONGEST, Room, Source};
use super::narrow::{self, Dating};
use super::part::Span;
use super::query::Query;
use super::tail;
use super::times::Times;
use crate::model::StreamKind;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a thread takes at a time of a plain file; a compressed one has no pieces. Small in tests, which so have many seams.
const PIECE: u64 = if cfg!(test) { 700 } else { 4 << 20 };
/// Less than this is looked through at once, without threads.
const LITTLE: u64 = if cfg!(test) { 1 } else { 4 << 20 };
/// Blocks of a piece that wait for who asks.
const AHEAD: usize = 2;
/// After so many blocks without a find, who asks hears that it goes on.
const NEWS: usize = 16;
/// Memory for larger blocks, of very long lines, is given back.
const LARGE: usize = 1 << 20;

/// A file, and when what is in it was written.
pub type Dated = (Span, Times);

/// What is wanted of a block, from one byte to another: a line, or where times do not matter lines that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Find {
    /// Its first byte in the block.
    pub start: usize,
    /// Behind its last.
    pub end: usize,
    /// Its time, and whether that is known rather than guessed; if times are wanted.
    pub at: Option<(i64, bool)>,
}

/// A block and its finds.
#[derive(Debug, Default)]
pub struct Haul {
    room: Room,
    lines: Vec<Range<usize>>,
    /// In order.
    pub finds: Vec<Find>,
    /// The last time that lines before the block carry, if times are wanted.
    pub before: Option<i64>,
}

/// What came of looking.
#[derive(Debug)]
pub enum Sifted {
    /// A block with finds; if context is wanted, any block.
    Block(Arc<Dated>, Haul),
    /// Blocks with none.
    Nothing,
    /// A file that could not be read, or not to its end.
    Trouble(PathBuf, io::Error),
}

/// Gives out a log's blocks.
#[derive(Debug)]
pub struct Sift {
    shared: Arc<Shared>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Here(Option<Open>),
    /// What each piece's thread tells of it, in order of the pieces.
    Threads(Receiver<Receiver<Sifted>>, Option<Receiver<Sifted>>),
}

#[derive(Debug)]
struct Shared {
    query: Query,
    stream: StreamKind,
    dated: bool,
    /// Each line is told with its time, not lines that follow each other as one.
    each: bool,
    block: usize,
    supply: Mutex<Supply>,
    /// Memory to be used again.
    hauls: Mutex<Vec<Haul>>,
}

/// What nobody has taken yet.
#[derive(Debug)]
struct Supply {
    files: VecDeque<Arc<Dated>>,
    /// A plain file, and from where on.
    begun: Option<(Arc<Dated>, Arc<File>, u64)>,
}

/// A piece of a file that somebody looks through.
#[derive(Debug)]
struct Open {
    file: Arc<Dated>,
    blocks: Blocks,
    /// The last time that lines before the next block carry.
    before: Option<i64>,
}

type Failed = (PathBuf, io::Error);
type Piece = Result<(Arc<Dated>, Source, Range<u64>), Failed>;

impl Haul {
    /// The block.
    pub fn block(&self) -> Block<'_> {
        self.room.block()
    }
}

impl Sift {
    /// Of these files, oldest first, in blocks of about this size. `each`: lines come one by one, with their times.
    /// `threads`: so many may help.
    pub fn new(
        query: &Query,
        stream: StreamKind,
        files: Vec<Dated>,
        each: bool,
        block: usize,
        threads: usize,
    ) -> Sift {
        let size = |(span, _): &Dated| {
            if span.part.packed { span.part.length } else { span.to.saturating_sub(span.from) }
        };
        let total: u64 = files.iter().map(size).sum();
        let files = files.into_iter().map(Arc::new).collect();
        let supply = Mutex::new(Supply { files, begun: None });
        let hauls = Mutex::default();
        let (query, dated) = (query.clone(), each || query.has_times());
        let shared = Arc::new(Shared { query, stream, dated, each, block, supply, hauls });
        let way = if total < LITTLE { None } else { with_threads(&shared, threads) };
        Sift { shared, way: way.unwrap_or(Way::Here(None)) }
    }

    /// What comes next; `None`: that was all.
    pub fn next(&mut self) -> Option<Sifted> {
        match &mut self.way {
            Way::Here(open) => loop {
                if let Some(piece) = open {
                    match self.shared.next(piece, &self.shared.query) {
                        Some(sifted) => return Some(sifted),
                        None => *open = None,
                    }
                }
                let piece = lock(&self.shared.supply).next()?;
                match piece.and_then(|piece| self.shared.open(piece)) {
                    Ok(piece) => *open = Some(piece),
                    Err((path, error)) => return Some(Sifted::Trouble(path, error)),
                }
            },
            Way::Threads(pieces, piece) => {
                let told = piece.take().or_else(|| pieces.recv().ok())?;
                match told.recv() {
                    Ok(sifted) => {
                        *piece = Some(told);
                        Some(sifted)
                    }
                    Err(_all_told) => Some(Sifted::Nothing),
                }
            }
        }
    }

    /// Takes back the memory of a block.
    pub fn give_back(&self, haul: Haul) {
        self.shared.give_back(haul);
    }
}

/// `None`: there are none.
fn with_threads(shared: &Arc<Shared>, count: usize) -> Option<Way> {
    let (order, pieces) = sync_channel(count);
    let mut started = 0;
    for _ in 0..count {
        let (shared, order) = (Arc::clone(shared), order.clone());
        let thread = std::thread::Builder::new().name("pm-search".to_owned());
        started += usize::from(thread.spawn(move || work(&shared, &order)).is_ok());
    }
    (started > 0).then_some(Way::Threads(pieces, None))
}

/// Takes pieces until there are none, or nobody asks any more.
fn work(shared: &Shared, order: &SyncSender<Receiver<Sifted>>) {
    // A matcher is quickest where only one thread has it.
    let query = shared.query.clone();
    loop {
        let (tell, told) = sync_channel(AHEAD);
        let piece = {
            let mut supply = lock(&shared.supply);
            let Some(piece) = supply.next() else { return };
            // Pieces are announced in order, which needs the lock; this waits for who asks.
            if order.send(told).is_err() {
                return;
            }
            piece
        };
        if look_through(shared, &query, piece, &tell).is_none() {
            return;
        }
    }
}

/// `None`: nobody asks any more.
fn look_through(shared: &Shared, query: &Query, piece: Piece, tell: &SyncSender<Sifted>) -> Option<()> {
    let mut open = match piece.and_then(|piece| shared.open(piece)) {
        Ok(open) => open,
        Err((path, error)) => return tell.send(Sifted::Trouble(path, error)).ok(),
    };
    let mut silent = 0;
    while let Some(sifted) = shared.next(&mut open, query) {
        silent = if matches!(sifted, Sifted::Nothing) { silent + 1 } else { NEWS };
        if silent == NEWS {
            silent = 0;
            tell.send(sifted).ok()?;
        }
    }
    Some(())
}

impl Supply {
    /// A piece that begins and ends with a line, unless that is very long.
    fn next(&mut self) -> Option<Piece> {
        let (file, plain, from) = match self.begun.take() {
            Some(begun) => begun,
            None => {
                let file = self.files.pop_front()?;
                let (from, to) = (file.0.from, file.0.to);
                match Source::open(&file.0) {
                    Ok(Source::Plain(plain)) => (file, plain, from),
                    Ok(packed) => return Some(Ok((file, packed, from..to))),
                    Err(error) => return Some(Err((file.0.part.path.clone(), error))),
                }
            }
        };
        let end = file.0.to;
        let cut = end.min(from + PIECE + LONGEST as u64);
        let to = if end - from <= PIECE { Ok(end) } else { tail::line_from(&plain, from + PIECE, cut) };
        match to {
            Ok(to) => {
                let source = Source::Plain(Arc::clone(&plain));
                self.begun = (to < end).then(|| (Arc::clone(&file), plain, to));
                Some(Ok((file, source, from..to)))
            }
            Err(error) => Some(Err((file.0.part.path.clone(), error))),
        }
    }
}

impl Shared {
    fn open(&self, (file, source, place): (Arc<Dated>, Source, Range<u64>)) -> Result<Open, Failed> {
        let (span, times) = &*file;
        let before = match &source {
            Source::Plain(plain) if self.dated => narrow::before(plain, (span.from, place.start), times),
            Source::Plain(_) | Source::Packed(_) => Ok(None),
        };
        let opened = before.and_then(|before| Ok((before, Blocks::of(source, place.start, place.end)?)));
        match opened {
            Ok((before, blocks)) => Ok(Open { file, blocks, before }),
            Err(error) => Err((span.part.path.clone(), error)),
        }
    }

    /// The next block of a piece.
    fn next(&self, open: &mut Open, query: &Query) -> Option<Sifted> {
        let mut haul = lock(&self.hauls).pop().unwrap_or_default();
        match open.blocks.next(&mut haul.room, self.block) {
            Ok(true) => {}
            Ok(false) => {
                self.give_back(haul);
                return None;
            }
            Err(error) => {
                open.blocks.stop();
                return Some(Sifted::Trouble(open.file.0.part.path.clone(), error));
            }
        }
        haul.before = open.before;
        self.sift(&open.file, query, &mut haul);
        if self.dated {
            open.before = Dating::new(haul.block(), &open.file.1, open.before).behind();
        }
        if haul.finds.is_empty() && !query.has_context() {
            self.give_back(haul);
            return Some(Sifted::Nothing);
        }
        Some(Sifted::Block(Arc::clone(&open.file), haul))
    }

    fn sift(&self, (span, times): &Dated, query: &Query, haul: &mut Haul) {
        let Haul { room, lines, finds, before } = haul;
        let block = room.block();
        lines.clear();
        finds.clear();
        if !self.dated {
            query.pattern.select_runs(block.bytes, self.stream, lines);
            finds.extend(lines.iter().map(|line| Find { start: line.start, end: line.end, at: None }));
        } else {
            query.pattern.select(block.bytes, self.stream, lines);
            if lines.is_empty() {
                return;
            }
            let dating = Dating::new(block, times, *before);
            for line in lines {
                let at = dating.at(line.start, line.end);
                match finds.last_mut() {
                    _ if !query.wants_time(at.0) => {}
                    Some(last) if !self.each && last.end == line.start => last.end = line.end,
                    _ => finds.push(Find {
                        start: line.start,
                        end: line.end,
                        at: Some(at).filter(|_| self.each),
                    }),
                }
            }
        }
        // What stands before it is context only.
        if let Some(lead) = span.lead.checked_sub(block.offset).and_then(|lead| usize::try_from(lead).ok()) {
            finds.retain_mut(|find| {
                find.start = find.start.max(lead);
                find.start < find.end
            });
        }
    }

    fn give_back(&self, haul: Haul) {
        if haul.room.size() <= LARGE {
            lock(&self.hauls).push(haul);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
