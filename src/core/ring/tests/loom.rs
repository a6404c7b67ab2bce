//! The ring's own code under every schedule of two or three threads, and under every value that a load may see by the
//! memory model of C11: small scenarios, with up to three preemptions.
//!
//! Only what threads contend for is modelled, and all of that: no other word that one thread writes means anything to
//! another here. Three memories that are weaker than the ring's must be noticed: without the fence after a commit, with records that
//! can be seen before their block's claim can, and with records that are loaded after the look that should cover them.
//! `PREEMPTIONS=n` sets the bound of all scenarios.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Plain, Ordering};

use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

use super::stage::*;
use crate::id::{Seq, Stream};
use crate::ring::block;
use crate::ring::configuration::Overflow;
use crate::ring::cursor;
use crate::ring::layout::{At, SLEEPING};
use crate::ring::memory::{Heap, Memory, orders};
use crate::ring::pen::{Pen, Refused};
use crate::ring::view::View;
use crate::ring::word::Phase;

const ONE: Stream = Stream(0);
const TWO: Stream = Stream(1);

/// How a memory is weaker than the ring's own.
#[derive(Clone, Copy, PartialEq)]
enum Lack {
    Nothing,
    /// The fence of a commit and of who is about to sleep.
    Fence,
    /// The release of a record's words: W1's claim need not be seen by who sees them.
    Release,
    /// The acquire of a record's words: they may be seen later than the look after them.
    Acquire,
}

struct Modelled {
    words: HashMap<At, AtomicU64>,
    rest: Vec<Plain>,
    lack: Lack,
}

impl Memory for Modelled {
    fn load(&self, at: At) -> u64 {
        match self.words.get(&at) {
            Some(word) => word.load(orders::LOAD),
            None => self.rest[at.0].load(Ordering::SeqCst),
        }
    }

