//! Whether a ring's file is whole, and what is wrong where. Reads only; of a ring in use it believes what does not
//! change while it looks.
//!
//! Not every flipped bit is a flaw: hints, notes for people, and zeros behind a record are nobody's truth. What a
//! publisher or a writer relies on is checked: the superblock, the configuration, the streams' last seqs, the cursors
//! and their books, the descriptors, and every record's sum and number.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::block::{self, Filled, Look};
use super::configuration::Written;
use super::cursor::{Cursor, read_twice};
use super::disk;
use super::layout::{
    At, CLEAN, CURSOR_WORDS, Layout, NAMES, POISONED, STREAMS, TICKET, WAS_CLEAN, configuration,
};
use super::mapping::Mapping;
use super::memory::Memory;
use super::superblock::{Boot, Strange, Superblock};
use super::view::View;
use super::word::{BlockState, Fill, Generation, Phase};
use crate::id::{Region, Seq, Stream};
use crate::record::Slice;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The ring's id, when the superblock can be read.
    pub region: Option<Region>,
    /// Blocks that hold records.
    pub blocks: u32,
    /// Records that pass their checks.
    pub records: u64,
    /// What is no flaw, but good to know.
    pub notes: Vec<String>,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The part of the file: `superblock`, `slot 3`, `block 17`.
    pub place: String,
    /// Bytes from the file's beginning.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Looks at a ring's file.
///
/// # Errors
/// When the system refuses to open or map it.
pub fn verify(path: &Path) -> io::Result<Verified> {
    let file = disk::open(path, false)?;
    let mut found = Verified::default();
    if !file.metadata()?.is_file() {
        found.flaw("file", At(0), "it is no file");
        return Ok(found);
    }
    match Superblock::read(&file)? {
        Ok(superblock) => body(&file, &superblock, &mut found)?,
        Err(Strange::Layout(version)) => {
            let what = format!("its layout is version {version}, which this program does not read");
            found.flaw("superblock", At(1), what);
        }
        Err(Strange::Short { says, has }) => {
            let what =
                format!("the file is cut off: its head says {says} bytes, and {has} are there");
            found.flaw("superblock", At(2), what);
        }
        Err(Strange::NotARing) => {
            let what = "the first 128 bytes fail their check, or the file is shorter than they say";
            found.flaw("superblock", At(0), what);
        }
    }
    Ok(found)
}

fn body(file: &File, superblock: &Superblock, found: &mut Verified) -> io::Result<()> {
    let layout = Layout::new(superblock.geometry);
    let memory = Mapping::new(file, layout.words(), false)?;
    let view = View { memory, layout, region: superblock.region };
    found.region = Some(superblock.region);
    let meta = file.metadata()?;
    if superblock.inode != meta.ino() {
        found.note("a copy: it was made as another file");
    }
    if superblock.boot != Boot::current()? {
        found.note("made in another boot of this machine, or on another one");
    }
    if meta.size() > layout.bytes() {
        found.note("the file is longer than the ring");
    }
    found.look(&view);
    Ok(())
}

/// What one stream's slot says, and what its blocks show.
struct Slot {
    stream: Stream,
    last: u64,
    cursors: Vec<(At, Cursor)>,
    /// The highest seq in its blocks, and that in an OPEN one.
    end: u64,
    open: Option<u64>,
}

impl Verified {
    fn flaw(&mut self, place: impl ToString, at: At, what: impl ToString) {
        let (place, what) = (place.to_string(), what.to_string());
        self.flaws.push(Flaw { place, offset: at.0 as u64 * 8, what });
    }

