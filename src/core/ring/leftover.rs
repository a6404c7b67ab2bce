//! What a writer leaves behind that is killed between W3 and W4: records behind what is committed, the last of them
//! perhaps in part. Nobody sees them; but their numbers are those of its successor's events, and some of their sectors may
//! be on the disk already. When the machine's power fails while of the successor's events the commit is there, and the
//! bytes are not yet, or only those that both have in common, the former would pass for the latter: the check sum is of
//! the stream, the number and the bytes, and all three are right. A copy of the block that is claimed again would do as well.
//!
//! So before a stream goes on they become no records, and the disk has taken that:
//!
//! ```text
//!   the first word (length and check sum) of each = 0, from the last one to the first | fsync | the first one's seq = 0
//! ```
//!
//! Until then the first one's seq stays, so whoever comes after a death between these steps begins again. A record whose
//! seq was not written yet can pass for none: what would be there of it is its first word, and that is in the same sector as
//! the seq, or the only thing that its successor does not overwrite with the very same bytes.

use super::block::Filled;
use super::layout::At;
use super::memory::Memory;
use super::view::View;
use crate::id::Seq;
use crate::record::HEADER;

/// The first words of these records, in order; there is one at least.
pub(super) struct Leftover(Vec<At>);

impl Leftover {
    /// Behind what is committed of an OPEN block, whose next number is `next`. Only for who holds its slot.
    pub fn find<M: Memory>(view: &View<M>, seen: &Filled, next: Seq) -> Option<Leftover> {
        let (mut at, mut seq, mut found) = (seen.used as usize, next, Vec::new());
        let limit = view.layout.geometry().block_bytes as usize;
        while at + HEADER <= limit {
            let first = view.layout.block(seen.block).data(at as u32);
            if view.load(first.plus(1)) != seq.0 {
                break;
            }
            found.push(first);
            let length = view.load(first) as u32 as usize;
            if length < HEADER {
                break;
            }
            (at, seq) = (at + length.next_multiple_of(8), seq.next());
        }
        (!found.is_empty()).then_some(Leftover(found))
    }

    /// They are no records any more, for who reads what the next sync brings to the disk.
    pub fn erase<M: Memory>(&self, view: &View<M>) {
        self.0.iter().rev().for_each(|first| view.store(*first, 0));
    }

    /// After that sync: nobody need look after them again.
    pub fn forget<M: Memory>(&self, view: &View<M>) {
        view.store(self.0[0].plus(1), 0);
    }
}
