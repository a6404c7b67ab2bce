//! What the disk must have taken before a slot's holder stores anything: that the file is not clean any more, that there is
//! the stream, that what a killed writer left is gone. The holder syncs for itself then, and says so, by a number that
//! counts all such syncs of the file:
//!
//! ```text
//!   beginning = beginnings + 1 | fsync | 0, or poisoned
//! ```
//!
//! Who is killed between leaves it so, and may have been told of an error that nobody else is told of (`doubt.rs`). So the
//! slot is for those alone who opened the file before: its next holder, if it did, goes on by a sync of its own; else who
//! syncs the file, if that one did, brings it back after the next sync; and else the file is given up.

use std::io;

use super::disk::{Disk, Linux};
use super::file::Ring;
use super::layout::{BEGINNINGS, CLEAN, WAS_CLEAN};
use super::lock::{Hold, try_lock, unlock};
use super::memory::Memory;
use super::view::View;
use crate::id::{Seq, Stream};

/// The number of the sync that a slot's holder is at, or was killed in; 0: none.
pub(super) fn number<M: Memory>(view: &View<M>, stream: Stream) -> u64 {
    view.load(view.layout.slot(stream).beginning())
}

/// A sync of a slot's holder for itself. An error poisons the file.
pub(super) fn settle<M: Memory>(
    view: &View<M>,
    stream: Stream,
    flush: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    // The number of who was killed in it stays: whoever comes after the next death is judged by the same one.
    if number(view, stream) == 0 {
        let number = view.memory.raise(BEGINNINGS);
        view.store(view.layout.slot(stream).beginning(), number);
    }
    let done = flush();
    if done.is_err() {
        view.poison();
    }
    view.store(view.layout.slot(stream).beginning(), 0);
    done
}

impl<M: Memory> Ring<M> {
    /// Whether who opened this ring may go on in a slot whose byte it holds. If so, the disk knows by now that the file is
    /// not clean, and that there is the stream.
    pub(super) fn begin(&self, stream: Stream) -> io::Result<bool> {
        let (view, number) = (self.view(), number(self.view(), stream));
        if !self.since().hears_beginning(number) {
            return Ok(false);
        }
        let clean = view.load(CLEAN) != 0;
        if number == 0 && !clean && view.last(stream) > Seq(0) {
            return Ok(true);
        }
        if clean {
            view.store(CLEAN, WAS_CLEAN);
        }
        self.settle(stream)?;
        if clean {
            view.store(CLEAN, 0);
        }
        Ok(true)
    }

    /// Brings everything to the disk, for the holder of a slot.
    pub(super) fn settle(&self, stream: Stream) -> io::Result<()> {
        settle(self.view(), stream, || Linux.sync(self.file()))
    }

    /// The slots whose holders are at a sync of their own, or were killed in it, as far as this ring hears of what came of
    /// it; with their numbers.
    pub(super) fn begun(&self) -> Vec<(Stream, u64)> {
        let numbers = self.view().streams().map(|stream| (stream, number(self.view(), stream)));
        let heard = |number: u64| number != 0 && self.since().hears_beginning(number);
        numbers.filter(|(_, number)| heard(*number)).collect()
    }

    /// After a sync of the file that succeeded: of these slots those that nobody holds can be taken again.
    pub(super) fn give_back(&self, begun: &[(Stream, u64)]) -> io::Result<()> {
        for (stream, known) in begun {
            let byte = self.view().layout.slot_byte(*stream);
            if !try_lock(self.file(), byte, Hold::Alone)? {
                continue;
            }
            if number(self.view(), *stream) == *known {
                self.view().store(self.view().layout.slot(*stream).beginning(), 0);
            }
            unlock(self.file(), byte)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::file::Wanted;
    use crate::ring::tests::scratch::Scratch;
    use crate::ring::writer::Writer;

    #[test]
    fn a_slots_holder_syncs_for_itself_when_the_file_was_clean_or_the_stream_has_no_event() {
        let dir = Scratch::new("begins");
        let wanted = Wanted { dir: dir.to_owned(), bytes: 8 * 4096, block_bytes: 4096 };
        let ring = Ring::open_or_make(&wanted).unwrap();
        let holder = || Writer::take(ring.again().unwrap()).unwrap();
        let syncs = || ring.view().load(BEGINNINGS);
        let mut first = holder();
        assert_eq!(syncs(), 1, "it was clean");
        let second = holder();
        assert_eq!(syncs(), 2, "it has none");
        first.append(1, b"one").unwrap();
        drop((first, second));
        let _first = holder();
        assert_eq!(syncs(), 2, "the disk knows of the file and of the stream");
        let _second = holder();
        assert_eq!(syncs(), 3, "it still has none");
    }
}
