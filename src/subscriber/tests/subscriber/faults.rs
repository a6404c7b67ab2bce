//! A Kafka that fails: nothing is lost, order holds, and only a record that is refused alone is a dead letter.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as E};

use sparkngin_core::ring::Overflow;

use crate::rig::{Dir, Kafka, Program, Source, until, until_all};

/// Every value of one topic, by partition in order, with how often.
#[track_caller]
fn all_in_order_once(kafka: &Kafka, topic: &str, count: usize) {
    let mut last = [-1_i64; 3];
    let seen = kafka.read(topic, count);
    assert_eq!(seen.len(), count, "none twice");
    for record in seen {
        let number: i64 = record.data().parse().unwrap();
        let last = &mut last[record.partition as usize];
        assert!(number > *last, "{number} after {last}");
        *last = number;
    }
}

#[test]
fn a_broker_that_goes_away_and_comes_back_costs_nothing() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    source.events("clicks", 500);
    source.drained();
    kafka.0.broker_down(-1).unwrap();
    source.events("clicks", 500);
    program.says("Kafka is away");
    assert_eq!(source.books().in_ring, 500);
    kafka.0.broker_up(-1).unwrap();
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (1000, 0));
    assert_eq!(kafka.tally("clicks", 1000).len(), 1000);
}

#[test]
fn each_retriable_code_is_tried_again_without_loss_duplicate_or_disorder() {
    use E::*;
    for code in [
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
        RD_KAFKA_RESP_ERR_INVALID_MSG,
        RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
        RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
    ] {
        let mut source = Source::new();
        let kafka = Kafka::new(&["clicks"]);
        let _program = Program::subscribe(&source, &kafka, &[]);
        kafka.0.request_errors(RDKafkaApiKey::Produce, &[code, code]);
        source.events("clicks", 300);
        let books = source.drained();
        assert_eq!((books.delivered, books.dead), (300, 0), "{code:?}");
        all_in_order_once(&kafka, "clicks", 300);
    }
}

#[test]
fn a_batch_refused_for_one_record_is_sent_one_by_one_and_only_the_bad_one_is_dead() {
    for code in [
        E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        E::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        E::RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
        E::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
        E::RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
        E::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    ] {
        let mut source = Source::new();
        let sent = source.events("clicks", 50);
        let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
        let ok = E::RD_KAFKA_RESP_ERR_NO_ERROR;
        // The batch of all 50; then, one by one: 0, 1, 2 pass, the fourth is the bad one.
        kafka.0.request_errors(RDKafkaApiKey::Produce, &[code, ok, ok, ok, code]);
        let program = Program::subscribe(&source, &kafka, &[]);
        let books = source.drained();
        assert_eq!((books.committed, books.delivered, books.dead), (50, 49, 1), "{code:?}");
        let dead = kafka.read("sparkngin.dead", 1);
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].sg(), sent[3], "the one that failed alone");
        assert_eq!(dead[0].header("sparkngin-topic"), "clicks");
        assert!(!dead[0].header("sparkngin-reason").is_empty());
        assert_eq!(dead[0].data(), "3");
        let seen = kafka.read("clicks", 49);
        let numbers: Vec<usize> = seen.iter().map(|s| s.data().parse().unwrap()).collect();
        let expected: Vec<usize> = (0..50).filter(|n| *n != 3).collect();
        assert_eq!(numbers, expected, "the rest once, in order");
        assert_eq!(program.metric("sparkngin_feed_dead_lettered_events_total"), 1);
    }
}

#[test]
fn a_kafka_that_answers_nothing_is_not_taken_for_well_and_nothing_is_lost_by_it() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    source.event("clicks", "data=0");
    source.drained();
    until("ready", || (program.get("/readyz").0 == 200).then_some(()));
    kafka.0.broker_round_trip_time(-1, std::time::Duration::from_secs(6)).unwrap();
    source.events("clicks", 100);
    until("unready", || program.get("/readyz").1.contains("reported nothing").then_some(()));
    kafka.0.broker_round_trip_time(-1, std::time::Duration::ZERO).unwrap();
    assert_eq!(source.drained().delivered, 101);
    assert_eq!(kafka.tally("clicks", 101).len(), 101);
    until("ready again", || (program.get("/readyz").0 == 200).then_some(()));
}

