//! `--delivery exactly-once`. The mock hides nothing of a transaction that was undone, and knows no open ones: what is seen here is
//! that each step is tried again, that cursors are written and read, and what is skipped. A real Kafka is in `t/`.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as E};

use crate::rig::{Kafka, Program, Seen, Source, until};

const EXACTLY: [&str; 2] = ["--delivery", "exactly-once"];

fn cursors(kafka: &Kafka) -> Vec<(String, serde_json::Value)> {
    let seen = kafka.read("sparkngin.cursors", 1);
    let row = |r: &Seen| {
        let key = String::from_utf8(r.key.clone().unwrap()).unwrap();
        (key, serde_json::from_slice(&r.value).unwrap())
    };
    seen.iter().map(row).collect()
}

#[test]
fn every_event_is_there_once_and_its_cursor_beside_it() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &EXACTLY);
    let sent = source.events("clicks", 5000);
    let books = source.drained();
    assert_eq!((books.committed, books.delivered), (5000, 5000));
    let tally = kafka.tally("clicks", 5000);
    assert_eq!(tally.len(), 5000);
    assert!(sent.iter().all(|sg| tally[sg] == 1));
    let (key, last) = cursors(&kafka).into_iter().rfind(|row| !row.0.ends_with("/owner")).unwrap();
    let (region_stream, _) = sent[0].rsplit_once('-').unwrap();
    assert_eq!(key, format!("sparkngin.kafka/{region_stream}"));
    assert_eq!((&last["seq"], &last["v"]), (&5000.into(), &1.into()));
    assert_eq!(last["feed"], source.feed());
    assert_eq!(program.metric("sparkngin_feed_delivered_events_total"), 5000);
    until("ready", || (program.get("/readyz").0 == 200).then_some(()));
}

#[test]
fn before_the_cursors_are_read_the_feed_is_not_asked_and_waiting_costs_nothing() {
    let mut source = Source::new();
    source.event("clicks", "data=1");
    let kafka = Kafka::new(&["clicks"]);
    kafka.0.broker_down(-1).unwrap();
    let program = Program::subscribe(&source, &kafka, &EXACTLY);
    program.says("Kafka is away");
    let (before, start) = (program.cpu(), std::time::Instant::now());
    until("two seconds", || (start.elapsed().as_secs() >= 2).then_some(()));
    assert!(program.cpu() - before < 0.8, "it turns and turns: {} s", program.cpu() - before);
    let (status, why) = program.get("/readyz");
    assert!(status == 503 && why.contains("Kafka is away"), "{why}");
    assert_eq!(program.metric("sparkngin_feed_sessions_total"), 0);
    kafka.0.broker_up(-1).unwrap();
    assert_eq!(source.drained().delivered, 1);
}

#[test]
fn term_commits_what_was_sent_and_the_next_one_repeats_nothing() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut sent = 0;
    for _ in 0..3 {
        let mut program = Program::subscribe(&source, &kafka, &EXACTLY);
        until("its session", || (program.metric("sparkngin_feed_up") == 1).then_some(()));
        sent += source.events("clicks", 3000).len();
        until("some of them", || (source.books().delivered > sent as u64 - 2500).then_some(()));
        assert_eq!(program.term().code(), Some(0));
    }
    let _program = Program::subscribe(&source, &kafka, &EXACTLY);
    assert_eq!(source.drained().delivered, sent as u64);
    let tally = kafka.tally("clicks", sent);
    assert!(tally.len() == sent && tally.values().all(|count| *count == 1));
}

#[test]
fn dead_letters_go_with_the_transaction_and_are_counted_over_a_restart() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    for round in 1..=2 {
        let program = Program::subscribe(&source, &kafka, &EXACTLY);
        source.events("clicks", 10);
        source.event("nowhere", "data=1");
        source.events("clicks", 10);
        source.event("sparkngin.cursors", "data=forged");
        let books = source.drained();
        assert_eq!((books.delivered, books.dead), (20 * round, 2 * round));
        program.kill();
    }
    assert_eq!(kafka.read("sparkngin.dead", 4).len(), 4);
    assert_eq!(kafka.read("clicks", 40).len(), 40);
    assert!(cursors(&kafka).iter().any(|(_, cursor)| cursor["dead"] == 4));
}

