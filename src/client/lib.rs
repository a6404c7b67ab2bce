//! Sends events to a Sparkngin, from a thread of its own, and gives none up before it was answered.
//!
//! ```no_run
//! use serde_json::json;
//! use sparkngin_client::Client;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:8080/sn/log/clicks").build()?;
//! client.send(&json!({"level": "info", "page": "/start"}))?;
//! client.close(Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```
//!
//! An event is a JSON object; [`Client::send`] puts it into a queue and never waits. The thread takes what is there, up to
//! [`Builder::batch_events`] and [`Builder::batch_bytes`], and posts it as one body of lines (NDJSON), one request at a time. So
//! events arrive in the order in which they were sent, but for those that are sent again alone.
//!
//! # What becomes of an event
//!
//! | answer | the event is |
//! |---|---|
//! | 204, any other 2xx | stored |
//! | 207, or an error with a list `errors` | what the list says of its index; stored, if it is not listed |
//! | 504 with `Sparkngin-Receipt` | stored: only its acknowledgement is late |
//! | 503, 408, 425, 429, any other 5xx, none | sent again, not before `Retry-After` (seconds) is over, later and later |
//! | 413 to several | sent again, half as many at a time |
//! | 3xx, any other 4xx | refused: given up and counted, and handed to [`Builder::on_refused`] |
//!
//! What the queue has no room for is dropped and counted, see [`Counts`]. With an event that is sent again nothing is lost, and it
//! may be there twice: when the first request was stored and its answer did not come. **Both have the same `id`**: the object's own
//! key `id`, if it has one, else one that the client puts in front, `{"id":"<32 hex digits>-<number>",...}`, drawn anew for each client.
//! The server stores both; who reads the topic drops the second of an `id`. What the process has not sent when it is killed is gone.
//!
//! Some keys of the object are the event's fields (`level`, `type`, `key`, `env`, `timestamp`, `ip` ...), see docs/protocol.md; the topic
//! is the one in the address.
//!
//! # Features
//!
//! - `log`: [`Logger`], which sends what a program says through the crate log;
//! - `tracing`: [`EventLayer`], the same for tracing, with fields and spans;
//! - `gzip`: [`Builder::gzip`].
//!
//! There is no TLS in it: it speaks to an nginx on the same machine or network.

mod answer;
mod backoff;
mod builder;
mod client;
mod event;
#[cfg(feature = "tracing")]
mod layer;
#[cfg(feature = "log")]
mod logger;
mod post;
mod queue;
mod thread;

pub use answer::Refusal;
pub use builder::{Builder, Unusable};
pub use client::{Client, Unsettled};
pub use event::Unsent;
#[cfg(feature = "tracing")]
pub use layer::EventLayer;
#[cfg(feature = "log")]
pub use logger::Logger;
pub use queue::Counts;
