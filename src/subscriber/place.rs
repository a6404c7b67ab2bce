//! How far one stream is: all up to a seq, what of it is not in Kafka, and what is done beyond it while something waits.
//!
//! ```text
//!   1 ...                 seq      beyond
//!   |  done, and counted  | waits  | done | waits | dead |
//! ```
//!
//! The text of a cursor in Kafka is made and read here, too. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sparkngin_core::feed;
use sparkngin_core::id::Seq;

/// What is known of a seq that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// In Kafka.
    Delivered,
    /// In the dead letter.
    Dead,
    /// Overwritten before it was taken.
    Lost,
    /// Perhaps committed before a power loss.
    Uncertain,
}

/// How many seqs up to a place are not in Kafka, since the stream's cursor began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Overwritten, before the cursor's time, or not held for it.
    pub lost: u64,
    /// In the dead letter.
    pub dead: u64,
    /// Perhaps committed before a power loss.
    pub uncertain: u64,
}

/// A stream's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    seq: u64,
    counts: Counts,
    /// First -> last of what is done beyond `seq + 1`; no two of a kind touch.
    beyond: BTreeMap<u64, (u64, Done)>,
}

/// A cursor's value, as it lies in Kafka.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    v: u32,
    seq: u64,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    dead: u64,
    #[serde(default)]
    uncertain: u64,
    #[serde(default)]
    feed: String,
    /// Runs from `seq` on: how many are open, how many done, how many open ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    beyond: Vec<u64>,
    /// Which of the done ones are in the dead letter, as runs in the same way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dead_beyond: Vec<u64>,
}

/// The version of a cursor's value.
const VERSION: u32 = 1;

impl Place {
    /// What the publisher has stored.
    pub fn stored(seq: Seq, counts: Counts) -> Place {
        Place { seq: seq.0, counts, beyond: BTreeMap::new() }
    }

    /// Whether all of these are done.
    pub fn has(&self, from: Seq, to: Seq) -> bool {
        let mut from = from.0.max(self.seq + 1);
        while from <= to.0 {
            match self.beyond.range(..=from).next_back() {
                Some((_, (end, _))) if *end >= from => from = end + 1,
                _ => return false,
            }
        }
        true
    }

    /// For the publisher.
    pub fn acknowledgement(&self) -> feed::Place {
        let Counts { lost, dead, uncertain } = self.counts;
        feed::Place { acked: Seq(self.seq), lost, dead, uncertain, ..feed::Place::default() }
    }

    /// These are done now, but for those that were before.
    pub fn add(&mut self, from: Seq, to: Seq, kind: Done) {
        let mut from = from.0.max(self.seq + 1);
        while from <= to.0 {
            // The next one that was done before bounds what is new.
            let inside =
                self.beyond.range(..=from).next_back().filter(|(_, (end, _))| *end >= from);
            if let Some((_, (end, _))) = inside {
                from = end + 1;
                continue;
            }
            let next = self.beyond.range(from..).next().map_or(u64::MAX, |(next, _)| *next);
            let end = to.0.min(next - 1);
            self.insert(from, end, kind);
            from = end.max(self.seq) + 1;
        }
    }

    /// Neither end touches anything done.
    fn insert(&mut self, from: u64, to: u64, kind: Done) {
        if from == self.seq + 1 {
            self.pass(to, kind);
            while let Some(first) = self.beyond.first_entry().filter(|e| *e.key() == self.seq + 1) {
                let (to, kind) = first.remove();
                self.pass(to, kind);
            }
            return;
        }
        let mut joined = (from, to);
        if let Some((&before, &(end, of))) = self.beyond.range(..from).next_back() {
            if end + 1 == from && of == kind {
                joined.0 = before;
            }
        }
        if let Some(&(end, _)) = self.beyond.get(&(to + 1)).filter(|(_, of)| *of == kind) {
            self.beyond.remove(&(to + 1));
            joined.1 = end;
        }
        self.beyond.insert(joined.0, (joined.1, kind));
    }

    fn pass(&mut self, to: u64, kind: Done) {
        let count = to - self.seq;
        match kind {
            Done::Delivered => {}
            Done::Dead => self.counts.dead += count,
            Done::Lost => self.counts.lost += count,
            Done::Uncertain => self.counts.uncertain += count,
        }
        self.seq = to;
    }

