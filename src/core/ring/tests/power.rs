//! The machine stops: any sector of 512 bytes that was written since the last sync holds what it held then, or at any
//! time since. Writers and publishers may have been killed before, between any two steps.
//!
//! `COUNT=n SEED=m` for more images, and for the same once more.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::dying::{Dying, dying};
use super::world::{NOW, name};
use crate::id::{Region, Seq, Stream};
use crate::record::Slice;
use crate::ring::beginning::settle;
use crate::ring::configuration::{Configuration, Overflow};
use crate::ring::cursor::{self, Who};
use crate::ring::eye::{Eye, Next};
use crate::ring::hand::Hand;
use crate::ring::layout::{Geometry, LAST_SYNC, Layout};
use crate::ring::memory::{Heap, Memory};
use crate::ring::pen::Pen;
use crate::ring::repair::Remains;
use crate::ring::view::View;

const SLOTS: u16 = 3;
/// When the file was made, as far as it says.
pub const MADE: u64 = 5;

/// Numbers from a seed.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// An event as it was received: when, and what.
type Event = (u64, Vec<u8>);

/// A machine until it stops.
struct Machine {
    view: View<Dying>,
    draw: Draw,
    policy: Overflow,
    pens: Vec<Option<Pen>>,
    hand: Option<Hand>,
    /// Every event that was committed, by stream and seq.
    committed: BTreeMap<(Stream, Seq), Event>,
    /// What writers were at when they died, with the first seq: committed or not, the next one finds out.
    perhaps: BTreeMap<Stream, (Seq, Vec<Event>)>,
    /// What a writer was at that died before its commit: its clients send it again.
    again: Vec<Vec<u8>>,
    delivered: BTreeMap<(Stream, Seq), ()>,
    /// By stream, the last seq when the last sync began.
    durable: Vec<Seq>,
    salt: u64,
    now: u64,
}

impl Machine {
    fn new(seed: u64) -> Machine {
        let mut draw = Draw::new(seed);
        let (blocks, block_bytes) = (3 + draw.below(5) as u32, 512 << draw.below(2));
        let layout = Layout::new(Geometry { blocks, block_bytes, slots: SLOTS });
        let memory = Dying::new(layout.words());
        let policy = if draw.below(4) == 0 { Overflow::Overwrite } else { Overflow::Reject };
        Machine {
            view: View { memory, layout, region: Region(seed.into()) },
            draw,
            policy,
            pens: (0..SLOTS).map(|_| None).collect(),
            hand: None,
            committed: BTreeMap::new(),
            perhaps: BTreeMap::new(),
            again: Vec::new(),
            delivered: BTreeMap::new(),
            durable: vec![Seq(0); SLOTS.into()],
            salt: 0,
            now: NOW,
        }
    }

    /// Does something that is killed before one of its next steps, if `killed`. None when it died.
    fn perhaps_dying<T>(&mut self, killed: bool, act: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        let step = killed.then(|| self.draw.below(60));
        dying(self, |machine| &machine.view.memory, step, act)
    }

    fn act(&mut self) {
        let killed = self.draw.below(6) == 0;
        match self.draw.below(12) {
            0 => self.sync(),
            1..=3 => drop(self.perhaps_dying(killed, Machine::publish)),
            _ => {
                let stream = Stream(self.draw.below(SLOTS.into()) as u16);
                let done = self.perhaps_dying(killed, |machine| machine.append(stream));
                if done.is_none() {
                    self.pens[usize::from(stream.0)] = None;
                }
            }
        }
        if killed {
            self.hand = None;
        }
    }

