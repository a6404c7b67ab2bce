//! A session: one conversation of a publisher with a named subscriber, from WELCOME to its end.
//!
//! It knows how far each stream was sent and acknowledged, how much of the window is left, and what an ACK may say:
//! a place between the last one and what was sent, counts that fit between, nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::message::{
    Ack, AckCursor, Batch, Have, Hello, Lost, Message, RegionState, State, StreamState, Uncertain,
    Welcome, printable,
};
use super::wire::SessionId;
use super::{BATCH_BYTES, FREED, MESSAGE_COST, OVERWRITTEN, VERSION, WINDOW_MAX};
use crate::id::{Region, Seq, Stream};
use crate::took::Took;

/// Who speaks: what a session belongs to is both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// The connection, by the routing id that the socket gave it.
    pub connection: Vec<u8>,
    /// The name whose key it has proved to have; None when it has proved nothing.
    pub user: Option<String>,
}

impl Peer {
    /// Somebody on this connection.
    pub fn anybody(connection: Vec<u8>) -> Peer {
        Peer { connection, user: None }
    }
}

/// A message for one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The connection it goes to.
    pub to: Peer,
    /// What it says.
    pub message: Message,
    /// A BATCH's records, else empty.
    pub body: Vec<u8>,
}

/// A subscriber's cursor in one stream, as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// All up to here is acknowledged.
    pub acked: Seq,
    /// So many of these were before its time, or gone and not held for it.
    pub start: Seq,
    /// What is gone up to here was not held for it: it moves `start`, and is not lost.
    pub unheld: Seq,
    /// Lost, among all since the cursor began.
    pub lost: u64,
    /// Dead-lettered, among these.
    pub dead: u64,
    /// Uncertain, among these.
    pub uncertain: u64,
    /// It was told that the stream ends uncertain.
    pub open: bool,
}

/// A place and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The ring file.
    pub region: Region,
    /// The stream.
    pub stream: Stream,
    /// Where the cursor is now.
    pub place: Place,
}

/// What the ring says about one region when a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// The ring file.
    pub region: Region,
    /// Whether it still grows.
    pub state: State,
    /// Every stream that ever had a record: its last one, and the subscriber's cursor.
    pub streams: Vec<(Stream, Seq, Place)>,
}

/// Why numbers are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// Overwritten before this subscriber took it.
    Lost {
        /// The last one of the hole.
        to: Seq,
        /// First and last hour in which they may have been received.
        hours: (u64, u64),
    },
    /// What a crash of the machine may have left.
    Uncertain {
        /// The last one of the hole, or nothing.
        to: Option<Seq>,
        /// When the last sync that succeeded began, ns since 1970.
        since: u64,
    },
}

/// One conversation.
#[derive(Debug)]
pub struct Session {
    pub(super) id: SessionId,
    pub(super) peer: Peer,
    from: Option<String>,
    window: u64,
    flows: BTreeMap<(Region, Stream), Flow>,
    flight: u64,
    pub(super) heard: Instant,
    pub(super) beat: Instant,
    pub(super) took: Option<Took>,
}

/// One stream in a session.
#[derive(Debug, Default)]
struct Flow {
    /// The cursor at WELCOME: an ACK's counts are added to it.
    base: Place,
    /// The cursor now.
    place: Place,
    sent: Seq,
    /// The open end was told.
    told_open: bool,
    /// So many were told as gone and not held.
    freed: u64,
    /// What each message that is not acknowledged costs, by its last number.
    flight: VecDeque<(Seq, u64)>,
}

