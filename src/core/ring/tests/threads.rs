//! Real threads over one heap: what `tools/sanitize` runs under miri and the sanitizers, which look at each access.
//! `COUNT=n` runs it n times, `SEED=n` is the first run's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::stage::*;
use crate::id::{Seq, Stream};
use crate::ring::configuration::Overflow;
use crate::ring::cursor::{self, Cursor};
use crate::ring::eye::{Eye, Next};
use crate::ring::memory::{Heap, Memory};
use crate::ring::pen::{Pen, Refused};
use crate::ring::view::View;

const WRITERS: u16 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Stores so many events, and now and then leaves its slot to take one again.
fn write_all(view: &View<Heap>, count: u64, seed: u64, told: &AtomicU64) {
    let mut stored = 0;
    while stored < count {
        let Some((stream, _held)) =
            (0..WRITERS).find_map(|slot| Some((Stream(slot), hold(view, Stream(slot))?)))
        else {
            thread::yield_now();
            continue;
        };
        let mut pen = Pen::take_over(view, stream, || true).expect("nothing here is broken");
        for _ in 0..1 + (seed + stored) % 7 {
            match write(view, &mut pen) {
                Ok(_) => stored += 1,
                Err(Refused::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    told.fetch_add(stored, Ordering::Relaxed);
}

/// Delivers to the one name until the writers are gone and nothing is left; how many it delivered and lost.
fn publish(view: &View<Heap>, policy: Overflow, done: &AtomicBool) -> (u64, u64) {
    let (mut hand, eye) = (publisher(view, policy), Eye::default());
    loop {
        let last = done.load(Ordering::Acquire);
        let (scan, mut moved) = (hand.scan(view), false);
        hand.tend(view, &scan, |stream| hold(view, stream));
        for stream in scan.streams() {
            let at = cursor::read(view, stream, 1);
            let new = match eye.next(view, &scan, stream, at.acked, 100, &mut Vec::new()) {
                Next::Slice { count, .. } => {
                    Cursor { acked: Seq(at.acked.0 + u64::from(count)), ..at }
                }
                Next::Lost { to, .. } => at.lose(to),
                Next::Nothing | Next::Void => continue,
                Next::Uncertain { .. } => panic!("a committed record fails its check"),
            };
            cursor::store(view, stream, 1, new);
            moved = true;
        }
        moved |= hand.free(view, &scan) > 0;
        if last && !moved {
            let cursors = || scan.streams().map(|stream| cursor::read(view, stream, 1));
            return (cursors().map(|c| c.delivered()).sum(), cursors().map(|c| c.lost).sum());
        }
        thread::yield_now();
    }
}

#[test]
fn threads_that_write_publish_and_look_at_one_heap_lose_and_tear_nothing() {
    let seed = number("SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    for seed in seed..seed + number("COUNT").unwrap_or(1) {
        // Under miri an event takes seconds.
        let (blocks, count) = if cfg!(miri) { (3, 2) } else { (5, 300) };
        run(seed, blocks, count);
    }
}

/// Three writers of so many events each, in a ring of so many blocks, under both policies.
fn run(seed: u64, blocks: u32, count: u64) {
    let mut sums = [0; 3];
    for policy in [Overflow::Reject, Overflow::Overwrite] {
        let View { memory, layout, region } = prepare(blocks, WRITERS, policy);
        let view = Arc::new(View { memory, layout, region });
        let (told, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let (delivered, lost) = thread::scope(|threads| {
            let publisher = threads.spawn(|| publish(&view, policy, &done));
            let looker = threads.spawn(|| {
                let mut read = Read::default();
                while !done.load(Ordering::Acquire) {
                    read.look(&view);
                    view.memory.fence();
                    thread::yield_now();
                }
            });
            let write = |n| {
                threads.spawn({
                    let (view, told) = (&view, &told);
                    move || write_all(view, count, seed + n, told)
                })
            };
            [write(0), write(1), write(2)].into_iter().for_each(|w| w.join().unwrap());
            done.store(true, Ordering::Release);
            looker.join().unwrap();
            publisher.join().unwrap()
        });
        let told = told.into_inner();
        sums = [sums[0] + told, sums[1] + delivered, sums[2] + lost];
        assert_eq!(delivered + lost, told);
        assert!(lost == 0 || policy == Overflow::Overwrite, "lost under reject");
    }
    let [told, delivered, lost] = sums;
    println!("row 3: committed={told}, delivered={delivered}, overwritten={lost}");
}
