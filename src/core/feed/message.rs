//! A message: one frame of JSON, the header; a BATCH has a second frame, the records as they lie in the ring.
//!
//! ```text
//!   {"type":"HELLO","v":1,"name":"kafka","window":16777216,"from":"host 4711",
//!    "have":[{"region":"<32 hex>","stream":0,"seq":17,"bytes":4096}]}
//!   {"type":"WELCOME","v":1,"session":"<16 hex>",
//!    "regions":[{"region":"<32 hex>","state":"open","streams":[{"stream":0,"acked":12,"last":40}]}]}
//!   {"type":"BATCH","session":"<16 hex>","region":"<32 hex>","stream":0,"first":13,"count":2}   + body
//!   {"type":"LOST","session":..,"region":..,"stream":0,"from":15,"to":20,"hours":[472222,472223],"reason":"overwritten"}
//!   {"type":"UNCERTAIN","session":..,"region":..,"stream":0,"from":21,"to":null,"since":1700000000000000000}
//!   {"type":"ACK","session":..,"cursors":[{"region":..,"stream":0,"seq":20,"lost":6,"dead":0,"uncertain":0}]}
//!   {"type":"BEAT","session":..,
//!    "took":{"events":9,"p50":4000,"p90":5000,"p99":8000,"p999":8000,"spread":{"counts":[<22>],"sum":412000}}}
//!   {"type":"BEAT","session":..,"leaving":true}
//!   {"type":"REFUSED","reason":"fenced","session":..,"other":"host 4712"}
//! ```
//!
//! Fields that a reader does not know it ignores. Frames of a wrong number, size or content are [`Garbage`], never more.

use serde::{Deserialize, Serialize};

use super::wire::{SessionId, maybe, maybe_text, number, text};
use super::{BODY_MAX, FROM_MAX, HEADER_MAX, NAME_MAX, VERSION, VERSION_SERVED};
use crate::id::{Region, Seq, Stream};
use crate::took::Took;

/// All that is ever said on the feed. A BATCH's body is the frame after this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "UPPERCASE")]
pub enum Message {
    /// A subscriber begins.
    Hello(Hello),
    /// The publisher agrees.
    Welcome(Welcome),
    /// Records.
    Batch(Batch),
    /// A hole that is known to be one.
    Lost(Lost),
    /// A hole that a crash of the machine may have left.
    Uncertain(Uncertain),
    /// A subscriber answers for what it got.
    Ack(Ack),
    /// Still here.
    Beat(Beat),
    /// The publisher does not go on with this peer.
    Refused(Refused),
}

/// A subscriber says who it is and what it already took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version it speaks.
    pub v: u32,
    /// Its name, as in `sparkngin_subscriber`.
    pub name: String,
    /// Bytes it is ready to have unacknowledged.
    pub window: u64,
    /// Where it runs, in its own words: for the messages to a person when another one of its name appears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it took and still answers for.
    #[serde(default)]
    pub have: Vec<Have>,
}

/// A subscriber's place in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The ring file.
    #[serde(with = "text")]
    pub region: Region,
    /// The stream in it.
    #[serde(with = "number")]
    pub stream: Stream,
    /// All up to here was taken.
    #[serde(with = "number")]
    pub seq: Seq,
    /// What of it is not acknowledged, as the window counts it.
    #[serde(default)]
    pub bytes: u64,
}

/// The session is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version both speak from here on.
    pub v: u32,
    /// The session's number.
    #[serde(with = "text")]
    pub session: SessionId,
    /// Every ring file there is, each with every stream that ever had a record.
    pub regions: Vec<RegionState>,
}

/// One ring file at the time of a WELCOME.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionState {
    /// The ring file.
    #[serde(with = "text")]
    pub region: Region,
    /// Whether new events still go there.
    pub state: State,
    /// Its streams.
    pub streams: Vec<StreamState>,
}

/// Whether a ring file still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Events are written to it.
    Open,
    /// What is left in it is handed out, then it is deleted.
    Draining,
}