    fn store(&self, at: At, value: u64) {
        match self.words.get(&at) {
            Some(word) => word.store(value, orders::STORE),
            None => self.rest[at.0].store(value, Ordering::SeqCst),
        }
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        match self.words.get(&at) {
            Some(word) => word.compare_exchange(seen, new, orders::SWAP, orders::LOAD).is_ok(),
            None => {
                let word = &self.rest[at.0];
                word.compare_exchange(seen, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            }
        }
    }

    fn fence(&self) {
        if self.lack != Lack::Fence {
            fence(orders::FENCE);
        }
    }

    fn write(&self, at: At, bytes: &[u8]) {
        for (n, word) in bytes.chunks_exact(8).enumerate() {
            let (at, value) = (at.plus(n), u64::from_le_bytes(word.try_into().unwrap()));
            match self.lack {
                Lack::Release => self.words[&at].store(value, Ordering::Relaxed),
                _ => self.store(at, value),
            }
        }
    }

    fn read(&self, at: At, bytes: usize, out: &mut Vec<u8>) {
        for n in 0..bytes / 8 {
            let value = match self.lack {
                Lack::Acquire => self.words[&at.plus(n)].load(Ordering::Relaxed),
                _ => self.load(at.plus(n)),
            };
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

type Shared = Arc<View<Modelled>>;

/// Of a ring that is prepared, these words are contended for.
fn share(view: &View<Heap>, contended: &[At], lack: Lack) -> Shared {
    let load = |at: At| view.load(at);
    let words = contended.iter().map(|at| (*at, AtomicU64::new(load(*at)))).collect();
    let rest = (0..view.layout.words()).map(|at| Plain::new(load(At(at)))).collect();
    let memory = Modelled { words, rest, lack };
    Arc::new(View { memory, layout: view.layout, region: view.region })
}

/// Runs a scenario under every schedule of three preemptions, and says how many there were.
fn explore(name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    explore_to(3, name, scenario);
}

fn explore_to(bound: usize, name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let wanted = std::env::var("PREEMPTIONS").ok().and_then(|text| text.parse().ok());
    let bound = wanted.unwrap_or(bound);
    let schedules = Arc::new(Plain::new(0));
    let counted = schedules.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 100_000;
    let started = std::time::Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    let (count, seconds) = (schedules.load(Ordering::Relaxed), started.elapsed().as_secs_f32());
    println!("row 1: schedules={count}, of={name}, preemptions_max={bound}, run_s={seconds:.1}");
    assert!(count > 1, "one schedule proves nothing");
}

fn pen<M: Memory>(view: &View<M>, stream: Stream) -> Pen {
    Pen::take_over(view, stream, || true).expect("nothing here is broken")
}

fn filled(view: &View<Heap>, stream: Stream, events: u64) -> Pen {
    let mut pen = pen(view, stream);
    for _ in 0..events {
        write(view, &mut pen).unwrap();
    }
    pen
}

fn told(all: &[(Stream, u64)]) -> BTreeMap<u16, u64> {
    all.iter().map(|(stream, last)| (stream.0, *last)).collect()
}

/// A writer commits to its OPEN block while a reader looks, and copies.
fn commit_and_copy() {
    let heap = prepare(2, 1, Overflow::Reject);
    let mut pen = filled(&heap, ONE, 1);
    let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
    let writer = thread::spawn({
        let view = view.clone();
        move || write(&view, &mut pen).unwrap()
    });
    let mut read = Read::default();
    read.look(&view);
    assert!(read.upto[&0] >= 1 && read.lost.is_empty());
    let last = writer.join().unwrap();
    read.finish(&view, &told(&[(ONE, last.0)]));
    assert!(read.lost.is_empty());
}

#[test]
fn a_reader_of_an_open_block_sees_what_is_committed_and_no_more() {
    explore("commit and copy", commit_and_copy);
}

/// A writer commits two events at once, behind another one's or into the next block, while a reader looks.
#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    for (before, blocks) in [(0, 1), (1, 2)] {
        explore(&format!("a batch in block {blocks}"), move || {
            let heap = prepare(2, 1, Overflow::Reject);
            let mut pen = filled(&heap, ONE, before);
            let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
            let writer = thread::spawn({
                let view = view.clone();
                move || write_batch(&view, &mut pen, 2).unwrap()
            });
            let mut read = Read::default();
            read.look(&view);
            let upto = read.upto.get(&0).copied().unwrap_or_default();
            assert!(upto == before || upto == before + 2, "a part of it: {upto}");
            let last = writer.join().unwrap();
            read.finish(&view, &told(&[(ONE, last.0)]));
            assert!(read.lost.is_empty());
        });
    }
}

/// A writer seals its block and claims the next while a reader looks.
#[test]
fn a_reader_takes_nothing_for_lost_while_its_writer_is_between_two_blocks() {
    explore("seal and claim", || {
        let heap = prepare(2, 1, Overflow::Reject);
        let mut pen = filled(&heap, ONE, 2);
        let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
        let writer = thread::spawn({
            let view = view.clone();
            move || write(&view, &mut pen).unwrap()
        });
        let mut read = Read::default();
        read.look(&view);
        let last = writer.join().unwrap();
        read.finish(&view, &told(&[(ONE, last.0)]));
        assert!(read.lost.is_empty(), "nothing is lost under reject");
    });
}

/// Two writers want the one block that is FREE.
#[test]
fn of_two_writers_that_want_one_block_one_gets_it_and_both_events_are_there_if_both_were_told() {
    for blocks in [2, 3] {
        explore(&format!("two claims and {blocks} blocks"), move || {
            let heap = prepare(blocks, 2, Overflow::Reject);
            let pens = [ONE, TWO].map(|stream| pen(&heap, stream));
            // With two blocks one of them is taken already.
            let mut third = None;
            if blocks == 2 {
                block::claim(&heap, 0, block::state(&heap, 0), ONE).unwrap();
                third = Some(());
            }
            let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
            let writers = pens.map(|mut pen| {
                let view = view.clone();
                thread::spawn(move || (pen.stream(), write(&view, &mut pen)))
            });
            let done: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
            let stored: Vec<_> =
                done.iter().filter_map(|(s, seq)| Some((*s, seq.as_ref().ok()?.0))).collect();
            assert_eq!(stored.len(), if third.is_some() { 1 } else { 2 });
            Read::default().finish(&view, &told(&stored));
        });
    }
}

/// Under `overwrite` a writer takes the sealed block that a reader is copying.
fn take_and_copy(lack: Lack) {
    let heap = prepare(2, 2, Overflow::Overwrite);
    filled(&heap, ONE, 3);
    let mut taker = pen(&heap, TWO);
    let view = share(&heap, &contended(&heap.layout), lack);
    let writer = thread::spawn({
        let view = view.clone();
        move || write(&view, &mut taker).unwrap()
    });
    let mut read = Read::default();
    read.look(&view);
    let last = writer.join().unwrap();
    read.finish(&view, &told(&[(ONE, 3), (TWO, last.0)]));
}

#[test]
fn a_copy_of_a_block_that_is_taken_meanwhile_is_whole_or_void() {
    explore("take and copy", || take_and_copy(Lack::Nothing));
}

#[test]
#[should_panic(expected = "fails its check")]
fn control_records_that_are_seen_before_their_claim_are_noticed() {
    explore("control: no release", || take_and_copy(Lack::Release));
}

#[test]
#[should_panic(expected = "fails its check")]
fn control_records_that_are_loaded_after_the_look_that_covers_them_are_noticed() {
    explore("control: no acquire", || take_and_copy(Lack::Acquire));
}

/// A writer commits while the publisher is about to sleep: one of them notices the other.
fn commit_and_sleep(lack: Lack) {
    let heap = prepare(2, 1, Overflow::Reject);
    let mut pen = filled(&heap, ONE, 1);
    let view = share(&heap, &contended(&heap.layout), lack);
    let writer = thread::spawn({
        let view = view.clone();
        move || {
            let event = event(ONE, 2, 0);
            pen.append(&view, super::world::NOW, &[&event]).unwrap().wake
        }
    });
    // As `Bell::arm` does it, then one more look.
    view.store(SLEEPING, 1);
    view.memory.fence();
    let mut read = Read::default();
    read.look(&view);
    let woken = writer.join().unwrap();
    assert!(woken || read.upto[&0] == 2, "it sleeps, and nobody wakes it");
}

#[test]
fn a_publisher_that_goes_to_sleep_sees_the_event_or_is_woken() {
    explore("commit and sleep", || commit_and_sleep(Lack::Nothing));
}

#[test]
#[should_panic(expected = "nobody wakes it")]
fn control_a_commit_without_its_fence_is_noticed() {
    explore("control: no fence", || commit_and_sleep(Lack::Fence));
}

/// A writer leaves its slot while another one wants it.
#[test]
fn who_takes_a_slot_over_goes_on_in_its_seq_and_nobody_writes_beside_him() {
    explore("leave and take over", || {
        let heap = prepare(2, 1, Overflow::Reject);
        let mut first = pen(&heap, ONE);
        let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
        let held = hold(&*view, ONE).map(std::mem::forget).is_some();
        assert!(held);
        let leaving = thread::spawn({
            let view = view.clone();
            move || {
                let last = write(&view, &mut first).unwrap();
                release(&view, ONE);
                last
            }
        });
        let taken = hold(&*view, ONE).map(|_held| {
            let mut pen = pen(&*view, ONE);
            assert_eq!(pen.last(), Seq(1), "all that the first one committed is taken over");
            write(&view, &mut pen).unwrap()
        });
        let last = taken.unwrap_or_default().max(leaving.join().unwrap());
        Read::default().finish(&view, &told(&[(ONE, last.0)]));
    });
}

/// A claim whose writer died before it began: the publisher and a new writer want to return it.
#[test]
fn a_claim_that_was_never_begun_is_returned_once_whoever_takes_the_slot() {
    explore("return a claim", || {
        let heap = prepare(2, 1, Overflow::Reject);
        block::claim(&heap, 0, block::state(&heap, 0), ONE).unwrap();
        let mut hand = publisher(&heap, Overflow::Reject);
        let scan = hand.scan(&heap);
        hand.tend(&heap, &scan, |_| None::<()>);
        let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
        let writer = thread::spawn({
            let view = view.clone();
            move || {
                let _held = hold(&*view, ONE)?;
                let mut pen = pen(&*view, ONE);
                Some(write(&view, &mut pen).unwrap())
            }
        });
        let scan = hand.scan(&view);
        hand.tend(&view, &scan, |stream| hold(&*view, stream));
        let wrote = writer.join().unwrap();
        let scan = hand.scan(&view);
        hand.tend(&view, &scan, |stream| hold(&*view, stream));
        let scan = hand.scan(&view);
        assert!(scan.unbegun.is_empty(), "a claim is kept for nothing");
        assert_eq!(scan.blocks().free, if wrote.is_some() { 1 } else { 2 });
        Read::default().finish(&view, &told(&[(ONE, wrote.unwrap_or_default().0)]));
    });
}

/// The publisher frees a block while a writer finds none.
#[test]
fn a_writer_that_was_refused_finds_the_block_that_was_freed_meanwhile() {
    explore("free and claim", || {
        let heap = prepare(2, 2, Overflow::Reject);
        filled(&heap, ONE, 3);
        let mut refused = pen(&heap, TWO);
        let mut hand = publisher(&heap, Overflow::Reject);
        let scan = hand.scan(&heap);
        let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
        let writer = thread::spawn({
            let view = view.clone();
            move || {
                let first = write(&view, &mut refused);
                (refused, first)
            }
        });
        cursor::store(&view, ONE, 1, acked(2));
        assert_eq!(hand.free(&view, &scan), 1);
        let (mut pen, first) = writer.join().unwrap();
        if let Err(error) = first {
            assert!(matches!(error, Refused::Full { .. }), "{error}");
            assert_eq!(write(&view, &mut pen), Ok(Seq(1)), "refused for ever");
        }
        let scan = hand.scan(&view);
        let whole = scan.filled().all(|f| f.state.phase == Phase::Open);
        assert!(whole && scan.blocks().free == 0);
    });
}

/// A block is freed only behind the cursor: who reads the cursor after the claim sees what was acknowledged.
#[test]
fn a_block_is_claimed_again_only_when_the_cursor_that_freed_it_can_be_seen() {
    explore("cursor and free and claim", || {
        let heap = prepare(2, 2, Overflow::Reject);
        filled(&heap, ONE, 3);
        let mut other = pen(&heap, TWO);
        let mut hand = publisher(&heap, Overflow::Reject);
        let scan = Read::default().look(&heap);
        let mut words = contended(&heap.layout);
        words.extend(cursor_words(&heap.layout, ONE));
        let view = share(&heap, &words, Lack::Nothing);
        let writer = thread::spawn({
            let view = view.clone();
            move || {
                if write(&view, &mut other).is_ok() {
                    assert_eq!(cursor::read(&view, ONE, 1), acked(2), "free, not acknowledged");
                }
            }
        });
        cursor::store(&view, ONE, 1, acked(2));
        hand.free(&view, &scan);
        writer.join().unwrap();
    });
}

/// A cursor is switched twice while somebody reads it.
#[test]
fn a_cursor_is_read_whole_however_often_it_is_switched() {
    explore_to(2, "switch and read", || {
        let heap = prepare(2, 1, Overflow::Reject);
        cursor::store(&heap, ONE, 1, whole(7));
        let view = share(&heap, &cursor_words(&heap.layout, ONE), Lack::Nothing);
        let publisher = thread::spawn({
            let view = view.clone();
            move || (8..10).for_each(|n| cursor::store(&view, ONE, 1, whole(n)))
        });
        let read = cursor::read(&view, ONE, 1);
        assert_eq!(read, whole(read.acked.0));
        publisher.join().unwrap();
        assert_eq!(cursor::read(&view, ONE, 1), whole(9));
    });
}

/// Two writers and a reader.
#[test]
fn two_writers_and_a_reader_agree_on_what_was_committed() {
    explore("two writers and a reader", || {
        let heap = prepare(3, 2, Overflow::Overwrite);
        let pens = [filled(&heap, ONE, 3), filled(&heap, TWO, 1)];
        let view = share(&heap, &contended(&heap.layout), Lack::Nothing);
        let writers = pens.map(|mut pen| {
            let view = view.clone();
            thread::spawn(move || (pen.stream(), write(&view, &mut pen).unwrap().0))
        });
        let mut read = Read::default();
        read.look(&view);
        let stored: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        read.finish(&view, &told(&stored));
    });
}
