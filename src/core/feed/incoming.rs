//! What a client hands out: records, holes, and what went wrong on the publisher's side.

use super::message::{Garbage, Message, Refused, Welcome};
use crate::id::{Region, Seq, Stream};
use crate::record::{self, Record, Seed, Slice, Torn};

/// What a message brought.
#[derive(Debug)]
pub enum Incoming<B> {
    /// A session is open.
    Welcome(Welcome),
    /// Records to take.
    Batch(Records<B>),
    /// Numbers that nobody will see any more: done with them is who passed them on or counted them.
    Lost {
        /// The ring file.
        region: Region,
        /// The stream.
        stream: Stream,
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
        /// First and last hour, since 1970, in which they may have been received.
        hours: (u64, u64),
        /// Why: [`OVERWRITTEN`](super::OVERWRITTEN) or [`FREED`](super::FREED).
        reason: String,
    },
    /// Numbers that may or may not have been there.
    Uncertain {
        /// The ring file.
        region: Region,
        /// The stream.
        stream: Stream,
        /// The first.
        from: Seq,
        /// The last; nothing when the stream ends here without a known end. That needs no [`Client::done`](super::Client::done).
        to: Option<Seq>,
        /// When the last sync that succeeded began, ns since 1970.
        since: u64,
    },
    /// The publisher does not go on. After `Name` and `Key` the client asks again each second; after `Version` and
    /// `Fenced` it says nothing more.
    Refused(Refused),
    /// Nothing to take: a BEAT, something seen before, something of an old session.
    Nothing,
}

/// Records of one stream, in order, checked.
#[derive(Debug)]
pub struct Records<B> {
    /// The ring file.
    pub region: Region,
    /// The stream.
    pub stream: Stream,
    /// The first one's number.
    pub first: Seq,
    /// How many.
    pub count: u32,
    /// The frame they lie in.
    pub body: B,
    /// Where in the frame the first one begins.
    pub skip: usize,
}

impl<B: AsRef<[u8]>> Records<B> {
    /// The records; none fails, they were checked.
    pub fn slice(&self) -> Slice<'_> {
        let rest = self.body.as_ref().get(self.skip..).unwrap_or_default();
        Slice::new(Seed::new(self.region, self.stream), self.first, rest)
    }

    /// The records, whose sums are not looked at again.
    pub fn again(&self) -> impl Iterator<Item = Record<'_>> {
        let (mut next, mut rest) = (self.first, self.body.as_ref().get(self.skip..));
        std::iter::from_fn(move || {
            let record = record::read_again(next, rest?).ok()?;
            next = next.next();
            rest = rest?.get(record::size(record.bytes.len())..);
            Some(record)
        })
    }

    /// The last one's number.
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.count) - 1)
    }
}

/// A publisher that does not keep to the protocol: the client forgets the session and asks for a new connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a message.
    #[error("the publisher sent no message: {0}")]
    Garbage(#[from] Garbage),
    /// Numbers were left out without a reason.
    #[error("stream {region}-{stream} goes on at {first} where {expected} comes next")]
    Gap {
        /// The ring file.
        region: Region,
        /// The stream.
        stream: Stream,
        /// What came.
        first: Seq,
        /// What should have come.
        expected: Seq,
    },
    /// A record was damaged on its way.
    #[error("a BATCH of stream {region}-{stream} from {first}: {torn}")]
    Torn {
        /// The ring file.
        region: Region,
        /// The stream.
        stream: Stream,
        /// The BATCH's first number.
        first: Seq,
        /// What is wrong.
        torn: Torn,
    },
    /// A BATCH has not as many records as it says.
    #[error("a BATCH of stream {region}-{stream} from {first} has not the {count} records it says")]
    Count {
        /// The ring file.
        region: Region,
        /// The stream.
        stream: Stream,
        /// The BATCH's first number.
        first: Seq,
        /// What it says.
        count: u32,
    },
    /// A message that only a subscriber sends.
    #[error("a message that only a subscriber sends")]
    Backwards,
}

/// What the caller is to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send this; one frame, its header.
    Send(Message),
    /// Close the connection, make a new one, say [`Client::connected`](super::Client::connected) when its handshake is done (or at once).
    Reconnect(Why),
}

/// Why a connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing was heard for [`SILENCE`](super::SILENCE).
    Silence,
    /// The publisher did not keep to the protocol.
    Fault,
    /// The publisher did not let us in.
    ShutOut,
}
