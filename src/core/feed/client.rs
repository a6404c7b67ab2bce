//! A client: the subscriber's half of a conversation with one publisher.
//!
//! The caller owns the socket and the sink. It says when a handshake finished ([`Client::connected`]), hands in every
//! message ([`Client::receive`]), marks what its sink is done with ([`Client::done`], [`Client::dead`]), and does what
//! [`Client::due`] says until that is nothing; [`Client::wait`] is how long it may sleep.
//!
//! Each stream's records come out in order, once, checked. What was handed out is named in the next HELLO, so whatever
//! happens to connections and publishers, nothing is handed out twice as long as this value lives.

mod hearing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::absent::Absent;
use super::incoming::{Due, Why};
use super::message::{Ack, Beat, Hello, Message};
use super::session::Place;
use super::taken::Taken;
use super::wire::SessionId;
use super::{BEAT, SILENCE, VERSION, WINDOW_MAX};
use crate::id::{Region, Seq, Stream};
use crate::took::Took;

/// Between two attempts after a refusal that a person must end, or after a fault.
const RETRY: Duration = Duration::from_secs(1);
/// From this age of its last BEAT on, it answers the publisher's at once: so both sides wake up once, not each by itself.
const ANSWER: Duration = BEAT.checked_div(2).unwrap();
/// And so long it waits for one to answer.
const ALONE: Duration = BEAT.checked_add(ANSWER).unwrap();
/// A stream that remembers more holes asks for a new WELCOME, which lets it forget the acknowledged ones.
const HOLES_MAX: usize = 4096;

/// Who the subscriber is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, as in `sparkngin_subscriber`.
    pub name: String,
    /// Bytes it is ready to have unacknowledged, [`WINDOW_MAX`] at most.
    pub window: u64,
    /// Where it runs, such as host and process number, for people; [`super::FROM_MAX`] bytes at most.
    pub from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Apart,
    /// A HELLO is to be said at this time.
    Hello { at: Instant },
    /// HELLO was said.
    Asked { at: Instant },
    /// WELCOME came. `beat` is when the next BEAT is due.
    In { session: SessionId, heard: Instant, beat: Instant },
    /// The connection is to be given up at this time.
    Broken { at: Instant, why: Why },
    /// Another one took the place, the version is not served, or it left.
    Over,
}

/// The subscriber's half.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    state: State,
    streams: BTreeMap<(Region, Stream), Taken>,
    /// What the last WELCOME did not list.
    absent: Absent,
    /// When HELLO was last said.
    asked: Option<Instant>,
    /// The caller keeps the books: see [`Client::done_with`].
    kept: bool,
    /// See [`Client::tell`].
    took: Option<Took>,
}

impl Client {
    /// A subscriber that took nothing yet and has no connection.
    pub fn new(mut settings: Settings) -> Client {
        settings.window = settings.window.clamp(1, WINDOW_MAX);
        let (streams, absent) = Default::default();
        Client {
            settings,
            state: State::Apart,
            streams,
            absent,
            asked: None,
            kept: false,
            took: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// A subscriber whose caller keeps the books, and says [`Client::done_with`] in place of `done` and `dead`.
    pub fn with_books_kept(settings: Settings) -> Client {
        Client { kept: true, ..Client::new(settings) }
    }

    /// A handshake is done: HELLO is due at once. A session of the connection before is over.
    pub fn connected(&mut self, now: Instant) {
        if self.state != State::Over {
            self.state = State::Hello { at: now };
        }
    }

    /// The connection is gone; the socket makes a new one by itself, if we were not shut out.
    pub fn disconnected(&mut self) {
        if !matches!(self.state, State::Over | State::Broken { why: Why::ShutOut, .. }) {
            self.state = State::Apart;
        }
    }

    /// The handshake has failed, and the socket does not try again: the next thing due, after a while, is a new connection.
    pub fn shut_out(&mut self, now: Instant) {
        if self.state != State::Over {
            self.state = State::Broken { at: now + RETRY, why: Why::ShutOut };
        }
    }

    /// Another one of the name was let in, but it is this one that is to go on: it says HELLO once more.
    pub fn contest(&mut self, now: Instant) {
        if self.state == State::Over {
            self.state = State::Hello { at: self.not_before(RETRY, now) };
        }
    }

    /// It ends, and everything that was due was sent: the last word, if a session is open. Nothing is due any more.
    pub fn leave(&mut self) -> Option<Message> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::In { session, .. } => {
                Some(Message::Beat(Beat { session, leaving: true, took: None }))
            }
            _ => None,
        }
    }

    /// How long the events of this feed took: from now on each BEAT says so, until this is said anew.
    pub fn tell(&mut self, took: Took) {
        self.took = Some(took);
    }

