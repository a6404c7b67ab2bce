//! The ring's packed words. Every shift and mask of the ring is here.
//!
//! ```text
//!   state      63..62 phase (0 FREE, 1 OPEN, 2 SEALED) | 61..44 slot | 43..0 generation
//!   committed  63..20 generation                       | 19..0 bytes used / 8
//! ```
//!
//! The generation rises by one with each claim of a block, so whoever saw it before and sees it again after knows that
//! nobody else had the block in between. 0 is a block that nobody ever claimed.

use crate::id::Stream;

const GENERATION_BITS: u32 = 44;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const SLOT_MASK: u64 = (1 << 18) - 1;
const PHASE_SHIFT: u32 = 62;
const USED_BITS: u32 = 20;
const USED_MASK: u64 = (1 << USED_BITS) - 1;

/// The largest block that `committed` can count, in bytes.
pub const MAX_BLOCK_BYTES: u32 = 1 << (USED_BITS + 2);

/// How often a block has been claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

/// A block's place in the order of claims, from one counter: it rises from claim to claim, in the whole ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Claimable; what is in it stays readable until the claim.
    Free,
    /// Its slot's holder writes into it.
    Open,
    /// Nothing more is written into it.
    Sealed,
}

/// The word `state`: a block's phase, the slot that has (or had) it, and the generation of that claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockState {
    /// What it is for now.
    pub phase: Phase,
    /// The stream whose records are in it.
    pub slot: Stream,
    /// The claim.
    pub generation: Generation,
}

/// The word `committed`: how far a block is filled, under which claim. Its store is the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The claim; another than the state's says that the claim was never begun.
    pub generation: Generation,
    /// Bytes, a multiple of 8.
    pub used: u32,
}

impl Generation {
    /// The generation of a block that nobody ever claimed.
    pub const NONE: Generation = Generation(0);

    /// The next claim's. (2^44 claims of one block take five hundred years at a thousand a second.)
    pub fn next(self) -> Generation {
        Generation((self.0 + 1) & GENERATION_MASK)
    }
}

impl BlockState {
    /// The same claim in another phase.
    pub fn to(self, phase: Phase) -> BlockState {
        BlockState { phase, ..self }
    }
}

impl From<u64> for BlockState {
    fn from(word: u64) -> BlockState {
        let phase = match word >> PHASE_SHIFT {
            0 => Phase::Free,
            1 => Phase::Open,
            _ => Phase::Sealed,
        };
        let slot = Stream((word >> GENERATION_BITS & SLOT_MASK) as u16);
        BlockState { phase, slot, generation: Generation(word & GENERATION_MASK) }
    }
}

impl From<BlockState> for u64 {
    fn from(state: BlockState) -> u64 {
        (state.phase as u64) << PHASE_SHIFT
            | u64::from(state.slot.0) << GENERATION_BITS
            | state.generation.0
    }
}

impl From<u64> for Fill {
    fn from(word: u64) -> Fill {
        let used = ((word & USED_MASK) as u32) << 3;
        Fill { generation: Generation(word >> USED_BITS), used }
    }
}

impl From<Fill> for u64 {
    fn from(fill: Fill) -> u64 {
        fill.generation.0 << USED_BITS | u64::from(fill.used >> 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_state_reads_back_from_its_word(phase in 0..3u8, slot: u16, generation in 0..=GENERATION_MASK) {
            let phase = [Phase::Free, Phase::Open, Phase::Sealed][usize::from(phase)];
            let state = BlockState { phase, slot: Stream(slot), generation: Generation(generation) };
            prop_assert_eq!(BlockState::from(u64::from(state)), state);
        }

        #[test]
        fn a_fill_reads_back_from_its_word(generation in 0..=GENERATION_MASK, used in 0..=MAX_BLOCK_BYTES / 8) {
            let fill = Fill { generation: Generation(generation), used: used * 8 };
            prop_assert_eq!(Fill::from(u64::from(fill)), fill);
        }
    }

    #[test]
    fn a_block_of_a_new_file_is_free_and_was_never_claimed() {
        let state = BlockState::from(0);
        assert_eq!((state.phase, state.generation), (Phase::Free, Generation::NONE));
        assert_eq!(u64::from(state.to(Phase::Open)), 1 << 62);
        assert_eq!(u64::from(state.to(Phase::Sealed)), 2 << 62);
    }
}
