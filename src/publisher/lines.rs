//! Lines for the host's log. The thread never logs by itself: nginx's log is nginx's thread's alone, so lines wait in a
//! bounded queue until the host takes them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines that wait at most; what comes beyond is counted.
const WAITING: usize = 64;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know afterwards.
    Info,
    /// Somebody should look at it some time.
    Warn,
    /// Somebody must look at it.
    Error,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<(Level, String)>,
    dropped: u64,
}

impl Lines {
    /// Adds a line: one fact with its numbers.
    pub fn say(&self, level: Level, text: String) {
        let mut queue = self.lock();
        if queue.lines.len() < WAITING {
            queue.lines.push_back((level, text));
        } else {
            queue.dropped += 1;
        }
    }

    /// Takes what waits, the oldest first.
    pub fn take(&self) -> Vec<(Level, String)> {
        let mut queue = self.lock();
        let mut lines: Vec<_> = queue.lines.drain(..).collect();
        match std::mem::take(&mut queue.dropped) {
            0 => {}
            more => lines.push((Level::Warn, format!("{more} more lines were not kept"))),
        }
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic between two lines leaves a whole queue.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a fact through once in a while, with the number of times it was held back.
#[derive(Debug)]
pub struct Throttle {
    pause: Duration,
    last: Option<Instant>,
    held: u64,
}

impl Throttle {
    /// One that lets through once in `pause`.
    pub fn new(pause: Duration) -> Throttle {
        Throttle { pause, last: None, held: 0 }
    }

    /// Whether the fact may be said now, and how many times it happened since it was said last, this time included.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        self.held += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.pause) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines = Lines::default();
        for n in 0..WAITING + 3 {
            lines.say(Level::Info, n.to_string());
        }
        let taken = lines.take();
        assert_eq!(taken.len(), WAITING + 1);
        assert_eq!(taken[WAITING].1, "3 more lines were not kept");
        assert!(lines.take().is_empty());
    }

    #[test]
    fn a_fact_is_said_once_in_a_while_with_its_number() {
        let (mut throttle, now) = (Throttle::new(Duration::from_secs(1)), Instant::now());
        assert_eq!(throttle.pass(now), Some(1));
        assert_eq!(throttle.pass(now), None);
        assert_eq!(throttle.pass(now), None);
        assert_eq!(throttle.pass(now + Duration::from_secs(1)), Some(3));
    }
}
