//! The last ten minutes of a ring: what came and went in each 6 s. The publisher writes a sample at each tick, any
//! worker shows them. For looking only: a kill between two stores spoils a sample, and the books do not read it.
//!
//! ```text
//!   totals, words   0 tick    1 taken   2 refused   3 lost   4 claims   5 to 8 delivered, by place    9 heartbeats
//!   sample, words   its tick's remainder says where; each is two halves of 32 bits, low and high:
//!                   tick, taken | refused, lost | claims, delivered 0 | delivered 1, 2 | delivered 3, heartbeats
//! ```

use super::layout::{At, HISTORY, NAMES, TICKET};
use super::ledger::Ledger;
use super::memory::Memory;
use super::view::View;

/// A tick, ns.
pub const TICK: u64 = 6_000_000_000;
/// So many ticks are kept.
pub const TICKS: u64 = 100;

/// What happened in the tick before this one ended; numbers beyond 32 bits are cut off at that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The tick at whose beginning it was taken: ns since 1970 / [`TICK`], its low 32 bits.
    pub tick: u32,
    /// Events stored, but for heartbeats.
    pub taken: u32,
    /// Events that were not.
    pub refused: u32,
    /// Events lost to named subscribers.
    pub lost: u32,
    /// Blocks claimed.
    pub claims: u32,
    /// Events delivered, by the subscriber's place, but for heartbeats.
    pub delivered: [u32; NAMES],
    /// Heartbeats stored.
    pub heartbeats: u32,
}

/// All that is counted, since the file was made.
type Totals = [u64; 5 + NAMES];

impl<M: Memory> View<M> {
    /// Takes a sample if a tick has begun since the last one. Only for who holds the lease; `now` in ns since 1970.
    pub fn note_history(&self, now: u64, ledger: impl FnOnce() -> Ledger) {
        let (tick, last) = (now / TICK, self.load(HISTORY));
        if tick == last {
            return;
        }
        let ledger = ledger();
        let mut totals: Totals = [0; 5 + NAMES];
        totals[0] = ledger.committed.saturating_sub(ledger.heartbeats);
        totals[1] = ledger.refusals.each().fold(0, |sum, (_, count)| sum.saturating_add(count));
        totals[3] = self.load(TICKET);
        totals[4 + NAMES] = ledger.heartbeats;
        for held in ledger.subscribers.iter().filter(|held| held.active) {
            totals[2] = totals[2].saturating_add(held.books.lost);
            if let Some(place) = totals[4..4 + NAMES].get_mut(held.place) {
                *place = held.books.delivered.saturating_sub(held.books.heartbeats);
            }
        }
        let total = |n: usize| HISTORY.plus(1 + n);
        // After a pause, or a step of the clock, nobody knows when it happened.
        if tick == last + 1 || tick == last + 2 {
            let since = |n: usize| {
                u32::try_from(totals[n].saturating_sub(self.load(total(n)))).unwrap_or(u32::MAX)
            };
            let delivered = std::array::from_fn(|place| since(4 + place));
            let (taken, refused, lost, claims) = (since(0), since(1), since(2), since(3));
            let (tick, heartbeats) = (tick as u32, since(4 + NAMES));
            self.store_sample(Sample { tick, taken, refused, lost, claims, delivered, heartbeats });
        }
        for (n, count) in totals.into_iter().enumerate() {
            self.store(total(n), count);
        }
        self.store(HISTORY, tick);
    }

    fn store_sample(&self, sample: Sample) {
        let Some(at) = self.place(sample.tick) else { return };
        let [d0, d1, d2, d3] = sample.delivered;
        self.store(at, 0);
        self.store(at.plus(1), pair(sample.refused, sample.lost));
        self.store(at.plus(2), pair(sample.claims, d0));
        self.store(at.plus(3), pair(d1, d2));
        self.store(at.plus(4), pair(d3, sample.heartbeats));
        self.store(at, pair(sample.tick, sample.taken));
    }

    /// The samples of the last ten minutes, the oldest first; `now` in ns since 1970.
    pub fn history(&self, now: u64) -> Vec<Sample> {
        let now = now / TICK;
        let ticks = (now.saturating_sub(TICKS - 1)..=now).map(|tick| tick as u32);
        ticks.filter_map(|tick| self.sample(tick)).collect()
    }

    fn sample(&self, tick: u32) -> Option<Sample> {
        let at = self.place(tick)?;
        let word = |n: usize| halves(self.load(at.plus(n)));
        let (seen, taken) = word(0);
        let ((refused, lost), (claims, d0), (d1, d2), (d3, heartbeats)) =
            (word(1), word(2), word(3), word(4));
        let delivered = [d0, d1, d2, d3];
        let whole = seen == tick && word(0) == (seen, taken);
        whole.then_some(Sample { tick, taken, refused, lost, claims, delivered, heartbeats })
    }

