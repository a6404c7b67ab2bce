//! Where everything lies in a ring file. Every offset of the ring is here; all numbers are little endian.
//!
//! ```text
//!   byte     what                                                                     bytes
//!   0        superblock: what the file is, written once, before the file has its name 4096
//!   4096     control words, each at the start of 128 bytes                            4096
//!   8192     configuration, kept twice                                                4096
//!   12288    books carried forward, kept twice                                        4096
//!   16384    slots, one per stream                                                    slots x 4096
//!   ...      block descriptors                                                        blocks x 128
//!   ...      (up to the next multiple of 4096)
//!   ...      blocks                                                                   blocks x block bytes
//!
//!   superblock, words     0 magic "SPARKRNG"    1 layout version   2 bytes of the file   3 bytes of a block
//!                         4 blocks   5 slots    6, 7 region, low and high word    8, 9 boot id, low and high word
//!                         10 inode   11 made at, ns since 1970   12 to 14 zero    15 CRC32C of words 0 to 14
//!   control, number       0 epoch     1 ticket         2 sleeping          3 freed     4 streams      5 poisoned
//!                         6 clean     7 last turn      8 live dropped      9 last good sync           10 syncing
//!                         11 words: 0 holder configured at    1 its process               12 traffic lost
//!                         13 words: 0 syncs, odd while one is under way    1 beginnings
//!                         14 words: 0 failed in a row before    1 the disk refuses syncs
//!                         15 words, cannot listen since: 0 live    1 the feed
//!                         2 files removed under their users that wait to be drained
//!                         16 to 19 named subscribers by place, words: 0 connected since    1 last BEAT
//!                         2 last ACK    3 holds the ring full since    4 how long its events took is told (0 or 1):
//!                         5 events    6 to 9 what 50, 90, 99 and 99.9 % took, us
//!                         20 refused, words by reason: 0 full    1 busy    2 away    3 invalid    4 large    5 denied
//!                         21 history, words: 0 tick    1 to 9 what was counted until then
//!                         22, 24, 26, 28 named subscribers by place, words: 0 how many events took how long is told (0 or
//!                         1)   1 to 22 events by bound   23 how long they took together, us
//!   configuration, bytes  0 selector    1024, 2048 the two copies, each in words: 0 policy (0 none yet, 1 overwrite,
//!                         2 reject)    1 configured at    2 names in force, a bit for each place
//!                         8 + 8 x place: name, 64 bytes, filled up with NUL
//!   carried, bytes        0 selector    1024, 2048 the two copies, each in words: 0 number of the file that came last
//!                         1 traffic lost    2 to 7 refused, by reason
//!                         8 + 8 x n: 0 live, 1 to 4 named by place, in words:
//!                         0 delivered    1 lost    2 dead    3 uncertain    4 open-ended (0 or 1)    5 heartbeats    6, 7 zero
//!   slot, bytes           0 last      8 block claimed last (a hint)    16 hour floor    128 synced    136 waiting
//!                         144 urgent    152 beginning    160 holder's process    168 holder since    176 leaving since
//!                         256 64 pairs of words: hour, first seq of it
//!                         1280 + 256 x n cursor n: 0 live, 1 to 4 named by place; bytes: 0 selector
//!                         128, 192 the two copies, each in words: 0 start    1 acked    2 lost    3 dead
//!                         4 uncertain    5 uncertain and open-ended (0 or 1)    6 unheld    7 heartbeats
//!                         2560 38 samples of 5 words each, of the history: in the last three slots alone
//!                         2560 heartbeats: their number, the seqs of the last 128: in all other slots
//!   descriptor, words     0 state     1 committed      2 ticket            3 first seq    4 last seq, once sealed
//! ```
//!
//! A slot has a page of its own, so that a page that one worker dirties is not another's: after each sync the first
//! write to a page costs its writer a fault. Locks are bytes of the file, too: [`attach_byte`], [`Layout::slot_byte`].

use super::word::MAX_BLOCK_BYTES;
use crate::id::Stream;
use crate::took::COUNTS;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Words of 128 bytes: two cache lines, since CPUs fetch them in pairs.
const LINE: usize = 16;
const PAGE_WORDS: usize = PAGE / 8;

