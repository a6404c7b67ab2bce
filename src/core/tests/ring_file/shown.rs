//! What workers and operators are told of a ring in use.

use std::os::unix::fs::symlink;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use sparkngin_core::took::{Spread, Took};

use super::*;

#[test]
fn a_commit_says_which_events_it_stored_and_how_many() {
    let dir = Dir::new("counts");
    let mut writer = Writer::take(Ring::open_or_make(&dir.wanted(4)).unwrap()).unwrap();
    assert_eq!(writer.append(1, b"one").unwrap().count(), 1);
    let three = writer.append_all(2, &[b"a", b"b", b"c"]).unwrap();
    assert_eq!((three.id().seq, three.last().seq, three.count()), (Seq(2), Seq(4), 3));
    assert_eq!(writer.last(), Seq(4));
}

#[test]
fn a_writer_is_alone_until_another_stream_has_one() {
    let dir = Dir::new("alone");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let writer = Writer::take(ring.again().unwrap()).unwrap();
    assert!(writer.is_alone().unwrap());
    let other = Writer::take(ring.again().unwrap()).unwrap();
    assert!(!writer.is_alone().unwrap() && !other.is_alone().unwrap());
    drop(other);
    assert!(writer.is_alone().unwrap(), "a stream without a writer is nobody");
}

#[test]
fn who_writes_to_a_slot_says_who_it_is_until_it_is_gone() {
    let dir = Dir::new("holders");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let take = || Writer::take(ring.again().unwrap()).unwrap();
    let all = || ring.holders().unwrap();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let before = clock();
    let (first, mut second) = (take(), take());
    let id = second.append(1, b"one").unwrap().id();
    let seen = all();
    assert_eq!(seen.iter().map(|one| one.stream.0).collect::<Vec<_>>(), [0, 1]);
    assert!(seen.iter().all(|one| one.process == Some(std::process::id())));
    let lately = before..=clock();
    assert!(seen.iter().all(|one| lately.contains(&one.since) && one.leaving.is_none()));
    assert_eq!([seen[0].last, seen[1].last], [Seq(0), id.seq]);
    first.leave();
    let left = all()[0].leaving;
    first.leave();
    assert!(left >= Some(seen[0].since) && all()[0].leaving == left, "said once");
    assert_eq!(all()[1].leaving, None);
    drop(first);
    assert_eq!(all(), seen[1..], "who is gone is nobody");
    let _third = take();
    assert_eq!((all().len(), all()[0].leaving), (2, None), "the slot's next holder stays");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    assert_eq!(ring.state().process, None);
    let named = configuration(Overflow::Reject, &["kafka"]);
    let _reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    assert_eq!(ring.state().process, Some(std::process::id()));
}

#[test]
fn what_would_be_taken_is_taken_and_what_would_be_refused_is_refused() {
    let dir = Dir::new("would-take");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    // Three records of 1304 bytes fit a block of 4096.
    let event = [1; 1280];
    for n in 0..12 {
        assert_eq!(writer.would_take(event.len()), Ok(()), "{n}");
        writer.append(1, &event).unwrap();
    }
    // There are 184 bytes left in the OPEN block, so 160 and a record's head.
    assert_eq!(writer.would_take(160), Ok(()));
    let full = Err(Refused::Full { holder: Some("kafka".parse().unwrap()) });
    assert_eq!(writer.would_take(161), full);
    assert_eq!(writer.would_take(161), full, "nothing was freed since");
    let acked = Cursor { acked: Seq(3), ..Cursor::default() };
    reader.store(Who::Named(0), writer.stream(), acked);
    let scan = reader.scan();
    assert_eq!(reader.free(&scan), 1);
    assert_eq!(writer.would_take(161), Ok(()));
    assert_eq!(writer.last(), Seq(12), "nothing was stored");
}

#[test]
fn what_the_publisher_notes_everybody_can_show() {
    let dir = Dir::new("notes");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka", "archive"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let quiet = ring.state();
    let of = |state: &PublisherState, n: usize| {
        let it = &state.subscribers[n];
        (it.connected, it.last_beat, it.last_ack, it.holds_since)
    };
    assert_eq!((quiet.last_turn, quiet.live_dropped), (0, 0));
    assert_eq!((quiet.live_deaf, quiet.feed_deaf, quiet.removed), (None, None, 0));
    assert_eq!(of(&quiet, 1), (None, 0, 0, None));
    reader.note_turn(5);
    reader.note_live_dropped(6);
    reader.note_deaf(Some(11), Some(12));
    reader.note_removed(13);
    reader.note_subscriber(1, Some(7), 8);
    reader.note_ack(1, 9);
    reader.note_holds(1, Some(10));
    let noted = ring.state();
    assert_eq!((noted.last_turn, noted.live_dropped), (5, 6));
    assert_eq!((noted.live_deaf, noted.feed_deaf, noted.removed), (Some(11), Some(12), 13));
    assert_eq!(of(&noted, 0), (None, 0, 0, None), "the other one's");
    assert_eq!(of(&noted, 1), (Some(7), 8, 9, Some(10)));
    for (live, feed) in [(None, Some(13)), (Some(14), None), (None, None)] {
        reader.note_deaf(live, feed);
        assert_eq!((ring.state().live_deaf, ring.state().feed_deaf), (live, feed));
    }
    reader.note_subscriber(1, None, 8);
    reader.note_holds(1, None);
    assert_eq!(of(&ring.state(), 1), (None, 8, 9, None));
}

