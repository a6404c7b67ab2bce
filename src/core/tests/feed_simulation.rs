//! A publisher and subscribers of one name over a transport that keeps order but is cut at any moment, against a model.
//!
//! What must hold: a subscriber that lives is handed each number once, in order, with the right bytes; the publisher
//! stores no place that the subscriber it came from had not reached, with exactly its counts; and when the faults stop,
//! everything is handed out or told to be a hole, and acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sparkngin_core::feed::{
    Client, Due, Heard, Hole, Incoming, Packet, Peer, Place, Session, SessionId, Sessions,
    Settings, Shelf, State,
};
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::record::{self, Record, Seed};

const REGION: Region = Region(0xFEED);
const STREAMS: u16 = 2;
const WINDOW: u64 = 2000;

#[derive(Clone, Debug)]
enum Action {
    /// Records are written.
    Append(u16, u8),
    /// The oldest ones are overwritten.
    Overwrite(u16, u8),
    /// The oldest one that is left cannot be read any more.
    Damage(u16, u8),
    /// The publisher's turn: hear what came, hand out what fits.
    Publish,
    /// The subscriber's turn: take at most so many messages.
    Subscribe(u8),
    /// The sink reports so many records of each stream.
    Report(u8),
    /// A record that is in flight goes to the dead letter.
    Bury(u16, u8),
    /// The connection is cut; what was on its way is gone.
    Cut,
    /// Bytes that nobody should send reach the publisher, from the subscriber's connection or a stranger's.
    Garbage(bool, u8),
    /// The publisher dies; the next one has the ring and its cursors, nothing else, and finds these only at a later turn.
    KillPublisher(u8),
    /// The subscriber dies; the next one has nothing.
    KillSubscriber,
    /// Time passes.
    Wait(u16),
}

fn action() -> impl Strategy<Value = Action> {
    let stream = 0..STREAMS;
    prop_oneof![
        4 => (stream.clone(), 1..20u8).prop_map(|(s, n)| Action::Append(s, n)),
        1 => (stream.clone(), 1..10u8).prop_map(|(s, n)| Action::Overwrite(s, n)),
        1 => (stream.clone(), 1..3u8).prop_map(|(s, n)| Action::Damage(s, n)),
        6 => Just(Action::Publish),
        6 => (1..10u8).prop_map(Action::Subscribe),
        4 => (1..30u8).prop_map(Action::Report),
        1 => (stream, 1..5u8).prop_map(|(s, n)| Action::Bury(s, n)),
        1 => Just(Action::Cut),
        1 => (any::<bool>(), any::<u8>()).prop_map(|(own, n)| Action::Garbage(own, n)),
        1 => (0..4u8).prop_map(Action::KillPublisher),
        1 => Just(Action::KillSubscriber),
        2 => (1..1500u16).prop_map(Action::Wait),
    ]
}

/// What a subscriber knows of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Taken,
    Dead,
    Lost,
    Uncertain,
}

/// One stream of the model's ring.
#[derive(Default)]
struct Row {
    last: u64,
    oldest: u64,
    damaged: Vec<u64>,
    place: Place,
}

/// The subscriber that lives now, and what it answers for.
struct Subscriber {
    client: Client,
    fates: BTreeMap<u16, Vec<Fate>>,
    started: BTreeMap<u16, u64>,
    reported: BTreeMap<u16, u64>,
}

impl Subscriber {
    fn new() -> Subscriber {
        let settings = Settings { name: "kafka".to_owned(), window: WINDOW, from: None };
        Subscriber {
            client: Client::new(settings),
            fates: BTreeMap::new(),
            started: BTreeMap::new(),
            reported: BTreeMap::new(),
        }
    }

    fn taken(&self, stream: u16) -> u64 {
        let started = self.started.get(&stream).copied().unwrap_or(0);
        started + self.fates.get(&stream).map_or(0, Vec::len) as u64
    }

    fn fate(&self, stream: u16, seq: u64) -> Fate {
        self.fates[&stream][(seq - self.started.get(&stream).copied().unwrap_or(0) - 1) as usize]
    }

