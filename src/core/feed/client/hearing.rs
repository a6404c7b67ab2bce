//! What a client hears: every message of the publisher, and what becomes of it.

use std::time::Instant;

use super::{ALONE, ANSWER, Client, RETRY, State};
use crate::feed::incoming::{Fault, Incoming, Records, Why};
use crate::feed::message::{Batch, Garbage, Lost, Message, Reason, Refused, Uncertain, Welcome};
use crate::feed::taken::Kind;
use crate::feed::wire::SessionId;
use crate::feed::{BEAT, MESSAGE_COST};
use crate::id::{Region, Seq, Stream};
use crate::record::{Seed, Slice};

impl Client {
    /// Takes one message. After a [`Fault`] the next thing due is a new connection.
    ///
    /// # Errors
    /// [`Fault`], when the publisher does not keep to the protocol; nothing of the message counts then.
    pub fn receive<B: AsRef<[u8]>>(
        &mut self,
        mut frames: Vec<B>,
        now: Instant,
    ) -> Result<Incoming<B>, Fault> {
        let taken = Message::read(&frames)
            .map_err(Fault::from)
            .and_then(|message| self.take(message, frames.pop(), now));
        if taken.is_err() && self.state != State::Over {
            self.state = State::Broken { at: now + RETRY / 5, why: Why::Fault };
        }
        taken
    }

    fn take<B: AsRef<[u8]>>(
        &mut self,
        message: Message,
        body: Option<B>,
        now: Instant,
    ) -> Result<Incoming<B>, Fault> {
        match message {
            Message::Welcome(welcome) => Ok(self.welcome(welcome, now)),
            Message::Refused(refused) => Ok(self.refused(refused, now)),
            Message::Batch(Batch { session, region, stream, .. })
            | Message::Lost(Lost { session, region, stream, .. })
            | Message::Uncertain(Uncertain { session, region, stream, .. })
                if self.absent.has((region, stream)) =>
            {
                if self.hears(session, now) {
                    // Its file was found late: the publisher is to know what was taken of it.
                    self.state = State::Hello { at: self.not_before(BEAT, now) };
                }
                Ok(Incoming::Nothing)
            }
            Message::Batch(batch) if self.hears(batch.session, now) => match body {
                Some(body) => self.batch(batch, body),
                None => Err(Garbage::Frames(1).into()),
            },
            Message::Lost(m) if self.hears(m.session, now) => {
                let Some(from) = self.hole(m.region, m.stream, m.from, m.to, Kind::Lost)? else {
                    return Ok(Incoming::Nothing);
                };
                let (region, stream, to, hours, reason) =
                    (m.region, m.stream, m.to, m.hours, m.reason);
                Ok(Incoming::Lost { region, stream, from, to, hours, reason })
            }
            Message::Uncertain(m) if self.hears(m.session, now) => self.uncertain(m),
            Message::Beat(beat) => {
                if self.hears(beat.session, now) {
                    self.answer(now);
                }
                Ok(Incoming::Nothing)
            }
            Message::Hello(_) | Message::Ack(_) => Err(Fault::Backwards),
            Message::Batch(_) | Message::Lost(_) | Message::Uncertain(_) => Ok(Incoming::Nothing),
        }
    }

    /// Whether this is the session that is open; then something was heard in it.
    fn hears(&mut self, session: SessionId, now: Instant) -> bool {
        match &mut self.state {
            State::In { session: open, heard, .. } if *open == session => {
                *heard = now;
                true
            }
            _ => false,
        }
    }

    /// The publisher said BEAT.
    fn answer(&mut self, now: Instant) {
        if let State::In { beat, .. } = &mut self.state
            && *beat <= now + (ALONE - ANSWER)
        {
            *beat = now;
        }
    }