#[test]
fn how_long_each_subscribers_events_took_is_shown_while_it_is_connected_and_says_so() {
    let dir = Dir::new("took");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka", "archive"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let shown = || ring.state().subscribers.iter().map(|it| it.took).collect::<Vec<_>>();
    let spread = |us| Spread { counts: std::array::from_fn(|n| us + n as u64), sum: us };
    let took = |us| Took {
        events: us,
        p50: us + 1,
        p90: us + 2,
        p99: us + 3,
        p999: us + 4,
        spread: Some(spread(us)),
    };
    (0..2).for_each(|who| reader.note_subscriber(who, Some(1), 1));
    assert_eq!(shown(), [None, None]);
    reader.note_took(0, Some(took(10)));
    reader.note_took(1, Some(took(20)));
    assert_eq!(shown(), [Some(took(10)), Some(took(20))]);
    reader.note_took(1, None);
    reader.note_subscriber(0, None, 1);
    assert_eq!(shown(), [None, None]);
    reader.note_subscriber(0, Some(2), 2);
    assert_eq!(shown(), [Some(took(10)), None]);
    let older = Took { spread: None, ..took(30) };
    reader.note_took(0, Some(older));
    assert_eq!(shown(), [Some(older), None], "what is told no more is not shown");
}

#[test]
fn everybodys_cursor_can_be_shown_by_place() {
    let dir = Dir::new("cursors");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka", "archive"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let at = |acked: u64| Cursor { acked: Seq(acked), ..Cursor::default() };
    for (acked, who) in [(1, Who::Live), (2, Who::Named(0)), (3, Who::Named(1))] {
        reader.store(who, Stream(0), at(acked));
    }
    let shown = [None, Some(0), Some(1)].map(|place| ring.cursor(place, Stream(0)));
    assert_eq!(shown, [at(1), at(2), at(3)]);
}

#[test]
fn a_lease_that_is_held_and_a_bid_that_was_placed_can_be_seen() {
    let dir = Dir::new("held");
    let candidate = Candidate::new(&dir.0).unwrap();
    let seen = || (Lease::is_held(&dir.0).unwrap(), candidate.is_held().unwrap());
    assert_eq!(seen(), (false, false));
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    assert_eq!(seen(), (true, true));
    assert!(!lease.outbid() && !candidate.outbid().unwrap());
    let bid = Bid::try_place(&dir.0).unwrap().unwrap();
    assert!(lease.outbid() && candidate.outbid().unwrap());
    assert!(Bid::try_place(&dir.0).unwrap().is_none(), "one at a time");
    drop((bid, lease));
    assert_eq!(seen(), (false, false));
    assert!(!candidate.outbid().unwrap());
    assert!(candidate.try_take().unwrap().is_ok());
}

#[test]
fn who_would_rather_not_publish_waits_until_nobody_did_for_2_s() {
    let mut vacancy = Vacancy::default();
    assert!(!vacancy.lasts(false, 1000));
    assert!(!vacancy.lasts(false, 2999));
    assert!(!vacancy.lasts(true, 2999), "somebody had it");
    assert!(!vacancy.lasts(false, 3000));
    assert!(!vacancy.lasts(false, 4999));
    assert!(vacancy.lasts(false, 5000));
}

#[test]
fn a_ring_has_wrapped_when_a_block_was_used_once_more() {
    let dir = Dir::new("wrapped");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let nobody = configuration(Overflow::Overwrite, &[]);
    let _reader = Reader::new(ring.again().unwrap(), &lease, &nobody).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    for n in 1..=4 {
        writer.append(n, &[1; 4000]).unwrap();
        assert!(!ring.has_wrapped(), "{n}");
    }
    writer.append(5, &[1; 4000]).unwrap();
    assert!(ring.has_wrapped());
}

