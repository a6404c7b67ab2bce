//! What a look costs: as much in a large ring as in a small one, also while blocks are claimed and freed in turn. It prints
//! what it took.

use std::cell::Cell;
use std::time::Instant;

use crate::id::{Region, Seq, Stream};
use crate::ring::block;
use crate::ring::configuration::{Configuration, Overflow};
use crate::ring::eye::Eye;
use crate::ring::hand::Hand;
use crate::ring::known::Known;
use crate::ring::layout::{At, Geometry, Layout, TICKET};
use crate::ring::memory::{Heap, Memory};
use crate::ring::pen::Pen;
use crate::ring::scan::{Sampled, Scan};
use crate::ring::search::candidates;
use crate::ring::view::View;
use crate::ring::word::{BlockState, Fill, Phase};

const ONE: Stream = Stream(0);

struct Counting {
    heap: Heap,
    loads: Cell<u64>,
}

impl Memory for Counting {
    fn load(&self, at: At) -> u64 {
        self.loads.set(self.loads.get() + 1);
        self.heap.load(at)
    }

    fn store(&self, at: At, value: u64) {
        self.heap.store(at, value);
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        self.heap.swap(at, seen, new)
    }

    fn fence(&self) {
        self.heap.fence();
    }
}

/// Claims a block for one record, which it need not have; the last one stays OPEN.
fn fill(view: &View<Counting>, number: u32, seq: u64) {
    let seen = block::state(view, number);
    let generation = block::claim(view, number, seen, ONE).unwrap();
    block::begin(view, number, generation, Seq(seq));
    block::commit(view, number, Fill { generation, used: 32 });
    view.store(view.layout.slot(ONE).last(), seq);
}

fn seal(view: &View<Counting>, number: u32, seq: u64) {
    assert!(block::seal(view, number, block::state(view, number), Seq(seq)));
}

fn full(blocks: u32) -> View<Counting> {
    let layout = Layout::new(Geometry { blocks, block_bytes: 64, slots: 1 });
    let memory = Counting { heap: Heap::new(layout.words()), loads: Cell::new(0) };
    let view = View { memory, layout, region: Region(7) };
    view.count_stream(ONE);
    for number in 0..blocks {
        fill(&view, number, u64::from(number) + 1);
        if number + 1 < blocks {
            seal(&view, number, u64::from(number) + 1);
        }
    }
    view
}

/// One look; its loads and microseconds.
fn look(view: &View<Counting>, known: &mut Known) -> (Scan, u64, f64) {
    view.memory.loads.set(0);
    let started = Instant::now();
    let scan = Scan::look(view, Sampled::take(view), known);
    (scan, view.memory.loads.get(), started.elapsed().as_secs_f64() * 1e6)
}

#[test]
fn a_look_reads_as_little_of_a_large_ring_as_of_a_small_one() {
    let loads = [1024, 65_536, 262_144].map(|blocks| {
        let (view, mut known) = (full(blocks), Known::default());
        let (scan, _, first) = look(&view, &mut known);
        assert_eq!(scan.of(ONE).len(), blocks as usize);
        drop(scan);
        // More in the OPEN block.
        let open = blocks - 1;
        let generation = block::state(&view, open).generation;
        block::commit(&view, open, Fill { generation, used: 64 });
        let (scan, loads, unchanged) = look(&view, &mut known);
        assert_eq!(scan.of(ONE).last().map(|f| f.used), Some(64), "a commit is seen at once");
        drop(scan);
        // The writer goes on in the oldest block.
        seal(&view, open, u64::from(blocks));
        fill(&view, 0, u64::from(blocks) + 1);
        let (scan, more, claimed) = look(&view, &mut known);
        let of = scan.of(ONE);
        assert_eq!((of.len(), of[0].block, of.last().map(|f| f.block)), (blocks as usize, 1, Some(0)));
        assert_eq!(scan.blocks().open, 1);
        drop(scan);
        // What it has read is freed by the one who looks.
        assert!(block::free(&view, 1, block::state(&view, 1)));
        known.freed(1);
        let (scan, last, freed) = look(&view, &mut known);
        assert_eq!(scan.blocks().free, 1);
        println!("look: blocks={blocks}, first_us={first:.0}, unchanged_us={unchanged:.1}, claimed_us={claimed:.1}, freed_us={freed:.1}");
        loads.max(more).max(last)
    });
    assert!(loads.iter().all(|n| *n == loads[0] && *n < 70), "{loads:?}");
}