impl Session {
    /// A session for the peer that said `hello`, with the books as they are now, and the WELCOME to send; `id` must never
    /// have been used. It counts once it is admitted: see [`Sessions::admit`](super::Sessions::admit).
    pub fn open(
        peer: &Peer,
        hello: &Hello,
        id: SessionId,
        shelves: &[Shelf],
        now: Instant,
    ) -> (Session, Packet) {
        let mut session = Session {
            id,
            peer: peer.clone(),
            from: hello.from.as_deref().map(printable),
            window: hello.window.min(WINDOW_MAX),
            flows: BTreeMap::new(),
            flight: 0,
            heard: now,
            beat: now,
            took: None,
        };
        for shelf in shelves {
            for &(stream, last, place) in &shelf.streams {
                let has = |h: &&Have| h.region == shelf.region && h.stream == stream;
                // Beyond the last record nobody can have taken anything: such a claim counts for nothing.
                let have =
                    hello.have.iter().find(has).filter(|h| h.seq > place.acked && h.seq <= last);
                let mut flow = Flow { base: place, place, sent: place.acked, ..Flow::default() };
                if let Some(have) = have {
                    flow.sent = have.seq;
                    flow.flight.push_back((have.seq, have.bytes.min(WINDOW_MAX)));
                    session.flight += have.bytes.min(WINDOW_MAX);
                }
                session.flows.insert((shelf.region, stream), flow);
            }
        }
        let welcome = Packet::new(peer, session.welcome(shelves));
        (session, welcome)
    }

    fn welcome(&self, shelves: &[Shelf]) -> Message {
        let streams = |shelf: &Shelf| {
            let state = |&(stream, last, place): &(Stream, Seq, Place)| StreamState {
                stream,
                acked: place.acked,
                last,
                // As an ACK counts them: what was not held, too.
                lost: place.lost.saturating_add(place.start.0),
                dead: place.dead,
                uncertain: place.uncertain,
            };
            shelf.streams.iter().map(state).collect()
        };
        let region = |shelf: &Shelf| RegionState {
            region: shelf.region,
            state: shelf.state,
            streams: streams(shelf),
        };
        let regions = shelves.iter().map(region).collect();
        Message::Welcome(Welcome { v: VERSION, session: self.id, regions })
    }

    /// Its number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The connection it belongs to.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Where the subscriber runs, in its own words.
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// When the subscriber was last heard of.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// How long its events took, as its last BEAT that said so has it.
    pub fn took(&self) -> Option<Took> {
        self.took
    }

    /// Bytes the next message's body should not exceed, or nothing while the window is full. A single record may.
    pub fn room(&self) -> Option<usize> {
        let left = self.window.checked_sub(self.flight).filter(|left| *left > 0)?;
        Some(left.min(BATCH_BYTES as u64) as usize)
    }

    /// The last number of a stream that was sent: the next message goes on after it. 0 for a stream that had no record
    /// at WELCOME.
    pub fn sent(&self, region: Region, stream: Stream) -> Seq {
        self.flows.get(&(region, stream)).map_or(Seq(0), |flow| flow.sent)
    }

    /// Whether this session may go on in a stream whose cursor is this. Not if it began before anybody told it of the stream
    /// and of a cursor that is no new one: its ACKs would be counted from nothing.
    pub fn knows(&self, region: Region, stream: Stream, cursor: &Place) -> bool {
        self.flows.contains_key(&(region, stream)) || *cursor == Place::default()
    }

    /// Whether this session was told that the stream ends uncertain, or the cursor says that another one was.
    pub fn ends(&self, region: Region, stream: Stream) -> bool {
        self.flows.get(&(region, stream)).is_some_and(|flow| flow.told_open || flow.place.open)
    }

    /// The BATCH with the next `count` records of a stream.
    pub fn batch(&mut self, region: Region, stream: Stream, count: u32, body: Vec<u8>) -> Packet {
        let first = self.sent(region, stream).next();
        self.send(region, stream, Seq(first.0 + u64::from(count) - 1), body.len() as u64);
        let batch = Batch { session: self.id, region, stream, first, count };
        Packet { to: self.peer.clone(), message: Message::Batch(batch), body }
    }

    /// The LOST or UNCERTAIN that comes next in a stream. What of a lost range was not held is told first, by itself.
    pub fn hole(&mut self, region: Region, stream: Stream, hole: Hole) -> Packet {
        let (session, from) = (self.id, self.sent(region, stream).next());
        let message = match hole {
            Hole::Lost { to, hours } => {
                let unheld = self.flows.get(&(region, stream)).map_or(Seq(0), |f| f.base.unheld);
                let (to, reason) = match from <= unheld {
                    true => (to.min(unheld), FREED),
                    false => (to, OVERWRITTEN),
                };
                self.send(region, stream, to, 0);
                if reason == FREED {
                    self.flows.entry((region, stream)).or_default().freed += to.0 + 1 - from.0;
                }
                let reason = reason.to_owned();
                Message::Lost(Lost { session, region, stream, from, to, hours, reason })
            }
            Hole::Uncertain { to, since } => {
                match to {
                    Some(to) => self.send(region, stream, to, 0),
                    None => self.flows.entry((region, stream)).or_default().told_open = true,
                }
                Message::Uncertain(Uncertain { session, region, stream, from, to, since })
            }
        };
        Packet::new(&self.peer, message)
    }

