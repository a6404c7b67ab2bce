//! A memory that is in no hurry, dies by its own hand, or forgets.

use std::cell::Cell;

use rustix::process::{Signal, getpid, kill_process};
use sparkngin_core::ring::{At, Mapping, Memory};

/// A small generator of numbers; the same seed gives the same.
pub struct Random(Cell<u64>);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(Cell::new(mix(seed) | 1))
    }

    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        mix(x)
    }

    /// Once in so many.
    pub fn once_in(&self, odds: u64) -> bool {
        self.next() % odds == 0
    }

    pub fn below(&self, end: u64) -> u64 {
        self.next() % end
    }
}

pub fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// The mapped ring, through unsteady hands.
pub struct Unsteady {
    pub mapping: Mapping,
    pub random: Random,
    /// Words from here on are records.
    pub data: usize,
    /// One store in so many is not done; 0: none.
    pub forget: u64,
    /// Dies after one access in so many; 0: never.
    pub die: u64,
    /// So much less often before it reads: a writer that looks for a block would die and dawdle there most of the time.
    pub calm: u64,
}

impl Unsteady {
    fn step(&self, at: At, calm: u64) {
        if self.die == 0 {
            return;
        }
        let odds = if at.0 >= self.data { self.die * 64 } else { self.die * calm };
        let drawn = self.random.below(odds);
        if drawn == 0 {
            let _ = kill_process(getpid(), Signal::KILL);
        } else if drawn < 8 {
            // Dawdles, so that others' steps and the torturer's signals fall in between.
            std::thread::yield_now();
        }
    }
}

impl Memory for Unsteady {
    fn load(&self, at: At) -> u64 {
        self.step(at, self.calm);
        self.mapping.load(at)
    }

    fn store(&self, at: At, value: u64) {
        self.step(at, 1);
        if self.forget == 0 || !self.random.once_in(self.forget) {
            self.mapping.store(at, value);
        }
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        self.step(at, 1);
        self.mapping.swap(at, seen, new)
    }

    fn fence(&self) {
        self.mapping.fence();
    }
}
