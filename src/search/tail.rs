//! Where the last lines of a file begin, found backwards. Exact, whatever the length of the lines and of the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 64 << 10;
/// Most lines end within so much.
const LINE: u64 = 2 << 10;

/// Where the last `n` lines between `from` and `end` begin, and how many lines fewer there are. An unfinished last line
/// counts.
pub fn start_of_last(file: &File, from: u64, end: u64, n: usize) -> io::Result<(u64, usize)> {
    if n == 0 || end <= from {
        return Ok((end, n));
    }
    let mut block = vec![0; BLOCK as usize];
    // The line end in the very last byte ends the last line and begins none.
    let mut position = end.saturating_sub(1).max(from);
    let mut left = n;
    while position > from {
        let length = (position - from).min(BLOCK);
        let start = position - length;
        let room = block.get_mut(..length as usize).unwrap_or_default();
        let read = read_up_to(file, room, start)?;
        for at in memchr::memrchr_iter(b'\n', room.get(..read).unwrap_or_default()) {
            left -= 1;
            if left == 0 {
                return Ok((start + at as u64 + 1, 0));
            }
        }
        position = start;
    }
    Ok((from, left - 1))
}

/// The first line that begins at `offset` or behind it, before `end`; `end` if none does.
pub fn line_from(file: &File, offset: u64, end: u64) -> io::Result<u64> {
    if offset == 0 {
        return Ok(0);
    }
    let mut block = Vec::new();
    let mut position = offset - 1;
    while position < end {
        let most = if block.is_empty() { LINE } else { BLOCK };
        block.resize((end - position).min(most) as usize, 0);
        let read = read_up_to(file, &mut block, position)?;
        if let Some(at) = memchr::memchr(b'\n', block.get(..read).unwrap_or_default()) {
            return Ok((position + at as u64 + 1).min(end));
        }
        if read == 0 {
            break;
        }
        position += read as u64;
    }
    Ok(end)
}

/// Fills the buffer, less if the file was cut meanwhile.
pub fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn check(bytes: &[u8], n: usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, bytes).unwrap();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        let naive = lines[lines.len().saturating_sub(n)..].concat();
        let file = File::open(&path).unwrap();
        let (start, missing) = start_of_last(&file, 0, bytes.len() as u64, n).unwrap();
        assert!(bytes[start as usize..] == naive, "{n} of {} bytes", bytes.len());
        assert_eq!(missing, n.saturating_sub(lines.len()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_last_lines_are_those_of_the_naive_way(
            lengths in vec(prop_oneof![8 => 0usize..300, 1 => 60_000usize..140_000], 0..30),
            finished in any::<bool>(),
            n in 0usize..40,
        ) {
            let mut bytes = Vec::new();
            for length in lengths {
                bytes.resize(bytes.len() + length, b'x');
                bytes.push(b'\n');
            }
            if !finished {
                bytes.extend_from_slice(b"unfinished");
            }
            check(&bytes, n);
        }
    }

    #[test]
    fn line_ends_at_the_edges_of_blocks_are_seen() {
        let block = BLOCK as usize;
        for length in [0, 1, 2, block - 1, block, block + 1, 2 * block, 2 * block + 1] {
            for n in 0..4 {
                check(&vec![b'\n'; length], n);
                check(&vec![b'x'; length], n);
                let mut mixed = vec![b'x'; length];
                for at in
                    [0, block - 1, block, length.saturating_sub(block), length.saturating_sub(block + 1)]
                {
                    if let Some(byte) = mixed.get_mut(at) {
                        *byte = b'\n';
                    }
                }
                check(&mixed, n);
            }
        }
    }

    #[test]
    fn a_huge_file_is_not_read_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all_at(b"\nlast but one\nlast\n", 1 << 40).unwrap();
        let end = file.metadata().unwrap().len();
        assert_eq!(start_of_last(&file, 0, end, 2).unwrap(), ((1 << 40) + 1, 0));
    }

    #[test]
    fn a_line_begins_behind_a_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "ab\ncd\nef").unwrap();
        let file = File::open(&path).unwrap();
        let starts: Vec<u64> = (0..8).map(|at| line_from(&file, at, 8).unwrap()).collect();
        assert_eq!(starts, [0, 3, 3, 3, 6, 6, 6, 8]);
    }
}