    fn send(&mut self, region: Region, stream: Stream, to: Seq, body: u64) {
        let flow = self.flows.entry((region, stream)).or_default();
        flow.sent = to;
        flow.flight.push_back((to, body + MESSAGE_COST));
        self.flight += body + MESSAGE_COST;
    }

    /// Takes an ACK as a whole, or not at all.
    pub(super) fn acknowledge(&mut self, ack: &Ack) -> Result<Vec<Moved>, String> {
        if ack.cursors.len() > self.flows.len() {
            return Err("an ACK of more streams than there are".to_owned());
        }
        let mut moved: Vec<Moved> = Vec::with_capacity(ack.cursors.len());
        for cursor in &ack.cursors {
            let (region, stream) = (cursor.region, cursor.stream);
            let where_ = |what: &str| format!("an ACK {what} in stream {region}-{stream}");
            if moved.iter().any(|m| m.region == region && m.stream == stream) {
                return Err(where_("with two places"));
            }
            let Some(flow) = self.flows.get(&(region, stream)) else {
                return Err(where_("of what was never sent"));
            };
            let place = flow.check(cursor).map_err(|what| where_(&what))?;
            moved.push(Moved { region, stream, place });
        }
        for moved in &moved {
            if let Some(flow) = self.flows.get_mut(&(moved.region, moved.stream)) {
                self.flight -= flow.acknowledged(moved.place);
            }
        }
        Ok(moved)
    }
}

impl Flow {
    /// The cursor that an ACK makes of this flow's, or what is wrong with it.
    fn check(&self, ack: &AckCursor) -> Result<Place, String> {
        let counted = [ack.lost, ack.dead, ack.uncertain]
            .into_iter()
            .try_fold(0u64, u64::checked_add)
            .ok_or("whose counts overflow")?;
        if ack.seq > self.sent {
            return Err(format!("of {}, sent up to {}", ack.seq, self.sent));
        }
        if ack.seq < self.place.acked {
            return Err(format!("of {}, acknowledged up to {}", ack.seq, self.place.acked));
        }
        if counted > ack.seq.0 - self.base.acked.0 {
            return Err(format!(
                "that counts {counted} in {} records",
                ack.seq.0 - self.base.acked.0
            ));
        }
        let freed = self.freed(ack);
        let place = Place {
            acked: ack.seq,
            start: Seq(self.base.start.0 + freed),
            unheld: self.base.unheld,
            lost: self.base.lost.saturating_add(ack.lost - freed),
            dead: self.base.dead.saturating_add(ack.dead),
            uncertain: self.base.uncertain.saturating_add(ack.uncertain),
            open: self.place.open || ack.open,
        };
        let before = &self.place;
        if place.lost < before.lost
            || place.dead < before.dead
            || place.uncertain < before.uncertain
        {
            return Err("whose counts go back".to_owned());
        }
        Ok(place)
    }

    /// How many of those that the subscriber counts as lost were not held for it. Beyond what was not held this session
    /// knows only what it told: what another one told before, and nobody acknowledged there, counts as lost.
    fn freed(&self, ack: &AckCursor) -> u64 {
        if ack.seq <= self.base.unheld {
            return ack.lost;
        }
        self.freed.max(self.place.start.0 - self.base.start.0).min(ack.lost)
    }

    /// Moves the place; the window bytes that became free.
    fn acknowledged(&mut self, place: Place) -> u64 {
        self.place = place;
        let mut freed = 0;
        while let Some(&(to, cost)) = self.flight.front() {
            if to > place.acked {
                break;
            }
            self.flight.pop_front();
            freed += cost;
        }
        freed
    }
}

impl Packet {
    pub(super) fn new(to: &Peer, message: Message) -> Packet {
        Packet { to: to.clone(), message, body: Vec::new() }
    }
}
