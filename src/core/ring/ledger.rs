//! The ring's books, all derived from what lies in it: nothing is counted on the way.

use super::block::{self, Filled};
use super::carried::Carried;
use super::configuration::{Name, Overflow, Written};
use super::cursor::{self, Cursor};
use super::file::Ring;
use super::folder::Origin;
use super::known::Known;
use super::layout::{LAST_TURN, LIVE_DROPPED, TRAFFIC_LOST};
use super::memory::Memory;
use super::refusals::Refusals;
use super::scan::{Blocks, Sampled, Scan};
use super::view::View;
use crate::id::{Region, Seq, Stream};
use crate::record::{HEADER, RECEIVED, Slice};

/// Everything about a ring that can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The ring file.
    pub region: Region,
    /// How many have held the lease.
    pub epoch: u64,
    /// What happens when it is full; None before any publisher said it.
    pub policy: Option<Overflow>,
    /// Nothing more is written to it.
    pub poisoned: bool,
    /// When the publisher last looked, ns since 1970, 0 for never.
    pub last_turn: u64,
    /// Live messages dropped at full pipes.
    pub live_dropped: u64,
    /// Events of the site's own traffic that were not stored.
    pub traffic_lost: u64,
    /// Events that were not stored, by reason.
    pub refusals: Refusals,
    /// The blocks, by phase.
    pub blocks: Blocks,
    /// Events committed since the file was made.
    pub committed: u64,
    /// Of these, heartbeats.
    pub heartbeats: u64,
    /// Of these events, still readable.
    pub readable: u64,
    /// Each stream.
    pub streams: Vec<StreamBooks>,
    /// The readers of live, all together.
    pub live: Books,
    /// Every name with a place, also one that left (then not `active`).
    pub subscribers: Vec<SubscriberBooks>,
    /// What files that are gone had counted; in none of the numbers above.
    pub carried: Carried,
}

/// One stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBooks {
    /// Which.
    pub stream: Stream,
    /// Its last event.
    pub last: Seq,
    /// Its oldest event that can still be read; beyond `last` when there is none.
    pub oldest: Seq,
}

/// A subscriber's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberBooks {
    /// Its name.
    pub name: Name,
    /// Its place in every slot.
    pub place: usize,
    /// Whether it holds events back: it is in the publisher's configuration.
    pub active: bool,
    /// The numbers.
    pub books: Books,
    /// Of the lost and the uncertain, those behind its cursor: these numbers never fall.
    pub told: (u64, u64),
    /// When the oldest event that it has not acknowledged and that can be read was received, ns since 1970.
    pub oldest: Option<u64>,
}

/// `committed = delivered + in_ring + lost + dead + uncertain`, in events; from where the reader started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Committed since it started.
    pub committed: u64,
    /// Delivered and acknowledged: for a Kafka subscriber, in Kafka.
    pub delivered: u64,
    /// In the ring, not yet acknowledged.
    pub in_ring: u64,
    /// Overwritten before they were acknowledged; `ahead` of them the reader has not been told of yet.
    pub lost: u64,
    /// Of `lost` (of `uncertain` in a ring that a power loss ended): still ahead of the cursor.
    pub ahead: u64,
    /// In the dead letter.
    pub dead: u64,
    /// Not known whether they ever were.
    pub uncertain: u64,
    /// A range without a known end is among the uncertain, and counts 0.
    pub uncertain_open: bool,
    /// Of those that were delivered, heartbeats.
    pub heartbeats: u64,
}

impl Ledger {
    /// Reads the books. When nothing moves they close; otherwise they do as of a moment ago. Of a ring that a power loss
    /// ended, what is missing is uncertain; what its blocks say they hold, only reading them shows.
    pub fn read<M: Memory>(ring: &Ring<M>) -> Ledger {
        Ledger::of(ring.view()).of_origin(ring.origin())
    }

    pub(super) fn of_origin(mut self, origin: Origin) -> Ledger {
        if origin == (Origin::Earlier { clean: false }) {
            let named = self.subscribers.iter_mut().map(|held| &mut held.books);
            named.chain([&mut self.live]).for_each(Books::doubt);
        }
        self
    }

    pub(super) fn of<M: Memory>(view: &View<M>) -> Ledger {
        // Cursors first: what is acknowledged later than this look is only shown as still in the ring.
        let written = Written::read(view);
        let indices: Vec<usize> = (0..=written.places.len()).collect();
        let cursors: Vec<Vec<Cursor>> = indices
            .iter()
            .map(|index| view.streams().map(|s| cursor::read(view, s, *index)).collect())
            .collect();
        let scan = Scan::look(view, Sampled::take(view), &mut Known::default());
        let runs: Vec<Runs> = scan.streams().map(|s| Runs::of(view, &scan, s)).collect();
        let books = |index: usize| {
            let both = cursors[index].iter().zip(&runs);
            both.fold(Books::default(), |sum, (cursor, runs)| sum.and(runs.books(*cursor)))
        };
        let named = written.places.iter().enumerate().filter_map(|(place, held)| {
            let held = held.as_ref()?;
            let (name, active) = (held.name.clone(), held.active);
            let cursors = &cursors[place + 1];
            let oldest = cursors.iter().zip(&runs);
            let oldest = oldest.filter_map(|(at, runs)| runs.received_after(view, at.acked)).min();
            let told =
                (sum(cursors.iter().map(|at| at.lost)), sum(cursors.iter().map(|at| at.uncertain)));
            Some(SubscriberBooks { name, place, active, books: books(place + 1), told, oldest })
        });
        let state = super::configuration::state(view);
        Ledger {
            region: view.region,
            epoch: state.epoch,
            policy: written.policy,
            poisoned: view.poisoned(),
            last_turn: view.load(LAST_TURN),
            live_dropped: view.load(LIVE_DROPPED),
            traffic_lost: view.load(TRAFFIC_LOST),
            refusals: view.refusals(),
            blocks: scan.blocks(),
            committed: sum(runs.iter().map(|r| r.last.0)),
            heartbeats: sum(runs.iter().map(|r| view.heartbeats(r.stream, r.last))),
            readable: sum(runs.iter().map(|r| r.readable(Seq(0)))),
            streams: runs.iter().map(Runs::stream_books).collect(),
            live: books(0),
            subscribers: named.collect(),
            carried: Carried::read(view),
        }
    }

