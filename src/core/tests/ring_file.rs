//! The ring in a real file: found, made, locked, written, read, freed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::record::Slice;
use sparkngin_core::ring::*;

#[path = "ring_file/carried.rs"]
mod carried;
#[path = "ring_file/drained.rs"]
mod drained;
#[path = "ring_file/others.rs"]
mod others;
#[path = "ring_file/shown.rs"]
mod shown;
#[path = "ring_file/syncing.rs"]
mod syncing;

/// A directory of the test's own, gone when it ends.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Dir {
        let name = format!("{test}.{}", std::process::id());
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn wanted(&self, blocks: u64) -> Wanted {
        Wanted { dir: self.0.clone(), bytes: blocks * 4096, block_bytes: 4096 }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn configuration(policy: Overflow, names: &[&str]) -> Configuration {
    let subscribers = names.iter().map(|name| name.parse().unwrap()).collect();
    Configuration { policy, subscribers, configured_at: 1 }
}

#[test]
fn what_a_writer_commits_a_reader_hands_out_and_frees() {
    let dir = Dir::new("commits");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let stream = writer.stream();
    let event = [7u8; 1000];
    let mut acked = Seq(0);
    for n in 1..=100u64 {
        let committed = writer.append(n, &event).unwrap();
        assert_eq!(committed.id().seq, Seq(n));
        let scan = reader.scan();
        let mut out = Vec::new();
        let next = reader.next(&scan, stream, acked, usize::MAX, &mut out);
        assert_eq!(next, Next::Slice { first: Seq(n), count: 1 });
        let seed = reader.ring().view().seed(stream);
        let record = Slice::new(seed, Seq(n), &out).next().unwrap().unwrap();
        assert_eq!((record.received, record.bytes), (n, &event[..]));
        acked = Seq(n);
        let cursor = reader.cursor(Who::Named(0), stream);
        reader.store(Who::Named(0), stream, Cursor { acked, ..cursor });
        reader.free(&scan);
    }
    let ledger = Ledger::read(&ring);
    assert_eq!((ledger.committed, ledger.blocks.sealed), (100, 0));
    let books = &ledger.subscribers[0].books;
    assert_eq!((books.committed, books.delivered, books.in_ring, books.lost), (100, 100, 0, 0));
}

#[test]
fn a_full_ring_refuses_and_names_who_holds_it() {
    let dir = Dir::new("full");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka", "other"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let mut stored = 0;
    let refused = loop {
        match writer.append(1, &[1; 1000]) {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(stored, 16, "four records of 1024 bytes in each of 4 blocks");
    let ahead = Cursor { acked: Seq(9), ..Cursor::default() };
    reader.store(Who::Named(0), writer.stream(), ahead);
    assert_eq!(refused.to_string(), "the ring is full, held by \"other\"");
    let acked = Cursor { acked: Seq(4), ..Cursor::default() };
    reader.store(Who::Named(1), writer.stream(), acked);
    let scan = reader.scan();
    assert_eq!(reader.free(&scan), 1);
    assert_eq!(writer.append(1, &[1; 1000]).unwrap().id().seq, Seq(17));
}

/// The sentence that an opening ends with.
fn refusal(wanted: &Wanted) -> String {
    match Ring::open_or_make(wanted) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

/// A ring that was made and left.
fn left(dir: &Dir) -> PathBuf {
    Ring::open_or_make(&dir.wanted(8)).unwrap().path().to_owned()
}

/// Writes one word of the superblock, and the sum that belongs to it.
fn forge(path: &PathBuf, word: usize, value: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = [0; 128];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
    let crc = u64::from(crc32c::crc32c(&bytes[..120]));
    bytes[120..].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&bytes, 0).unwrap();
}

#[test]
fn the_first_makes_the_file_for_its_owner_alone_and_all_others_open_it() {
    let dir = Dir::new("makes");
    let wanted = dir.wanted(8);
    let regions: Vec<_> = std::thread::scope(|threads| {
        let all: Vec<_> = (0..8)
            .map(|_| threads.spawn(|| Ring::open_or_make(&wanted).unwrap().region()))
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(regions.iter().all(|region| *region == regions[0]), "{regions:?}");
    let ring = Ring::open_or_make(&wanted).unwrap();
    assert_eq!(ring.path(), dir.0.join("ring.1"));
    assert_eq!(ring.geometry(), Geometry { blocks: 8, block_bytes: 4096, slots: 256 });
    let meta = fs::metadata(ring.path()).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(meta.len(), Layout::new(ring.geometry()).bytes());
    assert!(meta.blocks() * 512 >= meta.len(), "all of it is reserved");
    let mut names: Vec<_> = fs::read_dir(&dir.0)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["lock", "ring.1"]);
}

#[test]
fn what_a_maker_left_that_died_is_replaced() {
    let dir = Dir::new("replaced");
    fs::write(dir.0.join("ring.1.new"), b"half a file").unwrap();
    assert_eq!(left(&dir), dir.0.join("ring.1"));
    assert!(!dir.0.join("ring.1.new").exists());
}

#[test]
fn a_directory_that_is_missing_or_full_is_told_of_in_a_sentence() {
    let dir = Dir::new("directory");
    let missing = Wanted { dir: dir.0.join("missing"), ..dir.wanted(8) };
    let sentence = refusal(&missing);
    assert!(sentence.contains("missing\" cannot be used for the ring"), "{sentence}");
    assert!(sentence.contains("No such file"), "{sentence}");
    let huge = Wanted { bytes: 1 << 44, block_bytes: 1 << 22, ..dir.wanted(8) };
    let sentence = refusal(&huge);
    assert!(sentence.starts_with("no room in \""), "{sentence}");
    assert!(!dir.0.join("ring.1").exists() && !dir.0.join("ring.1.new").exists());
    let small = Wanted { bytes: 4096, ..dir.wanted(8) };
    assert!(refusal(&small).contains("2 blocks at least"));
}

#[test]
fn writers_take_the_lowest_free_slots_and_leave_them_when_they_are_gone() {
    let dir = Dir::new("slots");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let take = || Writer::take(ring.again().unwrap()).unwrap();
    let (a, b, c) = (take(), take(), take());
    assert_eq!([a.stream().0, b.stream().0, c.stream().0], [0, 1, 2]);
    assert_eq!(ring.holders().unwrap().len(), 3);
    drop(b);
    assert_eq!(ring.holders().unwrap().len(), 2);
    let d = take();
    assert_eq!(d.stream().0, 1);
    let all: Vec<_> = (3..256).map(|_| take()).collect();
    let refused = Writer::take(ring.again().unwrap()).err().unwrap().to_string();
    assert_eq!(refused, "all 256 slots of the ring have a writer already");
    assert_eq!(ring.holders().unwrap().len(), 256);
    drop((all, a, c, d));
    assert_eq!(ring.holders().unwrap().len(), 0);
}

#[test]
fn a_writer_in_the_publishers_process_is_alive_to_it_too() {
    let dir = Dir::new("alive");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let mut writers: Vec<_> =
        (0..4).map(|_| Writer::take(ring.again().unwrap()).unwrap()).collect();
    for writer in &mut writers {
        writer.append(1, b"x").unwrap();
    }
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let scan = reader.scan();
    for stream in reader.streams().collect::<Vec<_>>() {
        reader.store(Who::Named(0), stream, Cursor { acked: Seq(1), ..Cursor::default() });
    }
    reader.tend(&scan);
    assert_eq!(reader.scan().blocks(), Blocks { free: 0, open: 4, sealed: 0 });
    drop(writers.remove(2));
    reader.tend(&scan);
    assert_eq!(reader.scan().blocks(), Blocks { free: 0, open: 3, sealed: 1 });
    // The moment it was held is over.
    assert_eq!(Writer::take(ring.again().unwrap()).unwrap().stream().0, 2);
}

#[test]
fn there_is_one_lease_and_its_holder_sees_a_bid() {
    let dir = Dir::new("lease");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    assert!(Lease::try_take(&dir.0).unwrap().is_none());
    assert!(!lease.outbid());
    let bid = Bid::try_place(&dir.0).unwrap().unwrap();
    assert!(Bid::try_place(&dir.0).unwrap().is_none());
    assert!(lease.outbid());
    drop(lease);
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    drop(bid);
    assert!(!lease.outbid());
}

#[test]
fn a_lease_is_vacant_when_it_was_free_at_all_looks_for_2_s() {
    let mut vacancy = Vacancy::default();
    assert!(!vacancy.lasts(false, 10) && !vacancy.lasts(false, 2009));
    assert!(!vacancy.lasts(true, 2010), "somebody has it");
    assert!(!vacancy.lasts(false, 3000) && !vacancy.lasts(false, 4999));
    assert!(vacancy.lasts(false, 5000));
}

#[test]
fn each_new_holder_of_the_lease_raises_the_epoch_and_writes_its_configuration_for_all() {
    let dir = Dir::new("epoch");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert_eq!((ring.state().epoch, ring.state().policy), (0, None));
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    for epoch in 1..4 {
        let policy = if epoch == 2 { Overflow::Overwrite } else { Overflow::Reject };
        let names = &["kafka", "other.one", "third"][..epoch];
        let configuration = Configuration { configured_at: 70, ..configuration(policy, names) };
        let mut reader = Reader::new(ring.again().unwrap(), &lease, &configuration).unwrap();
        reader.note_turn(5);
        reader.note_subscriber(epoch - 1, Some(8), 9);
        let state = ring.state();
        assert_eq!((state.epoch, state.configured_at, state.last_turn), (epoch as u64, 70, 5));
        assert_eq!(state.policy, Some(policy));
        let shown: Vec<_> = state.subscribers.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(shown, names);
        let last = state.subscribers.last().unwrap();
        assert_eq!((last.connected, last.last_beat), (Some(8), 9));
    }
    let names = ["a", "b", "c", "d", "e"];
    let refused =
        Reader::new(ring.again().unwrap(), &lease, &configuration(Overflow::Reject, &names));
    assert!(refused.err().unwrap().to_string().contains("4 subscribers"));
}

/// Whether a bell was rung and not cleared.
fn rung(fd: &dyn std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap() == 1
}

#[test]
fn a_writer_wakes_the_publisher_that_waits_and_the_publisher_the_worker() {
    let dir = Dir::new("bells");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let waits = |fd: &dyn std::os::fd::AsFd| !rung(fd);
    writer.append(1, b"nobody waits").unwrap();
    assert!(waits(&reader.bell()));
    reader.bell().arm();
    writer.append(1, b"somebody waits").unwrap();
    assert!(!waits(&reader.bell()));
    reader.bell().clear();
    assert!(waits(&reader.bell()));
    let stream = writer.stream();
    let waiter = Waiter::new(ring.again().unwrap(), stream).unwrap();
    reader.wake(stream);
    waiter.bell().arm();
    assert!(waits(&waiter.bell()));
    reader.wake(stream);
    assert!(!waits(&waiter.bell()));
    waiter.bell().clear();
    assert!(waits(&waiter.bell()));
}

#[test]
fn what_fits_a_block_is_one_commit_and_what_does_not_goes_on_where_the_stream_is() {
    let dir = Dir::new("some");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    // Ten records of it fill a block, but for less than one.
    let block = ring.geometry().block_bytes as usize;
    let event = vec![7; block / 10 / 8 * 8 - 24];
    let events = |count: usize| vec![&event[..]; count];
    let mut some = |count| writer.append_some(1, &events(count)).unwrap().count();
    assert_eq!(some(4), 4);
    assert_eq!(some(7), 7, "six have room here, seven in a fresh block");
    assert_eq!(some(14), 3, "more than a block: what has room here");
    assert_eq!(some(11), 10, "none has room: a fresh block");
    assert_eq!(some(1), 1);
    let limit = block - 24;
    let large = vec![7; limit + 1];
    let refused = writer.append_some(1, &[&large, &event]);
    assert_eq!(refused, Err(Refused::TooLarge { bytes: limit + 1, limit }));
    assert!(writer.append_some(1, &[]).is_err());
    assert_eq!(writer.last(), Seq(25));
}

#[test]
fn who_only_looks_sees_all_and_can_write_nothing() {
    let dir = Dir::new("looks");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    writer.append_all(1, &[b"one", b"two", b"three"]).unwrap();
    forge(&ring.path().to_owned(), 8, 1); // left behind by an earlier boot
    let looked = Ring::open_all(&dir.0).unwrap().remove(0);
    let (scan, mut bytes) = (looked.scan(), Vec::new());
    let next = looked.next(&scan, writer.stream(), Seq(0), usize::MAX, &mut bytes);
    assert_eq!(next, Next::Slice { first: Seq(1), count: 3 });
    assert_eq!(Ledger::read(&looked), Ledger::read(&ring));
    assert!(ring.writable() && !looked.writable());
    assert!(matches!(Writer::take(looked), Err(NoSlot::ReadOnly)));
    assert!(Ring::open_all(&dir.0.join("missing")).is_err());
}

#[test]
fn a_file_whose_name_was_taken_by_another_is_not_opened_again() {
    let dir = Dir::new("again");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let aside = dir.0.join("aside");
    fs::rename(ring.path(), &aside).unwrap();
    assert!(ring.again().is_err());
    let other = Ring::open_or_make(&dir.wanted(8)).unwrap();
    fs::rename(other.path(), ring.path()).unwrap();
    let sentence = ring.again().err().unwrap().to_string();
    assert!(sentence.contains("another file has its name now"), "{sentence}");
}

#[test]
fn a_file_whose_name_is_gone_is_opened_again_and_its_number_is_not_used_again() {
    let dir = Dir::new("nameless");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    Writer::take(ring.again().unwrap()).unwrap().append(1, b"one").unwrap();
    assert!(!ring.is_removed());
    fs::remove_file(ring.path()).unwrap();
    assert!(ring.is_removed());
    let again = ring.again().unwrap();
    assert_eq!(again.region(), ring.region());
    let mut writer = Writer::take(again).unwrap();
    assert_eq!(writer.append(1, b"two").unwrap().id().seq, Seq(2), "locks of its own");
    let heir = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert!(heir.number() == 2 && heir.region() != ring.region());
}

#[test]
fn a_lease_goes_on_where_others_look_when_the_file_lock_was_removed() {
    let dir = Dir::new("follow");
    assert_eq!(Ring::open_or_make(&dir.wanted(8)).unwrap().number(), 1);
    let mut lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let before = Candidate::new(&dir.0).unwrap();
    assert!(!before.is_removed());
    for file in ["lock", "ring.1"] {
        fs::remove_file(dir.0.join(file)).unwrap();
    }
    assert!(before.is_removed() && !Lease::is_held(&dir.0).unwrap());
    assert!(lease.follow(&dir.0).unwrap());
    assert!(Lease::is_held(&dir.0).unwrap() && before.is_held().unwrap(), "in both files");
    assert!(lease.follow(&dir.0).unwrap() && !lease.outbid());
    assert_eq!(Ring::open_or_make(&dir.wanted(8)).unwrap().number(), 2, "it is still known");
    fs::remove_file(dir.0.join("lock")).unwrap();
    let _other = Lease::try_take(&dir.0).unwrap().unwrap();
    assert!(!lease.follow(&dir.0).unwrap(), "somebody else has it");
}
