//! What a subscriber took of one stream, and what of it is done: the numbers between two ACKs and two WELCOMEs.
//!
//! ```text
//!   base         done            taken
//!   |  counted   |  in flight    |  not sent yet
//!   WELCOME's    the next ACK's  the next HELLO's
//! ```
//!
//! An ACK counts what is lost, dead and uncertain between `base` and `done`. The next WELCOME may move `base` to any
//! place an ACK named, so the holes from `base` on are kept, as ranges.

use std::collections::VecDeque;

use super::message::{AckCursor, Have, StreamState};
use super::session::Place;
use crate::id::{Region, Seq, Stream};

/// What became of numbers that are not in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lost,
    Dead,
    Uncertain,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
    kind: Kind,
}

/// One stream's numbers.
#[derive(Debug, Default)]
pub(super) struct Taken {
    base: Seq,
    done: Seq,
    taken: Seq,
    /// Holes beyond `base`, in order.
    holes: Vec<Range>,
    /// Of these up to `done`: how many ranges, and their numbers' count by kind.
    passed: usize,
    counts: [u64; 3],
    /// What each message that is not done costs, by its last number.
    flight: VecDeque<(Seq, u64)>,
    bytes: u64,
    /// The stream ends uncertain.
    ends: bool,
    dirty: bool,
    /// WELCOME's counts up to `base`: lost, dead, uncertain.
    stored: [u64; 3],
    /// The caller keeps the books: its counts up to `done`, on top of no WELCOME.
    kept: Option<[u64; 3]>,
    /// Where the caller is, beyond what was taken here.
    ahead: Option<Place>,
}

