//! The way of records from the ring to Kafka and of acknowledgements back: everything once, in order, and counted.

use std::collections::HashMap;

use crate::rig::{Kafka, Program, Source, until};

#[test]
fn every_event_is_in_kafka_once_with_its_id_time_and_fields_and_the_ring_is_empty_again() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    let sent = source.events("clicks", 5000);
    let books = source.drained();
    assert_eq!((books.committed, books.delivered), (5000, 5000));
    let seen = kafka.read("clicks", 5000);
    let mut values: HashMap<String, String> = HashMap::new();
    for record in &seen {
        values.insert(record.sg(), record.data());
        assert!(record.key.is_none() && record.timestamp > 1_600_000_000_000);
    }
    assert_eq!(seen.len(), 5000, "none twice");
    for (n, sg) in sent.iter().enumerate() {
        assert_eq!(values[sg], n.to_string());
    }
    until("its own books", || {
        (program.metric("sparkngin_feed_delivered_events_total") == 5000).then_some(())
    });
    assert_eq!(program.metric("sparkngin_delivery_seconds_count"), 5000, "each event's latency");
    assert_eq!(program.get("/readyz"), (200, "ready\n".to_owned()));
}

#[test]
fn records_of_a_stream_stand_in_their_partition_in_order_and_runs_of_1024_stay_together() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let _program = Program::subscribe(&source, &kafka, &[]);
    source.events("clicks", 4000);
    let seen = kafka.read("clicks", 4000);
    let seq = |sg: &str| sg.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    let mut last = [0; 3];
    let mut partition_of_run = HashMap::new();
    for record in &seen {
        let seq = seq(&record.sg());
        let last = &mut last[record.partition as usize];
        assert!(seq > *last, "{seq} after {last}");
        *last = seq;
        let of_run = partition_of_run.entry(seq / 1024).or_insert(record.partition);
        assert_eq!(*of_run, record.partition);
    }
    assert_eq!(partition_of_run.values().collect::<std::collections::HashSet<_>>().len(), 3);
}

#[test]
fn what_came_before_the_subscriber_and_before_kafka_is_delivered_when_both_are_there() {
    let mut source = Source::new();
    source.events("clicks", 1000);
    let kafka = Kafka::new(&["clicks"]);
    kafka.0.broker_down(-1).unwrap();
    let program = Program::subscribe(&source, &kafka, &[]);
    program.says("Kafka is away");
    assert_eq!(program.get("/readyz").0, 503);
    kafka.0.broker_up(-1).unwrap();
    let books = source.drained();
    assert_eq!(books.delivered, 1000);
    assert_eq!(kafka.read("clicks", 1000).len(), 1000);
    until("ready", || (program.get("/readyz").0 == 200).then_some(()));
}

#[test]
fn a_subscriber_that_is_there_before_nginx_says_so_and_waits() {
    let mut source = Source::new();
    source.stop_publishing();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    program.says("Kafka answers");
    let (status, why) = program.get("/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("feed.sock"), "{why}");
    assert_eq!(program.get("/healthz").0, 200);
    source.events("clicks", 10);
    source.publish();
    assert_eq!(source.drained().delivered, 10);
}

#[test]
fn publishers_that_come_and_go_make_no_duplicates() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let _program = Program::subscribe(&source, &kafka, &[]);
    let mut sent = 0;
    for _ in 0..10 {
        sent += source.events("clicks", 500).len();
        source.stop_publishing();
        sent += source.events("clicks", 100).len();
        source.publish();
    }
    assert_eq!(source.drained().delivered, sent as u64);
    let tally = kafka.tally("clicks", sent);
    assert_eq!(tally.len(), sent);
    assert!(tally.values().all(|count| *count == 1), "a reload repeated records");
}

#[test]
fn a_killed_subscriber_loses_nothing_and_every_duplicate_shows_by_its_sg_in_its_partition() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut sent = Vec::new();
    for round in 0..5 {
        let program = Program::subscribe(&source, &kafka, &[]);
        until("its session", || (program.metric("sparkngin_feed_up") == 1).then_some(()));
        sent.extend(source.events("clicks", 2000));
        let some = 2000 * round + 500;
        until("some of them", || (source.books().delivered > some).then_some(()));
        program.kill();
    }
    let _program = Program::subscribe(&source, &kafka, &[]);
    let books = source.drained();
    assert_eq!((books.committed, books.delivered), (sent.len() as u64, sent.len() as u64));
    let mut partitions: HashMap<String, i32> = HashMap::new();
    for record in kafka.read("clicks", sent.len()) {
        let first = *partitions.entry(record.sg()).or_insert(record.partition);
        assert_eq!(first, record.partition, "a duplicate in another partition");
    }
    assert_eq!(partitions.len(), sent.len());
    assert!(sent.iter().all(|sg| partitions.contains_key(sg)));
}

#[test]
fn term_drains_acknowledges_and_ends_with_0_and_nothing_is_sent_twice_after_it() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut sent = 0;
    for _ in 0..3 {
        let mut program = Program::subscribe(&source, &kafka, &[]);
        until("its session", || (program.metric("sparkngin_feed_up") == 1).then_some(()));
        sent += source.events("clicks", 3000).len();
        until("some of them", || (source.books().delivered > sent as u64 - 2500).then_some(()));
        assert_eq!(program.term().code(), Some(0));
    }
    let _program = Program::subscribe(&source, &kafka, &[]);
    assert_eq!(source.drained().delivered, sent as u64);
    let tally = kafka.tally("clicks", sent);
    assert!(tally.values().all(|count| *count == 1), "sent again though it was reported");
}

#[test]
fn a_second_subscriber_of_the_name_ends_the_first_with_3() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut first = Program::subscribe(&source, &kafka, &[]);
    until("its session", || (first.metric("sparkngin_feed_up") == 1).then_some(()));
    let _second = Program::subscribe(&source, &kafka, &[]);
    assert_eq!(first.ended().code(), Some(3));
    assert!(first.log().lines().last().unwrap().contains("took over"), "{}", first.log());
    source.events("clicks", 10);
    assert_eq!(source.drained().delivered, 10);
}

#[test]
fn a_name_that_nginx_does_not_know_waits_loudly() {
    let source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &["--name", "stranger"]);
    program.says("neither sparkngin_subscriber in nginx nor --subscriber of \"sparkngin publish\" names \"stranger\"");
    until("not ready", || {
        let (status, why) = program.get("/readyz");
        (status == 503 && why.contains("neither sparkngin_subscriber")).then_some(())
    });
}

#[test]
fn a_tiny_window_and_several_streams_lose_nothing() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["a", "b"]);
    let program = Program::subscribe(&source, &kafka, &["--window", "64k"]);
    for _ in 0..10 {
        source.events("a", 300);
        source.events("b", 300);
    }
    assert_eq!(source.drained().delivered, 6000);
    assert_eq!(kafka.read("a", 3000).len(), 3000);
    assert_eq!(kafka.read("b", 3000).len(), 3000);
    assert!(program.metric("sparkngin_feed_window_bytes") <= 64 * 1024 + 65536);
}
