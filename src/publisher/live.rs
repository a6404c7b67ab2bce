//! Live: what comes in, for whoever subscribes, as two frames: topic, event. No promise is made to anybody here.
//!
//! One cursor is all readers' together. While nobody subscribes it stands still; when someone comes it goes on from the
//! oldest event still there. Events of several streams go out by the time they were received. Nothing is rendered that
//! nobody subscribed to.
//!
//! A reader whose queue is full holds the others up for a moment only. libzmq refuses the whole send then, and says
//! neither whose queue it is nor when there is room again. So the send is tried again for [`PATIENCE`], in which any reader
//! that reads at all empties its queue; then that one message is sent with refusal switched off: libzmq drops it for
//! the full queue alone, and leaves that queue out until its reader has emptied half of it. Refusal stays on for the rest,
//! so that a burst does not overrun those who keep up. For [`REMEMBERED`] after that every message counts as dropped: that
//! is the most that the one reader can have missed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sparkngin_core::format::{Rendering, binary};
use sparkngin_core::gzip;
use sparkngin_core::id::{EventId, Region, Seq, Stream};
use sparkngin_core::record::{self, Seed};
use sparkngin_core::ring::{Cursor, Next, Who};
use zmq::{DONTWAIT, SNDMORE, Socket};

use crate::feed::Given;
use crate::lines::{Level, Lines, Throttle};
use crate::socket::set_nodrop;
use crate::source::Source;

/// How long everybody waits for a full queue.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// How long messages count as dropped after one was.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(2);
/// A reader that subscribes to several topics does so in several messages: the first one waits for the others.
const SETTLE: Duration = Duration::from_millis(50);
/// Subscriptions heard in one turn; the rest is heard in the next one.
const SUBSCRIPTIONS: usize = 1000;
/// What is read of a stream at a time.
const SLICE: usize = 64 * 1024;
/// What is handed out in one turn, so that the feed is not kept waiting.
const TURN: usize = 256 * 1024;

/// The live readers' side of the publisher.
pub struct Live {
    socket: Socket,
    rendering: Rendering,
    gzip: bool,
    /// The prefixes that somebody subscribed to.
    wanted: BTreeSet<Vec<u8>>,
    /// Nothing goes out before.
    from: Option<Instant>,
    /// What was read and is not sent yet, by stream.
    rows: BTreeMap<(Region, Stream), Row>,
    /// Since when a queue is full.
    blocked: Option<Instant>,
    /// When to try again.
    retry: Option<Instant>,
    /// When a queue was last left out.
    left_out: Option<Instant>,
    dropped: u64,
    malformed: Throttle,
    full: Throttle,
    text: Vec<u8>,
    packed: Vec<u8>,
}

/// A slice of one stream.
struct Row {
    body: Vec<u8>,
    at: usize,
    next: Seq,
}

impl Row {
    /// When the next record was received.
    fn received(&self) -> Option<u64> {
        let word = self.body.get(self.at + 16..self.at + 24)?;
        word.try_into().ok().map(u64::from_le_bytes)
    }

    fn is_done(&self) -> bool {
        self.at >= self.body.len()
    }
}