    fn note(&mut self, stream: u16, from: u64, to: u64, fate: Fate) {
        assert_eq!(from, self.taken(stream) + 1, "stream {stream} goes on where it stood");
        self.fates.entry(stream).or_default().extend((from..=to).map(|_| fate));
    }
}

struct World {
    now: Instant,
    rows: Vec<Row>,
    sessions: Sessions,
    next_session: u64,
    /// So many more turns the publisher does not know that there is a ring.
    blind: u8,
    subscriber: Subscriber,
    peer: u32,
    up: VecDeque<Vec<Vec<u8>>>,
    strange: VecDeque<Vec<Vec<u8>>>,
    down: VecDeque<Vec<Vec<u8>>>,
    kills: usize,
    delivered: Vec<BTreeMap<u64, Vec<u8>>>,
}

fn payload(stream: u16, seq: u64) -> Vec<u8> {
    format!("{stream} {seq} {}", "x".repeat((seq % 90) as usize)).into_bytes()
}

impl World {
    fn new() -> World {
        let mut world = World {
            now: Instant::now(),
            rows: (0..STREAMS).map(|_| Row { oldest: 1, ..Row::default() }).collect(),
            sessions: Sessions::new(vec!["kafka".to_owned()]),
            next_session: 1,
            blind: 0,
            subscriber: Subscriber::new(),
            peer: 0,
            up: VecDeque::new(),
            strange: VecDeque::new(),
            down: VecDeque::new(),
            kills: 0,
            delivered: vec![BTreeMap::new(); STREAMS.into()],
        };
        world.connect();
        world
    }

    fn me(&self) -> Peer {
        Peer::anybody(self.peer.to_le_bytes().to_vec())
    }

    fn connect(&mut self) {
        (self.up, self.down) = Default::default();
        self.peer += 1;
        self.subscriber.client.connected(self.now);
    }

    fn send(&mut self, packet: Packet) {
        if packet.to == self.me() {
            self.down.push_back(packet.message.frames(packet.body));
        } else if let Some(who) = self.sessions.gone(&packet.to) {
            assert_eq!(who, 0);
        }
    }

    fn publish(&mut self) {
        while let Some(frames) = self.strange.pop_front() {
            let stranger = Peer::anybody(b"stranger".to_vec());
            let heard = self.sessions.receive(&stranger, &frames, self.now);
            assert!(matches!(heard, Heard::Refused { ended: None, .. }), "{heard:?}");
        }
        while let Some(frames) = self.up.pop_front() {
            self.hear(frames);
        }
        let overdue = self.sessions.due(self.now);
        overdue.packets.into_iter().for_each(|packet| self.send(packet));
        if self.blind > 0 {
            self.blind -= 1;
            return;
        }
        for stream in 0..STREAMS {
            while let Some(packet) = self.next(stream) {
                self.send(packet);
            }
        }
    }

    fn hear(&mut self, frames: Vec<Vec<u8>>) {
        let me = self.me();
        match self.sessions.receive(&me, &frames, self.now) {
            Heard::Hello { who, hello } => {
                let row = |(n, row): (usize, &Row)| (Stream(n as u16), Seq(row.last), row.place);
                let streams =
                    self.rows.iter().enumerate().filter(|(_, r)| r.last > 0).map(row).collect();
                let shelf = Shelf { region: REGION, state: State::Open, streams };
                let shelves = if self.blind > 0 { vec![] } else { vec![shelf] };
                let id = SessionId(self.next_session);
                self.next_session += 1;
                let (session, welcome) = Session::open(&me, &hello, id, &shelves, self.now);
                self.send(welcome);
                if let Some(told) = self.sessions.admit(who, session) {
                    self.send(told);
                }
            }
            Heard::Acked { moved, .. } => {
                for moved in moved {
                    self.store(moved.stream.0, moved.place);
                }
            }
            Heard::Refused { packet, .. } => self.send(packet),
            Heard::Beat | Heard::Left { .. } => {}
        }
    }