#[test]
fn a_fatal_producer_is_replaced_and_everything_unreported_goes_again_in_order() {
    for code in [
        E::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        E::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
        E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        E::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        E::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
        E::RD_KAFKA_RESP_ERR_UNKNOWN,
    ] {
        let mut source = Source::new();
        let kafka = Kafka::new(&["clicks"]);
        let _program = Program::subscribe(&source, &kafka, &[]);
        source.events("clicks", 100);
        source.drained();
        kafka.0.request_errors(RDKafkaApiKey::Produce, &[code]);
        for n in 100..1000 {
            source.event("clicks", &format!("data={n}"));
        }
        let books = source.drained();
        assert_eq!((books.delivered, books.dead), (1000, 0), "{code:?}");
        all_in_order_once(&kafka, "clicks", 1000);
    }
}

#[test]
fn a_record_larger_than_the_client_itself_lets_through_is_a_dead_letter_and_no_other() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let letters = Dir::new();
    let file = letters.path().join("dead.jsonl");
    let place = format!("file:{}", file.display());
    let more = ["--dead-letter", &place, "-X", "message.max.bytes=2000"];
    let _program = Program::subscribe(&source, &kafka, &more);
    source.event("clicks", "data=before");
    let bad = source.event("clicks", &format!("data={}", "x".repeat(5000)));
    source.event("clicks", "data=after");
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (2, 1));
    let text = std::fs::read_to_string(&file).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((line["id"].as_str(), line["topic"].as_str()), (Some(&*bad), Some("clicks")));
    assert!(line["value"].as_str().unwrap().contains(&"x".repeat(5000)));
}

#[test]
fn bytes_that_are_no_event_are_a_dead_letter_with_the_bytes_as_they_were() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let _program = Program::subscribe(&source, &kafka, &[]);
    let bad = source.garbage(b"\xffnonsense");
    source.event("clicks", "data=1");
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (1, 1));
    let dead = kafka.read("sparkngin.dead", 1);
    assert_eq!((dead[0].sg(), &dead[0].value[..]), (bad, &b"\xffnonsense"[..]));
}

#[test]
fn while_kafka_is_away_the_session_stays_open_and_the_window_is_the_limit() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &["--window", "256k"]);
    source.event("clicks", "data=0");
    source.drained();
    kafka.0.broker_down(-1).unwrap();
    source.events("clicks", 5000);
    until("a full window", || {
        (program.metric("sparkngin_feed_window_bytes") > 128 * 1024).then_some(())
    });
    program.says("Kafka is away");
    // Longer than the silence after which a session is given up.
    let start = std::time::Instant::now();
    until("four seconds", || (start.elapsed().as_secs() >= 4).then_some(()));
    assert_eq!(program.metric("sparkngin_feed_sessions_total"), 1);
    assert!(program.metric("sparkngin_feed_window_bytes") < 256 * 1024 + 65536);
    kafka.0.broker_up(-1).unwrap();
    assert_eq!(source.drained().delivered, 5001);
    assert_eq!(kafka.tally("clicks", 5001).len(), 5001);
}

#[test]
fn a_dead_letter_that_is_refused_for_its_size_goes_in_short() {
    let mut source = Source::new();
    let bad = source.event("clicks", &format!("data={}", "y".repeat(60_000)));
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    let large = E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    // The batch of one, the same alone, the letter, the letter alone.
    kafka.0.request_errors(RDKafkaApiKey::Produce, &[large, large, large]);
    let _program = Program::subscribe(&source, &kafka, &[]);
    assert_eq!(source.drained().dead, 1);
    assert_eq!(kafka.read("sparkngin.dead", 1)[0].sg(), bad);
}

