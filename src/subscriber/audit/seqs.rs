//! A set of seqs, a bit each at most: a chunk of 4096 of them is 512 bytes while some are missing, and nothing at all
//! when it is full, however many full ones follow one another.
//!
//! Everything is asked by two questions: the first number from here on that is in the set, and the first that is not.

use std::collections::BTreeMap;
use std::ops::Range;

/// Seqs of a chunk, as a power of two.
const SHIFT: u32 = 12;
const WORDS: usize = (1 << SHIFT) / 64;

/// The set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seqs {
    /// Runs of full chunks: the first one's number and the last one's.
    full: BTreeMap<u64, u64>,
    /// Chunks that are neither empty nor full.
    parts: BTreeMap<u64, Box<[u64; WORDS]>>,
}

impl Seqs {
    /// Adds one; false if it was there.
    pub fn insert(&mut self, seq: u64) -> bool {
        let (chunk, bit) = (seq >> SHIFT, seq & ((1 << SHIFT) - 1));
        if self.is_full(chunk) {
            return false;
        }
        let words = self.parts.entry(chunk).or_insert_with(|| Box::new([0; WORDS]));
        let word = &mut words[(bit / 64) as usize];
        let new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        if *word == u64::MAX && words.iter().all(|word| *word == u64::MAX) {
            self.fill(chunk, chunk);
        }
        new
    }

    /// Adds `from..=to`.
    pub fn insert_range(&mut self, from: u64, to: u64) {
        if from > to {
            return;
        }
        let (first, last) = (from >> SHIFT, to >> SHIFT);
        let whole_from = if from == first << SHIFT { first } else { first + 1 };
        let ends_whole = to & ((1 << SHIFT) - 1) == (1 << SHIFT) - 1;
        let whole_to = if ends_whole { Some(last) } else { last.checked_sub(1) };
        match whole_to.filter(|whole_to| whole_from <= *whole_to) {
            Some(whole_to) => {
                self.fill(whole_from, whole_to);
                self.insert_each(from..whole_from << SHIFT);
                if !ends_whole {
                    self.insert_each(last << SHIFT..to);
                    self.insert(to);
                }
            }
            // Within two chunks, none of them whole.
            None => {
                self.insert_each(from..to);
                self.insert(to);
            }
        }
    }

    fn insert_each(&mut self, few: Range<u64>) {
        for seq in few {
            self.insert(seq);
        }
    }

    /// Adds all of another set.
    pub fn insert_all(&mut self, other: &Seqs) {
        other.runs().for_each(|(from, to)| self.insert_range(from, to));
    }

    /// Whether it is in the set.
    pub fn contains(&self, seq: u64) -> bool {
        self.next_in(seq) == Some(seq)
    }

    /// The first number from `seq` on that is in the set.
    pub fn next_in(&self, seq: u64) -> Option<u64> {
        let chunk = seq >> SHIFT;
        if self.is_full(chunk) {
            return Some(seq);
        }
        let in_part = self.parts.range(chunk..).find_map(|(number, words)| {
            let from = if *number == chunk { seq & ((1 << SHIFT) - 1) } else { 0 };
            next_bit(from, |n| words[n]).map(|bit| (number << SHIFT) + bit)
        });
        let in_full = self.full.range(chunk..).next().map(|(first, _)| first << SHIFT);
        match (in_part, in_full) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The first number from `seq` on that is not in the set; nothing if there is none below 2^64.
    pub fn next_out(&self, seq: u64) -> Option<u64> {
        let mut at = seq;
        loop {
            let chunk = at >> SHIFT;
            if let Some((_, last)) = self.run_of(chunk) {
                at = (last + 1).checked_mul(1 << SHIFT)?;
            } else if let Some(words) = self.parts.get(&chunk) {
                if let Some(bit) = next_bit(at & ((1 << SHIFT) - 1), |n| !words[n]) {
                    return Some((chunk << SHIFT) + bit);
                }
                at = (chunk + 1).checked_mul(1 << SHIFT)?;
            } else {
                return Some(at);
            }
        }
    }

    /// Its runs, in order: the first and last seq of each.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let first = self.next_in(from?)?;
            let out = self.next_out(first);
            from = out;
            Some((first, out.map_or(u64::MAX, |out| out - 1)))
        })
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.runs()
            .fold(0, |sum: u64, (from, to)| sum.saturating_add((to - from).saturating_add(1)))
    }

    /// The highest one.
    pub fn last(&self) -> Option<u64> {
        let part = self.parts.last_key_value().and_then(|(chunk, words)| {
            let at = words.iter().rposition(|word| *word != 0)?;
            let bit = at as u64 * 64 + u64::from(63 - words[at].leading_zeros());
            Some((chunk << SHIFT) + bit)
        });
        let full = self.full.last_key_value();
        part.max(full.map(|(_, last)| (last << SHIFT) + ((1 << SHIFT) - 1)))
    }

    /// What of this set is in the other one, too, as runs.
    pub fn common<'a>(&'a self, other: &'a Seqs) -> impl Iterator<Item = (u64, u64)> + 'a {
        self.runs().flat_map(move |(from, to)| {
            let mut at = Some(from);
            std::iter::from_fn(move || {
                let first = other.next_in(at?).filter(|first| *first <= to)?;
                at = other.next_out(first);
                Some((first, at.map_or(to, |out| (out - 1).min(to))))
            })
        })
    }

    fn is_full(&self, chunk: u64) -> bool {
        self.run_of(chunk).is_some()
    }

    /// The run of full chunks that has this one.
    fn run_of(&self, chunk: u64) -> Option<(u64, u64)> {
        let (first, last) = self.full.range(..=chunk).next_back()?;
        (*last >= chunk).then_some((*first, *last))
    }

    /// Makes these chunks full, and one run with those beside them.
    fn fill(&mut self, first: u64, last: u64) {
        let mut parts = self.parts.split_off(&first);
        self.parts.append(&mut parts.split_off(&(last + 1)));
        let (mut first, mut last) = (first, last);
        // All runs that touch or overlap it.
        while let Some((from, to)) =
            self.full.range(..=last + 1).next_back().map(|(from, to)| (*from, *to))
        {
            if to.saturating_add(1) < first {
                break;
            }
            self.full.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.full.insert(first, last);
    }
}

