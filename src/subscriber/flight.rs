//! What was taken from the feeds and not yet acknowledged: sent, reported -> a contiguous cursor per stream.
//!
//! Each stream of each feed has a lane. What is taken stands in the lane in order, a record or a hole; a cursor moves
//! over everything at the lane's front whose fate is known. No I/O, no time, and nothing here knows Kafka.
//!
//! The publisher adds an acknowledgement's counts to the cursor as it was at WELCOME, and that may be an older one than
//! this process last sent. So the lane remembers where its exceptions lie (`marks`), and counts them from there.

use std::collections::{HashMap, VecDeque};

use sparkngin_core::id::{Region, Seq, Stream};

/// Exceptions remembered for a lane. Beyond it the older half is forgotten: they were acknowledged long before.
const MARKS: usize = 65_536;

/// Which feed, in the order of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedNo(pub u16);

/// Where something stands that was taken: its lane, and how many things stood before it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The lane's number in [`Flight`].
    pub lane: u32,
    /// Counted from the lane's beginning, never again from 0.
    pub at: u64,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Kafka reported it.
    Delivered,
    /// It is in the dead letter.
    Dead,
}

/// Why seqs are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// Overwritten before they were acknowledged.
    Lost,
    /// Perhaps committed before a power loss.
    Uncertain,
}

/// A stream's cursor, with the counts among the seqs since WELCOME's `acked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Everything up to here has a fate.
    pub seq: Seq,
    /// Of these: lost.
    pub lost: u64,
    /// In the dead letter.
    pub dead: u64,
    /// Uncertain.
    pub uncertain: u64,
}

/// What this process counted since it started, of one feed or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records taken.
    pub taken: u64,
    /// Records that Kafka reported.
    pub delivered: u64,
    /// Records in the dead letter.
    pub dead: u64,
    /// Seqs that LOST told of.
    pub lost: u64,
    /// Seqs that UNCERTAIN told of.
    pub uncertain: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Open,
    Settled(Fate),
    Hole { kind: Hole, to: Seq },
}

/// Seqs `from..=to` that are in no Kafka, and why.
#[derive(Clone, Copy, Debug)]
struct Mark {
    from: u64,
    to: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lost,
    Dead,
    Uncertain,
}

#[derive(Debug)]
struct Lane {
    feed: FeedNo,
    region: Region,
    stream: Stream,
    /// What the publisher's cursor was at the last WELCOME.
    base: Seq,
    acked: Seq,
    taken: Seq,
    items: VecDeque<Item>,
    /// Items that left the front.
    gone: u64,
    marks: VecDeque<Mark>,
    moved: bool,
}

/// All lanes.
#[derive(Debug, Default)]
pub struct Flight {
    lanes: Vec<Lane>,
    numbers: HashMap<(FeedNo, Region, Stream), u32>,
    totals: HashMap<FeedNo, Totals>,
    open: usize,
}

impl Flight {
    /// Begins a stream, or begins it again, at what WELCOME says the publisher has stored.
    ///
    /// Where the publisher is further than what was taken here, another of our name was here meanwhile: what is still
    /// open below counts no more, whatever is reported of it.
    pub fn welcome(&mut self, feed: FeedNo, region: Region, stream: Stream, acked: Seq) -> u32 {
        let number = self.lane(feed, region, stream);
        let lane = &mut self.lanes[number as usize];
        if acked > lane.taken {
            self.open -= lane.items.iter().filter(|i| **i == Item::Open).count();
            lane.gone += lane.items.len() as u64;
            lane.items.clear();
            (lane.acked, lane.taken) = (acked, acked);
        }
        lane.base = acked;
        while lane.marks.front().is_some_and(|mark| mark.to <= acked.0) {
            lane.marks.pop_front();
        }
        // What the publisher has not heard of must be said again.
        lane.moved = lane.acked > lane.base;
        number
    }

