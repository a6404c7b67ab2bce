//! A stream's blocks in the order in which it filled them, as one look after another finds them.
//!
//! ```text
//!   start            held
//!   | FREE ... FREE  | SEALED ... OPEN |      the oldest leave at the front, new ones come at the back
//! ```

use super::block::Filled;
use super::word::{Phase, Ticket};
use crate::id::Stream;

/// The blocks of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    /// By ticket, from `start` on.
    all: Vec<Filled>,
    start: usize,
    /// From `start` so many are FREE, and the next one is not.
    free: usize,
}

impl Lane {
    /// A stream's lane among all.
    pub fn of(lanes: &mut Vec<Lane>, stream: Stream) -> &mut Lane {
        let at = usize::from(stream.0);
        if lanes.len() <= at {
            lanes.resize_with(at + 1, Lane::default);
        }
        &mut lanes[at]
    }

    /// All of them.
    pub fn all(&self) -> &[Filled] {
        &self.all[self.start..]
    }

    /// From the first one on that is not FREE.
    pub fn held(&self) -> &[Filled] {
        &self.all()[self.free..]
    }

    /// Puts one behind all others.
    pub fn push(&mut self, new: Filled) {
        self.all.push(new);
        self.pass();
    }

    /// Puts those that were pushed in any order in theirs.
    pub fn sort(&mut self) {
        self.all.sort_unstable_by_key(key);
        self.free = 0;
        self.pass();
    }

    /// Puts one in its place.
    pub fn insert(&mut self, new: Filled) {
        let at = self.all().partition_point(|one| key(one) < key(&new));
        self.all.insert(self.start + at, new);
        if at < self.free {
            self.free = at;
        }
        self.pass();
    }

    /// Puts what is seen of a claim now in the place of what was; false if that is another claim's.
    pub fn replace(&mut self, old: &Filled, new: Filled) -> bool {
        if key(old) != key(&new) {
            return false;
        }
        let Ok(at) = self.all().binary_search_by_key(&key(old), key) else { return false };
        self.all[self.start + at] = new;
        self.free = self.free.min(at);
        self.pass();
        true
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, old: &Filled) {
        let Ok(at) = self.all().binary_search_by_key(&key(old), key) else { return };
        if at == 0 {
            self.start += 1;
        } else {
            self.all.remove(self.start + at);
        }
        if at < self.free {
            self.free -= 1;
        }
        // What left at the front costs a move now and then.
        if self.start > self.all.len() / 2 {
            self.all.drain(..self.start);
            self.start = 0;
        }
        self.pass();
    }

    fn pass(&mut self) {
        let more = self.held().iter().take_while(|one| one.state.phase == Phase::Free).count();
        self.free += more;
    }
}

fn key(filled: &Filled) -> (Ticket, u32) {
    (filled.ticket, filled.block)
}
