//! The ring in a real file: found, made, locked, written, read, freed.

use std::fs;
use std::path::PathBuf;

use sparkngin_core::id::Seq;
use sparkngin_core::record::Slice;
use sparkngin_core::ring::*;

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