/// The version of this layout; a file of another one is not written to.
pub const VERSION: u64 = 1;
/// The first word of a ring file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SPARKRNG");
/// Slots of a ring file, so as many workers may write at a time.
pub const SLOTS: u16 = 256;
/// Subscribers that can be named at a time.
pub const NAMES: usize = 4;
/// (hour, first seq) pairs that a slot keeps.
pub const PAIRS: usize = 64;
/// Words of one copy of a cursor.
pub const CURSOR_WORDS: usize = 8;
/// Words of one copy of the configuration.
pub const CONFIGURATION_WORDS: usize = 8 + NAMES * 8;
/// Words of one reader's books in a copy of those that are carried forward.
pub const CARRIED_BOOKS: usize = 8;
/// Words of one copy of the books carried forward: of live and of each place.
pub const CARRIED_WORDS: usize = 8 + (1 + NAMES) * CARRIED_BOOKS;
/// Words of the superblock that the file's making writes; the last one is the CRC of the others.
pub const SUPERBLOCK_WORDS: usize = 16;

const CONTROL: usize = PAGE_WORDS;
const CONFIGURATION: usize = 2 * PAGE_WORDS;
const CARRIED: usize = 3 * PAGE_WORDS;
const SLOT_AREA: usize = 4 * PAGE_WORDS;
const SLOT_PAIRS: usize = 2 * LINE;
const SLOT_CURSORS: usize = SLOT_PAIRS + 2 * PAIRS;
const SLOT_SAMPLES: usize = SLOT_CURSORS + (1 + NAMES) * 2 * LINE;
/// Heartbeats that a stream remembers the seqs of.
pub const HEARTBEATS: u64 = 128;
/// Words of a sample of the history.
const SAMPLE_WORDS: usize = 5;
/// Samples in the room that a slot has left.
const SLOT_HOLDS: usize = (PAGE_WORDS - SLOT_SAMPLES) / SAMPLE_WORDS;
/// Slots that have them.
const SLOTS_OF_SAMPLES: u16 = 3;

const _: () = assert!(16 * 8 <= PAGE && 16 + NAMES <= 20 && (22 + 2 * NAMES) * LINE <= PAGE_WORDS);
const _: () = assert!(1 + COUNTS < 2 * LINE);
const _: () = assert!(SLOT_CURSORS + (1 + NAMES) * 2 * LINE <= PAGE_WORDS);
const _: () = assert!(SLOT_SAMPLES + 1 + HEARTBEATS as usize <= PAGE_WORDS);
const _: () =
    assert!(CONFIGURATION_WORDS <= 1024 / 8 && CARRIED_WORDS <= 1024 / 8 && 3 * 1024 <= PAGE);
const _: () = assert!(cfg!(target_endian = "little"));

/// How large a ring is: a value of each file, never a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Blocks in the pool.
    pub blocks: u32,
    /// Bytes of a block, a multiple of 8, [`MAX_BLOCK_BYTES`] at most; no record is larger.
    pub block_bytes: u32,
    /// Streams, and so writers at a time.
    pub slots: u16,
}

/// The number of a word in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At(pub usize);

impl At {
    /// The word `words` further on.
    pub const fn plus(self, words: usize) -> At {
        At(self.0 + words)
    }
}

/// Raised by each new holder of the lease.
pub const EPOCH: At = control(0);
/// The last ticket that was drawn.
pub const TICKET: At = control(1);
/// 1 while the publisher waits for its bell.
pub const SLEEPING: At = control(2);
/// Raised whenever a block became FREE.
pub const FREED: At = control(3);
/// Slots from here on were never taken: raised before a slot's first claim.
pub const STREAMS: At = control(4);
/// 1 when nothing more may be written to this file.
pub const POISONED: At = control(5);
/// [`IS_CLEAN`] when the last process left it in order, with everything on the disk; [`WAS_CLEAN`] until that was taken
/// back on the disk, too; 0 while it is written to.
pub const CLEAN: At = control(6);
/// See [`CLEAN`].
pub const IS_CLEAN: u64 = 1;
/// See [`CLEAN`].
pub const WAS_CLEAN: u64 = 2;
/// When the publisher last looked, ns since 1970.
pub const LAST_TURN: At = control(7);
/// Live messages dropped at full pipes.
pub const LIVE_DROPPED: At = control(8);
/// When the last sync that succeeded began, ns since 1970.
pub const LAST_SYNC: At = control(9);
/// What it takes to wake who syncs, see `sync.rs`: 1 any commit, 2 somebody who waits for it, 0 it is awake.
pub const SYNCING: At = control(10);