    fn note(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    pub(super) fn look<M: Memory>(&mut self, view: &View<M>) {
        self.control(view);
        self.configuration(view);
        // In this order: what moves meanwhile moves on, cursors behind the streams, streams behind the blocks.
        let mut slots: Vec<Slot> = view.streams().map(|stream| self.slot(view, stream)).collect();
        let filled = self.blocks(view, &mut slots);
        self.tickets(view, &filled);
        for slot in &slots {
            self.stream(view, slot);
        }
    }

    fn control<M: Memory>(&mut self, view: &View<M>) {
        let slots = u64::from(view.layout.geometry().slots);
        let streams = view.load(STREAMS);
        if streams > slots {
            self.flaw("control words", STREAMS, format!("{streams} streams, of {slots} slots"));
        }
        match view.load(POISONED) {
            0 => {}
            1 => self.flaw(
                "control words",
                POISONED,
                "poisoned: a sync failed, or a record is broken",
            ),
            _ => self.flaw("control words", POISONED, "the word \"poisoned\" is neither 0 nor 1"),
        }
        if view.load(CLEAN) > WAS_CLEAN {
            self.flaw("control words", CLEAN, "the word \"clean\" is none of 0 to 2");
        }
    }

    fn configuration<M: Memory>(&mut self, view: &View<M>) {
        let twice = configuration();
        let words = read_twice(&view.memory, twice);
        let at = twice.copy(view.load(twice.selector()));
        let place = "configuration";
        if words[0] > 2 {
            self.flaw(place, at, "an unknown policy");
        }
        if words[2] >> NAMES != 0 {
            self.flaw(place, at.plus(2), "names are in force that have no place");
        }
        let written = Written::read(view);
        for (n, held) in written.places.iter().enumerate() {
            let name = &words[8 + 8 * n..][..8];
            let active = words[2] >> n & 1 == 1;
            if held.is_none() && (active || name.iter().any(|word| *word != 0)) {
                self.flaw(place, at.plus(8 + 8 * n), format!("place {n} holds no legal name"));
            }
        }
    }

    fn slot<M: Memory>(&mut self, view: &View<M>, stream: Stream) -> Slot {
        let slot = view.layout.slot(stream);
        let cursor = |index| {
            let twice = slot.cursor(index);
            let words = read_twice(&view.memory, twice);
            (twice.copy(view.load(twice.selector())), words)
        };
        let mut cursors = Vec::new();
        for (at, words) in (0..=NAMES).map(cursor) {
            let cursor: [u64; CURSOR_WORDS] = words;
            let of = Cursor::from_words(cursor);
            let holes = [of.lost, of.dead, of.uncertain];
            let sum = holes.iter().try_fold(of.start.0, |sum, n| sum.checked_add(*n));
            if sum.is_none_or(|sum| sum > of.acked.0) {
                let what = format!(
                    "a cursor counts {} before its time, {} lost, {} dead, {} uncertain, of {} acknowledged",
                    of.start, of.lost, of.dead, of.uncertain, of.acked
                );
                self.flaw(format!("slot {stream}"), at, what);
            }
            if cursor[5] > 1 || of.heartbeats > of.acked.0 {
                self.flaw(
                    format!("slot {stream}"),
                    at.plus(5),
                    "a cursor has words it cannot have",
                );
            }
            cursors.push((at, of));
        }
        let last = view.load(slot.last());
        Slot { stream, last, cursors, end: 0, open: None }
    }

    /// Looks at every descriptor, and at every record of those that hold some.
    fn blocks<M: Memory>(&mut self, view: &View<M>, slots: &mut [Slot]) -> Vec<Filled> {
        let mut all = Vec::new();
        let mut bytes = Vec::new();
        for number in 0..view.layout.geometry().blocks {
            let before = self.flaws.len();
            let state = block::state(view, number);
            self.descriptor(view, number);
            if let Look::Filled(filled) = block::look(view, number) {
                let good = self.records(view, &filled, &mut bytes);
                if block::still(view, &filled) {
                    self.blocks += 1;
                    self.records += good;
                    if let Some(slot) = slots.get_mut(usize::from(filled.state.slot.0)) {
                        let end = filled.before().0.saturating_add(good);
                        slot.end = slot.end.max(end);
                        if filled.state.phase == Phase::Open {
                            slot.open = slot.open.max(Some(end));
                        }
                    }
                    all.push(filled);
                }
            }
            if block::state(view, number) != state {
                // It was claimed, sealed or freed while we looked: what we saw is of two times.
                self.flaws.truncate(before);
            }
        }
        all
    }

    fn descriptor<M: Memory>(&mut self, view: &View<M>, number: u32) {
        let at = view.layout.block(number);
        let word = view.load(at.state());
        let (state, fill) = (BlockState::from(word), Fill::from(view.load(at.committed())));
        let mut flaw = |at, what: String| self.flaw(format!("block {number}"), at, what);
        if u64::from(state) != word {
            return flaw(at.state(), "the state has bits that no state has".to_owned());
        }
        if state.generation == Generation::NONE {
            if word != 0 || u64::from(fill) != 0 {
                flaw(at.state(), "it was never claimed, and is not empty".to_owned());
            }
            return;
        }
        let streams = view.streams().count();
        if usize::from(state.slot.0) >= streams {
            flaw(at.state(), format!("slot {}, of {streams} that were ever taken", state.slot));
        }
        if fill.used > view.layout.geometry().block_bytes {
            flaw(at.committed(), format!("{} bytes are committed, more than it has", fill.used));
        }
        if fill.generation > state.generation {
            flaw(at.committed(), "what is committed is of a claim to come".to_owned());
        } else if fill.generation != state.generation && state.phase == Phase::Sealed {
            flaw(
                at.committed(),
                "it is sealed, and what is committed is of another claim".to_owned(),
            );
        }
    }

    /// How many records of a block pass.
    fn records<M: Memory>(&mut self, view: &View<M>, filled: &Filled, bytes: &mut Vec<u8>) -> u64 {
        let at = view.layout.block(filled.block);
        let place = format!("block {}", filled.block);
        if filled.first == Seq(0) {
            self.flaw(place, at.first(), "its first seq is 0");
            return 0;
        }
        bytes.clear();
        view.memory.read(at.data(0), filled.used as usize, bytes);
        let mut slice = Slice::new(view.seed(filled.state.slot), filled.first, bytes);
        let mut good = 0;
        while let Some(record) = slice.next() {
            let Err(torn) = record else {
                good += 1;
                continue;
            };
            let offset = (bytes.len() - slice.rest().len()) as u32;
            let what = format!(
                "{} bytes in, where {}-{}-{} should be: {torn}; {} bytes from there on are lost",
                offset,
                view.region,
                filled.state.slot,
                filled.first.0.saturating_add(good),
                slice.rest().len()
            );
            self.flaw(place, at.data(offset), what);
            return good;
        }
        let last = filled.before().0.saturating_add(good);
        if let Some(said) = filled.last.filter(|said| said.0 != last) {
            self.flaw(
                place,
                at.last(),
                format!("its last seq is {last}, and {said} is written down"),
            );
        }
        good
    }

    /// Tickets rise from claim to claim, and with them a stream's seqs.
    fn tickets<M: Memory>(&mut self, view: &View<M>, filled: &[Filled]) {
        let drawn = view.load(TICKET);
        let mut order: Vec<&Filled> = filled.iter().collect();
        order.sort_by_key(|filled| (filled.ticket, filled.block));
        for two in order.windows(2) {
            if two[0].ticket == two[1].ticket {
                let at = view.layout.block(two[1].block).ticket();
                let what = format!("the ticket of block {}, too", two[0].block);
                self.flaw(format!("block {}", two[1].block), at, what);
            }
        }
        for filled in &order {
            if filled.ticket.0 == 0 || filled.ticket.0 > drawn {
                let at = view.layout.block(filled.block).ticket();
                let what = format!("its ticket is {}, and {drawn} were drawn", filled.ticket.0);
                self.flaw(format!("block {}", filled.block), at, what);
            }
        }
        order.sort_by_key(|filled| (filled.state.slot, filled.ticket));
        for two in order.windows(2).filter(|two| two[0].state.slot == two[1].state.slot) {
            let end = two[0].last.unwrap_or(two[0].before());
            if two[1].first <= end {
                let at = view.layout.block(two[1].block).first();
                let what = format!(
                    "it begins with seq {}, and the block claimed before it ends with {end}",
                    two[1].first
                );
                self.flaw(format!("block {}", two[1].block), at, what);
            }
        }
    }

    /// A stream's last seq, and cursors that are not beyond it.
    fn stream<M: Memory>(&mut self, view: &View<M>, slot: &Slot) {
        let place = format!("slot {}", slot.stream);
        let at = view.layout.slot(slot.stream).last();
        match slot.open {
            Some(open) if open < slot.last => {
                let what =
                    format!("its last seq is {}, and its open block ends with {open}", slot.last);
                self.flaw(&place, at, what);
            }
            None if slot.last < slot.end => {
                let what = format!(
                    "its last seq is {}, and a block of it ends with {}",
                    slot.last, slot.end
                );
                self.flaw(&place, at, what);
            }
            _ => {}
        }
        let end = slot.last.max(slot.end);
        for (at, cursor) in slot.cursors.iter().filter(|(_, cursor)| cursor.acked.0 > end) {
            let what = format!("a cursor is at {}, beyond the last seq, {end}", cursor.acked);
            self.flaw(&place, at.plus(1), what);
        }
    }
}
