//! How records travel from a publisher to a named subscriber, and how acknowledgements come back.
//!
//! [`Message`] is what goes over the wire, [`Sessions`] the publisher's half of all conversations, [`Client`] the
//! subscriber's half of one. The halves are values: a message and the time go in, messages and facts come out. They know neither
//! sockets nor the ring, so a test can run both against each other over a transport that loses whatever it likes.
//!
//! ```text
//!   subscriber                                                       publisher
//!   Client::connected  -- HELLO {v, name, window, have} ----------->  Sessions::receive -> Heard::Hello
//!   Incoming::Welcome  <- WELCOME {v, session, regions} ------------  Session::open, Sessions::admit
//!   Incoming::Batch    <- BATCH {session, region, stream, ..} + body  Session::batch
//!   Incoming::Hole     <- LOST, UNCERTAIN --------------------------  Session::hole
//!   Client::done, due  -- ACK {session, cursors} ------------------>  Heard::Acked, stored at once
//!   Client::due        <- BEAT {session}, each 200 ms ------------->  Sessions::due
//! ```
//!
//! What holds, whatever is cut, killed or repeated: an acknowledgement counts only in the session it was given in, only
//! up to what that session was sent, and never backwards; so nothing is freed that was not taken, and what was taken but
//! not yet acknowledged is named in the next HELLO (`have`), so a new session repeats nothing.

mod absent;
mod client;
mod incoming;
mod message;
mod session;
mod sessions;
mod taken;
mod wire;

pub use client::{Client, Settings};
pub use incoming::{Due, Fault, Incoming, Records, Why};
pub use message::{
    Ack, AckCursor, Batch, Beat, Garbage, Have, Hello, Lost, Message, Reason, Refused, RegionState,
    State, StreamState, Uncertain, Welcome, printable,
};
pub use session::{Hole, Moved, Packet, Peer, Place, Session, Shelf};
pub use sessions::{Heard, Overdue, Sessions};
pub use wire::SessionId;

use std::time::Duration;

/// The version of the messages that this code speaks.
pub const VERSION: u32 = 1;
/// The oldest version a publisher of this code serves.
pub const VERSION_SERVED: u32 = 1;
/// How often each side says BEAT while a session is open.
pub const BEAT: Duration = Duration::from_millis(200);
/// After so long without a word the other side is taken for gone.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Most bytes of a header frame, in either direction.
pub const HEADER_MAX: usize = 256 * 1024;
/// Most bytes of a BATCH's body: a record fits a block, and no block is larger.
pub const BODY_MAX: usize = 4 * 1024 * 1024;
/// What a publisher gathers into one BATCH, unless a single record is larger.
pub const BATCH_BYTES: usize = 1024 * 1024;
/// Most bytes a subscriber may have on their way to it.
pub const WINDOW_MAX: u64 = 64 * 1024 * 1024;
/// What each message takes of the window beside its body, so that holes and small batches are limited, too.
pub const MESSAGE_COST: u64 = 256;
/// Why an event is lost: it was overwritten before it was acknowledged.
pub const OVERWRITTEN: &str = "overwritten";
/// Why an event that a new name found in the ring is gone: its block was free already, and not held for this name.
pub const FREED: &str = "freed";
/// Most bytes of a subscriber's name.
pub const NAME_MAX: usize = 63;
/// Most bytes of what a subscriber says about where it runs.
pub const FROM_MAX: usize = 128;
