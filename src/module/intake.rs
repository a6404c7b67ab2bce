//! One event's way in: what the request says becomes an event, its bytes a record of the ring, that an answer.
//!
//! The memory for this is the worker's, used again for each event; it does not grow beyond the largest event.

use std::mem::take;
use std::time::{SystemTime, UNIX_EPOCH};

use sparkngin_core::event::{self, Event, Invalid, Request, Spare};
use sparkngin_core::field::HeaderFields;
use sparkngin_core::format::binary;
use sparkngin_core::id::EventId;
use sparkngin_core::ring::Refused;

use crate::answer::Answer;
use crate::body::{self, Missing};
use crate::conf::MainConf;
use crate::level::{Denied, Level};
use crate::log::{self, Throttle, now};
use crate::request::{Incoming, Method, NoMemory};
use crate::store::Store;
use crate::variables::Outcome;
use crate::waiting::{NoPlace, Waiting};

/// What is kept from event to event.
pub struct Intake {
    keep: HeaderFields,
    spare: Spare,
    body: Vec<u8>,
    cookie: Vec<u8>,
    encoded: Vec<u8>,
    invalid: Throttle,
    full: Throttle,
    away: Throttle,
}

/// An event that is stored.
enum Stored {
    /// That is all its request wants.
    Done(EventId),
    /// Its request waits for more.
    Waits,
}

/// Why an event is not stored.
enum Refusal {
    Denied(Denied),
    Busy(usize),
    Invalid(Invalid),
    Body(Missing, usize),
    Ring(Refused),
    Away(&'static str),
}

const INVALID: &str = "refused as not valid, the first";
const FULL: &str = "refused";
const AWAY: &str = "refused, the first";

impl Intake {
    /// Nothing taken yet.
    pub fn new(conf: &MainConf) -> Intake {
        Intake {
            keep: conf.keep.clone(),
            spare: Spare::default(),
            body: Vec::new(),
            cookie: Vec::new(),
            encoded: Vec::new(),
            invalid: Throttle::default(),
            full: Throttle::default(),
            away: Throttle::default(),
        }
    }

    /// Stores what a request says, or says why not. The answer, unless the request is to wait.
    pub fn take(
        &mut self,
        incoming: Incoming<'_>,
        store: &mut Store,
        waiting: &mut Waiting,
    ) -> Option<Answer> {
        match self.store(incoming, store, waiting) {
            Ok(Stored::Waits) => None,
            Ok(Stored::Done(id)) => {
                Some(Answer::stored(id, Level::Ring, incoming.settings().receipt()))
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Ring(Refused::Poisoned)) {
                    store.abandon(now());
                }
                refusal.outcome().keep(incoming);
                self.count(&refusal);
                Some(refusal.answer())
            }
        }
    }
}

impl Intake {
    fn store(
        &mut self,
        incoming: Incoming<'_>,
        store: &mut Store,
        waiting: &mut Waiting,
    ) -> Result<Stored, Refusal> {
        let level = incoming.settings().ack().wanted(incoming.ack(), waiting.named());
        let level = level.map_err(Refusal::Denied)?;
        let writer = store.writer().map_err(Refusal::Away)?;
        let received =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let settings = incoming.settings();
        let max_event = settings.max_event();
        // A GET says all in its query; but where nginx made a GET of another request, the body that it read counts.
        let body = match incoming.method() == Method::Get && !incoming.internal() {
            true => None,
            false => body::gather(incoming, max_event, &mut self.body)
                .map_err(|missing| Refusal::Body(missing, max_event))?,
        };
        let cookies = self.keep.cookie || !self.keep.cookies.is_empty();
        let request = Request {
            query: incoming.query(),
            body,
            content_type: incoming.content_type(),
            peer: incoming.peer(),
            user_agent: incoming.user_agent(),
            referrer: incoming.referrer(),
            cookie: if cookies { incoming.cookie(&mut self.cookie) } else { None },
            received,
        };
        let topic = settings.topic.map(|topic| incoming.evaluate(topic));
        let topic = topic.transpose().map_err(|NoMemory| Refusal::Away("there is no memory"))?;
        let topic = topic.filter(|topic| !topic.is_empty());
        let place = event::Intake { topic, keep: &self.keep, max_event };
        let event =
            Event::read_with(take(&mut self.spare), &request, &place).map_err(Refusal::Invalid)?;
        self.encoded.clear();
        binary::encode(&event, &mut self.encoded);
        self.spare = event.into_spare();
        let place = match level {
            Level::Ring => None,
            _ => Some(waiting.reserve(incoming, level, writer).map_err(Refusal::from)?),
        };
        let id = writer.append(received, &self.encoded).map_err(Refusal::Ring)?.id();
        Outcome::Stored(id).keep(incoming);
        Ok(match place {
            None => Stored::Done(id),
            Some(place) => {
                waiting.add(place, incoming, id, now());
                if level == Level::Disk {
                    writer.urge();
                }
                Stored::Waits
            }
        })
    }

