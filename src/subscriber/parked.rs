//! Dead letters that their own place refuses: they wait, one tries again now and then, and nothing else stands still.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rooms::Order;

/// The first pause before one tries again; doubled up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// The letters.
#[derive(Debug)]
pub struct Parked<M> {
    letters: VecDeque<(Order, M)>,
    why: Option<String>,
    pause: Duration,
    at: Option<Instant>,
    trying: Option<Order>,
}

impl<M> Default for Parked<M> {
    fn default() -> Parked<M> {
        let letters = VecDeque::new();
        Parked { letters, why: None, pause: SHORTEST, at: None, trying: None }
    }
}

impl<M> Parked<M> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Why letters are refused, if they are.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// A letter was refused: no other one is sent but who tries.
    pub fn refused(&mut self, why: &str, now: Instant) {
        self.why = Some(why.to_owned());
        self.trying = None;
        self.at = self.at.max(Some(now + SHORTEST));
    }

    /// Whether a letter must wait.
    pub fn holds(&self, order: Order) -> bool {
        self.why.is_some() && self.trying != Some(order)
    }

    /// A letter waits.
    pub fn wait(&mut self, order: Order, letter: M) {
        self.letters.push_back((order, letter));
    }

    /// The letter that tries again now.
    pub fn retry(&mut self, now: Instant) -> Option<M> {
        if self.trying.is_some() || self.at.is_none_or(|at| now < at) {
            return None;
        }
        let (order, letter) = self.letters.pop_front()?;
        self.at = Some(now + self.pause);
        self.pause = LONGEST.min(2 * self.pause);
        self.trying = Some(order);
        Some(letter)
    }

    /// A letter was taken: all may go.
    pub fn open(&mut self) -> impl Iterator<Item = M> {
        let letters = std::mem::take(self).letters;
        letters.into_iter().map(|(_, letter)| letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_tries_after_pauses_that_grow_and_all_go_when_one_is_taken() {
        let mut now = Instant::now();
        let mut parked = Parked::default();
        assert!(!parked.holds(1));
        parked.refused("no", now);
        assert!(parked.holds(1) && parked.holds(2));
        assert_eq!((parked.why(), parked.len()), (Some("no"), 0));
        parked.wait(1, 'a');
        parked.wait(2, 'b');
        assert_eq!(parked.len(), 2);
        let mut pauses = Vec::new();
        for tries in [1, 2, 1, 2, 1, 2] {
            let start = now;
            let letter = loop {
                match parked.retry(now) {
                    Some(letter) => break letter,
                    None => now += Duration::from_secs(1),
                }
            };
            pauses.push((now - start).as_secs());
            assert!(!parked.holds(tries), "it tries");
            assert!(parked.retry(now + LONGEST).is_none(), "one at a time");
            parked.refused("no", now);
            assert!(parked.holds(tries));
            parked.wait(tries, letter);
        }
        assert_eq!(pauses, [5, 5, 10, 20, 40, 60]);
        assert_eq!(parked.open().collect::<Vec<_>>(), ['a', 'b']);
        assert!(!parked.holds(3) && parked.why().is_none());
    }
}