    /// The stream's lane, made at its beginning if it is new: a stream may begin within a session.
    pub fn lane(&mut self, feed: FeedNo, region: Region, stream: Stream) -> u32 {
        let lanes = &mut self.lanes;
        *self.numbers.entry((feed, region, stream)).or_insert_with(|| {
            lanes.push(Lane {
                feed,
                region,
                stream,
                base: Seq(0),
                acked: Seq(0),
                taken: Seq(0),
                items: VecDeque::new(),
                gone: 0,
                marks: VecDeque::new(),
                moved: false,
            });
            lanes.len() as u32 - 1
        })
    }

    /// Takes `count` records that begin at `first`; gives the place of the first, the others stand behind it.
    ///
    /// A stream whose first record is not the next one begins there: what lies before was acknowledged by others.
    pub fn take(&mut self, number: u32, first: Seq, count: u32) -> Place {
        let lane = &mut self.lanes[number as usize];
        lane.skip_to(first);
        let place = Place { lane: number, at: lane.gone + lane.items.len() as u64 };
        lane.items.extend(std::iter::repeat_n(Item::Open, count as usize));
        lane.taken = Seq(first.0 + u64::from(count) - 1);
        self.open += count as usize;
        self.totals.entry(lane.feed).or_default().taken += u64::from(count);
        place
    }

    /// Takes a hole that reaches up to `to`. Its seqs are settled when the cursor comes to it.
    pub fn take_hole(&mut self, number: u32, from: Seq, to: Seq, kind: Hole) {
        let lane = &mut self.lanes[number as usize];
        if to <= lane.taken {
            return;
        }
        lane.skip_to(from);
        let count = to.0 - lane.taken.0;
        lane.items.push_back(Item::Hole { kind, to });
        lane.taken = to;
        let totals = self.totals.entry(lane.feed).or_default();
        match kind {
            Hole::Lost => totals.lost += count,
            Hole::Uncertain => totals.uncertain += count,
        }
        lane.advance();
    }

    /// A record has its fate. False if it had one before, or its lane went on without it.
    pub fn settle(&mut self, place: Place, fate: Fate) -> bool {
        let Some(lane) = self.lanes.get_mut(place.lane as usize) else { return false };
        let Some(at) = place.at.checked_sub(lane.gone) else { return false };
        let Some(item @ Item::Open) = lane.items.get_mut(at as usize) else { return false };
        *item = Item::Settled(fate);
        self.open -= 1;
        let totals = self.totals.entry(lane.feed).or_default();
        match fate {
            Fate::Delivered => totals.delivered += 1,
            Fate::Dead => totals.dead += 1,
        }
        if at == 0 {
            lane.advance();
        }
        true
    }

    /// The cursors of a feed that moved since they were last asked for.
    pub fn moved(&mut self, feed: FeedNo) -> Vec<(Region, Stream, Counted)> {
        let lanes = self.lanes.iter_mut().filter(|lane| lane.feed == feed);
        lanes
            .filter_map(|lane| {
                std::mem::take(&mut lane.moved).then(|| (lane.region, lane.stream, lane.counted()))
            })
            .collect()
    }

    /// True if [`Flight::moved`] would give something.
    pub fn has_moved(&self, feed: FeedNo) -> bool {
        self.lanes.iter().any(|lane| lane.feed == feed && lane.moved)
    }

    /// What this process took of each of a feed's streams, and still answers for: HELLO's `have`.
    pub fn have(&self, feed: FeedNo) -> Vec<(Region, Stream, Seq)> {
        let lanes = self.lanes.iter().filter(|lane| lane.feed == feed && lane.taken > Seq(0));
        lanes.map(|lane| (lane.region, lane.stream, lane.taken)).collect()
    }

    /// Each stream of a feed with its cursor, for showing.
    pub fn cursors(&self, feed: FeedNo) -> impl Iterator<Item = (Region, Stream, Counted)> + '_ {
        let lanes = self.lanes.iter().filter(move |lane| lane.feed == feed);
        lanes.map(|lane| (lane.region, lane.stream, lane.counted()))
    }

    /// What was counted for a feed since this process started.
    pub fn totals(&self, feed: FeedNo) -> Totals {
        self.totals.get(&feed).copied().unwrap_or_default()
    }

    /// Records taken whose fate is open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// The feed of a lane.
    pub fn feed(&self, number: u32) -> FeedNo {
        self.lanes[number as usize].feed
    }
}

