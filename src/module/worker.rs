//! One worker: what it holds from its first turn to its last, and the timer that drives it.
//!
//! nginx runs one thread, so there is one `Worker`, and it is lent to one callback at a time.

use std::cell::{RefCell, UnsafeCell};
use std::mem::zeroed;

use ngx::ffi::{ngx_add_timer, ngx_connection_t, ngx_event_t, ngx_exiting, ngx_msec_t, ngx_worker};

use crate::answer::Answer;
use crate::conf::MainConf;
use crate::guard::guard;
use crate::health;
use crate::intake::Intake;
use crate::lead::Lead;
use crate::leave;
use crate::log;
use crate::request::Incoming;
use crate::store::Store;

/// How often a worker looks while its ring is being opened, while it is one of those who would publish at once, and
/// otherwise. Milliseconds.
const OPENING: u64 = 10;
const EAGER: u64 = 100;
const SELDOM: u64 = 1000;

/// What a worker holds. Nothing in it points into nginx's configuration, which a single process may replace.
pub struct Worker {
    /// Its ring.
    pub store: Store,
    /// Its part in the election of the publisher.
    pub lead: Lead,
    /// The way in.
    pub intake: Intake,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Lends the worker; None before `start`, after `stop`, and in a worker of nothing.
fn with<T>(run: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    WORKER.with(|worker| worker.try_borrow_mut().ok()?.as_mut().map(run))
}

/// Begins to open the ring, and starts the timer.
pub fn start(conf: &MainConf) {
    // SAFETY: nginx numbers its workers before it calls them.
    let number = unsafe { ngx_worker };
    let worker = Worker {
        store: Store::start(conf.wanted(), log::now()),
        // Two of each configuration, whichever slots their streams are in: after a reload the lowest slots are still
        // with those that leave.
        lead: Lead::new(conf.directory(), conf.publisher(), number < 2),
        intake: Intake::new(conf),
    };
    WORKER.with(|place| place.replace(Some(worker)));
    leave::notice();
    TIMER.arm(OPENING);
}

/// nginx has asked the worker to leave when its requests are done, which may take hours.
pub fn leave() {
    with(|worker| worker.lead.leave(log::now()));
}

/// Gives everything up, and waits for the threads: after this nothing of ours runs in the process.
pub fn stop() {
    let worker = WORKER.with(RefCell::take);
    if let Some(mut worker) = worker {
        worker.intake.flush(u64::MAX);
        worker.lead.stop();
        worker.store.stop();
    }
}

/// The log door.
pub fn log(incoming: Incoming<'_>) -> Answer {
    with(|worker| worker.intake.take(incoming, &mut worker.store)).unwrap_or_else(not_there)
}

/// The status door.
pub fn status() -> Answer {
    with(health::status).unwrap_or_else(not_there)
}

/// The health door.
pub fn imok() -> Answer {
    with(health::imok).unwrap_or_else(not_there)
}

/// Only in a process that replaced its configuration without ending (`master_process off`).
fn not_there() -> Answer {
    Answer::error(503, "this process was started without a location for events", None)
}

/// One turn: what is ready is taken, what is due is tried. The value is when to look again, in ms.
fn turn(worker: &mut Worker) -> u64 {
    let now = log::now();
    // SAFETY: nginx writes it in this thread only, between two callbacks.
    if unsafe { ngx_exiting } != 0 {
        worker.lead.leave(now);
    }
    worker.store.turn(now);
    worker.intake.flush(now);
    let ring = worker.store.ring();
    worker.lead.turn(ring, now);
    match ring {
        None => OPENING.max(worker.store.due(now)),
        Some(_) if worker.lead.eager() => EAGER,
        Some(_) => SELDOM,
    }
}

/// nginx's timer and the connection that it believes to serve. A debugging nginx reads the connection's descriptor.
struct Timer(UnsafeCell<Option<(ngx_event_t, ngx_connection_t)>>);

// SAFETY: only nginx's own thread touches it.
unsafe impl Sync for Timer {}

static TIMER: Timer = Timer(UnsafeCell::new(None));

impl Timer {
    /// Asks nginx to call once, after so many ms, unless it has nothing else to wait for: then it may end.
    fn arm(&self, after: u64) {
        // SAFETY: one thread, and nobody holds a reference over a call of this function.
        let (event, connection) = unsafe { &mut *self.0.get() }.get_or_insert_with(|| {
            // SAFETY: zeros are a value of it.
            let event = unsafe { zeroed() };
            // SAFETY: as above.
            (event, unsafe { zeroed() })
        });
        connection.fd = -1;
        event.data = (&raw mut *connection).cast();
        event.handler = Some(expired);
        event.log = ngx::log::ngx_cycle_log().as_ptr();
        event.set_cancelable(1);
        // SAFETY: the event is in a static, so it lives as long as nginx's tree of timers.
        unsafe { ngx_add_timer(event, after as ngx_msec_t) };
    }
}

unsafe extern "C" fn expired(_: *mut ngx_event_t) {
    let again = guard("the timer", Some(SELDOM), || with(turn));
    if let Some(again) = again {
        TIMER.arm(again);
    }
}
