//! What the publisher changes in a ring: it frees blocks, and acts for dead writers under their slots' bytes.

use super::block;
use super::configuration::{Configuration, Overflow, Written};
use super::cursor::{self, Who};
use super::known::Known;
use super::layout::{EPOCH, FREED, HOLDER};
use super::memory::Memory;
use super::pen::Pen;
use super::places::settle;
use super::scan::{Sampled, Scan};
use super::view::View;
use super::word::{BlockState, Phase};
use crate::id::{Seq, Stream};

/// Blocks that are not acknowledged, and looked beyond of: more of them need not be seen to know that the rest is not.
const FARTHER: usize = 64;

/// The reader without its lease, locks and bell.
pub(super) struct Hand {
    /// As it holds for everybody: perhaps a newer configuration's.
    policy: Overflow,
    /// The places of the names that hold events back.
    active: Vec<usize>,
    /// The place of each subscriber of the configuration.
    places: Vec<usize>,
    known: Known,
    /// Claims that were not begun at the last look.
    unbegun: Vec<(u32, BlockState)>,
}

impl Hand {
    /// A new holder of the lease: raises the epoch, writes the configuration, gives each name its place, and moves
    /// `freed`, since the one before may have died between FREE and that. `now` is in ns since 1970. None when a newer
    /// configuration left no place for a name of this one.
    pub fn new<M: Memory>(view: &View<M>, configuration: &Configuration, now: u64) -> Option<Hand> {
        let look = || Scan::look(view, Sampled::take(view), &mut Known::default());
        Hand::with(view, configuration, now, look)
    }

    /// The same for a ring that is looked at in another way.
    pub fn with<M: Memory>(
        view: &View<M>,
        configuration: &Configuration,
        now: u64,
        look: impl FnOnce() -> Scan,
    ) -> Option<Hand> {
        view.memory.raise(EPOCH);
        view.store(HOLDER, configuration.configured_at);
        let places = settle(view, configuration, now, look)?;
        view.memory.raise(FREED);
        // Nobody else writes them as long as this one lives.
        let written = Written::read(view);
        let policy = written.policy.unwrap_or(Overflow::Reject);
        let active = written.active().map(|(place, _)| place).collect();
        Some(Hand { policy, active, places, known: Known::default(), unbegun: Vec::new() })
    }

    /// What was seen of some block is no longer so.
    pub fn doubt(&mut self) {
        self.known.doubt();
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

    /// The places of the cursors that must pass everything before the file goes: those of each name that is served or
    /// holds something back; without any live's, unless that is `enough` already.
    pub fn holders(&self, enough: bool) -> Vec<usize> {
        let mut holders: Vec<usize> =
            self.active.iter().chain(&self.places).map(|place| place + 1).collect();
        holders.sort_unstable();
        holders.dedup();
        if holders.is_empty() && !enough {
            holders.push(self.index(Who::Live));
        }
        holders
    }

    pub fn place(&self, named: usize) -> usize {
        self.places[named]
    }

    /// SEALED blocks in which every named subscriber has acknowledged everything become FREE.
    pub fn free<M: Memory>(&mut self, view: &View<M>, scan: &Scan) -> usize {
        let mut freed = 0;
        for stream in scan.seen() {
            let held = scan.held(stream);
            if held.is_empty() {
                continue;
            }
            let (acked, mut kept) = (self.acked(view, stream), 0);
            for seen in held.iter().filter(|f| f.state.phase == Phase::Sealed) {
                if acked.is_none_or(|acked| seen.last.is_some_and(|last| acked >= last)) {
                    if block::free(view, seen.block, seen.state) {
                        self.known.freed(seen.block);
                        freed += 1;
                    }
                } else if kept < FARTHER {
                    kept += 1;
                } else {
                    // A stream's seqs rise from block to block.
                    break;
                }
            }
        }
        freed
    }

    /// Up to where every named subscriber has acknowledged; None when nobody is named.
    fn acked<M: Memory>(&self, view: &View<M>, stream: Stream) -> Option<Seq> {
        let of = |place: &usize| cursor::read(view, stream, place + 1).acked;
        self.active.iter().map(of).min()
    }

    /// Acts for dead slots: `hold` takes a slot's byte, or says that somebody has it. Claims that were never begun are
    /// returned; an OPEN block is sealed only while under a quarter of the blocks is FREE, and only when all in it is
    /// acknowledged (`reject`) or its ticket is the lowest (`overwrite`). Whether it sealed one: what can be freed by that,
    /// only the next look knows. A block in which a killed writer left something stays for the slot's next holder: a sync
    /// would have the publisher stand still.
    pub fn tend<M: Memory, G>(
        &mut self,
        view: &View<M>,
        scan: &Scan,
        hold: impl Fn(Stream) -> Option<G>,
    ) -> bool {
        // Between W1 and W2 a living writer is for a moment only: ask after those alone that stay there.
        let stale = |claim: &&(u32, BlockState)| self.unbegun.contains(claim);
        for (_, state) in scan.unbegun.iter().filter(stale) {
            if let Some(_held) = hold(state.slot) {
                // A broken record poisons the file, that is all there is to do.
                let _ = Pen::take_over(view, state.slot, || false);
            }
        }
        self.unbegun.clone_from(&scan.unbegun);
        if scan.blocks().free * 4 >= view.layout.geometry().blocks {
            return false;
        }
        let mut sealed = false;
        let lowest = || scan.seen().filter_map(|of| Some(scan.held(of).first()?.ticket)).min();
        for seen in scan.open() {
            let slot = seen.state.slot;
            let may = |view: &View<M>, last: Seq| match self.policy {
                Overflow::Overwrite => Some(seen.ticket) == lowest(),
                Overflow::Reject => self.acked(view, slot).is_none_or(|acked| acked >= last),
            };
            if !may(view, scan.last(slot)) {
                continue;
            }
            let Some(_held) = hold(slot) else { continue };
            if let Ok(mut pen) = Pen::take_over(view, slot, || false) {
                if pen.holds(seen.block, seen.state.generation) && may(view, pen.last()) {
                    pen.seal(view);
                    sealed = true;
                }
            }
        }
        sealed
    }
}