/// One stream at the time of a WELCOME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// Its number.
    #[serde(with = "number")]
    pub stream: Stream,
    /// This subscriber acknowledged all up to here.
    #[serde(with = "number")]
    pub acked: Seq,
    /// The last record there is.
    #[serde(with = "number")]
    pub last: Seq,
    /// Of all up to `acked`: how many were lost, before the cursor's time, or not held for it.
    #[serde(default, skip_serializing_if = "none")]
    pub lost: u64,
    /// How many it counted dead-lettered.
    #[serde(default, skip_serializing_if = "none")]
    pub dead: u64,
    /// How many it counted uncertain.
    #[serde(default, skip_serializing_if = "none")]
    pub uncertain: u64,
}

fn none(count: &u64) -> bool {
    *count == 0
}

/// Records `first` to `first + count - 1` of a stream; the body holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The session it belongs to.
    #[serde(with = "text")]
    pub session: SessionId,
    /// The ring file.
    #[serde(with = "text")]
    pub region: Region,
    /// The stream.
    #[serde(with = "number")]
    pub stream: Stream,
    /// The first record's number.
    #[serde(with = "number")]
    pub first: Seq,
    /// How many records.
    pub count: u32,
}

/// Records `from` to `to` are gone, and no one will ever see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The session it belongs to.
    #[serde(with = "text")]
    pub session: SessionId,
    /// The ring file.
    #[serde(with = "text")]
    pub region: Region,
    /// The stream.
    #[serde(with = "number")]
    pub stream: Stream,
    /// The first that is lost.
    #[serde(with = "number")]
    pub from: Seq,
    /// The last that is lost.
    #[serde(with = "number")]
    pub to: Seq,
    /// First and last hour, since 1970, in which they may have been received.
    pub hours: (u64, u64),
    /// Why: [`OVERWRITTEN`](super::OVERWRITTEN) or [`FREED`](super::FREED).
    pub reason: String,
}

/// Records `from` to `to` may or may not have existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertain {
    /// The session it belongs to.
    #[serde(with = "text")]
    pub session: SessionId,
    /// The ring file.
    #[serde(with = "text")]
    pub region: Region,
    /// The stream.
    #[serde(with = "number")]
    pub stream: Stream,
    /// The first that is uncertain.
    #[serde(with = "number")]
    pub from: Seq,
    /// The last, or nothing when the stream's end is not known; then nothing of this stream follows.
    #[serde(with = "maybe")]
    pub to: Option<Seq>,
    /// When the last sync that succeeded began, ns since 1970.
    pub since: u64,
}

/// A subscriber's places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The session it belongs to.
    #[serde(with = "text")]
    pub session: SessionId,
    /// One place per stream that moved.
    pub cursors: Vec<AckCursor>,
}

/// All up to `seq` is in Kafka, in the dead letter, or a hole this subscriber was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckCursor {
    /// The ring file.
    #[serde(with = "text")]
    pub region: Region,
    /// The stream.
    #[serde(with = "number")]
    pub stream: Stream,
    /// The place.
    #[serde(with = "number")]
    pub seq: Seq,
    /// Among the records since WELCOME's `acked`: lost.
    #[serde(default)]
    pub lost: u64,
    /// Among these: dead-lettered.
    #[serde(default)]
    pub dead: u64,
    /// Among these: uncertain.
    #[serde(default)]
    pub uncertain: u64,
    /// It was told that the stream ends uncertain after `seq`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub open: bool,
}

/// Still here, or about to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The session.
    #[serde(with = "text")]
    pub session: SessionId,
    /// The subscriber's last word: it was asked to end, and the session with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leaving: bool,
    /// The subscriber says how long its events of this feed took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Box<Took>>,
}

/// The publisher does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// The session that the refused message named; a HELLO names none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_text")]
    pub session: Option<SessionId>,
    /// Who took the place, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// Lowest and highest version that is served, when that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<(u32, u32)>,
}

/// Why a publisher does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// No `sparkngin_subscriber` has this name.
    Name,
    /// The connection's key is not that name's.
    Key,
    /// The session is not known, or has ended: say HELLO.
    Session,
    /// Another subscriber of this name said HELLO later.
    Fenced,
    /// This version is not served.
    Version,
}