    /// Whether a session is open.
    pub fn in_session(&self) -> bool {
        matches!(self.state, State::In { .. })
    }

    /// Bytes handed out and not yet done with, as the window counts them.
    pub fn in_flight(&self) -> u64 {
        let absent = self.absent.iter().map(|(_, taken)| taken);
        self.streams.values().chain(absent).map(Taken::bytes).sum()
    }

    /// The sink is done with all of a stream up to `seq`: in Kafka, in the dead letter, or a hole it was told of.
    pub fn done(&mut self, region: Region, stream: Stream, seq: Seq) {
        if let Some(taken) = self.taken(region, stream) {
            taken.done(seq);
            let holes = taken.passed();
            self.forget_holes(holes);
        }
    }

    /// The caller's place in a stream, in the terms of the publisher's own cursor: what it is done with, and how many of
    /// these since that cursor began were lost, dead-lettered and uncertain. It may lie beyond what was handed out: a
    /// subscriber that knows from elsewhere what is in Kafka takes those records once more, and acknowledges them.
    pub fn done_with(&mut self, region: Region, stream: Stream, place: Place) {
        if let Some(taken) = self.taken(region, stream) {
            taken.done_with(place);
            let holes = taken.passed();
            self.forget_holes(holes);
        }
    }

    /// One record is in the dead letter. Say so before [`Client::done`] passes it.
    pub fn dead(&mut self, region: Region, stream: Stream, seq: Seq) {
        if let Some(taken) = self.taken(region, stream) {
            taken.dead(seq);
        }
    }

    fn taken(&mut self, region: Region, stream: Stream) -> Option<&mut Taken> {
        let key = (region, stream);
        self.streams.get_mut(&key).or_else(|| self.absent.get_mut(key))
    }

    /// What is to be done now; call it again until that is nothing.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        match self.state {
            State::Hello { at } if at <= now => {
                self.state = State::Asked { at: now };
                self.asked = Some(now);
                Some(Due::Send(self.hello()))
            }
            State::Asked { at } if now.saturating_duration_since(at) >= SILENCE => {
                Some(self.give_up(Why::Silence))
            }
            State::In { heard, .. } if now.saturating_duration_since(heard) >= SILENCE => {
                Some(self.give_up(Why::Silence))
            }
            State::Broken { at, why } if at <= now => Some(self.give_up(why)),
            State::In { session, heard, beat } => {
                if beat <= now {
                    self.state = State::In { session, heard, beat: now + ALONE };
                    return Some(Due::Send(Message::Beat(Beat {
                        session,
                        leaving: false,
                        took: self.took.map(Box::new),
                    })));
                }
                self.ack(session).map(Due::Send)
            }
            _ => None,
        }
    }

    /// How long nothing is due, if nothing is received or done; nothing at all when that is for ever.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let at = match self.state {
            State::Apart | State::Over => return None,
            State::Hello { at } | State::Broken { at, .. } => at,
            State::Asked { at } => at + SILENCE,
            State::In { .. } if self.streams.values().any(Taken::is_dirty) => now,
            State::In { heard, beat, .. } => beat.min(heard + SILENCE),
        };
        Some(at.saturating_duration_since(now))
    }

    /// `now`, or later, so that two sides that cannot agree do not ask each other as fast as they can.
    fn not_before(&self, pause: Duration, now: Instant) -> Instant {
        self.asked.map_or(now, |asked| now.max(asked + pause))
    }

    fn hello(&self) -> Message {
        let all = self.streams.iter().chain(self.absent.iter());
        let have = all.filter_map(|(&(region, stream), t)| t.have(region, stream));
        Message::Hello(Hello {
            v: VERSION,
            name: self.settings.name.clone(),
            window: self.settings.window,
            from: self.settings.from.clone(),
            have: have.collect(),
        })
    }

    fn ack(&mut self, session: SessionId) -> Option<Message> {
        let dirty = self.streams.iter_mut().filter(|(_, taken)| taken.is_dirty());
        let cursors: Vec<_> =
            dirty.map(|(&(region, stream), t)| t.ack(region, stream, self.kept)).collect();
        (!cursors.is_empty()).then_some(Message::Ack(Ack { session, cursors }))
    }

    fn give_up(&mut self, why: Why) -> Due {
        self.state = State::Apart;
        Due::Reconnect(why)
    }

    /// Asks for a WELCOME when so many holes are worth it.
    fn forget_holes(&mut self, holes: usize) {
        if let (true, State::In { heard, .. }) = (holes > HOLES_MAX, self.state) {
            self.state = State::Hello { at: self.not_before(RETRY, heard) };
        }
    }
}
