//! Where records go: each is answered for by one report. Kafka is one sink, lines in a file are another.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use sparkngin_core::feed::{self, Records, Welcome};
use sparkngin_core::id::{EventId, Region, Seq, Stream};
use sparkngin_core::record::{self, Record, Seed, Torn};

use crate::flight::{Fate, FeedNo, Place};
use crate::letter::Told;
use crate::mapping::Mapping;
use crate::report::clock;
use crate::route::Route;

/// Records that came together, in one allocation.
#[derive(Debug)]
pub struct Batch {
    /// Where they came from.
    pub feed: FeedNo,
    /// Where the first one stands in the flight.
    pub place: Place,
    /// When they came.
    pub came: Instant,
    /// The records.
    pub records: Records<Vec<u8>>,
    /// Their stream's seed.
    seed: Seed,
    /// It is no record but a hole to be noted in the dead letter.
    told: Option<Told>,
}

/// One record of a batch.
#[derive(Clone, Debug)]
pub struct Parcel {
    batch: Rc<Batch>,
    offset: u32,
    index: u32,
    bytes: u32,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The feed it came from.
    pub feed: FeedNo,
    /// Where it stands in the flight.
    pub place: Place,
    /// Which it is.
    pub id: EventId,
    /// When nginx received it, ns since 1970.
    pub received: u64,
    /// What became of it.
    pub fate: Fate,
}

/// How a sink is, for people and for /readyz.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Why nothing gets through, if nothing does.
    pub unready: Option<String>,
    /// Records given to Kafka that it has not reported.
    pub out: usize,
    /// Records that wait for their topic.
    pub waiting: usize,
    /// Records sent a second time, some of which may have arrived before.
    pub sent_again: u64,
    /// Clients made after the first, because one failed.
    pub renewed: u64,
    /// Why the last event that is in a dead letter's topic is there.
    pub dead: Option<String>,
}

/// How the program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked to.
    Asked,
    /// A configuration turned out to be wrong.
    Wrong(String),
    /// Another subscriber of its name took over.
    Fenced(String),
    /// The system failed it.
    Failed(String),
}

/// Takes records and says what became of them.
pub trait Sink {
    /// Takes records; each will be reported once.
    fn take(&mut self, batch: Batch);

    /// Does what can be done without waiting, and appends what became known. Gives the time of the next turn, at the
    /// latest, if nothing wakes it before.
    fn turn(&mut self, now: Instant, reports: &mut Vec<Report>) -> Option<Instant>;

    /// How it is.
    fn condition(&self) -> Condition;

    /// What ends the program.
    fn over(&self) -> Option<End>;

    /// Whether feeds may be heard: a sink that knows by itself what it has must have found that out before.
    fn wants_feeds(&self) -> bool {
        true
    }

    /// A feed's session is open.
    fn welcome(&mut self, _feed: FeedNo, _welcome: &Welcome, _now: Instant) {}

    /// Another subscriber of the name was let in by a feed. True if the sink finds out by itself which of the two is to go
    /// on: then it wants no feeds until it knows that it is this one.
    fn contest(&mut self, _now: Instant) -> bool {
        false
    }

    /// Whether the sink keeps the books of what is done in each stream: then reports alone acknowledge nothing.
    fn keeps_books(&self) -> bool {
        false
    }

    /// The places that moved since they were last asked for, of a sink that keeps the books.
    fn moved(&mut self, _see: &mut dyn FnMut(FeedNo, (Region, Stream), feed::Place)) {}

    /// Bytes of a feed's records that are on their way, not waiting for anything but Kafka.
    fn moving(&self, feed: FeedNo) -> u64;

    /// Records of this feed must not wait longer for their topics: the window is needed.
    fn hurry(&mut self, feed: FeedNo);

    /// From now on records go this way.
    fn adapt(&mut self, mapping: Mapping);

    /// Nothing more will come, and what is not sent shall not be.
    fn close(&mut self);
}

impl Batch {
    /// Records that came at `came`, of which the first stands at `place`.
    pub fn new(feed: FeedNo, place: Place, came: Instant, records: Records<Vec<u8>>) -> Batch {
        let seed = Seed::new(records.region, records.stream);
        Batch { feed, place, came, records, seed, told: None }
    }

    /// A hole that was told of at `came`, to be noted with these words.
    pub fn hole(feed: FeedNo, place: Place, came: Instant, told: Told, text: &str) -> Batch {
        let Told { region, stream, .. } = told;
        let seed = Seed::new(region, stream);
        let received = clock();
        let mut body = Vec::new();
        let record = Record { seq: told.from, received, bytes: text.as_bytes() };
        record::write(seed, record, &mut body);
        let records = Records { region, stream, first: told.from, count: 1, body, skip: 0 };
        Batch { feed, place, came, records, seed, told: Some(told) }
    }
}

/// The records of a batch, one after another.
#[derive(Debug)]
pub struct Parcels {
    batch: Rc<Batch>,
    offset: u32,
    index: u32,
}

