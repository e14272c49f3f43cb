//! Bytes that somebody else has written break nothing: each target of `tests/fuzz` gets its corpus, and some thousand seeded
//! mutations of it. `PMON_GARBAGE=rounds` for more, `PMON_SEED=n` for the same again. Coverage-guided:
//! `docs/security.md`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, and says its seed"
)]

#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations of each corpus file, unless `PMON_GARBAGE` says otherwise; then time does not matter.
const ROUNDS: u64 = 1000;
/// For each target: those that compile expressions are slow without optimisation.
const TIME: Duration = Duration::from_millis(250);

/// SplitMix64: the same bytes from the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn corpus(name: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let found = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("no corpus {}: {e}", dir.display()));
    let mut paths: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// One to four small damages.
fn damage(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, dice.next() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            3 if at < bytes.len() => bytes[at] = [0, 0xFF, b'"', b'\n', b'{', 0x80, b'9'][dice.below(7)],
            4 => {
                let end = (at + dice.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let part = &bytes[at..(at + dice.below(64)).min(bytes.len())];
                let again = part.repeat(dice.below(8));
                bytes.splice(at..at, again);
            }
            _ => {
                let from = dice.below(other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
}

/// Panics with the bytes, so that they can go into the corpus.
fn feed(name: &str, target: targets::Target, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("`{name}` broke at: {}", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn garbage_breaks_no_door() {
    let seed = number("PMON_SEED", u64::from(std::process::id()));
    let asked = number("PMON_GARBAGE", 0);
    let rounds = if asked == 0 { ROUNDS } else { asked };
    eprintln!("PMON_SEED={seed}");
    for (name, target) in targets::TARGETS {
        let seeds: Vec<Vec<u8>> = corpus(name).iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(!seeds.is_empty(), "the corpus of `{name}` is empty");
        let mut dice = Dice(seed);
        seeds.iter().for_each(|bytes| feed(name, *target, bytes));
        let begun = Instant::now();
        for _ in 0..rounds {
            for bytes in &seeds {
                if asked == 0 && begun.elapsed() > TIME {
                    break;
                }
                let mut damaged = bytes.clone();
                damage(&mut damaged, &seeds[dice.below(seeds.len())], &mut dice);
                feed(name, *target, &damaged);
            }
        }
    }
}

#[test]
fn every_corpus_is_small_and_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for entry in std::fs::read_dir(root.join("corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(targets::TARGETS.iter().any(|(target, _)| *target == name), "no target `{name}`");
        let bytes: u64 = corpus(&name).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(bytes < 64 << 10, "the corpus of `{name}` has {bytes} bytes");
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "`{name}` is not in tests/fuzz/Cargo.toml");
    }
}
