//! One worker: what it holds from its first turn to its last, and the timer that drives it.
//!
//! nginx runs one thread, so there is one `Worker`, and it is lent to one callback at a time.

use std::cell::RefCell;

use ngx::ffi::{ngx_event_t, ngx_exiting, ngx_worker};
use sparkngin_core::event::Given;
use sparkngin_core::ring::Server;

use crate::answer::Answer;
use crate::conf::MainConf;
use crate::guard::guard;
use crate::health;
use crate::intake::Intake;
use crate::lead::Lead;
use crate::leave;
use crate::log;
use crate::neighbours::Neighbours;
use crate::request::Incoming;
use crate::store::Store;
use crate::syncing::Syncing;
use crate::timer::Timer;
use crate::waiting::Waiting;

/// How often a worker looks while its ring is being opened, while it is one of those who would publish at once, and
/// otherwise. Milliseconds.
const OPENING: u64 = 10;
const EAGER: u64 = 100;
const SELDOM: u64 = 1000;

/// What a worker holds. Nothing in it points into nginx's configuration, which a single process may replace.
pub struct Worker {
    /// Its ring.
    pub store: Store,
    /// Its part in the election of the publisher, if nginx publishes at all.
    pub lead: Option<Lead>,
    /// The way in.
    pub intake: Intake,
    /// Whose answers come later.
    pub waiting: Waiting,
    /// Its part in syncing.
    pub syncing: Syncing,
    /// Who else uses the directory.
    pub neighbours: Neighbours,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Lends the worker; None before `start`, after `stop`, and in a worker of nothing.
fn with<T>(run: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    WORKER.with(|worker| worker.try_borrow_mut().ok()?.as_mut().map(run))
}

/// Begins to open the ring, and starts the timer.
pub fn start(conf: &MainConf, own: Server) {
    // SAFETY: nginx numbers its workers before it calls them.
    let number = unsafe { ngx_worker };
    let worker = Worker {
        store: Store::start(conf.wanted(), log::now()),
        // Two of each configuration, whichever slots their streams are in: after a reload the lowest slots are still
        // with those that leave.
        lead: conf.publishes().then(|| Lead::new(conf.directory(), conf.publisher(), number < 2)),
        intake: Intake::new(conf),
        waiting: Waiting::new(conf.max_pending(), conf.configuration()),
        syncing: Syncing::new(conf.sync_interval()),
        neighbours: Neighbours::new(conf.directory(), own, number == 0),
    };
    WORKER.with(|place| place.replace(Some(worker)));
    with(attend);
    leave::notice();
    TURNS.arm(OPENING);
}

/// nginx has asked the worker to leave when its requests are done, which may take hours.
pub fn leave() {
    with(|worker| {
        if let Some(lead) = &mut worker.lead {
            lead.leave(log::now());
        }
        say_leaving(worker);
        sync(worker, log::now());
    });
}

/// Gives everything up, and waits for the threads: after this nothing of ours runs in the process.
pub fn stop() {
    let worker = WORKER.with(RefCell::take);
    if let Some(mut worker) = worker {
        worker.intake.flush(u64::MAX);
        worker.intake.settle(&worker.store);
        if let Some(lead) = &mut worker.lead {
            lead.stop();
        }
        worker.syncing.stop();
        worker.store.stop();
    }
}

/// The log door. None while the request waits: then its answer comes by itself.
pub fn log(incoming: Incoming<'_>) -> Option<Answer> {
    let answer = with(|worker| {
        let answer = worker.intake.take(incoming, &mut worker.store, &mut worker.waiting);
        if answer.is_none() {
            plan(&mut worker.waiting);
        }
        if worker.store.hurry() {
            TURNS.arm(OPENING);
        }
        answer
    });
    answer.unwrap_or_else(|| Some(not_there()))
}

/// What is known of a request that has ended.
pub fn note(incoming: Incoming<'_>, topic: &[u8], fields: &[Given<'_>]) {
    with(|worker| {
        worker.intake.note(incoming, topic, fields, &mut worker.store);
        if worker.store.hurry() {
            TURNS.arm(OPENING);
        }
    });
}

