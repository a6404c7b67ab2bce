//! Which events are heartbeats: whoever sends them wants to know whether events get through, and is no traffic. A stream
//! has their number and the seqs of the last ones. They are in the books as any event is; figures of traffic leave them out.
//!
//! ```text
//!   writer:     number, and the seq that comes next | W1 to W6; where that is refused, the number as it was
//!   publisher:  those that a cursor passes are counted in it, by the same switch
//!   who looks:  the stream's last first, then these: what lies beyond that last is no event yet
//! ```
//!
//! For looking only: a kill between two of these steps takes one other event for a heartbeat, or one heartbeat for traffic.
//! Where more of them wait than are remembered, those that were forgotten are traffic when the cursor passes them.

use super::cursor::Cursor;
use super::layout::HEARTBEATS;
use super::memory::Memory;
use super::view::View;
use crate::id::{Seq, Stream};

impl<M: Memory> View<M> {
    /// The stream's next event is one. Only for the stream's writer, before it stores the event.
    pub(super) fn add_heartbeat(&self, stream: Stream, next: Seq) {
        let Some(at) = self.layout.heartbeats(stream) else { return };
        if self.remembered(stream).next() == Some(next) {
            // Who noted it was killed before it stored the event.
            return;
        }
        let number = self.load(at);
        self.store(at.plus(1 + (number % HEARTBEATS) as usize), next.0);
        self.store(at, number.wrapping_add(1));
    }

    /// The event was not stored.
    pub(super) fn take_heartbeat_back(&self, stream: Stream) {
        let Some(at) = self.layout.heartbeats(stream) else { return };
        self.store(at, self.load(at).wrapping_sub(1));
    }

    /// How many of a stream's events up to `last`, its last one, are heartbeats. `last` was read before this.
    pub(super) fn heartbeats(&self, stream: Stream, last: Seq) -> u64 {
        let Some(at) = self.layout.heartbeats(stream) else { return 0 };
        let beyond = self.remembered(stream).take_while(|seq| *seq > last).count();
        self.load(at).saturating_sub(beyond as u64)
    }

    /// The cursor, with the heartbeats that it passes on the way from the one before. Never more than are delivered
    /// between the two: so what is delivered beside them never falls.
    pub(super) fn with_heartbeats(
        &self,
        stream: Stream,
        before: &Cursor,
        cursor: Cursor,
    ) -> Cursor {
        let passed = self.remembered(stream).take_while(|seq| *seq > before.acked);
        let passed = passed.filter(|seq| *seq <= cursor.acked).count() as u64;
        let delivered = cursor.delivered().saturating_sub(before.delivered());
        Cursor { heartbeats: before.heartbeats.saturating_add(passed.min(delivered)), ..cursor }
    }

    /// The seqs of the last ones, the latest first.
    fn remembered(&self, stream: Stream) -> impl Iterator<Item = Seq> + '_ {
        let at = self.layout.heartbeats(stream);
        let number = at.map_or(0, |at| self.load(at));
        let numbers = (number.saturating_sub(HEARTBEATS)..number).rev();
        let seq = move |n: u64| Some(Seq(self.load(at?.plus(1 + (n % HEARTBEATS) as usize))));
        numbers.map_while(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Region;
    use crate::ring::layout::{Geometry, Layout};
    use crate::ring::memory::Heap;

    const ONE: Stream = Stream(0);

    fn view(slots: u16) -> View<Heap> {
        let layout = Layout::new(Geometry { blocks: 4, block_bytes: 128, slots });
        View { memory: Heap::new(layout.words()), layout, region: Region(7) }
    }

    fn acked(seq: u64) -> Cursor {
        Cursor { acked: Seq(seq), ..Cursor::default() }
    }

    #[test]
    fn what_is_refused_or_not_stored_yet_is_none() {
        let view = view(4);
        assert_eq!(view.heartbeats(ONE, Seq(9)), 0);
        view.add_heartbeat(ONE, Seq(3));
        assert_eq!([2, 3, 9].map(|last| view.heartbeats(ONE, Seq(last))), [0, 1, 1]);
        view.add_heartbeat(ONE, Seq(10));
        view.take_heartbeat_back(ONE);
        assert_eq!(view.heartbeats(ONE, Seq(10)), 1, "the tenth is another event");
        view.add_heartbeat(ONE, Seq(11));
        view.add_heartbeat(ONE, Seq(11));
        assert_eq!(
            view.heartbeats(ONE, Seq(11)),
            2,
            "the first writer was killed before it stored it"
        );
    }

    #[test]
    fn a_cursor_counts_those_that_it_passes_once() {
        let view = view(4);
        [3, 5, 6].into_iter().for_each(|seq| view.add_heartbeat(ONE, Seq(seq)));
        let mut at = Cursor::default();
        let mut counted = Vec::new();
        for seq in [2, 3, 3, 5, 9] {
            at = view.with_heartbeats(ONE, &at, acked(seq));
            counted.push(at.heartbeats);
        }
        assert_eq!(counted, [0, 1, 1, 2, 3]);
        let lost = Cursor { lost: 9, ..acked(9) };
        assert_eq!(
            view.with_heartbeats(ONE, &Cursor::default(), lost).heartbeats,
            0,
            "none of them was delivered"
        );
    }

    #[test]
    fn those_that_are_forgotten_are_traffic_and_the_others_are_not() {
        let view = view(4);
        (1..=HEARTBEATS + 40).for_each(|seq| view.add_heartbeat(ONE, Seq(seq)));
        let last = Seq(HEARTBEATS + 40);
        assert_eq!(
            view.heartbeats(ONE, last),
            HEARTBEATS + 40,
            "the stream knows the number of all"
        );
        let all = view.with_heartbeats(ONE, &Cursor::default(), acked(last.0));
        assert_eq!(all.heartbeats, HEARTBEATS);
        let behind = view.with_heartbeats(ONE, &Cursor::default(), acked(41));
        assert_eq!((behind.heartbeats, behind.delivered()), (1, 41));
    }

    #[test]
    fn a_slot_that_has_samples_of_the_history_has_no_room_for_them() {
        let view = view(4);
        view.add_heartbeat(Stream(1), Seq(1));
        assert_eq!(view.heartbeats(Stream(1), Seq(1)), 0);
        assert_eq!(view.with_heartbeats(Stream(3), &Cursor::default(), acked(1)), acked(1));
    }
}
