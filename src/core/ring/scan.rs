//! One look at a whole ring. First every stream's `last` is sampled, then the descriptors are read: so a seq up to its
//! stream's sampled `last` that the scan did not find is lost; of what lies beyond, nothing is believed.
//!
//! Who looks again and again keeps what he saw ([`Known`]). Of a block that is not OPEN nothing changes under one state,
//! so its state alone is read again. And while neither a ticket was drawn nor a block freed since the last such round,
//! no block that can be read was claimed: then only those are looked at that were OPEN, or just being claimed. A claim
//! that died before its ticket is found by a round at every [`ROUND`]th look.

use std::sync::Arc;

use super::block::{self, Filled, Look};
use super::layout::{FREED, TICKET};
use super::memory::Memory;
use super::view::View;
use super::word::{BlockState, Phase, Ticket};
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
    filled: Arc<Vec<Filled>>,
    pub(super) unbegun: Vec<(u32, BlockState)>,
    blocks: Blocks,
}

/// Looks until every state is read again, at the latest.
const ROUND: u32 = 4;

/// What earlier looks found.
#[derive(Default)]
pub(super) struct Known {
    looks: Vec<Look>,
    /// By block the state under which its look stays true; None when it must be looked at each time.
    states: Vec<Option<BlockState>>,
    /// The blocks of which that is so.
    hot: Vec<u32>,
    filled: Arc<Vec<Filled>>,
    blocks: Blocks,
    /// The tickets drawn and the blocks freed before the last round, and the looks since.
    round: Option<(u64, u64)>,
    since: u32,
}

impl Known {
    /// Looks at what may have changed.
    fn refresh<M: Memory>(&mut self, view: &View<M>) {
        // Noted before the round: what is claimed or freed behind its back moves them again.
        let moved = Some((view.load(TICKET), view.load(FREED)));
        let mut changed = Vec::new();
        self.since += 1;
        if moved != self.round || self.since >= ROUND {
            (self.round, self.since) = (moved, 0);
            let count = view.layout.geometry().blocks;
            if self.looks.is_empty() {
                self.looks.resize(count as usize, Look::Void);
                self.states.resize(count as usize, None);
                // As Void counts.
                self.blocks.open = count;
            }
            for block in 0..count {
                if self.states[block as usize] != Some(block::state(view, block)) {
                    self.look(view, block, &mut changed);
                }
            }
            let hot = |block: &u32| self.states[*block as usize].is_none();
            self.hot = (0..count).filter(hot).collect();
        } else {
            for block in std::mem::take(&mut self.hot) {
                self.look(view, block, &mut changed);
                if self.states[block as usize].is_none() {
                    self.hot.push(block);
                }
            }
        }
        self.sort(&changed);
    }

    /// Looks at one block; what can be read of it is `changed` if it is another claim's.
    fn look<M: Memory>(&mut self, view: &View<M>, block: u32, changed: &mut Vec<u32>) {
        let new = block::look(view, block);
        let old = std::mem::replace(&mut self.looks[block as usize], new);
        self.states[block as usize] = new.lasts();
        if old == new {
            return;
        }
        *self.blocks.of(old.phase()) -= 1;
        *self.blocks.of(new.phase()) += 1;
        match (old, new) {
            (Look::Filled(old), Look::Filled(new)) if key(&old) == key(&new) => {
                let filled = Arc::make_mut(&mut self.filled);
                if let Ok(at) = filled.binary_search_by_key(&key(&new), key) {
                    filled[at] = new;
                }
            }
            (Look::Filled(_), _) | (_, Look::Filled(_)) => changed.push(block),
            _ => {}
        }
    }

    /// Puts the blocks that have new owners, or none, in their places.
    fn sort(&mut self, changed: &[u32]) {
        if changed.is_empty() {
            return;
        }
        let filled = Arc::make_mut(&mut self.filled);
        // In the order of their numbers: so they were looked at.
        filled.retain(|f| changed.binary_search(&f.block).is_err());
        filled.extend(changed.iter().filter_map(|block| match self.looks[*block as usize] {
            Look::Filled(new) => Some(new),
            _ => None,
        }));
        // One sorted run and a few more: a stable sort merges them.
        filled.sort_by_key(key);
    }
}

fn key(filled: &Filled) -> (Stream, Ticket, u32) {
    (filled.state.slot, filled.ticket, filled.block)
}

impl Blocks {
    fn of(&mut self, phase: Option<Phase>) -> &mut u32 {
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
        let unbegun = known.hot.iter().filter_map(|block| match known.looks[*block as usize] {
            Look::Unbegun(state) => Some((*block, state)),
            _ => None,
        });
        Scan {
            lasts: sampled.0,
            unbegun: unbegun.collect(),
            filled: known.filled.clone(),
            blocks: known.blocks,
        }
    }

    /// What a look at the remains of a ring found: runs by stream and first seq.
    pub(super) fn found(lasts: Vec<Seq>, filled: Vec<Filled>, phases: Vec<Option<Phase>>) -> Scan {
        let mut scan = Scan { lasts, filled: Arc::new(filled), ..Scan::default() };
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

    /// Under which state this stays what is there; None when that may change under any.
    fn lasts(&self) -> Option<BlockState> {
        match self {
            Look::Filled(Filled { state, .. }) | Look::Empty(state) => {
                (state.phase != Phase::Open).then_some(*state)
            }
            Look::Unbegun(_) | Look::Void => None,
        }
    }
}
