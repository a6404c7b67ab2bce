//! The bell of each slot: it wakes the worker that waits until its events are synced or acknowledged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use super::bell::{Fifo, rouse};
use super::file::Ring;
use super::memory::Memory;
use crate::id::Stream;

/// The bells of other processes' slots, each opened when it is rung for the first time.
#[derive(Default)]
pub(super) struct SlotBells(BTreeMap<Stream, Fifo>);

/// The FIFO of a slot, `bell.<n>.<slot>`: while two rings of a directory are in use, both have a slot of that number.
pub(super) fn open<M: Memory>(ring: &Ring<M>, stream: Stream) -> io::Result<Fifo> {
    Fifo::open(ring.dir(), &format!("bell.{}.{stream}", ring.number()))
}

impl SlotBells {
    /// Rings a slot's bell, if its worker waits: after all that it waits for is stored.
    pub fn wake<M: Memory>(&mut self, ring: &Ring<M>, stream: Stream) {
        let view = ring.view();
        if !rouse(view, view.layout.slot(stream).waiting()) {
            return;
        }
        match self.0.entry(stream) {
            Entry::Occupied(fifo) => fifo.get().ring(),
            // Without its bell the worker looks 200 ms later.
            Entry::Vacant(place) => {
                if let Ok(fifo) = open(ring, stream) {
                    place.insert(fifo).ring();
                }
            }
        }
    }
}
