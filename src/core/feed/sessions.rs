//! Sessions: the publisher's half, all conversations of it, at most one per name.
//!
//! [`Sessions`] knows the names, hears every frame that comes in, and says what follows from it; the caller asks the ring
//! and sends. A session ends when a newer HELLO of its name fences it, its connection is gone, it was silent for 3 s, it said
//! that it leaves, or what it must not: what it had unacknowledged is sent again to the next one.

use std::time::{Duration, Instant};

use super::message::{Ack, Beat, Garbage, Hello, Message, Reason, Refused};
use super::session::{Moved, Packet, Peer, Session};
use super::wire::SessionId;
use super::{BEAT, SILENCE};
use crate::took::Took;

/// What follows from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A subscriber begins: call [`Session::open`] with what the ring says, send, and [`Sessions::admit`].
    Hello {
        /// The name's place in the configuration.
        who: usize,
        /// What it said.
        hello: Hello,
    },
    /// Store these at once.
    Acked {
        /// The name's place in the configuration.
        who: usize,
        /// What moved.
        moved: Vec<Moved>,
    },
    /// Nothing but that the peer is there.
    Beat,
    /// A subscriber was asked to end and said so: its session is over.
    Left {
        /// The name's place in the configuration.
        who: usize,
        /// Where it ran, in its own words.
        from: Option<String>,
    },
    /// Send this back; `why` is for the log, where there is something to say.
    Refused {
        /// The answer.
        packet: Packet,
        /// What was wrong, when it was not just an old session.
        why: Option<String>,
        /// The name whose session it ended.
        ended: Option<usize>,
    },
}

/// What is to be done without anybody having said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// BEATs.
    pub packets: Vec<Packet>,
    /// Names whose sessions ended by silence.
    pub silent: Vec<usize>,
}

/// All conversations of a publisher: at most one per name.
#[derive(Debug)]
pub struct Sessions {
    names: Vec<String>,
    /// By name, whether only who has proved to have its key may use it.
    keyed: Vec<bool>,
    open: Vec<Option<Session>>,
}

impl Sessions {
    /// No conversation yet; `names` in the order of the configuration, free to whoever uses them.
    pub fn new(names: Vec<String>) -> Sessions {
        let keyed = vec![false; names.len()];
        Sessions::keyed(names, keyed)
    }

    /// The same, where some names have keys: these are for who has proved to have them, the others for who has proved
    /// nothing.
    pub fn keyed(names: Vec<String>, keyed: Vec<bool>) -> Sessions {
        let open = names.iter().map(|_| None).collect();
        Sessions { names, keyed, open }
    }

    /// The names, in the order of the configuration.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The conversation of a name, if it is going on.
    pub fn get(&self, who: usize) -> Option<&Session> {
        self.open.get(who)?.as_ref()
    }

    /// The same, to send in.
    pub fn get_mut(&mut self, who: usize) -> Option<&mut Session> {
        self.open.get_mut(who)?.as_mut()
    }

    /// Whether any conversation is going on.
    pub fn any(&self) -> bool {
        self.open.iter().any(Option::is_some)
    }

    /// Hears one message of `peer`.
    pub fn receive<F: AsRef<[u8]>>(&mut self, peer: &Peer, frames: &[F], now: Instant) -> Heard {
        match Message::read(frames) {
            Err(Garbage::Version(v)) => {
                let why = format!("a HELLO of version {v}");
                self.refuse(peer, Refused::for_reason(Reason::Version, None), Some(why))
            }
            Err(garbage) => self.garbage(peer, garbage.to_string()),
            Ok(Message::Hello(hello)) => self.hello(peer, hello),
            Ok(Message::Ack(ack)) => self.ack(peer, &ack, now),
            Ok(Message::Beat(beat)) => match self.find(peer, beat.session) {
                Some(who) if beat.leaving => self.left(who),
                Some(who) => self.touch(who, beat.took.map(|took| *took), now),
                None => self.unknown(peer, beat.session),
            },
            Ok(_) => self.garbage(peer, "a message that only a publisher sends".to_owned()),
        }
    }

    /// Goes on with this session, whose WELCOME was sent; if it could not be, its HELLO is perhaps older than that of the
    /// session before, which then stays. An older session of the name ends, and its connection, if it is another one, is
    /// told.
    pub fn admit(&mut self, who: usize, session: Session) -> Option<Packet> {
        let place = self.open.get_mut(who)?;
        let old = place.take();
        let (peer, other) = (session.peer.clone(), session.from().map(str::to_owned));
        *place = Some(session);
        let old = old.filter(|old| old.peer != peer)?;
        let refused = Refused { other, ..Refused::for_reason(Reason::Fenced, Some(old.id)) };
        Some(Packet::new(&old.peer, Message::Refused(refused)))
    }