impl Taken {
    pub fn taken(&self) -> Seq {
        self.taken
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Ranges that are kept only until the next WELCOME.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// A session begins: all up to `acked` is stored, `last` is the last record there is.
    pub fn welcome(&mut self, at: &StreamState) {
        let (acked, last) = (at.acked, at.last);
        if self.taken > last {
            // The ring does not know what this subscriber took: it is not the ring it was.
            *self = Taken::default();
        }
        self.stored = [at.lost, at.dead, at.uncertain];
        if acked >= self.done {
            self.kept = None;
        }
        self.base = acked;
        self.taken = self.taken.max(acked);
        let done = self.done.max(acked);
        self.holes.retain_mut(|hole| {
            hole.from = hole.from.max(acked.0 + 1);
            hole.from <= hole.to
        });
        (self.passed, self.counts, self.done) = (0, [0; 3], acked);
        self.pass(done);
        self.dirty = self.done > self.base || self.ends;
    }

    /// Records up to `last` were taken, in a message of this cost.
    pub fn take(&mut self, last: Seq, cost: u64) {
        self.taken = last;
        self.flight.push_back((last, cost));
        self.bytes += cost;
        self.reach();
    }

    /// A hole up to `to` was told.
    pub fn hole(&mut self, to: Seq, kind: Kind, cost: u64) {
        self.insert(Range { from: self.taken.0 + 1, to: to.0, kind });
        self.take(to, cost);
    }

    /// The stream was said to end here; whether that is new.
    pub fn end(&mut self) -> bool {
        self.dirty = true;
        !std::mem::replace(&mut self.ends, true)
    }

    /// A record is in the dead letter.
    pub fn dead(&mut self, seq: Seq) {
        if seq > self.done && seq <= self.taken {
            self.insert(Range { from: seq.0, to: seq.0, kind: Kind::Dead });
        }
    }

    /// All up to `seq` is done.
    pub fn done(&mut self, seq: Seq) {
        let seq = seq.min(self.taken);
        if seq > self.done {
            self.pass(seq);
            self.dirty = true;
        }
    }

    /// The caller, which keeps the books itself, is done with all up to `place`. Numbers that come only now are done as
    /// soon as they are taken; their counts are said once all of them are.
    pub fn done_with(&mut self, place: Place) {
        self.ahead = Some(place);
        self.reach();
    }

    fn reach(&mut self) {
        let Some(place) = self.ahead else { return };
        self.done(place.acked);
        if place.acked <= self.taken {
            self.ahead = None;
            if place.acked == self.done {
                let counts = [place.lost, place.dead, place.uncertain];
                self.dirty |= self.kept.unwrap_or(self.stored) != counts;
                self.kept = Some(counts);
            }
        }
    }

    /// The place for a HELLO.
    pub fn have(&self, region: Region, stream: Stream) -> Option<Have> {
        let (seq, bytes) = (self.taken, self.bytes);
        (seq.0 > 0).then_some(Have { region, stream, seq, bytes })
    }

    /// The place for an ACK; `kept`: the caller keeps the books, not the holes here.
    pub fn ack(&mut self, region: Region, stream: Stream, kept: bool) -> AckCursor {
        self.dirty = false;
        let since = |n: usize| self.kept.unwrap_or(self.stored)[n].saturating_sub(self.stored[n]);
        let [lost, dead, uncertain] =
            if kept { [since(0), since(1), since(2)] } else { self.counts };
        let open = self.ends && self.done == self.taken;
        AckCursor { region, stream, seq: self.done, lost, dead, uncertain, open }
    }

    fn insert(&mut self, new: Range) {
        let at =
            self.passed + self.holes[self.passed..].partition_point(|hole| hole.from <= new.from);
        // What touches the one before and is of its kind becomes part of it; the passed ones are counted and closed.
        if at > self.passed {
            let before = &mut self.holes[at - 1];
            if before.to >= new.from {
                return;
            }
            if before.kind == new.kind && before.to + 1 == new.from {
                before.to = new.to;
                return;
            }
        }
        self.holes.insert(at, new);
    }

    /// The first open range becomes a passed one, or part of the last passed one.
    fn close(&mut self) {
        let (passed, open) = self.holes.split_at_mut(self.passed);
        if let (Some(before), Some(next)) = (passed.last_mut(), open.first()) {
            if before.kind == next.kind && before.to + 1 == next.from {
                before.to = next.to;
                self.holes.remove(self.passed);
                return;
            }
        }
        self.passed += 1;
    }

    /// Moves `done`, counts the holes it passes, and frees the window.
    fn pass(&mut self, seq: Seq) {
        while let Some(&hole) = self.holes.get(self.passed) {
            if hole.from > seq.0 {
                break;
            }
            let counted = hole.to.min(seq.0) - hole.from + 1;
            self.counts[hole.kind as usize] += counted;
            if hole.to > seq.0 {
                // Half of it is done: the other half is a hole of its own.
                self.holes[self.passed].to = seq.0;
                self.holes.insert(self.passed + 1, Range { from: seq.0 + 1, ..hole });
            }
            self.close();
        }
        self.done = seq;
        while let Some(&(to, cost)) = self.flight.front() {
            if to > seq {
                break;
            }
            self.flight.pop_front();
            self.bytes -= cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(taken: &Taken) -> Vec<(u64, u64, Kind)> {
        taken.holes.iter().map(|hole| (hole.from, hole.to, hole.kind)).collect()
    }

    #[test]
    fn holes_that_touch_and_are_of_one_kind_are_one() {
        let mut taken = Taken::default();
        for (to, kind) in [(3, Kind::Lost), (5, Kind::Lost), (7, Kind::Uncertain)] {
            taken.hole(Seq(to), kind, 0);
        }
        taken.take(Seq(10), 0);
        for seq in [8, 9] {
            taken.dead(Seq(seq));
        }
        let all = [(1, 5, Kind::Lost), (6, 7, Kind::Uncertain), (8, 9, Kind::Dead)];
        assert_eq!(ranges(&taken), all);
        // What is in a hole, at its beginning, within and at its end, is no other one.
        for seq in [1, 2, 5, 6, 7, 8, 9] {
            taken.dead(Seq(seq));
        }
        assert_eq!(ranges(&taken), all);
    }

    #[test]
    fn a_hole_that_is_passed_in_parts_is_one_in_the_end() {
        let mut taken = Taken::default();
        taken.hole(Seq(5), Kind::Lost, 0);
        taken.take(Seq(9), 0);
        taken.done(Seq(2));
        assert_eq!(ranges(&taken), [(1, 2, Kind::Lost), (3, 5, Kind::Lost)]);
        taken.done(Seq(9));
        assert_eq!((ranges(&taken), taken.passed()), (vec![(1, 5, Kind::Lost)], 1));
        assert_eq!(taken.counts, [5, 0, 0]);
    }
}
