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
        let (Ok(at) | Err(at)) = self.all().binary_search_by_key(&key(&new), key);
        self.all.insert(self.start + at, new);
        self.free = self.free.min(at);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::id::Seq;
    use crate::ring::word::{BlockState, Generation};
    use proptest::prelude::*;

    fn filled(ticket: u64, phase: Phase) -> Filled {
        let state = BlockState { phase, slot: Stream(0), generation: Generation::NONE.next() };
        let (ticket, first) = (Ticket(ticket), Seq(ticket));
        Filled { block: 7, state, ticket, first, used: 32, last: None }
    }

    proptest! {
        #[test]
        fn whatever_comes_changes_and_leaves_all_are_in_order_and_held_from_the_first_that_is_not_free(
            pushed in proptest::collection::hash_set(0..16_u64, 0..8),
            steps in proptest::collection::vec((0..16_u64, 0..3_usize, any::<bool>()), 1..60),
        ) {
            let (mut lane, mut there) = (Lane::default(), BTreeMap::new());
            for ticket in pushed {
                lane.push(filled(ticket, Phase::Free));
                there.insert(ticket, filled(ticket, Phase::Free));
            }
            lane.sort();
            for (ticket, phase, leaves) in steps {
                let new = filled(ticket, [Phase::Free, Phase::Open, Phase::Sealed][phase]);
                match there.insert(ticket, new) {
                    None => {
                        prop_assert!(!lane.replace(&new, new), "it is not there");
                        lane.remove(&new);
                        lane.insert(new);
                    }
                    Some(old) if leaves => {
                        lane.remove(&old);
                        there.remove(&ticket);
                    }
                    Some(old) => {
                        prop_assert!(!lane.replace(&old, filled(99, Phase::Free)), "another claim");
                        prop_assert!(lane.replace(&old, new));
                    }
                }
                let all: Vec<_> = there.values().copied().collect();
                prop_assert_eq!(lane.all(), &all[..]);
                let free = all.iter().take_while(|one| one.state.phase == Phase::Free).count();
                prop_assert_eq!(lane.held(), &all[free..]);
            }
        }
    }

    #[test]
    fn what_stays_is_moved_once_more_than_half_has_left_at_the_front() {
        let mut lane = Lane::default();
        (0..10).for_each(|ticket| lane.push(filled(ticket, Phase::Sealed)));
        let left = [0, 1, 2, 3, 4, 5].map(|ticket| {
            lane.remove(&filled(ticket, Phase::Sealed));
            (lane.start, lane.all.len())
        });
        assert_eq!(left, [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10), (0, 4)]);
    }
}
