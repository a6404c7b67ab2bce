//! Where messages lie until Kafka has them: librdkafka reads them there, and copies nothing.
//!
//! A slab is filled from the front and never grows, so what lies in it stays where it is. It is used again when the last
//! message in it was reported.

use std::collections::VecDeque;

use crate::backlog::Ticket;

/// Bytes of a slab; a message that is larger has one of its own.
const SLAB: usize = 64 * 1024;
/// Slabs that are kept to be used again.
const SPARE: usize = 64;

/// Where a message lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The slab, counted from the first one ever.
    slab: u64,
    from: usize,
    to: usize,
}

#[derive(Debug)]
struct Slab {
    number: u64,
    bytes: Vec<u8>,
    /// The first ticket that lies here, or in a later one.
    first: Ticket,
    /// Messages that were not reported.
    open: u64,
}

/// The slabs with messages, oldest first.
#[derive(Debug, Default)]
pub struct Slabs {
    slabs: VecDeque<Slab>,
    /// How many there ever were.
    ever: u64,
    spare: Vec<Vec<u8>>,
    held: usize,
}

impl Slabs {
    /// Puts a message in; its ticket is higher than all before it.
    pub fn put(&mut self, ticket: Ticket, bytes: &[u8]) -> Place {
        let room = |slab: &Slab| slab.bytes.capacity() - slab.bytes.len() >= bytes.len();
        if !self.slabs.back().is_some_and(room) {
            let spare = if bytes.len() <= SLAB { self.spare.pop() } else { None };
            let fresh = spare.unwrap_or_else(|| Vec::with_capacity(SLAB.max(bytes.len())));
            self.held += fresh.capacity();
            self.slabs.push_back(Slab { number: self.ever, bytes: fresh, first: ticket, open: 0 });
            self.ever += 1;
        }
        // Not always the newest there was: all of what lay in that may have been reported.
        let Some(last) = self.slabs.back_mut() else { return Place::default() };
        let from = last.bytes.len();
        last.bytes.extend_from_slice(bytes);
        last.open += 1;
        Place { slab: last.number, from, to: last.bytes.len() }
    }

    /// A message that was not reported; it stays where it is until it is. Nothing lies there of any other.
    pub fn get(&self, place: Place) -> Option<&[u8]> {
        let is_it = |slab: &&Slab| slab.number == place.slab;
        // Mostly it was put in last.
        let slab = self.slabs.back().filter(is_it).or_else(|| {
            let at = self.slabs.partition_point(|slab| slab.number < place.slab);
            self.slabs.get(at).filter(is_it)
        });
        slab.and_then(|slab| slab.bytes.get(place.from..place.to))
    }