    fn place(&self, tick: u32) -> Option<At> {
        self.layout.sample((u64::from(tick) % TICKS) as usize)
    }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Region, Stream};
    use crate::ring::layout::{Geometry, Layout};
    use crate::ring::ledger::{Books, SubscriberBooks};
    use crate::ring::memory::Heap;
    use crate::ring::refusals::{Refusals, Why};

    fn view() -> View<Heap> {
        let layout = Layout::new(Geometry { blocks: 4, block_bytes: 128, slots: 3 });
        View { memory: Heap::new(layout.words()), layout, region: Region(7) }
    }

    fn note(view: &View<Heap>, tick: u64, committed: u64) {
        let ledger = Ledger { committed, refusals: view.refusals(), ..Ledger::of(view) };
        view.note_history(tick * TICK + 5, || ledger);
    }

    #[test]
    fn a_sample_has_what_happened_since_the_one_before() {
        let view = view();
        note(&view, 1000, 50);
        assert_eq!(view.history(1000 * TICK), [], "of what was before nobody knows when it was");
        let mut refusals = Refusals::default();
        refusals.add(Why::Full, 3);
        refusals.add(Why::Invalid, 2);
        view.add_refusals(&refusals);
        note(&view, 1001, 57);
        note(&view, 1001, 99);
        note(&view, 1002, 60);
        let of_beats =
            |committed, heartbeats| Ledger { committed, heartbeats, ..Ledger::of(&view) };
        view.note_history(1003 * TICK, || of_beats(64, 3));
        let beats = view.history(1003 * TICK).last().map(|s| (s.taken, s.heartbeats));
        assert_eq!(beats, Some((1, 3)), "heartbeats are counted apart");
        let seen: Vec<_> =
            view.history(1002 * TICK).iter().map(|s| (s.tick, s.taken, s.refused)).collect();
        assert_eq!(seen, [(1001, 7, 5), (1002, 3, 0)]);
    }

    #[test]
    fn samples_lie_behind_what_is_the_last_three_slots_own() {
        let layout = view().layout;
        let place = |slot, words| Some(layout.slot(Stream(slot)).last().plus(words));
        let seen = [0, 1, 37, 38, 99].map(|number| layout.sample(number));
        let lie = [place(2, 320), place(2, 325), place(2, 505), place(1, 320), place(0, 435)];
        assert_eq!(seen, lie);
        assert_eq!(layout.sample(114), None);
    }

    #[test]
    fn a_sample_has_what_each_subscriber_was_delivered_by_its_place() {
        let view = view();
        let note = |tick: u64, count: u64| {
            let of = |place: usize, delivered: u64, lost: u64| SubscriberBooks {
                name: "kafka".parse().unwrap(),
                place,
                active: place != 2,
                books: Books { delivered, lost, ..Books::default() },
                told: (0, 0),
                oldest: None,
            };
            let subscribers = vec![of(0, count, 1), of(1, 3 * count, count), of(2, 5 * count, 9)];
            view.memory.add(TICKET, 2);
            view.note_history(tick * TICK, || Ledger { subscribers, ..Ledger::of(&view) });
        };
        note(1000, 10);
        note(1001, 11);
        let of = |s: &Sample| (s.tick, s.claims, s.lost, s.delivered);
        let seen: Vec<_> = view.history(1001 * TICK).iter().map(of).collect();
        assert_eq!(seen, [(1001, 2, 1, [1, 3, 0, 0])], "who holds nothing back is not counted");
    }

    #[test]
    fn samples_are_forgotten_after_ten_minutes_and_a_pause_makes_none() {
        let view = view();
        for tick in 1000..1150 {
            note(&view, tick, tick * tick);
        }
        let seen = view.history(1149 * TICK);
        assert_eq!((seen.len(), seen[0].tick), (100, 1050));
        assert!(seen.iter().all(|s| s.taken == 2 * s.tick - 1));
        assert_eq!(view.history(1248 * TICK).len(), 1);
        assert_eq!(view.history(1249 * TICK), [], "also where none took their place");
        note(&view, 1151, 1149 * 1149 + 8);
        let late = view.history(1151 * TICK).last().map(|s| (s.tick, s.taken));
        assert_eq!(late, Some((1151, 8)), "a tick that was missed is no pause yet");
        note(&view, 1160, 5_000_000);
        assert_eq!(view.history(1160 * TICK).last().map(|s| s.tick), Some(1151));
        note(&view, 900, 6_000_000);
        note(&view, 901, 6_000_001);
        assert_eq!(view.history(901 * TICK).last().map(|s| (s.tick, s.taken)), Some((901, 1)));
    }
}
