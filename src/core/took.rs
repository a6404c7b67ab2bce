//! How long a subscriber's events took, from nginx's receipt to Kafka's acknowledgement: what it says of its last minute,
//! and of each one since it began.

use serde::{Deserialize, Serialize};

/// What stands for a time of more than 8,000 s, us.
pub const LONGER: u64 = 10_000_000_000;

/// The bounds of a [`Spread`], us: 1 ms to 5,000 s.
pub const BOUNDS: [u64; 21] = bounds();
/// Numbers of a [`Spread`].
pub const COUNTS: usize = BOUNDS.len() + 1;

const fn bounds() -> [u64; 21] {
    let mut bounds = [0; 21];
    let (mut n, mut ms) = (0, 1);
    while n < bounds.len() {
        (bounds[n], bounds[n + 1], bounds[n + 2]) = (ms * 1000, ms * 2500, ms * 5000);
        ms *= 10;
        n += 3;
    }
    bounds
}

/// How many events took how long, of all since the subscriber began. Each number only rises, so what is read of two of them,
/// some numbers of one and some of the other, lies between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many took at most as long as the bound of this place, and longer than the one before; the last one is of those
    /// that took longer than all bounds.
    pub counts: [u64; COUNTS],
    /// How long all of them took together, us.
    pub sum: u64,
}

impl Spread {
    /// Adds events that took so long, us.
    pub fn add(&mut self, us: u64, count: u64) {
        self.counts[BOUNDS.partition_point(|bound| *bound < us)] += count;
    }

    /// How many.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many took at most so many seconds; the last bound is infinite.
    pub fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let sums = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        bounds.zip(sums)
    }
}

/// How many events were acknowledged in the last minute, and what share of them took so long at most, in us, or [`LONGER`].
/// Without events all is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// How many.
    pub events: u64,
    /// Half of them.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// All since the subscriber began. An older one does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

impl Took {
    /// The shares, each with its seconds; nothing without events.
    pub fn shares(&self) -> [(f64, Option<f64>); 4] {
        let all = [(0.5, self.p50), (0.9, self.p90), (0.99, self.p99), (0.999, self.p999)];
        all.map(|(share, us)| (share, (self.events > 0).then_some(us as f64 / 1e6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_round_numbers_and_what_took_just_as_long_is_within() {
        assert_eq!(BOUNDS[..4], [1000, 2500, 5000, 10_000]);
        assert_eq!((BOUNDS[20], BOUNDS.is_sorted()), (5_000_000_000, true));
        let mut spread = Spread::default();
        for (us, count) in [(0, 1), (1000, 1), (1001, 3), (5_000_000_000, 1), (u64::MAX, 2)] {
            spread.add(us, count);
        }
        assert_eq!(
            (spread.counts[0], spread.counts[1], spread.counts[20], spread.counts[21]),
            (2, 3, 1, 2)
        );
        let up_to: Vec<_> = spread.up_to().collect();
        assert_eq!(up_to[..2], [(0.001, 2), (0.0025, 5)]);
        assert_eq!(up_to[20..], [(5000.0, 6), (f64::INFINITY, 8)]);
        assert_eq!(spread.total(), 8);
    }
}