    /// Bytes of all slabs with messages.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The messages of so many tickets from `first` on, each of which was put in, are read no more.
    pub fn leave(&mut self, first: Ticket, count: u64) {
        let (mut ticket, end) = (first, first + count);
        let mut at = self.slabs.partition_point(|slab| slab.first <= first).saturating_sub(1);
        while ticket < end && at < self.slabs.len() {
            let next = self.slabs.get(at + 1).map_or(end, |slab| slab.first.min(end));
            let slab = &mut self.slabs[at];
            slab.open = slab.open.saturating_sub(next - ticket);
            ticket = next;
            if slab.open > 0 {
                at += 1;
                continue;
            }
            // All in it was reported: what stands behind it moves up.
            let Some(Slab { mut bytes, .. }) = self.slabs.remove(at) else { return };
            self.held -= bytes.capacity();
            bytes.clear();
            if bytes.capacity() == SLAB && self.spare.len() < SPARE {
                self.spare.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_message_is_what_was_put_in_until_it_is_reported_in_whatever_order(
            steps in prop::collection::vec((0..SLAB + 10, any::<prop::sample::Index>(), 0..3), 1..60)
        ) {
            let mut slabs = Slabs::default();
            let mut open = Vec::new();
            for (ticket, (bytes, one, reports)) in (0_u8..).zip(steps) {
                open.push((ticket, slabs.put(ticket.into(), &vec![ticket; bytes]), bytes));
                for _ in 0..reports {
                    if !open.is_empty() {
                        slabs.leave(open.remove(one.index(open.len())).0.into(), 1);
                    }
                }
                for (ticket, place, bytes) in &open {
                    prop_assert_eq!(slabs.get(*place), Some(&vec![*ticket; *bytes][..]));
                }
            }
            for (ticket, ..) in open {
                slabs.leave(ticket.into(), 1);
            }
            prop_assert_eq!((slabs.held(), slabs.slabs.len()), (0, 0));
        }
    }

    #[test]
    fn a_message_that_goes_before_a_slab_that_is_gone_is_found() {
        let mut slabs = Slabs::default();
        slabs.put(0, &[0; SLAB - 100]);
        slabs.put(1, &[1; 1000]);
        slabs.leave(1, 1);
        let place = slabs.put(2, b"small");
        assert_eq!(slabs.get(place), Some(&b"small"[..]));
    }

    #[test]
    fn a_message_stays_where_it_is_until_it_is_reported() {
        let mut slabs = Slabs::default();
        let places: Vec<Place> = (0..1000).map(|n| slabs.put(n, &[n as u8; 1000])).collect();
        let addresses: Vec<_> =
            places.iter().map(|place| slabs.get(*place).map(<[u8]>::as_ptr)).collect();
        slabs.leave(0, 400);
        slabs.leave(500, 1);
        for n in (400..500).chain(501..1000) {
            let message = slabs.get(places[n]);
            let is = (message, message.map(<[u8]>::as_ptr));
            assert_eq!(is, (Some(&[n as u8; 1000][..]), addresses[n]));
        }
    }

    #[test]
    fn slabs_are_used_again_and_only_those_with_messages_are_held() {
        let mut slabs = Slabs::default();
        for n in 0..10_000 {
            slabs.put(n, &[0; 1000]);
            if n >= 10 {
                slabs.leave(n - 10, 1);
            }
            assert!(slabs.held() <= 2 * SLAB, "{n}");
        }
        assert!(slabs.spare.iter().all(|bytes| bytes.capacity() == SLAB));
        assert!((1..=2).contains(&slabs.spare.len()));
        slabs.leave(9990, 10);
        assert_eq!((slabs.held(), slabs.slabs.len()), (0, 0));
    }

    #[test]
    fn one_message_that_is_not_reported_holds_its_own_slab_alone() {
        let mut slabs = Slabs::default();
        let places: Vec<Place> = (0..1000).map(|n| slabs.put(n, &[7; 1000])).collect();
        slabs.leave(1, 999);
        assert_eq!((slabs.held(), slabs.get(places[0])), (SLAB, Some(&[7; 1000][..])));
        assert_eq!((slabs.slabs.len(), slabs.get(places[999])), (1, None));
        slabs.leave(0, 1);
        assert_eq!((slabs.held(), slabs.slabs.len()), (0, 0));
    }

    #[test]
    fn tickets_may_be_left_out_and_a_large_message_has_a_slab_of_its_own() {
        let mut slabs = Slabs::default();
        let (small, large, empty) =
            (slabs.put(3, &[1; 10]), slabs.put(8, &[2; 2 * SLAB]), slabs.put(9, b""));
        assert_eq!(slabs.held(), 3 * SLAB);
        slabs.leave(3, 1);
        assert_eq!(
            (slabs.get(large).map(<[u8]>::len), slabs.get(empty), slabs.held()),
            (Some(2 * SLAB), Some(&b""[..]), 2 * SLAB)
        );
        slabs.leave(8, 2);
        assert_eq!((slabs.held(), slabs.spare.len(), small.from), (0, 1, 0));
        assert_eq!(slabs.spare[0].capacity(), SLAB, "not the large one");
    }
}
