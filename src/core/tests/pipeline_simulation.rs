//! The whole pipeline in one thread: writers, the ring in its file, the publisher's turns, a network, the subscriber, and
//! a Kafka, all under a virtual clock and one seed. Everybody may die between any two turns; the network delays and cuts;
//! Kafka is away, refuses, or takes a record whose report never arrives.
//!
//! What must hold when the faults have stopped: within a bounded number of turns nothing is left in the ring; each record
//! whose writer was told of the commit is in Kafka, byte for byte, or counted as lost, which under `reject` none is; each
//! stream's records are there in their order; nothing is there twice unless a subscriber died or Kafka's answer was lost;
//! the cursor's own books say the same.
//!
//! `SEED=n COUNT=n` runs the seeds from n on, 300 unless told. A failure names its seed.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sparkngin_core::feed::{
    Client, Due, Heard, Hole, Incoming, Packet, Peer, Place, Session, SessionId, Sessions,
    Settings, Shelf, State,
};
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::ring::{
    Configuration, Cursor, Lease, Next, Overflow, Reader, Ring, Scan, Wanted, Who, Writer,
};

const KAFKA: Who = Who::Named(0);
const WINDOW: u64 = 20_000;
const BLOCKS: u64 = 12;
const BLOCK_BYTES: u32 = 4096;
const WRITERS: usize = 3;

/// Numbers that follow from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Whether something of this probability, in percent, happens.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A record on its way: whose, its number, its bytes.
type Event = (Stream, u64, Vec<u8>);

/// What a Kafka with one partition a stream holds and does.
#[derive(Default)]
struct Kafka {
    away: bool,
    log: Vec<Event>,
    /// Requests of the producer that lives: when the answer is due.
    asked: VecDeque<(Instant, Event)>,
    answers_lost: u64,
    /// For the control: now and then it reports what it has not.
    lies: bool,
}

/// The publisher that lives: what it has in its memory, and the ring's file.
struct Publisher {
    reader: Reader,
    scan: Scan,
    sessions: Sessions,
    _lease: Lease,
}

/// The subscriber that lives. It produces one record after the other, as the one with max.in.flight=1 does.
struct Subscriber {
    region: Region,
    client: Client,
    queue: VecDeque<Event>,
    /// By stream what was reported, or told to be a hole, up to here.
    reached: BTreeMap<u16, u64>,
    /// Holes that wait for the records before them: (stream, from, to).
    holes: VecDeque<(Stream, u64, u64)>,
}

impl Subscriber {
    fn new(region: Region) -> Subscriber {
        let settings = Settings { name: "kafka".to_owned(), window: WINDOW, from: None };
        let client = Client::new(settings);
        let (queue, reached, holes) = Default::default();
        Subscriber { region, client, queue, reached, holes }
    }
}

/// A way of the connection: frames, and when each arrives.
type Way = VecDeque<(Instant, Vec<Vec<u8>>)>;

struct World {
    dice: Dice,
    now: Instant,
    clock: u64,
    dir: PathBuf,
    ring: Ring,
    policy: Overflow,
    writers: Vec<Option<Writer>>,
    /// By stream what was committed, and whether its writer was told.
    committed: BTreeMap<u16, Vec<Vec<u8>>>,
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    kafka: Kafka,
    peer: u32,
    session: u64,
    up: Way,
    down: Way,
    delay: u64,
    deaths: u64,
    refused: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let shm = PathBuf::from("/dev/shm");
        let base = if shm.is_dir() { shm } else { std::env::temp_dir() };
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("sn-simulation-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let bytes = BLOCKS * u64::from(BLOCK_BYTES);
        let wanted = Wanted { dir: dir.clone(), bytes, block_bytes: BLOCK_BYTES };
        let ring = Ring::open_or_make(&wanted).unwrap();
        let mut dice = Dice(seed);
        let policy = if dice.chance(70) { Overflow::Reject } else { Overflow::Overwrite };
        let mut world = World {
            dice,
            now: Instant::now(),
            clock: 1_700_000_000_000_000_000,
            dir,
            subscriber: Some(Subscriber::new(ring.region())),
            ring,
            policy,
            writers: (0..WRITERS).map(|_| None).collect(),
            committed: BTreeMap::new(),
            publisher: None,
            kafka: Kafka::default(),
            peer: 0,
            session: 0,
            up: Way::new(),
            down: Way::new(),
            delay: 1,
            deaths: 0,
            refused: 0,
        };
        world.publish_anew();
        world.connect();
        world
    }

