//! Publishers come and go: by kill, by a bid, by being asked. Nothing is lost, nothing stands still for long.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sparkngin_core::ring::{Bid, Lease, Overflow, Ring};
use sparkngin_publisher::{Settings, socket, start};

use crate::rig::{Reader, Rig, Subscriber, complaints, event, said, until};

#[test]
fn the_next_publisher_has_the_lease_within_250_ms_of_a_kill_and_nothing_is_lost() {
    let rig = Rig::new(64);
    let mut writer = rig.writer();
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    let mut written = 0u32;
    let mut slowest = Duration::ZERO;
    for round in 1..=10 {
        let publisher = rig.publish_elsewhere();
        until("its epoch", || (rig.ring.state().epoch == round).then_some(()));
        let before = subscriber.taken.len();
        until("some are taken under load", || {
            for _ in 0..20 {
                let _ = writer.append(1, &written.to_le_bytes()).map(|_| written += 1);
            }
            subscriber.turn();
            (subscriber.taken.len() > before + 500).then_some(())
        });
        let killed = Instant::now();
        publisher.kill();
        until("the lease is free", || {
            for _ in 0..20 {
                let _ = writer.append(1, &written.to_le_bytes()).map(|_| written += 1);
            }
            Lease::try_take(&rig.dir).expect("the directory")
        });
        slowest = slowest.max(killed.elapsed());
    }
    assert!(slowest < Duration::from_millis(2500), "{slowest:?}, ten times 250 ms at most");
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    subscriber.take_all(written.into());
    subscriber.assert_in_order();
    assert_eq!(subscriber.taken.len(), written as usize, "each once, since the client lives on");
    let all =
        |(n, (_, _, _, bytes)): (usize, &(_, _, _, Vec<u8>))| *bytes == (n as u32).to_le_bytes();
    assert!(subscriber.taken.iter().enumerate().all(all));
    subscriber.until("acknowledged", |_| {
        (rig.books("kafka").books.delivered == u64::from(written)).then_some(())
    });
    assert_eq!(rig.ring.state().epoch, 11);
}

#[test]
fn a_bid_ends_a_publisher_and_the_next_one_goes_on_without_a_duplicate() {
    let rig = Rig::new(64);
    let mut writer = rig.writer();
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.acknowledges = false;
    let mut publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut written = 0u32;
    for round in 1..=20 {
        for _ in 0..100 {
            writer.append(1, &written.to_le_bytes()).expect("room");
            written += 1;
        }
        subscriber.until("some", |s| (s.taken.len() as u32 > written - 50).then_some(()));
        let bid = Bid::try_place(&rig.dir).expect("the directory").expect("nobody else bids");
        let asked = Instant::now();
        until("it gives up", || publisher.is_finished().then_some(()));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(complaints(&publisher), Vec::<String>::new());
        let lease = until("the lease", || Lease::try_take(&rig.dir).expect("the directory"));
        drop(bid);
        let settings = rig.settings(Overflow::Reject, &["kafka"]);
        publisher = start(lease, rig.again(), settings).expect("a thread");
        until("its epoch", || (rig.ring.state().epoch == round + 1).then_some(()));
    }
    subscriber.take_all(written.into());
    subscriber.assert_in_order();
    assert_eq!(subscriber.taken.len(), written as usize);
}

#[test]
fn one_that_is_asked_to_stop_stores_what_was_acknowledged_and_leaves_no_socket() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    writer.append(1, b"one").expect("room");
    subscriber.take_all(1);
    subscriber.turn();
    let mode = rig.dir.join("feed.sock").metadata().expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    until("acknowledged", || (rig.books("kafka").books.delivered == 1).then_some(()));
    publisher.stop();
    publisher.join();
    assert!(!rig.dir.join("feed.sock").exists());
    assert!(!Lease::is_held(&rig.dir).expect("the directory"));
}

#[test]
fn one_that_ends_leaves_alone_the_socket_that_another_rings_publisher_put_in_the_place_of_its_own()
{
    let (old, new) = (Rig::new(16), Rig::new(16));
    let settings = old.settings(Overflow::Overwrite, &[]);
    let before = old.publish(settings.clone());
    let inode = || std::fs::metadata(old.dir.join("live.sock")).ok().map(|file| file.ino());
    let first = until("it listens", inode);
    let _after = new.publish(Settings { feed: new.feed(), ..settings });
    let second = until("the other one listens", || inode().filter(|now| *now != first));
    before.stop();
    before.join();
    assert_eq!(inode(), Some(second));
    let mut writer = new.writer();
    writer.append(1, &event("t", "one")).expect("room");
    assert_eq!(Reader::new(&old.live(), &[""]).data(1), ["one"]);
}

