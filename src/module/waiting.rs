//! Requests whose events are stored, and that are answered when these are as safe as they are to be, or too late.
//!
//! A wait costs no thread: the slot's bell is among what nginx waits for, and while anybody waits a timer looks for
//! deadlines, and for a bell that was lost. nginx may end a request at any time; it says so, and the wait is forgotten.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::NonNull;

use ngx::ffi::{
    NGX_DONE, ngx_http_cleanup_add, ngx_http_finalize_request, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_test_reading, ngx_int_t,
};
use sparkngin_core::id::{EventId, Region};
use sparkngin_core::ring::{Configuration, Reach, Writer};

use crate::answer::{Answer, Late};
use crate::doorbell::{Doorbell, Rung};
use crate::guard::guard;
use crate::level::Level;
use crate::request::{Incoming, NoMemory};
use crate::variables::Outcome;
use crate::worker;

/// The longest that a bell which was lost, with its ringer, goes unnoticed, ms.
const TICK: u64 = 200;

/// Who waits in one worker.
pub struct Waiting {
    limit: usize,
    own: Configuration,
    bell: Option<(Region, Doorbell)>,
    tickets: u64,
    /// For the subscribers, in the order of their commits.
    kafka: BTreeMap<u64, Wait>,
    /// Those whose wait is over.
    over: BTreeMap<u64, (Wait, End)>,
    /// How far the subscribers were at the last look.
    before: Reach,
    nearest: u64,
}

/// A request that waits.
pub struct Wait {
    request: NonNull<ngx_http_request_t>,
    id: EventId,
    level: Level,
    deadline: u64,
    receipt: bool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The event is as safe as it was to be.
    Reached,
    /// It is not.
    Late(Late),
}

/// A place among those who wait, before the event is stored.
pub struct Place {
    ticket: u64,
}

/// Why there is no place.
pub enum NoPlace {
    /// So many wait already.
    Taken(usize),
    /// For the notice that nginx gives when it ends the request.
    Memory(NoMemory),
}

impl Waiting {
    /// Nobody waits: `limit` at most may, for those whom `own` names.
    pub fn new(limit: usize, own: Configuration) -> Waiting {
        Waiting {
            limit,
            own,
            bell: None,
            tickets: 0,
            kafka: BTreeMap::new(),
            over: BTreeMap::new(),
            before: Reach::default(),
            nearest: u64::MAX,
        }
    }

    /// Whether anybody is named who could acknowledge an event.
    pub fn named(&self) -> bool {
        !self.own.subscribers.is_empty()
    }

    /// Hangs the bell of the ring's slot up where nginx waits, if it is not there yet.
    pub fn attend(&mut self, writer: &Writer, rung: Rung) {
        let region = writer.ring().region();
        if self.bell.as_ref().is_none_or(|(of, _)| *of != region) {
            let fifo = writer.bell_again().ok();
            let bell = fifo.and_then(|fifo| Doorbell::hang(fifo.into(), rung));
            self.bell = bell.map(|bell| (region, bell));
        }
    }

    /// A place for a request whose event is about to be stored: after that it must be able to wait.
    pub fn reserve(&mut self, incoming: Incoming<'_>, writer: &Writer) -> Result<Place, NoPlace> {
        if self.count() >= self.limit {
            return Err(NoPlace::Taken(self.limit));
        }
        // SAFETY: nginx holds the request, and we hold no borrow of it; 0 asks for no memory of ours.
        let cleanup = unsafe { ngx_http_cleanup_add(incoming.raw(), 0) };
        // SAFETY: NULL, or a place in the request's pool for us to fill in.
        let Some(cleanup) = (unsafe { cleanup.as_mut() }) else {
            return Err(NoPlace::Memory(NoMemory));
        };
        self.tickets += 1;
        cleanup.handler = Some(ended);
        cleanup.data = self.tickets as usize as *mut c_void;
        if self.kafka.is_empty() {
            // A hole that is there before the event is stored is none of its own.
            self.before = writer.reach(&self.own).unwrap_or_default();
        }
        Ok(Place { ticket: self.tickets })
    }

    /// The request's event is stored: it waits from now on, which is the time `now`.
    pub fn add(
        &mut self,
        place: Place,
        incoming: Incoming<'_>,
        (id, level): (EventId, Level),
        writer: &Writer,
        now: u64,
    ) {
        let Some(request) = NonNull::new(incoming.raw()) else { return };
        let (settings, first) = (incoming.settings(), self.kafka.is_empty());
        let deadline = now.saturating_add(settings.ack().timeout);
        let receipt = settings.receipt();
        self.kafka.insert(place.ticket, Wait { request, id, level, deadline, receipt });
        self.nearest = self.nearest.min(deadline);
        watch(incoming);
        if first {
            // For the others the flag is set, or somebody has taken it and rung.
            writer.bell().arm();
            self.collect(writer);
        }
    }

