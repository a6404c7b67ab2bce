//! A request's way in: what it says becomes events, their bytes records of the ring, that an answer.
//!
//! The memory for this is the worker's, used again for each request; see `body` and `stage` for how much it is.

use std::mem::take;
use std::time::{SystemTime, UNIX_EPOCH};

use sparkngin_core::escape::Shown;
use sparkngin_core::event::batch::{self, Framing};
use sparkngin_core::event::heartbeat::Believed;
use sparkngin_core::event::{self, Event, Given, Invalid, Request, Spare};
use sparkngin_core::field::HeaderFields;
use sparkngin_core::ring::{Refusals, Refused, Why};

use crate::answer::Answer;
use crate::body::{self, Missing};
use crate::conf::MainConf;
use crate::kept::{Faults, Kept};
use crate::level::Level;
use crate::location::LocationConf;
use crate::log::{self, Throttle, now};
use crate::refusal::Refusal;
use crate::request::{Incoming, Method, NoMemory};
use crate::stage::Stage;
use crate::store::Store;
use crate::unpack;
use crate::variables::Outcome;
use crate::waiting::Waiting;

/// What is kept from request to request.
pub struct Intake {
    keep: HeaderFields,
    /// The same, of requests that are not events: never a cookie.
    keep_of_traffic: HeaderFields,
    spare: Spare,
    body: Vec<u8>,
    unpacked: Vec<u8>,
    cookie: Vec<u8>,
    stage: Stage,
    believed: Believed,
    invalid: Throttle,
    full: Throttle,
    away: Throttle,
    lost: Throttle,
    /// Events of the traffic that were lost, and events that were refused, of which no ring knows yet.
    unsettled: u64,
    refusals: Refusals,
}

/// What became of a request whose events are stored.
enum Stored {
    /// That is all it wants.
    Done(Kept),
    /// It waits for more.
    Waits,
    /// Nothing is: the client does not want to be tracked, which it said by this header.
    Nothing(&'static str),
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
            unpacked: Vec::new(),
            cookie: Vec::new(),
            stage: Stage::default(),
            believed: Believed::default(),
            invalid: Throttle::default(),
            full: Throttle::default(),
            away: Throttle::default(),
            lost: Throttle::default(),
            unsettled: 0,
            refusals: Refusals::default(),
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
            Ok(Stored::Done(kept)) => Some(Answer::stored(incoming, &kept, Level::Ring)),
            Err(refusal) => {
                if refusal.is_poisoned() {
                    store.abandon(now());
                }
                refusal.outcome().keep(incoming);
                self.count(&refusal);
                refusal.add_to(&mut self.refusals);
                self.settle(store);
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
        self.read(incoming, received)?;
        let place = match level {
            Level::Ring => None,
            _ => match waiting.reserve(incoming, level, writer) {
                Ok(place) => Some(place),
                Err(none) => return Err(self.unstored(none.into())),
            },
        };
        let kept = self.stage.commit(received, writer);
        let kept = kept.map_err(|refused| self.unstored(Refusal::Ring(refused)))?;
        Outcome::of_kept(&kept).keep(incoming);
        if !kept.faults.is_empty() {
            self.count_faults(&kept.faults);
            kept.faults.add_to(&mut self.refusals, Why::Full);
            writer.ring().view().add_refusals(&take(&mut self.refusals));
        }
        Ok(match place {
            None => Stored::Done(kept),
            Some(place) => {
                waiting.add(place, incoming, kept, now());
                if level == Level::Disk {
                    writer.urge();
                }
                Stored::Waits
            }
        })
    }

    /// Nothing that is staged found a place: of several events, the list of them beside the reason.
    fn unstored(&mut self, why: Refusal) -> Refusal {
        if matches!(why, Refusal::Ring(Refused::TooLarge { .. })) {
            return why;
        }
        match self.stage.refuse_all(&why.text(), || why.sentence()) {
            None => why,
            Some(faults) => Refusal::Unstored(Box::new(why), Box::new(faults)),
        }
    }

    /// Stages what a request says: one event at least.
    fn read(&mut self, incoming: Incoming<'_>, received: u64) -> Result<(), Refusal> {
        self.stage.clear();
        let settings = incoming.settings();
        let (max_event, limits) = (settings.max_event(), settings.limits());
        let content_type = incoming.content_type();
        let body = body_of(incoming, &mut self.body, &mut self.unpacked)?;
        let [headers, cloud] = incoming.kafka_and_cloud();
        let framing = match incoming.method() {
            // Whatever it looks like, it is one event's data.
            _ if !cloud.is_empty() => None,
            Method::Post => {
                Framing::of(content_type, body.unwrap_or_default(), limits.event().depth)
            }
            _ => None,
        };
        if let (None, Some(body)) = (framing, body)
            && body.len() > max_event
        {
            return Err(Refusal::Body(Missing::TooLarge(body.len() as u64), max_event));
        }
        let cookies = self.keep.cookie || !self.keep.cookies.is_empty();
        let request = Request {
            topic: incoming.path().topic,
            query: incoming.query(),
            body,
            content_type,
            peer: incoming.peer(),
            user_agent: incoming.user_agent(),
            referrer: incoming.referrer(),
            cookie: if cookies { incoming.cookie(&mut self.cookie) } else { None },
            headers: &headers,
            cloud: &cloud,
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
            privacy: settings.privacy(),
            max_event,
            limits: limits.event(),
        };
        let (spare, stage) = (take(&mut self.spare), &mut self.stage);
        self.spare = match framing {
            None => {
                let event = read_one(spare, &request, &place, settings)?;
                stage.add(0, &event);
                if event.is_heartbeat() && self.believed.take(received) {
                    stage.heartbeat();
                }
                event.into_spare()
            }
            Some(framing) => stage_all(stage, spare, &request, &place, framing, settings)?,
        };
        Ok(())
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
        if refusal.is_poisoned() {
            store.abandon(now());
        }
        self.lost.count(log::Level::Warn, now(), LOST, 1, || refusal.sentence());
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
            privacy: settings.privacy(),
            max_event: settings.max_event(),
            limits: settings.limits().event(),
        };
        self.stage.clear();
        let event = read_one(take(&mut self.spare), &request, &place, settings)?;
        self.stage.add(0, &event);
        self.spare = event.into_spare();
        self.stage.commit(received, writer).map_err(Refusal::Ring)?;
        Ok(())
    }

