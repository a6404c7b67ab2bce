//! What was taken from the feeds and has no fate yet: sent, reported -> a contiguous cursor per stream.
//!
//! Each stream of each feed has a lane. What is taken stands in the lane in order, a record or a hole; the cursor moves
//! over everything at the lane's front whose fate is known. No I/O, no time, and nothing here knows Kafka.

use std::collections::{HashMap, VecDeque};

use sparkngin_core::event::heartbeat::{self, Believed};
use sparkngin_core::feed::Records;
use sparkngin_core::id::{Region, Seq, Stream};

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
    /// It is no record but a hole, and the dead letter has a note of it.
    Noted,
    /// It was in Kafka before it came, as the cursors there say.
    Known,
}

/// What it was that has its fate now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// An event.
    Event,
    /// A beat of `sparkngin heartbeat`: no traffic.
    Heartbeat,
    /// A hole.
    Hole,
}

/// Why seqs are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// Overwritten before they were acknowledged.
    Lost,
    /// Perhaps committed before a power loss.
    Uncertain,
    /// Gone before this name was there to hold them: none of its events.
    Freed,
}

/// What this process counted since it started, of one feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records taken, but for heartbeats.
    pub taken: u64,
    /// Records that Kafka reported, but for heartbeats.
    pub delivered: u64,
    /// Heartbeats taken.
    pub taken_heartbeats: u64,
    /// Heartbeats that Kafka reported.
    pub delivered_heartbeats: u64,
    /// Records in the dead letter.
    pub dead: u64,
    /// Seqs that LOST told of.
    pub lost: u64,
    /// Seqs that UNCERTAIN told of, where it told how many.
    pub uncertain: u64,
    /// Records taken a second time, because a publisher had forgotten that they were taken.
    pub repeated: u64,
    /// Records that the cursors in Kafka had already.
    pub known: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Open,
    /// Open, and a heartbeat.
    Beat,
    Settled,
    Hole {
        to: Seq,
        noted: bool,
    },
}

impl Item {
    fn is_open(self) -> bool {
        matches!(self, Item::Open | Item::Beat)
    }
}

#[derive(Debug)]
struct Lane {
    feed: FeedNo,
    region: Region,
    stream: Stream,
    /// Everything up to here has a fate.
    done: Seq,
    taken: Seq,
    items: VecDeque<Item>,
    /// Items that left the front.
    gone: u64,
    moved: bool,
    believed: Believed,
}

/// All lanes.
#[derive(Debug, Default)]
pub struct Flight {
    lanes: Vec<Lane>,
    numbers: HashMap<(FeedNo, Region, Stream), u32>,
    totals: Vec<Totals>,
    open: usize,
}

impl Flight {
    /// WELCOME says that the publisher has stored `acked`.
    ///
    /// Where that is further than what was taken here, another of our name was here meanwhile: what is still open below
    /// counts no more, whatever is reported of it.
    pub fn welcome(&mut self, feed: FeedNo, region: Region, stream: Stream, acked: Seq) {
        let number = self.lane(feed, region, stream);
        if acked > self.lanes[number].taken {
            self.begin(number, acked);
        }
    }

    /// Takes records; gives the place of the first, the others stand behind it. As many of those that look like heartbeats
    /// as a worker believes are counted apart.
    pub fn take_records(&mut self, feed: FeedNo, records: &Records<Vec<u8>>) -> Place {
        let first = self.take(feed, records.region, records.stream, records.first, records.count);
        for (n, record) in (0..).zip(records.again()) {
            if heartbeat::is_stored(record.bytes) {
                self.beats(Place { at: first.at + n, ..first }, record.received);
            }
        }
        first
    }

    /// What was taken last looks like a heartbeat, received at this time.
    fn beats(&mut self, place: Place, received: u64) {
        let Some(lane) = self.lanes.get_mut(place.lane as usize) else { return };
        let at = place.at.checked_sub(lane.gone).map(|at| at as usize);
        let Some(item @ Item::Open) = at.and_then(|at| lane.items.get_mut(at)) else { return };
        if lane.believed.take(received) {
            *item = Item::Beat;
            let feed = lane.feed;
            let totals = self.of(feed);
            totals.taken -= 1;
            totals.taken_heartbeats += 1;
        }
    }

