//! How far somebody has come in a stream, and what the way there was. Kept twice: the spare copy is written, then a
//! counting selector is raised by one store, so a kill leaves the old cursor or the new one, never a mixture.
//!
//! In Kafka = acked - start - lost - dead - uncertain, over any kill: nothing is counted on the way.
//!
//! A new name begins at the oldest event still there, though it may lie in a block that is FREE already: nobody holds
//! that for it. What of this is gone before it was read was none of its events, and moves `start`; it is not lost.

use super::layout::{CURSOR_WORDS, Twice};
use super::memory::Memory;
use super::view::View;
use crate::id::{Seq, Stream};

/// Whose cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// All live readers together; holds nothing back.
    Live,
    /// The subscriber with this index in [`Configuration::subscribers`](super::Configuration::subscribers).
    Named(usize),
}

/// A place in one stream, with the books of the way there. Each count is of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// So many of the events up to `acked` were not its own: they were before its time, or gone before it came to them
    /// and not held for it.
    pub start: Seq,
    /// Everything up to here is acknowledged: delivered, or one of the three below.
    pub acked: Seq,
    /// Of these, overwritten before they could be read.
    pub lost: u64,
    /// Of these, in the dead letter.
    pub dead: u64,
    /// Of these, not known whether they ever were (the record failed its check).
    pub uncertain: u64,
    /// A range whose end nobody knows is among them; it counts 0.
    pub uncertain_open: bool,
    /// Everything beyond is held for it, or lost; what is up to here may go without being lost.
    pub unheld: Seq,
    /// Of those that were delivered, heartbeats.
    pub heartbeats: u64,
}

impl Cursor {
    /// What was delivered: acked - start - lost - dead - uncertain.
    pub fn delivered(&self) -> u64 {
        let holes = self.lost.saturating_add(self.dead).saturating_add(self.uncertain);
        (self.acked.0 - self.start.0.min(self.acked.0)).saturating_sub(holes)
    }

    /// Passes a hole: all from the next one up to `to` is gone.
    pub fn lose(self, to: Seq) -> Cursor {
        let gone = to.0.saturating_sub(self.acked.0);
        let unheld = to.min(self.unheld).0.saturating_sub(self.acked.0);
        let start = Seq(self.start.0 + unheld);
        Cursor { start, acked: to, lost: self.lost + gone - unheld, ..self }
    }

    pub(super) fn words(&self) -> [u64; CURSOR_WORDS] {
        let open = u64::from(self.uncertain_open);
        let Cursor { start, acked, lost, dead, uncertain, unheld, heartbeats, .. } = *self;
        [start.0, acked.0, lost, dead, uncertain, open, unheld.0, heartbeats]
    }

    pub(super) fn from_words(words: [u64; CURSOR_WORDS]) -> Cursor {
        let [start, acked, lost, dead, uncertain, open, unheld, heartbeats] = words;
        let (start, acked, unheld) = (Seq(start), Seq(acked), Seq(unheld));
        let uncertain_open = open != 0;
        Cursor { start, acked, lost, dead, uncertain, uncertain_open, unheld, heartbeats }
    }
}

/// Reads what holds now. If it was switched meanwhile the copy may be half of another, so it looks again.
pub(super) fn read_twice<M: Memory, const N: usize>(memory: &M, twice: Twice<N>) -> [u64; N] {
    loop {
        let turn = memory.load(twice.selector());
        let words = std::array::from_fn(|n| memory.load(twice.copy(turn).plus(n)));
        if memory.load(twice.selector()) == turn {
            return words;
        }
    }
}

/// Writes the spare copy and switches to it. Only for who holds the lease.
pub(super) fn store_twice<M: Memory, const N: usize>(memory: &M, twice: Twice<N>, words: [u64; N]) {
    let turn = memory.load(twice.selector()) + 1;
    for (n, word) in words.into_iter().enumerate() {
        memory.store(twice.copy(turn).plus(n), word);
    }
    memory.store(twice.selector(), turn);
}

/// The cursor at `index` of a slot: 0 live, then the places of the named.
pub(super) fn read<M: Memory>(view: &View<M>, stream: Stream, index: usize) -> Cursor {
    let at = view.layout.slot(stream).cursor(index);
    Cursor::from_words(read_twice(&view.memory, at))
}

/// Stores it, by one switch. Only for who holds the lease.
pub(super) fn store<M: Memory>(view: &View<M>, stream: Stream, index: usize, cursor: Cursor) {
    store_twice(&view.memory, view.layout.slot(stream).cursor(index), cursor.words());
}
