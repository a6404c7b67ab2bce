//! What a program holds: hands events over, waits for them, closes.

use crate::builder::Builder;
use crate::event::{self, Unsent};
use crate::queue::Counts;
use crate::thread::{Shared, in_thread};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time was over before every event had a fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{events} events have not been answered in time")]
pub struct Unsettled {
    /// How many have none. After [`Client::close`] they are given up and counted as dropped; those that were under way may
    /// be stored even so.
    pub events: usize,
}

/// A handle, cheap to clone; the last one that is dropped closes the client. A program's end closes nothing: what must be
/// sent has to be closed, or dropped, before `main` returns.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    name: String,
    numbers: AtomicU64,
    at_drop: Duration,
}

/// Stands for every wait that is longer: the clock ends somewhere.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The time after so long.
pub(crate) fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(YEAR)
}

impl Drop for Handle {
    fn drop(&mut self) {
        // What is left is counted, and there is nobody to tell.
        let _ = self.shared.close(after(self.at_drop));
    }
}

impl Client {
    /// Settings of a client for an address like `http://127.0.0.1:8080/sn/log/clicks`: a location with
    /// `sparkngin_root_loc`, `log`, the topic.
    #[must_use]
    pub fn builder(address: &str) -> Builder {
        Builder::new(address)
    }

    pub(crate) fn new(shared: Arc<Shared>, at_drop: Duration) -> Self {
        let name = format!("{:016x}{:016x}", crate::thread::drawn(), crate::thread::drawn());
        Self { handle: Arc::new(Handle { shared, name, numbers: AtomicU64::new(1), at_drop }) }
    }

    /// Takes an event, a JSON object, and does not wait: what the queue has no room for is dropped, counted and told.
    pub fn send(&self, event: &impl Serialize) -> Result<(), Unsent> {
        let line = self.line(event)?;
        self.handle.shared.push(line, None)
    }

    /// Takes an event and waits for room in the queue as long as this; then it is dropped, counted and told.
    pub fn send_within(&self, event: &impl Serialize, within: Duration) -> Result<(), Unsent> {
        let line = self.line(event)?;
        self.handle.shared.push(line, Some(after(within)))
    }

    fn line(&self, event: &impl Serialize) -> Result<String, Unsent> {
        let number = || self.handle.numbers.fetch_add(1, Ordering::Relaxed);
        event::line(event, || format!("{}-{}", self.handle.name, number()))
    }

    /// Sends what is queued at once, and waits until all that was handed over before this call is stored, refused or
    /// dropped. In the client's own thread, where `on_refused` runs, it waits for nothing.
    pub fn flush(&self, within: Duration) -> Result<(), Unsettled> {
        if in_thread() {
            return Ok(());
        }
        self.handle.shared.flush(after(within))
    }

    /// Takes no more events, sends what is queued, and waits for that as long as this. What is left is dropped.
    pub fn close(&self, within: Duration) -> Result<(), Unsettled> {
        self.handle.shared.close(after(within))
    }

    /// What became of events until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.handle.shared.counts()
    }

    /// What went wrong last, for people: why nothing gets through, or why events are refused. None since all went well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.handle.shared.trouble()
    }

    /// As [`Client::flush`], as long as the client waits when it is dropped.
    #[cfg(feature = "log")]
    pub(crate) fn flush_as_at_drop(&self) {
        // `log` has no word for what was not sent; the counts have.
        let _ = self.flush(self.handle.at_drop);
    }
}