    /// Takes `count` records that begin at `first`; gives the place of the first, the others stand behind it.
    pub fn take(
        &mut self,
        feed: FeedNo,
        region: Region,
        stream: Stream,
        first: Seq,
        count: u32,
    ) -> Place {
        let number = self.lane(feed, region, stream);
        let again = self.go_to(number, first);
        let lane = &mut self.lanes[number];
        let place = Place { lane: number as u32, at: lane.gone + lane.items.len() as u64 };
        lane.items.extend(std::iter::repeat_n(Item::Open, count as usize));
        lane.taken = Seq(first.0 + u64::from(count) - 1);
        self.open += count as usize;
        let totals = self.of(feed);
        totals.taken += u64::from(count);
        totals.repeated += again.min(u64::from(count));
        place
    }

    /// Takes a hole of which nothing was known; gives its place. The cursor passes it when it is noted.
    pub fn take_hole(
        &mut self,
        feed: FeedNo,
        region: Region,
        stream: Stream,
        (from, to): (Seq, Seq),
        kind: Hole,
    ) -> Place {
        let number = self.lane(feed, region, stream);
        self.go_to(number, from);
        let lane = &mut self.lanes[number];
        let place = Place { lane: number as u32, at: lane.gone + lane.items.len() as u64 };
        lane.items.push_back(Item::Hole { to, noted: false });
        lane.taken = to;
        let count = to.0 - from.0 + 1;
        match kind {
            Hole::Lost => self.of(feed).lost += count,
            Hole::Uncertain => self.of(feed).uncertain += count,
            Hole::Freed => {}
        }
        place
    }

    /// A record has its fate, or a hole is noted: what it is. None if it had one before, or its lane went on without it.
    pub fn settle(&mut self, place: Place, fate: Fate) -> Option<Settled> {
        let lane = self.lanes.get_mut(place.lane as usize)?;
        let at = place.at.checked_sub(lane.gone)?;
        let item = lane.items.get_mut(at as usize)?;
        let settled = match item {
            Item::Open => Settled::Event,
            Item::Beat => Settled::Heartbeat,
            Item::Hole { noted: false, .. } => Settled::Hole,
            Item::Hole { .. } | Item::Settled => return None,
        };
        match item {
            Item::Hole { noted, .. } => *noted = true,
            _ => {
                *item = Item::Settled;
                self.open -= 1;
            }
        }
        let feed = lane.feed;
        if at == 0 {
            lane.advance();
        }
        let totals = self.of(feed);
        match fate {
            Fate::Delivered if settled == Settled::Heartbeat => totals.delivered_heartbeats += 1,
            Fate::Delivered => totals.delivered += 1,
            Fate::Dead => totals.dead += 1,
            Fate::Noted => {}
            Fate::Known => totals.known += 1,
        }
        Some(settled)
    }

    /// The cursors that moved since they were last asked for.
    pub fn moved(&mut self, mut see: impl FnMut(FeedNo, Region, Stream, Seq)) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.moved) {
            lane.moved = false;
            see(lane.feed, lane.region, lane.stream, lane.done);
        }
    }

    /// What was counted for a feed since this process started.
    pub fn totals(&self, feed: FeedNo) -> Totals {
        self.totals.get(usize::from(feed.0)).copied().unwrap_or_default()
    }

    /// Records taken whose fate is open.
    pub fn open(&self) -> usize {
        self.open
    }

    fn lane(&mut self, feed: FeedNo, region: Region, stream: Stream) -> usize {
        let lanes = &mut self.lanes;
        let number = *self.numbers.entry((feed, region, stream)).or_insert_with(|| {
            lanes.push(Lane {
                feed,
                region,
                stream,
                done: Seq(0),
                taken: Seq(0),
                items: VecDeque::new(),
                gone: 0,
                moved: false,
                believed: Believed::default(),
            });
            lanes.len() as u32 - 1
        });
        number as usize
    }

    /// Makes sure that `first` is the lane's next; gives how many of its seqs were taken before.
    fn go_to(&mut self, number: usize, first: Seq) -> u64 {
        let taken = self.lanes[number].taken;
        if first != taken.next() {
            self.begin(number, Seq(first.0.saturating_sub(1)));
        }
        (taken.0 + 1).saturating_sub(first.0)
    }

    /// The lane begins behind `done`, with nothing open.
    fn begin(&mut self, number: usize, done: Seq) {
        let lane = &mut self.lanes[number];
        self.open -= lane.items.iter().filter(|item| item.is_open()).count();
        lane.gone += lane.items.len() as u64;
        lane.items.clear();
        (lane.done, lane.taken) = (done, done);
    }

    fn of(&mut self, feed: FeedNo) -> &mut Totals {
        let at = usize::from(feed.0);
        if self.totals.len() <= at {
            self.totals.resize_with(at + 1, Totals::default);
        }
        &mut self.totals[at]
    }
}