    /// Finds whose wait is over. `writer` is that of the ring that is open now.
    pub fn look(&mut self, writer: Option<&Writer>, now: u64) {
        if let Some(writer) = writer {
            writer.bell().clear();
            if !self.kafka.is_empty() {
                writer.bell().arm();
                self.collect(writer);
            }
        }
        if now >= self.nearest {
            let late = self.kafka.iter().filter(|(_, wait)| wait.deadline <= now);
            let late: Vec<u64> = late.map(|(ticket, _)| *ticket).collect();
            for ticket in late {
                if let Some(wait) = self.kafka.remove(&ticket) {
                    self.over.insert(ticket, (wait, End::Late(Late::Unacknowledged)));
                }
            }
        }
        self.nearest = self.kafka.values().map(|wait| wait.deadline).min().unwrap_or(u64::MAX);
    }

    /// What was acknowledged.
    fn collect(&mut self, writer: &Writer) {
        let Some(reach) = writer.reach(&self.own) else { return };
        let region = writer.ring().region();
        let whole = reach.whole_since(&self.before);
        while let Some(first) = self.kafka.first_entry() {
            let id = first.get().id;
            if id.region == region && id.seq > reach.acked {
                break;
            }
            let end = match whole && id.region == region {
                true => End::Reached,
                false => End::Late(Late::Lost),
            };
            let (ticket, wait) = first.remove_entry();
            self.over.insert(ticket, (wait, end));
        }
        self.before = reach;
    }

    /// One of those whose wait is over. It is the caller's to answer.
    pub fn next(&mut self) -> Option<(Wait, End)> {
        self.over.pop_first().map(|(_, over)| over)
    }

    /// nginx has ended a request.
    fn forget(&mut self, ticket: u64) {
        self.kafka.remove(&ticket);
        self.over.remove(&ticket);
    }

    /// How long it is until the next look, in ms; None while nobody waits.
    pub fn due(&self, now: u64) -> Option<u64> {
        match self.count() {
            0 => None,
            _ if !self.over.is_empty() => Some(0),
            _ => Some(self.nearest.saturating_sub(now).min(TICK)),
        }
    }

    fn count(&self) -> usize {
        self.kafka.len() + self.over.len()
    }
}

impl Wait {
    /// Sends the answer and lets nginx have the request back. Whatever nginx ends meanwhile it says by itself.
    pub fn answer(self, end: End) {
        // SAFETY: nginx has not ended the request, else it would have said so, and the wait would be forgotten.
        let incoming = unsafe { Incoming::new(self.request) };
        let connection = incoming.get().connection;
        let rc = guard("an answer", NGX_DONE as ngx_int_t, || self.send(incoming, end));
        // SAFETY: the request counts us among its users since it began to wait; this ends that, once.
        unsafe { ngx_http_finalize_request(self.request.as_ptr(), rc) };
        // SAFETY: nginx keeps a connection's structure for as long as its turn lasts, and knows when it is closed.
        unsafe { ngx_http_run_posted_requests(connection) };
    }

    fn send(&self, incoming: Incoming<'_>, end: End) -> ngx_int_t {
        if incoming.get().header_sent() != 0 || incoming.get().post_action() != 0 {
            // Something else has answered it.
            return NGX_DONE as ngx_int_t;
        }
        match end {
            End::Reached => Answer::stored(self.id, self.level, self.receipt).send(incoming),
            End::Late(late) => {
                Outcome::Late(self.id).keep(incoming);
                Answer::late(self.id, late).send(incoming)
            }
        }
    }
}

/// Has nginx keep a request, whose handler then returns this.
pub fn hold(incoming: Incoming<'_>) -> ngx_int_t {
    // SAFETY: a request's main request lives at least as long, and no borrow of either lasts over this.
    let main = unsafe { &mut *incoming.get().main };
    main.set_count(main.count() + 1);
    NGX_DONE as ngx_int_t
}

/// Has nginx end a request when its client leaves. One whose body is still being discarded it watches for that.
fn watch(incoming: Incoming<'_>) {
    let request = incoming.raw();
    if incoming.get().discard_body() == 0 && incoming.get().main == request {
        // SAFETY: nginx holds the request, and no borrow of it lasts over this.
        unsafe { (*request).read_event_handler = Some(ngx_http_test_reading) };
    }
}

/// nginx ends a request that may still wait.
unsafe extern "C" fn ended(ticket: *mut c_void) {
    guard("a request's end", (), || {
        worker::waiting(|waiting| waiting.forget(ticket as usize as u64));
    });
}
