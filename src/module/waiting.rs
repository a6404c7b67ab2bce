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
use sparkngin_core::ring::{Configuration, Name, Waiter, Writer};

use crate::answer::{Answer, Late};
use crate::doorbell::Rung;
use crate::guard::guard;
use crate::kept::Kept;
use crate::level::Level;
use crate::line::Line;
use crate::request::Incoming;
use crate::variables::Outcome;
use crate::worker;

/// The longest that a bell which was lost, with its ringer, goes unnoticed, ms.
const TICK: u64 = 200;

/// Who waits in one worker.
pub struct Waiting {
    limit: usize,
    own: Configuration,
    tickets: u64,
    /// One for each ring file that somebody waits for; the last is that of the ring that is written to.
    lines: Vec<Line>,
    over: Over,
    nearest: u64,
}

/// Those whose wait is over, by ticket.
pub type Over = BTreeMap<u64, (Wait, End)>;

/// A request that waits.
pub struct Wait {
    request: NonNull<ngx_http_request_t>,
    /// Its event, or events.
    pub kept: Kept,
    /// What it waits for.
    pub level: Level,
    /// By nginx's clock, ms.
    pub deadline: u64,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The event is as safe as it was to be.
    Reached,
    /// It is not: why, and how safe it is.
    Late(Late, Level),
}

/// A place among those who wait, before the event is stored.
pub struct Place {
    ticket: u64,
    level: Level,
}

/// Why there is no place.
pub enum NoPlace {
    /// So many wait already.
    Taken(usize),
    /// What is missing, as a client may know it.
    Away(&'static str),
}

const NO_BELL: &str = "nobody can wait for the ring, its bell cannot be opened";
const NO_DISK: &str = "the level \"disk\" cannot be given: the ring lies in memory (tmpfs), and is gone with the machine's power";
const NO_SYNC: &str =
    "the level \"disk\" cannot be given: the disk refuses syncs, error.log says why";
const NO_MEMORY: &str = "there is no memory";

impl Waiting {
    /// Nobody waits: `limit` at most may, for those whom `own` names.
    pub fn new(limit: usize, own: Configuration) -> Waiting {
        let (lines, over) = (Vec::new(), Over::new());
        Waiting { limit, own, tickets: 0, lines, over, nearest: u64::MAX }
    }

    /// Whether anybody is named who could acknowledge an event.
    pub fn named(&self) -> bool {
        !self.own.subscribers.is_empty()
    }

    /// Those who are.
    pub fn names(&self) -> &[Name] {
        &self.own.subscribers
    }

    /// Begins a line for the ring that is written to, if there is none yet, with its bell among what nginx waits for.
    pub fn attend(&mut self, writer: &Writer, rung: Rung) {
        let ring = writer.ring();
        if self.lines.last().is_some_and(|line| line.region() == ring.region()) {
            return;
        }
        self.release();
        let waiter = ring.again().ok().and_then(|own| Waiter::new(own, writer.stream()).ok());
        let durable = ring.is_durable().unwrap_or(false);
        self.lines.extend(waiter.map(|waiter| Line::new(waiter, durable, rung)));
    }

    /// Lets go of rings that nobody waits for: they may have to be removed.
    pub fn release(&mut self) {
        self.lines.retain(|line| line.len() > 0);
    }

    /// A place for a request whose event is about to be stored: after that it must be able to wait.
    pub fn reserve(
        &mut self,
        incoming: Incoming<'_>,
        level: Level,
        writer: &Writer,
    ) -> Result<Place, NoPlace> {
        if self.count() >= self.limit {
            return Err(NoPlace::Taken(self.limit));
        }
        let region = writer.ring().region();
        let line = self.lines.last_mut().filter(|line| line.region() == region);
        let line = line.ok_or(NoPlace::Away(NO_BELL))?;
        if level == Level::Disk && !line.is_durable() {
            return Err(NoPlace::Away(NO_DISK));
        }
        if level == Level::Disk && writer.ring().refused() {
            return Err(NoPlace::Away(NO_SYNC));
        }
        // SAFETY: nginx holds the request, and we hold no borrow of it; 0 asks for no memory of ours.
        let cleanup = unsafe { ngx_http_cleanup_add(incoming.raw(), 0) };
        // SAFETY: NULL, or a place in the request's pool for us to fill in.
        let cleanup = unsafe { cleanup.as_mut() }.ok_or(NoPlace::Away(NO_MEMORY))?;
        self.tickets += 1;
        cleanup.handler = Some(ended);
        cleanup.data = self.tickets as usize as *mut c_void;
        line.expect(&self.own);
        Ok(Place { ticket: self.tickets, level })
    }

    /// The request's events are stored: it waits from now on, which is the time `now`.
    pub fn add(&mut self, place: Place, incoming: Incoming<'_>, kept: Kept, now: u64) {
        let (Some(request), Some(line)) = (NonNull::new(incoming.raw()), self.lines.last_mut())
        else {
            return;
        };
        let Place { ticket, level } = place;
        let deadline = now.saturating_add(incoming.settings().ack().timeout);
        let wait = Wait { request, kept, level, deadline };
        self.nearest = self.nearest.min(deadline);
        line.add(ticket, wait, &self.own, &mut self.over);
        watch(incoming);
    }

    /// Finds whose wait is over.
    pub fn look(&mut self, now: u64) {
        for line in &mut self.lines {
            line.look(&self.own, now, &mut self.over);
        }
        let last = self.lines.len().saturating_sub(1);
        let mut number = 0;
        self.lines.retain(|line| {
            number += 1;
            line.len() > 0 || number > last
        });
        self.nearest = self.lines.iter().filter_map(Line::nearest).min().unwrap_or(u64::MAX);
    }

    /// One of those whose wait is over. It is the caller's to answer.
    pub fn next(&mut self) -> Option<(Wait, End)> {
        self.over.pop_first().map(|(_, over)| over)
    }

    /// nginx has ended a request.
    fn forget(&mut self, ticket: u64) {
        self.lines.iter_mut().for_each(|line| line.forget(ticket));
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
        self.lines.iter().map(Line::len).sum::<usize>() + self.over.len()
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
            End::Reached => Answer::stored(incoming, &self.kept, self.level).send(incoming),
            End::Late(late, reached) => {
                Outcome::Late(self.kept.first).keep(incoming);
                Answer::late(&self.kept, late, reached).send(incoming)
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
