//! Where lines end.

use bytes::Bytes;
use memchr::memchr_iter;

/// A line that gets longer than this is passed on in pieces.
pub const LONGEST: usize = 64 << 10;

/// Number of lines in `bytes`; an unfinished last one counts.
pub fn count(bytes: &[u8]) -> usize {
    let unfinished = bytes.last().is_some_and(|last| *last != b'\n');
    memchr_iter(b'\n', bytes).count() + usize::from(unfinished)
}

/// Length of the part of `bytes` that ends with its last line end; 0 if there is none.
pub fn whole(bytes: &[u8]) -> usize {
    memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1)
}

/// Where the last `wanted` lines of `bytes` begin; an unfinished last one counts.
pub fn start_of_last(bytes: &[u8], wanted: usize) -> usize {
    if wanted == 0 {
        return bytes.len();
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    memchr::memrchr_iter(b'\n', body).nth(wanted - 1).map_or(0, |at| at + 1)
}

/// Turns pieces of a stream into runs of whole lines.
#[derive(Debug, Default)]
pub struct Splitter {
    unfinished: Vec<u8>,
}

impl Splitter {
    /// Adds bytes; returns what is complete by now. It ends with `\n`, but for a line longer than [`LONGEST`].
    pub fn push(&mut self, bytes: &[u8]) -> Option<Bytes> {
        let (lines, rest) = bytes.split_at(whole(bytes));
        let mut out = Vec::new();
        if !lines.is_empty() {
            out = std::mem::take(&mut self.unfinished);
            out.extend_from_slice(lines);
        }
        self.unfinished.extend_from_slice(rest);
        if self.unfinished.len() >= LONGEST {
            out.append(&mut self.unfinished);
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// As [`Splitter::push`] for lines that nobody wants, or that are read elsewhere: nothing.
    pub fn skip(&mut self, bytes: &[u8]) -> Option<Bytes> {
        let (lines, rest) = bytes.split_at(whole(bytes));
        if !lines.is_empty() {
            self.unfinished.clear();
        }
        if self.unfinished.len() + rest.len() < LONGEST {
            self.unfinished.extend_from_slice(rest);
        } else {
            self.unfinished.clear();
        }
        None
    }

    /// What is held back is told now, though its line goes on.
    pub fn release(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.unfinished);
        (!rest.is_empty()).then(|| rest.into())
    }

    /// Nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// The stream is over: what was left of it, with the `\n` it lacks.
    pub fn finish(&mut self) -> Option<Bytes> {
        let mut rest = std::mem::take(&mut self.unfinished);
        (!rest.is_empty()).then(|| {
            rest.push(b'\n');
            rest.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..200)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_added_or_cut_inside_a_line(pieces in vec(text(), 0..10)) {
            let mut splitter = Splitter::default();
            let mut got = Vec::new();
            for piece in &pieces {
                if let Some(lines) = splitter.push(piece) {
                    prop_assert!(lines.ends_with(b"\n"));
                    got.extend_from_slice(&lines);
                }
            }
            let mut all = pieces.concat();
            if let Some(rest) = splitter.finish() {
                got.extend_from_slice(&rest);
                all.push(b'\n');
            }
            prop_assert_eq!(got, all);
        }

        #[test]
        fn what_is_passed_over_is_held_back_as_if_it_were_pushed(pieces in vec(text(), 0..10)) {
            let (mut pushed, mut passed) = (Splitter::default(), Splitter::default());
            for piece in &pieces {
                pushed.push(&piece.repeat(LONGEST / 500));
                passed.skip(&piece.repeat(LONGEST / 500));
                prop_assert_eq!(&pushed.unfinished, &passed.unfinished);
            }
        }

        #[test]
        fn the_last_lines_are_those_of_the_naive_way(bytes in text(), wanted in 0usize..10) {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
            prop_assert_eq!(count(&bytes), lines.len());
            let naive = lines[lines.len().saturating_sub(wanted)..].concat();
            prop_assert_eq!(&bytes[start_of_last(&bytes, wanted)..], &naive[..]);
        }
    }

    #[test]
    fn a_line_without_end_is_passed_on_in_pieces() {
        let mut splitter = Splitter::default();
        let mut got = 0;
        for _ in 0..100 {
            got += splitter.push(&[b'x'; 10_000]).map_or(0, |bytes| bytes.len());
        }
        assert!(got > 900_000);
        assert_eq!(got + splitter.finish().unwrap().len() - 1, 1_000_000);
    }
}
