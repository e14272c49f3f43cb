//! Framing of the child channel: one JSON value a line in both directions, descriptors attached to some lines.
//! Bytes in, lines out ([`Inbox`]); lines in, sendmsg(2) calls out ([`Outbox`]). No socket and no JSON here.
//!
//! What Node demands of whoever writes to it:
//! * an invalid line kills the worker, so a line that was begun is finished before anything else is written, and a
//!   line of at most 32 KiB goes out in one sendmsg, which Linux takes whole or not at all: kill -9 cannot tear it;
//!   a longer one is begun only when the socket's buffer has room for it;
//! * libuv attaches one descriptor to one read of up to 64 KiB, so a second handle before the first is acknowledged
//!   may end up with the wrong message: at most one is under way, and all that was said after it waits behind it;
//! * acknowledgements jump that queue, else both sides could wait for each other.

use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Longest line that is parsed. Longer ones are skipped to their end, whatever their length, at no cost of memory.
pub const MAX_LINE: usize = 4 << 20;

/// Bytes of droppable lines that may wait for a worker that does not read.
pub const MAX_QUEUED: usize = 1 << 20;

/// A line of so many bytes is taken whole by one sendmsg, or not at all (SKB_MAX_ALLOC in net/unix/af_unix.c).
pub const WHOLE: usize = 32 << 10;

/// How much of a line that is too long is kept, enough to see what kind of message it is.
const HEAD: usize = 64;

/// What came in and is not a whole line yet.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: Vec<u8>,
    /// Length so far of a line that is too long; `buffer` then holds its head only.
    skipping: Option<usize>,
}

/// One line that came in, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// To be parsed.
    Whole(Vec<u8>),
    /// Longer than [`MAX_LINE`]: its first bytes and its length.
    TooLong(Vec<u8>, usize),
}

impl Inbox {
    /// Takes what was read and hands each complete line to `line`.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(Line)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, rest) = bytes.split_at(end);
            self.append(head);
            bytes = rest.get(1..).unwrap_or_default();
            line(self.take());
        }
        self.append(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(length) = &mut self.skipping {
            *length += bytes.len();
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > MAX_LINE {
            self.skipping = Some(self.buffer.len());
            self.buffer.truncate(HEAD);
            self.buffer.shrink_to_fit();
        }
    }

    /// Drops the line so far if it cannot become JSON.
    pub fn drop_binary(&mut self) -> bool {
        let is = is_binary(&self.buffer);
        if is {
            self.buffer.clear();
        }
        is
    }

    fn take(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.buffer);
        match self.skipping.take() {
            Some(length) => Line::TooLong(bytes, length),
            None => Line::Whole(bytes),
        }
    }
}

/// Whether these bytes begin as a message of Node's `advanced` serialization does: with its length, big-endian.
pub fn is_binary(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0)
}

/// What is to be written at once.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// To be written.
    pub bytes: &'a [u8],
    /// To go with them.
    pub handle: Option<BorrowedFd<'a>>,
    /// They begin a line.
    pub begins: bool,
}

/// Lines on their way to a worker. `T` tells what a handle was for, for whoever learns that it was refused.
#[derive(Debug)]
pub struct Outbox<T> {
    /// A line of which a part is written, and how much.
    begun: Option<(Vec<u8>, usize)>,
    urgent: VecDeque<Vec<u8>>,
    queue: VecDeque<Item<T>>,
    droppable_bytes: usize,
    unacknowledged: Option<T>,
}

#[derive(Debug)]
struct Item<T> {
    line: Vec<u8>,
    handle: Option<(Arc<OwnedFd>, T)>,
    droppable: bool,
}

/// What came of [`Outbox::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// All that may be written now is written.
    Done,
    /// The socket is full: go on when it is writable.
    Full,
    /// Too many descriptors are in flight in the whole system: go on after a while.
    Later,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Outbox {
            begun: None,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            droppable_bytes: 0,
            unacknowledged: None,
        }
    }
}

impl<T> Outbox<T> {
    /// Queues a line of the protocol.
    pub fn push(&mut self, line: Vec<u8>) {
        self.queue.push_back(Item { line, handle: None, droppable: false });
    }