impl Lane {
    /// Lets the lane begin, or go on, just before `first`, with nothing said about what lies between.
    fn skip_to(&mut self, first: Seq) {
        let before = Seq(first.0.saturating_sub(1));
        if before > self.taken {
            if self.items.is_empty() {
                self.acked = before;
                self.base = self.base.max(before);
            }
            self.taken = before;
        }
    }

    /// Moves the cursor over what is settled at the front.
    fn advance(&mut self) {
        while let Some(item) = self.items.front() {
            let (to, kind) = match *item {
                Item::Open => break,
                Item::Settled(Fate::Delivered) => (self.acked.next(), None),
                Item::Settled(Fate::Dead) => (self.acked.next(), Some(Kind::Dead)),
                Item::Hole { kind: Hole::Lost, to } => (to, Some(Kind::Lost)),
                Item::Hole { kind: Hole::Uncertain, to } => (to, Some(Kind::Uncertain)),
            };
            if let Some(kind) = kind {
                self.mark(Mark { from: self.acked.0 + 1, to: to.0, kind });
            }
            self.items.pop_front();
            self.gone += 1;
            self.acked = to;
            self.moved = true;
        }
    }

    fn mark(&mut self, mark: Mark) {
        match self.marks.back_mut() {
            Some(last) if last.kind == mark.kind && last.to + 1 == mark.from => last.to = mark.to,
            _ => self.marks.push_back(mark),
        }
        if self.marks.len() > MARKS {
            self.marks.drain(..MARKS / 2);
        }
    }

