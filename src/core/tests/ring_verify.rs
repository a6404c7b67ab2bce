//! `verify` against rings that are whole, in use and left, and against the same with one bit flipped.

use std::fs;
use std::path::{Path, PathBuf};

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::{
    Configuration, Cursor, Lease, Overflow, Reader, Ring, Verified, Wanted, Who, Writer, verify,
};

const PAGE: usize = 4096;
const SLOTS: usize = 16384;
const DESCRIPTORS: usize = SLOTS + 256 * PAGE;
const BLOCKS: usize = 8;
const BLOCK: usize = 4096;

/// A directory with a ring: two streams, sealed, open and free blocks, a subscriber with a cursor.
struct Made {
    dir: PathBuf,
    file: PathBuf,
}

impl Made {
    fn new(name: &str) -> Made {
        let dir = std::env::temp_dir().join(format!("verify-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        let bytes = (BLOCKS * BLOCK) as u64;
        let wanted = Wanted { dir: dir.clone(), bytes, block_bytes: BLOCK as u32 };
        let ring = Ring::open_or_make(&wanted).unwrap();
        let file = ring.path().to_owned();
        let lease = Lease::try_take(&dir).unwrap().unwrap();
        let configuration = Configuration {
            policy: Overflow::Reject,
            subscribers: vec!["kafka".parse().unwrap()],
            configured_at: 1,
        };
        let mut reader = Reader::new(ring.again().unwrap(), &lease, &configuration).unwrap();
        let mut writers = [(); 2].map(|()| Writer::take(ring.again().unwrap()).unwrap());
        for n in 0..100_u64 {
            // Multiples of 8, so that no byte is only a filler.
            writers[usize::from(n % 3 == 0)]
                .append(7_200_000_000_000_000 + n, &[n as u8; 104])
                .unwrap();
        }
        let cursor = Cursor { acked: Seq(40), lost: 2, dead: 1, ..Cursor::default() };
        reader.store(Who::Named(0), Stream(0), cursor);
        let scan = reader.scan();
        assert!(reader.free(&scan) > 0);
        Made { dir, file }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.file).unwrap()
    }

    /// The same file with some bytes changed.
    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Verified {
        let mut bytes = self.bytes();
        change(&mut bytes);
        let path = self.dir.join("ring.99");
        fs::write(&path, bytes).unwrap();
        let found = verify(&path).unwrap();
        fs::remove_file(&path).unwrap();
        found
    }

    fn flipped(&self, bit: usize) -> Verified {
        self.changed(|bytes| bytes[bit / 8] ^= 1 << (bit % 8))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[track_caller]
fn not_flawed(found: &Verified, what: &str) {
    assert!(!found.flaws.iter().any(|flaw| flaw.what.contains(what)), "{:?}", found.flaws);
}

#[track_caller]
fn flawed(found: &Verified, place: &str, what: &str) {
    let is_it = |flaw: &sparkngin_core::ring::Flaw| flaw.place == place && flaw.what.contains(what);
    assert!(found.flaws.iter().any(is_it), "no {what:?} in {place:?}: {:?}", found.flaws);
}

#[test]
fn a_ring_in_use_and_a_copy_of_it_are_whole() {
    let made = Made::new("whole");
    let found = verify(&made.file).unwrap();
    assert_eq!((&found.flaws[..], &found.notes[..]), (&[][..], &[][..]));
    assert_eq!((found.records, found.blocks >= 3), (100, true));
    let copy = made.changed(|_| {});
    assert_eq!(copy.flaws, []);
    assert_eq!(copy.notes, ["a copy: it was made as another file"]);
}

#[test]
fn a_new_ring_without_a_record_is_whole() {
    let made = Made::new("new");
    let dir = made.dir.join("empty");
    fs::create_dir(&dir).unwrap();
    let wanted = Wanted { dir, bytes: (BLOCKS * BLOCK) as u64, block_bytes: BLOCK as u32 };
    let ring = Ring::open_or_make(&wanted).unwrap();
    let found = verify(ring.path()).unwrap();
    assert_eq!((found.flaws, found.records), (vec![], 0));
}

#[test]
fn each_bit_of_the_superblock_counts() {
    let made = Made::new("superblock");
    for bit in 0..128 * 8 {
        flawed(&made.flipped(bit), "superblock", "");
    }
    flawed(&made.changed(|bytes| bytes.truncate(100)), "superblock", "shorter");
    flawed(&made.changed(|bytes| bytes.truncate(bytes.len() - 8)), "superblock", "cut off");
}

#[test]
fn each_bit_of_a_record_counts_and_its_place_is_named() {
    let made = Made::new("records");
    let bytes = made.bytes();
    let data = bytes.len() - BLOCKS * BLOCK;
    let mut tried = 0;
    for block in 0..BLOCKS {
        let used = (word(&bytes, DESCRIPTORS + block * 128 + 8) & 0xf_ffff) as usize * 8;
        // A bit of each word, another one each time.
        for at in (0..used).step_by(8) {
            let offset = data + block * BLOCK + at;
            let found = made.flipped(offset * 8 + tried * 7 % 64);
            flawed(&found, &format!("block {block}"), "should be");
            let flaw =
                found.flaws.iter().find(|flaw| flaw.place == format!("block {block}")).unwrap();
            let record = offset - at % 128;
            assert_eq!(flaw.offset, record as u64, "{flaw:?}");
            tried += 1;
        }
    }
    assert_eq!(tried, 100 * 128 / 8);
}

#[test]
fn descriptors_that_cannot_be_are_flaws() {
    let made = Made::new("descriptors");
    let bytes = made.bytes();
    for block in 0..BLOCKS {
        let at = DESCRIPTORS + block * 128;
        let state = word(&bytes, at);
        let place = format!("block {block}");
        if state == 0 {
            flawed(&made.flipped((at + 8) * 8 + 30), &place, "never claimed");
            continue;
        }
        let phase = state >> 62;
        // Its slot, what is committed, the ticket, the first seq, and the last one if it is not open.
        flawed(&made.flipped(at * 8 + 44 + 5), &place, "slot");
        for bit in 0..9 {
            let used = made.flipped((at + 8) * 8 + bit);
            assert!(used.flaws.len() + usize::from(phase == 1) > 0, "{place}, used, bit {bit}");
        }
        // Of a claim before: a kill leaves that in an open one.
        let before = made.flipped((at + 8) * 8 + 20);
        match phase {
            2 => flawed(&before, &place, "it is sealed"),
            _ => not_flawed(&before, "it is sealed"),
        }
        flawed(&made.flipped((at + 8) * 8 + 25), &place, "");
        flawed(&made.flipped((at + 16) * 8 + 20), &place, "ticket");
        for bit in 0..64 {
            flawed(&made.flipped((at + 24) * 8 + bit), &place, "");
            if phase != 1 {
                flawed(&made.flipped((at + 32) * 8 + bit), &place, "last seq");
            }
        }
    }
}

#[test]
fn cursors_and_last_seqs_that_contradict_each_other_are_flaws() {
    let made = Made::new("cursors");
    let bytes = made.bytes();
    // The subscriber's cursor of stream 0: the copy that its selector names.
    let selector = SLOTS + 1280 + 256;
    let copy = selector + 128 + 64 * (word(&bytes, selector) & 1) as usize;
    assert_eq!(word(&bytes, copy + 8), 40, "acked");
    for bit in 6..64 {
        flawed(&made.flipped(copy * 8 + bit), "slot 0", "before its time");
        flawed(&made.flipped((copy + 8) * 8 + bit), "slot 0", "beyond the last seq");
        flawed(&made.flipped((copy + 16) * 8 + bit), "slot 0", "lost");
        flawed(&made.flipped((copy + 24) * 8 + bit), "slot 0", "dead");
        flawed(&made.flipped((copy + 32) * 8 + bit), "slot 0", "uncertain");
        // Bit 6 makes it a lower one, which a writer that died in between leaves, too.
        flawed(&made.flipped(SLOTS * 8 + bit.max(7)), "slot 0", "its last seq is");
    }
    flawed(&made.flipped((copy + 40) * 8 + 1), "slot 0", "words it cannot have");
    flawed(&made.flipped(PAGE * 8 + 4 * 128 * 8 + 12), "control words", "streams");
    flawed(&made.flipped(PAGE * 8 + 5 * 128 * 8), "control words", "poisoned");
    let selector = 2 * PAGE;
    let copy = selector + 1024 * (1 + (word(&bytes, selector) & 1) as usize);
    flawed(&made.flipped(copy * 8 + 4), "configuration", "policy");
    flawed(&made.flipped((copy + 16) * 8 + 9), "configuration", "no place");
    flawed(&made.flipped((copy + 64) * 8 + 7), "configuration", "no legal name");
}

#[test]
fn a_file_that_is_longer_than_its_ring_is_noted() {
    let made = Made::new("longer");
    let longer = made.changed(|bytes| bytes.extend([0; 8]));
    assert_eq!(longer.flaws, []);
    assert!(longer.notes.iter().any(|note| note == "the file is longer than the ring"));
}

#[test]
fn control_words_are_flaws_from_the_first_number_on_that_they_cannot_have() {
    let made = Made::new("control");
    let with = |number: usize, value| made.changed(|bytes| put(bytes, PAGE + number * 128, value));
    assert_eq!((with(4, 256).flaws, with(6, 2).flaws), (vec![], vec![]));
    flawed(&with(4, 257), "control words", "257 streams, of 256 slots");
    flawed(&with(5, 1), "control words", "a sync failed");
    flawed(&with(5, 2), "control words", "neither 0 nor 1");
    flawed(&with(6, 3), "control words", "none of 0 to 2");
}

#[test]
fn each_place_without_a_legal_name_is_a_flaw_that_says_where() {
    let made = Made::new("places");
    let bytes = made.bytes();
    let selector = 2 * PAGE;
    let copy = selector + 1024 * (1 + (word(&bytes, selector) & 1) as usize);
    for place in 1..4 {
        let name = copy + 64 + 64 * place;
        let in_force = made.flipped((copy + 16) * 8 + place);
        for found in [made.flipped(name * 8 + 7), made.flipped((name + 56) * 8 + 7), in_force] {
            let what = format!("place {place} holds no legal name");
            let seen: Vec<_> = found.flaws.iter().map(|f| (f.offset as usize, &f.what)).collect();
            assert_eq!(seen, [(name, &what)]);
        }
    }
}

#[test]
fn what_a_stream_ends_with_is_compared_also_when_none_of_its_blocks_is_open() {
    let made = Made::new("ends");
    let bytes = made.bytes();
    let last = SLOTS + PAGE;
    let is = |block: &usize| word(&bytes, DESCRIPTORS + block * 128) >> 44 == 1 << 18 | 1;
    let open = DESCRIPTORS + (0..BLOCKS).find(is).unwrap() * 128;
    let end = word(&bytes, last);
    let sealed = |said: u64| {
        made.changed(|bytes| {
            let state = word(bytes, open);
            put(bytes, open, state ^ 3 << 62);
            put(bytes, open + 32, end);
            put(bytes, last, said);
        })
    };
    assert_eq!(sealed(end).flaws, []);
    flawed(&sealed(end - 1), "slot 1", "a block of it ends with");
    not_flawed(&sealed(end + 1), "a block of it ends with");
}

#[test]
fn a_cursor_at_its_streams_end_and_one_whose_end_is_open_are_whole() {
    let made = Made::new("cursor");
    let bytes = made.bytes();
    let selector = SLOTS + 1280 + 256;
    let copy = selector + 128 + 64 * (word(&bytes, selector) & 1) as usize;
    let end = word(&bytes, SLOTS);
    let at = |acked: u64| made.changed(|bytes| put(bytes, copy + 8, acked));
    not_flawed(&at(end), "a cursor");
    flawed(&at(end + 1), "slot 0", "beyond the last seq");
    let open = |word: u64| made.changed(|bytes| put(bytes, copy + 40, word));
    not_flawed(&open(1), "words it cannot have");
    flawed(&open(2), "slot 0", "words it cannot have");
}

#[test]
fn any_bytes_at_all_are_looked_at_and_never_end_in_a_panic() {
    let made = Made::new("any");
    let length = made.bytes().len();
    let mut seed = 1_u64;
    let mut dice = move |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    for _ in 0..300 {
        made.changed(|bytes| {
            for _ in 0..1 + dice(40) {
                // Below the blocks, behind the superblock's check.
                let at = 128 + dice(DESCRIPTORS + BLOCKS * 128 - 128);
                let at = if dice(2) == 0 { DESCRIPTORS + dice(BLOCKS * 128) } else { at };
                bytes[at] = dice(256) as u8;
            }
        });
    }
    let nothing = |path: &Path| verify(path).map(|found| found.flaws.len());
    assert_eq!(length, fs::metadata(&made.file).unwrap().len() as usize);
    assert!(nothing(&made.dir.join("none")).is_err());
}