/// Frames that are no message of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// Neither one frame, nor two for a BATCH.
    #[error("{0} frames, where a message has one, and a BATCH two")]
    Frames(usize),
    /// A frame is larger than any message's.
    #[error("a frame of {bytes} bytes, {limit} at most")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest there may be.
        limit: usize,
    },
    /// The header says nothing that is known.
    #[error("a header that cannot be read: {0}")]
    Header(String),
    /// A HELLO or WELCOME of a version that is not served.
    #[error("version {0}, where {VERSION_SERVED} to {VERSION} are served")]
    Version(u32),
    /// The parts contradict each other.
    #[error("{0}")]
    Senseless(&'static str),
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    v: Option<u32>,
}

impl Message {
    /// Reads a message from its frames; a BATCH's records stay in the second one, unread.
    ///
    /// # Errors
    /// [`Garbage`], when the frames are no message; [`Garbage::Version`] before anything else of a HELLO is looked at.
    pub fn read<F: AsRef<[u8]>>(frames: &[F]) -> Result<Message, Garbage> {
        let Some(header) = frames.first().map(AsRef::as_ref) else {
            return Err(Garbage::Frames(0));
        };
        cap(header, HEADER_MAX)?;
        let unread = |e: serde_json::Error| Garbage::Header(printable(&e.to_string()));
        let head: Head = serde_json::from_slice(header).map_err(unread)?;
        if let Some(v) = head.v {
            if !(VERSION_SERVED..=VERSION).contains(&v) {
                return Err(Garbage::Version(v));
            }
        }
        let message: Message = serde_json::from_slice(header).map_err(unread)?;
        let wanted = if matches!(message, Message::Batch(_)) { 2 } else { 1 };
        if frames.len() != wanted {
            return Err(Garbage::Frames(frames.len()));
        }
        if let Some(body) = frames.get(1) {
            cap(body.as_ref(), BODY_MAX)?;
        }
        message.sense().map(|()| message)
    }

    /// The header frame.
    pub fn header(&self) -> Vec<u8> {
        // Neither a map with keys that are no text nor a failing writer is in sight, and nothing else can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// All frames: the header, and for a BATCH the body.
    pub fn frames(&self, body: Vec<u8>) -> Vec<Vec<u8>> {
        match self {
            Message::Batch(_) => vec![self.header(), body],
            _ => vec![self.header()],
        }
    }

    /// What the fields' types cannot say.
    fn sense(&self) -> Result<(), Garbage> {
        let senseless = match self {
            Message::Hello(m) if m.name.is_empty() || m.name.len() > NAME_MAX => {
                "a HELLO whose name is not 1 to 63 bytes"
            }
            Message::Hello(m) if m.from.as_ref().is_some_and(|f| f.len() > FROM_MAX) => {
                "a HELLO whose from is above 128 bytes"
            }
            Message::Hello(m) if m.window == 0 => "a HELLO without a window",
            Message::Batch(m) if m.count == 0 || m.first.0 == 0 => "a BATCH without records",
            Message::Batch(m) if m.first.0.checked_add(m.count.into()).is_none() => {
                "a BATCH beyond the last number"
            }
            Message::Lost(m) if m.from.0 == 0 || m.to < m.from || m.to.0 == u64::MAX => {
                "a LOST whose end is before its start"
            }
            Message::Uncertain(m)
                if m.from.0 == 0 || m.to.is_some_and(|to| to < m.from || to.0 == u64::MAX) =>
            {
                "an UNCERTAIN whose end is before its start"
            }
            _ => return Ok(()),
        };
        Err(Garbage::Senseless(senseless))
    }
}

impl Refused {
    /// A refusal that says only why.
    pub fn for_reason(reason: Reason, session: Option<SessionId>) -> Refused {
        let serves = (reason == Reason::Version).then_some((VERSION_SERVED, VERSION));
        Refused { reason, session, other: None, serves }
    }
}

fn cap(frame: &[u8], limit: usize) -> Result<(), Garbage> {
    let bytes = frame.len();
    if bytes > limit { Err(Garbage::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// What a peer said, short and plain enough for a log.
pub fn printable(text: &str) -> String {
    text.chars().take(160).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

fn is_false(value: &bool) -> bool {
    !value
}