impl Parcels {
    /// All of a batch.
    pub fn new(batch: Batch) -> Parcels {
        let offset = batch.records.skip as u32;
        Parcels { batch: Rc::new(batch), offset, index: 0 }
    }
}

impl Iterator for Parcels {
    type Item = Parcel;

    fn next(&mut self) -> Option<Parcel> {
        if self.index >= self.batch.records.count {
            return None;
        }
        let len = self.batch.records.body.get(self.offset as usize..)?.first_chunk::<4>()?;
        let bytes = u32::from_le_bytes(*len).next_multiple_of(8);
        let batch = Rc::clone(&self.batch);
        let parcel = Parcel { batch, offset: self.offset, index: self.index, bytes };
        self.offset += bytes;
        self.index += 1;
        Some(parcel)
    }
}

impl Parcel {
    /// Who the event is.
    pub fn id(&self) -> EventId {
        let records = &self.batch.records;
        let seq = Seq(records.first.0 + u64::from(self.index));
        EventId { region: records.region, stream: records.stream, seq }
    }

    /// The seed of its stream.
    pub fn seed(&self) -> Seed {
        self.batch.seed
    }

    /// The record; its sum was checked when it came.
    ///
    /// # Errors
    /// [`Torn`]: memory went bad since then.
    pub fn record(&self) -> Result<Record<'_>, Torn> {
        let from = self.batch.records.body.get(self.offset as usize..).unwrap_or_default();
        record::read_again(self.id().seq, from)
    }

    /// When nginx received it, ns since 1970; its sum was checked when it came.
    fn received(&self) -> u64 {
        let from = self.batch.records.body.get(self.offset as usize + record::RECEIVED..);
        from.and_then(|from| from.first_chunk()).map_or(0, |ns| u64::from_le_bytes(*ns))
    }

    /// Its bytes in the window.
    pub fn bytes(&self) -> u64 {
        u64::from(self.bytes)
    }

    /// When it came.
    pub fn came(&self) -> Instant {
        self.batch.came
    }

    /// The feed it came from.
    pub fn feed(&self) -> FeedNo {
        self.batch.feed
    }

    /// The hole, if it is one.
    pub fn told(&self) -> Option<Told> {
        self.batch.told
    }

    /// Its report. A hole has one fate only.
    pub fn report(&self, fate: Fate) -> Report {
        let fate = if self.batch.told.is_some() { Fate::Noted } else { fate };
        let first = self.batch.place;
        let place = Place { at: first.at + u64::from(self.index), ..first };
        Report { feed: self.batch.feed, place, id: self.id(), received: self.received(), fate }
    }
}

/// Each event's value as a line: for looking, and for tests without a broker.
#[derive(Debug)]
pub struct Lines {
    out: BufWriter<File>,
    route: Route,
    parcels: Vec<Parcel>,
    scratch: Vec<u8>,
    trouble: Option<String>,
}

impl Lines {
    /// Appends to the file at `path`; `-` is stdout.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, route: Route) -> io::Result<Lines> {
        let out = match path.to_str() {
            Some("-") => io::stdout().as_fd().try_clone_to_owned().map(File::from)?,
            _ => OpenOptions::new().create(true).append(true).open(path)?,
        };
        let out = BufWriter::with_capacity(64 * 1024, out);
        Ok(Lines { out, route, parcels: Vec::new(), scratch: Vec::new(), trouble: None })
    }

    fn write(&mut self) -> io::Result<()> {
        for parcel in self.parcels.iter().filter(|parcel| parcel.told().is_none()) {
            self.scratch.clear();
            let record = parcel.record().map_err(io::Error::other)?;
            let routed = self.route.read(parcel.id(), &record).map_err(io::Error::other)?;
            self.route.value(&routed, &mut self.scratch);
            self.scratch.push(b'\n');
            self.out.write_all(&self.scratch)?;
        }
        self.out.flush()
    }
}

impl Sink for Lines {
    fn take(&mut self, batch: Batch) {
        self.parcels.extend(Parcels::new(batch));
    }

    fn turn(&mut self, _now: Instant, reports: &mut Vec<Report>) -> Option<Instant> {
        if self.trouble.is_none() && !self.parcels.is_empty() {
            match self.write() {
                Ok(()) => {
                    reports.extend(self.parcels.drain(..).map(|p| p.report(Fate::Delivered)));
                }
                Err(error) => self.trouble = Some(format!("--lines: {error}")),
            }
        }
        None
    }

    fn condition(&self) -> Condition {
        Condition::default()
    }

    fn over(&self) -> Option<End> {
        self.trouble.clone().map(End::Failed)
    }

    fn moving(&self, feed: FeedNo) -> u64 {
        self.parcels.iter().filter(|parcel| parcel.feed() == feed).map(Parcel::bytes).sum()
    }

    fn hurry(&mut self, _feed: FeedNo) {}

    fn adapt(&mut self, mapping: Mapping) {
        self.route = mapping.route;
    }

    fn close(&mut self) {}
}