    /// The writer of a slot, as `Writer::take` makes it.
    fn pen(&mut self, stream: Stream) -> Pen {
        if let Some(pen) = self.pens[usize::from(stream.0)].take() {
            return pen;
        }
        self.view.count_stream(stream);
        if self.view.last(stream) == Seq(0) {
            self.sync();
        }
        let lasts = (0..SLOTS).map(|slot| self.view.last(Stream(slot))).collect();
        let synced = Cell::new(false);
        let flush = || {
            self.view.memory.sync();
            Ok(())
        };
        let settle = || {
            synced.set(true);
            settle(&self.view, stream, flush).is_ok()
        };
        let pen = Pen::take_over(&self.view, stream, settle).expect("no broken record");
        if synced.get() {
            self.durable = lasts;
        }
        if let Some((first, events)) = self.perhaps.remove(&stream) {
            if pen.last() >= first {
                self.commit(stream, first, events);
            } else {
                self.again = events.into_iter().map(|(_, bytes)| bytes).collect();
            }
        }
        pen
    }

    fn commit(&mut self, stream: Stream, first: Seq, events: Vec<Event>) {
        for (seq, event) in (first.0..).zip(events) {
            self.committed.insert((stream, Seq(seq)), event);
        }
    }

    /// What comes next: one event or several, now and then the very ones that nobody was answered to.
    fn events(&mut self) -> Vec<Vec<u8>> {
        if !self.again.is_empty() && self.draw.below(2) == 0 {
            return std::mem::take(&mut self.again);
        }
        let count = if self.draw.below(3) == 0 { 1 + self.draw.below(4) } else { 1 };
        let mut one = || {
            self.salt += 1;
            // Often the same few lengths: then one event lies where another lay.
            let length = match self.draw.below(2) {
                0 => 8 + 32 * self.draw.below(3),
                _ => 8 + self.draw.below(250),
            };
            let mut bytes = self.salt.to_le_bytes().to_vec();
            bytes.resize(length as usize, self.salt as u8);
            bytes
        };
        (0..count).map(|_| one()).collect()
    }

    fn append(&mut self, stream: Stream) {
        let mut pen = self.pen(stream);
        let events = self.events();
        let mut slices: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        slices.truncate(pen.fitting(&self.view, &slices).min(slices.len()));
        self.now += 1;
        let (now, first) = (self.now, pen.last().next());
        let stamped: Vec<Event> = slices.iter().map(|bytes| (now, bytes.to_vec())).collect();
        self.perhaps.insert(stream, (first, stamped.clone()));
        let wrote = pen.append(&self.view, now, &slices);
        self.perhaps.remove(&stream);
        if wrote.is_ok() {
            self.commit(stream, first, stamped);
        }
        self.pens[usize::from(stream.0)] = Some(pen);
    }

    /// A turn of the publisher, whose subscriber acknowledges what it gets.
    fn publish(&mut self) {
        let configuration = Configuration {
            policy: self.policy,
            subscribers: vec![name("kafka")],
            configured_at: 1,
        };
        let view = &self.view;
        let mut hand = match self.hand.take() {
            Some(hand) => hand,
            None => Hand::new(view, &configuration, NOW).expect("a place"),
        };
        let scan = hand.scan(view);
        let index = hand.index(Who::Named(0));
        for stream in scan.streams() {
            let mut cursor = cursor::read(view, stream, index);
            let room = 600;
            match Eye::default().next(view, &scan, stream, cursor.acked, room, &mut Vec::new()) {
                Next::Slice { first, count } => {
                    for seq in first.0..first.0 + u64::from(count) {
                        self.delivered.insert((stream, Seq(seq)), ());
                    }
                    cursor.acked = Seq(first.0 + u64::from(count) - 1);
                }
                Next::Lost { to, .. } => cursor = cursor.lose(to),
                _ => continue,
            }
            cursor::store(view, stream, index, cursor);
        }
        hand.free(view, &scan);
        let free = |stream: Stream| self.pens[usize::from(stream.0)].is_none().then_some(());
        hand.tend(view, &scan, free);
        self.hand = Some(hand);
    }

    fn sync(&mut self) {
        for (n, last) in self.durable.iter_mut().enumerate() {
            *last = self.view.last(Stream(n as u16));
        }
        self.view.memory.sync();
        self.view.memory.heap.store(LAST_SYNC, NOW);
    }
}

