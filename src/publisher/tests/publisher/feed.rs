//! The feed: everything in order, once, and nothing freed that was not acknowledged.

use sparkngin_core::feed::Reason;
use sparkngin_core::ring::{Overflow, Refused};

use crate::rig::{Rig, Subscriber, complaints, fill, said, until};

const WINDOW: u64 = 1 << 20;

#[test]
fn every_event_of_every_worker_comes_in_order_and_the_books_close() {
    let rig = Rig::new(64);
    let mut writers: Vec<_> = (0..3).map(|_| rig.writer()).collect();
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    let threads: Vec<_> = writers
        .drain(..)
        .map(|mut writer| {
            std::thread::spawn(move || {
                for n in 0..20_000u32 {
                    until("room", || writer.append(1, &n.to_le_bytes()).ok());
                }
            })
        })
        .collect();
    subscriber.take_all(60_000);
    threads.into_iter().for_each(|thread| thread.join().expect("a writer"));
    subscriber.assert_in_order();
    for (_, _, seq, bytes) in &subscriber.taken {
        assert_eq!(bytes.as_slice(), (seq.0 as u32 - 1).to_le_bytes());
    }
    let books = subscriber.until("all acknowledged", |_| {
        Some(rig.books("kafka").books).filter(|books| books.in_ring == 0)
    });
    assert_eq!((books.committed, books.delivered, books.lost), (60_000, 60_000, 0));
    assert_eq!(subscriber.welcomes, 1);
}

#[test]
fn a_full_ring_takes_events_again_when_its_holder_has_acknowledged() {
    let rig = Rig::new(8);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["idle", "kafka"]));
    until("a publisher", || (rig.ring.state().epoch == 1).then_some(()));
    let stored = fill(&mut writer, &[7; 1000], 10_000);
    assert!(stored > 400, "{stored} of about 480");
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    subscriber.take_all(stored);
    // One of the two has all, the other nothing.
    let refused = writer.append(1, &[7; 1000]).expect_err("still full");
    assert!(matches!(refused, Refused::Full { .. }));
    let since = until("its holder is noted", || {
        rig.ring.state().subscribers.into_iter().find(|s| s.name.as_str() == "idle")?.holds_since
    });
    assert!(since > 0);
    let said = until("its holder is named", || {
        publisher.lines().into_iter().find(|(_, text)| text.contains("held by \"idle\""))
    });
    assert!(said.1.contains("it has acknowledged nothing yet"), "{}", said.1);

    let mut idle = Subscriber::new(&rig.feed(), "idle", WINDOW);
    idle.take_all(stored);
    idle.until("room", |_| writer.append(1, &[7; 1000]).ok());
    let mut both = || {
        subscriber.turn();
        idle.turn();
    };
    until("nobody holds it", || {
        both();
        let mut states = rig.ring.state().subscribers.into_iter();
        states.all(|s| s.holds_since.is_none() && s.connected.is_some()).then_some(())
    });
}

#[test]
fn what_overwrite_took_is_told_to_the_event() {
    let rig = Rig::new(8);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &["kafka"]));
    until("a publisher", || (rig.ring.state().epoch == 1).then_some(()));
    assert_eq!(fill(&mut writer, &[7; 500], 20_000), 20_000);
    let books = rig.books("kafka").books;
    assert!(books.lost > 10_000 && books.in_ring > 500, "{books:?}");
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    subscriber.until("all of it", |s| (s.taken.len() as u64 + s.lost >= 20_000).then_some(()));
    assert_eq!((subscriber.lost, subscriber.taken.len() as u64), (books.lost, books.in_ring));
    let books = subscriber.until("all acknowledged", |_| {
        Some(rig.books("kafka").books).filter(|books| books.in_ring == 0)
    });
    assert_eq!((books.lost, books.ahead), (subscriber.lost, 0));
    assert_eq!(books.committed, books.delivered + books.lost);
}

