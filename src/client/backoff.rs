//! How long to wait before something is sent again.

use std::time::Duration;

/// A server may ask for no more than this.
const LONGEST: Duration = Duration::from_secs(3600);

/// Doubles from the shortest to the longest wait, and is drawn from the upper half of each, so that many clients of a server
/// that was away do not come at once.
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    failed: u32,
}

impl Backoff {
    /// Between these two.
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, failed: 0 }
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }

    /// After a failure; `retry_after` is the server's word and a lower bound. `drawn` is any number.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>, drawn: u64) -> Duration {
        let whole = self.shortest.saturating_mul(1 << self.failed.min(20)).min(self.longest);
        self.failed = self.failed.saturating_add(1);
        let half = whole / 2;
        let mine = half + half.mul_f64((drawn % 1000) as f64 / 1000.0);
        mine.max(retry_after.unwrap_or_default().min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_longer_and_longer_and_never_below_what_the_server_asks() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(500));
        let waits: Vec<_> = (0..5).map(|_| backoff.next(None, 0)).collect();
        assert_eq!(waits, [ms(50), ms(100), ms(200), ms(250), ms(250)]);
        assert_eq!(backoff.next(Some(ms(9000)), 7), ms(9000));
        backoff.reset();
        assert_eq!(backoff.next(Some(ms(1)), 500), ms(75));
        assert_eq!(backoff.next(Some(Duration::MAX), 0), LONGEST);
        for _ in 0..100 {
            assert!(backoff.next(None, u64::MAX) <= ms(500));
        }
    }
}
