//! What workers and operators are told of a ring in use.

use sparkngin_core::id::Seq;
use sparkngin_core::ring::*;

use super::{Dir, configuration};

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
    assert_eq!(of(&quiet, 1), (None, 0, 0, None));
    reader.note_turn(5);
    reader.note_live_dropped(6);
    reader.note_subscriber(1, Some(7), 8);
    reader.note_ack(1, 9);
    reader.note_holds(1, Some(10));
    let noted = ring.state();
    assert_eq!((noted.last_turn, noted.live_dropped), (5, 6));
    assert_eq!(of(&noted, 0), (None, 0, 0, None), "the other one's");
    assert_eq!(of(&noted, 1), (Some(7), 8, 9, Some(10)));
    reader.note_subscriber(1, None, 8);
    reader.note_holds(1, None);
    assert_eq!(of(&ring.state(), 1), (None, 8, 9, None));
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
