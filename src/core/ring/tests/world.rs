//! A ring over a heap, with writers and a publisher that may die before any step, and what must be true of it.

use std::collections::BTreeMap;
use std::io;

use super::dying::{Dying, dying};
use super::power::{MADE, told};
use crate::id::{Region, Seq, Stream};
use crate::record::Slice;
use crate::ring::beginning::settle;
use crate::ring::configuration::{Configuration, Name, Overflow};
use crate::ring::cursor::{self, Cursor, Who};
use crate::ring::eye::{Eye, Next};
use crate::ring::hand::Hand;
use crate::ring::hours;
use crate::ring::known::Known;
use crate::ring::layout::{Geometry, Layout};
use crate::ring::ledger::Ledger;
use crate::ring::memory::Memory;
use crate::ring::pen::{NotTaken, Pen, Refused};
use crate::ring::repair::Remains;
use crate::ring::scan::{Sampled, Scan};
use crate::ring::sync::cover;
use crate::ring::view::View;
use crate::ring::word::Phase;

/// What a cursor passed, and how.
#[derive(Default)]
pub struct Passed {
    pub delivered: Vec<u64>,
    pub lost: Vec<u64>,
}

pub struct World {
    pub view: View<Dying>,
    pub writers: Vec<Option<Pen>>,
    pub hand: Option<Hand>,
    eye: Eye,
    pub policy: Overflow,
    /// By stream what was committed, in order.
    pub committed: Vec<Vec<Vec<u8>>>,
    /// By stream the hour of each, as the slot's floor was when it was committed.
    pub hours: Vec<Vec<u64>>,
    /// By cursor (0 live, then places) and stream.
    pub passed: BTreeMap<(usize, u16), Passed>,
    /// How often somebody died before a step.
    pub deaths: u64,
    /// By stream, the last seq when the last sync that succeeded began.
    pub durable: Vec<u64>,
    /// A sync failed: whoever syncs next is told, too.
    broken: bool,
    now: u64,
    salt: u8,
}

/// When publishers begin here, ns since 1970.
pub const NOW: u64 = 1_600_000_000_000_000_000;

