//! What a power loss left of a ring: a function of its bytes that changes nothing.
//!
//! When the machine stops, any sector that was written since the last sync may hold its old content or its new one. So
//! nothing is believed for what it says of others: of each block the longest prefix of its committed bytes whose
//! records pass their checks under the block's own stream and first seq, and that is all. A stream's last seq is the
//! highest that anything names. What is missing up to there is uncertain, and after it the end of every stream: more may
//! have been stored, and answered, that nothing on the disk shows.
//!
//! Behind what `committed` covers nothing is believed, though it may pass its checks: a record that was copied and never
//! committed has a seq that another record may have got afterwards. That none of these is where another one was committed
//! later, `leftover.rs` sees to.

use super::block::{self, Filled, Look};
use super::cursor;
use super::eye::{Eye, Next};
use super::layout::{LAST_SYNC, NAMES};
use super::memory::Memory;
use super::scan::Scan;
use super::view::View;
use crate::id::{Seq, Stream};
use crate::record::Slice;

/// A seq from here on is no seq: at a million a second it takes 2,000 years.
const BEYOND: u64 = 1 << 56;

/// What is left, found by one look: nobody writes to the file any more.
pub(super) struct Remains {
    scan: Scan,
    /// When the last good sync began, ns since 1970.
    since: u64,
}

impl Remains {
    /// Reads the whole ring; `made` is when its file was, ns since 1970.
    pub fn of<M: Memory>(view: &View<M>, made: u64) -> Remains {
        let geometry = view.layout.geometry();
        let (mut runs, mut bytes, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..geometry.blocks {
            let look = block::look(view, number);
            if let Look::Filled(filled) = look {
                runs.extend(believed(view, filled, &mut bytes));
            }
            blocks.push(look.phase());
        }
        // No two of them have a seq in common: each was committed once.
        runs.sort_by_key(|run| (run.state.slot, run.first, run.ticket));
        let lasts = lasts(view, &runs);
        let since = view.load(LAST_SYNC).max(made);
        Remains { scan: Scan::found(lasts, runs, blocks), since }
    }

    /// The one look.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// What comes after `after` in a stream; its end is a hole without an end.
    pub fn next<M: Memory>(
        &self,
        eye: &Eye,
        view: &View<M>,
        (stream, after): (Stream, Seq),
        room: usize,
        out: &mut Vec<u8>,
    ) -> Next {
        let since = self.since;
        match eye.next(view, &self.scan, stream, after, room, out) {
            slice @ Next::Slice { .. } => slice,
            Next::Lost { to, .. } => Next::Uncertain { to: Some(to), since },
            Next::Uncertain { to, .. } => Next::Uncertain { to, since },
            Next::Nothing | Next::Void => Next::Uncertain { to: None, since },
        }
    }
}

/// The part of a block whose records pass their checks.
fn believed<M: Memory>(view: &View<M>, filled: Filled, bytes: &mut Vec<u8>) -> Option<Filled> {
    let slots = view.layout.geometry().slots;
    if filled.state.slot.0 >= slots || filled.first == Seq(0) || filled.first.0 >= BEYOND {
        return None;
    }
    bytes.clear();
    view.memory.read(view.layout.block(filled.block).data(0), filled.used as usize, bytes);
    let mut slice = Slice::new(view.seed(filled.state.slot), filled.first, bytes);
    let good = slice.by_ref().take_while(Result::is_ok).count() as u64;
    let used = (bytes.len() - slice.rest().len()) as u32;
    let last = Some(Seq(filled.before().0 + good));
    (good > 0).then_some(Filled { used, last, ..filled })
}

/// The highest seq of each stream that anything names.
fn lasts<M: Memory>(view: &View<M>, runs: &[Filled]) -> Vec<Seq> {
    let slots = view.layout.geometry().slots;
    let named = |stream: Stream| {
        let cursors = (0..=NAMES).map(|index| cursor::read(view, stream, index).acked);
        let all = cursors.chain([view.last(stream)]);
        all.filter(|seq| seq.0 < BEYOND).max().unwrap_or_default()
    };
    let mut lasts: Vec<Seq> = (0..slots).map(|slot| named(Stream(slot))).collect();
    for run in runs {
        let last = &mut lasts[usize::from(run.state.slot.0)];
        *last = (*last).max(run.last.unwrap_or_default());
    }
    // A slot that was taken may have had events even if nothing of them is there.
    let used = lasts.iter().rposition(|last| *last > Seq(0)).map_or(0, |last| last + 1);
    lasts.truncate(used.max(view.streams().count()));
    lasts
}