    fn me(&self) -> Peer {
        Peer::anybody(self.peer.to_le_bytes().to_vec())
    }

    /// A new connection; what was on its way is gone.
    fn connect(&mut self) {
        (self.up, self.down) = Default::default();
        self.peer += 1;
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.client.disconnected();
            if self.publisher.is_some() {
                subscriber.client.connected(self.now);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.clock += ms * 1_000_000;
    }

    // --- writers ---

    fn write(&mut self) {
        let (n, size) = (self.dice.below(WRITERS as u64) as usize, self.dice.below(1500) as usize);
        let salt = self.dice.next().to_le_bytes();
        let bytes: Vec<u8> = salt.iter().copied().cycle().take(size + 8).collect();
        if self.writers[n].is_none() {
            self.writers[n] = Some(Writer::take(self.ring.again().unwrap()).unwrap());
        }
        let Some(writer) = &mut self.writers[n] else { return };
        match writer.append(self.clock, &bytes) {
            Ok(done) => {
                let id = done.id();
                let stream = self.committed.entry(id.stream.0).or_default();
                stream.push(bytes);
                assert_eq!(id.seq, Seq(stream.len() as u64), "a stream goes on where it stood");
            }
            Err(_) => self.refused += 1,
        }
    }

    // --- the publisher ---

    fn publish_anew(&mut self) {
        let Some(lease) = Lease::try_take(&self.dir).unwrap() else { return };
        let subscribers = vec!["kafka".parse().unwrap()];
        let configuration = Configuration { policy: self.policy, subscribers, configured_at: 1 };
        let mut reader = Reader::new(self.ring.again().unwrap(), &lease, &configuration).unwrap();
        let scan = reader.scan();
        let sessions = Sessions::new(vec!["kafka".to_owned()]);
        self.publisher = Some(Publisher { reader, scan, sessions, _lease: lease });
    }

    /// A turn, as the publisher's own loop makes it: hear, look, hand out, free, say what is due.
    fn publish(&mut self) {
        let Some(mut publisher) = self.publisher.take() else { return };
        while self.up.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, frames) = self.up.pop_front().unwrap();
            self.hear(&mut publisher, &frames);
        }
        publisher.scan = publisher.reader.scan();
        if publisher.reader.tend(&publisher.scan) {
            publisher.scan = publisher.reader.scan();
        }
        let streams: Vec<Stream> = publisher.scan.streams().collect();
        for stream in streams {
            if let Some(packet) = next_packet(&mut publisher, stream) {
                self.send(&mut publisher, packet);
            }
        }
        publisher.reader.free(&publisher.scan);
        for packet in publisher.sessions.due(self.now).packets {
            self.send(&mut publisher, packet);
        }
        self.publisher = Some(publisher);
    }

    fn send(&mut self, publisher: &mut Publisher, packet: Packet) {
        if packet.to == self.me() && self.subscriber.is_some() {
            let at = self.now + Duration::from_millis(self.dice.below(self.delay));
            let at = self.down.back().map_or(at, |(last, _)| at.max(*last));
            self.down.push_back((at, packet.message.frames(packet.body)));
        } else {
            publisher.sessions.gone(&packet.to);
        }
    }

    fn hear(&mut self, publisher: &mut Publisher, frames: &[Vec<u8>]) {
        let me = self.me();
        match publisher.sessions.receive(&me, frames, self.now) {
            Heard::Hello { who, hello } => {
                publisher.scan = publisher.reader.scan();
                let shelf = shelf(publisher);
                self.session += 1;
                let id = SessionId(self.session);
                let (session, welcome) = Session::open(&me, &hello, id, &[shelf], self.now);
                self.send(publisher, welcome);
                if let Some(told) = publisher.sessions.admit(who, session) {
                    self.send(publisher, told);
                }
            }
            Heard::Acked { moved, .. } => {
                for moved in moved {
                    let cursor = cursor(moved.place);
                    let before = publisher.reader.cursor(KAFKA, moved.stream);
                    assert!(cursor.acked >= before.acked, "an acknowledgement goes back");
                    publisher.reader.store(KAFKA, moved.stream, cursor);
                }
            }
            Heard::Refused { packet, .. } => self.send(publisher, packet),
            Heard::Beat | Heard::Left { .. } => {}
        }
    }

    // --- the subscriber ---

    fn subscribe(&mut self) {
        let Some(mut subscriber) = self.subscriber.take() else { return };
        while self.down.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, frames) = self.down.pop_front().unwrap();
            let incoming = subscriber.client.receive(frames, self.now).expect("nobody lies");
            take(&mut subscriber, incoming);
        }
        self.reports(&mut subscriber);
        self.produce(&mut subscriber);
        let mut again = false;
        while let Some(due) = subscriber.client.due(self.now) {
            match due {
                Due::Send(message) => {
                    let at = self.now + Duration::from_millis(self.dice.below(self.delay));
                    let at = self.up.back().map_or(at, |(last, _)| at.max(*last));
                    self.up.push_back((at, message.frames(Vec::new())));
                }
                Due::Reconnect(_) => {
                    again = true;
                    break;
                }
            }
        }
        self.subscriber = Some(subscriber);
        if again {
            self.connect();
        }
    }

    /// Kafka has a record, or not, before it answers; the answer may come late, or never.
    fn produce(&mut self, subscriber: &mut Subscriber) {
        while self.kafka.asked.is_empty() && !self.kafka.away {
            let Some(event) = subscriber.queue.front().cloned() else { return };
            if self.dice.chance(5) {
                return; // refused for a passing reason: the same again at the next turn
            }
            if !self.kafka.lies || self.dice.chance(95) {
                self.kafka.log.push(event.clone());
            }
            if self.dice.chance(2) {
                // Taken, and the answer is lost: a new producer sends it again.
                self.kafka.answers_lost += 1;
                return;
            }
            let at = self.now + Duration::from_millis(self.dice.below(20));
            self.kafka.asked.push_back((at, event));
            self.reports(subscriber);
        }
    }

    fn reports(&mut self, subscriber: &mut Subscriber) {
        while self.kafka.asked.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, (stream, seq, _)) = self.kafka.asked.pop_front().unwrap();
            subscriber.queue.pop_front();
            reach(subscriber, stream, seq);
        }
    }

    // --- what may happen ---

    fn step(&mut self) {
        match self.dice.below(100) {
            0..16 => (0..=self.dice.below(4)).for_each(|_| self.write()),
            16..47 => self.publish(),
            47..78 => self.subscribe(),
            78..86 => {
                let ms = self.dice.below(60);
                self.pass(ms);
            }
            86..88 => {
                let n = self.dice.below(WRITERS as u64) as usize;
                self.writers[n] = None;
            }
            88..90 => {
                self.publisher = None;
                self.deaths += 1;
                self.connect();
            }
            90..92 => {
                self.kafka.asked.clear();
                self.subscriber = None;
                self.deaths += 1;
                self.connect();
            }
            92..94 => self.connect(),
            94..95 => self.kafka.away = !self.kafka.away,
            95..96 => self.delay = 1 + self.dice.below(5000),
            96..97 => self.pass(4000),
            _ => self.recover(),
        }
    }

    fn recover(&mut self) {
        if self.publisher.is_none() {
            self.publish_anew();
            self.connect();
        }
        if self.subscriber.is_none() {
            self.subscriber = Some(Subscriber::new(self.ring.region()));
            self.connect();
        }
    }

    /// No more faults: all that is there goes through, in a bounded number of turns.
    fn settle(&mut self) {
        self.recover();
        (self.kafka.away, self.delay) = (false, 1);
        for _ in 0..5000 {
            self.publish();
            self.subscribe();
            self.pass(20);
            if self.drained() {
                return;
            }
        }
        panic!(
            "not drained: {:?}",
            self.committed.iter().map(|(s, c)| (s, c.len())).collect::<Vec<_>>()
        );
    }

    fn drained(&self) -> bool {
        let Some(publisher) = &self.publisher else { return false };
        let acked = |stream: &u16| publisher.reader.cursor(KAFKA, Stream(*stream)).acked.0;
        self.committed.iter().all(|(stream, all)| acked(stream) == all.len() as u64)
    }

    /// Committed records that are neither in Kafka nor counted as lost. What a dead subscriber had produced but not
    /// acknowledged may be told as a hole to the next one, so more may be counted than are missing.
    fn unexplained(&self) -> u64 {
        let there = self.kafka.log.iter().map(|(s, n, bytes)| ((s.0, *n), &bytes[..])).collect();
        let reader = &self.publisher.as_ref().expect("recovered").reader;
        let of = |(stream, all): (&u16, &Vec<Vec<u8>>)| {
            let lost = reader.cursor(KAFKA, Stream(*stream)).lost;
            missing(all, *stream, &there).saturating_sub(lost)
        };
        self.committed.iter().map(of).sum()
    }

    fn check(&self) {
        let mut there: BTreeMap<(u16, u64), &[u8]> = BTreeMap::new();
        let (mut twice, mut last) = (0, BTreeMap::new());
        for (stream, seq, bytes) in &self.kafka.log {
            if there.insert((stream.0, *seq), bytes).is_some() {
                twice += 1;
                continue;
            }
            let before = last.insert(stream.0, *seq).unwrap_or(0);
            assert!(*seq > before, "stream {stream:?}: {seq} after {before}");
        }
        let reader = &self.publisher.as_ref().unwrap().reader;
        for (stream, all) in &self.committed {
            let cursor = reader.cursor(KAFKA, Stream(*stream));
            let missing = missing(all, *stream, &there);
            if self.policy == Overflow::Reject {
                assert_eq!((missing, cursor.lost), (0, 0), "under reject nothing is lost");
            }
            assert!(self.deaths > 0 || missing == cursor.lost, "{missing} missing, {cursor:?}");
            assert_eq!((cursor.start, cursor.dead, cursor.uncertain), (Seq(0), 0, 0));
        }
        assert!(
            twice == 0 || self.deaths + self.kafka.answers_lost > 0,
            "{twice} twice for no reason"
        );
        let strange = there
            .keys()
            .filter(|(s, n)| self.committed.get(s).is_none_or(|all| *n > all.len() as u64));
        assert_eq!(strange.count(), 0, "nothing is there that was never committed");
        assert_eq!(self.unexplained(), 0, "neither in Kafka nor counted as lost");
    }
}

