//! Who waits for the events of one slot, until they are synced or acknowledged: it sees how far they are, and has the
//! slot's bell. It needs no slot of its own, so it can outlast the writer.

use std::io;

use super::bell::{Bell, Fifo};
use super::configuration::Configuration;
use super::file::Ring;
use super::mapping::Mapping;
use super::memory::Memory;
use super::reach::Reach;
use super::slot_bell;
use crate::id::{Region, Seq, Stream};

/// Who waits.
pub struct Waiter<M = Mapping> {
    fifo: Fifo,
    stream: Stream,
    ring: Ring<M>,
}

impl<M: Memory> Waiter<M> {
    /// For the events of a slot of this ring, which is the waiter's own: see [`Ring::again`]. One at a time for a slot.
    ///
    /// # Errors
    /// When the directory refuses the bell.
    pub fn new(ring: Ring<M>, stream: Stream) -> io::Result<Waiter<M>> {
        let waiter = Waiter { fifo: slot_bell::open(&ring, stream)?, stream, ring };
        // What was rung for who waited here before.
        waiter.bell().clear();
        Ok(waiter)
    }

    /// How far the events are with those who are named. None while one of `own`, by which the caller was configured, is
    /// not in force, unless a newer configuration left it out; and while nobody is named.
    pub fn reach(&self, own: &Configuration) -> Option<Reach> {
        Reach::of(self.ring.view(), self.stream, own)
    }

    /// Up to where a sync that succeeded covers the events.
    pub fn synced(&self) -> Seq {
        self.ring.view().synced(self.stream)
    }

    /// Whether no sync will ever succeed any more.
    pub fn poisoned(&self) -> bool {
        self.ring.view().poisoned()
    }

    /// The ring file.
    pub fn region(&self) -> Region {
        self.ring.region()
    }

    /// The slot's bell: [`Bell::arm`], look, poll; [`Bell::clear`] when awake, before the next look. The publisher rings
    /// it by [`Reader::wake`](super::Reader::wake), a sync by itself.
    pub fn bell(&self) -> Bell<'_, M> {
        let flag = self.ring.view().layout.slot(self.stream).waiting();
        Bell::new(&self.fifo, self.ring.view(), flag)
    }

    /// The slot's bell once more, for an event loop to wait for.
    ///
    /// # Errors
    /// When the directory refuses it.
    pub fn bell_again(&self) -> io::Result<Fifo> {
        slot_bell::open(&self.ring, self.stream)
    }
}
