//! Random schedules of the ring's own code: four writers that die, leave and take over two slots, a publisher that hands
//! the lease to the next, or dies with it, and somebody who only looks. By chance, and by PCT: priorities that change at
//! three points, which finds what needs few but well placed switches.
//!
//! `COUNT=n` sets the number of schedules, `SEED=n` repeats a run. A failure prints its schedule. A control, in which the
//! locks do not exclude, must be noticed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicU64 as Plain;
use std::sync::{Arc, Mutex};

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner, thread};

use super::stage::*;
use super::world::NOW;
use crate::id::{Seq, Stream};
use crate::record::Slice;
use crate::ring::configuration::Overflow;
use crate::ring::cursor::{self, Cursor};
use crate::ring::eye::{Eye, Next};
use crate::ring::layout::{At, Layout, configuration};
use crate::ring::memory::{Heap, Memory};
use crate::ring::pen::{Pen, Refused};
use crate::ring::scan::Scan;
use crate::ring::view::View;
use crate::ring::word::{BlockState, Phase};

const BLOCKS: u32 = 6;
const SLOTS: u16 = 2;
const WRITERS: u64 = 4;
/// The lease, as a lock after those of the slots.
const LEASE: Stream = Stream(SLOTS);

/// What one thread has of the memory: others come before each of its accesses, and it may die before one.
struct Scheduled {
    heap: Arc<Heap>,
    /// Accesses until it dies.
    left: Cell<u64>,
    /// Read before each access, for nothing but that another thread may come then.
    turn: Arc<AtomicU64>,
    layout: Layout,
}

struct Died;

impl Scheduled {
    fn step(&self, at: At) {
        // Nobody writes the configuration but who holds the lease: no need to stop at each word of a name.
        let copies = configuration().copy(0).0..configuration().copy(0).0 + 512;
        // Who has died makes no steps: what it held the kernel gives back.
        if !copies.contains(&at.0) && !std::thread::panicking() {
            self.turn.load(Ordering::SeqCst);
        }
    }

    fn die(&self, at: At) {
        let left = self.left.get();
        if left == 0 && !is_lock(at) && !std::thread::panicking() {
            resume_unwind(Box::new(Died));
        }
        self.left.set(left.saturating_sub(1));
    }
}

impl Memory for Scheduled {
    fn load(&self, at: At) -> u64 {
        self.step(at);
        self.heap.load(at)
    }

    fn store(&self, at: At, value: u64) {
        self.step(at);
        self.die(at);
        self.heap.store(at, value);
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        self.step(at);
        self.die(at);
        let done = self.heap.swap(at, seen, new);
        if done && (0..BLOCKS).any(|block| self.layout.block(block).state() == at) {
            let (seen, new) = (BlockState::from(seen), BlockState::from(new));
            let same = seen.slot == new.slot && seen.generation == new.generation;
            assert!(seen.phase != Phase::Open || same, "an OPEN block changed its slot");
        }
        done
    }

    fn fence(&self) {
        self.heap.fence();
    }
}

/// By cursor (1 the subscriber's, 0 live's), stream and seq.
type Key = (usize, u16, u64);

/// Of some seqs.
type Fates = Vec<(u64, Fate)>;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered(u64),
    Lost,
}

/// What the test knows, unknown to the ring.
#[derive(Default)]
struct Notes {
    attempts: u64,
    /// By attempt the stream and the seqs that its one commit was for.
    batches: BTreeMap<u64, (u16, Range<u64>)>,
    deaths: u64,
    /// By stream and seq, what was stored when a writer was told so.
    told: BTreeMap<(u16, u64), u64>,
    /// What a cursor that is about to be stored means, until it is seen.
    intended: BTreeMap<(usize, u16), (Seq, Fates)>,
    fates: BTreeMap<Key, Fate>,
}

impl Notes {
    /// If a cursor came to where it was to come, that is what happened.
    fn settle(&mut self, index: usize, stream: Stream, acked: Seq) {
        let Some((to, fates)) = self.intended.remove(&(index, stream.0)) else { return };
        if to != acked {
            return;
        }
        for (seq, fate) in fates {
            let before = self.fates.insert((index, stream.0, seq), fate);
            assert_eq!(before, None, "passed twice: {stream} {seq}");
        }
    }
}

type Mine = View<Scheduled>;

/// What all threads share.
#[derive(Clone)]
struct Play {
    heap: Arc<Heap>,
    layout: Layout,
    turn: Arc<AtomicU64>,
    notes: Arc<Mutex<Notes>>,
    policy: Overflow,
    /// The locks exclude.
    sound: bool,
}

impl Play {
    fn view(&self, dies: bool) -> Mine {
        let left = if dies { thread_rng().gen_range(0..120) } else { u64::MAX };
        let memory = Scheduled {
            heap: self.heap.clone(),
            left: Cell::new(left),
            turn: self.turn.clone(),
            layout: self.layout,
        };
        View { memory, layout: self.layout, region: crate::id::Region(7) }
    }