    /// Takes in what another one knows of the same stream: the further one's counts hold.
    pub fn merge(&mut self, mut other: Place) {
        if other.seq > self.seq {
            std::mem::swap(self, &mut other);
        }
        for (from, (to, kind)) in other.beyond {
            self.add(Seq(from), Seq(to), kind);
        }
    }

    /// The value of its cursor in Kafka; `feed` is for people, and tells when it may be forgotten.
    pub fn text(&self, feed: &str) -> String {
        let runs = |wanted: fn(Done) -> bool| {
            let (mut runs, mut at) = (Vec::new(), self.seq);
            let mut open = true;
            for (&from, &(to, kind)) in &self.beyond {
                if !wanted(kind) {
                    continue;
                }
                if !open && from == at + 1 {
                    // It touches the one before, which is of another kind.
                    if let Some(last) = runs.last_mut() {
                        *last += to - at;
                    }
                } else {
                    runs.extend([from - at - 1, to - from + 1]);
                }
                (at, open) = (to, false);
            }
            runs
        };
        let Counts { lost, dead, uncertain } = self.counts;
        let text = Text {
            v: VERSION,
            seq: self.seq,
            lost,
            dead,
            uncertain,
            feed: feed.to_owned(),
            // What was told lost or uncertain is told again: only what this subscriber did is kept.
            beyond: runs(|kind| matches!(kind, Done::Delivered | Done::Dead)),
            dead_beyond: runs(|kind| kind == Done::Dead),
        };
        // Numbers and strings: nothing of it can fail.
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads a cursor's value: the place and the feed.
    pub fn read(text: &[u8]) -> Option<(Place, String)> {
        let text: Text =
            serde_json::from_slice(text).ok().filter(|text: &Text| text.v == VERSION)?;
        let counts = Counts { lost: text.lost, dead: text.dead, uncertain: text.uncertain };
        let mut place = Place::stored(Seq(text.seq), counts);
        for (runs, kind) in [(&text.dead_beyond, Done::Dead), (&text.beyond, Done::Delivered)] {
            let mut at = text.seq;
            for run in runs.chunks_exact(2) {
                let from = at.checked_add(run[0])?.checked_add(1)?;
                at = from.checked_add(run[1])?.checked_sub(1)?;
                place.add(Seq(from), Seq(at), kind);
            }
        }
        Some((place, text.feed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u64) -> Place {
        Place::stored(Seq(seq), Counts::default())
    }

    impl Place {
        pub fn seq(&self) -> Seq {
            Seq(self.seq)
        }
    }

    fn has(place: &Place, seq: u64) -> bool {
        place.has(Seq(seq), Seq(seq))
    }

    fn add(place: &mut Place, from: u64, to: u64, kind: Done) {
        place.add(Seq(from), Seq(to), kind);
    }

    #[test]
    fn the_place_moves_over_what_is_done_without_a_gap_and_counts_what_is_not_in_kafka() {
        let mut p = place(10);
        add(&mut p, 11, 12, Done::Delivered);
        add(&mut p, 14, 14, Done::Dead);
        add(&mut p, 15, 20, Done::Lost);
        assert_eq!(p.seq(), Seq(12));
        assert!(has(&p, 12) && !has(&p, 13) && has(&p, 20) && !has(&p, 21));
        add(&mut p, 13, 13, Done::Uncertain);
        assert_eq!(p.seq(), Seq(20));
        assert_eq!(p.counts, Counts { lost: 6, dead: 1, uncertain: 1 });
        assert!(p.beyond.is_empty());
    }

    #[test]
    fn a_hole_told_over_what_is_in_kafka_counts_only_the_others() {
        let mut p = place(10);
        add(&mut p, 13, 14, Done::Delivered);
        add(&mut p, 17, 17, Done::Dead);
        add(&mut p, 5, 20, Done::Lost);
        assert_eq!((p.seq(), p.counts), (Seq(20), Counts { lost: 7, dead: 1, uncertain: 0 }));
        add(&mut p, 1, 20, Done::Lost);
        assert_eq!(p.counts.lost, 7, "nothing twice");
    }

    #[test]
    fn what_is_written_is_read_and_holes_are_not_written() {
        let mut p = Place::stored(Seq(100), Counts { lost: 1, dead: 2, uncertain: 3 });
        add(&mut p, 102, 110, Done::Delivered);
        add(&mut p, 111, 112, Done::Dead);
        add(&mut p, 113, 113, Done::Delivered);
        add(&mut p, 120, 121, Done::Delivered);
        add(&mut p, 130, 131, Done::Dead);
        let text = p.text("ipc://f");
        assert_eq!(
            text,
            r#"{"v":1,"seq":100,"lost":1,"dead":2,"uncertain":3,"feed":"ipc://f","beyond":[1,12,6,2,8,2],"dead_beyond":[10,2,17,2]}"#
        );
        assert_eq!(Place::read(text.as_bytes()), Some((p.clone(), "ipc://f".to_owned())));
        add(&mut p, 140, 150, Done::Lost);
        assert_eq!(p.text("ipc://f"), text);
        let plain = place(7).text("f");
        assert_eq!(plain, r#"{"v":1,"seq":7,"lost":0,"dead":0,"uncertain":0,"feed":"f"}"#);
    }

    #[test]
    fn a_text_that_is_none_is_nothing() {
        for text in ["", "{}", r#"{"v":2,"seq":1}"#, r#"{"v":1,"seq":-1}"#] {
            assert_eq!(Place::read(text.as_bytes()), None, "{text}");
        }
        let far = format!(r#"{{"v":1,"seq":5,"beyond":[{},9]}}"#, u64::MAX);
        assert_eq!(Place::read(far.as_bytes()), None);
        // A run of nothing is none.
        let (p, _) = Place::read(br#"{"v":1,"seq":5,"beyond":[1,0]}"#).unwrap();
        assert_eq!(p, place(5));
    }

    #[test]
    fn of_two_places_the_further_ones_counts_hold_and_both_ones_beyond() {
        let mut near = place(10);
        add(&mut near, 15, 16, Done::Delivered);
        add(&mut near, 30, 31, Done::Lost);
        let mut far = Place::stored(Seq(14), Counts { dead: 2, ..Counts::default() });
        add(&mut far, 18, 19, Done::Delivered);
        for (mut one, other) in [(near.clone(), far.clone()), (far, near)] {
            one.merge(other);
            assert_eq!((one.seq(), one.counts.dead), (Seq(16), 2));
            assert!(has(&one, 18) && has(&one, 31) && !has(&one, 17));
        }
    }

    #[test]
    fn any_order_of_the_same_seqs_comes_to_the_same_place() {
        let mut seed = 7_u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..200 {
            let mut seqs: Vec<u64> = (1..=60).collect();
            for at in (1..seqs.len()).rev() {
                seqs.swap(at, next(at as u64 + 1) as usize);
            }
            let kind = |n: u64| [Done::Delivered, Done::Dead, Done::Lost][(n % 3) as usize];
            let mut p = place(0);
            let mut done = [false; 62];
            done[0] = true;
            for n in seqs {
                add(&mut p, n, n, kind(n));
                done[n as usize] = true;
                assert_eq!(p.seq().0 as usize, done.iter().position(|done| !done).unwrap() - 1);
                assert!((0..62).all(|n| has(&p, n) == done[n as usize]));
            }
            assert_eq!(p.counts, Counts { lost: 20, dead: 20, uncertain: 0 });
        }
    }

    #[test]
    fn what_touches_and_is_of_one_kind_is_one_range() {
        let mut p = place(10);
        for (from, to) in [(13, 14), (17, 18), (15, 16)] {
            add(&mut p, from, to, Done::Lost);
        }
        add(&mut p, 19, 19, Done::Dead);
        let ranges: Vec<_> = p.beyond.iter().map(|(from, (to, _))| (*from, *to)).collect();
        assert_eq!(ranges, [(13, 18), (19, 19)]);
        add(&mut p, 11, 12, Done::Uncertain);
        let told = p.acknowledgement();
        assert_eq!((told.acked, told.lost, told.dead, told.uncertain), (Seq(19), 6, 1, 2));
    }

    #[test]
    fn of_two_that_are_as_far_the_ones_own_counts_hold() {
        let lost = |lost| Place::stored(Seq(10), Counts { lost, ..Counts::default() });
        let (mut one, mut other) = (lost(1), lost(2));
        add(&mut other, 13, 14, Done::Dead);
        one.merge(other);
        assert_eq!((one.seq(), one.counts.lost), (Seq(10), 1));
        assert!(has(&one, 13) && has(&one, 14));
    }
}