#[test]
fn what_is_reported_is_there_though_a_new_producers_first_request_was_refused() {
    let mut source = Source::new();
    source.events("clicks", 50);
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    // Slow enough that several requests would be on their way before the first answer.
    kafka.0.broker_round_trip_time(-1, std::time::Duration::from_millis(50)).unwrap();
    kafka
        .0
        .request_errors(RDKafkaApiKey::Produce, &[E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION]);
    let _program = Program::subscribe(&source, &kafka, &["-X", "batch.size=1"]);
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (50, 0));
    all_in_order_once(&kafka, "clicks", 50);
}

#[test]
fn the_end_takes_less_than_5_s_and_keeps_its_session_though_kafka_is_away() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let mut program = Program::subscribe(&source, &kafka, &[]);
    source.event("clicks", "data=0");
    source.drained();
    kafka.0.broker_down(-1).unwrap();
    source.events("clicks", 100);
    program.says("Kafka is away");
    let start = std::time::Instant::now();
    assert!(program.term().success());
    assert!(start.elapsed().as_millis() < 4_900, "{:?}", start.elapsed());
    assert!(!program.log().contains("silent for 3 s"), "it beats, and hears beats");
    assert_eq!(source.books().in_ring, 100);
}

#[test]
fn a_dead_letter_that_is_refused_waits_and_shows_and_nothing_else_stands_still() {
    let mut source = Source::new();
    source.event("clicks", "data=0");
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    source.drained();
    let no = E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    kafka.0.request_errors(RDKafkaApiKey::Produce, &[no]);
    let bad = source.event("nowhere", "data=1");
    program.says("the dead letter: ");
    until("unready", || (program.get("/readyz").0 == 503).then_some(()));
    source.events("clicks", 100);
    kafka.read("clicks", 101);
    assert_eq!(source.books().dead, 0);
    // It tries again by and by; nothing refuses it now.
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (101, 1));
    assert_eq!(kafka.read("sparkngin.dead", 1)[0].sg(), bad);
    until("ready", || (program.get("/readyz").0 == 200).then_some(()));
}

#[test]
fn what_is_too_large_for_the_client_is_a_letter_and_nothing_is_sent_again_though_its_partition_is_busy()
 {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &["-X", "message.max.bytes=2000"]);
    source.event("clicks", "data=0");
    source.drained();
    kafka.0.broker_down(-1).unwrap();
    source.event("clicks", "data=1");
    until_all("given to Kafka", 1, || program.metric("sparkngin_kafka_unreported_events"));
    source.event("clicks", &format!("data={}", "x".repeat(3000)));
    source.event("clicks", "data=3");
    until_all("taken", 4, || program.metric("sparkngin_feed_taken_events_total"));
    until_all("given to Kafka", 3, || program.metric("sparkngin_kafka_unreported_events"));
    kafka.0.broker_up(-1).unwrap();
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (3, 1));
    assert_eq!(program.metric("sparkngin_kafka_sent_again_events_total"), 0);
}

#[test]
fn a_producer_that_is_full_holds_back_what_came_and_every_event_is_there_once_in_order() {
    /// Records that the producer holds at most.
    const FULL: u64 = 100_000;
    let mut source = Source::with(400, Overflow::Reject);
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &["--window", "64m"]);
    source.event("clicks", "data=0");
    source.drained();
    kafka.0.broker_down(-1).unwrap();
    source.burst("clicks", FULL + 5_000);
    until_all("taken", FULL + 5_001, || program.metric("sparkngin_feed_taken_events_total"));
    until_all("given to Kafka", FULL, || program.metric("sparkngin_kafka_unreported_events"));
    kafka.0.broker_up(-1).unwrap();
    until_all("delivered", FULL + 5_001, || source.books().delivered);
    assert_eq!(
        (source.books().dead, program.metric("sparkngin_kafka_sent_again_events_total")),
        (0, 0)
    );
    let mut last = std::collections::HashMap::new();
    let seen = kafka.read("clicks", FULL as usize + 5_001);
    assert_eq!(seen.len(), FULL as usize + 5_001, "none twice");
    for record in seen {
        let seq: u64 = record.sg().rsplit_once('-').unwrap().1.parse().unwrap();
        let last = last.entry(record.partition).or_insert(0);
        assert!(seq > *last, "{seq} after {last}");
        *last = seq;
    }
}