/// How many of a stream's records are not there; those that are have the bytes that were committed.
fn missing(all: &[Vec<u8>], stream: u16, there: &BTreeMap<(u16, u64), &[u8]>) -> u64 {
    let mut missing = 0;
    for (n, bytes) in all.iter().enumerate() {
        match there.get(&(stream, n as u64 + 1)) {
            Some(found) => assert_eq!(found, bytes, "stream {stream}, {}", n + 1),
            None => missing += 1,
        }
    }
    missing
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn shelf(publisher: &Publisher) -> Shelf {
    let mut streams = Vec::new();
    for stream in publisher.scan.streams() {
        let place = place(publisher.reader.cursor(KAFKA, stream));
        let last = publisher.scan.last(stream).max(place.acked);
        if last > Seq(0) {
            streams.push((stream, last, place));
        }
    }
    let region: Region = publisher.reader.region();
    Shelf { region, state: State::Open, streams }
}

fn next_packet(publisher: &mut Publisher, stream: Stream) -> Option<Packet> {
    let region = publisher.reader.region();
    let session = publisher.sessions.get_mut(0)?;
    let (after, room) = (session.sent(region, stream), session.room()?);
    if after == Seq(0) && publisher.reader.cursor(KAFKA, stream).acked > Seq(0) {
        return publisher.sessions.end(0);
    }
    let mut body = Vec::new();
    match publisher.reader.next(&publisher.scan, stream, after, room, &mut body) {
        Next::Slice { count, .. } => Some(session.batch(region, stream, count, body)),
        Next::Lost { to, hours } => Some(session.hole(region, stream, Hole::Lost { to, hours })),
        Next::Uncertain { .. } => panic!("nothing is damaged here"),
        Next::Nothing | Next::Void => None,
    }
}

fn take(subscriber: &mut Subscriber, incoming: Incoming<Vec<u8>>) {
    match incoming {
        Incoming::Welcome(welcome) => {
            for at in welcome.regions.iter().flat_map(|region| &region.streams) {
                let reached = subscriber.reached.entry(at.stream.0).or_default();
                *reached = (*reached).max(at.acked.0);
            }
        }
        Incoming::Batch(records) => {
            for record in records.slice() {
                let record = record.expect("checked");
                let event = (records.stream, record.seq.0, record.bytes.to_vec());
                subscriber.queue.push_back(event);
            }
        }
        Incoming::Lost { stream, from, to, .. } => {
            subscriber.holes.push_back((stream, from.0, to.0));
            let reached = subscriber.reached.get(&stream.0).copied().unwrap_or(0);
            reach(subscriber, stream, reached);
        }
        Incoming::Uncertain { .. } => panic!("nothing is damaged here"),
        Incoming::Refused(_) | Incoming::Nothing => {}
    }
}

/// A stream is done with up to here, and with the holes that follow at once.
fn reach(subscriber: &mut Subscriber, stream: Stream, seq: u64) {
    let reached = subscriber.reached.entry(stream.0).or_default();
    *reached = (*reached).max(seq);
    while let Some(n) =
        subscriber.holes.iter().position(|(of, from, _)| *of == stream && *from <= *reached + 1)
    {
        let (_, _, to) = subscriber.holes.remove(n).unwrap();
        *reached = (*reached).max(to);
    }
    subscriber.client.done(subscriber.region, stream, Seq(*reached));
}

fn place(cursor: Cursor) -> Place {
    Place {
        acked: cursor.acked,
        start: cursor.start,
        unheld: cursor.unheld,
        lost: cursor.lost,
        dead: cursor.dead,
        uncertain: cursor.uncertain,
        open: cursor.uncertain_open,
    }
}

fn cursor(place: Place) -> Cursor {
    Cursor {
        start: place.start,
        acked: place.acked,
        lost: place.lost,
        dead: place.dead,
        uncertain: place.uncertain,
        uncertain_open: place.open,
        unheld: place.unheld,
        ..Cursor::default()
    }
}

/// A seed's run to its end, before it is checked.
fn run(seed: u64, lies: bool) -> World {
    let mut world = World::new(seed);
    world.kafka.lies = lies;
    let steps = 50 + world.dice.below(600);
    (0..steps).for_each(|_| world.step());
    world.settle();
    world
}

#[test]
fn whatever_dies_between_two_turns_every_record_is_in_kafka_or_counted() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seed, count) = (number("SEED").unwrap_or(1), number("COUNT").unwrap_or(300));
    let mut sum = [0; 6];
    for seed in seed..seed + count {
        println!("SEED={seed}");
        let world = run(seed, false);
        world.check();
        let committed = world.committed.values().map(Vec::len).sum::<usize>() as u64;
        let mut there: Vec<_> = world.kafka.log.iter().map(|(s, n, _)| (s.0, *n)).collect();
        there.sort_unstable();
        there.dedup();
        let (kafka, all) = (there.len() as u64, world.kafka.log.len() as u64);
        let sent = committed + world.refused;
        let one = [sent, committed, kafka, all - kafka, committed - kafka, world.deaths];
        sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
    }
    let [sent, ok, kafka, dup, lost, deaths] = sum;
    println!(
        "row 9: fault=simulation, seeds={count}, sent={sent}, ok={ok}, kafka={kafka}, dup={dup}, lost={lost}, \
         unexplained=0, deaths={deaths}"
    );
}

#[test]
fn a_kafka_that_reports_what_it_has_not_is_noticed() {
    let noticed = (1..=100).filter(|seed| run(*seed, true).unexplained() > 0).count();
    assert!(noticed > 30, "noticed in {noticed} of 100 runs");
}
