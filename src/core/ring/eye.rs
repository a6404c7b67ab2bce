//! What comes next in a stream: slices in order, holes with a reason. It changes nothing.

use std::cell::{Cell, RefCell};

use super::block::{self, Filled};
use super::hours;
use super::layout::{LAST_SYNC, NAMES};
use super::memory::Memory;
use super::scan::Scan;
use super::view::View;
use super::word::Generation;
use crate::id::{Seq, Stream};
use crate::record::{HEADER, Slice};

/// What comes next in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// `count` records from `first` on; their bytes were appended.
    Slice {
        /// The first one's number.
        first: Seq,
        /// How many.
        count: u32,
    },
    /// Everything up to `to` was overwritten.
    Lost {
        /// The last one lost.
        to: Seq,
        /// The hours they came in, since 1970; the first is 0 when they are older than the ring remembers.
        hours: (u64, u64),
    },
    /// What is there fails its check.
    Uncertain {
        /// The last one concerned; None when nobody knows where it ends.
        to: Option<Seq>,
        /// When the last good sync began, ns since 1970, 0 for never.
        since: u64,
    },
    /// Nothing yet.
    Nothing,
    /// It was overwritten while it was read: scan again.
    Void,
}

/// Where a slice ended, so that the next one need not be searched for from the block's start.
#[derive(Clone, Copy)]
struct Mark {
    block: u32,
    generation: Generation,
    seq: Seq,
    offset: u32,
}

/// Marks kept per stream: for live, each name, and one to spare.
const MARKS: usize = NAMES + 2;

/// Who looks; remembers by stream where slices ended.
#[derive(Default)]
pub(super) struct Eye {
    marks: RefCell<Vec<Vec<Mark>>>,
    overtaken: Cell<bool>,
}

impl Eye {
    /// Whether anything was [`Next::Void`] since this was asked last: what was seen of its block is no longer so.
    pub fn overtaken(&self) -> bool {
        self.overtaken.take()
    }

    /// What comes after `after`; see [`Reader::next`](super::Reader::next).
    pub fn next<M: Memory>(
        &self,
        view: &View<M>,
        scan: &Scan,
        stream: Stream,
        after: Seq,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Next {
        let blocks = scan.of(stream);
        // Of the blocks that begin at or before the wanted seq only the last can have it.
        let later = blocks.partition_point(|b| b.first <= after.next());
        let known = scan.last(stream);
        let end = blocks.get(later).map_or(known, |b| b.before().min(known));
        let found = match later.checked_sub(1).map(|n| &blocks[n]) {
            Some(block) => self.copy(view, block, after.next(), room, out),
            None => Copied::Nothing,
        };
        match found {
            Copied::Records(count) => Next::Slice { first: after.next(), count },
            Copied::Void => {
                self.overtaken.set(true);
                Next::Void
            }
            _ if end <= after => Next::Nothing,
            Copied::Torn => Next::Uncertain { to: Some(end), since: view.load(LAST_SYNC) },
            Copied::Nothing => {
                let hours = hours::span(view, stream, after.next(), end);
                Next::Lost { to: end, hours }
            }
        }
    }

    /// Appends records of a block from `first` on, at least one if there is one.
    fn copy<M: Memory>(
        &self,
        view: &View<M>,
        block: &Filled,
        first: Seq,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Copied {
        let walk = Walk { view, block };
        let mut mark = self.mark(block, first);
        while mark.seq < first && mark.offset < block.used {
            match walk.step(mark) {
                Some(next) => mark = next,
                None => return walk.unless_void(Copied::Torn),
            }
        }
        if mark.offset >= block.used {
            let found = walk.unless_void(Copied::Nothing);
            if matches!(found, Copied::Nothing) {
                self.keep(block, mark);
            }
            return found;
        }
        let (mut end, mut count) = (mark, 0);
        while end.offset < block.used {
            let Some(next) = walk.step(end) else { break };
            if count > 0 && (next.offset - mark.offset) as usize > room {
                break;
            }
            (end, count) = (next, count + 1);
        }
        let start = out.len();
        let length = (end.offset - mark.offset) as usize;
        view.memory.read(view.layout.block(block.block).data(mark.offset), length, out);
        if !block::still(view, block) {
            out.truncate(start);
            return Copied::Void;
        }
        let mut slice = Slice::new(view.seed(block.state.slot), first, &out[start..]);
        let good = slice.by_ref().take_while(Result::is_ok).count() as u32;
        let bad = slice.rest().len();
        out.truncate(out.len() - bad);
        match good {
            0 => Copied::Torn,
            _ => {
                if good == count {
                    self.keep(block, end);
                }
                Copied::Records(good)
            }
        }
    }

    /// The best known place at or before `seq` in this block.
    fn mark(&self, block: &Filled, seq: Seq) -> Mark {
        let (number, generation) = (block.block, block.state.generation);
        let start = Mark { block: number, generation, seq: block.first, offset: 0 };
        let marks = self.marks.borrow();
        let of_stream = marks.get(usize::from(block.state.slot.0)).into_iter().flatten();
        let same = |m: &&Mark| m.block == number && m.generation == generation && m.seq <= seq;
        of_stream.filter(same).max_by_key(|m| m.seq).copied().unwrap_or(start)
    }

    /// Remembers where a slice ended.
    fn keep(&self, block: &Filled, end: Mark) {
        let mut marks = self.marks.borrow_mut();
        let slot = usize::from(block.state.slot.0);
        if marks.len() <= slot {
            marks.resize(slot + 1, Vec::new());
        }
        let of_stream = &mut marks[slot];
        of_stream.retain(|m| m.seq != end.seq);
        if of_stream.len() == MARKS {
            of_stream.remove(0);
        }
        of_stream.push(end);
    }
}

/// What copying from one block gave.
enum Copied {
    Records(u32),
    Nothing,
    Torn,
    Void,
}

/// A walk over the headers of a block's records, where they lie.
struct Walk<'a, M> {
    view: &'a View<M>,
    block: &'a Filled,
}

impl<M: Memory> Walk<'_, M> {
    /// Over one record; None when what lies there is not it.
    fn step(&self, from: Mark) -> Option<Mark> {
        let at = self.view.layout.block(self.block.block);
        let length = self.view.load(at.data(from.offset)) as u32;
        let step = length.checked_next_multiple_of(8)?;
        let left = self.block.used - from.offset;
        if (length as usize) < HEADER || step > left {
            return None;
        }
        if self.view.load(at.data(from.offset).plus(1)) != from.seq.0 {
            return None;
        }
        Some(Mark { seq: from.seq.next(), offset: from.offset + step, ..from })
    }

    fn unless_void(&self, found: Copied) -> Copied {
        if block::still(self.view, self.block) { found } else { Copied::Void }
    }
}
