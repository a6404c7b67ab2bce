//! When to look into the rings: this decides nothing but that.

use std::time::{Duration, Instant};

/// The longest time between two looks: a bell that was lost costs that much.
pub const TICK: Duration = Duration::from_millis(200);
/// Who is awake for something else looks after so much of it: one waking does for the look and for the BEATs.
const ANYHOW: Duration = Duration::from_millis(50);
/// Between two looks, while there is something to find in each.
const PACE: Duration = Duration::from_millis(3);

/// The times of the last look and of the next.
pub struct Looks {
    /// The next look is only there in case a bell was lost.
    idle: bool,
    last: Instant,
    next: Instant,
}

impl Looks {
    /// The first look is due.
    pub fn new(now: Instant) -> Looks {
        Looks { idle: false, last: now, next: now }
    }

    /// Whether nothing but the bell says that there is something to find.
    pub fn idle(&self) -> bool {
        self.idle
    }

    /// When to wake for the next look, if nobody says anything.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Whether who is awake now should look.
    pub fn due(&self, now: Instant) -> bool {
        now >= if self.idle { self.next.min(self.last + ANYHOW) } else { self.next }
    }

    /// There was a look; the next is at once.
    pub fn again(&mut self, now: Instant) {
        (self.idle, self.last, self.next) = (false, now, now);
    }

    /// A look found something, as much as comes in a while: the next gives what comes meanwhile together.
    pub fn paced(&mut self, now: Instant) {
        (self.idle, self.last, self.next) = (false, now, now + PACE);
    }

    /// A look found nothing: the bell says when there is more.
    pub fn rest(&mut self, now: Instant) {
        (self.idle, self.last, self.next) = (true, now, now + TICK);
    }

    /// A subscriber has room again. An ACK for each small batch must not become a look for each.
    pub fn room(&mut self) {
        self.next = self.next.min(self.last + PACE);
        self.idle = false;
    }

    /// The bell rang, or there are other rings: there is something to find, whenever the last look was.
    pub fn rung(&mut self, now: Instant) {
        self.next = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bell_is_a_look_at_once_however_short_ago_the_last_was() {
        let begin = Instant::now();
        let mut looks = Looks::new(begin);
        assert!(looks.due(begin));
        looks.rest(begin);
        for after in [0, 1, 10, 60] {
            let now = begin + ms(after);
            looks.rest(begin);
            assert_eq!(looks.due(now), now >= begin + ANYHOW, "{after} ms, no bell");
            looks.rung(now);
            assert_eq!((looks.due(now), looks.next()), (true, now), "{after} ms, rung");
        }
    }

    #[test]
    fn what_is_awake_anyhow_looks_earlier_than_what_sleeps() {
        let begin = Instant::now();
        let mut looks = Looks::new(begin);
        looks.rest(begin);
        assert_eq!(looks.next(), begin + TICK);
        assert!(!looks.due(begin + ANYHOW - ms(1)) && looks.due(begin + ANYHOW));
    }

    #[test]
    fn a_look_that_found_something_is_followed_by_one_a_pace_later() {
        let begin = Instant::now();
        let mut looks = Looks::new(begin);
        looks.paced(begin);
        assert!(!looks.idle() && !looks.due(begin + PACE - ms(1)) && looks.due(begin + PACE));
        // Room is no reason to look earlier than that.
        looks.room();
        assert_eq!(looks.next(), begin + PACE);
        looks.rest(begin);
        looks.room();
        assert!(!looks.idle());
        assert_eq!(looks.next(), begin + PACE);
        looks.again(begin);
        assert!(looks.due(begin));
    }
}