    /// The place must be one that the subscriber reported, and its counts the fates it knows.
    fn store(&mut self, stream: u16, place: Place) {
        let row = &mut self.rows[stream as usize];
        let before = std::mem::replace(&mut row.place, place);
        assert!(place.acked >= before.acked, "backwards");
        let reported = self.subscriber.reported.get(&stream).copied().unwrap_or(0);
        assert!(place.acked.0 <= reported, "{} acknowledged, {reported} reported", place.acked);
        let count = |fate| {
            let seqs = before.acked.0 + 1..=place.acked.0;
            seqs.filter(|seq| self.subscriber.fate(stream, *seq) == fate).count() as u64
        };
        assert_eq!(place.lost - before.lost, count(Fate::Lost));
        assert_eq!(place.dead - before.dead, count(Fate::Dead));
        assert_eq!(place.uncertain - before.uncertain, count(Fate::Uncertain));
    }

    fn next(&mut self, stream: u16) -> Option<Packet> {
        let (row, at) = (&self.rows[stream as usize], Stream(stream));
        let session = self.sessions.get_mut(0)?;
        let room = session.room()?;
        let from = session.sent(REGION, at).0 + 1;
        if !session.knows(REGION, at, &row.place) {
            return self.sessions.end(0);
        }
        if from < row.oldest {
            let hole = Hole::Lost { to: Seq(row.oldest - 1), hours: (1, 2) };
            return Some(session.hole(REGION, at, hole));
        }
        if row.damaged.contains(&from) {
            let to = (from..).take_while(|seq| row.damaged.contains(seq)).last().unwrap();
            return Some(session.hole(REGION, at, Hole::Uncertain { to: Some(Seq(to)), since: 7 }));
        }
        let mut body = Vec::new();
        let seqs = (from..=row.last).take_while(|seq| !row.damaged.contains(seq));
        let mut count = 0;
        for seq in seqs {
            let bytes = payload(stream, seq);
            if count > 0 && body.len() + record::size(bytes.len()) > room {
                break;
            }
            let record = Record { seq: Seq(seq), received: 1, bytes: &bytes };
            record::write(Seed::new(REGION, at), record, &mut body);
            count += 1;
        }
        (count > 0).then(|| session.batch(REGION, at, count, body))
    }

    fn subscribe(&mut self, most: usize) {
        for _ in 0..most {
            let Some(frames) = self.down.pop_front() else { break };
            let incoming = self.subscriber.client.receive(frames, self.now).expect("no fault");
            self.take(incoming);
        }
        assert!(self.subscriber.client.in_flight() < WINDOW + 3000, "the window holds");
        while let Some(due) = self.subscriber.client.due(self.now) {
            match due {
                Due::Send(message) => self.up.push_back(message.frames(Vec::new())),
                Due::Reconnect(_) => self.connect(),
            }
        }
    }

    fn take(&mut self, incoming: Incoming<Vec<u8>>) {
        let subscriber = &mut self.subscriber;
        match incoming {
            Incoming::Welcome(welcome) => {
                for at in welcome.regions.iter().flat_map(|r| &r.streams) {
                    // What one before it acknowledged this one never sees.
                    if subscriber.taken(at.stream.0) == 0 {
                        subscriber.started.insert(at.stream.0, at.acked.0);
                        subscriber.reported.insert(at.stream.0, at.acked.0);
                    }
                }
            }
            Incoming::Batch(records) => {
                let stream = records.stream.0;
                subscriber.note(stream, records.first.0, records.last().0, Fate::Taken);
                let mut seen = 0;
                for record in records.slice() {
                    let record = record.expect("checked");
                    assert_eq!(record.bytes, payload(stream, record.seq.0));
                    self.delivered[stream as usize].insert(record.seq.0, record.bytes.to_vec());
                    seen += 1;
                }
                assert_eq!(seen, records.count);
            }
            Incoming::Lost { stream, from, to, .. } => {
                subscriber.note(stream.0, from.0, to.0, Fate::Lost);
            }
            Incoming::Uncertain { stream, from, to, .. } => {
                subscriber.note(stream.0, from.0, to.expect("an end").0, Fate::Uncertain);
            }
            Incoming::Refused(_) | Incoming::Nothing => {}
        }
    }

    fn report(&mut self, most: u64) {
        for stream in 0..STREAMS {
            let taken = self.subscriber.taken(stream);
            let reported = self.subscriber.reported.entry(stream).or_default();
            *reported = (*reported + most).min(taken);
            self.subscriber.client.done(REGION, Stream(stream), Seq(*reported));
        }
    }

