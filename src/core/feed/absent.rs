//! Streams that a client took something of, in regions that the last WELCOME did not list.
//!
//! Mostly their files are drained and gone. But a publisher may find a ring's file late, and would send anew what it knows
//! of no acknowledgement: so they are remembered for a while, and named in every HELLO.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::taken::Taken;
use crate::id::{Region, Seq, Stream};

/// So long.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// And so many at most, the latest ones: a HELLO must stay below the limit of a header.
const MOST: usize = 512;

/// The streams, each with the time of the first WELCOME that left its region out.
#[derive(Debug, Default)]
pub(super) struct Absent {
    streams: BTreeMap<(Region, Stream), (Instant, Taken)>,
}

impl Absent {
    /// A WELCOME came: `left` are the streams that it does not name, `listed` says which regions it does. In those a stream
    /// that is not named had no event.
    pub fn welcome(
        &mut self,
        left: BTreeMap<(Region, Stream), Taken>,
        listed: impl Fn(Region) -> bool,
        now: Instant,
    ) {
        let any = left.into_iter().filter(|(_, taken)| taken.taken() > Seq(0));
        self.streams.extend(any.map(|(key, taken)| (key, (now, taken))));
        self.streams.retain(|(region, _), (since, _)| {
            !listed(*region) && now.saturating_duration_since(*since) < REMEMBERED
        });
        while self.streams.len() > MOST {
            let oldest = self.streams.iter().min_by_key(|(_, (since, _))| *since);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            self.streams.remove(&key);
        }
    }

    /// Whether this one is among them.
    pub fn has(&self, key: (Region, Stream)) -> bool {
        self.streams.contains_key(&key)
    }

    /// One of them, which is named again.
    pub fn remove(&mut self, key: (Region, Stream)) -> Option<Taken> {
        self.streams.remove(&key).map(|(_, taken)| taken)
    }

    /// One of them: its records may still get their fates.
    pub fn get_mut(&mut self, key: (Region, Stream)) -> Option<&mut Taken> {
        self.streams.get_mut(&key).map(|(_, taken)| taken)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&(Region, Stream), &Taken)> {
        self.streams.iter().map(|(key, (_, taken))| (key, taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(region: u128, streams: u16) -> BTreeMap<(Region, Stream), Taken> {
        let taken = || {
            let mut taken = Taken::default();
            taken.take(Seq(1), 1);
            taken
        };
        (0..streams).map(|stream| ((Region(region), Stream(stream)), taken())).collect()
    }

    #[test]
    fn a_region_that_is_left_out_is_remembered_for_an_hour_or_until_it_is_listed() {
        let (now, nothing) = (Instant::now(), BTreeMap::new);
        let mut absent = Absent::default();
        absent.welcome(taken(1, 2), |_| false, now);
        absent.welcome(taken(2, 1), |_| false, now + REMEMBERED / 2);
        assert_eq!(absent.iter().count(), 3);
        absent.welcome(nothing(), |_| false, now + REMEMBERED);
        assert!(!absent.has((Region(1), Stream(0))) && absent.has((Region(2), Stream(0))));
        absent.welcome(nothing(), |region| region == Region(2), now + REMEMBERED);
        assert_eq!(absent.iter().count(), 0);
    }

    #[test]
    fn of_which_nothing_was_taken_there_is_nothing_to_remember() {
        let mut absent = Absent::default();
        let nothing = [((Region(1), Stream(0)), Taken::default())];
        absent.welcome(BTreeMap::from(nothing), |_| false, Instant::now());
        assert_eq!(absent.iter().count(), 0);
    }

    #[test]
    fn of_more_than_a_hello_has_room_for_the_latest_are_remembered() {
        let now = Instant::now();
        let mut absent = Absent::default();
        absent.welcome(taken(1, 256), |_| false, now);
        absent.welcome(taken(2, 256), |_| false, now + REMEMBERED / 8);
        absent.welcome(taken(3, 3), |_| false, now + REMEMBERED / 4);
        let of = |n| absent.iter().filter(|((region, _), _)| *region == Region(n)).count();
        assert_eq!([of(1), of(2), of(3)], [253, 256, 3]);
    }
}
