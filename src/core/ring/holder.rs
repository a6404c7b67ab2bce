//! Who writes to a slot, as it says itself: for looking only. Who is there is known by the slot's byte, and by nothing else.
//!
//! ```text
//!   taken:    leaving 0, since, process
//!   leaving:  since when
//!   looking:  the slot's byte is held, then these
//! ```
//!
//! The publisher, too, holds a dead slot's byte for a moment; then the dead one is seen once more.

use std::io;

use super::file::Ring;
use super::lock::held_by_another;
use super::memory::Memory;
use super::view::View;
use crate::id::{Seq, Stream};

/// A process that may write to a slot now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The slot.
    pub stream: Stream,
    /// The process' number where it runs: in another container it means another process. None when it did not say.
    pub process: Option<u32>,
    /// Since when it has the slot, ns since 1970; 0 when it did not say.
    pub since: u64,
    /// Since when it is about to end, ns since 1970; None while nobody has asked it to.
    pub leaving: Option<u64>,
    /// The last event of its stream.
    pub last: Seq,
}

impl<M: Memory> View<M> {
    /// Only for who holds the slot's byte. `now` in ns since 1970.
    pub(super) fn note_holder(&self, stream: Stream, process: u32, now: u64) {
        let [own, since, leaving] = self.layout.slot(stream).holder();
        self.store(leaving, 0);
        self.store(since, now);
        self.store(own, process.into());
    }

    /// The slot's holder is about to end; said once. Only for itself.
    pub(super) fn note_leaving(&self, stream: Stream, now: u64) {
        let [.., leaving] = self.layout.slot(stream).holder();
        if self.load(leaving) == 0 {
            self.store(leaving, now);
        }
    }

    fn holder(&self, stream: Stream) -> Holder {
        let [own, since, leaving] = self.layout.slot(stream).holder().map(|at| self.load(at));
        Holder {
            stream,
            process: u32::try_from(own).ok().filter(|own| *own != 0),
            since,
            leaving: Some(leaving).filter(|since| *since != 0),
            last: self.last(stream),
        }
    }
}

impl<M: Memory> Ring<M> {
    /// Who can write now, in any process, but for one that writes through this very value.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn holders(&self) -> io::Result<Vec<Holder>> {
        let view = self.view();
        let held = |stream| held_by_another(self.file(), view.layout.slot_byte(stream));
        let holder = |stream| Ok(held(stream)?.then(|| view.holder(stream)));
        view.streams().filter_map(|stream| holder(stream).transpose()).collect()
    }
}