#[test]
fn while_events_are_overwritten_all_the_time_what_is_taken_and_what_is_lost_is_all() {
    let rig = Rig::with_blocks(8, 16 * 1024);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &["kafka"]));
    until("a publisher", || (rig.ring.state().epoch == 1).then_some(()));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 8 * 1024);
    for n in 0..200_000u32 {
        writer.append(1, &n.to_le_bytes()).expect("overwrite always has room");
        if n % 200 == 0 {
            subscriber.turn();
        }
    }
    subscriber.until("all of it", |s| (s.taken.len() as u64 + s.lost >= 200_000).then_some(()));
    assert_eq!(subscriber.taken.len() as u64 + subscriber.lost, 200_000);
    assert!(subscriber.lost > 0 && !subscriber.taken.is_empty(), "{} lost", subscriber.lost);
    for (_, _, seq, bytes) in &subscriber.taken {
        assert_eq!(bytes.as_slice(), (seq.0 as u32 - 1).to_le_bytes());
    }
}

#[test]
fn a_reconnect_repeats_nothing_that_was_taken() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    subscriber.acknowledges = false;
    for round in 1..=20u64 {
        assert_eq!(fill(&mut writer, b"unacknowledged", 50), 50);
        subscriber.take_all(round * 50);
        subscriber.reconnect();
        subscriber.until("welcome", |s| (s.welcomes as u64 > round).then_some(()));
    }
    subscriber.assert_in_order();
    assert_eq!(subscriber.taken.len(), 1000);
    assert_eq!(rig.books("kafka").books.delivered, 0);
    subscriber.acknowledges = true;
    assert_eq!(fill(&mut writer, b"the last one", 1), 1);
    subscriber.take_all(1001);
    subscriber
        .until("acknowledged", |_| (rig.books("kafka").books.delivered == 1001).then_some(()));
}

#[test]
fn a_second_subscriber_of_a_name_fences_the_first_and_gets_all_that_is_not_acknowledged() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut first = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    first.acknowledges = false;
    fill(&mut writer, b"one", 100);
    first.take_all(100);
    let mut second = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    second.take_all(100);
    first.until("fenced", |s| s.refused.iter().any(|r| r.reason == Reason::Fenced).then_some(()));
    assert_eq!(first.refused[0].other.as_deref(), Some("a test"));
    fill(&mut writer, b"two", 100);
    second.take_all(200);
    first.turn();
    assert_eq!(first.taken.len(), 100, "the first one gets nothing more");
    second.until("acknowledged", |_| (rig.books("kafka").books.delivered == 200).then_some(()));
    let lines = publisher.lines();
    assert!(lines.iter().any(|(_, t)| t.contains("in place of another one")), "{lines:?}");
}

#[test]
fn a_name_that_is_not_configured_is_refused_and_asks_again_until_it_is() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    fill(&mut writer, b"one", 10);
    let publisher = rig.publish(rig.settings(Overflow::Overwrite, &[]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", WINDOW);
    subscriber.until("refused", |s| s.refused.first().map(|r| assert_eq!(r.reason, Reason::Name)));
    drop(publisher);
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    // A new name starts at the oldest event that is still there.
    subscriber.take_all(10);
}

#[test]
fn a_small_window_is_shared_by_all_streams() {
    let rig = Rig::new(16);
    let mut writers = [rig.writer(), rig.writer(), rig.writer()];
    for writer in &mut writers {
        fill(writer, b"one", 100);
    }
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1);
    subscriber.until("some are taken", |s| (s.taken.len() >= 9).then_some(()));
    for stream in 0..3 {
        let taken = subscriber.taken[..9].iter().filter(|record| record.1.0 == stream).count();
        assert_eq!(taken, 3, "of stream {stream}");
    }
}

#[test]
fn a_window_smaller_than_a_record_still_lets_one_through_at_a_time() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    fill(&mut writer, &[1; 20_000], 20);
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1);
    subscriber.take_all(20);
    subscriber.assert_in_order();
}

#[test]
fn who_leaves_is_said_to_have_left_and_the_next_one_of_the_name_takes_over_from_nobody() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut first = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    writer.append(1, b"one").expect("room");
    first.take_all(1);
    first.turn();
    let bye = first.client.leave().expect("a session");
    first.socket.send_multipart(bye.frames(vec![]), 0).expect("sent");
    said(&publisher, "subscriber \"kafka\" at a test has left");
    let mut second = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    writer.append(1, b"two").expect("room");
    second.take_all(1);
    assert_eq!(second.taken[0].3, b"two", "what was acknowledged before stays so");
    assert_eq!(complaints(&publisher), Vec::<String>::new());
    first.turn();
    assert_eq!(first.refused.len(), 0);
}