/// Lends those who wait.
pub fn waiting<T>(run: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
    with(|worker| run(&mut worker.waiting))
}

/// The status door.
pub fn status() -> Answer {
    with(health::status).unwrap_or_else(not_there)
}

/// The same for people.
pub fn page() -> Answer {
    with(health::page).unwrap_or_else(not_there)
}

/// The same for Prometheus.
pub fn metrics() -> Answer {
    with(health::metrics).unwrap_or_else(not_there)
}

/// The health door.
pub fn imok() -> Answer {
    with(health::imok).unwrap_or_else(not_there)
}

/// Only in a process that replaced its configuration without ending (`master_process off`).
fn not_there() -> Answer {
    Answer::error(503, "this process was started without a location for events", None)
}

fn attend(worker: &mut Worker) {
    match worker.store.writer() {
        Ok(writer) => worker.waiting.attend(writer, rung),
        Err(_) => worker.waiting.release(),
    }
}

/// A process that is stuck in a sync keeps all that it holds, so who publishes, or leaves, lets others sync.
fn sync(worker: &mut Worker, now: u64) {
    // SAFETY: nginx writes it in this thread only, between two callbacks.
    let leaving = unsafe { ngx_exiting } != 0;
    let reluctant = leaving || worker.lead.as_ref().is_some_and(Lead::publishes);
    worker.syncing.turn(worker.store.writer().ok().as_deref(), reluctant, now);
}

/// For who looks at the status: it is there until its last request has ended.
fn say_leaving(worker: &mut Worker) {
    if let Ok(writer) = worker.store.writer() {
        writer.leave();
    }
}

/// One turn: what is ready is taken, what is due is tried. The value is when to look again, in ms.
fn turn(worker: &mut Worker) -> u64 {
    let now = log::now();
    // SAFETY: nginx writes it in this thread only, between two callbacks.
    let leaving = unsafe { ngx_exiting } != 0;
    if let (true, Some(lead)) = (leaving, &mut worker.lead) {
        lead.leave(now);
    }
    worker.store.turn(now);
    if leaving {
        say_leaving(worker);
    }
    attend(worker);
    worker.intake.flush(now);
    worker.intake.settle(&worker.store);
    if let Some(lead) = &mut worker.lead {
        lead.turn(worker.store.to_publish(), now);
    }
    sync(worker, now);
    worker.neighbours.turn(now);
    let eager = worker.lead.as_ref().is_some_and(Lead::eager) || worker.syncing.eager();
    match worker.store.ring() {
        None => OPENING.max(worker.store.due(now)),
        Some(_) if eager => EAGER,
        Some(_) => SELDOM,
    }
}

static TURNS: Timer = Timer::new(turn_is_due, true);
/// While somebody waits the worker must not end.
static WAITS: Timer = Timer::new(look_is_due, false);

unsafe extern "C" fn turn_is_due(_: *mut ngx_event_t) {
    let again = guard("the timer", Some(SELDOM), || with(turn));
    if let Some(again) = again {
        TURNS.arm(again);
    }
}

unsafe extern "C" fn look_is_due(_: *mut ngx_event_t) {
    guard("the timer of those who wait", (), look);
}

unsafe extern "C" fn rung(_: *mut ngx_event_t) {
    guard("the bell", (), look);
}

/// Answers those whose wait is over: one by one, since nginx may end others with each of them.
fn look() {
    with(|worker| {
        worker.waiting.look(log::now());
        if worker.store.ring().is_some_and(|ring| ring.view().poisoned()) {
            // Another one is made at once, and not at the next turn.
            TURNS.arm(0);
        }
        if let Ok(writer) = worker.store.writer() {
            writer.remind();
        }
    });
    while let Some((wait, end)) = waiting(Waiting::next).flatten() {
        wait.answer(end);
    }
    waiting(plan);
}

/// When to look again.
fn plan(waiting: &mut Waiting) {
    match waiting.due(log::now()) {
        Some(after) => WAITS.arm(after),
        None => WAITS.disarm(),
    }
}
