//! The auditor's core: what was found in Kafka, what explains the rest, and what is left unexplained. No I/O.
//!
//! A stream's seqs have no legal hole, so every seq between its first and its last must be found as a record, or be
//! explained: as a dead letter, by a LOST or UNCERTAIN that the subscriber wrote down, or by the ring that still has
//! it. And in one partition the first sightings of a stream's seqs must rise: so a swap is seen, while what is sent
//! again (a repeated run, in order) only counts as duplicates.

use std::collections::{BTreeMap, HashMap};

use sparkngin_core::id::{EventId, Region, Stream};

use super::seqs::Seqs;
use crate::flight::Hole;

/// Unexplained ranges that are named, for each stream.
const NAMED: usize = 100;

/// A stream of a ring file.
pub type Key = (Region, Stream);

/// One partition while it is read.
#[derive(Debug, Default)]
pub struct Partition {
    lanes: HashMap<Key, Lane>,
}

/// One stream in one partition.
#[derive(Debug, Default)]
struct Lane {
    seen: Seqs,
    /// First sightings that a higher one of this partition went before.
    late: Seqs,
    highest: u64,
    duplicates: u64,
    hours: BTreeMap<u64, Hour>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Books {
    streams: BTreeMap<Key, Found>,
}

/// All of one stream.
#[derive(Debug, Default)]
struct Found {
    seen: Seqs,
    late: Seqs,
    /// In more than one partition: partitions were added between two tries.
    elsewhere: Seqs,
    duplicates: u64,
    hours: BTreeMap<u64, Hour>,
    dead: Seqs,
    lost: Seqs,
    uncertain: Seqs,
    freed: Seqs,
    in_ring: Seqs,
    ring: Option<RingStream>,
}

/// What a ring says of one of its streams, for the subscriber that is audited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingStream {
    /// So many of the acknowledged were before its time: the first ones, and those told to be freed.
    pub start: u64,
    /// Everything up to here is acknowledged.
    pub acked: u64,
    /// The last that was committed.
    pub last: u64,
    /// Of the acknowledged: in Kafka.
    pub delivered: u64,
    /// Of the acknowledged: lost.
    pub lost: u64,
    /// Of the acknowledged: dead-lettered.
    pub dead: u64,
    /// Of the acknowledged: uncertain.
    pub uncertain: u64,
    /// Not acknowledged, and still to be read: first and last seq of each run.
    pub in_ring: Vec<(u64, u64)>,
    /// Not acknowledged, and overwritten.
    pub overwritten: Vec<(u64, u64)>,
}

/// Events, by where they are. `missing` alone is unexplained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In the topics, each counted once.
    pub in_kafka: u64,
    /// In the dead letter, not in the topics.
    pub dead: u64,
    /// Told to be lost.
    pub lost: u64,
    /// Told to be uncertain.
    pub uncertain: u64,
    /// Told to be gone before anybody held them for this subscriber: none of its events.
    pub freed: u64,
    /// Still in the ring.
    pub in_ring: u64,
    /// Older than what Kafka keeps.
    pub expired: u64,
    /// Nowhere.
    pub missing: u64,
}

/// One hour of a stream: of the records' times, in hours since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// The lowest seq in Kafka.
    pub first: u64,
    /// The highest.
    pub last: u64,
    /// Records beyond the first one of an event.
    pub duplicates: u64,
    /// The events; a gap belongs to the hour of the event before it.
    pub count: Count,
}

/// The closed books of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub key: Key,
    /// The first seq that is accounted for, and the last.
    pub range: (u64, u64),
    /// The events.
    pub count: Count,
    /// Records beyond the first one of an event.
    pub duplicates: u64,
    /// Events that overtook another one of their stream in a partition.
    pub out_of_order: u64,
    /// Events that the ring counts as delivered, and that no gap shows.
    pub ring_short: u64,
    /// By hour.
    pub hours: BTreeMap<u64, Hour>,
    /// Missing ones, and those out of order, as ranges; 100 of each at most.
    pub missing: Vec<(u64, u64)>,
    /// See `missing`.
    pub late: Vec<(u64, u64)>,
    /// What the ring says, if it was asked.
    pub ring: Option<RingStream>,
}