    /// Queues a line that may be lost; `false` if it is, because the worker has not read [`MAX_QUEUED`] of them.
    pub fn push_droppable(&mut self, line: Vec<u8>) -> bool {
        if self.droppable_bytes + line.len() > MAX_QUEUED {
            return false;
        }
        self.droppable_bytes += line.len();
        self.queue.push_back(Item { line, handle: None, droppable: true });
        true
    }

    /// Queues a line with a descriptor.
    pub fn push_handle(&mut self, line: Vec<u8>, fd: Arc<OwnedFd>, purpose: T) {
        self.queue.push_back(Item { line, handle: Some((fd, purpose)), droppable: false });
    }

    /// Queues an acknowledgement: before everything else, but not inside a line.
    pub fn push_acknowledgement(&mut self, line: Vec<u8>) {
        self.urgent.push_back(line);
    }

    /// Whether a line would go out at once, with its handle.
    pub fn is_idle(&self) -> bool {
        self.unacknowledged.is_none() && self.is_written()
    }

    /// Whether nothing waits to be written; the last handle may be on its way still.
    pub fn is_written(&self) -> bool {
        self.begun.is_none() && self.urgent.is_empty() && self.queue.is_empty()
    }

    /// What the handle under way is for.
    pub fn under_way(&self) -> Option<&T> {
        self.unacknowledged.as_ref()
    }

    /// The handle under way was acknowledged or refused: what it was for. `None` if there is none (it was a
    /// predecessor's).
    pub fn acknowledged(&mut self) -> Option<T> {
        self.unacknowledged.take()
    }

