//! One look at a whole ring. First every stream's `last` is sampled, then the descriptors are read: so a seq up to its
//! stream's sampled `last` that the scan did not find is lost; of what lies beyond, nothing is believed.
//!
//! Who looks again and again keeps what he saw ([`Known`]), and reads only what may have changed.

use std::sync::Arc;

use super::block::{Filled, Look};
use super::known::Known;
use super::lane::Lane;
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
    /// By stream.
    lanes: Arc<Vec<Lane>>,
    pub(super) unbegun: Vec<(u32, BlockState)>,
    open: Vec<Filled>,
    blocks: Blocks,
}

impl Blocks {
    pub(super) fn of(&mut self, phase: Option<Phase>) -> &mut u32 {
        match phase {
            Some(Phase::Free) => &mut self.free,
            Some(Phase::Sealed) => &mut self.sealed,
            // What changed while it was looked at has just been claimed.
            Some(Phase::Open) | None => &mut self.open,
        }
    }
}

impl Sampled {
    pub fn take<M: Memory>(view: &View<M>) -> Sampled {
        Sampled(view.streams().map(|stream| view.last(stream)).collect())
    }
}

impl Scan {
    /// Looks at every block, or at those that may have changed since `known` was seen.
    pub(super) fn look<M: Memory>(view: &View<M>, sampled: Sampled, known: &mut Known) -> Scan {
        known.refresh(view);
        let (mut unbegun, mut open) = (Vec::new(), Vec::new());
        for (block, look) in known.hot() {
            match look {
                Look::Unbegun(state) => unbegun.push((block, state)),
                Look::Filled(filled) => open.push(filled),
                Look::Empty(_) | Look::Void => {}
            }
        }
        let (lanes, blocks) = (known.lanes(), known.blocks());
        Scan { lasts: sampled.0, lanes, unbegun, open, blocks }
    }

    /// What a look at the remains of a ring found: runs by stream and first seq. Nobody acts for its slots any more, so what
    /// of it is OPEN is not noted.
    pub(super) fn found(lasts: Vec<Seq>, filled: Vec<Filled>, phases: Vec<Option<Phase>>) -> Scan {
        let mut lanes = Vec::new();
        filled.into_iter().for_each(|one| Lane::of(&mut lanes, one.state.slot).push(one));
        let mut scan = Scan { lasts, lanes: Arc::new(lanes), ..Scan::default() };
        phases.into_iter().for_each(|phase| *scan.blocks.of(phase) += 1);
        scan
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
        self.lanes.get(usize::from(stream.0)).map_or(&[], Lane::all)
    }

    /// The same from the first one on that is not FREE.
    pub(super) fn held(&self, stream: Stream) -> &[Filled] {
        self.lanes.get(usize::from(stream.0)).map_or(&[], Lane::held)
    }

    /// Every stream of which a block was seen, also one that began after the sampling.
    pub(super) fn seen(&self) -> impl Iterator<Item = Stream> + use<> {
        (0..self.lanes.len()).map(|at| Stream(at as u16))
    }

    /// Every block that has records (or just begins to), by stream.
    pub fn filled(&self) -> impl Iterator<Item = &Filled> {
        self.lanes.iter().flat_map(Lane::all)
    }

    /// Those of them that are OPEN.
    pub(super) fn open(&self) -> &[Filled] {
        &self.open
    }

    /// How many blocks were in which phase.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }
}
