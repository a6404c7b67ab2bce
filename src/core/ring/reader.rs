//! The publisher's hands: a ring, the lease's right to store cursors and to free blocks, and the bell.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::bell::{Bell, Fifo};
use super::carried::Carried;
use super::configuration::{Configuration, Name, store_took};
use super::cursor::{self, Cursor, Who};
use super::eye::{Eye, Next};
use super::file::Ring;
use super::hand::Hand;
use super::layout::{
    FEED_DEAF, HOLDERS_PROCESS, LAST_TURN, LIVE_DEAF, LIVE_DROPPED, NAMES, REMOVED, SLEEPING,
    presence, progress,
};
use super::lease::Lease;
use super::ledger::Ledger;
use super::lock::{Hold, try_lock, unlock};
use super::mapping::Mapping;
use super::memory::Memory;
use super::repair::Remains;
use super::scan::Scan;
use super::slot_bell::SlotBells;
use super::view::View;
use super::writer::PUBLISHER;
use crate::id::{Region, Seq, Stream};
use crate::took::Took;

/// What only the holder of the lease has. It must be dropped before the lease is.
pub struct Reader<M = Mapping> {
    hand: Hand,
    eye: Eye,
    bell: Fifo,
    bells: SlotBells,
    /// Of a file that a power loss left: then nothing but this is read.
    remains: Option<Remains>,
    ring: Ring<M>,
}

/// A slot's byte, held for a moment.
struct HeldSlot<'a, M: Memory> {
    ring: &'a Ring<M>,
    byte: u64,
}

/// What reads on: with a power loss's remains nothing but these.
#[derive(Clone, Copy)]
struct Eyes<'a> {
    eye: &'a Eye,
    remains: Option<&'a Remains>,
}

impl Eyes<'_> {
    fn next<M: Memory>(
        self,
        view: &View<M>,
        scan: &Scan,
        (stream, after): (Stream, Seq),
        room: usize,
        out: &mut Vec<u8>,
    ) -> Next {
        match self.remains {
            Some(remains) => remains.next(self.eye, view, (stream, after), room, out),
            None => self.eye.next(view, scan, stream, after, room, out),
        }
    }

    /// Costs a look behind each stream's last record, if the cursors are there.
    fn passed<M: Memory>(self, view: &View<M>, scan: &Scan, indices: &[usize]) -> bool {
        let mut bytes = Vec::new();
        let mut at_end = |stream: Stream, index: usize| {
            let cursor = cursor::read(view, stream, index);
            bytes.clear();
            cursor.acked >= scan.last(stream)
                && match self.next(view, scan, (stream, cursor.acked), 0, &mut bytes) {
                    Next::Nothing => true,
                    Next::Uncertain { to: None, .. } => cursor.uncertain_open,
                    _ => false,
                }
        };
        scan.streams().all(|stream| indices.iter().all(|index| at_end(stream, *index)))
    }
}

impl<M: Memory> Drop for HeldSlot<'_, M> {
    fn drop(&mut self) {
        // What could be locked can be unlocked.
        let _ = unlock(self.ring.file(), self.byte);
    }
}

impl<M: Memory> Reader<M> {
    /// Begins: raises the epoch, moves `freed`, writes policy and names for everybody, gives each name its place. What a
    /// newer configuration wrote down stays. `ring` is the reader's own: see [`Ring::again`].
    ///
    /// # Errors
    /// When the ring was opened for looking only, more than 4 names are configured, a newer configuration left no
    /// place for one of them, or the directory refuses the bell.
    pub fn new(ring: Ring<M>, _: &Lease, configuration: &Configuration) -> io::Result<Reader<M>> {
        if !ring.writable() {
            return Err(io::Error::other("the ring was opened for looking only"));
        }
        if configuration.subscribers.len() > NAMES {
            return Err(io::Error::other(format!("{NAMES} subscribers can be named at most")));
        }
        let bell = Fifo::open(ring.dir(), PUBLISHER)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let remains = ring.remains();
        let hand = match &remains {
            Some(remains) => Hand::with(ring.view(), configuration, now, || remains.scan().clone()),
            None => Hand::new(ring.view(), configuration, now),
        };
        let hand = hand.ok_or_else(|| {
            io::Error::other("a newer configuration left no place for this one's subscribers")
        })?;
        ring.view().store(HOLDERS_PROCESS, std::process::id().into());
        let (eye, bells) = (Eye::default(), SlotBells::default());
        Ok(Reader { hand, eye, bell, bells, remains, ring })
    }

