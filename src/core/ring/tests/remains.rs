//! What is believed of a file whose machine lost its power, when its bytes are put there by hand.

use super::power::MADE;
use crate::id::{Region, Seq, Stream};
use crate::record::{self, Record};
use crate::ring::layout::{Geometry, Layout};
use crate::ring::memory::{Heap, Memory};
use crate::ring::repair::Remains;
use crate::ring::view::View;
use crate::ring::word::{BlockState, Fill, Generation, Phase};

const BEYOND: u64 = 1 << 56;
const ONE: Stream = Stream(0);

fn empty() -> View<Heap> {
    let layout = Layout::new(Geometry { blocks: 2, block_bytes: 128, slots: 3 });
    View { memory: Heap::new(layout.words()), layout, region: Region(7) }
}

/// A SEALED first block of so many records of 32 bytes.
fn fill(view: &View<Heap>, slot: Stream, first: u64, count: u64) {
    let generation = Generation::NONE.next();
    let state = BlockState { phase: Phase::Sealed, slot, generation };
    let mut bytes = Vec::new();
    for seq in (first..first + count).map(Seq) {
        record::write(view.seed(slot), Record { seq, received: 1, bytes: &[7; 8] }, &mut bytes);
    }
    let at = view.layout.block(0);
    view.memory.write(at.data(0), &bytes);
    view.store(at.state(), state.into());
    view.store(at.committed(), Fill { generation, used: bytes.len() as u32 }.into());
    view.store(at.first(), first);
}

#[test]
fn a_block_of_a_slot_or_a_seq_that_there_is_not_is_not_believed() {
    for (slot, first, believed) in
        [(2, 1, true), (3, 1, false), (0, 0, false), (0, BEYOND - 1, true), (0, BEYOND, false)]
    {
        let view = empty();
        fill(&view, Stream(slot), first, 1);
        let remains = Remains::of(&view, MADE);
        assert_eq!(remains.scan().filled().count(), usize::from(believed), "{slot} {first}");
    }
}

#[test]
fn of_a_block_the_records_before_the_first_bad_one_are_believed() {
    for good in 0..4 {
        let view = empty();
        fill(&view, ONE, 5, 4);
        let bad = view.layout.block(0).data(32 * good + 24);
        view.store(bad, view.load(bad) ^ 1);
        let remains = Remains::of(&view, MADE);
        let seen = remains.scan().filled().map(|f| (f.used, f.last));
        let last = Seq(4 + u64::from(good));
        let believed = (good > 0).then_some((32 * good, Some(last)));
        assert_eq!(seen.collect::<Vec<_>>(), Vec::from_iter(believed));
        assert_eq!(remains.scan().last(ONE), if good > 0 { last } else { Seq(0) });
    }
}

#[test]
fn a_stream_is_known_by_its_last_and_ends_there_unless_that_is_no_seq() {
    for (last, is) in [(7, 7), (BEYOND - 1, BEYOND - 1), (BEYOND, 0), (u64::MAX, 0)] {
        let view = empty();
        view.store(view.layout.slot(Stream(1)).last(), last);
        let remains = Remains::of(&view, MADE);
        let streams: Vec<_> = remains.scan().streams().collect();
        assert_eq!(streams, if is > 0 { vec![ONE, Stream(1)] } else { vec![] });
        assert_eq!(remains.scan().last(Stream(1)), Seq(is));
        let blocks = remains.scan().blocks();
        assert_eq!((blocks.free, blocks.open, blocks.sealed), (2, 0, 0));
    }
}