impl Live {
    /// A socket that listens; `dropped` is what earlier publishers counted.
    pub fn new(socket: Socket, rendering: Rendering, gzip: bool, dropped: u64) -> Live {
        Live {
            socket,
            rendering,
            gzip,
            wanted: BTreeSet::new(),
            from: None,
            rows: BTreeMap::new(),
            blocked: None,
            retry: None,
            left_out: None,
            dropped,
            malformed: Throttle::new(Duration::from_secs(10)),
            full: Throttle::new(Duration::from_secs(10)),
            text: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// The socket, to wait on.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether anybody could take something now.
    pub fn wants(&self) -> bool {
        !self.wanted.is_empty() && self.from.is_none() && self.blocked.is_none()
    }

    /// Messages that were sent while some reader's queue was full, since the ring was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When it wants a look whatever else happens: somebody came, or a queue was full.
    pub fn next(&self) -> Option<Instant> {
        self.from.or(self.retry)
    }

    /// Hears who subscribes to what.
    pub fn receive(&mut self, now: Instant) {
        let before = self.wanted.is_empty();
        for _ in 0..SUBSCRIPTIONS {
            let Ok(message) = self.socket.recv_bytes(DONTWAIT) else { break };
            match message.split_first() {
                Some((1, prefix)) => {
                    self.wanted.insert(prefix.to_vec());
                }
                Some((0, prefix)) => {
                    self.wanted.remove(prefix);
                }
                // What else a peer says means nothing.
                _ => {}
            }
        }
        if self.wanted.is_empty() {
            self.rows.clear();
            (self.blocked, self.retry, self.from) = (None, None, None);
        } else if before {
            self.from = Some(now + SETTLE);
        }
    }

    /// Sends what there is to whoever wants it, the oldest first, until a queue is full or the turn is over.
    pub fn hand_out(&mut self, sources: &mut [Source], now: Instant, lines: &Lines) -> Given {
        let mut given = Given::default();
        self.retry = None;
        if self.from.is_some_and(|from| now < from) || self.wanted.is_empty() {
            return given;
        }
        self.from = None;
        let mut moved = BTreeSet::new();
        self.refill(sources);
        while given.bytes < TURN {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.received());
            let Some((&key, _)) = oldest else { break };
            let Some(bytes) = self.send_next(key, now, lines) else { break };
            given.bytes += bytes;
            moved.insert(key);
            if self.rows.get(&key).is_some_and(Row::is_done) {
                moved.remove(&key);
                self.store(sources, key);
                self.rows.remove(&key);
                self.refill(sources);
            }
        }
        given.more = given.bytes >= TURN;
        if self.retry.is_none() {
            // Nothing was refused: who held the others up may have left, and what it waited for nobody wants any more.
            self.blocked = None;
        }
        for key in moved {
            self.store(sources, key);
        }
        given
    }

    /// Reads on where a stream's slice is used up.
    fn refill(&mut self, sources: &mut [Source]) {
        for source in sources.iter_mut() {
            let region = source.reader.region();
            for stream in source.scan.streams() {
                if let Entry::Vacant(place) = self.rows.entry((region, stream)) {
                    if let Some(row) = read_on(source, stream) {
                        place.insert(row);
                    }
                }
            }
        }
    }

    /// Sends the next record of a slice, if it is wanted; its bytes, or nothing when a queue is full.
    fn send_next(&mut self, key: (Region, Stream), now: Instant, lines: &Lines) -> Option<usize> {
        let row = self.rows.get_mut(&key)?;
        let (at, seq, body) = (row.at, row.next, std::mem::take(&mut row.body));
        let sent = self.send_record(key, seq, body.get(at..).unwrap_or_default(), now, lines);
        let row = self.rows.get_mut(&key)?;
        row.body = body;
        let step = sent?;
        row.at += step;
        row.next = row.next.next();
        Some(step)
    }

    fn send_record(
        &mut self,
        (region, stream): (Region, Stream),
        seq: Seq,
        bytes: &[u8],
        now: Instant,
        lines: &Lines,
    ) -> Option<usize> {
        let Ok((record, step)) = record::read(Seed::new(region, stream), seq, bytes) else {
            // It was checked when it was read: there is nothing else in the rest of this slice.
            return Some(bytes.len());
        };
        let id = EventId { region, stream, seq };
        let event = match binary::decode(record.bytes) {
            Ok(event) => event,
            Err(error) => {
                if let Some(times) = self.malformed.pass(now) {
                    let text =
                        format!("{times} events cannot be shown live, the last is {id}: {error}");
                    lines.say(Level::Error, text);
                }
                return Some(step);
            }
        };
        if wants(&self.wanted, event.topic()) {
            let (mut text, mut packed) =
                (std::mem::take(&mut self.text), std::mem::take(&mut self.packed));
            text.clear();
            packed.clear();
            self.rendering.render(&event, id, &mut text);
            if self.gzip {
                gzip::compress(&text, &mut packed);
            }
            let payload = if self.gzip { &packed } else { &text };
            let sent = self.send(event.topic(), payload, now, lines);
            (self.text, self.packed) = (text, packed);
            if !sent {
                return None;
            }
        }
        Some(step)
    }

    /// Sends one message; false when a queue is full and it is still waited for.
    fn send(&mut self, topic: &[u8], payload: &[u8], now: Instant, lines: &Lines) -> bool {
        let lately = self.left_out.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED);
        if self.put(topic, payload) {
            (self.blocked, self.retry) = (None, None);
            self.dropped += u64::from(lately);
            return true;
        }
        let since = *self.blocked.get_or_insert(now);
        if now.saturating_duration_since(since) < PATIENCE {
            self.retry = Some(now + RETRY);
            return false;
        }
        // Only for this one message: who has room still gets the next ones without loss.
        if set_nodrop(&mut self.socket, false).is_ok() {
            self.put(topic, payload);
        }
        let _ = set_nodrop(&mut self.socket, true);
        self.left_out = Some(now);
        (self.blocked, self.retry) = (None, None);
        self.dropped += 1;
        if let Some(times) = self.full.pass(now) {
            let text = format!(
                "a live reader does not keep up and misses messages ({times} times since the last such line)"
            );
            lines.say(Level::Warn, text);
        }
        true
    }

    fn put(&self, topic: &[u8], payload: &[u8]) -> bool {
        self.socket.send(topic, DONTWAIT | SNDMORE).is_ok()
            && self.socket.send(payload, DONTWAIT).is_ok()
    }

