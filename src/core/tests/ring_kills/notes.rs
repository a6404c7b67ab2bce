//! The test's own shared memory, unknown to the ring: what writers were told, what became of each seq, and what the
//! publisher was about to do when it died.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::{At, Mapping, Memory};

/// Processes, streams and seqs that there is room for.
pub const KIDS: usize = 80;
pub const STREAMS: u16 = 96;
const SEQS: usize = 1 << 24;
const LOG: usize = 4096;
/// Milliseconds of a run that there is room for.
pub const MILLISECONDS: usize = 1 << 20;
/// Successes, beats, refusals.
const PER_MS: usize = 3;

const STOP: At = At(0);
const BAD: At = At(1);
const FULL: At = At(2);
const BEGAN: At = At(3);
const KID: usize = 16;
const PER_KID: usize = 8;
const STREAM: usize = 1024;
/// Told; then for each of the two cursors kind, from, to; then what a writer is about to commit.
const BATCH: usize = 8;
const HEAD: usize = 16;
const FATES: usize = HEAD + LOG;
const PER_STREAM: usize = FATES + 2 * (SEQS / 32);

/// What became of a seq, as seen by one cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    None = 0,
    Delivered = 1,
    Lost = 2,
}

pub struct Notes(Mapping);

impl Notes {
    pub fn open(path: &Path) -> Notes {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        Notes(Mapping::new(&file, words(), true).unwrap())
    }

    pub fn make(path: &Path) -> Notes {
        // Sparse: what is never noted needs no room.
        File::create(path).unwrap().set_len(words() as u64 * 8).unwrap();
        let notes = Notes::open(path);
        notes.0.store(BEGAN, clock());
        notes
    }

    /// The ms since the run began.
    pub fn now(&self) -> usize {
        (clock().saturating_sub(self.0.load(BEGAN)) / 1_000_000) as usize
    }

    fn millisecond(&self, ms: usize) -> At {
        At(STREAM + usize::from(STREAMS) * PER_STREAM + PER_MS * ms.min(MILLISECONDS - 1))
    }

    /// So many events were just answered with success.
    pub fn succeed(&self, count: u64) {
        let at = self.millisecond(self.now());
        loop {
            let was = self.0.load(at);
            if self.0.swap(at, was, was + count) {
                return;
            }
        }
    }

    pub fn successes(&self, ms: usize) -> u64 {
        self.0.load(self.millisecond(ms))
    }

    /// A process that only wants to run could do so.
    pub fn beat(&self) {
        self.0.raise(self.millisecond(self.now()).plus(1));
    }

    pub fn beats(&self, ms: usize) -> u64 {
        self.0.load(self.millisecond(ms).plus(1))
    }

    /// 0 go on, 1 writers leave.
    pub fn stop(&self) -> bool {
        self.0.load(STOP) != 0
    }

    pub fn set_stop(&self) {
        self.0.store(STOP, 1);
    }

    pub fn bads(&self) -> u64 {
        self.0.load(BAD)
    }

    /// Something is wrong.
    pub fn bad(&self, what: &str) {
        let n = self.0.raise(BAD);
        if n <= 20 && std::env::var_os("RING_KILLS_QUIET").is_none() {
            eprintln!("BAD: {what}");
        }
    }

    /// An event was refused, since the ring is full.
    pub fn full(&self, kid: usize) {
        self.0.raise(FULL);
        self.0.raise(self.millisecond(self.now()).plus(2));
        self.0.store(self.kid(kid, 3), 1);
    }

    pub fn fulls(&self) -> u64 {
        self.0.load(FULL)
    }

    /// Refusals in a millisecond, since the ring was full.
    pub fn refusals(&self, ms: usize) -> u64 {
        self.0.load(self.millisecond(ms).plus(2))
    }

    fn kid(&self, kid: usize, word: usize) -> At {
        At(KID + kid * PER_KID + word)
    }

    /// The stream a process writes.
    pub fn at_work(&self, kid: usize) -> Option<Stream> {
        let stream = self.0.load(self.kid(kid, 0)).checked_sub(1)?;
        Some(Stream(stream as u16))
    }

    /// How many commits it has made since it was born.
    pub fn commits(&self, kid: usize) -> u64 {
        self.0.load(self.kid(kid, 1))
    }

    /// The same; 0 while it is refused.
    pub fn busy(&self, kid: usize) -> u64 {
        let refused = self.0.load(self.kid(kid, 3)) != 0;
        if refused { 0 } else { self.commits(kid) }
    }

    /// How often the publisher has passed over all streams since it was born.
    pub fn turns(&self) -> u64 {
        self.0.load(self.kid(0, 4))
    }

    pub fn count_turn(&self) {
        let at = self.kid(0, 4);
        self.0.store(at, self.0.load(at) + 1);
    }

