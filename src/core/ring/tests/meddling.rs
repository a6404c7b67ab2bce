//! Another process does something between any two of a reader's loads.

use std::cell::{Cell, RefCell};

use super::world::NOW;
use crate::id::{Region, Seq, Stream};
use crate::record::Slice;
use crate::ring::block;
use crate::ring::configuration::{Configuration, Overflow, Written};
use crate::ring::cursor::{self, Cursor};
use crate::ring::eye::{Eye, Next};
use crate::ring::hand::Hand;
use crate::ring::known::Known;
use crate::ring::layout::{At, Geometry, Layout};
use crate::ring::ledger::Ledger;
use crate::ring::memory::{Heap, Memory};
use crate::ring::pen::Pen;
use crate::ring::scan::{Sampled, Scan};
use crate::ring::view::View;

type Act<'a> = Box<dyn FnOnce() + 'a>;

/// A heap on which something else happens before the load number `before`.
struct Meddled<'a> {
    heap: &'a Heap,
    loads: Cell<u64>,
    before: u64,
    act: RefCell<Option<Act<'a>>>,
}

impl Memory for Meddled<'_> {
    fn load(&self, at: At) -> u64 {
        if self.loads.get() == self.before {
            if let Some(act) = self.act.take() {
                act();
            }
        }
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

const GEOMETRY: Geometry = Geometry { blocks: 3, block_bytes: 128, slots: 2 };
const ONE: Stream = Stream(0);

fn view<M>(memory: M) -> View<M> {
    View { memory, layout: Layout::new(GEOMETRY), region: Region(7) }
}

fn heap() -> Heap {
    Heap::new(Layout::new(GEOMETRY).words())
}

fn publisher<M: Memory>(view: &View<M>, policy: Overflow) -> Hand {
    let subscribers = vec!["kafka".parse().unwrap()];
    Hand::new(view, &Configuration { policy, subscribers, configured_at: 1 }, NOW).unwrap()
}

/// Event number `seq` of stream 0.
fn event(seq: u64, size: usize) -> Vec<u8> {
    vec![seq as u8; size]
}

/// What one reader reads of stream 0 up to its end, while `act` happens before the load number `before`; whether it
/// happened at all. Without `marks` each record is searched for from its block's start.
fn read_while(before: u64, prepared: &[usize], act: &[(u16, usize)], marks: bool) -> bool {
    let heap = heap();
    let other = view(&heap);
    publisher(&other, Overflow::Overwrite);
    for stream in [0, 1] {
        other.count_stream(Stream(stream));
    }
    let mut pens = [0, 1].map(|slot| Pen::take_over(&other, Stream(slot), || true).unwrap());
    for size in prepared {
        let seq = pens[0].last().next().0;
        pens[0].append(&other, 1, &[&event(seq, *size)]).unwrap();
    }
    let mine = view(Meddled {
        heap: &heap,
        loads: Cell::new(0),
        before,
        act: RefCell::new(Some(Box::new(|| {
            for (slot, size) in act {
                let pen = &mut pens[usize::from(*slot)];
                let seq = pen.last().next().0;
                pen.append(&other, 1, &[&event(seq, *size)]).unwrap();
            }
        }))),
    });
    let (mut eye, mut known) = (Eye::default(), Known::default());
    let (mut after, mut lost) = (Seq(0), Vec::new());
    let mut voids = 0;
    loop {
        let over = mine.memory.act.borrow().is_none();
        let scan = Scan::look(&mine, Sampled::take(&mine), &mut known);
        let mut out = Vec::new();
        if !marks {
            eye = Eye::default();
        }
        match eye.next(&mine, &scan, ONE, after, 64, &mut out) {
            Next::Slice { first, count } => {
                assert_eq!(first, after.next());
                for record in Slice::new(mine.seed(ONE), first, &out) {
                    let record = record.unwrap();
                    assert!(record.bytes.iter().all(|b| u64::from(*b) == record.seq.0));
                }
                after = Seq(after.0 + u64::from(count));
            }
            Next::Lost { to, .. } => {
                lost.extend(after.0 + 1..=to.0);
                after = to;
            }
            Next::Void => voids += 1,
            Next::Uncertain { .. } => panic!("load {before}: nothing here is broken"),
            Next::Nothing => {
                if over {
                    break;
                }
                if mine.memory.loads.get() < before {
                    return false;
                }
            }
        }
        assert!(voids < 3, "load {before}: void again and again");
    }
    let scan = Scan::look(&mine, Sampled::take(&mine), &mut Known::default());
    assert_eq!(after, scan.last(ONE), "load {before}");
    for seen in scan.of(ONE) {
        let (mut out, before_it) = (Vec::new(), seen.before());
        let there = eye.next(&mine, &scan, ONE, before_it, 1000, &mut out);
        let Next::Slice { first, count } = there else { continue };
        let there = first.0..first.0 + u64::from(count);
        assert!(!lost.iter().any(|seq| there.contains(seq)), "load {before}: {lost:?} {there:?}");
    }
    true
}

#[test]
fn whatever_a_writer_does_between_two_loads_a_reader_sees_whole_records_and_true_losses() {
    const WHOLE: usize = 100;
    const HALF: usize = 40;
    let mut happened = 0;
    for prepared in [&[WHOLE, WHOLE, WHOLE][..], &[HALF, HALF, HALF], &[WHOLE, HALF], &[]] {
        for act in [
            &[(0, HALF)][..],
            &[(0, WHOLE)],
            &[(1, WHOLE)],
            &[(0, WHOLE), (0, WHOLE)],
            &[(1, WHOLE), (0, HALF)],
            &[(0, WHOLE), (0, WHOLE), (0, WHOLE), (0, WHOLE)],
            &[(1, HALF), (1, WHOLE), (0, WHOLE), (0, HALF)],
        ] {
            for before in 0..400 {
                for marks in [false, true] {
                    happened += u64::from(read_while(before, prepared, act, marks));
                }
            }
        }
    }
    assert!(happened > 3000, "{happened}");
}

#[test]
fn whatever_the_publisher_stores_between_two_loads_a_cursor_and_a_configuration_are_read_whole() {
    for switches in 1..5 {
        for before in 0..40 {
            let heap = heap();
            let other = view(&heap);
            publisher(&other, Overflow::Reject);
            let cursor = |n: u64| Cursor {
                start: Seq(n),
                acked: Seq(n),
                lost: n,
                dead: n,
                uncertain: n,
                uncertain_open: false,
                unheld: Seq(n),
                heartbeats: n,
            };
            cursor::store(&other, ONE, 1, cursor(100));
            let mine = view(Meddled {
                heap: &heap,
                loads: Cell::new(0),
                before,
                act: RefCell::new(Some(Box::new(|| {
                    for n in 1..=switches {
                        cursor::store(&other, ONE, 1, cursor(n));
                        let policy = [Some(Overflow::Overwrite), None][n as usize % 2];
                        Written { policy, configured_at: n, ..Written::read(&other) }.store(&other);
                    }
                }))),
            });
            let read = cursor::read(&mine, ONE, 1);
            assert!(
                read == cursor(100) || read == cursor(switches),
                "{before} {switches} {read:?}"
            );
            mine.memory.loads.set(0);
            if mine.memory.act.borrow().is_some() {
                let read = Written::read(&mine);
                let policy = [Some(Overflow::Overwrite), None][switches as usize % 2];
                let new = read.policy == policy && read.configured_at == switches;
                let old = read.policy == Some(Overflow::Reject) && read.configured_at == 1;
                assert!(new || old, "{before} {switches} {read:?}");
            }
        }
    }
}

#[test]
fn whatever_a_writer_does_between_two_loads_the_books_never_count_more_than_there_is() {
    for before in 0..600 {
        let heap = heap();
        let other = view(&heap);
        publisher(&other, Overflow::Overwrite);
        other.count_stream(ONE);
        let mut pen = Pen::take_over(&other, ONE, || true).unwrap();
        for _ in 0..4 {
            pen.append(&other, 1, &[&[0; 100]]).unwrap();
        }
        let mine = view(Meddled {
            heap: &heap,
            loads: Cell::new(0),
            before,
            act: RefCell::new(Some(Box::new(|| {
                for _ in 0..4 {
                    pen.append(&other, 1, &[&[0; 100]]).unwrap();
                }
            }))),
        });
        let books = Ledger::of(&mine).subscribers[0].books;
        assert!((4..=8).contains(&books.committed) && books.lost <= 5, "{before} {books:?}");
        assert_eq!(books.committed, books.in_ring + books.lost, "{before}");
        assert!(books.in_ring <= 3, "{before} {books:?}");
    }
}

#[test]
fn a_block_that_is_freed_while_a_writer_looks_is_found_then_or_the_next_time() {
    let mut happened = 0;
    for before in 0..60 {
        let heap = heap();
        let other = view(&heap);
        publisher(&other, Overflow::Reject);
        let mut pen = Pen::take_over(&other, ONE, || true).unwrap();
        for _ in 0..3 {
            pen.append(&other, 1, &[&[0; 100]]).unwrap();
        }
        let mine = view(Meddled {
            heap: &heap,
            loads: Cell::new(0),
            before,
            act: RefCell::new(Some(Box::new(|| {
                assert!(block::free(&other, 0, block::state(&other, 0)));
            }))),
        });
        let first = pen.append(&mine, 1, &[&[0; 100]]).is_ok();
        if mine.memory.act.borrow().is_none() {
            happened += 1;
            assert!(first || pen.append(&mine, 1, &[&[0; 100]]).is_ok(), "load {before}");
        }
    }
    assert!(happened > 10, "{happened}");
}
