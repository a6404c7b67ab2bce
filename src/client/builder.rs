//! The settings of a client, and its making.

use crate::answer::Refusal;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::post::Post;
use crate::queue::Queue;
use crate::thread::{self, Shared};
use std::time::Duration;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The address is none that it can speak to.
    #[error("{0:?} is no address of a /log: http://HOST:PORT/sn/log/TOPIC, without TLS")]
    Address(String),
    /// A header's name or value cannot be.
    #[error("{0:?} cannot be a header")]
    Header(String),
    /// The thread cannot be started.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What is called for each event that is refused.
pub(crate) type OnRefused = Box<dyn Fn(&Refusal) + Send>;

/// Settings, each with a default that will do.
pub struct Builder {
    address: String,
    headers: Vec<(String, String)>,
    on_refused: OnRefused,
    queue: (usize, usize),
    batch: (usize, usize),
    linger: Duration,
    timeout: Duration,
    waits: (Duration, Duration),
    at_drop: Duration,
    gzip: bool,
}

impl Builder {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            headers: Vec::new(),
            on_refused: Box::new(|_| {}),
            queue: (100_000, 64 << 20),
            batch: (500, 256 << 10),
            linger: Duration::from_millis(50),
            timeout: Duration::from_secs(10),
            waits: (Duration::from_millis(100), Duration::from_secs(10)),
            at_drop: Duration::from_secs(5),
            gzip: false,
        }
    }

    /// How many events the queue holds, what is under way included: 100,000 unless said.
    #[must_use]
    pub fn queue_events(mut self, events: usize) -> Self {
        self.queue.0 = events.max(1);
        self
    }

    /// How many bytes of JSON it holds: 64 MiB unless said. One event has room in an empty queue, however long it is.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue.1 = bytes;
        self
    }

    /// How many events are one request at most: 500 unless said, 10,000 at most; the server takes 1000 unless
    /// `sparkngin_limits batch=` says otherwise. What it answers with 413 is halved.
    #[must_use]
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch.0 = events.clamp(1, 10_000);
        self
    }

    /// How many bytes, before they are compressed, are one request at most: 256 KiB unless said.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch.1 = bytes;
        self
    }

    /// For how long the first event of a batch may wait for others that go with it: 50 ms unless said.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger.min(crate::client::YEAR);
        self
    }

    /// After what time a request without an answer is sent again: 10 s unless said. It has to be longer than the timeout of
    /// `sparkngin_ack`, or what is stored and late is stored twice.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait before something is sent again: from the first to the last, twice as long each time, and never
    /// shorter than the server's `Retry-After`. 100 ms to 10 s unless said.
    #[must_use]
    pub fn wait(mut self, shortest: Duration, longest: Duration) -> Self {
        self.waits = (shortest, longest);
        self
    }

    /// For how long the last `Client` that is dropped, and a logger's flush, wait for what is queued: 5 s unless said.
    #[must_use]
    pub fn at_drop(mut self, within: Duration) -> Self {
        self.at_drop = within;
        self
    }

    /// A header of each request, such as `Authorization`, or `Sparkngin-Ack: disk`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Called, by the client's thread, with each event that the server will never take.
    #[must_use]
    pub fn on_refused(mut self, call: impl Fn(&Refusal) + Send + 'static) -> Self {
        self.on_refused = Box::new(call);
        self
    }

    /// Bodies are compressed.
    #[cfg(feature = "gzip")]
    #[must_use]
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Starts the client's thread; connects nothing yet.
    pub fn build(self) -> Result<Client, Unusable> {
        let uri = self.address.parse::<ureq::http::Uri>().ok();
        if uri.is_none_or(|uri| {
            uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty)
        }) {
            return Err(Unusable::Address(self.address));
        }
        for (name, value) in &self.headers {
            let good = name.parse::<ureq::http::HeaderName>().is_ok()
                && value.parse::<ureq::http::HeaderValue>().is_ok();
            if !good {
                return Err(Unusable::Header(format!("{name}: {value}")));
            }
        }
        let shared = Shared::new(Queue::new(self.queue.0, self.queue.1), self.batch, self.linger);
        let post = Post::new(self.address, self.headers, self.gzip, self.timeout);
        thread::start(
            shared.clone(),
            post,
            Backoff::new(self.waits.0, self.waits.1),
            self.on_refused,
        )?;
        Ok(Client::new(shared, self.at_drop))
    }
}