    /// Does something that may die on the way. What it holds is given back, as the kernel does it.
    fn perhaps_dying(&self, act: impl FnOnce(&Mine)) {
        let view = self.view(thread_rng().gen_bool(0.4));
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| act(&view))) {
            if !cause.is::<Died>() {
                resume_unwind(cause);
            }
            self.notes.lock().unwrap().deaths += 1;
        }
    }

    /// A writer: takes a slot, stores some events, leaves or dies.
    fn write(&self, view: &Mine) {
        let held = (0..SLOTS).find_map(|slot| {
            let held = hold(view, Stream(slot));
            if self.sound { held.map(|held| (slot, Some(held))) } else { Some((slot, held)) }
        });
        let Some((slot, _held)) = held else { return };
        let mut pen = Pen::take_over(view, Stream(slot), || true).expect("nothing here is broken");
        for _ in 0..thread_rng().gen_range(1..5) {
            let first = pen.last().next();
            // Two fill a block, and are committed as one.
            let seqs = first.0..first.0 + thread_rng().gen_range(1..3u64);
            let attempt = {
                let mut notes = self.notes.lock().unwrap();
                notes.attempts += 1;
                let attempt = notes.attempts;
                notes.batches.insert(attempt, (slot, seqs.clone()));
                attempt
            };
            let events: Vec<_> =
                seqs.clone().map(|seq| event(Stream(slot), seq, attempt)).collect();
            let slices: Vec<&[u8]> = events.iter().map(|event| &event[..]).collect();
            match pen.append(view, NOW, &slices) {
                Ok(wrote) => {
                    assert_eq!(wrote.committed.id().seq, first);
                    assert_eq!(wrote.committed.count(), slices.len() as u64);
                    let told = &mut self.notes.lock().unwrap().told;
                    for (seq, event) in seqs.zip(events) {
                        let before = told.insert((slot, seq), u64::from_le_bytes(event));
                        assert_eq!(before, None, "two writers were told of one seq");
                    }
                }
                Err(Refused::Full { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A publisher: some turns, then it leaves or dies.
    fn publish(&self, view: &Mine, turns: u64) {
        let Some(_lease) = hold(view, LEASE) else { return };
        let mut hand = publisher(view, self.policy);
        for _ in 0..turns {
            let scan = hand.scan(view);
            hand.tend(view, &scan, |stream| hold(view, stream));
            for stream in scan.streams() {
                for index in [1, 0] {
                    self.follow(view, &scan, stream, index);
                }
            }
            hand.free(view, &scan);
        }
    }

    fn follow(&self, view: &Mine, scan: &Scan, stream: Stream, index: usize) {
        loop {
            let at = cursor::read(view, stream, index);
            self.notes.lock().unwrap().settle(index, stream, at.acked);
            let mut out = Vec::new();
            let (to, fates) = match Eye::default().next(view, scan, stream, at.acked, 40, &mut out)
            {
                Next::Slice { first, count } => {
                    let records = Slice::new(view.seed(stream), first, &out);
                    let fates: Fates = records.map(|r| delivered(stream, r)).collect();
                    assert_eq!(fates.len(), count as usize);
                    (Seq(at.acked.0 + u64::from(count)), fates)
                }
                Next::Lost { to, .. } => {
                    let seqs = at.acked.0 + 1..=to.0;
                    (to, seqs.map(|seq| (seq, Fate::Lost)).collect())
                }
                Next::Nothing | Next::Void => return,
                Next::Uncertain { .. } => panic!("a committed record fails its check"),
            };
            let lost = matches!(fates[0].1, Fate::Lost);
            let new = if lost { at.lose(to) } else { Cursor { acked: to, ..at } };
            self.notes.lock().unwrap().intended.insert((index, stream.0), (to, fates));
            cursor::store(view, stream, index, new);
            self.notes.lock().unwrap().settle(index, stream, to);
        }
    }

    /// When all are gone: everything is delivered or counted, once, as it was told; and no block is kept for nothing.
    fn finish(&self, sums: &Sums) {
        let view = self.view(false);
        // The next holder of a slot settles what the last one left.
        for slot in 0..SLOTS {
            Pen::take_over(&view, Stream(slot), || true).expect("nothing here is broken");
        }
        for _ in 0..4 {
            self.publish(&view, 1);
        }
        let notes = self.notes.lock().unwrap();
        for index in [1, 0] {
            for stream in [Stream(0), Stream(1)] {
                let pen = Pen::take_over(&view, stream, || true).expect("nothing here is broken");
                let at = cursor::read(&view, stream, index);
                assert_eq!(at.acked, pen.last(), "all of stream {stream} is passed");
                let fate = |seq| notes.fates.get(&(index, stream.0, seq)).copied();
                let all: Vec<_> = (1..=at.acked.0).map(fate).collect();
                assert!(all.iter().all(Option::is_some), "a seq without a fate: {all:?}");
                let lost = all.iter().filter(|fate| **fate == Some(Fate::Lost)).count() as u64;
                assert_eq!((at.lost, at.delivered()), (lost, at.acked.0 - lost));
                let may = self.policy == Overflow::Overwrite || index == 0;
                assert!(may || lost == 0, "lost under reject");
            }
        }
        for ((stream, seq), content) in &notes.told {
            for index in [1, 0] {
                let fate = notes.fates.get(&(index, *stream, *seq));
                let as_told = [Some(&Fate::Lost), Some(&Fate::Delivered(*content))];
                assert!(as_told.contains(&fate), "told {content:x}, {fate:x?}");
            }
        }
        for ((index, stream, _), fate) in &notes.fates {
            let Fate::Delivered(content) = fate else { continue };
            let (of, seqs) = &notes.batches[&attempt_of(*content)];
            assert_eq!(of, stream);
            for seq in seqs.clone() {
                let whole = match notes.fates.get(&(*index, *stream, seq)) {
                    Some(Fate::Delivered(other)) => attempt_of(*other) == attempt_of(*content),
                    other => other == Some(&Fate::Lost),
                };
                assert!(whole, "a part of the batch {seqs:?} of stream {stream}");
            }
        }
        let lost = notes.fates.values().filter(|fate| **fate == Fate::Lost).count();
        for (sum, n) in sums.iter().zip([notes.told.len() as u64, notes.deaths, lost as u64]) {
            sum.fetch_add(n, Ordering::Relaxed);
        }
        drop(notes);
        // What was sealed just now, behind a record that its writer did not commit, the next look frees.
        self.publish(&view, 1);
        let scan = Read::default().look(&view);
        assert_eq!(scan.blocks().sealed, 0, "all of it is acknowledged");
        assert!(scan.unbegun.is_empty(), "a claim that was never begun is kept");
    }
}

fn delivered(
    stream: Stream,
    record: Result<crate::record::Record<'_>, crate::record::Torn>,
) -> (u64, Fate) {
    let record = record.expect("a checked record");
    assert!(is_event(stream, record.seq, record.bytes));
    let content = record.bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    (record.seq.0, Fate::Delivered(content))
}

fn play(sound: bool, sums: &Sums) {
    let policy = match thread_rng().gen_bool(0.5) {
        true => Overflow::Reject,
        false => Overflow::Overwrite,
    };
    let View { memory, layout, .. } = prepare(BLOCKS, SLOTS, policy);
    let turn = Arc::new(AtomicU64::new(0));
    let notes = Arc::default();
    let play = Play { heap: Arc::new(memory), layout, turn, notes, policy, sound };
    let mut threads = Vec::new();
    for _ in 0..WRITERS {
        let play = play.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                play.perhaps_dying(|view| play.write(view));
            }
        }));
    }
    for _ in 0..2 {
        let play = play.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                play.perhaps_dying(|view| play.publish(view, 3));
            }
        }));
    }
    let looker = play.clone();
    threads.push(thread::spawn(move || {
        let (view, mut read) = (looker.view(false), Read::default());
        (0..3).for_each(|_| drop(read.look(&view)));
    }));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    play.finish(sums);
}