    fn bury(&mut self, stream: u16, nth: u64) {
        let reported = self.subscriber.reported.get(&stream).copied().unwrap_or(0);
        let seq = reported + nth;
        if seq <= self.subscriber.taken(stream) && self.subscriber.fate(stream, seq) == Fate::Taken
        {
            self.subscriber.client.dead(REGION, Stream(stream), Seq(seq));
            let started = self.subscriber.started.get(&stream).copied().unwrap_or(0);
            let fates = self.subscriber.fates.get_mut(&stream).unwrap();
            fates[(seq - started - 1) as usize] = Fate::Dead;
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Append(stream, n) => self.rows[stream as usize].last += u64::from(n),
            Action::Overwrite(stream, n) => {
                let row = &mut self.rows[stream as usize];
                row.oldest = (row.oldest + u64::from(n)).min(row.last + 1);
            }
            Action::Damage(stream, n) => {
                let row = &mut self.rows[stream as usize];
                let from = row.oldest + 2;
                row.damaged.extend((from..from + u64::from(n)).filter(|seq| *seq <= row.last));
            }
            Action::Publish => self.publish(),
            Action::Subscribe(n) => self.subscribe(n.into()),
            Action::Report(n) => self.report(n.into()),
            Action::Bury(stream, nth) => self.bury(stream, nth.into()),
            Action::Cut => {
                self.subscriber.client.disconnected();
                self.connect();
            }
            Action::Garbage(own, n) => {
                // Of its own connection nothing that makes a client leave for good.
                let frames = garbage(if own { n % 6 } else { n });
                if own { self.up.push_back(frames) } else { self.strange.push_back(frames) }
            }
            Action::KillPublisher(blind) => {
                self.blind = blind;
                self.sessions = Sessions::new(vec!["kafka".to_owned()]);
                self.connect();
            }
            Action::KillSubscriber => {
                self.kills += 1;
                self.subscriber = Subscriber::new();
                self.connect();
            }
            Action::Wait(ms) => self.now += Duration::from_millis(ms.into()),
        }
    }

    /// The faults stop: all that is there goes through, in a bounded number of turns.
    fn settle(&mut self) {
        for _ in 0..3000 {
            self.publish();
            self.subscribe(100);
            self.report(u64::MAX / 2);
            self.now += Duration::from_millis(50);
            if self.rows.iter().all(|row| row.place.acked.0 == row.last) {
                return;
            }
        }
        let left: Vec<_> = self.rows.iter().map(|row| (row.place, row.last)).collect();
        panic!("not settled: {left:?}, {:?}", self.subscriber.client);
    }

    fn check_books(&self) {
        for (row, delivered) in self.rows.iter().zip(&self.delivered) {
            let holes = row.place.lost + row.place.uncertain;
            let missing = row.last - delivered.len() as u64;
            // A record that a dead subscriber took but did not acknowledge may be told as a hole to the next one.
            if self.kills == 0 {
                assert_eq!(holes, missing);
            } else {
                assert!(holes >= missing, "{holes} told, {missing} missing");
            }
        }
    }
}

fn garbage(n: u8) -> Vec<Vec<u8>> {
    match n % 8 {
        0 => vec![],
        1 => vec![vec![n; usize::from(n)]],
        2 => vec![b"{\"type\":\"ACK\"".to_vec()],
        3 => vec![b"{\"type\":\"BATCH\",\"session\":\"00\"}".to_vec(), vec![], vec![]],
        4 => vec![br#"{"type":"ACK","session":"0000000000000001","cursors":[{"region":"0000000000000000000000000000feed","stream":0,"seq":18446744073709551615}]}"#.to_vec()],
        5 => vec![br#"{"type":"BEAT","session":"ffffffffffffffff"}"#.to_vec()],
        6 => vec![br#"{"type":"HELLO","v":2,"cat":[]}"#.to_vec()],
        _ => vec![br#"{"type":"HELLO","v":1,"name":"nobody","window":1}"#.to_vec()],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_cut_or_killed_everything_is_handed_out_once_or_told_and_acknowledged(
        actions in proptest::collection::vec(action(), 1..200)
    ) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
        }
        world.settle();
        world.check_books();
    }
}
