//! What earlier looks at a ring found, so that the next one reads only what may have changed.
//!
//! Of a block that is not OPEN nothing changes under one state, and what changes its state leaves a trace:
//!
//! ```text
//!   FREE or SEALED -> OPEN    a ticket is drawn before anything in it can be read
//!   SEALED -> FREE            `freed` is raised
//! ```
//!
//! So a look reads both counters, the blocks that were OPEN, and those that this hand freed; then those whose turn it is
//! to be claimed, until each new ticket was found in a block. Where tickets or FREE ones are left that nothing explains (a
//! claim out of turn, another hand's FREE, a writer just between its ticket and its block) all states are read. A claim
//! that died before its ticket leaves no trace: for these a few more states are read at each look, in turn; and all of
//! them after a copy that was overtaken.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::block::{self, Filled, Look};
use super::lane::Lane;
use super::layout::{FREED, TICKET};
use super::memory::Memory;
use super::scan::Blocks;
use super::search::candidates;
use super::view::View;
use super::word::{BlockState, Phase, Ticket};

/// Of a small ring every state is read again within so many looks,
const ROUND: u32 = 4;
/// of a large one so many at each.
const SWEEP: u32 = 32;

/// What earlier looks found.
#[derive(Default)]
pub(super) struct Known {
    looks: Vec<Look>,
    /// The blocks of which nothing lasts: they are looked at each time.
    hot: Vec<u32>,
    /// The others in the order of claims, FREE ones before SEALED ones, the lowest ticket first; once that was asked for.
    turns: Option<BTreeSet<(Phase, Ticket, u32)>>,
    lanes: Arc<Vec<Lane>>,
    blocks: Blocks,
    /// Tickets drawn and blocks freed up to which everything is explained.
    explained: Option<(u64, u64)>,
    /// Tickets beyond that were found.
    found: BTreeSet<u64>,
    /// Blocks that this hand freed since the last look.
    freed: Vec<u32>,
    /// Where the sweep goes on.
    sweep: u32,
    /// Something is otherwise than it was seen.
    doubt: bool,
}

impl Known {
    /// This hand freed a block.
    pub fn freed(&mut self, block: u32) {
        self.freed.push(block);
    }

    /// What was seen of some block is no longer so: the next look reads all states.
    pub fn doubt(&mut self) {
        self.doubt = true;
    }

    /// By stream, its blocks in the order of their tickets.
    pub fn lanes(&self) -> Arc<Vec<Lane>> {
        Arc::clone(&self.lanes)
    }

    /// How many blocks are in which phase.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }

    /// What the last look saw of the blocks of which nothing lasts.
    pub fn hot(&self) -> impl Iterator<Item = (u32, Look)> {
        self.hot.iter().map(|block| (*block, self.looks[*block as usize]))
    }

    /// Looks at what may have changed. What is sampled must have been before.
    pub fn refresh<M: Memory>(&mut self, view: &View<M>) {
        // Noted before: what is claimed or freed behind its back moves them again.
        let noted = (view.load(TICKET), view.load(FREED));
        for block in std::mem::take(&mut self.hot) {
            self.look(view, block);
        }
        let own = std::mem::take(&mut self.freed);
        for block in &own {
            self.look_if_changed(view, *block);
        }
        let mut explained = !std::mem::take(&mut self.doubt);
        if let (Some((tickets, freed)), true) = (self.explained, explained) {
            explained = noted.1.checked_sub(freed) == Some(own.len() as u64)
                && self.finds(view, tickets, noted.0);
        }
        if explained && self.explained.is_some() {
            self.sweep(view);
        } else {
            self.look_at_all(view, noted.0);
        }
        self.explained = Some(noted);
        self.found = self.found.split_off(&(noted.0.saturating_add(1)));
    }