/// Events told, deaths, and events lost by either cursor.
type Sums = [Plain; 3];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(kind: &str, scheduler: impl Scheduler + 'static, sound: bool) {
    let mut config = Config::new();
    config.stack_size = 0x40000;
    let started = std::time::Instant::now();
    let sums: Arc<Sums> = Arc::default();
    let mine = sums.clone();
    let count = Runner::new(scheduler, config).run(move || play(sound, &mine));
    let [told, deaths, lost] = [0, 1, 2].map(|n| sums[n].load(Ordering::Relaxed));
    let seconds = started.elapsed().as_secs_f32();
    println!(
        "row 2: schedules={count}, by={kind}, told={told}, deaths={deaths}, by_a_cursor_lost={lost}, run_s={seconds:.1}"
    );
    assert!(told > 0 && deaths > 0 && lost > 0, "all of it happens");
}

#[test]
fn in_random_schedules_of_writers_publishers_and_deaths_every_event_is_delivered_or_counted_once() {
    let count = number("COUNT").unwrap_or(4000) as usize;
    let seed = number("SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    run("random", RandomScheduler::new_from_seed(seed, count.div_ceil(2)), true);
    run("pct", PctScheduler::new_from_seed(seed, 3, count.div_ceil(2)), true);
}

#[test]
#[should_panic(expected = "told of one seq")]
fn control_locks_that_do_not_exclude_are_noticed() {
    run("control", RandomScheduler::new_from_seed(1, 400), false);
}
