//! The fuzz targets of `fuzz/`, bounded: every file of the corpora, and SEED's changes to them, COUNT
//! for each target (of rings, which are files, a tenth).

#[path = "../../../fuzz/targets.rs"]
#[allow(dead_code, reason = "the fuzzer names each, this names all")]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sparkngin_core::ring::{Configuration, Lease, Overflow, Reader, Ring, Wanted, Writer};

/// What a target may take for one input, a hundred times what it takes.
const LONGEST: Duration = Duration::from_secs(10);

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// The same bytes with some flipped, cut, doubled, or taken from another input.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..1 + self.below(4) {
            let (at, count) = (self.below(bytes.len()), self.below(16));
            let end = (at + count).min(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 => drop(bytes.drain(at..end)),
                3 => bytes.truncate(at),
                4 => bytes
                    .splice(at..at, other.iter().copied().skip(self.below(other.len())).take(count))
                    .for_each(drop),
                _ => {
                    let doubled = bytes[at..end].to_vec();
                    bytes.splice(at..at, doubled).for_each(drop);
                }
            }
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_corpus_and_no_change_to_one_ends_in_a_panic_or_takes_for_ever() {
    let (seed, count) = (number("SEED", 19), number("COUNT", 2000));
    println!("seed {seed}");
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut total = 0;
    for (name, target) in targets::TARGETS {
        let mut inputs: Vec<Vec<u8>> = Vec::new();
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            inputs.push(fs::read(entry.unwrap().path()).unwrap());
        }
        let mut rounds = count;
        if name == "ring" {
            inputs.push(a_ring());
            // A file each time.
            rounds /= 10;
        }
        inputs.sort();
        assert!(inputs.len() > 3, "{name} has a corpus");
        let mut dice = Dice(seed);
        for input in &inputs {
            timed(name, target, input);
        }
        for _ in 0..rounds {
            let mut bytes = inputs[dice.below(inputs.len())].clone();
            let other = &inputs[dice.below(inputs.len())];
            match name {
                "ring" => meddle(&mut bytes, &mut dice),
                _ => dice.change(&mut bytes, other),
            }
            timed(name, target, &bytes);
        }
        total += rounds + inputs.len() as u64;
    }
    println!("row 19: changes={count}, inputs={total}, seed={seed}, panics=0");
}

#[test]
fn numbers_that_no_ring_can_have_are_shown_and_end_in_no_panic() {
    let ring = a_ring();
    for number in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 56] {
        for words in [&[0_usize][..], &[176 + 2, 176 + 10], &[0, 176 + 18, 176 + 26]] {
            // Last seq, and both copies of cursors, of both slots.
            let mut bytes = ring.clone();
            for (slot, word) in (0..2).flat_map(|slot| words.iter().map(move |word| (slot, word))) {
                for at in
                    (0..7).map(|n| 16384 + slot * 4096 + (word + n * usize::from(*word > 0)) * 8)
                {
                    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
                }
            }
            targets::ring(&bytes);
        }
    }
}

fn timed(name: &str, target: fn(&[u8]), input: &[u8]) {
    let start = Instant::now();
    target(input);
    let took = start.elapsed();
    assert!(took < LONGEST, "{name} took {took:?} for {} bytes", input.len());
}

/// Words behind the superblock's check are set to what they might have become.
fn meddle(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let words = bytes.len() / 8;
    if words < 4096 {
        return dice.change(bytes, b"SPARKRNG");
    }
    for _ in 0..1 + dice.below(30) {
        // Descriptors lie behind 256 slots; the first slots are those in use.
        let descriptors = (16384 + 256 * 4096) / 8;
        let at = match dice.below(4) {
            0 => descriptors + dice.below(8 * 16),
            1 => 512 + dice.below(1024),
            2 => 2048 + dice.below(1024),
            _ => 16 + dice.below(words - 16),
        };
        let old = u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().unwrap());
        let new = match dice.below(4) {
            0 => old ^ 1 << dice.below(64),
            1 => old.wrapping_add(dice.below(3) as u64).wrapping_sub(1),
            2 => u64::MAX >> dice.below(64),
            _ => dice.below(1 << 20) as u64,
        };
        bytes[at * 8..at * 8 + 8].copy_from_slice(&new.to_le_bytes());
    }
}

/// A small ring with records of two streams and a subscriber.
fn a_ring() -> Vec<u8> {
    let who = format!("fuzz-made-{}-{:?}", std::process::id(), std::thread::current().id());
    let dir = std::env::temp_dir().join(who);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let ring = Ring::open_or_make(&Wanted { dir: dir.clone(), bytes: 8 * 4096, block_bytes: 4096 })
        .unwrap();
    let lease = Lease::try_take(&dir).unwrap().unwrap();
    let subscribers = vec!["kafka".parse().unwrap()];
    let configuration =
        Configuration { policy: Overflow::Overwrite, subscribers, configured_at: 1 };
    let _reader = Reader::new(ring.again().unwrap(), &lease, &configuration).unwrap();
    let mut writers = [(); 2].map(|()| Writer::take(ring.again().unwrap()).unwrap());
    for n in 0..500_usize {
        writers[n % 2].append(7_200_000_000_000_000, &vec![n as u8; n % 90]).unwrap();
    }
    let bytes = fs::read(ring.path()).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    bytes
}
