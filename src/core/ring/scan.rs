//! One look at a whole ring. First every stream's `last` is sampled, then the descriptors are read: so a seq up to its
//! stream's sampled `last` that the scan did not find is lost; of what lies beyond, nothing is believed.

use super::block::{self, Filled, Look};
use super::memory::Memory;
use super::view::View;
use super::word::{BlockState, Phase};
use crate::id::{Seq, Stream};

/// Every stream's `last`, taken before a scan.
pub(super) struct Sampled(Vec<Seq>);

/// How many blocks are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Claimable.
    pub free: u32,
    /// Written to, or waiting for their slot's next writer.
    pub open: u32,
    /// Full.
    pub sealed: u32,
}

/// What one look found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    lasts: Vec<Seq>,
    /// By stream, in a stream by ticket.
    filled: Vec<Filled>,
    pub(super) unbegun: Vec<(u32, BlockState)>,
    blocks: Blocks,
}

impl Sampled {
    pub fn take<M: Memory>(view: &View<M>) -> Sampled {
        Sampled(view.streams().map(|stream| view.last(stream)).collect())
    }
}

impl Scan {
    /// Looks at every block. `known` is what earlier looks found, by block: of a block that is not OPEN nothing changes
    /// under one state.
    pub(super) fn look<M: Memory>(view: &View<M>, sampled: Sampled, known: &mut Vec<Look>) -> Scan {
        let count = view.layout.geometry().blocks;
        known.resize(count as usize, Look::Void);
        let mut scan = Scan { lasts: sampled.0, ..Scan::default() };
        scan.filled.reserve(count as usize);
        for block in 0..count {
            let before = &mut known[block as usize];
            if !before.holds(block::state(view, block)) {
                *before = block::look(view, block);
            }
            scan.count(before.phase());
            match *before {
                Look::Filled(filled) => scan.filled.push(filled),
                Look::Unbegun(state) => scan.unbegun.push((block, state)),
                Look::Empty(_) | Look::Void => {}
            }
        }
        scan.filled.sort_by_key(|filled| (filled.state.slot, filled.ticket));
        scan
    }

    /// What a look at the remains of a ring found: runs by stream and first seq.
    pub(super) fn found(lasts: Vec<Seq>, filled: Vec<Filled>, phases: Vec<Option<Phase>>) -> Scan {
        let mut scan = Scan { lasts, filled, ..Scan::default() };
        phases.into_iter().for_each(|phase| scan.count(phase));
        scan
    }

    fn count(&mut self, phase: Option<Phase>) {
        match phase {
            Some(Phase::Free) => self.blocks.free += 1,
            Some(Phase::Sealed) => self.blocks.sealed += 1,
            // What changed while it was looked at has just been claimed.
            Some(Phase::Open) | None => self.blocks.open += 1,
        }
    }

    /// The highest seq of a stream that was committed before this look.
    pub fn last(&self, stream: Stream) -> Seq {
        self.lasts.get(usize::from(stream.0)).copied().unwrap_or_default()
    }

    /// Every stream that had a writer before this look.
    pub fn streams(&self) -> impl Iterator<Item = Stream> + use<> {
        (0..self.lasts.len() as u16).map(Stream)
    }

    /// The blocks of a stream, in the order in which it filled them.
    pub fn of(&self, stream: Stream) -> &[Filled] {
        let start = self.filled.partition_point(|f| f.state.slot < stream);
        let length = self.filled[start..].partition_point(|f| f.state.slot == stream);
        &self.filled[start..start + length]
    }

    /// Every block that has records (or just begins to), by stream.
    pub fn filled(&self) -> &[Filled] {
        &self.filled
    }

    /// How many blocks were in which phase.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }
}

impl Look {
    pub(super) fn phase(&self) -> Option<Phase> {
        match self {
            Look::Filled(Filled { state, .. }) | Look::Unbegun(state) | Look::Empty(state) => {
                Some(state.phase)
            }
            Look::Void => None,
        }
    }

    /// Whether this is still what is there, when the state is `now`.
    fn holds(&self, now: BlockState) -> bool {
        now.phase != Phase::Open
            && match self {
                Look::Filled(Filled { state, .. }) | Look::Empty(state) => *state == now,
                Look::Unbegun(_) | Look::Void => false,
            }
    }
}
