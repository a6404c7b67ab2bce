//! The client's thread, and what it shares with those who hold a `Client`: one lock, never held over a request.

use crate::answer::{Answer, Fate};
use crate::backoff::Backoff;
use crate::builder::OnRefused;
use crate::client::Unsettled;
use crate::event::Unsent;
use crate::post::Post;
use crate::queue::{Batch, Counts, Queue};
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a client's own thread. What it says itself, through the HTTP client's use of the crate log, must not be
/// sent: each request would be an event, and ask for another one.
pub(crate) fn in_thread() -> bool {
    OURS.get()
}

/// A number from the system's random source, as far as the standard library gives one.
pub(crate) fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}

struct State {
    queue: Queue,
    oldest: Instant, // when the queue's front became it, or was pushed
    hurry: u64,      // events before this number are not to wait for others
    closed: bool,    // takes no more
    telling: bool,   // refusals of what is settled are being told
    trouble: Option<String>,
}

/// What both sides see.
pub(crate) struct Shared {
    state: Mutex<State>,
    work: Condvar, // for the thread: there is something to send, or nothing more will come
    settled: Condvar, // for the others: events have a fate, and the queue has room
    batch: (usize, usize),
    linger: Duration,
}

impl Shared {
    /// With an empty queue; `batch` are events and bytes of a request.
    pub(crate) fn new(queue: Queue, batch: (usize, usize), linger: Duration) -> Arc<Self> {
        let (oldest, trouble) = (Instant::now(), None);
        let state = State { queue, oldest, hurry: 0, closed: false, telling: false, trouble };
        Arc::new(Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            settled: Condvar::new(),
            batch,
            linger,
        })
    }

    /// The state is whole between any two statements that can panic, so a panic elsewhere says nothing about it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, and waits until then for room.
    pub(crate) fn push(&self, line: String, until: Option<Instant>) -> Result<(), Unsent> {
        let mut state = self.lock();
        if let Some(until) = until.filter(|_| !in_thread()) {
            while !state.closed && !state.queue.has_room(line.len()) {
                let Some(left) = left(until) else { break };
                // Who waits for room wants the queue to be emptied, not filled.
                state.hurry = state.queue.next();
                self.work.notify_one();
                state = wait(&self.settled, state, left);
            }
        }
        if state.closed {
            return Err(Unsent::Closed);
        }
        let empty = state.queue.size().0 == 0;
        state.queue.push(line)?;
        if empty {
            state.oldest = Instant::now();
        }
        if empty || self.is_full(&state) {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Whether there is a whole batch.
    fn is_full(&self, state: &State) -> bool {
        let (events, bytes) = state.queue.size();
        events >= self.batch.0 || bytes >= self.batch.1
    }

    /// Waits until what is there now has a fate, and who asked for refusals was told of them.
    pub(crate) fn flush(&self, until: Instant) -> Result<(), Unsettled> {
        let mut state = self.lock();
        let before = state.queue.next();
        state.hurry = before;
        self.work.notify_one();
        loop {
            let events = state.queue.unsettled(before);
            match (events, left(until)) {
                (0, _) if !state.telling || in_thread() => return Ok(()),
                (_, Some(left)) => state = wait(&self.settled, state, left),
                (events, None) => return Err(Unsettled { events }),
            }
        }
    }

    /// The same; takes no more, and gives up what is left then.
    pub(crate) fn close(&self, until: Instant) -> Result<(), Unsettled> {
        self.lock().closed = true;
        // The thread cannot wait for itself, if a refusal's callback closes the client or drops the last handle.
        let until = if in_thread() { Instant::now() } else { until };
        let all = self.flush(until);
        self.lock().queue.abandon();
        self.work.notify_all();
        self.settled.notify_all();
        all
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().queue.counted()
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// The next batch, of this many events at most; None when nothing will come any more.
    fn next(&self, events: usize) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.queue.size().0 == 0 {
                if state.closed {
                    return None;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let hurry =
                state.closed || state.queue.unsettled(state.hurry) > 0 || self.is_full(&state);
            match left(state.oldest + self.linger) {
                Some(left) if !hurry => state = wait(&self.work, state, left),
                _ => break,
            }
        }
        state.queue.counts.requests += 1;
        state.queue.front(events, self.batch.1)
    }

    /// Waits before something is sent again, but not longer than there is something.
    fn pause(&self, pause: Duration) {
        let until = crate::client::after(pause);
        let mut state = self.lock();
        while state.queue.size().0 > 0 {
            let Some(left) = left(until) else { return };
            state = wait(&self.work, state, left);
        }
    }
}

fn left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

fn wait<'a>(
    condition: &Condvar,
    state: MutexGuard<'a, State>,
    left: Duration,
) -> MutexGuard<'a, State> {
    condition.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
}

/// Starts the thread, which ends when the client is closed and has nothing left.
pub(crate) fn start(
    shared: Arc<Shared>,
    post: Post,
    backoff: Backoff,
    on_refused: OnRefused,
) -> std::io::Result<()> {
    let most = shared.batch.0;
    let mut sender = Sender { shared, post, backoff, on_refused, most, at_a_time: most };
    std::thread::Builder::new().name("sparkngin-client".into()).spawn(move || {
        OURS.set(true);
        while sender.turn() {}
    })?;
    Ok(())
}

struct Sender {
    shared: Arc<Shared>,
    post: Post,
    backoff: Backoff,
    on_refused: OnRefused,
    most: usize,
    at_a_time: usize, // fewer than `most` while the server says that it is too much
}

impl Sender {
    /// One request, and what follows from it. False when there will be none any more.
    fn turn(&mut self) -> bool {
        let Some(batch) = self.shared.next(self.at_a_time) else { return false };
        let answer = self.post.send(&batch.body);
        let retry_after = answer.as_ref().ok().and_then(|answer| answer.retry_after);
        let (fates, too_much, trouble) = judged(&batch, answer);
        let again = fates.contains(&Fate::Again) && !too_much;
        self.at_a_time =
            if too_much { (batch.count / 2).max(1) } else { (self.at_a_time * 2).min(self.most) };

        let mut state = self.shared.lock();
        let refusals = state.queue.settle(&batch, fates);
        state.oldest = Instant::now();
        if again || too_much {
            state.hurry = state.hurry.max(state.queue.oldest() + 1); // what is sent again waits for no others
        }
        state.trouble = trouble;
        state.telling = !refusals.is_empty();
        drop(state);
        self.shared.settled.notify_all();

        for refusal in &refusals {
            (self.on_refused)(refusal);
        }
        if !refusals.is_empty() {
            self.shared.lock().telling = false;
            self.shared.settled.notify_all();
        }
        if again {
            self.shared.pause(self.backoff.next(retry_after, drawn()));
        } else {
            self.backoff.reset();
        }
        true
    }
}

/// What becomes of a batch's events, whether it was too much, and what was wrong.
fn judged(batch: &Batch, answer: Result<Answer, String>) -> (Vec<Fate>, bool, Option<String>) {
    match answer {
        Ok(answer) => {
            let verdict = answer.verdict(batch.count);
            (verdict.fates, verdict.too_much, verdict.trouble)
        }
        Err(error) => (vec![Fate::Again; batch.count], false, Some(error)),
    }
}
