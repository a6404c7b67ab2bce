//! Memory that several processes share, as 64-bit words.
//!
//! The ring's algorithm is written over this trait, so that the mapped file, a heap in a test, a model checker and a
//! memory that dies before every step run the same lines. No memory order is spelled above it: a load acquires, a
//! store releases, a swap does both. Records are copied by words, so no other process can cause a data race; a copy
//! that was overtaken is noticed by the block's generation, since what a release store showed makes all that was
//! before it visible, too.

use super::layout::At;

/// Words that others read and write at the same time.
pub trait Memory {
    /// Reads a word; what was stored before it by who stored it is visible, too.
    fn load(&self, at: At) -> u64;

    /// Writes a word, after all that was written before it.
    fn store(&self, at: At, value: u64);

    /// Writes `new` if the word is `seen`; says whether it was.
    fn swap(&self, at: At, seen: u64, new: u64) -> bool;

    /// All before it is before all after it, in the eyes of everybody who has a fence, too.
    fn fence(&self);

    /// Raises a word by one; the new value.
    fn raise(&self, at: At) -> u64 {
        self.add(at, 1)
    }

    /// Raises a word; the new value.
    fn add(&self, at: At, by: u64) -> u64 {
        loop {
            let seen = self.load(at);
            let new = seen.wrapping_add(by);
            if self.swap(at, seen, new) {
                return new;
            }
        }
    }

    /// Writes `bytes`, a multiple of 8, word by word.
    fn write(&self, at: At, bytes: &[u8]) {
        debug_assert!(bytes.len() % 8 == 0);
        for (n, word) in bytes.chunks_exact(8).enumerate() {
            let mut le = [0; 8];
            le.copy_from_slice(word);
            self.store(at.plus(n), u64::from_le_bytes(le));
        }
    }

    /// Appends `bytes` bytes, a multiple of 8, to `out`, word by word.
    fn read(&self, at: At, bytes: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + bytes, 0);
        for (n, word) in out[start..].chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&self.load(at.plus(n)).to_le_bytes());
        }
    }
}

impl<M: Memory + ?Sized> Memory for &M {
    fn load(&self, at: At) -> u64 {
        (**self).load(at)
    }

    fn store(&self, at: At, value: u64) {
        (**self).store(at, value);
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        (**self).swap(at, seen, new)
    }

    fn fence(&self) {
        (**self).fence();
    }
}

/// Memory of one process, for tests.
pub struct Heap {
    words: Vec<std::sync::atomic::AtomicU64>,
}

impl Heap {
    /// So many words, all 0.
    pub fn new(words: usize) -> Heap {
        Heap { words: (0..words).map(|_| Default::default()).collect() }
    }
}

impl Memory for Heap {
    fn load(&self, at: At) -> u64 {
        load(&self.words, at)
    }

    fn store(&self, at: At, value: u64) {
        store(&self.words, at, value);
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        swap(&self.words, at, seen, new)
    }

    fn fence(&self) {
        fence();
    }
}

pub(super) use words::{fence, load, store, swap};

/// The only place where memory orders are named: those of the four operations, for the models, too.
pub(super) mod orders {
    use std::sync::atomic::Ordering;

    pub const LOAD: Ordering = Ordering::Acquire;
    pub const STORE: Ordering = Ordering::Release;
    pub const SWAP: Ordering = Ordering::AcqRel;
    pub const FENCE: Ordering = Ordering::SeqCst;
}

/// The four operations on atomics.
mod words {
    use super::{At, orders};
    use std::sync::atomic::{self, AtomicU64};

    pub(crate) fn load(words: &[AtomicU64], at: At) -> u64 {
        words[at.0].load(orders::LOAD)
    }

    pub(crate) fn store(words: &[AtomicU64], at: At, value: u64) {
        words[at.0].store(value, orders::STORE);
    }

    pub(crate) fn swap(words: &[AtomicU64], at: At, seen: u64, new: u64) -> bool {
        words[at.0].compare_exchange(seen, new, orders::SWAP, orders::LOAD).is_ok()
    }

    pub(crate) fn fence() {
        atomic::fence(orders::FENCE);
    }
}
