//! Events that were not stored, by reason. A success is derived from the ring; a refusal leaves no record, so it is
//! counted, in words that all workers share. A kill between the refusal and its count leaves it out.

use super::layout::REFUSED;
use super::memory::Memory;
use super::view::View;

/// Why an event was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Why {
    /// No block was free.
    Full,
    /// Too many requests waited already.
    Busy,
    /// There was no ring to write to, or no memory.
    Away,
    /// It was no event.
    Invalid,
    /// It, or its body, was too large.
    Large,
    /// More was asked for than is given, or its topic is not taken.
    Denied,
}

impl Why {
    /// All of them, in the order of their words in the file.
    pub const ALL: [Why; 6] =
        [Why::Full, Why::Busy, Why::Away, Why::Invalid, Why::Large, Why::Denied];

    /// The reason in a word.
    pub fn word(self) -> &'static str {
        match self {
            Why::Full => "full",
            Why::Busy => "busy",
            Why::Away => "away",
            Why::Invalid => "invalid",
            Why::Large => "large",
            Why::Denied => "denied",
        }
    }

    /// Whether the event itself was at fault; else its client may send it again.
    pub fn is_the_clients(self) -> bool {
        matches!(self, Why::Invalid | Why::Large | Why::Denied)
    }
}

/// How many, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Why::ALL.len()]);

impl Refusals {
    /// From words in the order of [`Why::ALL`].
    pub(super) fn of_words(words: [u64; Why::ALL.len()]) -> Refusals {
        Refusals(words)
    }

    /// The words.
    pub(super) fn words(self) -> [u64; Why::ALL.len()] {
        self.0
    }

    /// Counts some.
    pub fn add(&mut self, why: Why, count: u64) {
        let place = &mut self.0[why as usize];
        *place = place.saturating_add(count);
    }

    /// How many for this reason.
    pub fn of(&self, why: Why) -> u64 {
        self.0[why as usize]
    }

    /// Each reason with its number.
    pub fn each(&self) -> impl Iterator<Item = (Why, u64)> + '_ {
        Why::ALL.iter().map(|why| (*why, self.of(*why)))
    }

    /// All that were well, and could not be stored.
    pub fn unstored(&self) -> u64 {
        let unstored = self.each().filter(|(why, _)| !why.is_the_clients());
        unstored.fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Refusals::default()
    }

    /// Those of two rings together.
    pub fn and(mut self, other: Refusals) -> Refusals {
        other.each().for_each(|(why, count)| self.add(why, count));
        self
    }
}

impl<M: Memory> View<M> {
    /// Counts events that were not stored.
    pub fn add_refusals(&self, refusals: &Refusals) {
        for (why, count) in refusals.each().filter(|(_, count)| *count > 0) {
            self.memory.add(REFUSED.plus(why as usize), count);
        }
    }

    /// How many were not stored since the file was made.
    pub fn refusals(&self) -> Refusals {
        Refusals::of_words(Why::ALL.map(|why| self.load(REFUSED.plus(why as usize))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_word_of_its_own_and_half_of_them_are_the_clients() {
        let words = Why::ALL.map(Why::word);
        assert_eq!(words, ["full", "busy", "away", "invalid", "large", "denied"]);
        assert_eq!(Why::ALL.map(Why::is_the_clients), [false, false, false, true, true, true]);
    }

    #[test]
    fn what_was_no_fault_of_the_client_is_what_was_not_stored() {
        let mut all = Refusals::default();
        assert!(all.is_empty());
        for (why, count) in Why::ALL.into_iter().zip([1, 20, 300, 4000, 50_000, 600_000]) {
            all.add(why, count);
        }
        assert_eq!(all.unstored(), 321);
        assert!(!all.is_empty());
    }
}
