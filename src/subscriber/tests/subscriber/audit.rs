//! `sparkngin audit`: what the subscriber put into Kafka, and what it wrote down of the rest, explains every number.

use std::process::{Command, Output};

use serde_json::Value;
use sparkngin_core::ring::Overflow;

use crate::rig::{Dir, Kafka, Program, Source, sparkngin, until};

fn audit(kafka: &Kafka, more: &[&str]) -> Output {
    let mut command: Command = sparkngin();
    command.args(["audit", "--kafka", &kafka.servers()]).args(more);
    command.output().unwrap()
}

/// The JSON report, and the exit code.
#[track_caller]
fn report(kafka: &Kafka, more: &[&str]) -> (Value, i32) {
    let output = audit(kafka, &[&["--json"], more].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
    (report, output.status.code().unwrap())
}

#[test]
fn what_went_to_several_topics_and_to_the_dead_letter_balances_and_a_topic_left_out_is_missing() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["a", "b", "sparkngin.dead"]);
    let _program = Program::subscribe(&source, &kafka, &[]);
    for _ in 0..10 {
        source.events("a", 50);
        source.events("b", 30);
        source.events("nowhere", 1);
    }
    let books = source.drained();
    assert_eq!((books.delivered, books.dead), (800, 10));
    let dir = source.dir.path().display().to_string();
    let all = ["--topic", "a", "--topic", "b", "--ring", &dir];
    let (all, code) = report(&kafka, &all);
    let stream = &all["streams"][0];
    assert_eq!((code, &all["unexplained"]), (0, &Value::Null), "{all}");
    assert_eq!((&stream["in_kafka"], &stream["dead"]), (&800.into(), &10.into()), "{all}");
    assert_eq!((&stream["first"], &stream["last"]), (&1.into(), &810.into()), "{all}");
    assert_eq!((&stream["duplicates"], &stream["ring"]["acked"]), (&0.into(), &810.into()));
    let of_hours = stream["hours"].as_array().unwrap().iter();
    assert_eq!(of_hours.map(|hour| hour["in_kafka"].as_u64().unwrap()).sum::<u64>(), 800);
    let (pattern, code) = report(&kafka, &["--topic", "~[ab]"]);
    assert_eq!((code, &pattern["streams"][0]["in_kafka"]), (0, &800.into()));

    let output = audit(&kafka, &["--topic", "a"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("300 MISSING; missing: 51 to 80, 132 to 161, "), "{text}");
    let hint = "Kafka has 1 other topic: events whose topics were not named with --topic are counted as missing\n";
    assert!(text.ends_with(hint), "{text}");
    let (hinted, _) = report(&kafka, &["--topic", "a"]);
    assert_eq!((&hinted["other_topics"], &all["other_topics"]), (&1.into(), &0.into()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "sparkngin: unexplained: 300 events missing\n");
    // Where all are named it is something else.
    let other = Kafka::new(&["a"]);
    let output = audit(&other, &["--topic", "a", "--ring", &dir]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" MISSING") && !text.contains("other topic"), "{text}");
}

#[test]
fn what_was_overwritten_is_explained_by_the_note_that_was_written_before_it_was_acknowledged() {
    let mut source = Source::with(4, Overflow::Overwrite);
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    source.events("clicks", 100);
    source.drained();
    program.kill();
    source.events("clicks", 5000);
    let before = source.books().lost;
    assert!(before > 500, "{before}");
    let _program = Program::subscribe(&source, &kafka, &[]);
    until("the rest", || (source.books().in_ring == 0 && source.books().ahead == 0).then_some(()));
    let lost = source.books().lost;
    let (all, code) = report(&kafka, &["--topic", "clicks"]);
    let stream = &all["streams"][0];
    assert_eq!((code, &stream["lost"]), (0, &lost.into()), "{all}");
    assert!(all["dead_letter"]["holes"].as_u64().unwrap() > 0, "{all}");
    let dir = source.dir.path().display().to_string();
    let (all, code) = report(&kafka, &["--topic", "clicks", "--ring", &dir]);
    assert_eq!((code, &all["streams"][0]["ring"]["lost"]), (0, &lost.into()), "{all}");
    // Without the notes nothing explains it.
    let (all, code) = report(&kafka, &["--topic", "clicks", "--dead-letter", "topic:none"]);
    assert_eq!((code, &all["streams"][0]["missing"]), (1, &lost.into()), "{all}");
}

#[test]
fn what_is_not_sent_yet_is_in_the_ring_and_letters_in_a_file_explain_too() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks"]);
    let letters = Dir::new();
    let letters = format!("file:{}/dead.jsonl", letters.path().display());
    let letters_dir = letters.trim_start_matches("file:").rsplit_once('/').unwrap().0.to_owned();
    std::fs::create_dir_all(&letters_dir).unwrap();
    let program = Program::subscribe(&source, &kafka, &["--dead-letter", &letters]);
    source.events("clicks", 20);
    source.events("nowhere", 3);
    source.events("clicks", 20);
    source.drained();
    program.kill();
    source.events("clicks", 7);
    let dir = source.dir.path().display().to_string();
    let args = ["--topic", "clicks", "--dead-letter", &letters, "--ring", &dir];
    let output = audit(&kafka, &args);
    let text = String::from_utf8(output.stdout).unwrap();
    std::fs::remove_dir_all(&letters_dir).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("-0: 1 to 50: 40 in Kafka + 3 dead + 7 in the ring\n"), "{text}");
    assert!(text.ends_with("1 stream, 40 events in Kafka, nothing is unexplained\n"), "{text}");
}

#[test]
fn wrong_words_end_with_2_and_a_kafka_that_is_away_with_1() {
    let kafka = Kafka::new(&["clicks"]);
    let servers = kafka.servers();
    let rows: [(&[&str], i32, &str); 6] = [
        (&["--topic", "a"], 2, "--kafka \"\": it is needed"),
        (&["--kafka", &servers], 2, "--topic \"\": at least one is needed"),
        (&["--kafka", &servers, "--topic", "a b"], 2, "--topic \"a b\": neither a legal topic"),
        (&["--kafka", &servers, "--topic", "gone"], 2, "Kafka has no such topic"),
        (&["--kafka", &servers, "--topic", "clicks", "--ring", "/nonexistent"], 1, "/nonexistent"),
        (&["--kafka", &servers, "--topic", "clicks", "-X", "acks=1"], 2, "\"acks\" cannot be set"),
    ];
    for (args, code, says) in rows {
        let output = sparkngin().arg("audit").args(args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(says) && text.lines().count() == 1, "{args:?}: {text}");
    }
}
