//! The ring: a file that every worker maps, and the only spool there is. It stores bytes under a number; what an event
//! is, it does not know. `layout` draws the file, docs/protocol.md says how to read it from outside.
//!
//! A pool of blocks. A worker claims one, writes records into it alone, seals it, claims the next. The publisher reads
//! what is committed, stores how far everybody has come, and frees blocks. No step waits for another process, and a
//! process may be killed between any two.
//!
//! # Streams
//!
//! A slot is a stream: seq 1, 2, 3 ... as long as the file lives. Who holds the lock on the slot's byte is the stream's
//! only writer. A worker takes the lowest slot that nobody holds, and goes on where the last holder stopped: the same
//! seq, the same OPEN block. So neither reloads nor crashes cost slots or blocks. The kernel drops the lock when its
//! process is gone, and only then: nobody is declared dead by a pid or a time-out.
//!
//! # Blocks
//!
//! ```text
//!            W1 claim, W2 begin             W7 seal
//!   FREE(g) ------------------> OPEN(g + 1) -------> SEALED(g + 1)
//!      ^                           |                    |       |
//!      |  claimed, but never begun |    all in it is    |       | `overwrite`: W1
//!      +---------------------------+    acknowledged    |       +--> OPEN(g + 2)
//!      +------------------------------------------------+
//! ```
//!
//! | step of a writer | who is killed right after it leaves |
//! |---|---|
//! | W1 FREE(g) becomes OPEN(slot, g + 1), by a swap | an OPEN block whose `committed` is of another generation: it is empty, and the slot's next holder returns it |
//! | W2 first seq and ticket; then `committed` = (g + 1, 0) | the same, or an empty OPEN block |
//! | W3 the record, by words, behind what is committed | nothing that anybody sees; the next holder has the disk forget it first (`leftover.rs`) |
//! | W4 `committed` = (g + 1, used + length): **the commit**; several events may share one | an event that is delivered, though perhaps nobody was told |
//! | W5 the slot's `last` = seq | the next holder finds it out before it writes or seals |
//! | W6 fence; the bell, if the publisher sleeps; the answer | a publisher that wakes 200 ms later |
//! | W7 the next record does not fit: the block's last seq, then OPEN becomes SEALED, by a swap | a block that the next holder goes on in |
//!
//! All that a process must know before it acts for a slot (a new writer, or the publisher for a dead one) it reads under
//! the slot's byte: last = the greater of the slot's `last` and the highest seq in its OPEN block. A committed record
//! there that fails its check poisons the file: nothing but cursors is written to it any more.
//!
//! Claims take the FREE block of the lowest ticket, so what was freed last stays readable longest. When none is FREE,
//! `reject` refuses (and looks again only when `freed` has moved), `overwrite` takes the SEALED block of the lowest
//! ticket. An OPEN block is never taken. A dead slot's OPEN block stays as it is for the slot's next holder; only while
//! under a quarter of the blocks is FREE it is sealed, if all in it is acknowledged (`reject`) or its ticket is the
//! lowest (`overwrite`). Nobody else seals a block that has room: few events never fill the ring.
//!
//! # Reading
//!
//! First every slot's `last` is sampled, then each descriptor is read: `state`, `committed`, the rest, `state` again. If
//! the generation changed, the look is void; so is a copied record, if it changed by then. A seq up to the sampled
//! `last` that the scan did not find is lost; of what lies beyond nothing is believed. A loss enters a cursor in the same
//! switch that passes it: delivered = acked - start - lost - dead - uncertain, over any kill. A cursor is stored before
//! its blocks are freed. What a new name found in blocks that were FREE already, and did not come to in time, moves its
//! `start`: nobody had promised it. A record that fails its check ends its block, as uncertain.
//!
//! # What holds at any time
//!
//! - I1: a committed record is delivered or counted, by each cursor, exactly once.
//! - I2: nothing uncommitted is delivered.
//! - I3: the seqs of a stream come in order.
//! - I4: no OPEN block changes its slot.
//! - I5: when all writers are dead or idle, every block becomes FREE or stays readable.
//! - I6: no step waits for another process.
//!
//! The tests kill real processes (`tests/ring_kills.rs`), die before every single step (`tests/crash.rs`), compare any
//! order of operations with a list (`tests/model.rs`), run this code under every schedule and every value that weak memory
//! lets a load see (`tests/loom.rs`), and under random schedules with deaths and a change of lease (`tests/shuttle.rs`).

mod attached;
mod beginning;
mod bell;
mod block;
mod carried;
mod configuration;
mod cursor;
mod disk;
mod doubt;
mod drain;
mod eye;
mod file;
mod filesystem;
mod folder;
mod hand;
mod heartbeats;
mod history;
mod holder;
mod hours;
mod known;
mod lane;
mod layout;
mod lease;
mod ledger;
mod leftover;
mod lock;
mod looker;
mod making;
mod mapping;
mod memory;
mod open_error;
mod pen;
mod places;
mod reach;
mod reader;
mod refusals;
mod repair;
mod scan;
mod search;
mod slot_bell;
mod superblock;
mod sync;
mod tenant;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod waiter;
mod word;
mod writer;

pub use bell::{Bell, Fifo};
pub use block::Filled;
pub use carried::Carried;
pub use configuration::{Configuration, Name, NotAName, Overflow, PublisherState, SubscriberState};
pub use cursor::{Cursor, Who};
pub use drain::{Drain, NotDrained};
pub use eye::Next;
pub use file::{Found, Ring, Wanted};
pub use filesystem::Ground;
pub use folder::{LeftAlone, Origin, Replaced};
pub use history::{Sample, TICK, TICKS};
pub use holder::Holder;
pub use hours::hour;
pub use layout::{At, Geometry, Layout, NAMES, SLOTS, VERSION};
pub use lease::{Bid, Candidate, Lease, Vacancy};
pub use ledger::{Books, Ledger, StreamBooks, SubscriberBooks};
pub use looker::Looker;
pub use mapping::Mapping;
pub use memory::{Heap, Memory};
pub use open_error::{Difference, OpenError};
pub use pen::{Committed, Refused};
pub use reach::Reach;
pub use reader::Reader;
pub use refusals::{Refusals, Why};
pub use scan::{Blocks, Scan};
pub use sync::{Syncer, Work};
pub use tenant::{Tenant, Who as Server};
pub use verify::{Flaw, Verified, verify};
pub use view::View;
pub use waiter::Waiter;
pub use word::{BlockState, Generation, MAX_BLOCK_BYTES, Phase, Ticket};
pub use writer::{NoSlot, Writer};
