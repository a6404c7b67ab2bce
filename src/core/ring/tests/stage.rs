//! A small ring for the model checkers, and what writers and readers do in it: the ring's own code over a memory whose
//! every access another thread may come before.

use std::collections::BTreeMap;

use crate::id::{Region, Seq, Stream};
use crate::record::{self, Slice};
use crate::ring::configuration::{Configuration, Overflow};
use crate::ring::cursor::Cursor;
use crate::ring::eye::{Eye, Next};
use crate::ring::hand::Hand;
use crate::ring::known::Known;
use crate::ring::layout::{At, FREED, Geometry, Layout, PAGE, SLEEPING, SUPERBLOCK_WORDS, TICKET};
use crate::ring::memory::{Heap, Memory};
use crate::ring::pen::{Pen, Refused};
use crate::ring::scan::{Sampled, Scan};
use crate::ring::view::View;

use super::world::{NOW, name};

/// Two records of 8 bytes fill a block.
const BLOCK: u32 = 64;
/// Words behind the superblock, in its page, which the layout leaves empty: these stand for the locks of the slots, and the
/// lease.
const LOCKS: usize = SUPERBLOCK_WORDS;
const LOCKS_END: usize = PAGE / 8;

/// A ring on a heap, prepared by one thread, before the model begins.
pub fn prepare(blocks: u32, slots: u16, policy: Overflow) -> View<Heap> {
    let layout = Layout::new(Geometry { blocks, block_bytes: BLOCK, slots });
    let view = View { memory: Heap::new(layout.words()), layout, region: Region(7) };
    for slot in 0..slots {
        view.count_stream(Stream(slot));
    }
    publisher(&view, policy);
    view
}

/// A new holder of the lease, with one name.
pub fn publisher<M: Memory>(view: &View<M>, policy: Overflow) -> Hand {
    let subscribers = vec![name("kafka")];
    Hand::new(view, &Configuration { policy, subscribers, configured_at: 1 }, NOW).unwrap()
}

/// The words that threads contend for; all others of these scenarios are written by one thread, or by none.
pub fn contended(layout: &Layout) -> Vec<At> {
    let Geometry { blocks, block_bytes, slots } = layout.geometry();
    let mut all = vec![TICKET, SLEEPING, FREED];
    for slot in 0..slots {
        all.push(layout.slot(Stream(slot)).last());
        all.push(lock(Stream(slot)));
    }
    for block in (0..blocks).map(|block| layout.block(block)) {
        all.extend([block.state(), block.committed(), block.ticket(), block.first(), block.last()]);
        all.extend((0..block_bytes).step_by(8).map(|offset| block.data(offset)));
    }
    all
}

/// The words of the subscriber's cursor in a stream.
pub fn cursor_words(layout: &Layout, stream: Stream) -> Vec<At> {
    let cursor = layout.slot(stream).cursor(1);
    let copies = [0, 1].into_iter().flat_map(|turn| (0..8).map(move |n| cursor.copy(turn).plus(n)));
    [cursor.selector()].into_iter().chain(copies).collect()
}

fn lock(stream: Stream) -> At {
    At(LOCKS + usize::from(stream.0))
}

/// Whether a word stands for a lock.
pub fn is_lock(at: At) -> bool {
    (LOCKS..LOCKS_END).contains(&at.0)
}

/// A slot's byte, as the kernel keeps it: one holder, given back however the holder ends.
pub struct Held<'a, M: Memory>(&'a View<M>, At);

pub fn hold<M: Memory>(view: &View<M>, stream: Stream) -> Option<Held<'_, M>> {
    let at = lock(stream);
    (view.load(at) == 0 && view.memory.swap(at, 0, 1)).then(|| Held(view, at))
}

impl<M: Memory> Drop for Held<'_, M> {
    fn drop(&mut self) {
        self.0.store(self.1, 0);
    }
}

/// An event that says whose it is: the stream, its seq, and at which attempt to write this seq.
pub fn event(stream: Stream, seq: u64, attempt: u64) -> [u8; 8] {
    (u64::from(stream.0) << 48 | attempt << 16 | seq).to_le_bytes()
}

/// At which attempt an event was written.
pub fn attempt_of(event: u64) -> u64 {
    event >> 16 & 0xFFFF_FFFF
}

