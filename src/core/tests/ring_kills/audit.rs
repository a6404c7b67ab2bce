//! The books, taken while everybody is stopped or gone.

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::record::Slice;
use sparkngin_core::ring::{Ledger, Overflow, Phase, Ring};

use crate::notes::{Fate, Notes};
use crate::roles::same;

#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub committed: u64,
    pub delivered: u64,
    pub lost: u64,
    pub live_delivered: u64,
    pub live_lost: u64,
}

/// What one cursor passed in one stream, counted seq by seq.
#[derive(Clone, Copy, Default)]
struct Passed {
    upto: Seq,
    delivered: u64,
    lost: u64,
}

pub struct Auditor {
    policy: Overflow,
    passed: Vec<[Passed; 2]>,
}

impl Auditor {
    pub fn new(policy: Overflow) -> Auditor {
        Auditor { policy, passed: Vec::new() }
    }

    pub fn audit(&mut self, ring: &Ring, notes: &Notes, at_end: bool) -> Sums {
        let mut sums = Sums::default();
        let ledger = Ledger::read(ring);
        let Some(named) = ledger.subscribers.first() else { return sums };
        self.passed.resize(ledger.streams.len(), Default::default());
        for books in &ledger.streams {
            let stream = books.stream;
            let top = books.last;
            self.blocks(ring, notes, stream, top);
            let told = notes.told(stream);
            if told > top {
                notes.bad(&format!("told, not committed: stream {stream}, {told} of {top}"));
            }
            sums.committed += top.0;
            for cursor in 0..2 {
                let passed = self.count(ring, notes, stream, cursor);
                if passed.upto > top || at_end && passed.upto != top {
                    notes.bad(&format!("stream {stream}: cursor at {}, {top}", passed.upto));
                }
                let (delivered, lost) = match cursor {
                    0 => (&mut sums.delivered, &mut sums.lost),
                    _ => (&mut sums.live_delivered, &mut sums.live_lost),
                };
                *delivered += passed.delivered;
                *lost += passed.lost;
            }
        }
        for (what, books, delivered, lost) in [
            ("named", named.books, sums.delivered, sums.lost),
            ("live", ledger.live, sums.live_delivered, sums.live_lost),
        ] {
            let told = books.lost - books.ahead;
            if (books.committed, books.delivered, told) != (sums.committed, delivered, lost) {
                notes.bad(&format!("{what} books {books:?}, but {sums:?}"));
            }
            if books.committed != books.delivered + books.in_ring + books.lost {
                notes.bad(&format!("{what} books do not close: {books:?}"));
            }
        }
        if self.policy == Overflow::Reject && named.books.lost > 0 {
            notes.bad(&format!("lost under reject: {:?}", named.books));
        }
        if at_end && ledger.blocks.sealed > 0 {
            notes.bad(&format!("acknowledged blocks that are not FREE: {:?}", ledger.blocks));
        }
        sums
    }

    /// The blocks of one stream: in order, each record whole, sealed ones covered by `last`, FREE ones acknowledged.
    fn blocks(&self, ring: &Ring, notes: &Notes, stream: Stream, top: Seq) {
        let scan = ring.scan();
        let view = ring.view();
        let acked = ring.cursor(Some(0), stream).acked;
        let (mut end, mut open) = (Seq(0), 0);
        for block in scan.of(stream) {
            open += u32::from(block.state.phase == Phase::Open);
            let mut bytes = Vec::new();
            use sparkngin_core::ring::Memory;
            view.memory.read(
                view.layout.block(block.block).data(0),
                block.used as usize,
                &mut bytes,
            );
            if block.used > 0 && block.first <= end {
                notes.bad(&format!("stream {stream}: {} in two blocks", block.first));
            }
            let mut seq = block.before();
            for record in Slice::new(view.seed(stream), block.first, &bytes) {
                let Ok(record) = record else {
                    return notes.bad(&format!("stream {stream}: torn after {seq}"));
                };
                seq = record.seq;
                same(notes, stream, seq, record.bytes);
                for cursor in 0..2 {
                    if notes.fate(stream, cursor, seq) == Fate::Lost {
                        notes.bad(&format!("stream {stream}: {seq} counted lost, still here"));
                    }
                }
            }
            if block.last.is_some_and(|last| last != seq) {
                notes.bad(&format!("stream {stream}: block ends at {seq}, says {:?}", block.last));
            }
            if block.state.phase != Phase::Open && seq > view.last(stream) {
                notes.bad(&format!("stream {stream}: sealed beyond last, {seq}"));
            }
            if block.state.phase == Phase::Free && seq > acked {
                notes.bad(&format!("stream {stream}: FREE, not acknowledged, {seq} of {acked}"));
            }
            end = end.max(seq);
        }
        if open > 1 {
            notes.bad(&format!("stream {stream}: {open} OPEN blocks"));
        }
        if end > top {
            notes.bad(&format!("stream {stream}: the books end at {top}, the blocks at {end}"));
        }
    }

    fn count(&mut self, ring: &Ring, notes: &Notes, stream: Stream, cursor: usize) -> Passed {
        // As in the notes: 0 the named one, 1 live's.
        let stored = ring.cursor([Some(0), None][cursor], stream);
        notes.settle(stream, cursor, stored.acked);
        let passed = &mut self.passed[usize::from(stream.0)][cursor];
        if stored.acked < passed.upto {
            notes.bad(&format!("stream {stream}: a cursor went back"));
        }
        for seq in passed.upto.0 + 1..=stored.acked.0 {
            match notes.fate(stream, cursor, Seq(seq)) {
                Fate::Delivered => passed.delivered += 1,
                Fate::Lost => passed.lost += 1,
                Fate::None => notes.bad(&format!("stream {stream}: {seq} passed without a fate")),
            }
        }
        passed.upto = stored.acked;
        if (stored.delivered(), stored.lost) != (passed.delivered, passed.lost) {
            notes.bad(&format!("stream {stream}: cursor {cursor} says {stored:?}"));
        }
        *passed
    }
}
