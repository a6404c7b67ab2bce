//! One ring as words: memory, where everything lies in it, and whose it is.

use super::layout::{At, FREED, Layout, POISONED, STREAMS, TICKET, TRAFFIC_LOST};
use super::memory::Memory;
use super::word::Ticket;
use crate::id::{Region, Seq, Stream};
use crate::record::Seed;

/// A ring's words. Everything above works on this alone, so it runs over any [`Memory`].
pub struct View<M> {
    /// The words.
    pub memory: M,
    /// Where everything lies.
    pub layout: Layout,
    /// Whose they are.
    pub region: Region,
}

impl<M: Memory> View<M> {
    /// Reads a word.
    pub fn load(&self, at: At) -> u64 {
        self.memory.load(at)
    }

    /// Writes a word.
    pub fn store(&self, at: At, value: u64) {
        self.memory.store(at, value);
    }

    /// The seed of a stream's records.
    pub fn seed(&self, stream: Stream) -> Seed {
        Seed::new(self.region, stream)
    }

    /// Every stream that ever had a writer.
    pub fn streams(&self) -> impl Iterator<Item = Stream> + use<M> {
        (0..self.slots_taken()).map(Stream)
    }

    fn slots_taken(&self) -> u16 {
        let slots = self.layout.geometry().slots;
        u16::try_from(self.load(STREAMS)).map_or(slots, |n| n.min(slots))
    }

    /// Counts a slot among the streams, before anything is written to it.
    pub(super) fn count_stream(&self, stream: Stream) {
        loop {
            let seen = self.load(STREAMS);
            let wanted = u64::from(stream.0) + 1;
            if seen >= wanted || self.memory.swap(STREAMS, seen, wanted) {
                return;
            }
        }
    }

    /// The highest committed seq of a stream, as its slot says; its OPEN block may hold one commit more.
    pub fn last(&self, stream: Stream) -> Seq {
        Seq(self.load(self.layout.slot(stream).last()))
    }

    /// The highest seq of a stream that a finished sync covers.
    pub fn synced(&self, stream: Stream) -> Seq {
        Seq(self.load(self.layout.slot(stream).synced()))
    }

    /// Draws the next ticket.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.memory.raise(TICKET))
    }

    /// What moves whenever a block became FREE: who found none looks again only when this has moved.
    pub fn freed(&self) -> u64 {
        self.load(FREED)
    }

    /// Counts events of the site's own traffic that were not stored.
    pub fn add_traffic_lost(&self, count: u64) {
        self.memory.add(TRAFFIC_LOST, count);
    }

    /// Whether nothing more may be written to this file.
    pub fn poisoned(&self) -> bool {
        self.load(POISONED) != 0
    }

    /// From now on nothing more is written to this file, but cursors.
    pub fn poison(&self) {
        self.store(POISONED, 1);
    }
}