    /// The same with what was carried in its numbers: of live, of the traffic, of what was refused, and of
    /// each subscriber.
    pub fn with_carried(mut self) -> Ledger {
        let carried = std::mem::take(&mut self.carried);
        self.traffic_lost = self.traffic_lost.saturating_add(carried.traffic_lost);
        self.refusals = self.refusals.and(carried.refusals);
        self.live = self.live.and(carried.live);
        for held in &mut self.subscribers {
            held.books = held.books.and(carried.named[held.place]);
        }
        self
    }
}

/// What of one stream is there: runs of seqs, first to last, each with its block.
struct Runs {
    stream: Stream,
    last: Seq,
    runs: Vec<(Seq, Seq, Filled)>,
}

impl Runs {
    fn of<M: Memory>(view: &View<M>, scan: &Scan, stream: Stream) -> Runs {
        let mut runs = Vec::new();
        let mut last = scan.last(stream);
        for seen in scan.of(stream) {
            let end = seen.last.unwrap_or_else(|| end(view, seen));
            // Beyond the sampled last only what goes on without a hole is believed.
            if end >= seen.first && seen.first <= last.next() && block::still(view, seen) {
                last = last.max(end);
                runs.push((seen.first, end, *seen));
            }
        }
        Runs { stream, last, runs }
    }

    /// Events beyond `after` that can be read.
    fn readable(&self, after: Seq) -> u64 {
        let beyond = |(first, end, _): &(Seq, Seq, Filled)| {
            end.0.saturating_sub(after.0.max(first.0.saturating_sub(1)))
        };
        sum(self.runs.iter().map(beyond))
    }

    /// When the first event beyond `after` was received. Its lengths are followed, its bytes are not checked: a block that
    /// got another owner meanwhile is no answer.
    fn received_after<M: Memory>(&self, view: &View<M>, after: Seq) -> Option<u64> {
        let (.., seen) = self.runs.iter().find(|(_, end, _)| *end > after)?;
        let block = view.layout.block(seen.block);
        let mut at = 0u32;
        while at.checked_add(HEADER as u32)? <= seen.used {
            let len = view.load(block.data(at)) as u32;
            if view.load(block.data(at + 8)) > after.0 {
                let received = view.load(block.data(at + RECEIVED as u32));
                return block::still(view, seen).then_some(received);
            }
            at = at.checked_add(len.max(HEADER as u32).checked_next_multiple_of(8)?)?;
        }
        None
    }

    fn books(&self, cursor: Cursor) -> Books {
        let unheld = cursor.unheld.min(self.last).max(cursor.acked);
        let readable = self.readable(cursor.acked).saturating_sub(self.readable(unheld));
        // What of it was not held, and is gone.
        let gone = (unheld.0 - cursor.acked.0).saturating_sub(readable);
        let ahead_of = self.last.0.saturating_sub(cursor.acked.0).saturating_sub(gone);
        let in_ring = self.readable(cursor.acked).min(ahead_of);
        let ahead = ahead_of - in_ring;
        let before = cursor.start.0.saturating_add(gone);
        Books {
            committed: self.last.max(cursor.acked).0.saturating_sub(before),
            delivered: cursor.delivered(),
            in_ring,
            lost: cursor.lost.saturating_add(ahead),
            ahead,
            dead: cursor.dead,
            uncertain: cursor.uncertain,
            uncertain_open: cursor.uncertain_open,
            heartbeats: cursor.heartbeats,
        }
    }

    fn stream_books(&self) -> StreamBooks {
        let oldest = self.runs.first().map_or(self.last.next(), |(first, ..)| *first);
        StreamBooks { stream: self.stream, last: self.last, oldest }
    }
}

/// The last seq in an OPEN block.
fn end<M: Memory>(view: &View<M>, seen: &block::Filled) -> Seq {
    let mut bytes = Vec::new();
    view.memory.read(view.layout.block(seen.block).data(0), seen.used as usize, &mut bytes);
    let records = Slice::new(view.seed(seen.state.slot), seen.first, &bytes);
    Seq(seen.before().0.saturating_add(records.take_while(Result::is_ok).count() as u64))
}

/// A file that something else wrote to may hold any numbers: they are shown, and end in no panic.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

impl Books {
    /// What is missing may never have been.
    fn doubt(&mut self) {
        self.lost = self.lost.saturating_sub(self.ahead);
        self.uncertain = self.uncertain.saturating_add(self.ahead);
    }

    /// The books of two rings together.
    pub fn and(self, other: Books) -> Books {
        Books {
            committed: self.committed.saturating_add(other.committed),
            delivered: self.delivered.saturating_add(other.delivered),
            in_ring: self.in_ring.saturating_add(other.in_ring),
            lost: self.lost.saturating_add(other.lost),
            ahead: self.ahead.saturating_add(other.ahead),
            dead: self.dead.saturating_add(other.dead),
            uncertain: self.uncertain.saturating_add(other.uncertain),
            uncertain_open: self.uncertain_open || other.uncertain_open,
            heartbeats: self.heartbeats.saturating_add(other.heartbeats),
        }
    }
}
