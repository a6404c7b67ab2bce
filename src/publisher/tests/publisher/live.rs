//! Live: whoever subscribes, whenever, in every format.

use std::time::Instant;

use sparkngin_core::field::FieldList;
use sparkngin_core::format::{Fields, Format};
use sparkngin_core::gzip;
use sparkngin_core::ring::Overflow;

use crate::rig::{Reader, Rig, data, event, until};

#[test]
fn each_format_with_and_without_gzip_comes_as_topic_and_event() {
    for gzipped in [false, true] {
        for format in [Format::Json, Format::Plain, Format::Binary, Format::Envelope] {
            let rig = Rig::new(16);
            let mut settings = rig.settings(Overflow::Overwrite, &[]);
            let fields = FieldList::parse(["%topic%", "%data%", "%sg%"]).expect("fields");
            settings.rendering.format = format;
            settings.rendering.fields = Fields::Listed(fields);
            settings.gzip = gzipped;
            let _publisher = rig.publish(settings);
            let mut writer = rig.writer();
            let id = writer.append(1, &event("clicks", "hello")).expect("room").id();
            let reader = Reader::new(&rig.live(), &["clicks"]);
            let (topic, mut payload) = reader.next();
            assert_eq!(topic, "clicks");
            if gzipped {
                payload = gzip::inflate(&payload, 10_000).expect("gzip");
            }
            let text = String::from_utf8_lossy(&payload);
            for part in ["clicks", "hello", &id.to_string()] {
                assert!(format == Format::Envelope || text.contains(part), "{format:?}: {text}");
            }
            match format {
                Format::Plain => assert_eq!(text, format!("clicks hello {id}")),
                Format::Json | Format::Envelope => {
                    serde_json::from_slice::<serde_json::Value>(&payload).expect("JSON");
                }
                Format::Binary => {}
            }
        }
    }
}

#[test]
fn who_comes_late_gets_the_oldest_event_still_there_first_and_who_leaves_misses_nothing() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &[]));
    let mut store = |from: u32, to: u32| {
        for n in from..to {
            writer.append(n.into(), &event("t", &n.to_string())).expect("room");
        }
    };
    let numbers = |from: u32, to: u32| (from..to).map(|n| n.to_string()).collect::<Vec<_>>();
    store(0, 100);
    let reader = Reader::new(&rig.live(), &["t"]);
    assert_eq!(reader.data(100), numbers(0, 100));
    store(100, 150);
    assert_eq!(reader.data(50), numbers(100, 150));
    drop(reader);
    // The cursor stands still as soon as the publisher knows that nobody is there any more.
    let mut stored = 150;
    let left = until("it stands still", || {
        store(stored, stored + 1);
        stored += 1;
        let since = Instant::now();
        until("a moment", || (since.elapsed().as_millis() > 100).then_some(()));
        Some(rig.ledger().live.in_ring as u32).filter(|left| *left > 0)
    });
    store(stored, stored + 50);
    let later = Reader::new(&rig.live(), &["t"]);
    assert_eq!(later.data(left as usize + 50), numbers(stored - left, stored + 50));
}

#[test]
fn a_prefix_is_a_filter_and_several_of_one_reader_count_from_the_start() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    for (n, topic) in ["apple", "banana", "avocado", "cherry", "apricot"].iter().enumerate() {
        writer.append(n as u64, &event(topic, &n.to_string())).expect("room");
    }
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &[]));
    let reader = Reader::new(&rig.live(), &["ap", "ban"]);
    let got: Vec<_> = (0..3).map(|_| reader.next()).map(|(t, p)| (t, data(&p))).collect();
    let expected = [("apple", "0"), ("banana", "1"), ("apricot", "4")];
    assert_eq!(got, expected.map(|(t, d)| (t.to_owned(), d.to_owned())));
}

#[test]
fn events_of_several_workers_come_by_the_time_they_were_received() {
    let rig = Rig::new(16);
    let mut writers = [rig.writer(), rig.writer(), rig.writer()];
    for n in 0..300u64 {
        let writer = &mut writers[(n * 7 % 3) as usize];
        writer.append(1000 + n, &event("t", &n.to_string())).expect("room");
    }
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &[]));
    let reader = Reader::new(&rig.live(), &[""]);
    let expected: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(reader.data(300), expected);
}

#[test]
fn a_stopped_reader_loses_and_a_fast_one_beside_it_does_not() {
    let rig = Rig::new(256);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Overwrite, &[]));
    let small = |socket: &zmq::Socket| {
        socket.set_rcvhwm(1).expect("a short queue");
        socket.set_rcvbuf(4096).expect("a small buffer");
    };
    let fast = Reader::new(&rig.live(), &["t"]);
    let stopped = Reader::with(&rig.live(), &["t"], small);
    // Both are there before the events that count.
    until("both are there", || {
        writer.append(1, &event("t", "before")).expect("room");
        let there = |reader: &Reader| reader.socket.poll(zmq::POLLIN, 50).expect("poll") > 0;
        (there(&fast) && there(&stopped)).then_some(())
    });
    let long = "x".repeat(4000);
    let count = 3000u64;
    for n in 0..count {
        writer.append(2 + n, &event("t", &format!("{n}-{long}"))).expect("room");
    }
    let start = Instant::now();
    let first = until("the first that counts", || Some(fast.data(1)).filter(|d| d[0] != "before"));
    assert!(first[0].starts_with("0-"));
    for n in 1..count {
        let data = fast.data(1);
        let got = data[0].split('-').next().expect("a number");
        assert_eq!(got, n.to_string(), "the fast one misses nothing");
    }
    let took = start.elapsed();
    assert!(took.as_secs() < 10, "{took:?}: it is not held up by the stopped one for long");
    let dropped =
        until("it is counted", || Some(rig.ledger().live_dropped).filter(|dropped| *dropped > 0));
    assert!(dropped <= count);
    let said = until("it is said", || {
        publisher.lines().into_iter().find(|(_, text)| text.contains("does not keep up"))
    });
    assert!(said.1.contains("1 times"), "{}", said.1);
}

#[test]
fn a_named_subscriber_that_holds_the_ring_does_not_hold_live_back_nor_the_other_way() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let reader = Reader::new(&rig.live(), &["t"]);
    for n in 0..10 {
        writer.append(n, &event("t", &n.to_string())).expect("room");
    }
    assert_eq!(reader.data(10).len(), 10);
    assert_eq!(rig.books("kafka").books.in_ring, 10);
}
