//! The last ten minutes of all files together, tick by tick.

use std::collections::BTreeMap;

use sparkngin_core::ring::{Ledger, Name, Ring, TICK, TICKS};

/// What happened in one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Events stored, but for heartbeats.
    pub taken: u64,
    /// Heartbeats stored.
    pub heartbeats: u64,
    /// Events that were not.
    pub refused: u64,
    /// Events lost.
    pub lost: u64,
    /// Blocks claimed.
    pub claims: u64,
    /// Events delivered, but for heartbeats, in the order of the names.
    pub delivered: Vec<u64>,
}

/// The ticks, the oldest first; where nobody published there is none.
#[derive(Clone, Debug, Default)]
pub struct Past {
    ticks: Vec<Option<Tick>>,
}

/// How many ticks are a minute.
const MINUTE: usize = (60_000_000_000 / TICK) as usize;

impl Past {
    /// Reads what the files remember; `now` in ns since 1970. `names` are the subscribers in the order they are shown in.
    pub fn read<'a, 'r: 'a>(
        files: impl Iterator<Item = &'a (&'r Ring, Ledger)>,
        names: &[Name],
        now: u64,
    ) -> Past {
        let mut seen: BTreeMap<u32, Tick> = BTreeMap::new();
        for (ring, ledger) in files {
            for sample in ring.view().history(now) {
                let tick = seen.entry(sample.tick).or_default();
                tick.delivered.resize(names.len(), 0);
                tick.taken += u64::from(sample.taken);
                tick.heartbeats += u64::from(sample.heartbeats);
                tick.refused += u64::from(sample.refused);
                tick.lost += u64::from(sample.lost);
                tick.claims += u64::from(sample.claims);
                for held in &ledger.subscribers {
                    let at = names.iter().position(|name| *name == held.name);
                    if let (Some(at), Some(count)) = (at, sample.delivered.get(held.place)) {
                        tick.delivered[at] += u64::from(*count);
                    }
                }
            }
        }
        let last = (now / TICK) as u32;
        let wanted = (0..TICKS as u32).rev().map(|back| last.wrapping_sub(back));
        Past { ticks: wanted.map(|tick| seen.remove(&tick)).collect() }
    }

    /// What a number was in each tick, as a rate a second.
    pub fn rates(&self, number: impl Fn(&Tick) -> u64) -> Vec<Option<f64>> {
        let seconds = TICK as f64 / 1e9;
        self.ticks.iter().map(|tick| Some(number(tick.as_ref()?) as f64 / seconds)).collect()
    }

    /// For how many seconds of the ten minutes it is known.
    pub fn seconds(&self) -> u64 {
        self.ticks.iter().flatten().count() as u64 * (TICK / 1_000_000_000)
    }

    /// The sum over ten minutes.
    pub fn sum(&self, number: impl Fn(&Tick) -> u64) -> u64 {
        self.ticks.iter().flatten().map(number).sum()
    }

    /// The rate a second over the last minute, as far as it is known.
    pub fn rate(&self, number: impl Fn(&Tick) -> u64) -> Option<f64> {
        let rates = self.rates(number);
        mean(&rates[rates.len().saturating_sub(MINUTE)..])
    }

    /// The same of what happens seldom: over all ten minutes where nothing did in the last one.
    pub fn seldom_rate(&self, number: impl Fn(&Tick) -> u64) -> Option<f64> {
        let rates = self.rates(number);
        let minute = mean(&rates[rates.len().saturating_sub(MINUTE)..]);
        minute.filter(|rate| *rate > 0.0).or_else(|| mean(&rates))
    }
}

fn mean(rates: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = rates.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}
