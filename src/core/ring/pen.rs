//! The hand of a stream's only writer: events in, a commit or a refusal out. It takes no lock and waits for nobody.

use super::bell::rouse;
use super::block::{self, Look};
use super::configuration::Name;
use super::hours::Hours;
use super::layout::{FREED, SLEEPING};
use super::leftover::Leftover;
use super::memory::Memory;
use super::search::Search;
use super::sync;
use super::view::View;
use super::word::{BlockState, Fill, Generation, Phase};
use crate::id::{EventId, Region, Seq, Stream};
use crate::record::{self, HEADER, Record, Seed, Slice};

/// Events that are in the ring, and will be delivered or counted. Only the commit makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    region: Region,
    stream: Stream,
    first: Seq,
    last: Seq,
}

impl Committed {
    /// The event's name in the world; of several, the first one's.
    pub fn id(&self) -> EventId {
        EventId { region: self.region, stream: self.stream, seq: self.first }
    }

    /// The last event's name.
    pub fn last(&self) -> EventId {
        EventId { seq: self.last, ..self.id() }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

/// Why events were not stored. Nothing of them is in the ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Every block is open or unacknowledged, and nothing is to be overwritten.
    #[error("the ring is full{}", .holder.as_ref().map(|n| format!(", held by \"{n}\"")).unwrap_or_default())]
    Full {
        /// Who has acknowledged least.
        holder: Option<Name>,
    },
    /// They would not fit a block even alone.
    #[error("{bytes} bytes do not fit a block, {limit} are the most")]
    TooLarge {
        /// Bytes of the event, of several with their headers.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
    /// The file can no longer be trusted: nothing more is written to it.
    #[error("the ring's file is poisoned: a sync of it failed, or a record in it is broken")]
    Poisoned,
}

/// Why nobody goes on in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// A committed record of its OPEN block fails its check: the file is poisoned now.
    Broken,
    /// A killed writer left something there, and the disk has not taken that it is gone.
    Unsettled,
}

/// The writer without its lock and bell: who has one holds the slot's byte.
pub(super) struct Pen {
    stream: Stream,
    seed: Seed,
    last: Seq,
    open: Option<Open>,
    hours: Hours,
    scratch: Vec<u8>,
    search: Search,
}

/// The OPEN block of the stream.
#[derive(Clone, Copy)]
struct Open {
    block: u32,
    generation: Generation,
    used: u32,
}

/// What a commit did, and whether the publisher and who syncs must be woken.
pub(super) struct Wrote {
    pub committed: Committed,
    pub wake: bool,
    pub sync: bool,
}

impl Pen {
    /// Goes on where the slot's last holder stopped, wherever that was. Only for who holds the slot's byte: its next
    /// writer, or the publisher for a dead one. All is read here, under the byte: what was seen before is old. `settle`
    /// brings everything to the disk, where a killed writer left something (see `leftover.rs`), and says whether it did.
    pub fn take_over<M: Memory>(
        view: &View<M>,
        stream: Stream,
        settle: impl Fn() -> bool,
    ) -> Result<Pen, NotTaken> {
        let at = view.layout.slot(stream);
        let seed = view.seed(stream);
        let (mut last, mut open, mut freed) = (view.last(stream), None, false);
        for block in 0..view.layout.geometry().blocks {
            let state = block::state(view, block);
            if state.phase != Phase::Open || state.slot != stream {
                continue;
            }
            match block::look(view, block) {
                Look::Filled(seen) => {
                    let mut bytes = Vec::new();
                    view.memory.read(
                        view.layout.block(block).data(0),
                        seen.used as usize,
                        &mut bytes,
                    );
                    let mut end = seen.before().0;
                    for record in Slice::new(seed, seen.first, &bytes) {
                        end = record.map_err(|_| broken(view))?.seq.0;
                    }
                    last = last.max(Seq(end));
                    if let Some(left) = Leftover::find(view, &seen, Seq(end).next()) {
                        left.erase(view);
                        if !settle() {
                            return Err(NotTaken::Unsettled);
                        }
                        left.forget(view);
                    }
                    open = Some(Open { block, generation: state.generation, used: seen.used });
                }
                Look::Unbegun(_) => {
                    freed = block::free(view, block, state);
                }
                Look::Empty(_) | Look::Void => {}
            }
        }
        if open.is_none() && !freed {
            // Who held the slot before may have died between FREE and this.
            view.memory.raise(FREED);
        }
        if last > view.last(stream) {
            view.store(at.last(), last.0);
        }
        let hours = Hours::take_over(view, stream, last);
        let (scratch, search) = (Vec::new(), Search::default());
        Ok(Pen { stream, seed, last, open, hours, scratch, search })
    }