    /// Writes as much as `send` takes; `send` returns the bytes taken.
    pub fn flush(
        &mut self,
        mut send: impl FnMut(Piece<'_>) -> Result<usize, Errno>,
    ) -> Result<Flushed, Errno> {
        loop {
            let sent = if let Some((line, written)) = &mut self.begun {
                let bytes = line.get(*written..).unwrap_or_default();
                send(Piece { bytes, handle: None, begins: false }).map(|n| *written += n)
            } else if let Some(line) = self.urgent.front() {
                send(Piece { bytes: line, handle: None, begins: true })
                    .map(|n| self.begun = self.urgent.pop_front().map(|line| (line, n)))
            } else if let Some(item) = self.queue.front().filter(|item| self.may_go(item)) {
                let handle = item.handle.as_ref().map(|(fd, _)| fd.as_fd());
                send(Piece { bytes: &item.line, handle, begins: true }).map(|n| self.begin(n))
            } else {
                return Ok(Flushed::Done);
            };
            match sent {
                Ok(()) => self.begun.take_if(|(line, written)| *written >= line.len()),
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(Flushed::Full),
                Err(Errno::TOOMANYREFS) => return Ok(Flushed::Later),
                Err(e) => return Err(e),
            };
        }
    }

    /// One handle at a time. Lines without one go on behind it, in order: an answer that waited here would be lost with this
    /// daemon, and the question is not asked twice.
    fn may_go(&self, item: &Item<T>) -> bool {
        item.handle.is_none() || self.unacknowledged.is_none()
    }

    /// The first of the queue is on its way, `written` bytes of it and its descriptor.
    fn begin(&mut self, written: usize) {
        let Some(item) = self.queue.pop_front() else { return };
        if item.droppable {
            self.droppable_bytes -= item.line.len();
        }
        if let Some((_fd, purpose)) = item.handle {
            self.unacknowledged = Some(purpose);
        }
        self.begun = Some((item.line, written));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(inbox: &mut Inbox, bytes: &[u8]) -> Vec<Line> {
        let mut out = Vec::new();
        inbox.push(bytes, |line| out.push(line));
        out
    }

    fn some_fd() -> Arc<OwnedFd> {
        Arc::new(std::fs::File::open("/dev/null").unwrap().into())
    }

    /// Sends everything and notes it; `*` marks a descriptor.
    fn written(outbox: &mut Outbox<&'static str>) -> String {
        let mut out = String::new();
        let result = outbox.flush(|Piece { bytes, handle: fd, .. }| {
            out.push_str(std::str::from_utf8(bytes).unwrap());
            out.push_str(if fd.is_some() { "*" } else { "" });
            Ok(bytes.len())
        });
        assert_eq!(result, Ok(Flushed::Done));
        out
    }

    #[test]
    fn a_tail_waits_for_its_end() {
        let mut inbox = Inbox::default();
        assert_eq!(lines(&mut inbox, b"ab"), []);
        assert_eq!(lines(&mut inbox, b"c\n\nd"), [Line::Whole(b"abc".to_vec()), Line::Whole(Vec::new())]);
        assert_eq!(lines(&mut inbox, b"\n"), [Line::Whole(b"d".to_vec())]);
    }

    #[test]
    fn an_endless_line_costs_no_memory_and_the_next_is_read() {
        let mut inbox = Inbox::default();
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..70 {
            assert_eq!(lines(&mut inbox, &chunk), []);
            assert!(inbox.buffer.capacity() <= 2 * MAX_LINE + chunk.len());
        }
        let expected = [Line::TooLong(vec![b'x'; HEAD], 70 << 20), Line::Whole(b"1".to_vec())];
        assert_eq!(lines(&mut inbox, b"\n1\n"), expected);
        assert!(inbox.buffer.capacity() < HEAD * 2);
    }

    #[test]
    fn a_handle_waits_behind_an_unacknowledged_one_and_what_follows_it_too_but_acknowledgements() {
        let mut outbox = Outbox::default();
        outbox.push(b"1".to_vec());
        outbox.push_handle(b"2".to_vec(), some_fd(), "two");
        outbox.push(b"3".to_vec());
        outbox.push_handle(b"4".to_vec(), some_fd(), "four");
        outbox.push(b"5".to_vec());
        assert_eq!(written(&mut outbox), "12*3");
        outbox.push_acknowledgement(b"A".to_vec());
        assert_eq!(written(&mut outbox), "A");
        assert_eq!(outbox.acknowledged(), Some("two"));
        assert_eq!(written(&mut outbox), "4*5");
        assert_eq!(outbox.acknowledged(), Some("four"));
        assert_eq!(outbox.acknowledged(), None, "a stray one");
    }

    #[test]
    fn a_begun_line_is_finished_before_an_acknowledgement() {
        let mut outbox: Outbox<&str> = Outbox::default();
        outbox.push(b"long".to_vec());
        let mut room = 2;
        let blocked =
            outbox.flush(|_| if std::mem::take(&mut room) == 0 { Err(Errno::AGAIN) } else { Ok(2) });
        assert_eq!(blocked, Ok(Flushed::Full));
        outbox.push_acknowledgement(b"A".to_vec());
        assert_eq!(written(&mut outbox), "ngA");
    }

    #[test]
    fn what_may_be_lost_is_bounded() {
        let mut outbox: Outbox<&str> = Outbox::default();
        assert!(outbox.push_droppable(vec![b'x'; MAX_QUEUED]));
        assert!(!outbox.push_droppable(vec![b'x'; 1]));
        outbox.push(b"y".to_vec());
        assert_eq!(written(&mut outbox).len(), MAX_QUEUED + 1);
        assert!(outbox.push_droppable(vec![b'x'; 1]));
    }

    proptest! {
        #[test]
        fn lines_survive_any_cutting(texts in proptest::collection::vec("[^\n]{0,40}", 0..20), cut in 1usize..50) {
            let bytes: Vec<u8> = texts.iter().flat_map(|t| [t.as_bytes(), b"\n"].concat()).collect();
            let mut inbox = Inbox::default();
            let got: Vec<Line> = bytes.chunks(cut).flat_map(|chunk| lines(&mut inbox, chunk)).collect();
            let expected: Vec<Line> = texts.iter().map(|t| Line::Whole(t.as_bytes().to_vec())).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_socket_gets_all_lines_in_order(
            texts in proptest::collection::vec("[a-z]{1,30}", 1..20),
            takes in proptest::collection::vec(0usize..9, 1..30),
        ) {
            let mut outbox: Outbox<()> = Outbox::default();
            texts.iter().for_each(|t| outbox.push(t.clone().into_bytes()));
            let mut got = Vec::new();
            let mut takes = takes.into_iter().chain([9]).cycle();
            for _ in 0..2000 {
                let result = outbox.flush(|Piece { bytes, .. }| match takes.next().unwrap_or(1) {
                    0 => Err(Errno::AGAIN),
                    n => {
                        let n = n.min(bytes.len());
                        got.extend_from_slice(&bytes[..n]);
                        Ok(n)
                    }
                });
                prop_assert!(result.is_ok());
            }
            prop_assert_eq!(String::from_utf8(got).unwrap(), texts.concat());
        }
    }
}
