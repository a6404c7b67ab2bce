//! The auditor's core against logs that are right, and against the same logs with one fault each.

use std::collections::{BTreeMap, BTreeSet};

use sparkngin_core::id::{EventId, Region, Seq, Stream};

use super::books::{Books, Closed, Key, Partition, RingStream};
use crate::flight::Hole;

/// Numbers that look random; the same ones for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// What lies in Kafka, and what the ring says.
#[derive(Clone, Default)]
struct Log {
    partitions: Vec<Vec<EventId>>,
    letters: Vec<EventId>,
    holes: Vec<(Key, Hole, u64, u64)>,
    rings: BTreeMap<Key, RingStream>,
}

fn id(key: Key, seq: u64) -> EventId {
    EventId { region: key.0, stream: key.1, seq: Seq(seq) }
}

impl Log {
    /// A few streams over a few partitions, with letters, holes, and runs that were sent again after a kill.
    fn right(dice: &mut Dice) -> Log {
        let mut log = Log { partitions: vec![Vec::new(); 1 + dice.below(5)], ..Log::default() };
        let keyed = dice.below(2) == 0;
        for stream in 0..1 + dice.below(3) {
            let key = (Region(7), Stream(stream as u16));
            log.stream(dice, key, keyed);
        }
        log
    }

    fn stream(&mut self, dice: &mut Dice, key: Key, keyed: bool) {
        let (start, end) = (dice.below(50) as u64, 200 + dice.below(300) as u64);
        let mut ring = RingStream { start, last: end, ..RingStream::default() };
        let mut seq = start + 1;
        let mut done = Vec::new();
        while seq <= end {
            match dice.below(40) {
                0 => {
                    let to = end.min(seq + dice.below(20) as u64);
                    let hole = [Hole::Lost, Hole::Uncertain][dice.below(2)];
                    self.holes.push((key, hole, seq, to));
                    match hole {
                        Hole::Lost => ring.lost += to - seq + 1,
                        _ => ring.uncertain += to - seq + 1,
                    }
                    // Nothing before a hole is sent again from before it: the ring has it no more.
                    done.clear();
                    seq = to;
                }
                1 => {
                    self.letters.push(id(key, seq));
                    ring.dead += 1;
                }
                2 if !done.is_empty() => {
                    // A new subscriber begins behind what was acknowledged.
                    let again = done.split_off(dice.below(done.len()));
                    for seq in again {
                        self.send(key, seq, keyed);
                        done.push(seq);
                    }
                    continue;
                }
                _ => {
                    self.send(key, seq, keyed);
                    done.push(seq);
                }
            }
            seq += 1;
        }
        let unacknowledged = dice.below(10) as u64;
        ring.acked = end - unacknowledged;
        ring.in_ring.push((ring.acked + 1, end));
        self.rings.insert(key, ring);
    }

    fn send(&mut self, key: Key, seq: u64, keyed: bool) {
        let partitions = self.partitions.len() as u64;
        let at = if keyed { seq.wrapping_mul(0x9e37_79b9) >> 7 } else { seq / 64 };
        self.partitions[(at % partitions) as usize].push(id(key, seq));
    }

    fn audit(&self) -> Vec<Closed> {
        let mut books = Books::default();
        for (key, ring) in &self.rings {
            books.ring(*key, ring.clone());
        }
        for records in &self.partitions {
            let mut partition = Partition::default();
            records.iter().for_each(|id| partition.take(*id, id.seq.0 / 100));
            books.add(partition);
        }
        self.letters.iter().for_each(|id| books.letter(*id));
        self.holes.iter().for_each(|(key, hole, from, to)| books.hole(*key, *hole, (*from, *to)));
        books.close(None)
    }

    /// Places of records whose event is there once, and that nothing else would explain.
    fn single(&self) -> Vec<(usize, usize)> {
        let mut times = BTreeMap::new();
        let all = self.partitions.iter().flatten();
        all.for_each(|id| *times.entry(*id).or_insert(0) += 1);
        let places = self.partitions.iter().enumerate();
        let places = places.flat_map(|(p, records)| (0..records.len()).map(move |at| (p, at)));
        let alone = |id: &EventId| {
            let acked = self.rings[&(id.region, id.stream)].acked;
            times[id] == 1 && id.seq.0 <= acked
        };
        places.filter(|(p, at)| alone(&self.partitions[*p][*at])).collect()
    }

    /// Takes one event away.
    fn drop_one(&mut self, dice: &mut Dice) -> EventId {
        let single = self.single();
        let (p, at) = single[dice.below(single.len())];
        self.partitions[p].remove(at)
    }