impl Lane {
    /// Moves the cursor over what is settled at the front.
    fn advance(&mut self) {
        while let Some(item) = self.items.front() {
            self.done = match *item {
                Item::Open | Item::Beat | Item::Hole { noted: false, .. } => break,
                Item::Settled => self.done.next(),
                Item::Hole { to, .. } => to,
            };
            self.items.pop_front();
            self.gone += 1;
            self.moved = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use sparkngin_core::record::{self, Record, Seed};

    use super::*;
    use crate::route::tests::stored;

    const FEED: FeedNo = FeedNo(0);
    const REGION: Region = Region(1);
    const STREAM: Stream = Stream(2);

    fn at(place: Place, offset: u64) -> Place {
        Place { at: place.at + offset, ..place }
    }

    fn take(flight: &mut Flight, first: u64, count: u32) -> Place {
        flight.take(FEED, REGION, STREAM, Seq(first), count)
    }

    fn begun(acked: u64) -> Flight {
        let mut flight = Flight::default();
        flight.welcome(FEED, REGION, STREAM, Seq(acked));
        flight
    }

    fn moved(flight: &mut Flight) -> Vec<u64> {
        let mut all = Vec::new();
        flight.moved(|_, _, _, seq| all.push(seq.0));
        all
    }

    #[test]
    fn the_cursor_moves_only_over_what_is_reported_without_a_gap() {
        let mut flight = begun(10);
        let first = take(&mut flight, 11, 4);
        assert!(flight.settle(at(first, 1), Fate::Delivered).is_some());
        assert!(flight.settle(at(first, 3), Fate::Delivered).is_some());
        assert_eq!(moved(&mut flight), [0; 0]);
        assert!(flight.settle(first, Fate::Delivered).is_some());
        assert_eq!(moved(&mut flight), [12]);
        assert!(flight.settle(at(first, 2), Fate::Delivered).is_some());
        assert_eq!(moved(&mut flight), [14]);
        assert_eq!(moved(&mut flight), [0; 0], "said once");
        assert_eq!(flight.open(), 0);
    }

    #[test]
    fn a_record_settles_once() {
        let mut flight = begun(0);
        let first = take(&mut flight, 1, 2);
        assert!(flight.settle(at(first, 1), Fate::Dead).is_some());
        assert!(flight.settle(at(first, 1), Fate::Delivered).is_none());
        assert!(flight.settle(first, Fate::Delivered).is_some());
        assert!(flight.settle(first, Fate::Delivered).is_none());
        let totals = Totals { taken: 2, delivered: 1, dead: 1, ..Totals::default() };
        assert_eq!(flight.totals(FEED), totals);
    }

    #[test]
    fn a_hole_waits_for_the_records_before_it() {
        let mut flight = begun(0);
        let first = take(&mut flight, 1, 1);
        let hole = flight.take_hole(FEED, REGION, STREAM, (Seq(2), Seq(9)), Hole::Lost);
        let after = take(&mut flight, 10, 1);
        assert!(flight.settle(hole, Fate::Noted).is_some());
        assert!(flight.settle(hole, Fate::Noted).is_none(), "it is noted once");
        assert_eq!(moved(&mut flight), [0; 0]);
        flight.settle(after, Fate::Delivered);
        flight.settle(first, Fate::Delivered);
        assert_eq!(moved(&mut flight), [10]);
        assert_eq!(flight.totals(FEED).lost, 8);
    }

    #[test]
    fn a_hole_is_not_passed_before_it_is_noted() {
        let mut flight = begun(4);
        let hole = flight.take_hole(FEED, REGION, STREAM, (Seq(5), Seq(7)), Hole::Uncertain);
        let after = take(&mut flight, 8, 1);
        flight.settle(after, Fate::Delivered);
        assert_eq!(moved(&mut flight), [0; 0], "a kill now must leave a note, or another try");
        flight.settle(hole, Fate::Noted);
        assert_eq!(moved(&mut flight), [8]);
        assert_eq!((flight.totals(FEED).uncertain, flight.totals(FEED).delivered), (3, 1));
    }

    #[test]
    fn a_publisher_that_is_further_than_we_are_ends_what_we_had_open() {
        let mut flight = begun(0);
        let first = take(&mut flight, 1, 3);
        flight.welcome(FEED, REGION, STREAM, Seq(50));
        assert_eq!(flight.open(), 0);
        assert!(flight.settle(first, Fate::Delivered).is_none());
        let next = take(&mut flight, 51, 1);
        assert!(flight.settle(next, Fate::Delivered).is_some());
        assert_eq!(moved(&mut flight), [51]);
    }

    #[test]
    fn a_publisher_that_forgot_what_we_took_makes_repeats_that_are_counted() {
        let mut flight = begun(0);
        let first = take(&mut flight, 1, 3);
        let again = take(&mut flight, 2, 4);
        assert_eq!((flight.open(), flight.totals(FEED).repeated), (4, 2));
        assert!(flight.settle(first, Fate::Delivered).is_none(), "the lane went on without it");
        for offset in 0..4 {
            flight.settle(at(again, offset), Fate::Delivered);
        }
        assert_eq!(moved(&mut flight), [5]);
    }

    #[test]
    fn feeds_and_streams_do_not_meet() {
        let mut flight = begun(4);
        take(&mut flight, 5, 3);
        let other = flight.take(FeedNo(1), REGION, STREAM, Seq(1), 1);
        let late = flight.take(FEED, REGION, Stream(9), Seq(1), 1);
        flight.settle(other, Fate::Delivered);
        flight.settle(late, Fate::Dead);
        assert_eq!(moved(&mut flight), [1, 1]);
        assert_eq!((flight.totals(FEED).taken, flight.totals(FeedNo(1)).taken), (4, 1));
    }

    #[test]
    fn a_welcome_that_knows_of_no_more_than_was_taken_forgets_nothing() {
        let mut flight = begun(10);
        let first = take(&mut flight, 11, 4);
        flight.welcome(FEED, REGION, STREAM, Seq(14));
        assert!(flight.settle(first, Fate::Known).is_some());
        let totals = Totals { taken: 4, known: 1, ..Totals::default() };
        assert_eq!((flight.totals(FEED), moved(&mut flight)), (totals, vec![11]));
    }

    /// Records of which every second one is a beat, all received at once.
    fn records(first: u64, count: u32) -> Records<Vec<u8>> {
        let mut body = Vec::new();
        let seed = Seed::new(REGION, STREAM);
        for seq in (first..).take(count as usize).map(Seq) {
            let mark = if seq.0 % 2 == 0 {
                ""
            } else {
                "&id=sparkngin-heartbeat-1-1.&data=sparkngin-heartbeat-1-1."
            };
            let bytes = stored(&format!("topic=a{mark}"), 5_000_000_000);
            record::write(seed, Record { seq, received: 5_000_000_000, bytes: &bytes }, &mut body);
        }
        Records { region: REGION, stream: STREAM, first: Seq(first), count, body, skip: 0 }
    }

    #[test]
    fn heartbeats_are_counted_apart_and_hold_the_cursor_as_events_do() {
        let mut flight = begun(0);
        let first = flight.take_records(FEED, &records(1, 4));
        assert_eq!(flight.open(), 4);
        let settled = [1, 2, 3].map(|offset| flight.settle(at(first, offset), Fate::Delivered));
        let (event, beat) = (Some(Settled::Event), Some(Settled::Heartbeat));
        assert_eq!((settled, moved(&mut flight)), ([event, beat, event], vec![]));
        assert_eq!(flight.settle(first, Fate::Dead), beat);
        assert_eq!(flight.settle(first, Fate::Delivered), None);
        assert_eq!((flight.open(), moved(&mut flight)), (0, vec![4]));
        let totals = Totals {
            taken: 2,
            delivered: 2,
            taken_heartbeats: 2,
            delivered_heartbeats: 1,
            dead: 1,
            ..Totals::default()
        };
        assert_eq!(flight.totals(FEED), totals, "what is refused is refused, whatever it was");
    }

    #[test]
    fn of_a_stream_as_many_are_believed_to_be_heartbeats_as_by_a_worker() {
        let mut flight = begun(0);
        flight.take_records(FEED, &records(1, 30));
        flight.take_records(FEED, &records(31, 10));
        let totals = flight.totals(FEED);
        assert_eq!((totals.taken, totals.taken_heartbeats), (30, 10));
    }

    #[test]
    fn a_heartbeat_that_is_given_up_is_open_no_more() {
        let mut flight = begun(0);
        flight.take_records(FEED, &records(1, 4));
        flight.welcome(FEED, REGION, STREAM, Seq(9));
        assert_eq!(flight.open(), 0);
    }
}