    /// The number of the stream's last committed event.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The slot.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// W1 to W6 for one event or several: all of them under one commit, or none.
    pub fn append<M: Memory>(
        &mut self,
        view: &View<M>,
        received: u64,
        events: &[&[u8]],
    ) -> Result<Wrote, Refused> {
        if view.poisoned() {
            return Err(Refused::Poisoned);
        }
        let length = measure(view, events)?;
        let open = self.room(view, length)?;
        let (first, last) = (self.last.next(), self.frame(received, events));
        debug_assert!(self.scratch.len() == length as usize);
        view.memory.write(view.layout.block(open.block).data(open.used), &self.scratch); // W3
        self.hours.before(view, first, received);
        let fill = Fill { generation: open.generation, used: open.used + length };
        block::commit(view, open.block, fill); // W4
        self.open = Some(Open { used: fill.used, ..open });
        self.last = last;
        view.store(view.layout.slot(self.stream).last(), last.0); // W5
        let wake = rouse(view, SLEEPING); // W6
        let sync = sync::committed(view);
        let committed = Committed { region: view.region, stream: self.stream, first, last };
        Ok(Wrote { committed, wake, sync })
    }

    /// How many of the first of these events go under one commit: all of them where one block can hold them, for then the
    /// stream goes on in a fresh one if need be; else as many as fit behind what is there, or into a fresh block.
    pub fn fitting<M: Memory>(&self, view: &View<M>, events: &[&[u8]]) -> usize {
        let limit = view.layout.geometry().block_bytes as usize;
        let within = |room: usize| {
            let sizes = events.iter().scan(0, |end, bytes| {
                *end += record::size(bytes.len());
                Some(*end)
            });
            sizes.take_while(|end| *end <= room).count()
        };
        let whole = within(limit);
        let left = self.open.map_or(limit, |open| limit - open.used as usize);
        match within(left) {
            here if whole < events.len() && here > 0 => here,
            // One that fits no block alone is refused by the append.
            _ => whole.max(1),
        }
    }

    /// Whether an event of so many bytes would find room, in the OPEN block or in another.
    pub fn would_take<M: Memory>(&mut self, view: &View<M>, bytes: usize) -> Result<(), Refused> {
        if view.poisoned() {
            return Err(Refused::Poisoned);
        }
        let limit = view.layout.geometry().block_bytes as usize;
        match self.open {
            Some(open) if open.used as usize + record::size(bytes) <= limit => Ok(()),
            _ => self.search.ready(view),
        }
    }

    /// The records' bytes into `scratch`; the last one's number.
    fn frame(&mut self, received: u64, events: &[&[u8]]) -> Seq {
        self.scratch.clear();
        let mut seq = self.last;
        for bytes in events {
            seq = seq.next();
            record::write(self.seed, Record { seq, received, bytes }, &mut self.scratch);
        }
        seq
    }

    /// The OPEN block, if so many bytes still fit; else it is sealed and the next one claimed.
    fn room<M: Memory>(&mut self, view: &View<M>, length: u32) -> Result<Open, Refused> {
        let limit = view.layout.geometry().block_bytes;
        match self.open {
            Some(open) if open.used + length <= limit => return Ok(open),
            Some(_) => self.seal(view),
            None => {}
        }
        let (block, generation) = self.search.claim(view, self.stream)?;
        block::begin(view, block, generation, self.last.next());
        view.store(view.layout.slot(self.stream).hint(), u64::from(block));
        let open = Open { block, generation, used: 0 };
        self.open = Some(open);
        Ok(open)
    }

    /// Whether this block, under this claim, is the one the stream goes on in.
    pub fn holds(&self, block: u32, generation: Generation) -> bool {
        self.open.is_some_and(|open| open.block == block && open.generation == generation)
    }

    /// W7. `slot.last` was raised by the commit or by the take over.
    pub fn seal<M: Memory>(&mut self, view: &View<M>) {
        let Some(open) = self.open.take() else { return };
        let (slot, generation) = (self.stream, open.generation);
        let mine = BlockState { phase: Phase::Open, slot, generation };
        let sealed = block::seal(view, open.block, mine, self.last);
        debug_assert!(sealed, "another hand on the OPEN block of a slot that is held");
    }
}

/// The bytes of these events as records, if a block can hold them.
fn measure<M: Memory>(view: &View<M>, events: &[&[u8]]) -> Result<u32, Refused> {
    let limit = view.layout.geometry().block_bytes as usize;
    let bytes: usize = events.iter().map(|bytes| record::size(bytes.len())).sum();
    if bytes > limit || events.is_empty() {
        return Err(match events {
            [one] => Refused::TooLarge { bytes: one.len(), limit: limit - HEADER },
            _ => Refused::TooLarge { bytes, limit },
        });
    }
    Ok(bytes as u32)
}

fn broken<M: Memory>(view: &View<M>) -> NotTaken {
    view.poison();
    NotTaken::Broken
}