impl Partition {
    /// The next record, in the order of offsets; `hour` is its time's, since 1970.
    pub fn take(&mut self, id: EventId, hour: u64) {
        let lane = self.lanes.entry((id.region, id.stream)).or_default();
        let seq = id.seq.0;
        let of_hour = lane.hours.entry(hour).or_default();
        if !lane.seen.insert(seq) {
            lane.duplicates += 1;
            of_hour.duplicates += 1;
            return;
        }
        of_hour.add(seq);
        if seq < lane.highest {
            lane.late.insert(seq);
        }
        lane.highest = lane.highest.max(seq);
    }
}

impl Hour {
    fn add(&mut self, seq: u64) {
        self.first = if self.count.in_kafka == 0 { seq } else { self.first.min(seq) };
        self.last = self.last.max(seq);
        self.count.in_kafka += 1;
    }

    fn merge(&mut self, other: Hour) {
        if other.count.in_kafka > 0 {
            let first = self.first.min(other.first);
            self.first = if self.count.in_kafka == 0 { other.first } else { first };
            self.last = self.last.max(other.last);
        }
        self.count.in_kafka += other.count.in_kafka;
        self.duplicates += other.duplicates;
    }
}

impl Books {
    /// A partition was read to its end.
    pub fn add(&mut self, partition: Partition) {
        for (key, lane) in partition.lanes {
            let found = self.streams.entry(key).or_default();
            let again: Vec<_> = found.seen.common(&lane.seen).collect();
            for (from, to) in again {
                found.elsewhere.insert_range(from, to);
                found.duplicates += to - from + 1;
            }
            found.seen.insert_all(&lane.seen);
            found.late.insert_all(&lane.late);
            found.duplicates += lane.duplicates;
            for (hour, of_lane) in lane.hours {
                found.hours.entry(hour).or_default().merge(of_lane);
            }
        }
    }

    /// An event is in the dead letter.
    pub fn letter(&mut self, id: EventId) {
        self.streams.entry((id.region, id.stream)).or_default().dead.insert(id.seq.0);
    }

    /// The subscriber was told of a hole.
    pub fn hole(&mut self, key: Key, hole: Hole, (from, to): (u64, u64)) {
        let found = self.streams.entry(key).or_default();
        match hole {
            Hole::Lost => found.lost.insert_range(from.max(1), to),
            Hole::Uncertain => found.uncertain.insert_range(from.max(1), to),
            Hole::Freed => found.freed.insert_range(from.max(1), to),
        }
    }

    /// A ring's word. It must be read before the ends of the partitions are.
    pub fn ring(&mut self, key: Key, said: RingStream) {
        let found = self.streams.entry(key).or_default();
        said.in_ring.iter().for_each(|(from, to)| found.in_ring.insert_range(*from, *to));
        said.overwritten.iter().for_each(|(from, to)| found.lost.insert_range(*from, *to));
        found.ring = Some(said);
    }

    /// Closes them. `expired`: Kafka has deleted records up to this hour.
    pub fn close(self, expired: Option<u64>) -> Vec<Closed> {
        let closed = self.streams.into_iter().map(|(key, found)| found.close(key, expired));
        closed.filter(|stream| stream.range.0 <= stream.range.1).collect()
    }
}

impl Found {
    /// The seqs that must be accounted for.
    fn range(&self) -> (u64, u64) {
        let all = [&self.seen, &self.dead, &self.lost, &self.uncertain, &self.freed];
        let first = all.iter().filter_map(|set| set.next_in(0)).min().unwrap_or(1);
        let last = all.iter().filter_map(|set| set.last()).max().unwrap_or(0);
        match &self.ring {
            Some(ring) => {
                let freed = within(&self.freed, ring.acked);
                (first.min(ring.start.saturating_sub(freed) + 1), last.max(ring.last))
            }
            None => (first, last),
        }
    }