/// Whether these are the bytes of some attempt to write this seq.
pub fn is_event(stream: Stream, seq: Seq, bytes: &[u8]) -> bool {
    let word = bytes.try_into().map(u64::from_le_bytes);
    word.is_ok_and(|word| word >> 48 == u64::from(stream.0) && word & 0xFFFF == seq.0)
}

/// The stream's writer stores its next event.
pub fn write<M: Memory>(view: &View<M>, pen: &mut Pen) -> Result<Seq, Refused> {
    write_batch(view, pen, 1)
}

/// The stream's writer stores its next events, under one commit; the last one's seq.
pub fn write_batch<M: Memory>(view: &View<M>, pen: &mut Pen, count: u64) -> Result<Seq, Refused> {
    let (stream, before) = (pen.stream(), pen.last());
    let events: Vec<_> = (1..=count).map(|n| event(stream, before.0 + n, 0)).collect();
    let events: Vec<&[u8]> = events.iter().map(|event| &event[..]).collect();
    let committed = pen.append(view, NOW, &events)?.committed;
    assert_eq!((committed.id().seq, committed.count()), (before.next(), count));
    Ok(committed.last().seq)
}

/// What came of reading: how far each stream was read, and the ranges that were lost.
#[derive(Default)]
pub struct Read {
    pub upto: BTreeMap<u16, u64>,
    pub lost: Vec<(u16, u64, u64)>,
    known: Known,
    eye: Eye,
}

impl Read {
    /// One look, and all that it shows, in order: each record is the one that this stream's writer wrote under this seq.
    pub fn look<M: Memory>(&mut self, view: &View<M>) -> Scan {
        let scan = Scan::look(view, Sampled::take(view), &mut self.known);
        for stream in scan.streams() {
            let upto = self.upto.entry(stream.0).or_default();
            loop {
                let mut out = Vec::new();
                match self.eye.next(view, &scan, stream, Seq(*upto), 1000, &mut out) {
                    Next::Slice { first, count } => {
                        assert_eq!(first.0, *upto + 1, "in order");
                        let mut seen = 0;
                        for record in Slice::new(view.seed(stream), first, &out) {
                            let record = record.expect("a checked record");
                            assert!(
                                is_event(stream, record.seq, record.bytes),
                                "as it was written"
                            );
                            seen += 1;
                        }
                        assert_eq!(seen, count);
                        *upto += u64::from(count);
                    }
                    Next::Lost { to, .. } => {
                        self.lost.push((stream.0, *upto + 1, to.0));
                        *upto = to.0;
                    }
                    Next::Nothing | Next::Void => break,
                    Next::Uncertain { .. } => panic!("a committed record fails its check"),
                }
            }
        }
        scan
    }

    /// When nothing moves any more: every seq that was told is read or lost, and nothing beyond what was begun.
    pub fn finish<M: Memory>(&mut self, view: &View<M>, told: &BTreeMap<u16, u64>) {
        self.look(view);
        for (stream, last) in told {
            let upto = self.upto.get(stream).copied().unwrap_or_default();
            assert!(upto >= *last, "stream {stream}: {last} was told, read up to {upto}");
        }
        let scan = Scan::look(view, Sampled::take(view), &mut Known::default());
        for (stream, from, to) in &self.lost {
            // What is counted lost is nowhere.
            for block in scan.of(Stream(*stream)) {
                let mut bytes = Vec::new();
                let data = view.layout.block(block.block).data(0);
                view.memory.read(data, block.used as usize, &mut bytes);
                let records = Slice::new(view.seed(Stream(*stream)), block.first, &bytes);
                let there = |r: record::Record<'_>| r.seq.0 >= *from && r.seq.0 <= *to;
                assert!(!records.flatten().any(there), "lost, and still there");
            }
        }
    }
}

/// The subscriber's cursor when all up to `seq` was delivered.
pub fn acked(seq: u64) -> Cursor {
    Cursor { acked: Seq(seq), ..Cursor::default() }
}

/// A cursor all of whose numbers are the same.
pub fn whole(n: u64) -> Cursor {
    let (seq, uncertain_open) = (Seq(n), false);
    let (start, acked, unheld, lost, dead, uncertain) = (seq, seq, seq, n, n, n);
    Cursor { start, acked, lost, dead, uncertain, uncertain_open, unheld, heartbeats: n }
}

/// Gives back a slot that is held for longer than a scope.
pub fn release<M: Memory>(view: &View<M>, stream: Stream) {
    view.store(lock(stream), 0);
}
