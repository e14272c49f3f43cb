//! The last lines of a file, read backwards. Exact, whatever the length of the lines and of the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BLOCK: u64 = 64 << 10;

/// The last `n` lines as they are in the file; an unfinished last one counts. Fewer if there are fewer.
pub fn last_lines(path: &Path, n: usize) -> io::Result<Vec<u8>> {
    last_lines_before(path, u64::MAX, n)
}

/// As [`last_lines`], but as if the file ended at `end`, if it is longer: what came later is somebody else's to tell.
pub fn last_lines_before(path: &Path, end: u64, n: usize) -> io::Result<Vec<u8>> {
    if n == 0 {
        return Ok(Vec::new());
    }
    let file = File::open(path)?;
    let end = file.metadata()?.len().min(end);
    let start = start_of_last(&file, end, n)?;
    let mut out = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
    let read = read_up_to(&file, &mut out, start)?;
    out.truncate(read);
    Ok(out)
}

/// Where the last `n` lines before `end` begin.
fn start_of_last(file: &File, end: u64, n: usize) -> io::Result<u64> {
    let mut block = vec![0; BLOCK as usize];
    // The line end in the very last byte ends the last line and begins none.
    let mut position = end.saturating_sub(1);
    let mut left = n;
    while position > 0 {
        let length = position.min(BLOCK);
        let start = position - length;
        let room = block.get_mut(..length as usize).unwrap_or_default();
        let read = read_up_to(file, room, start)?;
        for at in memchr::memrchr_iter(b'\n', room.get(..read).unwrap_or_default()) {
            left -= 1;
            if left == 0 {
                return Ok(start + at as u64 + 1);
            }
        }
        position = start;
    }
    Ok(0)
}

/// Fills the buffer, less if the file was cut meanwhile.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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
        assert!(last_lines(&path, n).unwrap() == naive, "{n} of {} bytes", bytes.len());
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
        let file = File::create(&path).unwrap();
        file.write_all_at(b"\nlast but one\nlast\n", 1 << 40).unwrap();
        assert_eq!(last_lines(&path, 2).unwrap(), b"last but one\nlast\n");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        assert!(last_lines(Path::new("/nowhere/x.log"), 1).is_err());
    }
}
