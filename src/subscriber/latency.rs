//! How long events took from nginx's receipt to Kafka's acknowledgement: every event, by the time that its record carries.
//!
//! ```text
//!   an event:  one increment, in the slice of now
//!   6 slices of 10 s: the last minute -> the percentiles
//!   what leaves a slice is added to `before`: before + slices -> the histogram since the start
//! ```
//!
//! Both times are wall clocks: where nginx and the subscriber run on two machines, what their clocks differ by is in it.

use std::time::{Duration, Instant};

use sparkngin_core::took::{LONGER, Spread, Took};

/// Bounds of the counters, in units of 100 us: ten a decade, so a percentile is at most a third too high.
const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
/// From 100 us to 8,000 s; one more counter is for what took longer.
const DECADES: usize = 8;
const FINER: usize = STEPS.len() * DECADES;
/// The bounds, in us.
const UPPER: [u64; FINER] = upper();
/// The last minute, in slices.
const SLICES: usize = 6;
const SLICE: Duration = Duration::from_secs(10);

const fn upper() -> [u64; FINER] {
    let mut upper = [0; FINER];
    let (mut n, mut unit) = (0, 10);
    while n < FINER {
        upper[n] = STEPS[n % STEPS.len()] * unit;
        n += 1;
        if n % STEPS.len() == 0 {
            unit *= 10;
        }
    }
    upper
}

/// Counts by bound, and their sum.
#[derive(Clone, Copy, Debug)]
struct Counts {
    counts: [u64; FINER + 1],
    sum: u64,
}

/// The latencies of a subscriber.
#[derive(Clone, Debug)]
pub struct Latency {
    before: Counts,
    slices: [Counts; SLICES],
    /// The slice of now, and until when it is.
    current: usize,
    until: Instant,
}

/// What is shown of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Since the start.
    pub all: Spread,
    /// Of the last minute: how many, and the sum of these in seconds.
    pub recent: (u64, f64),
    /// The share of the last minute's events that took at most so many seconds.
    pub shares: Vec<(f64, f64)>,
}

/// The shares that are shown.
pub const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

impl Counts {
    const NONE: Counts = Counts { counts: [0; FINER + 1], sum: 0 };

    fn add(&mut self, other: &Counts) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum = self.sum.saturating_add(other.sum);
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bound, in seconds, that this share did not exceed.
    fn share(&self, share: f64) -> f64 {
        let wanted = (share * self.total() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bound, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return UPPER.get(bound).map_or(f64::INFINITY, |us| *us as f64 / 1e6);
            }
        }
        f64::NAN
    }
}

impl Latency {
    /// No events yet.
    pub fn new(now: Instant) -> Latency {
        let slices = [Counts::NONE; SLICES];
        Latency { before: Counts::NONE, slices, current: 0, until: now + SLICE }
    }

    /// An event took so many ns. [`Latency::turn`] was called for this moment.
    pub fn count(&mut self, ns: u64) {
        let us = ns / 1000;
        let bound = UPPER.partition_point(|upper| *upper < us);
        let slice = &mut self.slices[self.current];
        slice.counts[bound] += 1;
        slice.sum = slice.sum.saturating_add(us);
    }

    /// Goes on to the slice of now.
    pub fn turn(&mut self, now: Instant) {
        for _ in 0..=SLICES {
            if now < self.until {
                return;
            }
            self.current = (self.current + 1) % SLICES;
            let slice = std::mem::replace(&mut self.slices[self.current], Counts::NONE);
            self.before.add(&slice);
            self.until += SLICE;
        }
        // Nothing happened for longer than a minute.
        self.until = now + SLICE;
    }

    /// The same, and another's, for showing.
    pub fn and(mut self, other: &Latency) -> Latency {
        self.before.add(&other.before);
        self.slices.iter_mut().zip(&other.slices).for_each(|(own, other)| own.add(other));
        self
    }

    /// The last minute, in short.
    pub fn took(&self) -> Took {
        let mut recent = Counts::NONE;
        self.slices.iter().for_each(|slice| recent.add(slice));
        let events = recent.total();
        let share = |share: f64| match recent.share(share) {
            _ if events == 0 => 0,
            longer if longer.is_infinite() => LONGER,
            seconds => (seconds * 1e6).round() as u64,
        };
        let [p50, p90, p99, p999] = SHARES.map(share);
        Took { events, p50, p90, p99, p999, spread: Some(self.spread()) }
    }