    /// Samples every stream's last, then looks at every block.
    pub fn scan(&mut self) -> Scan {
        match &self.remains {
            Some(remains) => remains.scan().clone(),
            None => {
                if self.eye.overtaken() {
                    self.hand.doubt();
                }
                self.hand.scan(self.ring.view())
            }
        }
    }

    /// Acts for dead slots: returns claims that were never begun, seals a block by the rule of the design. Once a turn.
    /// Whether it sealed one: then another look finds it, and can free it. In a file that takes no events any more it does
    /// nothing.
    pub fn tend(&mut self, scan: &Scan) -> bool {
        if !self.ring.alive() {
            return false;
        }
        let ring = &self.ring;
        let hold = |stream| {
            let byte = ring.view().layout.slot_byte(stream);
            let held = try_lock(ring.file(), byte, Hold::Alone).unwrap_or(false);
            held.then_some(HeldSlot { ring, byte })
        };
        self.hand.tend(ring.view(), scan, hold)
    }

    /// What comes after `after` in a stream. A slice has at least one record, then as many as `room` bytes hold; each
    /// was checked. A hole has a reason. To see what was committed since `scan`, scan again.
    pub fn next(
        &self,
        scan: &Scan,
        stream: Stream,
        after: Seq,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Next {
        self.eyes().next(self.ring.view(), scan, (stream, after), room, out)
    }

    /// Somebody's cursor.
    pub fn cursor(&self, who: Who, stream: Stream) -> Cursor {
        cursor::read(self.ring.view(), stream, self.hand.index(who))
    }

    /// Whether everybody who holds it has passed everything that is here, and was told how it ends: each name, or live
    /// (`enough` says otherwise) when there is none.
    pub fn drained(&self, scan: &Scan, enough: bool) -> bool {
        self.eyes().passed(self.ring.view(), scan, &self.hand.holders(enough))
    }

    fn eyes(&self) -> Eyes<'_> {
        Eyes { eye: &self.eye, remains: self.remains.as_ref() }
    }

    /// Stores it: a kill leaves the old one or this one. The heartbeats that it passes are counted here.
    pub fn store(&mut self, who: Who, stream: Stream, cursor: Cursor) {
        let (view, index) = (self.ring.view(), self.hand.index(who));
        let before = cursor::read(view, stream, index);
        cursor::store(view, stream, index, view.with_heartbeats(stream, &before, cursor));
    }

    /// Frees the blocks that every named subscriber has acknowledged; how many. None in a file that takes no events any more.
    pub fn free(&mut self, scan: &Scan) -> usize {
        if !self.ring.alive() {
            return 0;
        }
        self.hand.free(self.ring.view(), scan)
    }

    /// Every stream that ever had a writer.
    pub fn streams(&self) -> impl Iterator<Item = Stream> + use<M> {
        self.ring.view().streams()
    }

    /// The ring file's uuid.
    pub fn region(&self) -> Region {
        self.ring.region()
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<M> {
        &self.ring
    }

    /// What wakes the publisher: [`Bell::arm`], scan once more, poll; [`Bell::clear`] when awake, before the next scan.
    pub fn bell(&self) -> Bell<'_, M> {
        Bell::new(&self.bell, self.ring.view(), SLEEPING)
    }

    /// Wakes the worker of a slot, if it waits; after its cursors were stored.
    pub fn wake(&mut self, stream: Stream) {
        self.bells.wake(&self.ring, stream);
    }

    /// Notes that the publisher is at work; `now` in ns since 1970.
    pub fn note_turn(&mut self, now: u64) {
        self.ring.view().store(LAST_TURN, now);
    }

