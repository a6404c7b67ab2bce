//! What the killed do: write, and publish.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::record::{Slice, size};
use sparkngin_core::ring::{
    Configuration, Cursor, Lease, Memory, Next, Overflow, Reader, Refused, Ring, Scan, Wanted, Who,
    Writer,
};

use crate::memory::{Random, Unsteady, mix};
use crate::notes::{Fate, Notes, clock, room};

/// What a process is told of its part.
pub struct Part {
    pub dir: PathBuf,
    pub blocks: u64,
    pub policy: Overflow,
    pub kid: usize,
    pub seed: u64,
    pub slow: u64,
    /// Microseconds between two commits.
    pub pace: u64,
    pub forget: u64,
    pub die: u64,
    pub parent: i32,
}

/// Bytes of a block in these tests.
pub const BLOCK: u32 = 16384;
/// The most events that somebody stores at a time.
const MOST: usize = 64;

impl Part {
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("RING_KILLS_DIR", self.dir.display().to_string()),
            ("RING_KILLS_BLOCKS", self.blocks.to_string()),
            ("RING_KILLS_OVERWRITE", u64::from(self.policy == Overflow::Overwrite).to_string()),
            ("RING_KILLS_KID", self.kid.to_string()),
            ("RING_KILLS_SEED", self.seed.to_string()),
            ("RING_KILLS_SLOW", self.slow.to_string()),
            ("RING_KILLS_PACE", self.pace.to_string()),
            ("RING_KILLS_FORGET", self.forget.to_string()),
            ("RING_KILLS_DIE", self.die.to_string()),
            ("RING_KILLS_PARENT", self.parent.to_string()),
        ]
    }

    fn from_environment() -> Part {
        fn get<T: FromStr>(name: &str) -> T {
            let text = std::env::var(format!("RING_KILLS_{name}")).unwrap();
            text.parse().unwrap_or_else(|_| panic!("{name}"))
        }
        let overwrite = get::<u64>("OVERWRITE") == 1;
        Part {
            dir: get("DIR"),
            blocks: get("BLOCKS"),
            policy: if overwrite { Overflow::Overwrite } else { Overflow::Reject },
            kid: get("KID"),
            seed: get("SEED"),
            slow: get("SLOW"),
            pace: get("PACE"),
            forget: get("FORGET"),
            die: get("DIE"),
            parent: get("PARENT"),
        }
    }

    pub fn notes(&self) -> PathBuf {
        self.dir.join("notes")
    }

    pub fn ring(&self) -> Ring {
        let bytes = self.blocks * u64::from(BLOCK);
        let wanted = Wanted { dir: self.dir.clone(), bytes, block_bytes: BLOCK };
        Ring::open_or_make(&wanted).unwrap()
    }

    fn unsteady(&self, ring: Ring, salt: u64) -> Ring<Unsteady> {
        let data = ring.view().layout.block(0).data(0).0;
        let (forget, die, random) = (self.forget, self.die, Random::new(mix(self.seed + salt)));
        let calm = if self.kid == 0 { 1 } else { 16 };
        ring.through(|mapping| Unsteady { mapping, random, data, forget, die, calm })
    }

    pub fn configuration(&self) -> Configuration {
        let subscribers = vec!["kafka".parse().unwrap()];
        Configuration { policy: self.policy, subscribers, configured_at: 1 }
    }
}

/// Lets a little time pass.
pub fn pause(long: Duration) {
    let (tv_sec, tv_nsec) = (long.as_secs() as i64, i64::from(long.subsec_nanos()));
    let _ = poll(&mut [], Some(&Timespec { tv_sec, tv_nsec }));
}

pub fn play(role: &str) -> ExitCode {
    // Nobody outlives the test, however it ends.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let part = Part::from_environment();
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(part.parent) {
        return ExitCode::FAILURE;
    }
    let notes = Notes::open(&part.notes());
    match role {
        "writer" => write(&part, &notes, 1),
        _ => std::thread::scope(|threads| {
            // It is a worker's thread: the worker writes, too.
            threads.spawn(|| write(&part, &Notes::open(&part.notes()), 2));
            publish(&part, &notes);
        }),
    }
    ExitCode::SUCCESS
}

/// An event all of whose bytes follow from stream, seq and salt.
fn event(stream: Stream, seq: Seq, salt: u64, out: &mut Vec<u8>) {
    let length = 5 + if salt % 256 == 0 { 400 + salt / 256 % 600 } else { salt / 256 % 50 };
    out.clear();
    out.extend_from_slice(&salt.to_le_bytes());
    let key = (seq.0 ^ u64::from(stream.0) << 48).wrapping_mul(31).wrapping_add(salt);
    for n in 0..length {
        out.extend_from_slice(&mix(key.wrapping_add(n)).to_le_bytes());
    }
    out.truncate(out.len() - (salt % 8) as usize);
}

fn salt_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |salt| u64::from_le_bytes(*salt))
}

