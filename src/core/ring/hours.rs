//! Which hour a stream's events came in: pairs (hour, first seq of it), and a floor that never goes back.
//!
//! A step forward of over an hour is taken only when times have agreed on it for 60 s: one wrong clock reading must
//! not close hours that are still going on. Until then an event belongs to the floor's hour.

use super::layout::{PAIRS, SlotAt};
use super::memory::Memory;
use super::view::View;
use crate::id::{Seq, Stream};

const HOUR: u64 = 3_600_000_000_000;
const AGREEING: u64 = 60_000_000_000;
/// A pair's seq while it is being written.
const VOID: u64 = u64::MAX;

/// The hour of a time in ns since 1970, in hours since 1970.
pub fn hour(at: u64) -> u64 {
    at / HOUR
}

/// A stream's hours, as its only writer knows them.
#[derive(Debug)]
pub(super) struct Hours {
    at: SlotAt,
    floor: u64,
    /// Hour of the newest pair, and the place of the next.
    newest: u64,
    next: usize,
    /// Since when times say that the floor is over an hour old.
    ahead: Option<u64>,
}

impl Hours {
    /// Goes on where the slot's last holder stopped; `last` is the stream's last seq.
    pub fn take_over<M: Memory>(view: &View<M>, stream: Stream, last: Seq) -> Hours {
        let at = view.layout.slot(stream);
        let newest = pairs(view, stream, last).max_by_key(|pair| pair.first);
        Hours {
            at,
            floor: view.load(at.floor()),
            newest: newest.map_or(0, |pair| pair.hour),
            next: newest.map_or(0, |pair| pair.index + 1),
            ahead: None,
        }
    }

    /// Before the commit of `first`, received at `now`: raises the floor, writes the pair that this needs.
    pub fn before<M: Memory>(&mut self, view: &View<M>, first: Seq, now: u64) {
        let hour = hour(now);
        if hour > self.floor {
            if self.agreed(hour, now) {
                self.floor = hour;
                view.store(self.at.floor(), hour);
            }
        } else {
            self.ahead = None;
        }
        if self.floor > self.newest {
            let (hour, seq) = self.at.pair(self.next);
            view.store(seq, VOID);
            view.store(hour, self.floor);
            view.store(seq, first.0);
            self.next += 1;
            self.newest = self.floor;
        }
    }

    fn agreed(&mut self, hour: u64, now: u64) -> bool {
        let since = self.ahead.filter(|since| *since <= now);
        let agreed = self.floor == 0
            || hour == self.floor + 1
            || since.is_some_and(|since| now - since >= AGREEING);
        self.ahead = if agreed { None } else { since.or(Some(now)) };
        agreed
    }
}

#[derive(Clone, Copy)]
struct Pair {
    index: usize,
    hour: u64,
    first: u64,
}

/// The pairs that hold: one beyond `last` was written by who died before the commit.
fn pairs<M: Memory>(view: &View<M>, stream: Stream, last: Seq) -> impl Iterator<Item = Pair> {
    let at = view.layout.slot(stream);
    (0..PAIRS).filter_map(move |index| {
        let (hour, seq) = at.pair(index);
        let first = view.load(seq);
        let hour = view.load(hour);
        let whole = first != 0 && first <= last.0 && view.load(seq) == first;
        whole.then_some(Pair { index, hour, first })
    })
}

/// The hours in which `from..=to` came in, since 1970; the first is 0 when `from` is older than what the pairs tell.
pub(super) fn span<M: Memory>(view: &View<M>, stream: Stream, from: Seq, to: Seq) -> (u64, u64) {
    let (mut first, mut last) = ((0, 0), (0, 0));
    for pair in pairs(view, stream, to) {
        last = last.max((pair.first, pair.hour));
        if pair.first <= from.0 {
            first = first.max((pair.first, pair.hour));
        }
    }
    (first.1, last.1)
}