/// What a subscriber is told of a stream after a power loss, from the cursor that is there.
pub struct Told {
    pub from: Seq,
    pub records: BTreeMap<Seq, Event>,
    /// The last seq that anything was said of.
    pub to: Seq,
}

pub fn told(view: &View<Heap>, remains: &Remains, stream: Stream) -> Told {
    // The name's place was given before the loss, or never: then it begins at the oldest event.
    let from = cursor::read(view, stream, 1).acked;
    let mut told = Told { from, records: BTreeMap::new(), to: from };
    let eye = Eye::default();
    loop {
        let mut bytes = Vec::new();
        let next = remains.next(&eye, view, (stream, told.to), 300, &mut bytes);
        match next {
            Next::Slice { first, count } => {
                assert_eq!(first, told.to.next());
                for record in Slice::new(view.seed(stream), first, &bytes) {
                    let record = record.expect("checked");
                    told.records.insert(record.seq, (record.received, record.bytes.to_vec()));
                }
                told.to = Seq(told.to.0 + u64::from(count));
            }
            Next::Uncertain { to: Some(to), .. } => {
                assert!(to > told.to, "a hole of nothing");
                told.to = to;
            }
            Next::Uncertain { to: None, since } => {
                assert!(since >= MADE);
                return told;
            }
            other => panic!("{other:?} after a power loss"),
        }
    }
}

pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn whichever_sectors_reached_the_disk_what_was_synced_is_there_and_nothing_stale_is_believed() {
    let (count, seed) = (number("COUNT", 1500), number("SEED", 1));
    let (mut slowest, mut records, mut holes, mut spared) = (Duration::ZERO, 0u64, 0u64, 0u64);
    for seed in seed..seed + count {
        let mut machine = Machine::new(seed);
        for _ in 0..20 + machine.draw.below(120) {
            machine.act();
        }
        // Whoever was at it when the machine stopped.
        let view = &machine.view;
        let image = view.memory.image(|end| machine.draw.below(end));
        let view = View { memory: image, layout: view.layout, region: view.region };
        let begin = Instant::now();
        let remains = Remains::of(&view, MADE);
        slowest = slowest.max(begin.elapsed());
        for stream in (0..SLOTS).map(Stream) {
            let durable = machine.durable[usize::from(stream.0)];
            let known = remains.scan().streams().any(|it| it == stream);
            assert!(known || durable == Seq(0), "seed {seed}: stream {stream} is not known");
            let told = told(&view, &remains, stream);
            for (seq, event) in &told.records {
                let was = machine.committed.get(&(stream, *seq));
                let perhaps = machine
                    .perhaps
                    .get(&stream)
                    .and_then(|(first, events)| events.get(seq.0.checked_sub(first.0)? as usize));
                let was = was.or(perhaps);
                assert_eq!(was, Some(event), "seed {seed}: {stream}-{seq} is another event");
            }
            let acked = told.from.0;
            assert!(
                (1..=acked).all(|seq| machine.policy == Overflow::Overwrite
                    || machine.delivered.contains_key(&(stream, Seq(seq)))),
                "seed {seed}: the cursor of stream {stream} is beyond what was delivered"
            );
            assert!(told.to >= durable, "seed {seed}: stream {stream} ends before what was synced");
            for seq in (acked + 1..=durable.0).map(Seq) {
                let there = told.records.contains_key(&seq);
                let in_kafka = machine.delivered.contains_key(&(stream, seq));
                let kept = there || in_kafka || machine.policy == Overflow::Overwrite;
                assert!(kept, "seed {seed}: {stream}-{seq} was synced, and is gone");
                spared += u64::from(there);
            }
            records += told.records.len() as u64;
            holes += told.to.0 - acked - told.records.len() as u64;
        }
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(
        count < 100 || (records > count && holes > count && spared > count),
        "a test of nothing"
    );
    println!(
        "row 7: count={count}, seed={seed}, records={records}, synced={spared}, uncertain={holes}, \
         stale=0, lost=0, slowest={slowest:?}"
    );
}