    /// Has the ring know what was lost or refused, as soon as there is one.
    pub fn settle(&mut self, store: &Store) {
        if let (true, Some(ring)) = (self.unsettled > 0, store.ring()) {
            ring.view().add_traffic_lost(take(&mut self.unsettled));
        }
        if let (false, Some(ring)) = (self.refusals.is_empty(), store.ring()) {
            ring.view().add_refusals(&take(&mut self.refusals));
        }
    }

    /// Tells error.log, at most once a second for each kind.
    fn count(&mut self, refusal: &Refusal) {
        let now = now();
        match refusal {
            Refusal::Ring(Refused::Full { .. }) | Refusal::Busy(_) => {
                self.full.count(log::Level::Warn, now, FULL, 1, || refusal.sentence());
            }
            Refusal::Away(_)
            | Refusal::Ring(Refused::Poisoned)
            | Refusal::Body(Missing::File(_), _) => {
                self.away.count(log::Level::Warn, now, AWAY, 1, || refusal.sentence());
            }
            Refusal::None(faults) | Refusal::Unstored(_, faults) => self.count_faults(faults),
            _ => self.invalid.count(log::Level::Info, now, INVALID, 1, || refusal.sentence()),
        }
    }

    /// The same for those events of a body that are not stored: each counts.
    fn count_faults(&mut self, faults: &Faults) {
        if let Some((count, why)) = faults.refused() {
            self.full.count(log::Level::Warn, now(), FULL, count, || why.into());
        }
        if let Some((count, why)) = faults.wrong() {
            self.invalid.count(log::Level::Info, now(), INVALID, count, || why.into());
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

/// ns since 1970
fn received() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// The body as it was before its client compressed it, if there is one.
fn body_of<'a, 'r: 'a>(
    incoming: Incoming<'r>,
    gathered: &'a mut Vec<u8>,
    unpacked: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Refusal> {
    // A GET says all in its query; but where nginx made a GET of another request, the body that it read counts.
    if incoming.method() == Method::Get && !incoming.internal() {
        return Ok(None);
    }
    let (settings, content_type) = (incoming.settings(), incoming.content_type());
    let (max_event, limits) = (settings.max_event(), settings.limits());
    let several = Framing::may_be(content_type);
    let most = limits.body(max_event);
    let limit = if several { most } else { most.min(max_event) };
    let sent = body::gather(incoming, limit, gathered).map_err(|missing| match missing {
        Missing::TooLarge(bytes) if several => Refusal::Long(bytes, limit),
        _ => Refusal::Body(missing, limit),
    })?;
    let Some(bytes) = sent else { return Ok(None) };
    match unpack::coding(&incoming, content_type, bytes).map_err(Refusal::Packed)? {
        None => Ok(sent),
        Some(coding) => {
            let inflated = unpack::unpack(coding, bytes, limit, limits.ratio(), unpacked);
            inflated.map(Some).map_err(Refusal::Packed)
        }
    }
}

/// Reads the one event of a request.
#[inline]
fn read_one<'a>(
    spare: Spare,
    request: &Request<'a>,
    place: &event::Intake<'a>,
    settings: &LocationConf,
) -> Result<Event<'a>, Refusal> {
    let event = Event::read_with(spare, request, place).map_err(Refusal::Invalid)?;
    is_taken(settings, &event)?;
    Ok(event)
}

/// Stages the events of a body, so many bytes of them at most as the place allows.
fn stage_all<'a>(
    stage: &mut Stage,
    spare: Spare,
    request: &Request<'a>,
    place: &event::Intake<'a>,
    framing: Framing,
    settings: &LocationConf,
) -> Result<Spare, Refusal> {
    let limit = settings.limits().stored(place.max_event);
    stage.several();
    let spare = batch::read_all(spare, request, place, framing, |index, event| {
        match event.map(|event| is_taken(settings, event).map(|()| event)) {
            Ok(Ok(event)) => stage.add(index, event),
            Ok(Err(refusal)) => stage.fault(index, 403, &refusal.sentence(), Some("topic")),
            Err(invalid) => stage.refuse(index, &invalid),
        }
        if stage.len() > limit { Err(Invalid::AllTooLarge { limit }) } else { Ok(()) }
    });
    let spare = spare.map_err(Refusal::Invalid)?;
    if stage.is_empty() {
        return Err(Refusal::None(Box::new(stage.take_faults())));
    }
    Ok(spare)
}

/// Whether the place takes events for this one's topic.
fn is_taken(settings: &LocationConf, event: &Event<'_>) -> Result<(), Refusal> {
    match settings.takes(event.topic()) {
        true => Ok(()),
        false => Err(Refusal::Topic(Shown(event.topic()).to_string())),
    }
}