#[test]
fn a_claim_that_died_before_its_ticket_is_found_by_a_round() {
    let (view, mut known) = (full(8), Known::default());
    look(&view, &mut known);
    block::claim(&view, 2, block::state(&view, 2), ONE).unwrap();
    let looks = (1..10).find(|_| look(&view, &mut known).0.unbegun.iter().any(|(b, _)| *b == 2));
    assert!(looks.is_some_and(|n| n <= 4), "within four looks: {looks:?}");
}

#[test]
fn a_claim_that_died_before_its_ticket_is_found_at_once_when_a_copy_was_overtaken() {
    let view = full(4096);
    let nobody =
        Configuration { policy: Overflow::Reject, subscribers: Vec::new(), configured_at: 1 };
    let mut hand = Hand::new(&view, &nobody, 1).unwrap();
    hand.scan(&view);
    block::claim(&view, 2000, block::state(&view, 2000), ONE).unwrap();
    assert!(hand.scan(&view).unbegun.is_empty());
    hand.doubt();
    assert_eq!(hand.scan(&view).unbegun.len(), 1);
}

#[test]
fn looks_at_what_does_not_change_read_each_state_once_a_round() {
    let (view, mut known) = (full(8), Known::default());
    look(&view, &mut known);
    for _ in 0..3 {
        // Each: the number of streams, one last, both counters, and the OPEN block's five words; and the seven states.
        let loads: u64 = (0..4).map(|_| look(&view, &mut known).1).sum();
        assert_eq!(loads, 4 * (2 + 2 + 5) + 7);
    }
}

#[test]
fn a_claim_is_found_among_those_next_in_turn_for_any_of_two_writers() {
    let (view, mut known) = (full(65_536), Known::default());
    let (mut open, mut seq) = (65_535, 65_536);
    for number in 0..600 {
        seal(&view, open, seq);
        seq += 1;
        fill(&view, number, seq);
        open = number;
    }
    look(&view, &mut known);
    // The order begins at 600. Each has 256 candidates, and one more was claimed.
    fill(&view, 600 + 2 * (256 + 1) - 1, seq + 1);
    let (scan, loads, _) = look(&view, &mut known);
    assert_eq!(scan.of(ONE).last().map(|f| f.block), Some(1113));
    assert!(loads < 700, "{loads}: all states were read");
}

#[test]
fn a_claim_during_the_first_look_is_known_to_the_second() {
    let (view, mut known) = (full(4096), Known::default());
    view.store(TICKET, 4095);
    look(&view, &mut known);
    view.store(TICKET, 4096);
    let (_, loads, _) = look(&view, &mut known);
    assert!(loads < 100, "{loads}: all states were read");
}

#[test]
fn a_claim_that_was_slow_to_begin_does_not_hide_the_next_one() {
    let (view, mut known) = (full(4096), Known::default());
    look(&view, &mut known);
    // Up to its ticket, and no further yet.
    let generation = block::claim(&view, 0, block::state(&view, 0), ONE).unwrap();
    view.store(view.layout.block(0).first(), 4097);
    view.store(view.layout.block(0).ticket(), view.ticket().0);
    assert_eq!(look(&view, &mut known).0.unbegun.len(), 1);
    block::commit(&view, 0, Fill { generation, used: 0 });
    fill(&view, 2000, 4098);
    let blocks: Vec<u32> = look(&view, &mut known).0.open().iter().map(|f| f.block).collect();
    assert_eq!(blocks.len(), 3, "{blocks:?}");
}

