//! The places of all streams, as Kafka has them: a transaction moves them together, or not at all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sparkngin_core::feed::{self, Welcome};
use sparkngin_core::id::{Region, Seq, Stream};

use crate::flight::FeedNo;
use crate::place::{Counts, Done, Place};

/// A region that its feed does not name any more is forgotten after this time: a publisher may find an old file late.
const FORGET: Duration = Duration::from_secs(3600);

/// Which stream.
pub type Key = (Region, Stream);

/// A cursor as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whose.
    pub key: Key,
    /// Where it is.
    pub place: Place,
    /// The feed that it came from, as its writer named it.
    pub feed: String,
}

#[derive(Debug, Default)]
struct Entry {
    /// Its feed, once that named the region in this process.
    feed: Option<FeedNo>,
    /// The feed's name in the cursor.
    endpoint: String,
    committed: Place,
    /// With what the transaction under way has.
    next: Option<Place>,
    /// The publisher is to be told.
    moved: bool,
    /// A cursor is in Kafka.
    written: bool,
    /// Since when its feed does not name the region.
    gone: Option<Instant>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Places {
    streams: HashMap<Key, Entry>,
    /// The streams of the transaction under way, in the order in which they came to it.
    touched: Vec<Key>,
    /// The forgotten ones of it.
    forgotten: Vec<Key>,
}

impl Places {
    /// What Kafka has. A transaction under way is over, one way or another: what it did is among this, or undone.
    pub fn read(&mut self, cursors: Vec<Cursor>) {
        self.undo();
        for Cursor { key, place, feed } in cursors {
            let entry = self.streams.entry(key).or_default();
            entry.committed.merge(place);
            (entry.moved, entry.written) = (true, true);
            if entry.feed.is_none() {
                entry.endpoint = feed;
            }
        }
    }

    /// A session is open: which regions there are, and what the publisher has stored of each.
    pub fn welcome(&mut self, feed: FeedNo, endpoint: &str, welcome: &Welcome, now: Instant) {
        for (key, entry) in &mut self.streams {
            let listed = welcome.regions.iter().any(|at| at.region == key.0);
            if !listed && entry.endpoint == endpoint {
                entry.gone.get_or_insert(now);
            }
        }
        for region in &welcome.regions {
            for at in &region.streams {
                let entry = self.streams.entry((region.region, at.stream)).or_default();
                let counts = Counts { lost: at.lost, dead: at.dead, uncertain: at.uncertain };
                entry.committed.merge(Place::stored(at.acked, counts));
                entry.at(feed, endpoint);
            }
        }
    }

    /// Whether these are done, or in the transaction under way, all of them.
    pub fn has(&self, key: Key, (from, to): (Seq, Seq)) -> bool {
        self.streams
            .get(&key)
            .is_some_and(|entry| entry.next.as_ref().unwrap_or(&entry.committed).has(from, to))
    }

    /// An event goes with the transaction under way, or the note of a hole.
    pub fn add(
        &mut self,
        feed: FeedNo,
        endpoint: &str,
        key: Key,
        (from, to): (Seq, Seq),
        kind: Done,
    ) {
        let entry = self.streams.entry(key).or_default();
        if entry.feed.is_none() {
            entry.at(feed, endpoint);
        }
        let next = entry.next.get_or_insert_with(|| {
            self.touched.push(key);
            entry.committed.clone()
        });
        next.add(from, to, kind);
    }

    /// Whether the transaction under way has anything.
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The cursors that belong into the transaction under way, which has everything else: key and value, or no value
    /// for a region that is forgotten.
    pub fn cursors(&mut self, now: Instant) -> Vec<(Key, Option<String>)> {
        let value = |key: &Key| {
            let entry = self.streams.get(key)?;
            Some((*key, Some(entry.next.as_ref()?.text(&entry.endpoint))))
        };
        let mut cursors: Vec<_> = self.touched.iter().filter_map(value).collect();
        let old = |entry: &Entry| entry.gone.is_some_and(|gone| now.duration_since(gone) >= FORGET);
        let gone =
            |(key, entry): (&Key, &Entry)| (old(entry) && entry.next.is_none()).then_some(*key);
        self.forgotten = self.streams.iter().filter_map(gone).collect();
        let written = |key: &&Key| self.streams.get(*key).is_some_and(|entry| entry.written);
        cursors.extend(self.forgotten.iter().filter(written).map(|key| (*key, None)));
        cursors
    }

    /// The transaction was committed.
    pub fn commit(&mut self) {
        for key in self.touched.drain(..) {
            let Some(entry) = self.streams.get_mut(&key) else { continue };
            if let Some(next) = entry.next.take() {
                entry.committed = next;
                (entry.moved, entry.written) = (true, true);
            }
        }
        for key in self.forgotten.drain(..) {
            self.streams.remove(&key);
        }
    }

    fn undo(&mut self) {
        for key in self.touched.drain(..) {
            if let Some(entry) = self.streams.get_mut(&key) {
                entry.next = None;
            }
        }
        self.forgotten.clear();
    }

