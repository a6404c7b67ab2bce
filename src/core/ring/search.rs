//! Which block a writer claims next.

use super::block;
use super::configuration::{Name, Overflow, Written, policy};
use super::cursor;
use super::memory::Memory;
use super::pen::Refused;
use super::view::View;
use super::word::{BlockState, Generation, Phase, Ticket};
use crate::id::Stream;

/// Candidates kept from one look at so many blocks, so that few claims need one: in a large ring a look takes longer.
pub(super) fn candidates(blocks: u32) -> usize {
    (blocks / 256).clamp(32, 1024) as usize
}

/// What is known of blocks that could be claimed.
#[derive(Default)]
pub(super) struct Search {
    /// Lowest ticket at the end.
    candidates: Vec<(Ticket, u32, BlockState)>,
    /// `freed`, noted before the look that found the candidates.
    noted: u64,
    /// That look found none; who holds the ring full.
    dry: Option<Refused>,
}

impl Search {
    /// W1 on the FREE block of the lowest ticket or, under `overwrite` and when none is FREE, the SEALED one. Without
    /// a new look it takes the next best of the last one: no worse, but for blocks freed since.
    pub fn claim<M: Memory>(
        &mut self,
        view: &View<M>,
        slot: Stream,
    ) -> Result<(u32, Generation), Refused> {
        if let Some(refused) = &self.dry {
            if view.freed() == self.noted {
                return Err(refused.clone());
            }
        }
        loop {
            while let Some((_, block, seen)) = self.candidates.pop() {
                // Whoever made it `reject` may have died before it moved `freed`.
                let stale = || view.freed() != self.noted || policy(view) == Overflow::Reject;
                if seen.phase == Phase::Sealed && stale() {
                    self.candidates.clear();
                } else if let Some(generation) = block::claim(view, block, seen, slot) {
                    return Ok((block, generation));
                }
            }
            self.look(view)?;
        }
    }

    /// Whether a claim would find a block. Claims none.
    pub fn ready<M: Memory>(&mut self, view: &View<M>) -> Result<(), Refused> {
        if let Some(refused) = &self.dry {
            if view.freed() == self.noted {
                return Err(refused.clone());
            }
        }
        self.candidates.clear();
        self.look(view)
    }

    fn look<M: Memory>(&mut self, view: &View<M>) -> Result<(), Refused> {
        // Noted before the look: what is freed behind its back moves it again.
        self.noted = view.freed();
        self.dry = None;
        self.collect(view, Phase::Free);
        if !self.candidates.is_empty() {
            return Ok(());
        }
        if policy(view) == Overflow::Overwrite {
            self.collect(view, Phase::Sealed);
            return match self.candidates.is_empty() {
                true => Err(Refused::Full { holder: None }),
                false => Ok(()),
            };
        }
        let refused = Refused::Full { holder: holder(view) };
        self.dry = Some(refused.clone());
        Err(refused)
    }

    fn collect<M: Memory>(&mut self, view: &View<M>, phase: Phase) {
        let blocks = view.layout.geometry().blocks;
        let most = candidates(blocks);
        let by_ticket = |(ticket, block, _): &(Ticket, u32, BlockState)| (*ticket, *block);
        for block in 0..blocks {
            let state = block::state(view, block);
            if state.phase != phase {
                continue;
            }
            let ticket = Ticket(view.load(view.layout.block(block).ticket()));
            self.candidates.push((ticket, block, state));
            // Now and then, so that a large ring takes no more memory than a small one.
            if self.candidates.len() == 4 * most {
                self.candidates.select_nth_unstable_by_key(most, by_ticket);
                self.candidates.truncate(most);
            }
        }
        if self.candidates.len() > most {
            self.candidates.select_nth_unstable_by_key(most, by_ticket);
            self.candidates.truncate(most);
        }
        self.candidates.sort_unstable_by_key(|c| std::cmp::Reverse(by_ticket(c)));
    }
}

/// The named subscriber that has acknowledged least.
fn holder<M: Memory>(view: &View<M>) -> Option<Name> {
    let behind = |place: usize| -> u64 {
        let of = |s| view.last(s).0.saturating_sub(cursor::read(view, s, place + 1).acked.0);
        view.streams().map(of).sum()
    };
    let written = Written::read(view);
    let most = written.active().map(|(place, name)| (behind(place), name)).max_by_key(|(n, _)| *n);
    most.map(|(_, name)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Region;
    use crate::ring::layout::{Geometry, Layout};
    use crate::ring::memory::Heap;

    #[test]
    fn a_look_at_many_blocks_takes_no_more_memory_than_one_at_a_few() {
        let layout = Layout::new(Geometry { blocks: 8192, block_bytes: 64, slots: 1 });
        let view = View { memory: Heap::new(layout.words()), layout, region: Region(7) };
        let mut search = Search::default();
        search.look(&view).unwrap();
        let kept: Vec<u32> = search.candidates.iter().map(|(_, block, _)| *block).collect();
        assert_eq!(kept, (0..32).rev().collect::<Vec<_>>());
        assert!(search.candidates.capacity() < 1024, "{}", search.candidates.capacity());
    }
}