    fn counted(&self) -> Counted {
        let mut counted = Counted { seq: self.acked, ..Counted::default() };
        for mark in &self.marks {
            let count = (mark.to + 1).saturating_sub(mark.from.max(self.base.0 + 1));
            match mark.kind {
                Kind::Lost => counted.lost += count,
                Kind::Dead => counted.dead += count,
                Kind::Uncertain => counted.uncertain += count,
            }
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: FeedNo = FeedNo(0);

    fn at(place: Place, offset: u64) -> Place {
        Place { at: place.at + offset, ..place }
    }

    fn begun(acked: u64) -> (Flight, u32) {
        let mut flight = Flight::default();
        let lane = flight.welcome(FEED, Region(1), Stream(2), Seq(acked));
        (flight, lane)
    }

    fn cursor(flight: &Flight) -> Counted {
        flight.cursors(FEED).next().unwrap().2
    }

    #[test]
    fn the_cursor_moves_only_over_what_is_reported_without_a_gap() {
        let (mut flight, lane) = begun(10);
        let first = flight.take(lane, Seq(11), 4);
        assert!(flight.settle(at(first, 1), Fate::Delivered));
        assert!(flight.settle(at(first, 3), Fate::Delivered));
        assert_eq!(flight.moved(FEED), []);
        assert!(flight.settle(first, Fate::Delivered));
        assert_eq!(cursor(&flight).seq, Seq(12));
        assert!(flight.settle(at(first, 2), Fate::Delivered));
        assert_eq!(flight.moved(FEED), [(Region(1), Stream(2), Counted { seq: Seq(14), ..Counted::default() })]);
        assert_eq!(flight.moved(FEED), [], "said once");
        assert_eq!(flight.open(), 0);
    }

    #[test]
    fn a_record_settles_once() {
        let (mut flight, lane) = begun(0);
        let first = flight.take(lane, Seq(1), 2);
        assert!(flight.settle(at(first, 1), Fate::Dead));
        assert!(!flight.settle(at(first, 1), Fate::Delivered));
        assert!(flight.settle(first, Fate::Delivered));
        assert!(!flight.settle(first, Fate::Delivered));
        assert_eq!(flight.totals(FEED), Totals { taken: 2, delivered: 1, dead: 1, ..Totals::default() });
    }

    #[test]
    fn holes_and_dead_letters_are_counted_since_welcome_even_of_an_older_cursor() {
        let (mut flight, lane) = begun(0);
        let first = flight.take(lane, Seq(1), 2);
        flight.take_hole(lane, Seq(3), Seq(7), Hole::Lost);
        let after = flight.take(lane, Seq(8), 2);
        flight.take_hole(lane, Seq(10), Seq(10), Hole::Uncertain);
        for place in [first, at(first, 1), after] {
            flight.settle(place, Fate::Delivered);
        }
        assert_eq!(cursor(&flight), Counted { seq: Seq(8), lost: 5, ..Counted::default() });
        flight.settle(at(after, 1), Fate::Dead);
        let all = Counted { seq: Seq(10), lost: 5, dead: 1, uncertain: 1 };
        assert_eq!(cursor(&flight), all);

        // The publisher heard the cursor at 8, not the one at 10.
        flight.welcome(FEED, Region(1), Stream(2), Seq(8));
        assert_eq!(cursor(&flight), Counted { lost: 0, ..all });
        assert!(flight.has_moved(FEED), "what it did not hear is said again");
        // The next session stored nothing since 8; this process has not forgotten what lies beyond.
        flight.welcome(FEED, Region(1), Stream(2), Seq(8));
        assert_eq!(cursor(&flight), Counted { lost: 0, ..all });
        flight.welcome(FEED, Region(1), Stream(2), Seq(10));
        assert_eq!(cursor(&flight), Counted { seq: Seq(10), ..Counted::default() });
        assert!(!flight.has_moved(FEED));
    }

    #[test]
    fn a_hole_waits_for_the_records_before_it() {
        let (mut flight, lane) = begun(0);
        let first = flight.take(lane, Seq(1), 1);
        flight.take_hole(lane, Seq(2), Seq(9), Hole::Lost);
        flight.take_hole(lane, Seq(2), Seq(9), Hole::Lost);
        assert_eq!(cursor(&flight), Counted::default());
        flight.settle(first, Fate::Delivered);
        assert_eq!(cursor(&flight), Counted { seq: Seq(9), lost: 8, ..Counted::default() });
        assert_eq!(flight.totals(FEED).lost, 8, "a repeated LOST counts once");
    }

    #[test]
    fn a_publisher_that_is_further_than_we_are_ends_what_we_had_open() {
        let (mut flight, lane) = begun(0);
        let first = flight.take(lane, Seq(1), 3);
        flight.welcome(FEED, Region(1), Stream(2), Seq(50));
        assert_eq!(flight.open(), 0);
        assert!(!flight.settle(first, Fate::Delivered));
        let next = flight.take(lane, Seq(51), 1);
        assert!(flight.settle(next, Fate::Delivered));
        assert_eq!(cursor(&flight), Counted { seq: Seq(51), ..Counted::default() });
    }

    #[test]
    fn have_is_what_was_taken_and_a_stream_may_begin_within_a_session() {
        let (mut flight, lane) = begun(4);
        flight.take(lane, Seq(5), 3);
        let late = flight.lane(FEED, Region(1), Stream(9));
        let place = flight.take(late, Seq(1), 1);
        flight.settle(place, Fate::Delivered);
        assert_eq!(flight.have(FEED), [(Region(1), Stream(2), Seq(7)), (Region(1), Stream(9), Seq(1))]);
        assert_eq!(flight.moved(FEED).len(), 1);
        assert_eq!(flight.have(FeedNo(1)), []);
    }

    #[test]
    fn neighbouring_exceptions_take_one_mark() {
        let (mut flight, lane) = begun(0);
        let first = flight.take(lane, Seq(1), 1000);
        for n in 0..1000 {
            flight.settle(at(first, n), Fate::Dead);
        }
        assert_eq!(flight.lanes[0].marks.len(), 1);
        assert_eq!(cursor(&flight).dead, 1000);
    }
}