/// The time of the configuration by which the holder of the lease publishes, ns since 1970; one that wrote down what holds
/// may be newer.
pub const HOLDER: At = control(11);
/// The process that holds the lease, as its number is where it runs.
pub const HOLDERS_PROCESS: At = HOLDER.plus(1);
/// Events of the site's own traffic that were not stored.
pub const TRAFFIC_LOST: At = control(12);
/// Events that were refused, a word for each reason, see `refusals.rs`.
pub const REFUSED: At = control(20);
/// The tick of the last sample of what came and went, and what was counted until then, see `history.rs`.
pub const HISTORY: At = control(21);
/// Counts beginnings and ends of syncs, see `doubt.rs`: odd while one is under way, or nobody knows how it ended.
pub const SYNCS: At = control(13);
/// Counts the syncs of slots' holders for themselves, see `beginning.rs`.
pub const BEGINNINGS: At = SYNCS.plus(1);
/// How many syncs in a row had failed when the file was made; 0 again once one of this file succeeded.
pub const FAILED: At = control(14);
/// 1 while no sync is tried, since the disk refused one of something else.
pub const REFUSES: At = FAILED.plus(1);
/// Since when nobody can connect to the live port, for its address cannot be bound, ns since 1970; 0 while it listens.
pub const LIVE_DEAF: At = control(15);
/// The same of the feed.
pub const FEED_DEAF: At = LIVE_DEAF.plus(1);
/// How many files whose names were removed under their users wait to be drained.
pub const REMOVED: At = LIVE_DEAF.plus(2);

const fn control(line: usize) -> At {
    At(CONTROL + line * LINE)
}

/// Since when the subscriber of this place is connected (ns since 1970, 0 when it is not), and when it last said BEAT.
pub const fn presence(place: usize) -> (At, At) {
    let at = control(16 + place);
    (at, at.plus(1))
}

/// When the subscriber of this place last acknowledged something, and since when it holds the ring full (0 when it does
/// not), both in ns since 1970.
pub const fn progress(place: usize) -> (At, At) {
    let at = control(16 + place);
    (at.plus(2), at.plus(3))
}

/// Whether it is told how long the events of the subscriber of this place took; what is told stands in the five words behind.
pub const fn took(place: usize) -> At {
    control(16 + place).plus(4)
}

/// Whether it is told how many events of the subscriber of this place took how long since it began; their numbers by bound
/// stand behind, and then how long they took together.
pub const fn spread(place: usize) -> At {
    control(22 + 2 * place)
}

/// The lock byte of who syncs the file.
pub const fn sync_byte() -> u64 {
    SYNCING.0 as u64 * 8
}

/// The lock byte that whoever uses the file holds for reading.
pub const fn attach_byte() -> u64 {
    0
}

/// A record kept twice, with the selector that says which copy holds.
#[derive(Clone, Copy, Debug)]
pub struct Twice<const WORDS: usize> {
    selector: At,
    copies: [At; 2],
}

impl<const WORDS: usize> Twice<WORDS> {
    /// Counts the switches; its low bit says which copy holds.
    pub const fn selector(self) -> At {
        self.selector
    }

    /// The copy that holds when the selector is `turn`.
    pub const fn copy(self, turn: u64) -> At {
        self.copies[(turn & 1) as usize]
    }
}

/// The configuration, as the lease holder wrote it.
pub const fn configuration() -> Twice<CONFIGURATION_WORDS> {
    a_page(At(CONFIGURATION))
}

/// The books of files that are gone.
pub const fn carried() -> Twice<CARRIED_WORDS> {
    a_page(At(CARRIED))
}

const fn a_page<const WORDS: usize>(start: At) -> Twice<WORDS> {
    Twice { selector: start, copies: [start.plus(1024 / 8), start.plus(2048 / 8)] }
}

/// The places of one file.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    geometry: Geometry,
}

/// The places of one slot.
#[derive(Clone, Copy, Debug)]
pub struct SlotAt(usize);

/// The places of one block.
#[derive(Clone, Copy, Debug)]
pub struct BlockAt {
    descriptor: usize,
    data: usize,
}

impl Geometry {
    /// Why a ring of this size cannot be, in words.
    pub fn fault(&self) -> Option<&'static str> {
        if self.blocks < 2 {
            Some("a ring needs 2 blocks at least")
        } else if self.block_bytes % 8 != 0 || self.block_bytes < 64 {
            Some("a block's size must be a multiple of 8, and 64 bytes at least")
        } else if self.block_bytes > MAX_BLOCK_BYTES {
            Some("a block's size must be 4 MiB at most")
        } else if self.slots == 0 {
            Some("a ring needs a slot")
        } else {
            None
        }
    }
}

impl Layout {
    /// The places in a file of this size.
    pub fn new(geometry: Geometry) -> Layout {
        Layout { geometry }
    }