    fn close(self, key: Key, expired: Option<u64>) -> Closed {
        let range = self.range();
        let mut closed = Closed {
            key,
            range,
            count: Count { in_kafka: self.seen.len(), ..Count::default() },
            duplicates: self.duplicates,
            out_of_order: 0,
            ring_short: 0,
            hours: self.hours.clone(),
            missing: Vec::new(),
            late: Vec::new(),
            ring: self.ring.clone(),
        };
        let mut firsts: Vec<(u64, u64)> = self.hours.iter().map(|(h, of)| (of.first, *h)).collect();
        firsts.retain(|(first, _)| *first > 0);
        firsts.sort_unstable();
        self.gaps(range, |class, from, to| {
            let events = (to - from).saturating_add(1);
            let before = firsts.partition_point(|(first, _)| *first < from);
            let hour = before.checked_sub(1).map_or(firsts.first(), |n| firsts.get(n));
            let hour = hour.map(|(_, hour)| *hour);
            let gone = class.is_none() && expired.is_some_and(|e| hour.is_none_or(|h| h <= e));
            let of_hour = hour.and_then(|hour| closed.hours.get_mut(&hour));
            for count in [Some(&mut closed.count), of_hour.map(|of| &mut of.count)] {
                let Some(count) = count else { continue };
                let field = match class {
                    Some(class) => count.of(class),
                    None if gone => &mut count.expired,
                    None => &mut count.missing,
                };
                *field = field.saturating_add(events);
            }
            if class.is_none() && !gone && closed.missing.len() < NAMED {
                closed.missing.push((from, to));
            }
        });
        self.order(&mut closed);
        closed.ring_short = self.short(&closed);
        closed
    }

    /// Walks over what is not in Kafka: each run that has one explanation, the first that fits; or none.
    fn gaps(&self, (from, to): (u64, u64), mut see: impl FnMut(Option<usize>, u64, u64)) {
        let Found { seen, dead, lost, uncertain, freed, in_ring, .. } = self;
        let classes = [seen, dead, lost, uncertain, freed, in_ring];
        let mut at = Some(from);
        while let Some(here) = at.filter(|here| *here <= to) {
            let class = classes.iter().position(|set| set.contains(here));
            // It ends where its set does, or one that goes before it begins.
            let before = &classes[..class.unwrap_or(classes.len())];
            let begins = before.iter().filter_map(|set| set.next_in(here)).min();
            let ends = class.and_then(|class| classes[class].next_out(here));
            let next = [begins, ends].into_iter().flatten().min();
            let last = next.map_or(to, |next| (next - 1).min(to));
            if class != Some(0) {
                see(class.map(|class| class - 1), here, last);
            }
            at = last.checked_add(1);
        }
    }

    /// What came late, was sent to one partition only, and is no letter that went through after all.
    fn order(&self, closed: &mut Closed) {
        let mut excused = self.elsewhere.clone();
        excused.insert_all(&self.dead);
        for (from, to) in self.late.runs() {
            for seq in (from..=to).filter(|seq| !excused.contains(*seq)) {
                closed.out_of_order += 1;
                let named = closed.late.len();
                match closed.late.last_mut().filter(|(_, last)| *last + 1 == seq) {
                    Some((_, last)) => *last = seq,
                    None if named < NAMED => closed.late.push((seq, seq)),
                    None => {}
                }
            }
        }
    }

    /// How many more events the ring counts as delivered than are found, beside those that are missing.
    fn short(&self, closed: &Closed) -> u64 {
        let Some(ring) = &self.ring else { return 0 };
        let found = within(&self.seen, ring.acked);
        ring.delivered
            .saturating_sub(found)
            .saturating_sub(closed.count.missing + closed.count.expired)
    }
}

/// How many of a set there are up to `last`.
fn within(set: &Seqs, last: u64) -> u64 {
    let runs = set.runs().take_while(|(from, _)| *from <= last);
    runs.map(|(from, to)| to.min(last) - from + 1).sum()
}

impl Count {
    /// By the place in `Found::gaps`.
    fn of(&mut self, class: usize) -> &mut u64 {
        match class {
            0 => &mut self.dead,
            1 => &mut self.lost,
            2 => &mut self.uncertain,
            3 => &mut self.freed,
            _ => &mut self.in_ring,
        }
    }
}

impl Closed {
    /// How many events nobody can explain.
    pub fn unexplained(&self) -> u64 {
        self.count.missing.saturating_add(self.out_of_order).saturating_add(self.ring_short)
    }
}
