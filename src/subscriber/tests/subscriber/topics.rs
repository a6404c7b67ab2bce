//! Which topics events get into, and what happens to those for others.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::rig::{Kafka, Program, Source, until};

#[test]
fn without_a_list_what_exists_is_fed_and_an_unknown_topics_events_are_dead_letters() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks", "_own"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    let unknown = source.event("nowhere", "data=1");
    let own = source.event("_own", "data=2");
    let dead = source.event("sparkngin.dead", "data=3");
    source.event("clicks", "data=4");
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (1, 3));
    let mut letters: Vec<String> = kafka.read("sparkngin.dead", 3).iter().map(|l| l.sg()).collect();
    letters.sort();
    assert_eq!(letters, [unknown, own, dead]);
    // Asking for it must not have made it.
    assert!(!program.log().contains("made a topic topic=\"nowhere\""));
    let again = source.event("nowhere", "data=5");
    assert_eq!(source.drained().dead, 4);
    assert!(kafka.read("sparkngin.dead", 4).iter().any(|letter| letter.sg() == again));
}

#[test]
fn a_topic_made_while_the_program_runs_is_found() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let program = Program::subscribe(&source, &kafka, &["--topics", "clicks,~late.*"]);
    let early = source.event("later", "data=1");
    source.event("clicks", "data=2");
    program.says("topic \"later\" does not exist: 1 records wait");
    assert_eq!(source.books().delivered, 0, "the cursor waits for it");
    assert_eq!(kafka.read("clicks", 1).len(), 1, "no topic stands still for another");
    kafka.0.create_topic("later", 3, 1).unwrap();
    assert_eq!(source.drained().delivered, 2);
    assert_eq!(kafka.read("later", 1)[0].sg(), early);
}

#[test]
fn a_listed_topic_that_stays_away_is_a_dead_letter_after_the_grace_and_an_unlisted_one_at_once() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let more = ["--topics", "clicks,missing", "--topic-grace", "1s"];
    let _program = Program::subscribe(&source, &kafka, &more);
    let missing = source.event("missing", "data=1");
    let unlisted = source.event("other", "data=2");
    assert_eq!(source.drained().dead, 2);
    let letters = kafka.read("sparkngin.dead", 2);
    let reason =
        |sg: &str| letters.iter().find(|l| l.sg() == sg).unwrap().header("sparkngin-reason");
    assert_eq!(reason(&missing), "topic \"missing\" does not exist");
    assert_eq!(reason(&unlisted), "topic \"other\" is not among --topics");
}

#[test]
fn records_that_wait_for_a_topic_leave_early_when_half_the_window_stands_behind_them() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let more = ["--topics", "clicks,missing", "--window", "256k"];
    let _program = Program::subscribe(&source, &kafka, &more);
    let missing = source.event("missing", "data=1");
    source.events("clicks", 5000);
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (5000, 1));
    let letters = kafka.read("sparkngin.dead", 1);
    assert_eq!(letters[0].sg(), missing);
    assert!(letters[0].header("sparkngin-reason").contains("the window was needed"));
}

#[test]
fn missing_topics_are_made_when_asked_for() {
    let mut source = Source::new();
    let kafka = Kafka::new(&[]);
    let program = Program::subscribe(&source, &kafka, &["--create-topics"]);
    source.event("one", "data=1");
    source.event("two", "data=2");
    assert_eq!(source.drained().delivered, 2);
    program.says("made a topic topic=\"one\"");
    program.says("made a topic topic=\"two\"");
    assert_eq!(kafka.read("one", 1).len(), 1);
}

#[test]
fn a_flood_of_invented_topics_stops_nobody() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let _program = Program::subscribe(&source, &kafka, &[]);
    for n in 0..2000 {
        source.event(&format!("invented-{n}"), "data=1");
        source.event("clicks", &format!("data={n}"));
    }
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (2000, 2000));
}

#[test]
fn a_topic_that_refuses_makes_its_records_wait_and_not_the_others() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks", "secret"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    source.event("clicks", "data=0");
    source.drained();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    kafka.0.request_errors(RDKafkaApiKey::Produce, &[refused]);
    let secret = source.event("secret", "data=1");
    program.says("its records wait");
    source.events("clicks", 100);
    kafka.read("clicks", 101);
    assert_eq!(source.books().delivered, 1, "the cursor waits for the one that waits");
    // A record tries again by and by; nothing refuses it now.
    assert_eq!(source.drained().delivered, 102);
    assert_eq!(kafka.read("secret", 1)[0].sg(), secret);
    assert_eq!(program.metric("sparkngin_feed_dead_lettered_events_total"), 0);
}

#[test]
fn keys_pick_the_partition_as_the_java_client_does() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let _program = Program::subscribe(&source, &kafka, &["--record-key", "user"]);
    // Partitions of 3 by org.apache.kafka's murmur2: computed from its published vectors.
    let positive = |hash: i32| (hash & 0x7fff_ffff) % 3;
    let keys = [("21", -973_932_308), ("foobar", -790_332_482), ("abc", 479_470_107)];
    for (key, _) in keys {
        source.event("clicks", &format!("user={key}"));
    }
    source.event("clicks", "data=none");
    source.drained();
    let seen = kafka.read("clicks", 4);
    for (key, hash) in keys {
        let record = seen.iter().find(|r| r.key.as_deref() == Some(key.as_bytes())).unwrap();
        assert_eq!(record.partition, positive(hash), "{key}");
    }
    assert_eq!(seen.iter().filter(|r| r.key.is_none()).count(), 1);
}

#[test]
fn a_dead_letter_topic_that_cannot_be_made_ends_the_program_with_2() {
    let source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    // The mock makes a topic when its metadata is asked for; this one it refuses.
    kafka
        .0
        .topic_error("sparkngin.dead", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        .unwrap();
    let mut program = Program::subscribe(&source, &kafka, &[]);
    let code = until("its end", || program.ended().code());
    assert_eq!(code, 2);
    assert!(program.log().contains("--dead-letter topic:sparkngin.dead cannot be made"));
}
