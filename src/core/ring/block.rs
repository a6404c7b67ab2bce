//! A block's life. Each step is one swap or one store, so it is done or not done, whenever its process dies.
//!
//! ```text
//!            W1 claim, W2 begin             W7 seal
//!   FREE(g) ------------------> OPEN(g + 1) -------> SEALED(g + 1)
//!      ^     |   claimed, but never begun |            |    |
//!      +-----|----------------------------+            |    | W1, `overwrite`: OPEN(g + 2)
//!      +-----|-----------------------------------------+
//!               all in it is acknowledged
//! ```

use super::layout::FREED;
use super::memory::Memory;
use super::view::View;
use super::word::{BlockState, Fill, Generation, Phase, Ticket};
use crate::id::{Seq, Stream};

/// What one look at a descriptor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Records of one claim.
    Filled(Filled),
    /// OPEN, but what is written into it is still another claim's.
    Unbegun(BlockState),
    /// Nothing that can be read.
    Empty(BlockState),
    /// The claim changed while it was looked at.
    Void,
}

/// A block that one claim has begun to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The block's number.
    pub block: u32,
    /// Its phase, its stream and its claim.
    pub state: BlockState,
    /// The claim's place in the order of claims.
    pub ticket: Ticket,
    /// The seq of its first record.
    pub first: Seq,
    /// Bytes committed; final unless it is OPEN.
    pub used: u32,
    /// The seq of its last record, first - 1 when it has none; nothing yet while it is OPEN.
    pub last: Option<Seq>,
}

impl Filled {
    /// The seq before its first record's.
    pub fn before(&self) -> Seq {
        Seq(self.first.0.saturating_sub(1))
    }
}

/// W1: a block that is `seen` becomes OPEN for `slot`, under a new generation. Who loses the race gets None.
pub(super) fn claim<M: Memory>(
    view: &View<M>,
    block: u32,
    seen: BlockState,
    slot: Stream,
) -> Option<Generation> {
    debug_assert!(seen.phase != Phase::Open, "an OPEN block is never taken");
    let generation = seen.generation.next();
    let mine = BlockState { phase: Phase::Open, slot, generation };
    let at = view.layout.block(block).state();
    view.memory.swap(at, seen.into(), mine.into()).then_some(generation)
}

/// W2: what will lie in it, then that it is begun.
pub(super) fn begin<M: Memory>(view: &View<M>, block: u32, generation: Generation, first: Seq) {
    let at = view.layout.block(block);
    view.store(at.first(), first.0);
    view.store(at.ticket(), view.ticket().0);
    commit(view, block, Fill { generation, used: 0 });
}

/// W4: all before `fill.used` is committed.
pub(super) fn commit<M: Memory>(view: &View<M>, block: u32, fill: Fill) {
    view.store(view.layout.block(block).committed(), fill.into());
}

/// W7: nothing more is written into it, `last` is the seq of its last record. Only for who holds its slot; `slot.last`
/// was raised before.
pub(super) fn seal<M: Memory>(view: &View<M>, block: u32, seen: BlockState, last: Seq) -> bool {
    debug_assert!(seen.phase == Phase::Open);
    view.store(view.layout.block(block).last(), last.0);
    turn(view, block, seen, Phase::Sealed)
}

/// It may be claimed. A sealed one only when every named subscriber has acknowledged all in it and its cursor says so;
/// an open one only by who holds its slot, and when nothing is in it.
pub(super) fn free<M: Memory>(view: &View<M>, block: u32, seen: BlockState) -> bool {
    debug_assert!(seen.phase != Phase::Free);
    let done = turn(view, block, seen, Phase::Free);
    if done {
        view.memory.raise(FREED);
    }
    done
}

fn turn<M: Memory>(view: &View<M>, block: u32, seen: BlockState, to: Phase) -> bool {
    view.memory.swap(view.layout.block(block).state(), seen.into(), seen.to(to).into())
}

/// The state alone.
pub(super) fn state<M: Memory>(view: &View<M>, block: u32) -> BlockState {
    BlockState::from(view.load(view.layout.block(block).state()))
}

/// Whether the claim that was seen is still the block's latest: then what was copied from it is its own.
pub(super) fn still<M: Memory>(view: &View<M>, seen: &Filled) -> bool {
    state(view, seen.block).generation == seen.state.generation
}

/// One look: `state`, then `committed` (in that order: of a SEALED block it is final), the rest, and `state` again.
pub(super) fn look<M: Memory>(view: &View<M>, block: u32) -> Look {
    let at = view.layout.block(block);
    let state = state(view, block);
    let fill = Fill::from(view.load(at.committed()));
    let (ticket, first) = (Ticket(view.load(at.ticket())), Seq(view.load(at.first())));
    let last = (state.phase != Phase::Open).then(|| Seq(view.load(at.last())));
    let seen = Filled { block, state, ticket, first, used: fill.used, last };
    if !still(view, &seen) {
        Look::Void
    } else if state.generation == Generation::NONE {
        Look::Empty(state)
    } else if fill.generation == state.generation {
        let used = fill.used.min(view.layout.geometry().block_bytes);
        Look::Filled(Filled { used, ..seen })
    } else if state.phase == Phase::Open {
        Look::Unbegun(state)
    } else {
        Look::Empty(state)
    }
}
