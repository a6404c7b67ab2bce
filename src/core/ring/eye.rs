//! The publisher's eye and hand: slices in order, holes with a reason, then blocks freed. It changes nothing but that,
//! and acts for a dead writer only under the slot's byte.

use std::cell::RefCell;

use super::block::{self, Filled, Look};
use super::configuration::{Configuration, Overflow};
use super::cursor::{self, Who};
use super::hours;
use super::layout::{EPOCH, FREED, LAST_SYNC, NAMES};
use super::memory::Memory;
use super::pen::Pen;
use super::places::settle;
use super::scan::{Sampled, Scan};
use super::view::View;
use super::word::{BlockState, Generation, Phase};
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

/// The reader without its lease, locks and bell.
pub(super) struct Eye {
    policy: Overflow,
    /// The place of each subscriber of the configuration.
    places: Vec<usize>,
    known: Vec<Look>,
    /// Claims that were not begun at the last look.
    unbegun: Vec<(u32, BlockState)>,
    marks: RefCell<Vec<Vec<Mark>>>,
}

impl Eye {
    /// A new holder of the lease: raises the epoch, writes the configuration, gives each name its place, and moves
    /// `freed`, since the one before may have died between FREE and that.
    pub fn new<M: Memory>(view: &View<M>, configuration: &Configuration) -> Eye {
        view.memory.raise(EPOCH);
        let places = settle(view, configuration);
        view.memory.raise(FREED);
        Eye {
            policy: configuration.policy,
            places,
            known: Vec::new(),
            unbegun: Vec::new(),
            marks: RefCell::default(),
        }
    }

    pub fn scan<M: Memory>(&mut self, view: &View<M>) -> Scan {
        Scan::look(view, Sampled::take(view), &mut self.known)
    }

    /// The place of somebody's cursors: 0 live, then the named.
    pub fn index(&self, who: Who) -> usize {
        match who {
            Who::Live => 0,
            Who::Named(n) => self.places[n] + 1,
        }
    }

    pub fn place(&self, named: usize) -> usize {
        self.places[named]
    }

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
        let end = blocks.get(later).map_or(known, |b| Seq(b.first.0 - 1).min(known));
        let found = match later.checked_sub(1).map(|n| &blocks[n]) {
            Some(block) => self.copy(view, block, after.next(), room, out),
            None => Copied::Nothing,
        };
        match found {
            Copied::Records(count) => Next::Slice { first: after.next(), count },
            Copied::Void => Next::Void,
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
            return walk.unless_void(Copied::Nothing);
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

    /// SEALED blocks in which every named subscriber has acknowledged everything become FREE.
    pub fn free<M: Memory>(&self, view: &View<M>, scan: &Scan) -> usize {
        let mut freed = 0;
        for stream in streams_of(scan) {
            let acked = self.acked(view, stream);
            for seen in scan.of(stream).iter().filter(|f| f.state.phase == Phase::Sealed) {
                if acked.is_none_or(|acked| seen.last.is_some_and(|last| acked >= last)) {
                    freed += usize::from(block::free(view, seen.block, seen.state));
                }
            }
        }
        freed
    }

    /// Up to where every named subscriber has acknowledged; None when nobody is named.
    fn acked<M: Memory>(&self, view: &View<M>, stream: Stream) -> Option<Seq> {
        let of = |place: &usize| cursor::read(view, stream, place + 1).acked;
        self.places.iter().map(of).min()
    }

    /// Acts for dead slots: `hold` takes a slot's byte, or says that somebody has it. Claims that were never begun are
    /// returned; an OPEN block is sealed only while under a quarter of the blocks is FREE, and only when all in it is
    /// acknowledged (`reject`) or its ticket is the lowest (`overwrite`).
    pub fn tend<M: Memory, G>(
        &mut self,
        view: &View<M>,
        scan: &Scan,
        hold: impl Fn(Stream) -> Option<G>,
    ) {
        // Between W1 and W2 a living writer is for a moment only: ask after those alone that stay there.
        let stale = |claim: &&(u32, BlockState)| self.unbegun.contains(claim);
        for (_, state) in scan.unbegun.iter().filter(stale) {
            if let Some(_held) = hold(state.slot) {
                // A broken record poisons the file, that is all there is to do.
                let _ = Pen::take_over(view, state.slot);
            }
        }
        self.unbegun.clone_from(&scan.unbegun);
        if scan.blocks().free * 4 >= view.layout.geometry().blocks {
            return;
        }
        let taken = |f: &&Filled| f.state.phase != Phase::Free;
        let lowest = scan.filled().iter().filter(taken).map(|f| f.ticket).min();
        for seen in scan.filled().iter().filter(|f| f.state.phase == Phase::Open) {
            let slot = seen.state.slot;
            let may = |view: &View<M>, last: Seq| match self.policy {
                Overflow::Overwrite => Some(seen.ticket) == lowest,
                Overflow::Reject => self.acked(view, slot).is_none_or(|acked| acked >= last),
            };
            if !may(view, scan.last(slot)) {
                continue;
            }
            let Some(_held) = hold(slot) else { continue };
            if let Ok(mut pen) = Pen::take_over(view, slot) {
                if pen.holds(seen.block, seen.state.generation) && may(view, pen.last()) {
                    pen.seal(view);
                }
            }
        }
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

/// Every stream of which the scan saw a block, also one that began after the sampling.
fn streams_of(scan: &Scan) -> impl Iterator<Item = Stream> + '_ {
    let mut streams: Vec<Stream> = scan.filled().iter().map(|f| f.state.slot).collect();
    streams.dedup();
    streams.into_iter()
}