    /// All since the start, by fewer bounds: each of these is one of the finer ones.
    fn spread(&self) -> Spread {
        let mut all = self.before;
        self.slices.iter().for_each(|slice| all.add(slice));
        let mut spread = Spread { sum: all.sum, ..Spread::default() };
        for (bound, count) in all.counts.iter().enumerate() {
            spread.add(UPPER.get(bound).copied().unwrap_or(u64::MAX), *count);
        }
        spread
    }

    /// What there is to show.
    pub fn shown(&self) -> Shown {
        let mut recent = Counts::NONE;
        self.slices.iter().for_each(|slice| recent.add(slice));
        let total = recent.total();
        let share =
            |share: &f64| (*share, if total == 0 { f64::NAN } else { recent.share(*share) });
        Shown {
            all: self.spread(),
            recent: (total, recent.sum as f64 / 1e6),
            shares: SHARES.iter().map(share).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sparkngin_core::took::BOUNDS;

    use super::*;

    const MS: u64 = 1_000_000;

    fn at_most(shown: &Shown, seconds: f64) -> u64 {
        shown.all.up_to().find(|(bound, _)| *bound == seconds).expect("a bound").1
    }

    #[test]
    fn the_bounds_are_round_numbers_and_rise() {
        assert!(UPPER.windows(2).all(|pair| pair[0] < pair[1]));
        let shown = Latency::new(Instant::now()).shown();
        assert!(
            BOUNDS.iter().all(|bound| UPPER.contains(bound)),
            "each event is within the right one"
        );
        assert!(shown.shares.iter().all(|(_, at)| at.is_nan()), "of no event there is no share");
    }

    #[test]
    fn what_took_exactly_as_long_as_a_bound_is_within_it() {
        let mut latency = Latency::new(Instant::now());
        for ns in [0, 5 * MS, 5 * MS + 1000, u64::MAX] {
            latency.count(ns);
        }
        let shown = latency.shown();
        assert_eq!(
            (at_most(&shown, 0.0025), at_most(&shown, 0.005), at_most(&shown, 0.01)),
            (1, 2, 3)
        );
        assert_eq!(shown.all.total(), 4);
    }

    #[test]
    fn the_shares_forget_after_a_minute_and_the_histogram_does_not() {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        (0..99).for_each(|_| latency.count(4 * MS));
        latency.count(900 * MS);
        assert_eq!(
            latency.shown().shares,
            [(0.5, 0.004), (0.9, 0.004), (0.99, 0.004), (0.999, 1.0)]
        );
        latency.turn(start + Duration::from_secs(55));
        latency.count(30 * MS);
        assert_eq!(latency.shown().recent.0, 101);
        latency.turn(start + Duration::from_secs(61));
        let shown = latency.shown();
        assert_eq!((shown.recent.0, shown.shares[3]), (1, (0.999, 0.03)));
        assert_eq!(shown.all.total(), 101);
        latency.turn(start + Duration::from_secs(10_000));
        latency.count(30 * MS);
        let shown = latency.shown();
        assert_eq!((shown.recent.0, at_most(&shown, 1.0)), (1, 102));
    }

    #[test]
    fn the_last_minute_in_short_is_what_is_shown_and_two_together_are_their_sum() {
        let start = Instant::now();
        let (mut one, mut other) = (Latency::new(start), Latency::new(start));
        assert_eq!(one.took(), Took { spread: Some(Spread::default()), ..Took::default() });
        (0..99).for_each(|_| one.count(4 * MS));
        other.turn(start + Duration::from_secs(15));
        other.count(u64::MAX);
        let mut spread = Spread { sum: 99 * 4000, ..Spread::default() };
        spread.add(4000, 99);
        let spread = Some(spread);
        let four = 4000;
        let took = Took { events: 99, p50: four, p90: four, p99: four, p999: four, spread };
        assert_eq!(one.took(), took);
        let mut later = one.clone();
        later.turn(start + Duration::from_secs(100));
        assert_eq!(
            later.took(),
            Took { spread, ..Took::default() },
            "a minute forgets, this does not"
        );
        let both = one.and(&other);
        let took = both.took();
        assert_eq!((took.events, took.p99, took.p999), (100, 4000, LONGER));
        assert_eq!((both.shown().recent.0, both.shown().shares[3].1), (100, f64::INFINITY));
    }

    proptest! {
        #[test]
        fn a_share_is_never_too_low_and_at_most_a_third_too_high(us in 100u64..8_000_000_000) {
            let mut latency = Latency::new(Instant::now());
            latency.count(us * 1000);
            let (exact, shown) = (us as f64 / 1e6, latency.shown().shares[0].1);
            prop_assert!(shown >= exact && shown <= exact * 1.34, "{exact} {shown}");
        }
    }
}