#[test]
fn each_passing_refusal_of_a_step_is_tried_again() {
    use E::*;
    use RDKafkaApiKey as Api;
    let rows = [
        (Api::InitProducerId, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (Api::InitProducerId, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
        (Api::InitProducerId, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS),
        (Api::AddPartitionsToTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (Api::AddPartitionsToTxn, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS),
        (Api::AddPartitionsToTxn, RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (Api::Produce, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
        (Api::EndTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (Api::EndTxn, RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (Api::ListOffsets, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE),
        (Api::Fetch, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
    ];
    for (api, code) in rows {
        let mut source = Source::new();
        let kafka = Kafka::new(&["clicks", "sparkngin.dead", "sparkngin.cursors"]);
        kafka.0.request_errors(api, &[code, code]);
        let program = Program::subscribe(&source, &kafka, &EXACTLY);
        until("ready", || (program.get("/readyz").0 == 200).then_some(()));
        kafka.0.request_errors(api, &[code, code]);
        source.events("clicks", 300);
        let books = source.drained();
        assert_eq!((books.delivered, books.dead), (300, 0), "{api:?} {code:?}");
        let tally = kafka.tally("clicks", 300);
        assert!(tally.len() == 300 && tally.values().all(|n| *n == 1), "{api:?} {code:?}");
    }
}

#[test]
fn after_a_refusal_for_good_a_new_producer_sends_the_transaction_again() {
    use E::*;
    use RDKafkaApiKey as Api;
    let rows = [
        (Api::AddPartitionsToTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE),
        (Api::Produce, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER),
        (Api::Produce, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
        (Api::EndTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE),
        (Api::EndTxn, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
    ];
    for (api, code) in rows {
        let mut source = Source::new();
        let kafka = Kafka::new(&["clicks"]);
        let program = Program::subscribe(&source, &kafka, &EXACTLY);
        source.events("clicks", 100);
        source.drained();
        kafka.0.request_errors(api, &[code]);
        let sent = source.events("clicks", 300);
        let books = source.drained();
        assert_eq!((books.delivered, books.dead), (400, 0), "{api:?} {code:?}");
        let tally = kafka.tally("clicks", 400);
        assert!(sent.iter().all(|sg| tally.contains_key(sg)), "{api:?} {code:?}");
        assert!(program.metric("sparkngin_kafka_producers_renewed_total") >= 1, "{api:?} {code:?}");
    }
}

#[test]
fn who_is_fenced_ends_with_3_if_another_has_the_id_and_goes_on_if_nobody_has() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut program = Program::subscribe(&source, &kafka, &EXACTLY);
    until("ready", || (program.get("/readyz").0 == 200).then_some(()));
    // Kafka took the transaction for given up.
    let fenced = E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
    kafka.0.request_errors(RDKafkaApiKey::EndTxn, &[fenced]);
    source.events("clicks", 10);
    assert_eq!(source.drained().delivered, 10);
    // Another process said that the id is its own.
    let owner = br#"{"instance":"other","from":"process 815"}"#;
    kafka.write("sparkngin.cursors", "sparkngin.kafka/owner", owner);
    kafka.0.request_errors(RDKafkaApiKey::EndTxn, &[fenced]);
    source.event("clicks", "data=1");
    assert_eq!(program.ended().code(), Some(3));
    let log = program.log();
    let last = log.lines().last().unwrap();
    assert!(last.contains("took over") && last.contains("process 815"), "{last}");
    assert_eq!(source.books().in_ring, 1);
}

#[test]
fn a_record_that_waits_for_its_topic_stops_no_other_and_nothing_is_repeated_over_a_kill() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let args = ["--delivery", "exactly-once", "--topics", "clicks,late"];
    let first = Program::subscribe(&source, &kafka, &args);
    source.events("clicks", 5);
    source.event("late", "data=1");
    source.events("clicks", 20);
    kafka.read("clicks", 25);
    until("5 acknowledged", || (source.books().delivered == 5).then_some(()));
    first.kill();
    let second = Program::subscribe(&source, &kafka, &args);
    second.says("topic \"late\" does not exist");
    assert_eq!(
        second.metric("sparkngin_feed_known_events_total"),
        20,
        "the cursor has them beyond its place"
    );
    kafka.0.create_topic("late", 3, 1).unwrap();
    assert_eq!(source.drained().delivered, 26);
    assert_eq!(kafka.read("clicks", 25).len(), 25);
    assert_eq!(kafka.read("late", 1).len(), 1);
}

#[test]
fn one_bad_record_in_a_transaction_is_a_dead_letter_and_the_others_are_there() {
    let mut source = Source::new();
    let sent = source.events("clicks", 20);
    let kafka = Kafka::new(&["clicks", "sparkngin.dead", "sparkngin.cursors"]);
    let args = ["--delivery", "exactly-once", "-X", "message.max.bytes=2000"];
    let _program = Program::subscribe(&source, &kafka, &args);
    let bad = source.event("clicks", &format!("data={}", "x".repeat(5000)));
    source.events("clicks", 5);
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (25, 1));
    assert_eq!(kafka.read("sparkngin.dead", 1)[0].sg(), bad);
    let tally = kafka.tally("clicks", 25);
    assert!(sent.iter().all(|sg| tally[sg] == 1));
}

#[test]
fn a_cursor_in_the_topic_is_believed_until_it_is_deleted_there() {
    for deleted in [false, true] {
        let mut source = Source::new();
        let kafka = Kafka::new(&["clicks", "sparkngin.dead", "sparkngin.cursors"]);
        let sent = source.events("clicks", 10);
        let (stream, _) = sent[0].rsplit_once('-').unwrap();
        let key = format!("sparkngin.kafka/{stream}");
        kafka.write("sparkngin.cursors", &key, br#"{"v":1,"seq":6,"lost":1}"#);
        if deleted {
            kafka.forget("sparkngin.cursors", &key);
        }
        let program = Program::subscribe(&source, &kafka, &EXACTLY);
        let books = source.drained();
        let (known, lost) = if deleted { (0, 0) } else { (6, 1) };
        assert_eq!((books.delivered, books.lost), (10 - lost, lost));
        assert_eq!(program.metric("sparkngin_feed_known_events_total"), known);
        assert_eq!(kafka.read("clicks", 10 - known as usize).len() as u64, 10 - known);
    }
}