    /// Writes one a second time, anywhere behind itself.
    fn duplicate_one(&mut self, dice: &mut Dice) {
        let single = self.single();
        let (p, at) = single[dice.below(single.len())];
        let id = self.partitions[p][at];
        let to = at + 1 + dice.below(self.partitions[p].len() - at);
        self.partitions[p].insert(to, id);
    }

    /// Swaps two events of one stream in one partition.
    fn swap_two(&mut self, dice: &mut Dice) {
        let single = self.single();
        let mut pairs = Vec::new();
        while pairs.is_empty() {
            let (p, at) = single[dice.below(single.len())];
            let here = self.partitions[p][at];
            let same = |id: EventId| (id.region, id.stream) == (here.region, here.stream);
            let fits = |(q, other): &&(usize, usize)| {
                *q == p && *other != at && same(self.partitions[p][*other])
            };
            pairs.extend(single.iter().filter(fits).map(|(_, other)| (p, at, *other)));
        }
        let (p, one, other) = pairs[dice.below(pairs.len())];
        self.partitions[p].swap(one, other);
    }
}

/// (unexplained, missing, out of order, duplicates)
fn sums(closed: &[Closed]) -> (u64, u64, u64, u64) {
    closed.iter().fold((0, 0, 0, 0), |sum, c| {
        let (unexplained, missing) = (sum.0 + c.unexplained(), sum.1 + c.count.missing);
        (unexplained, missing, sum.2 + c.out_of_order, sum.3 + c.duplicates)
    })
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn one_dropped_one_duplicated_two_swapped_and_a_dropped_beside_a_duplicated_are_each_found() {
    let (seed, count) = (number("SEED", 21), number("COUNT", 1000));
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut duplicates = 0;
    for round in 0..count {
        let right = Log::right(&mut dice);
        let (unexplained, _, _, before) = sums(&right.audit());
        assert_eq!(unexplained, 0, "round {round}: {:?}", right.audit());
        duplicates += before;

        let mut log = right.clone();
        let gone = log.drop_one(&mut dice);
        let closed = log.audit();
        assert_eq!(sums(&closed), (1, 1, 0, before), "round {round}: {gone} dropped");
        let of = closed.iter().find(|c| c.key == (gone.region, gone.stream)).unwrap();
        assert_eq!(of.missing, [(gone.seq.0, gone.seq.0)], "round {round}");

        let mut log = right.clone();
        log.duplicate_one(&mut dice);
        assert_eq!(sums(&log.audit()), (0, 0, 0, before + 1), "round {round}: duplicated");

        let mut log = right.clone();
        log.swap_two(&mut dice);
        let (unexplained, missing, late, after) = sums(&log.audit());
        assert_eq!((missing, after), (0, before), "round {round}: swapped");
        assert!(late > 0 && unexplained == late, "round {round}: swapped");

        let mut log = right.clone();
        log.drop_one(&mut dice);
        log.duplicate_one(&mut dice);
        assert_eq!(sums(&log.audit()), (1, 1, 0, before + 1), "round {round}: both");
    }
    assert!(duplicates > count, "what is sent again is in the right logs, too");
    println!("row 21: runs={count}, mutations={}, seed={seed}, undetected=0", 4 * count);
}

const KEY: Key = (Region(1), Stream(2));

fn books(partitions: &[&[u64]]) -> Books {
    let mut books = Books::default();
    for seqs in partitions {
        let mut partition = Partition::default();
        seqs.iter().for_each(|seq| partition.take(id(KEY, *seq), seq / 10));
        books.add(partition);
    }
    books
}

fn closed(books: Books) -> Closed {
    let mut all = books.close(None);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn what_is_sent_again_in_order_is_no_disorder_even_when_it_is_sent_again_once_more() {
    let of = closed(books(&[&[1, 2, 3, 4, 2, 3, 3, 4, 5, 6]]));
    assert_eq!((of.unexplained(), of.duplicates, of.count.in_kafka), (0, 4, 6));
    let of = closed(books(&[&[1, 3, 2, 4]]));
    assert_eq!((of.out_of_order, of.late), (1, vec![(2, 2)]));
}

#[test]
fn what_goes_to_another_partition_after_partitions_were_added_is_a_duplicate_and_no_disorder() {
    // 5 and 6 were sent to the first partition; the next subscriber sent them to the second one, which had 7.
    let of = closed(books(&[&[1, 2, 5, 6], &[3, 4, 7, 5, 6, 8]]));
    assert_eq!((of.unexplained(), of.duplicates, of.count.in_kafka), (0, 2, 8));
}

#[test]
fn a_letter_that_went_through_after_all_came_late_and_is_no_disorder() {
    let mut books = books(&[&[1, 2, 4, 2, 3, 4, 5]]);
    books.letter(id(KEY, 3));
    let of = closed(books);
    assert_eq!((of.unexplained(), of.count.dead, of.count.in_kafka), (0, 0, 5));
}

#[test]
fn each_gap_has_the_first_explanation_that_fits_and_the_hour_of_the_event_before_it() {
    let mut books = books(&[&[1, 2, 10, 20, 30]]);
    books.letter(id(KEY, 3));
    books.hole(KEY, Hole::Lost, (3, 6));
    books.hole(KEY, Hole::Uncertain, (5, 9));
    books.ring(
        KEY,
        RingStream {
            start: 0,
            acked: 30,
            last: 40,
            in_ring: vec![(33, 40)],
            overwritten: vec![(31, 32)],
            ..RingStream::default()
        },
    );
    let of = closed(books);
    let count = of.count;
    assert_eq!((count.dead, count.lost, count.uncertain, count.in_ring), (1, 3 + 2, 3, 8));
    assert_eq!((of.missing.clone(), count.missing), (vec![(11, 19), (21, 29)], 18));
    assert_eq!(of.range, (1, 40));
    let hours: BTreeMap<u64, u64> = of.hours.iter().map(|(h, of)| (*h, of.count.missing)).collect();
    assert_eq!(hours, BTreeMap::from([(0, 0), (1, 9), (2, 9), (3, 0)]));
    assert_eq!((of.hours[&0].first, of.hours[&0].last, of.hours[&0].count.dead), (1, 2, 1));
    assert_eq!(of.hours[&3].count.in_ring, 8);
}

#[test]
fn without_a_ring_the_books_go_from_the_first_to_the_last_that_anybody_knows_of() {
    let mut books = books(&[&[5, 6]]);
    books.hole(KEY, Hole::Lost, (2, 3));
    let of = closed(books);
    assert_eq!((of.range, of.missing), ((2, 6), vec![(4, 4)]));
}

#[test]
fn a_ring_shows_the_first_and_the_last_that_are_missing_and_what_it_counts_too_many() {
    let mut one = books(&[&[5, 6]]);
    let ring = RingStream { start: 3, acked: 8, last: 8, delivered: 5, ..RingStream::default() };
    one.ring(KEY, ring.clone());
    let of = closed(one);
    assert_eq!((of.missing.clone(), of.ring_short), (vec![(4, 4), (7, 8)], 0));
    // All gaps have an explanation, and the ring says that one of these was delivered.
    let mut two = books(&[&[5, 6]]);
    two.hole(KEY, Hole::Lost, (4, 4));
    two.hole(KEY, Hole::Lost, (7, 8));
    two.ring(KEY, RingStream { delivered: 3, lost: 2, ..ring });
    let of = closed(two);
    assert_eq!((of.count.missing, of.ring_short, of.unexplained()), (0, 1, 1));
}

#[test]
fn what_nobody_held_for_a_new_name_is_explained_and_was_before_its_time() {
    // It began behind 3, and 6 and 7 were freed before it had read them: 5 were before its time.
    let mut books = books(&[&[4, 5, 8]]);
    books.hole(KEY, Hole::Freed, (6, 7));
    books.ring(
        KEY,
        RingStream { start: 5, acked: 8, last: 8, delivered: 3, ..RingStream::default() },
    );
    let of = closed(books);
    assert_eq!((of.range, of.count.freed, of.unexplained()), ((4, 8), 2, 0));
}

#[test]
fn a_gap_in_hours_that_kafka_has_deleted_is_expired_and_a_later_one_is_missing() {
    let all = books(&[&[11, 15, 35, 38]]).close(Some(1));
    assert_eq!((all[0].count.expired, all[0].count.missing), (3 + 19, 2));
}

#[test]
fn streams_do_not_meet_and_numbers_have_no_limit() {
    let mut partition = Partition::default();
    for (stream, seq) in [(0, 1), (1, 7), (0, 2), (1, 8), (2, u64::MAX), (2, 1)] {
        partition.take(id((Region(1), Stream(stream)), seq), 0);
    }
    let mut books = Books::default();
    books.add(partition);
    let all = books.close(None);
    let unexplained: BTreeSet<(u16, u64)> =
        all.iter().map(|c| (c.key.1.0, c.unexplained())).collect();
    assert_eq!(unexplained, BTreeSet::from([(0, 0), (1, 0), (2, u64::MAX - 1)]));
}