    /// Stores how far a stream was sent.
    fn store(&self, sources: &mut [Source], (region, stream): (Region, Stream)) {
        let Some(row) = self.rows.get(&(region, stream)) else { return };
        if let Some(source) = sources.iter_mut().find(|s| s.reader.region() == region) {
            let mut cursor = source.reader.cursor(Who::Live, stream);
            cursor.acked = cursor.acked.max(Seq(row.next.0 - 1));
            source.reader.store(Who::Live, stream, cursor);
        }
    }
}

/// The next slice of a stream; what lies before it and is gone is counted.
fn read_on(source: &mut Source, stream: Stream) -> Option<Row> {
    loop {
        let mut cursor = source.reader.cursor(Who::Live, stream);
        let mut body = Vec::new();
        let to = match source.reader.next(&source.scan, stream, cursor.acked, SLICE, &mut body) {
            Next::Slice { first, .. } => return Some(Row { body, at: 0, next: first }),
            Next::Lost { to, .. } => {
                cursor = cursor.lose(to);
                to
            }
            Next::Uncertain { to: Some(to), .. } => {
                cursor.uncertain += to.0 - cursor.acked.0;
                to
            }
            Next::Uncertain { to: None, .. } => {
                if !cursor.uncertain_open {
                    let told = Cursor { uncertain_open: true, ..cursor };
                    source.reader.store(Who::Live, stream, told);
                }
                return None;
            }
            Next::Nothing | Next::Void => return None,
        };
        cursor.acked = to;
        source.reader.store(Who::Live, stream, cursor);
    }
}

/// Whether any of the prefixes is one of the topic's.
fn wants(wanted: &BTreeSet<Vec<u8>>, topic: &[u8]) -> bool {
    (0..=topic.len()).any(|end| wanted.contains(&topic[..end]))
}

#[cfg(test)]
mod tests {
    use sparkngin_core::event::{Event, HeaderFields, Intake, Request};
    use sparkngin_core::format::{Fields, Format};
    use zmq::{Context, POLLIN, SocketType};

    use super::*;

    /// An event of this topic, as a worker stores it.
    fn record(seq: Seq, topic: &str) -> Vec<u8> {
        let query = format!("topic={topic}&level=info&data=x");
        let request = Request {
            query: query.as_bytes(),
            peer: b"192.0.2.1",
            received: 1,
            ..Request::default()
        };
        let keep = HeaderFields::default();
        let intake = Intake { topic: None, keep: &keep, max_event: 32768, ..Intake::default() };
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        binary::encode(&Event::read(&request, &intake).expect("an event"), &mut bytes);
        let record = record::Record { seq, received: 1, bytes: &bytes };
        record::write(Seed::new(Region(7), Stream(0)), record, &mut out);
        out
    }

    #[test]
    fn it_waits_for_nobody_when_what_a_full_queue_held_up_is_wanted_no_more() {
        let (context, endpoint) = (Context::new(), "inproc://live");
        let publisher = crate::socket::live(&context, endpoint, None).expect("a socket");
        publisher.set_sndhwm(1).expect("a short queue");
        publisher.bind(endpoint).expect("it listens");
        let reader = context.socket(SocketType::SUB).expect("a socket");
        reader.set_rcvhwm(1).expect("a short queue");
        reader.connect(endpoint).expect("connected");
        reader.set_subscribe(b"a").expect("a topic");
        reader.set_subscribe(b"z").expect("another one");
        let fields = Fields::All;
        let rendering = Rendering { format: Format::Json, delimiter: Default::default(), fields };
        let mut live = Live::new(publisher, rendering, false, 0);
        let (lines, now) = (Lines::default(), Instant::now());
        let hears = |live: &mut Live, wanted: usize| {
            while live.wanted.len() != wanted {
                assert!(live.socket.poll(POLLIN, 10_000).expect("poll") > 0, "in time");
                live.receive(now);
            }
        };
        hears(&mut live, 2);
        let body: Vec<u8> = (1..100).flat_map(|n| record(Seq(n), "a")).collect();
        live.rows.insert((Region(7), Stream(0)), Row { body, at: 0, next: Seq(1) });
        let later = now + SETTLE;
        live.hand_out(&mut [], later, &lines);
        assert!(live.next() == Some(later + RETRY) && !live.wants(), "its queue is full");
        reader.set_unsubscribe(b"a").expect("unsubscribed");
        hears(&mut live, 1);
        live.hand_out(&mut [], later + RETRY, &lines);
        assert!(live.next().is_none() && live.wants(), "what is left, nobody wants");
    }

    #[test]
    fn a_topic_is_wanted_by_any_of_its_prefixes() {
        let wanted: BTreeSet<Vec<u8>> = [b"ab".to_vec(), b"x".to_vec()].into();
        for (topic, is) in [("abc", true), ("ab", true), ("a", false), ("", false), ("yx", false)] {
            assert_eq!(wants(&wanted, topic.as_bytes()), is, "{topic}");
        }
        assert!(wants(&[vec![]].into(), b"anything"), "the empty one is everybody's");
        assert!(!wants(&BTreeSet::new(), b""));
    }
}