    /// Notes since when a subscriber (its index in the configuration) is connected, None when it is not, and when it
    /// last said BEAT; in ns since 1970.
    pub fn note_subscriber(&mut self, who: usize, connected: Option<u64>, beat: u64) {
        let (since, last_beat) = presence(self.hand.place(who));
        self.ring.view().store(last_beat, beat);
        self.ring.view().store(since, connected.unwrap_or(0));
    }

    /// Notes how long a subscriber's events took, as it says; None when it does not.
    pub fn note_took(&mut self, who: usize, took: Option<Took>) {
        store_took(self.ring.view(), self.hand.place(who), took);
    }

    /// Notes that a subscriber acknowledged something; `now` in ns since 1970.
    pub fn note_ack(&mut self, who: usize, now: u64) {
        let (ack, _) = progress(self.hand.place(who));
        self.ring.view().store(ack, now);
    }

    /// Notes since when a subscriber holds the ring full, in ns since 1970; None when it does not.
    pub fn note_holds(&mut self, who: usize, since: Option<u64>) {
        let (_, holds) = progress(self.hand.place(who));
        self.ring.view().store(holds, since.unwrap_or(0));
    }

    /// Notes how many live messages were dropped at full pipes, since the ring was made.
    pub fn note_live_dropped(&mut self, dropped: u64) {
        self.ring.view().store(LIVE_DROPPED, dropped);
    }

    /// Notes how many files whose names were removed under their users wait to be drained.
    pub fn note_removed(&mut self, files: u64) {
        self.ring.view().store(REMOVED, files);
    }

    /// Gives the file up: nothing more is written to it, and who waits for a sync of it is told.
    pub fn give_up(&mut self) {
        self.ring.view().poison();
        for stream in self.ring.view().streams() {
            self.bells.wake(&self.ring, stream);
        }
    }

    /// Notes since when the live port and the feed's address cannot be listened at, in ns since 1970; None while one is.
    pub fn note_deaf(&mut self, live: Option<u64>, feed: Option<u64>) {
        self.ring.view().store(LIVE_DEAF, live.unwrap_or(0));
        self.ring.view().store(FEED_DEAF, feed.unwrap_or(0));
    }
}

impl Reader {
    /// Nobody will find this file again: what is still in it is counted as lost in the books that the heir carries. How many
    /// events of each subscriber. Without an heir that is in no books.
    pub fn bury(&mut self, heir: Option<&mut Reader>) -> Vec<(Name, u64)> {
        let mut gone = Ledger::read(&self.ring).with_carried();
        let mut lost = Vec::new();
        for held in gone.subscribers.iter_mut().filter(|held| held.active) {
            let books = &mut held.books;
            lost.push((held.name.clone(), std::mem::take(&mut books.in_ring)));
            books.lost = books.lost.saturating_add(lost.last().map_or(0, |(_, events)| *events));
        }
        if let Some(heir) = heir {
            Carried::add(heir.ring.view(), self.ring.number(), &gone);
        }
        lost
    }

    /// Removes the file, if nobody else uses it and it is [drained](Reader::drained), and carries its books forward to the
    /// heir. Whether it did.
    ///
    /// # Errors
    /// When the system refuses it; the books may be carried then, see [`Carried::number`].
    pub fn remove_if_drained(
        &mut self,
        enough: bool,
        heir: Option<&mut Reader>,
    ) -> io::Result<bool> {
        let Reader { hand, eye, remains, ring, .. } = self;
        let (number, origin) = (ring.number(), ring.origin());
        let eyes = Eyes { eye, remains: remains.as_ref() };
        ring.remove_if(|view| {
            // Only now nobody can have stored anything after the look.
            let scan = match eyes.remains {
                Some(remains) => remains.scan().clone(),
                None => hand.scan(view),
            };
            let passed = eyes.passed(view, &scan, &hand.holders(enough));
            if let (true, Some(heir)) = (passed, heir) {
                let gone = Ledger::of(view).of_origin(origin).with_carried();
                Carried::add(heir.ring.view(), number, &gone);
            }
            passed
        })
    }
}