#[test]
fn a_socket_whose_file_cannot_be_made_its_owners_alone_does_not_listen() {
    let context = zmq::Context::new();
    let endpoint = "ipc://*";
    let socket = socket::live(&context, endpoint, None).expect("a socket");
    // libzmq draws the name itself: there is no file of this one.
    assert!(matches!(socket::bind(&socket, endpoint), Err(socket::BindError::Other(_))));
    let listening = socket.get_last_endpoint().expect("an endpoint").expect("text");
    let path = listening.strip_prefix("ipc://").unwrap_or("none");
    until("it does not listen", || UnixStream::connect(path).is_err().then_some(()));
}

#[test]
fn what_a_killed_one_left_in_the_sockets_place_is_replaced() {
    let rig = Rig::new(16);
    std::fs::write(rig.dir.join("feed.sock"), "stale").expect("a file");
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    writer.append(1, b"one").expect("room");
    subscriber.take_all(1);
}

#[test]
fn an_address_in_use_is_said_once_and_taken_as_soon_as_it_is_free() {
    let rig = Rig::new(16);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    let mut settings = rig.settings(Overflow::Reject, &["kafka"]);
    settings.live = format!("tcp://127.0.0.1:{port}");
    let publisher = rig.publish(settings);
    let complaint = until("it says so", || complaints(&publisher).pop());
    assert!(complaint.contains("in use"), "{complaint}");
    // The feed does not wait for it.
    let mut writer = rig.writer();
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    writer.append(1, &crate::rig::event("a", "b")).expect("room");
    subscriber.take_all(1);
    assert_eq!(complaints(&publisher), Vec::<String>::new());
    drop(taken);
    let reader = crate::rig::Reader::new(&format!("tcp://127.0.0.1:{port}"), &["a"]);
    assert_eq!(reader.data(1), ["b"]);
}

#[test]
fn a_ring_that_refuses_the_publisher_ends_it_with_a_line_and_frees_the_lease() {
    let rig = Rig::new(16);
    let looking = Ring::open_all(&rig.dir).expect("the ring").remove(0);
    let lease = Lease::try_take(&rig.dir).expect("the directory").expect("a lease");
    let settings = rig.settings(Overflow::Reject, &["kafka"]);
    let publisher = start(lease, looking, settings).expect("a thread");
    until("it ends", || publisher.is_finished().then_some(()));
    let said = complaints(&publisher);
    assert!(
        said[0].contains("the publisher has ended: the ring was opened for looking only"),
        "{said:?}"
    );
    assert!(!Lease::is_held(&rig.dir).expect("the directory"));
}

#[test]
fn more_names_than_a_ring_has_places_for_end_it_with_a_line_and_free_the_lease() {
    let rig = Rig::new(16);
    let settings = rig.settings(Overflow::Reject, &["a", "b", "c", "d", "e"]);
    let publisher = rig.publish(settings);
    until("it ends", || publisher.is_finished().then_some(()));
    let said = complaints(&publisher);
    assert!(
        said[0].contains("the publisher has ended: 4 subscribers can be named at most"),
        "{said:?}"
    );
    assert!(!Lease::is_held(&rig.dir).expect("the directory"));
}

#[test]
fn a_name_that_is_taken_out_is_told_of_as_long_as_it_has_events_that_nobody_holds() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let settings = |names| rig.settings(Overflow::Reject, names);
    let leave = |publisher: sparkngin_publisher::Handle| {
        publisher.stop();
        publisher.join();
    };
    let mut publisher = rig.publish(settings(&["kafka"]));
    until("it is named", || rig.ledger().subscribers.first().map(|_| ()));
    let rows = [
        (1, &["other"][..], "1 event that it has not acknowledged is held for nobody\n"),
        (4, &["other"][..], "5 events that it has not acknowledged are held for nobody\n"),
        (0, &[], "5 events that it has not acknowledged are held for nobody\n"),
    ];
    for (more, names, what) in rows {
        for n in 0..more {
            writer.append(1, &u64::to_le_bytes(n)).expect("room");
        }
        leave(publisher);
        publisher = rig.publish(settings(names));
        said(&publisher, &format!("ring.1: \"kafka\" is configured no longer, and {what}"));
    }
    leave(publisher);
    // Named again it holds them, and nothing is to be told.
    let publisher = rig.publish(settings(&["kafka"]));
    let all = said(&publisher, "the feed listens");
    assert!(!all.contains("\"kafka\" is configured no longer"), "{all}");
    assert_eq!(rig.books("kafka").books.in_ring, 5);
}