    /// The places that moved since they were last asked for.
    pub fn moved(&mut self, mut see: impl FnMut(FeedNo, Key, feed::Place)) {
        for (key, entry) in &mut self.streams {
            if let (true, Some(feed)) = (entry.moved, entry.feed) {
                entry.moved = false;
                see(feed, *key, entry.committed.acknowledgement());
            }
        }
    }
}

impl Entry {
    fn at(&mut self, feed: FeedNo, endpoint: &str) {
        (self.feed, self.gone, self.moved) = (Some(feed), None, true);
        endpoint.clone_into(&mut self.endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparkngin_core::feed::{RegionState, SessionId, State, StreamState};

    const FEED: FeedNo = FeedNo(0);
    const KEY: Key = (Region(1), Stream(2));

    fn welcome(acked: u64, lost: u64) -> Welcome {
        let at = StreamState {
            stream: KEY.1,
            acked: Seq(acked),
            last: Seq(1000),
            lost,
            dead: 0,
            uncertain: 0,
        };
        let state = RegionState { region: KEY.0, state: State::Open, streams: vec![at] };
        Welcome { v: 1, session: SessionId(1), regions: vec![state] }
    }

    fn add(places: &mut Places, seq: u64, kind: Done) {
        places.add(FEED, "f", KEY, (Seq(seq), Seq(seq)), kind);
    }

    fn has(places: &Places, seq: u64) -> bool {
        places.has(KEY, (Seq(seq), Seq(seq)))
    }

    fn moved(places: &mut Places) -> Vec<(u64, u64, u64)> {
        let mut all = Vec::new();
        places.moved(|_, _, place| all.push((place.acked.0, place.lost, place.dead)));
        all
    }

    fn begun(acked: u64) -> Places {
        let mut places = Places::default();
        places.welcome(FEED, "f", &welcome(acked, 0), Instant::now());
        moved(&mut places);
        places
    }

    fn place_of(places: &mut Places, now: Instant) -> Place {
        let cursors = places.cursors(now);
        Place::read(cursors[0].1.as_ref().unwrap().as_bytes()).unwrap().0
    }

    #[test]
    fn the_publisher_is_told_only_what_is_committed() {
        let now = Instant::now();
        let mut places = begun(10);
        add(&mut places, 11, Done::Delivered);
        add(&mut places, 12, Done::Dead);
        assert!(has(&places, 12) && !has(&places, 13));
        assert_eq!(moved(&mut places), []);
        assert_eq!(place_of(&mut places, now).seq(), Seq(12));
        places.commit();
        assert_eq!(moved(&mut places), [(12, 0, 1)]);
        assert_eq!(moved(&mut places), [], "said once");
        assert!(!places.is_touched());
    }

    #[test]
    fn what_was_under_way_is_undone_unless_kafka_has_it() {
        let now = Instant::now();
        let mut places = begun(10);
        add(&mut places, 11, Done::Delivered);
        places.read(Vec::new());
        assert!(!has(&places, 11), "aborted");
        add(&mut places, 11, Done::Delivered);
        let place = place_of(&mut places, now);
        places.read(vec![Cursor { key: KEY, place, feed: "f".into() }]);
        assert!(has(&places, 11), "committed, though nobody said so");
        assert_eq!(moved(&mut places), [(11, 0, 0)]);
    }

    #[test]
    fn what_the_topic_says_beats_what_the_ring_says_and_the_other_way_round_where_the_ring_is_further()
     {
        let mut places = Places::default();
        let place = Place::stored(Seq(50), Counts { dead: 2, ..Counts::default() });
        places.read(vec![Cursor { key: KEY, place, feed: "f".into() }]);
        assert!(has(&places, 50) && !has(&places, 51));
        assert_eq!(moved(&mut places), [], "no feed named the region yet");
        places.welcome(FEED, "f", &welcome(40, 1), Instant::now());
        assert_eq!(moved(&mut places), [(50, 0, 2)]);
        places.welcome(FEED, "f", &welcome(60, 7), Instant::now());
        assert_eq!(moved(&mut places), [(60, 7, 0)]);
    }

    #[test]
    fn a_hole_goes_with_the_transaction_that_has_its_note() {
        let mut places = begun(0);
        add(&mut places, 1, Done::Delivered);
        places.add(FEED, "f", KEY, (Seq(2), Seq(5)), Done::Lost);
        assert!(places.has(KEY, (Seq(2), Seq(5))) && !places.has(KEY, (Seq(2), Seq(6))));
        places.read(Vec::new());
        add(&mut places, 1, Done::Delivered);
        places.commit();
        assert_eq!(moved(&mut places), [(1, 0, 0)]);
        places.add(FEED, "f", KEY, (Seq(2), Seq(5)), Done::Lost);
        places.commit();
        assert_eq!(moved(&mut places), [(5, 4, 0)]);
    }

    #[test]
    fn a_region_that_its_feed_names_no_more_is_forgotten_after_an_hour_and_no_other_ones() {
        let now = Instant::now();
        let other = (Region(9), Stream(0));
        let gone = (Region(8), Stream(0));
        let mut places = Places::default();
        let cursor = |key, feed: &str| Cursor { key, place: Place::default(), feed: feed.into() };
        places.read(vec![cursor(KEY, "f"), cursor(other, "g"), cursor(gone, "f")]);
        places.welcome(FEED, "f", &welcome(40, 0), now);
        assert_eq!(places.cursors(now), []);
        let later = now + FORGET;
        assert_eq!(places.cursors(later), [(gone, None)]);
        places.read(Vec::new());
        assert_eq!(places.cursors(later), [(gone, None)], "that transaction was undone");
        places.commit();
        assert_eq!(places.cursors(later), []);
        assert_eq!(places.streams.len(), 2);
    }
}