/// Every cursor that these tests use: live, and one name.
pub const READERS: [Who; 2] = [Who::Live, Who::Named(0)];

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl World {
    pub fn new(geometry: Geometry, policy: Overflow) -> World {
        let layout = Layout::new(geometry);
        let memory = Dying::new(layout.words());
        let slots = usize::from(geometry.slots);
        let mut world = World {
            view: View { memory, layout, region: Region(7) },
            writers: (0..slots).map(|_| None).collect(),
            hand: None,
            eye: Eye::default(),
            policy,
            committed: vec![Vec::new(); slots],
            hours: vec![Vec::new(); slots],
            passed: BTreeMap::new(),
            deaths: 0,
            durable: vec![0; slots],
            broken: false,
            now: 1_700_000_000_000_000_000,
            salt: 0,
        };
        world.publisher();
        world
    }

    /// Runs something that dies before its step number `step`. None when it died.
    pub fn dying<T>(&mut self, step: Option<u64>, act: impl FnOnce(&mut World) -> T) -> Option<T> {
        let done = dying(self, |world| &world.view.memory, step, act);
        self.deaths += u64::from(done.is_none());
        done
    }

    pub fn configuration(&self) -> Configuration {
        Configuration { policy: self.policy, subscribers: vec![name("kafka")], configured_at: 1 }
    }

    /// A new holder of the lease.
    pub fn publisher(&mut self) {
        self.hand = None;
        self.hand = Some(Hand::new(&self.view, &self.configuration(), NOW).unwrap());
    }

    /// The writer of a slot, a new one if the last one died or left. It syncs for itself where that one left something;
    /// if the disk refuses that, the file is poisoned.
    fn pen(&mut self, slot: u16) -> Result<Pen, Refused> {
        if let Some(pen) = self.writers[usize::from(slot)].take() {
            return Ok(pen);
        }
        let World { view, broken, .. } = self;
        view.count_stream(Stream(slot));
        let flush = || match broken {
            true => Err(io::Error::from_raw_os_error(libc::EIO)),
            false => {
                view.memory.sync();
                Ok(())
            }
        };
        let settle = || settle(view, Stream(slot), flush).is_ok();
        match Pen::take_over(view, Stream(slot), settle) {
            Ok(pen) => Ok(pen),
            Err(NotTaken::Unsettled) => {
                assert!(*broken && view.poisoned());
                Err(Refused::Poisoned)
            }
            Err(NotTaken::Broken) => panic!("nothing here is broken"),
        }
    }

    /// Every slot that ever had a writer gets a next one, which leaves again.
    pub fn successors(&mut self) {
        for slot in 0..self.view.streams().count() as u16 {
            self.leave(slot);
            let _ = self.pen(slot);
        }
    }

    /// The events that the next append would store; each differs from all others.
    fn events(&mut self, sizes: &[usize]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        for size in sizes {
            self.salt = self.salt.wrapping_add(1);
            events.push(vec![self.salt; *size]);
        }
        events
    }

    /// Appends under one commit, perhaps dying on the way. Then the slot's next holder says what was committed: all of
    /// it or nothing.
    pub fn append(&mut self, slot: u16, sizes: &[usize], dies: Option<u64>) -> Result<(), Refused> {
        let events = self.events(sizes);
        let slices: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        let before = self.committed[usize::from(slot)].len() as u64;
        // A third of an hour.
        self.now += 1_200_000_000_000;
        let now = self.now;
        let done = self.dying(dies, |world| {
            let mut pen = world.pen(slot)?;
            let wrote = pen.append(&world.view, now, &slices);
            world.writers[usize::from(slot)] = Some(pen);
            wrote
        });
        match done {
            Some(Ok(wrote)) => {
                assert_eq!(wrote.committed.id().seq, Seq(before + 1));
                assert_eq!(wrote.committed.last().seq, Seq(before + events.len() as u64));
                self.commit(slot, events);
                Ok(())
            }
            Some(Err(refused)) => Err(refused),
            None => {
                // It died holding the slot; nobody was told anything.
                let last = match self.pen(slot) {
                    Ok(pen) => self.writers[usize::from(slot)].insert(pen).last().0,
                    // Only what was not committed needs the disk.
                    Err(_) => before,
                };
                assert!(last == before || last == before + events.len() as u64, "{last} {before}");
                if last > before {
                    self.commit(slot, events);
                }
                Ok(())
            }
        }
    }

    fn commit(&mut self, slot: u16, events: Vec<Vec<u8>>) {
        let floor = self.view.load(self.view.layout.slot(Stream(slot)).floor());
        self.hours[usize::from(slot)].extend(events.iter().map(|_| floor));
        self.committed[usize::from(slot)].extend(events);
    }

    /// A writer leaves in order, or is killed between two events.
    pub fn leave(&mut self, slot: u16) {
        self.writers[usize::from(slot)] = None;
    }

    pub fn scan(&mut self) -> Scan {
        match &mut self.hand {
            Some(hand) => hand.scan(&self.view),
            None => Scan::look(&self.view, Sampled::take(&self.view), &mut Known::default()),
        }
    }

    /// Acts for the slots that have no writer.
    pub fn tend(&mut self, scan: &Scan) -> bool {
        if self.view.poisoned() {
            return false;
        }
        let writers = &self.writers;
        let hold = |stream: Stream| writers[usize::from(stream.0)].is_none().then_some(());
        self.hand.as_mut().is_some_and(|hand| hand.tend(&self.view, scan, hold))
    }

    /// One turn of the publisher, perhaps dying on the way; a new one then follows.
    pub fn turn(&mut self, who: &[Who], room: usize, dies: Option<u64>) {
        let done = self.dying(dies, |world| {
            let scan = world.scan();
            world.tend(&scan);
            for stream in scan.streams() {
                for who in who {
                    world.follow(&scan, *who, stream, room);
                }
            }
            if let (Some(hand), false) = (&mut world.hand, world.view.poisoned()) {
                hand.free(&world.view, &scan);
            }
        });
        if done.is_none() {
            self.publisher();
        }
        for who in READERS {
            self.settle(who);
        }
    }

    pub fn cursor(&self, who: Who, stream: Stream) -> Cursor {
        let index = self.hand.as_ref().map_or(0, |hand| hand.index(who));
        cursor::read(&self.view, stream, index)
    }

    fn follow(&mut self, scan: &Scan, who: Who, stream: Stream, room: usize) {
        loop {
            let cursor = self.cursor(who, stream);
            let mut out = Vec::new();
            let next = self.eye.next(&self.view, scan, stream, cursor.acked, room, &mut out);
            let cursor = match next {
                Next::Slice { first, count } => {
                    assert_eq!(first, cursor.acked.next());
                    let records = Slice::new(self.view.seed(stream), first, &out);
                    let all: Vec<_> = records.map(|r| r.expect("a checked record")).collect();
                    assert_eq!(all.len(), count as usize);
                    for record in &all {
                        let committed = &self.committed[usize::from(stream.0)];
                        assert_eq!(record.bytes, committed[record.seq.0 as usize - 1]);
                    }
                    let acked = Seq(cursor.acked.0 + u64::from(count));
                    Cursor { acked, ..cursor }
                }
                Next::Lost { to, .. } => {
                    assert!(to.0 <= self.committed[usize::from(stream.0)].len() as u64);
                    cursor.lose(to)
                }
                Next::Nothing | Next::Void => return,
                Next::Uncertain { .. } => panic!("nothing here is broken"),
            };
            let index = self.hand.as_ref().map_or(0, |hand| hand.index(who));
            cursor::store(&self.view, stream, index, cursor);
            self.settle_one(who, stream);
        }
    }

    /// What a cursor says was passed since it was last looked at: each seq once, delivered or lost.
    fn settle(&mut self, who: Who) {
        for stream in 0..self.committed.len() as u16 {
            self.settle_one(who, Stream(stream));
        }
    }

    fn settle_one(&mut self, who: Who, stream: Stream) {
        let cursor = self.cursor(who, stream);
        let key = (usize::from(who != Who::Live), stream.0);
        let passed = self.passed.entry(key).or_default();
        let (delivered, lost) = (passed.delivered.len() as u64, passed.lost.len() as u64);
        let was = delivered + lost;
        assert!(cursor.acked.0 >= was, "a cursor went back");
        if cursor.acked.0 == was {
            return;
        }
        // One step: either a slice or a hole.
        let new = was + 1..=cursor.acked.0;
        if cursor.lost > lost {
            passed.lost.extend(new);
        } else {
            passed.delivered.extend(new);
        }
        assert_eq!((cursor.delivered(), cursor.lost), {
            (passed.delivered.len() as u64, passed.lost.len() as u64)
        });
    }

    /// One sync, perhaps dying on the way; `fails` is what the disk says instead.
    pub fn sync(&mut self, fails: Option<i32>, dies: Option<u64>) {
        if self.view.poisoned() {
            return;
        }
        let before = self.durable.clone();
        self.dying(dies, |world| {
            let World { view, committed, durable, broken, .. } = world;
            let flush = || {
                *broken |= fails.is_some();
                if *broken {
                    return Err(io::Error::from_raw_os_error(fails.unwrap_or(libc::EIO)));
                }
                view.memory.sync();
                *durable = committed.iter().map(|c| c.len() as u64).collect();
                Ok(())
            };
            let done = cover(view, NOW, flush).1;
            assert_eq!(done.is_err(), view.poisoned());
        });
        for (slot, (durable, before)) in (0..).zip(self.durable.iter().zip(&before)) {
            let synced = self.view.synced(Stream(slot)).0;
            assert!(synced <= *durable, "answered before it is on the disk");
            assert!(!self.broken || synced <= *before, "a sync failed, and covers something");
        }
    }

    /// The machine stops: what its disk may show is read, and nothing else is ever read again. How many events it shows,
    /// and how many of those that were not delivered it does not show.
    pub fn stop(self, below: impl FnMut(u64) -> u64) -> (u64, u64) {
        let World { view, committed, durable, passed, policy, .. } = self;
        let memory = view.memory.image(below);
        let view = View { memory, layout: view.layout, region: view.region };
        let remains = Remains::of(&view, MADE);
        let (mut shown, mut missing) = (0, 0);
        for (slot, committed) in committed.iter().enumerate() {
            let told = told(&view, &remains, Stream(slot as u16));
            let passed = passed.get(&(1, slot as u16));
            let (delivered, lost) =
                passed.map_or((&[][..], &[][..]), |p| (&p.delivered[..], &p.lost[..]));
            let done = |seq: u64| {
                delivered.binary_search(&seq).is_ok() || lost.binary_search(&seq).is_ok()
            };
            assert!((1..=told.from.0).all(done), "a cursor is beyond what was delivered");
            assert!(told.to.0 >= durable[slot], "stream {slot} ends before what was synced");
            for (seq, (_, bytes)) in &told.records {
                assert_eq!(Some(bytes), committed.get(seq.0 as usize - 1), "{slot}-{seq}");
            }
            for seq in (1..=committed.len() as u64).filter(|seq| !done(*seq)) {
                let there = told.records.contains_key(&Seq(seq));
                let must = seq <= durable[slot] && policy == Overflow::Reject;
                assert!(there || !must, "{slot}-{seq} was synced, and is gone");
                missing += u64::from(!there);
            }
            shown += told.records.len() as u64;
        }
        (shown, missing)
    }

    /// Whether its subscriber has passed everything.
    pub fn passed_by_all(&self) -> bool {
        (0..).zip(&self.committed).all(|(slot, committed)| {
            self.cursor(Who::Named(0), Stream(slot)).acked.0 == committed.len() as u64
        })
    }

    /// Everything that must hold at any time.
    pub fn check(&mut self) {
        let scan = Scan::look(&self.view, Sampled::take(&self.view), &mut Known::default());
        let mut open = vec![0; self.committed.len()];
        for block in scan.filled() {
            let slot = usize::from(block.state.slot.0);
            let mut bytes = Vec::new();
            let data = self.view.layout.block(block.block).data(0);
            self.view.memory.read(data, block.used as usize, &mut bytes);
            let mut last = block.before();
            for record in Slice::new(self.view.seed(block.state.slot), block.first, &bytes) {
                let record = record.expect("a committed record is whole");
                last = record.seq;
                assert_eq!(record.bytes, self.committed[slot][last.0 as usize - 1]);
                for (key, passed) in &self.passed {
                    let lost = passed.lost.binary_search(&last.0).is_ok();
                    assert!(key.1 != slot as u16 || !lost, "counted lost, still here: {last}");
                }
            }
            match block.state.phase {
                Phase::Open => open[slot] += 1,
                Phase::Sealed => assert!(last <= self.view.last(block.state.slot)),
                Phase::Free => {
                    let named = self.cursor(Who::Named(0), block.state.slot);
                    assert!(last <= named.acked, "FREE, not acknowledged");
                }
            }
            assert!(block.last.is_none_or(|end| end == last));
        }
        for (slot, hours) in self.hours.iter().enumerate() {
            // As many as the pairs reach back for certain.
            for (n, hour) in hours.iter().enumerate().rev().take(60) {
                let seq = Seq(n as u64 + 1);
                let told = hours::span(&self.view, Stream(slot as u16), seq, seq);
                assert_eq!(told, (*hour, *hour), "the hour of {seq}");
            }
        }
        assert!(open.iter().all(|blocks| *blocks <= 1), "two OPEN blocks in a slot: {open:?}");
        self.books(&scan);
    }

    fn books(&mut self, scan: &Scan) {
        let ledger = Ledger::of(&self.view);
        let committed: u64 = self.committed.iter().map(|c| c.len() as u64).sum();
        assert_eq!(ledger.committed, committed);
        let blocks = scan.blocks();
        assert_eq!(blocks.free + blocks.open + blocks.sealed, self.view.layout.geometry().blocks);
        let named = ledger.subscribers[0].books;
        for (index, books) in [(0, ledger.live), (1, named)] {
            assert_eq!(books.committed, books.delivered + books.in_ring + books.lost);
            let mine = self.passed.iter().filter(|(key, _)| key.0 == index);
            let delivered = mine.map(|(_, passed)| passed.delivered.len() as u64).sum::<u64>();
            assert_eq!(books.delivered, delivered);
        }
        if self.policy == Overflow::Reject {
            assert_eq!(named.lost, 0, "lost under reject");
        }
    }

    /// All writers go and everything is read: committed = delivered + lost, and no block is kept for nothing.
    pub fn drain(&mut self) {
        self.successors();
        for _ in 0..4 {
            self.turn(&READERS, 64, None);
            self.check();
        }
        for stream in 0..self.committed.len() as u16 {
            let committed = self.committed[usize::from(stream)].len() as u64;
            for who in READERS {
                assert_eq!(self.cursor(who, Stream(stream)).acked, Seq(committed), "{who:?}");
            }
        }
        let scan = self.scan();
        assert_eq!(scan.blocks().sealed, 0);
        assert!(scan.unbegun.is_empty(), "a claim that was never begun is kept");
        assert!(scan.blocks().free * 4 >= self.view.layout.geometry().blocks);
    }
}
