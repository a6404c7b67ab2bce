//! What an event is read from: what one request says, and what the place says that it came in at.

use super::{EVERYTHING, Given, Limits, Privacy};
use crate::field::HeaderFields;

/// What a request says, borrowed from the server that received it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The topic that its path names; it wins over all others.
    pub topic: Option<&'a [u8]>,
    /// What stands after the `?`, as it was sent.
    pub query: &'a [u8],
    /// The body; an empty one is none.
    pub body: Option<&'a [u8]>,
    /// The header `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The peer's address as text; an empty one is none.
    pub peer: &'a [u8],
    /// The header `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The header `Referer`.
    pub referrer: Option<&'a [u8]>,
    /// The whole header `Cookie`.
    pub cookie: Option<&'a [u8]>,
    /// What becomes Kafka headers: names, in lower case, and values.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The attributes of a CloudEvent in binary mode: the names of its headers, in lower case and without `ce-`, and their
    /// values. None: it is not one (see [`super::cloud::is_binary`]).
    pub cloud: &'a [(&'a [u8], &'a [u8])],
    /// When the request was received, ns since 1970.
    pub received: u64,
}

/// What the place it came in at says.
#[derive(Clone, Copy, Debug)]
pub struct Intake<'a> {
    /// The topic of events that name none.
    pub topic: Option<&'a [u8]>,
    /// Which header values are stored.
    pub keep: &'a HeaderFields,
    /// Fields that the place itself gives; no parameter changes them.
    pub fields: &'a [Given<'a>],
    /// What of a client is not stored.
    pub privacy: &'a Privacy,
    /// The most bytes that an event has as it lies in the ring (its binary form).
    pub max_event: usize,
    /// What it takes at most besides.
    pub limits: Limits,
}

impl Default for Intake<'_> {
    /// A place that says nothing, and takes events of 32 KiB.
    fn default() -> Self {
        static KEEP: HeaderFields =
            HeaderFields { user_agent: false, referrer: false, cookie: false, cookies: Vec::new() };
        Intake {
            topic: None,
            keep: &KEEP,
            fields: &[],
            privacy: &EVERYTHING,
            max_event: 32 << 10,
            limits: Limits::DEFAULT,
        }
    }
}