/// The first bit from `from` on that is 1.
fn next_bit(from: u64, word: impl Fn(usize) -> u64) -> Option<u64> {
    let start = (from / 64) as usize;
    (start..WORDS).find_map(|n| {
        let bits = if n == start { word(n) & (u64::MAX << (from % 64)) } else { word(n) };
        (bits != 0).then(|| n as u64 * 64 + u64::from(bits.trailing_zeros()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_says_what_a_plain_set_of_numbers_says(
            ranges in prop::collection::vec((0u64..40_000, 0u64..12_000), 0..20),
            singles in prop::collection::vec(0u64..50_000, 0..60),
            asked in prop::collection::vec(0u64..60_000, 20),
        ) {
            let (mut set, mut plain) = (Seqs::default(), BTreeSet::new());
            for (from, length) in ranges {
                set.insert_range(from, from + length);
                plain.extend(from..=from + length);
            }
            for seq in singles {
                prop_assert_eq!(set.insert(seq), plain.insert(seq));
            }
            prop_assert_eq!(set.len(), plain.len() as u64);
            prop_assert_eq!(set.last(), plain.last().copied());
            for seq in asked {
                prop_assert_eq!(set.next_in(seq), plain.range(seq..).next().copied());
                prop_assert_eq!(set.next_out(seq), (seq..).find(|n| !plain.contains(n)));
                prop_assert_eq!(set.contains(seq), plain.contains(&seq));
            }
            let runs: Vec<u64> = set.runs().flat_map(|(from, to)| from..=to).collect();
            prop_assert!(runs.iter().eq(plain.iter()));
        }

        #[test]
        fn what_two_sets_have_in_common_is_what_plain_sets_have(
            a in prop::collection::vec((0u64..20_000, 0u64..6000), 1..8),
            b in prop::collection::vec((0u64..20_000, 0u64..6000), 1..8),
        ) {
            let sets = [a, b].map(|ranges| {
                let mut set = Seqs::default();
                ranges.iter().for_each(|(from, n)| set.insert_range(*from, from + n));
                set
            });
            let common: Vec<u64> = sets[0].common(&sets[1]).flat_map(|(f, t)| f..=t).collect();
            let plain: Vec<u64> = (0..30_000)
                .filter(|seq| sets.iter().all(|set| set.contains(*seq)))
                .collect();
            prop_assert_eq!(common, plain);
        }
    }

    #[test]
    fn a_run_of_any_length_takes_no_room_and_ends_where_numbers_end() {
        let mut set = Seqs::default();
        set.insert_range(1, u64::MAX);
        assert!(set.parts.len() <= 1 && set.full.len() == 1);
        assert_eq!((set.next_out(1), set.next_in(0), set.len()), (None, Some(1), u64::MAX));
        assert_eq!(set.runs().collect::<Vec<_>>(), [(1, u64::MAX)]);
        let mut grown = Seqs::default();
        (1..=1_000_000).for_each(|seq| assert!(grown.insert(seq)));
        assert!(grown.parts.len() <= 2 && grown.full.len() == 1, "full chunks are forgotten");
    }
}