    /// The size.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn descriptors(&self) -> usize {
        SLOT_AREA + usize::from(self.geometry.slots) * PAGE_WORDS
    }

    fn data(&self) -> usize {
        let end = self.descriptors() + self.geometry.blocks as usize * LINE;
        end.next_multiple_of(PAGE_WORDS)
    }

    /// Words of the whole file.
    pub fn words(&self) -> usize {
        self.data() + self.geometry.blocks as usize * (self.geometry.block_bytes as usize / 8)
    }

    /// Bytes of the whole file.
    pub fn bytes(&self) -> u64 {
        self.words() as u64 * 8
    }

    /// The places of a slot.
    pub fn slot(&self, stream: Stream) -> SlotAt {
        debug_assert!(stream.0 < self.geometry.slots);
        SlotAt(SLOT_AREA + usize::from(stream.0) * PAGE_WORDS)
    }

    /// The place of a sample of the history: in the last slots, which are seldom used, behind what is theirs. None where
    /// there are too few of them.
    pub fn sample(&self, number: usize) -> Option<At> {
        let back = u16::try_from(number / SLOT_HOLDS).ok()?.checked_add(1)?;
        let slot = self.geometry.slots.checked_sub(back)?;
        let at = SLOT_SAMPLES + number % SLOT_HOLDS * SAMPLE_WORDS;
        Some(At(self.slot(Stream(slot)).0 + at))
    }

    /// The number of a stream's heartbeats, behind which the seqs of the last ones stand. None in the slots that may have
    /// samples of the history.
    pub fn heartbeats(&self, stream: Stream) -> Option<At> {
        let last = self.geometry.slots.checked_sub(SLOTS_OF_SAMPLES)?;
        (stream.0 < last).then(|| At(self.slot(stream).0 + SLOT_SAMPLES))
    }

    /// The lock byte of a slot: who holds it is the stream's only writer.
    pub fn slot_byte(&self, stream: Stream) -> u64 {
        self.slot(stream).0 as u64 * 8
    }

    /// The places of a block.
    pub fn block(&self, block: u32) -> BlockAt {
        debug_assert!(block < self.geometry.blocks);
        BlockAt {
            descriptor: self.descriptors() + block as usize * LINE,
            data: self.data() + block as usize * (self.geometry.block_bytes as usize / 8),
        }
    }
}

impl SlotAt {
    /// The highest seq that was committed; the holder of the slot may be one commit ahead.
    pub fn last(self) -> At {
        At(self.0)
    }

    /// The number of the block that was claimed last, a hint.
    pub fn hint(self) -> At {
        At(self.0 + 1)
    }

    /// Hours since 1970 below which nothing more will be written here.
    pub fn floor(self) -> At {
        At(self.0 + 2)
    }

    /// The highest seq that a finished sync covers.
    pub fn synced(self) -> At {
        At(self.0 + LINE)
    }

    /// The highest seq that somebody waits for to be synced.
    pub fn urgent(self) -> At {
        At(self.0 + LINE + 2)
    }

    /// While the slot's new holder syncs for itself the number of that sync, see [`BEGINNINGS`]; else 0.
    pub fn beginning(self) -> At {
        At(self.0 + LINE + 3)
    }

    /// What the slot's holder says of itself, see `holder.rs`: its process, since when, and since when it is leaving.
    pub fn holder(self) -> [At; 3] {
        let first = At(self.0 + LINE + 4);
        [first, first.plus(1), first.plus(2)]
    }

    /// 1 while the slot's worker waits for its bell.
    pub fn waiting(self) -> At {
        At(self.0 + LINE + 1)
    }

    /// The places of the pair number `index`: hour, first seq.
    pub fn pair(self, index: usize) -> (At, At) {
        let at = At(self.0 + SLOT_PAIRS + 2 * (index % PAIRS));
        (at, at.plus(1))
    }

    /// The cursor of live (0) or of the named subscriber in place `index - 1`.
    pub fn cursor(self, index: usize) -> Twice<CURSOR_WORDS> {
        let selector = At(self.0 + SLOT_CURSORS + index * 2 * LINE);
        let first = selector.plus(LINE);
        Twice { selector, copies: [first, first.plus(CURSOR_WORDS)] }
    }
}

impl BlockAt {
    /// The word [`BlockState`](super::word::BlockState).
    pub fn state(self) -> At {
        At(self.descriptor)
    }

    /// The word [`Fill`](super::word::Fill).
    pub fn committed(self) -> At {
        At(self.descriptor + 1)
    }

    /// The word [`Ticket`](super::word::Ticket).
    pub fn ticket(self) -> At {
        At(self.descriptor + 2)
    }

    /// The seq of the first record in it.
    pub fn first(self) -> At {
        At(self.descriptor + 3)
    }

    /// The seq of the last record in it, written before it is sealed.
    pub fn last(self) -> At {
        At(self.descriptor + 4)
    }

    /// The word at `offset` bytes into the block.
    pub fn data(self, offset: u32) -> At {
        At(self.data + offset as usize / 8)
    }
}