#[test]
fn a_counter_of_tickets_that_something_else_raised_ends_no_look() {
    let (view, mut known) = (full(8), Known::default());
    look(&view, &mut known);
    view.store(TICKET, u64::MAX);
    assert!(block::free(&view, 3, block::state(&view, 3)));
    known.freed(3);
    assert_eq!(look(&view, &mut known).0.blocks().free, 1);
}

#[test]
fn a_kept_look_is_always_what_a_fresh_one_sees() {
    // More blocks than are asked out of turn, and fewer.
    for (blocks, steps) in [(16, 2000), (300, 1500)] {
        let (view, mut known) = (full(blocks), Known::default());
        let mut random = 7u64;
        let mut seq = u64::from(blocks);
        for step in 0..steps {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = (random >> 33) as u32 % blocks;
            let state: BlockState = block::state(&view, number);
            match (state.phase, random >> 60) {
                (Phase::Open, 0..8) => seal(&view, number, seq),
                (Phase::Open, _) => {}
                (Phase::Sealed, own @ 0..4) => {
                    assert!(block::free(&view, number, state));
                    if own > 0 {
                        known.freed(number);
                    }
                }
                (_, 4..12) => {
                    seq += 1;
                    fill(&view, number, seq);
                }
                _ => {}
            }
            // Several things happen between two looks.
            if step % 3 > 0 {
                continue;
            }
            let kept = look(&view, &mut known).0;
            let fresh = look(&view, &mut Known::default()).0;
            assert!(kept.filled().eq(fresh.filled()));
            assert_eq!((kept.blocks(), kept.held(ONE)), (fresh.blocks(), fresh.held(ONE)));
            let sorted = |scan: &Scan| {
                let mut unbegun: Vec<u32> = scan.unbegun.iter().map(|(block, _)| *block).collect();
                unbegun.sort_unstable();
                unbegun
            };
            assert_eq!(sorted(&kept), sorted(&fresh));
        }
    }
}

/// Loads of so many readers of one block, one after the other: each at its first event, then at the four that follow.
fn reading(readers: u64) -> (Vec<u64>, Vec<u64>) {
    let layout = Layout::new(Geometry { blocks: 2, block_bytes: 4096, slots: 1 });
    let memory = Counting { heap: Heap::new(layout.words()), loads: Cell::new(0) };
    let view = View { memory, layout, region: Region(7) };
    view.count_stream(ONE);
    let mut pen = Pen::take_over(&view, ONE, || true).unwrap();
    for _ in 0..60 {
        pen.append(&view, 1, &[&[1; 8]]).unwrap();
    }
    let (scan, eye) = (look(&view, &mut Known::default()).0, Eye::default());
    let loads = |after: u64| {
        view.memory.loads.set(0);
        eye.next(&view, &scan, ONE, Seq(after), 0, &mut Vec::new());
        view.memory.loads.get()
    };
    let at = |step: u64| (0..readers).map(move |reader| 4 + 8 * reader + step);
    let first = at(0).map(loads).collect();
    (first, (1..5).flat_map(at).map(loads).collect())
}

#[test]
fn what_was_read_is_not_walked_over_again_by_live_each_name_and_one_more() {
    let (first, costs) = reading(6);
    assert!(costs.iter().all(|cost| *cost == costs[0] && *cost < first[0]), "{first:?} {costs:?}");
    let (_, more) = reading(7);
    assert!(more.iter().all(|cost| *cost > costs[0]), "no more is remembered: {more:?}");
}

#[test]
fn the_larger_a_ring_is_the_more_candidates_a_writer_keeps_of_one_look() {
    let kept = [2, 8192, 16_384, 65_536, 262_144, 1 << 24].map(candidates);
    assert_eq!(kept, [32, 32, 64, 256, 1024, 1024]);
}