    /// Tells error.log, at most once a second for each kind.
    fn count(&mut self, refusal: &Refusal) {
        let now = now();
        match refusal {
            Refusal::Ring(Refused::Full { .. }) | Refusal::Busy(_) => {
                self.full.count(log::Level::Warn, now, FULL, || refusal.sentence());
            }
            Refusal::Away(_)
            | Refusal::Ring(Refused::Poisoned)
            | Refusal::Body(Missing::File(_), _) => {
                self.away.count(log::Level::Warn, now, AWAY, || refusal.sentence());
            }
            _ => self.invalid.count(log::Level::Info, now, INVALID, || refusal.sentence()),
        }
    }

    /// Tells what was counted and not yet told.
    pub fn flush(&mut self, now: u64) {
        self.invalid.flush(log::Level::Info, now, INVALID);
        self.full.flush(log::Level::Warn, now, FULL);
        self.away.flush(log::Level::Warn, now, AWAY);
    }
}

impl From<NoPlace> for Refusal {
    fn from(none: NoPlace) -> Refusal {
        match none {
            NoPlace::Taken(limit) => Refusal::Busy(limit),
            NoPlace::Away(why) => Refusal::Away(why),
        }
    }
}

impl Refusal {
    fn outcome(&self) -> Outcome {
        match self {
            Refusal::Invalid(invalid) if invalid.status() == 413 => Outcome::Large,
            Refusal::Invalid(_) => Outcome::Invalid,
            Refusal::Body(Missing::TooLarge(_), _) | Refusal::Ring(Refused::TooLarge { .. }) => {
                Outcome::Large
            }
            Refusal::Ring(Refused::Full { .. }) => Outcome::Full,
            Refusal::Denied(Denied::Unknown) => Outcome::Invalid,
            Refusal::Denied(_) => Outcome::Denied,
            Refusal::Busy(_) => Outcome::Busy,
            Refusal::Ring(Refused::Poisoned)
            | Refusal::Away(_)
            | Refusal::Body(Missing::File(_), _) => Outcome::Away,
        }
    }

    /// Status, sentence and field, as the client gets them.
    fn answer(&self) -> Answer {
        let field = match self {
            Refusal::Invalid(invalid) => invalid.field(),
            Refusal::Body(Missing::TooLarge(_), _) => Some("data"),
            Refusal::Denied(_) => Some("Sparkngin-Ack"),
            _ => None,
        };
        let status = match self.outcome() {
            Outcome::Large => 413,
            Outcome::Full | Outcome::Busy | Outcome::Away => 503,
            Outcome::Denied => 403,
            Outcome::Invalid | Outcome::Stored(_) | Outcome::Late(_) => 400,
        };
        let text = match self {
            // Who holds the ring is none of a client's business.
            Refusal::Ring(Refused::Full { .. }) => "the ring is full".into(),
            Refusal::Ring(Refused::Poisoned) => "the ring can not be written to".into(),
            Refusal::Busy(_) => "too many requests wait already".into(),
            Refusal::Body(Missing::File(_), _) => "the body could not be read".into(),
            _ => self.sentence(),
        };
        Answer::error(status, &text, field)
    }

    /// What error.log says.
    fn sentence(&self) -> String {
        match self {
            Refusal::Invalid(invalid) => invalid.to_string(),
            Refusal::Body(Missing::TooLarge(bytes), limit) => {
                format!(
                    "the body has {bytes} bytes, the event must have {limit} at most as it would be stored"
                )
            }
            Refusal::Body(Missing::File(error), _) => {
                format!("the body's temporary file cannot be read: {error}")
            }
            Refusal::Ring(refused) => refused.to_string(),
            Refusal::Denied(denied) => denied.to_string(),
            Refusal::Busy(limit) => {
                format!("{limit} requests of this worker wait already, \"sparkngin_max_pending\"")
            }
            Refusal::Away(why) => (*why).into(),
        }
    }
}