    /// BEATs that are due, or nearly so, since who calls is awake anyhow; and sessions whose peers fell silent, which are over.
    pub fn due(&mut self, now: Instant) -> Overdue {
        let mut due = Overdue::default();
        for (who, place) in self.open.iter_mut().enumerate() {
            let Some(session) = place else { continue };
            if now.saturating_duration_since(session.heard) >= SILENCE {
                *place = None;
                due.silent.push(who);
            } else if now.saturating_duration_since(session.beat) >= BEAT * 3 / 4 {
                session.beat = now;
                let beat = Message::Beat(Beat { session: session.id, leaving: false, took: None });
                due.packets.push(Packet::new(&session.peer, beat));
            }
        }
        due
    }

    /// How long nothing is due, if nobody says anything: nothing at all while no session is open.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let beats = self.open.iter().flatten().map(|s| (s.beat + BEAT).min(s.heard + SILENCE));
        beats.min().map(|at| at.saturating_duration_since(now))
    }

    /// The socket does not know this connection any more: its session, if it had one, is over.
    pub fn gone(&mut self, peer: &Peer) -> Option<usize> {
        let who = self.of(peer)?;
        self.open[who] = None;
        Some(who)
    }

    /// Ends a name's session because the ring changed under it; the peer will say HELLO.
    pub fn end(&mut self, who: usize) -> Option<Packet> {
        let session = self.open.get_mut(who)?.take()?;
        let refused = Refused::for_reason(Reason::Session, Some(session.id));
        Some(Packet::new(&session.peer, Message::Refused(refused)))
    }

    fn hello(&mut self, peer: &Peer, hello: Hello) -> Heard {
        match self.names.iter().position(|name| *name == hello.name) {
            Some(who) if self.may(peer, who) => Heard::Hello { who, hello },
            Some(_) => {
                let own = peer.user.as_deref();
                let own = own.map_or("none".to_owned(), |name| format!("that of {name:?}"));
                let why = format!("its key is {own}, and it says that it is {:?}", hello.name);
                self.refuse(peer, Refused::for_reason(Reason::Key, None), Some(why))
            }
            None => {
                let refused = Refused::for_reason(Reason::Name, None);
                let why = format!("no subscriber {:?} is configured", hello.name);
                self.refuse(peer, refused, Some(why))
            }
        }
    }

    /// Whether a name is this peer's to use.
    fn may(&self, peer: &Peer, who: usize) -> bool {
        let needed = self.names.get(who).filter(|_| self.keyed.get(who).is_none_or(|&keyed| keyed));
        peer.user.as_ref() == needed
    }

    fn ack(&mut self, peer: &Peer, ack: &Ack, now: Instant) -> Heard {
        let Some(who) = self.find(peer, ack.session) else {
            return self.unknown(peer, ack.session);
        };
        let Some(session) = self.get_mut(who) else { return self.unknown(peer, ack.session) };
        session.heard = now;
        match session.acknowledge(ack) {
            Ok(moved) => Heard::Acked { who, moved },
            Err(why) => {
                self.open[who] = None;
                let refused = Refused::for_reason(Reason::Session, Some(ack.session));
                let packet = Packet::new(peer, Message::Refused(refused));
                Heard::Refused { packet, why: Some(why), ended: Some(who) }
            }
        }
    }

    fn touch(&mut self, who: usize, took: Option<Took>, now: Instant) -> Heard {
        if let Some(session) = self.get_mut(who) {
            session.heard = now;
            session.took = took.or(session.took);
        }
        Heard::Beat
    }

    fn left(&mut self, who: usize) -> Heard {
        let over = self.open.get_mut(who).and_then(Option::take);
        Heard::Left { who, from: over.and_then(|over| over.from().map(str::to_owned)) }
    }

    /// The session of this number, if this connection opened it: from another one the number means nothing.
    fn find(&self, peer: &Peer, id: SessionId) -> Option<usize> {
        let it = |s: &Option<Session>| s.as_ref().is_some_and(|s| s.id == id && s.peer == *peer);
        self.open.iter().position(it)
    }

    fn of(&self, peer: &Peer) -> Option<usize> {
        self.open.iter().position(|s| s.as_ref().is_some_and(|s| s.peer == *peer))
    }

    fn unknown(&self, peer: &Peer, id: SessionId) -> Heard {
        self.refuse(peer, Refused::for_reason(Reason::Session, Some(id)), None)
    }

    fn refuse(&self, peer: &Peer, refused: Refused, why: Option<String>) -> Heard {
        let packet = Packet::new(peer, Message::Refused(refused));
        Heard::Refused { packet, why, ended: None }
    }

    fn garbage(&mut self, peer: &Peer, why: String) -> Heard {
        let who = self.of(peer);
        let ended = who.and_then(|who| self.open[who].take());
        let refused = Refused::for_reason(Reason::Session, ended.map(|s| s.id));
        let packet = Packet::new(peer, Message::Refused(refused));
        Heard::Refused { packet, why: Some(why), ended: who }
    }
}