#[test]
fn a_bell_is_for_its_owner_alone_and_nothing_else_is_taken_for_one() {
    let dir = Dir::new("bells");
    let open = |name: &str| Fifo::open(&dir.0, name);
    open("bell.one").unwrap();
    let meta = fs::symlink_metadata(dir.0.join("bell.one")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    symlink(dir.0.join("bell.one"), dir.0.join("bell.link")).unwrap();
    assert_eq!(open("bell.link").err().and_then(|e| e.raw_os_error()), Some(libc::ELOOP));
    fs::write(dir.0.join("bell.file"), "").unwrap();
    assert_eq!(open("bell.file").err().map(|e| e.kind()), Some(io::ErrorKind::AlreadyExists));
}

#[test]
fn the_bells_of_a_file_go_with_it_and_no_others() {
    let dir = Dir::new("bells-go");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    drop(Writer::take(ring.again().unwrap()).unwrap());
    drop(ring);
    let there = |name: &str| dir.0.join(name).exists();
    fs::write(dir.0.join("bell.10.sync"), "").unwrap();
    assert!(there("ring.1") && there("bell.1.sync"));
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let nobody = configuration(Overflow::Overwrite, &[]);
    let ring = Ring::find_all(&dir.0, |_| false).unwrap().rings.remove(0);
    let mut reader = Reader::new(ring, &lease, &nobody).unwrap();
    assert!(reader.remove_if_drained(true, None).unwrap());
    assert!(!there("ring.1") && !there("bell.1.sync"));
    assert!(there("bell.10.sync") && there("bell"));
}

#[test]
fn a_subscribers_name_is_1_to_63_letters_digits_and_dots() {
    for good in ["a", "Kafka-1_b.c", &"x".repeat(63)] {
        assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
    }
    for bad in ["", "a b", "a/b", "\u{e4}", &"x".repeat(64)] {
        assert_eq!(bad.parse::<Name>(), Err(NotAName), "{bad:?}");
    }
}

#[test]
fn a_file_in_memory_is_not_durable_and_one_on_a_disk_is() {
    let on_disk = Dir::new("durable");
    let shm = Dir(PathBuf::from(format!("/dev/shm/sparkngin-durable-{}", std::process::id())));
    fs::create_dir_all(&shm.0).unwrap();
    for dir in [on_disk, shm] {
        let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
        let tmpfs = rustix::fs::statfs(&dir.0).unwrap().f_type == 0x0102_1994;
        assert_eq!(ring.is_durable().unwrap(), !tmpfs);
    }
}

#[test]
fn when_the_oldest_event_came_that_a_subscriber_has_not_acknowledged_is_told_for_each_of_them() {
    let dir = Dir::new("oldest");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka", "archive"]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let mut writers = [(); 2].map(|()| Writer::take(ring.again().unwrap()).unwrap());
    // Three fill a block.
    for n in 1..=7 {
        writers[0].append(100 + n, &[1; 1280]).unwrap();
    }
    let mut oldest = |slot, acked| {
        let cursor = Cursor { acked: Seq(acked), ..Cursor::default() };
        reader.store(Who::Named(0), Stream(slot), cursor);
        let subscribers = Ledger::read(&ring).subscribers;
        assert_eq!((subscribers.len(), subscribers[1].oldest), (2, Some(101)));
        subscribers[0].oldest
    };
    for acked in 0..7 {
        assert_eq!(oldest(0, acked), Some(101 + acked));
    }
    assert_eq!(oldest(0, 7), None);
    writers[1].append(200, b"x").unwrap();
    assert_eq!(oldest(0, 7), Some(200));
    assert_eq!(oldest(0, 6), Some(107), "the older one of two streams");
    assert_eq!((oldest(1, 1), oldest(0, 7)), (Some(107), None));
}

#[test]
fn events_of_the_traffic_that_were_not_stored_are_in_the_books() {
    let dir = Dir::new("traffic");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    ring.view().add_traffic_lost(3);
    ring.view().add_traffic_lost(4);
    assert_eq!(Ledger::read(&ring).traffic_lost, 7);
}

#[test]
fn who_waits_sees_how_far_its_events_are_with_everybody() {
    let dir = Dir::new("reach");
    let ring = Ring::open_or_make(&dir.wanted(4)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    writer.append_all(1, &[b"one", b"two"]).unwrap();
    let waiter = Waiter::new(ring.again().unwrap(), writer.stream()).unwrap();
    assert_eq!(waiter.reach(&named), None, "nobody publishes yet");
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let acked = Cursor { acked: Seq(2), ..Cursor::default() };
    reader.store(Who::Named(0), writer.stream(), acked);
    assert_eq!(waiter.reach(&named).map(|reach| reach.acked), Some(Seq(2)));
    assert!(!waiter.poisoned());
    ring.view().poison();
    assert!(waiter.poisoned());
}