    /// Whether each ticket beyond `from` up to `to` is found in a block.
    fn finds<M: Memory>(&mut self, view: &View<M>, from: u64, to: u64) -> bool {
        let Some(wanted) = to.checked_sub(from).map(|n| n as usize) else { return false };
        if wanted > self.looks.len() {
            return false;
        }
        let found = |known: &Known| known.found.range(..=to).count();
        let mut missing = wanted.saturating_sub(found(self));
        if missing > 0 {
            let turns = self.turns.get_or_insert_with(|| {
                (0..).zip(&self.looks).filter_map(|(block, look)| turn(block, look)).collect()
            });
            // Each writer has its own idea of the turn, as old as its candidates.
            let most = 2 * (candidates(self.looks.len() as u32) + missing);
            let likely = turns.iter().take(most);
            let likely: Vec<u32> = likely.map(|(.., block)| *block).collect();
            for block in likely {
                if self.look_if_changed(view, block) {
                    missing = wanted.saturating_sub(found(self));
                }
                if missing == 0 {
                    break;
                }
            }
        }
        missing == 0
    }

    fn sweep<M: Memory>(&mut self, view: &View<M>) {
        let count = self.looks.len() as u32;
        for _ in 0..count.div_ceil(ROUND).min(SWEEP) {
            self.sweep = if self.sweep + 1 < count { self.sweep + 1 } else { 0 };
            self.look_if_changed(view, self.sweep);
        }
    }

    fn look_at_all<M: Memory>(&mut self, view: &View<M>, tickets: u64) {
        let count = view.layout.geometry().blocks;
        if !self.looks.is_empty() {
            for block in 0..count {
                self.look_if_changed(view, block);
            }
            return;
        }
        self.looks = (0..count).map(|block| block::look(view, block)).collect();
        let lanes = Arc::make_mut(&mut self.lanes);
        for (block, look) in (0..).zip(&self.looks) {
            *self.blocks.of(look.phase()) += 1;
            if look.lasts().is_none() {
                self.hot.push(block);
            }
            if let Look::Filled(new) = look {
                Lane::of(lanes, new.state.slot).push(*new);
                if new.ticket.0 > tickets {
                    self.found.insert(new.ticket.0);
                }
            }
        }
        lanes.iter_mut().for_each(Lane::sort);
    }

    /// Looks at a block of which something lasts, unless it still does; whether it does not.
    fn look_if_changed<M: Memory>(&mut self, view: &View<M>, block: u32) -> bool {
        let lasts = self.looks.get(block as usize).and_then(Look::lasts);
        let changed = lasts.is_some_and(|seen| seen != block::state(view, block));
        if changed {
            self.look(view, block);
        }
        changed
    }

    /// Looks at one block, which is not among the hot ones.
    fn look<M: Memory>(&mut self, view: &View<M>, block: u32) {
        let new = block::look(view, block);
        let old = std::mem::replace(&mut self.looks[block as usize], new);
        if new.lasts().is_none() {
            self.hot.push(block);
        }
        if old == new {
            return;
        }
        *self.blocks.of(old.phase()) -= 1;
        *self.blocks.of(new.phase()) += 1;
        if let Some(turns) = &mut self.turns {
            if let Some(turn) = turn(block, &old) {
                turns.remove(&turn);
            }
            turns.extend(turn(block, &new));
        }
        if let (Look::Filled(_), _) | (_, Look::Filled(_)) = (old, new) {
            self.place(old, new);
        }
    }

    /// Puts what can be read of a block in the place of what could.
    fn place(&mut self, old: Look, new: Look) {
        let lanes = Arc::make_mut(&mut self.lanes);
        if let (Look::Filled(old), Look::Filled(new)) = (old, new)
            && Lane::of(lanes, new.state.slot).replace(&old, new)
        {
            return;
        }
        if let Look::Filled(old) = old {
            Lane::of(lanes, old.state.slot).remove(&old);
        }
        if let Look::Filled(new) = new {
            Lane::of(lanes, new.state.slot).insert(new);
            if self.explained.is_some_and(|(tickets, _)| new.ticket.0 > tickets) {
                self.found.insert(new.ticket.0);
            }
        }
    }
}

/// A block's place in the order of claims, unless it is OPEN.
fn turn(block: u32, look: &Look) -> Option<(Phase, Ticket, u32)> {
    let phase = look.lasts()?.phase;
    let ticket = match look {
        Look::Filled(filled) => filled.ticket,
        // What stands there is older than any.
        _ => Ticket::default(),
    };
    Some((phase, ticket, block))
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
