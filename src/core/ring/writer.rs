//! A slot held, a pen for it, and the publisher's bell.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::bell::Fifo;
use super::file::Ring;
use super::lock::{Hold, held_by_another, try_lock, unlock};
use super::mapping::Mapping;
use super::memory::Memory;
use super::pen::{Committed, Pen, Refused};
use super::sync;
use crate::id::{Seq, Stream};

/// The publisher's bell in a ring's directory.
pub(super) const PUBLISHER: &str = "bell";

/// The only writer of a stream. Whatever ends it, its slot is free a moment later, and the next one goes on in the same
/// stream and the same block.
pub struct Writer<M = Mapping> {
    // Before the ring: it is dropped first, the slot's byte last.
    pen: Pen,
    bell: Fifo,
    sync: Fifo,
    ring: Ring<M>,
}

/// Why there is no writer.
#[derive(Debug, thiserror::Error)]
pub enum NoSlot {
    /// Every slot has a writer.
    #[error("all {slots} slots of the ring have a writer already")]
    Taken {
        /// How many there are.
        slots: u16,
    },
    /// Nothing more is written to this file.
    #[error("the ring's file is poisoned: a sync of it failed, or a record in it is broken")]
    Poisoned,
    /// It was opened for looking only, or is of an earlier boot.
    #[error("the ring was opened for looking only")]
    ReadOnly,
    /// The system refused a lock or the bell.
    #[error("cannot take a slot of the ring: {0}")]
    System(#[from] io::Error),
}

impl<M: Memory> Writer<M> {
    /// Takes the lowest slot that nobody has, and goes on where its last owner stopped. `ring` is the writer's own: see
    /// [`Ring::again`]. A slot whose holder was killed in a sync of its own is left to those who opened the file before
    /// that.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub fn take(ring: Ring<M>) -> Result<Writer<M>, NoSlot> {
        if ring.view().poisoned() {
            return Err(NoSlot::Poisoned);
        }
        if !ring.writable() || !ring.alive() {
            return Err(NoSlot::ReadOnly);
        }
        let bell = Fifo::open(ring.dir(), PUBLISHER)?;
        let slots = ring.geometry().slots;
        for stream in (0..slots).map(Stream) {
            let byte = ring.view().layout.slot_byte(stream);
            if try_lock(ring.file(), byte, Hold::Alone)? {
                ring.view().count_stream(stream);
                let sync = sync::bell(&ring)?;
                if !ring.begin(stream)? {
                    unlock(ring.file(), byte)?;
                    continue;
                }
                let settle = || ring.settle(stream).is_ok();
                // What could not be settled is poisoned, too.
                let pen = Pen::take_over(ring.view(), stream, settle);
                let pen = pen.map_err(|_| NoSlot::Poisoned)?;
                ring.view().note_holder(stream, std::process::id(), clock());
                let writer = Writer { pen, bell, sync, ring };
                // The slot's last owner may have died between its commit and the bell.
                writer.remind();
                return Ok(writer);
            }
        }
        Err(NoSlot::Taken { slots })
    }

    /// Stores one event, received at `received` (ns since 1970). No lock, no waiting; a system call only if the
    /// publisher must be woken.
    ///
    /// # Errors
    /// [`Refused`]: nothing of it is in the ring.
    pub fn append(&mut self, received: u64, bytes: &[u8]) -> Result<Committed, Refused> {
        self.append_all(received, &[bytes])
    }

    /// Stores one event that is a heartbeat: figures of traffic leave it out.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_heartbeat(&mut self, received: u64, bytes: &[u8]) -> Result<Committed, Refused> {
        let (stream, next) = (self.pen.stream(), self.pen.last().next());
        self.ring.view().add_heartbeat(stream, next);
        let stored = self.append(received, bytes);
        if stored.is_err() {
            self.ring.view().take_heartbeat_back(stream);
        }
        stored
    }

    /// Stores several events under one commit: all of them or none.
    ///
    /// # Errors
    /// [`Refused`]: nothing of them is in the ring. What does not fit one block is `TooLarge`; so is no event at all.
    pub fn append_all(&mut self, received: u64, events: &[&[u8]]) -> Result<Committed, Refused> {
        let wrote = self.pen.append(self.ring.view(), received, events)?;
        if wrote.wake {
            self.bell.ring();
        }
        if wrote.sync {
            self.sync.ring();
        }
        Ok(wrote.committed)
    }

    /// Stores the first of several events under one commit: all of them where a block can hold them, else as many as fit
    /// where the stream goes on, at least one. What is committed says how many.
    ///
    /// # Errors
    /// [`Refused`]: nothing of them is in the ring.
    pub fn append_some(&mut self, received: u64, events: &[&[u8]]) -> Result<Committed, Refused> {
        let count = self.pen.fitting(self.ring.view(), events).min(events.len());
        self.append_all(received, &events[..count])
    }

    /// Whether an event of so many bytes would be stored now, if nobody else comes first. Stores nothing.
    ///
    /// # Errors
    /// [`Refused`], as [`Writer::append`] would.
    pub fn would_take(&mut self, bytes: usize) -> Result<(), Refused> {
        self.pen.would_take(self.ring.view(), bytes)
    }

    /// The stream, so the slot.
    pub fn stream(&self) -> Stream {
        self.pen.stream()
    }

    /// The number of the stream's last event.
    pub fn last(&self) -> Seq {
        self.pen.last()
    }

    /// The ring it writes to, for its state and its books.
    pub fn ring(&self) -> &Ring<M> {
        &self.ring
    }

    /// Notes that nginx has asked this one to end; said once.
    pub fn leave(&self) {
        self.ring.view().note_leaving(self.pen.stream(), clock());
    }

    /// Whether no other stream has a writer.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn is_alone(&self) -> io::Result<bool> {
        let view = self.ring.view();
        for stream in view.streams().filter(|stream| *stream != self.pen.stream()) {
            if held_by_another(self.ring.file(), view.layout.slot_byte(stream))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has what was stored last synced at once: somebody waits for it.
    pub fn urge(&self) {
        if sync::urge(self.ring.view(), self.pen.stream(), self.pen.last()) {
            self.sync.ring();
        }
    }

    /// Rings who syncs once more, if a bell was lost with the one who was to ring it. Costs a look at each stream, seldom.
    pub fn remind(&self) {
        if sync::overheard(self.ring.view()) {
            self.sync.ring();
        }
    }
}

/// ns since 1970.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