    pub fn begin(&self, kid: usize, stream: Option<Stream>) {
        self.0.store(self.kid(kid, 1), 0);
        self.0.store(self.kid(kid, 0), stream.map_or(0, |s| u64::from(s.0) + 1));
        self.0.store(self.kid(kid, 2), 0);
        self.0.store(self.kid(kid, 3), 0);
        self.0.store(self.kid(kid, 4), 0);
    }

    pub fn count(&self, kid: usize) {
        let at = self.kid(kid, 1);
        self.0.store(at, self.0.load(at) + 1);
        self.0.store(self.kid(kid, 3), 0);
    }

    /// Asked to leave in order.
    pub fn leave(&self, kid: usize) -> bool {
        self.0.load(self.kid(kid, 2)) != 0
    }

    pub fn ask_to_leave(&self, kid: usize) {
        self.0.store(self.kid(kid, 2), 1);
    }

    fn stream(&self, stream: Stream, word: usize) -> At {
        assert!(stream.0 < STREAMS);
        At(STREAM + usize::from(stream.0) * PER_STREAM + word)
    }

    /// The last seq of which a client was told.
    pub fn told(&self, stream: Stream) -> Seq {
        Seq(self.0.load(self.stream(stream, 0)))
    }

    /// A writer is about to commit so many events at once; 0: it cannot know how many.
    pub fn try_to(&self, stream: Stream, last: Seq, count: u64) {
        self.0.store(self.stream(stream, BATCH + 1), 0);
        self.0.store(self.stream(stream, BATCH), last.0);
        self.0.store(self.stream(stream, BATCH + 1), count);
    }

    /// A new writer goes on here: what the one before was about to commit is there, or nothing of it.
    pub fn whole(&self, stream: Stream, last: Seq) {
        let [before, count] = [0, 1].map(|n| self.0.load(self.stream(stream, BATCH + n)));
        if count != 0 && last.0 != before && last.0 != before + count {
            self.bad(&format!("stream {stream}: {last}, a part of {count} events after {before}"));
        }
    }

    pub fn tell(&self, stream: Stream, seq: Seq) {
        self.0.store(self.stream(stream, 0), seq.0);
    }

    /// A seq was told or seen with this content: it must be the same as before.
    pub fn content(&self, stream: Stream, seq: Seq, salt: u64) {
        let at = self.stream(stream, HEAD + seq.0 as usize % LOG);
        let id = seq.0 << 32 | salt & 0xFFFF_FFFF;
        loop {
            let was = self.0.load(at);
            if was >> 32 == seq.0 & 0xFFFF_FFFF && was != id {
                self.bad(&format!("two contents under one seq: stream {stream}, {seq}"));
            }
            if was >> 32 >= seq.0 || self.0.swap(at, was, id) {
                return;
            }
        }
    }

    /// Before a cursor is stored: what this will mean for the seqs it passes.
    pub fn intend(&self, stream: Stream, cursor: usize, fate: Fate, from: Seq, to: Seq) {
        let at = self.stream(stream, 1 + 3 * cursor);
        // Void while it is written.
        self.0.store(at.plus(2), 0);
        self.0.store(at, fate as u64);
        self.0.store(at.plus(1), from.0);
        self.0.store(at.plus(2), to.0);
    }

    /// After it was stored, or by the next publisher: if the cursor came to what was intended, that is what happened.
    pub fn settle(&self, stream: Stream, cursor: usize, acked: Seq) {
        let at = self.stream(stream, 1 + 3 * cursor);
        let (from, to) = (self.0.load(at.plus(1)), self.0.load(at.plus(2)));
        if to != acked.0 {
            return;
        }
        let fate = self.0.load(at);
        for seq in from..=to {
            let (at, shift) = self.fate_at(stream, cursor, Seq(seq));
            let word = self.0.load(at);
            let was = word >> shift & 3;
            if was != 0 && was != fate {
                self.bad(&format!("two fates: stream {stream}, {seq}, cursor {cursor}"));
            }
            self.0.store(at, word | fate << shift);
        }
    }

    pub fn fate(&self, stream: Stream, cursor: usize, seq: Seq) -> Fate {
        let (at, shift) = self.fate_at(stream, cursor, seq);
        match self.0.load(at) >> shift & 3 {
            1 => Fate::Delivered,
            2 => Fate::Lost,
            _ => Fate::None,
        }
    }

    fn fate_at(&self, stream: Stream, cursor: usize, seq: Seq) -> (At, u64) {
        let seq = seq.0 as usize;
        assert!(seq < SEQS, "more events than the test has room for");
        (self.stream(stream, FATES + cursor * (SEQS / 32) + seq / 32), seq as u64 % 32 * 2)
    }
}

/// Seqs at which a writer must stop, since no fate could be noted.
pub fn room(seq: Seq) -> bool {
    (seq.0 as usize) < SEQS - 1024
}

fn words() -> usize {
    STREAM + usize::from(STREAMS) * PER_STREAM + PER_MS * MILLISECONDS
}

/// ns since 1970.
pub fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