    fn welcome<B>(&mut self, welcome: Welcome, now: Instant) -> Incoming<B> {
        // A WELCOME that nobody waits for answers a HELLO from before a reconnect.
        if !matches!(self.state, State::Asked { .. }) {
            return Incoming::Nothing;
        }
        let mut known = std::mem::take(&mut self.streams);
        for region in &welcome.regions {
            for at in &region.streams {
                let key = (region.region, at.stream);
                let absent = || self.absent.remove(key);
                let mut taken = known.remove(&key).or_else(absent).unwrap_or_default();
                taken.welcome(at);
                self.streams.insert(key, taken);
            }
        }
        let listed = |region| welcome.regions.iter().any(|at| at.region == region);
        self.absent.welcome(known, listed, now);
        self.state = State::In { session: welcome.session, heard: now, beat: now + ALONE };
        Incoming::Welcome(welcome)
    }

    fn refused<B>(&mut self, refused: Refused, now: Instant) -> Incoming<B> {
        let (open, asked) = match self.state {
            State::In { session, .. } => (Some(session), false),
            State::Asked { .. } => (None, true),
            _ => return Incoming::Nothing,
        };
        match refused.reason {
            // Of an old session: what it answers was sent before the HELLO that is on its way.
            _ if refused.session.is_some() && refused.session != open => Incoming::Nothing,
            Reason::Session if open.is_some() => {
                self.state = State::Hello { at: self.not_before(BEAT, now) };
                Incoming::Refused(refused)
            }
            Reason::Name | Reason::Key if asked => {
                self.state = State::Hello { at: now + RETRY };
                Incoming::Refused(refused)
            }
            Reason::Version | Reason::Fenced => {
                self.state = State::Over;
                Incoming::Refused(refused)
            }
            _ => Incoming::Nothing,
        }
    }

    fn batch<B: AsRef<[u8]>>(&mut self, batch: Batch, body: B) -> Result<Incoming<B>, Fault> {
        let Batch { region, stream, first, count, .. } = batch;
        let taken = self.streams.entry((region, stream)).or_default();
        let expected = taken.taken().next();
        let last = Seq(first.0 + u64::from(count) - 1);
        if first > expected {
            return Err(Fault::Gap { region, stream, first, expected });
        }
        if last < expected {
            return Ok(Incoming::Nothing);
        }
        let bytes = body.as_ref();
        let (mut slice, mut skip, mut seen) =
            (Slice::new(Seed::new(region, stream), first, bytes), 0, 0);
        while let Some(record) = slice.next() {
            let record = record.map_err(|torn| Fault::Torn { region, stream, first, torn })?;
            seen += 1;
            if record.seq < expected {
                skip = bytes.len() - slice.rest().len();
            }
        }
        if seen != count {
            return Err(Fault::Count { region, stream, first, count });
        }
        taken.take(last, bytes.len() as u64 + MESSAGE_COST);
        let count = (last.0 - expected.0 + 1) as u32;
        Ok(Incoming::Batch(Records { region, stream, first: expected, count, body, skip }))
    }

    fn uncertain<B>(&mut self, m: Uncertain) -> Result<Incoming<B>, Fault> {
        let (region, stream, since) = (m.region, m.stream, m.since);
        let Some(to) = m.to else {
            let taken = self.streams.entry((region, stream)).or_default();
            let expected = taken.taken().next();
            if m.from > expected {
                return Err(Fault::Gap { region, stream, first: m.from, expected });
            }
            return Ok(match taken.end() {
                true => Incoming::Uncertain { region, stream, from: expected, to: None, since },
                false => Incoming::Nothing,
            });
        };
        let from = self.hole(region, stream, m.from, to, Kind::Uncertain)?;
        Ok(from.map_or(Incoming::Nothing, |from| Incoming::Uncertain {
            region,
            stream,
            from,
            to: Some(to),
            since,
        }))
    }

    /// Takes a hole; its first number that is new, or nothing when all of it was known.
    fn hole(
        &mut self,
        region: Region,
        stream: Stream,
        from: Seq,
        to: Seq,
        kind: Kind,
    ) -> Result<Option<Seq>, Fault> {
        let taken = self.streams.entry((region, stream)).or_default();
        let expected = taken.taken().next();
        if from > expected {
            return Err(Fault::Gap { region, stream, first: from, expected });
        }
        if to < expected {
            return Ok(None);
        }
        taken.hole(to, kind, MESSAGE_COST);
        let holes = taken.passed();
        self.forget_holes(holes);
        Ok(Some(expected))
    }
}
