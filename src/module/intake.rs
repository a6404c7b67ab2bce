//! One event's way in: what the request says becomes an event, its bytes a record of the ring, that an answer.
//!
//! The memory for this is the worker's, used again for each event; it does not grow beyond the largest event.

use std::mem::take;
use std::time::{SystemTime, UNIX_EPOCH};

use sparkngin_core::escape::Shown;
use sparkngin_core::event::{self, Addresses, Event, Given, Invalid, Privacy, Request, Spare};
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
    /// The same, of requests that are not events: never a cookie.
    keep_of_traffic: HeaderFields,
    spare: Spare,
    body: Vec<u8>,
    cookie: Vec<u8>,
    encoded: Vec<u8>,
    invalid: Throttle,
    full: Throttle,
    away: Throttle,
    lost: Throttle,
    /// Events of the traffic that were lost, and no ring knows of it yet.
    unsettled: u64,
}

/// An event that is stored.
enum Stored {
    /// That is all its request wants.
    Done(EventId),
    /// Its request waits for more.
    Waits,
    /// Nothing is: the client does not want to be tracked, which it said by this header.
    Nothing(&'static str),
}

/// Why an event is not stored.
enum Refusal {
    Denied(Denied),
    Topic(String),
    Busy(usize),
    Invalid(Invalid),
    Body(Missing, usize),
    Ring(Refused),
    Away(&'static str),
}

const INVALID: &str = "refused as not valid, the first";
const FULL: &str = "refused";
const LOST: &str = "of the traffic lost, the first";
const AWAY: &str = "refused, the first";

impl Intake {
    /// Nothing taken yet.
    pub fn new(conf: &MainConf) -> Intake {
        Intake {
            keep: conf.keep.clone(),
            keep_of_traffic: HeaderFields {
                user_agent: conf.keep.user_agent,
                referrer: conf.keep.referrer,
                ..HeaderFields::default()
            },
            spare: Spare::default(),
            body: Vec::new(),
            cookie: Vec::new(),
            encoded: Vec::new(),
            invalid: Throttle::default(),
            full: Throttle::default(),
            away: Throttle::default(),
            lost: Throttle::default(),
            unsettled: 0,
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
            Ok(Stored::Nothing(by)) => {
                Outcome::Private.keep(incoming);
                Some(Answer::private(incoming, by))
            }
            Ok(Stored::Done(id)) => Some(Answer::stored(incoming, id, Level::Ring)),
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
        let settings = incoming.settings();
        if let Some(by) = settings.policy().and_then(|policy| policy.objection(incoming)) {
            return Ok(Stored::Nothing(by));
        }
        let level = settings.ack().wanted(incoming.ack(), waiting.named());
        let level = level.map_err(Refusal::Denied)?;
        let writer = store.writer().map_err(Refusal::Away)?;
        let received = received();
        let max_event = settings.max_event();
        // A GET says all in its query; but where nginx made a GET of another request, the body that it read counts.
        let body = match incoming.method() == Method::Get && !incoming.internal() {
            true => None,
            false => body::gather(incoming, max_event, &mut self.body)
                .map_err(|missing| Refusal::Body(missing, max_event))?,
        };
        let cookies = self.keep.cookie || !self.keep.cookies.is_empty();
        let headers = incoming.kafka_headers();
        let request = Request {
            topic: incoming.path().topic,
            query: incoming.query(),
            body,
            content_type: incoming.content_type(),
            peer: incoming.peer(),
            user_agent: incoming.user_agent(),
            referrer: incoming.referrer(),
            cookie: if cookies { incoming.cookie(&mut self.cookie) } else { None },
            headers: &headers,
            received,
        };
        let no_memory = |NoMemory| Refusal::Away("there is no memory");
        let topic = settings.topic.as_ref().map(|given| incoming.evaluate(given.value));
        let topic = topic.transpose().map_err(no_memory)?;
        let variables = settings.variables.iter().flat_map(|variables| variables.iter());
        let fields = variables.map(|field| field.given(incoming));
        let fields = fields.collect::<Result<Vec<Given<'_>>, _>>().map_err(no_memory)?;
        let topic = topic.filter(|topic| !topic.is_empty());
        let place = event::Intake {
            topic,
            keep: &self.keep,
            fields: &fields,
            privacy: settings.policy().map_or(&EVERYTHING, |policy| &policy.stored),
            max_event,
        };
        let event =
            Event::read_with(take(&mut self.spare), &request, &place).map_err(Refusal::Invalid)?;
        if !settings.takes(event.topic()) {
            return Err(Refusal::Topic(Shown(event.topic()).to_string()));
        }
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

    /// Stores what is known of a request that has ended. What cannot be stored is counted.
    pub fn note(
        &mut self,
        incoming: Incoming<'_>,
        topic: &[u8],
        fields: &[Given<'_>],
        store: &mut Store,
    ) {
        let Err(refusal) = self.record(incoming, topic, fields, store) else { return };
        if matches!(refusal, Refusal::Ring(Refused::Poisoned)) {
            store.abandon(now());
        }
        self.lost.count(log::Level::Warn, now(), LOST, || refusal.sentence());
        self.unsettled += 1;
        self.settle(store);
    }

    fn record(
        &mut self,
        incoming: Incoming<'_>,
        topic: &[u8],
        fields: &[Given<'_>],
        store: &mut Store,
    ) -> Result<(), Refusal> {
        let (settings, received) = (incoming.settings(), received());
        let writer = store.writer().map_err(Refusal::Away)?;
        let request = Request {
            peer: incoming.peer(),
            user_agent: incoming.user_agent(),
            referrer: incoming.referrer(),
            received,
            ..Request::default()
        };
        let place = event::Intake {
            topic: Some(topic),
            keep: &self.keep_of_traffic,
            fields,
            privacy: settings.policy().map_or(&EVERYTHING, |policy| &policy.stored),
            max_event: settings.max_event(),
        };
        let event =
            Event::read_with(take(&mut self.spare), &request, &place).map_err(Refusal::Invalid)?;
        if !settings.takes(event.topic()) {
            return Err(Refusal::Topic(Shown(event.topic()).to_string()));
        }
        self.encoded.clear();
        binary::encode(&event, &mut self.encoded);
        self.spare = event.into_spare();
        writer.append(received, &self.encoded).map_err(Refusal::Ring)?;
        Ok(())
    }

    /// Has the ring know what was lost, as soon as there is one.
    pub fn settle(&mut self, store: &Store) {
        if let (true, Some(ring)) = (self.unsettled > 0, store.ring()) {
            ring.view().add_traffic_lost(take(&mut self.unsettled));
        }
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
        self.lost.flush(log::Level::Warn, now, LOST);
    }
}

/// Where nobody said anything about privacy.
static EVERYTHING: Privacy = Privacy { addresses: Addresses::Whole, cookies: None };

/// ns since 1970
fn received() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
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
            Refusal::Denied(_) | Refusal::Topic(_) => Outcome::Denied,
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
            Refusal::Topic(_) => Some("topic"),
            _ => None,
        };
        let status = match self.outcome() {
            Outcome::Large => 413,
            Outcome::Full | Outcome::Busy | Outcome::Away => 503,
            Outcome::Denied => 403,
            Outcome::Invalid | Outcome::Stored(_) | Outcome::Late(_) | Outcome::Private => 400,
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
            Refusal::Topic(topic) => format!("topic \"{topic}\" is not taken here"),
            Refusal::Busy(limit) => {
                format!("{limit} requests of this worker wait already, \"sparkngin_max_pending\"")
            }
            Refusal::Away(why) => (*why).into(),
        }
    }
}