fn write(part: &Part, notes: &Notes, role: u64) {
    let random = Random::new(mix(part.seed) + role);
    let ring = part.ring();
    let Ok(mut writer) = Writer::take(part.unsteady(ring, role)) else {
        return notes.bad("no slot");
    };
    let stream = writer.stream();
    notes.whole(stream, writer.last());
    let mut events = [const { Vec::new() }; MOST];
    if role == 1 {
        notes.begin(part.kid, Some(stream));
    }
    while !(notes.stop() || role == 1 && notes.leave(part.kid)) {
        if part.pace > 0 {
            pause(Duration::from_micros(part.pace));
        }
        let count = match random.once_in(8) {
            // Now and then more than a block can hold.
            true if random.once_in(64) => 2 + random.below(MOST as u64 - 1),
            true => 2 + random.below(3),
            false => 1,
        } as usize;
        let (mut salts, mut fits) = ([0; MOST], 0);
        let last = writer.last();
        if !room(last) {
            pause(Duration::from_millis(1));
            continue;
        }
        for n in 0..count {
            salts[n] = random.next();
            event(stream, Seq(last.0 + 1 + n as u64), salts[n], &mut events[n]);
            fits += size(events[n].len());
        }
        let fits = fits <= BLOCK as usize;
        notes.try_to(stream, last, if fits { count as u64 } else { 0 });
        let slices: Vec<&[u8]> = events[..count].iter().map(Vec::as_slice).collect();
        match writer.append_some(clock(), &slices) {
            Ok(committed) => {
                let stored = committed.count() as usize;
                let right = if fits { stored == count } else { (1..count).contains(&stored) };
                if committed.id().seq != last.next() || !right {
                    notes.bad(&format!("stream {stream}: committed {committed:?} after {last}"));
                }
                for (n, salt) in salts[..stored.min(count)].iter().enumerate() {
                    notes.content(stream, Seq(last.0 + 1 + n as u64), *salt);
                }
                notes.tell(stream, committed.last().seq);
                notes.count(part.kid);
                notes.succeed(stored as u64);
            }
            Err(Refused::Full { .. }) => {
                notes.full(part.kid);
                pause(Duration::from_micros(50));
            }
            Err(Refused::TooLarge { .. }) => {}
            Err(Refused::Poisoned) => return notes.bad("poisoned"),
        }
    }
}

fn publish(part: &Part, notes: &Notes) {
    let random = Random::new(mix(part.seed) + 3);
    let ring = part.ring();
    let lease = loop {
        match Lease::try_take(&part.dir).unwrap() {
            Some(lease) => break lease,
            None => pause(Duration::from_micros(100)),
        }
    };
    let ring = part.unsteady(ring, 3);
    let mut reader = Reader::new(ring, &lease, &part.configuration()).unwrap();
    notes.begin(part.kid, None);
    let mut live = true;
    loop {
        // Sometimes nobody listens.
        if random.once_in(256) {
            live = !random.once_in(4);
        }
        if part.slow > 0 && random.once_in(4) {
            pause(Duration::from_micros(random.below(part.slow * 10)));
        }
        let before = reader.scan();
        let moved = turn(&mut reader, notes, live, &before);
        notes.count_turn();
        if moved {
            continue;
        }
        reader.bell().arm();
        let scan = reader.scan();
        if !turn(&mut reader, notes, live, &scan) {
            let bell = reader.bell();
            let long = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            let _ = poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&long));
        }
        reader.bell().clear();
    }
}

/// One turn over all streams, as a publisher does it; whether anything moved.
pub fn turn<M: Memory>(reader: &mut Reader<M>, notes: &Notes, live: bool, scan: &Scan) -> bool {
    let mut moved = false;
    reader.tend(scan);
    for stream in reader.streams() {
        moved |= follow(reader, notes, scan, stream, Who::Named(0));
        if live {
            moved |= follow(reader, notes, scan, stream, Who::Live);
        }
    }
    moved | (reader.free(scan) > 0)
}

fn follow<M: Memory>(
    reader: &mut Reader<M>,
    notes: &Notes,
    scan: &Scan,
    stream: Stream,
    who: Who,
) -> bool {
    let index = usize::from(who == Who::Live);
    let mut moved = false;
    let mut bytes = Vec::new();
    loop {
        let cursor = reader.cursor(who, stream);
        notes.settle(stream, index, cursor.acked);
        bytes.clear();
        let next = reader.next(scan, stream, cursor.acked, 4096, &mut bytes);
        let (fate, new) = match next {
            Next::Slice { first, count } => {
                check(reader, notes, stream, first, count, &bytes);
                let acked = Seq(cursor.acked.0 + u64::from(count));
                (Fate::Delivered, Cursor { acked, ..cursor })
            }
            Next::Lost { to, .. } => (Fate::Lost, cursor.lose(to)),
            Next::Uncertain { to, .. } => {
                notes.bad(&format!("uncertain: stream {stream}, {} to {to:?}", cursor.acked.0 + 1));
                return moved;
            }
            Next::Nothing => return moved,
            Next::Void => return true,
        };
        notes.intend(stream, index, fate, cursor.acked.next(), new.acked);
        reader.store(who, stream, new);
        notes.settle(stream, index, new.acked);
        moved = true;
    }
}

fn check<M: Memory>(
    reader: &Reader<M>,
    notes: &Notes,
    stream: Stream,
    first: Seq,
    count: u32,
    bytes: &[u8],
) {
    let seed = reader.ring().view().seed(stream);
    let mut records = 0;
    for record in Slice::new(seed, first, bytes) {
        let Ok(record) = record else { return notes.bad("a slice with a torn record") };
        same(notes, stream, record.seq, record.bytes);
        records += 1;
    }
    if records != count {
        notes.bad(&format!("a slice of {records} records that says {count}"));
    }
}

/// Every byte of an event that was seen follows from its stream, seq and salt.
pub fn same(notes: &Notes, stream: Stream, seq: Seq, bytes: &[u8]) {
    let (salt, mut want) = (salt_of(bytes), Vec::new());
    event(stream, seq, salt, &mut want);
    if want != bytes {
        notes.bad(&format!("not the bytes written: stream {stream}, {seq}"));
    }
    notes.content(stream, seq, salt);
}
