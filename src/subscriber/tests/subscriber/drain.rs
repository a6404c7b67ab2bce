//! `sparkngin ring drain`: what is left in a ring that nobody uses comes to Kafka once, and is counted.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use sparkngin_core::ring::Overflow;

use crate::rig::{Dir, Kafka, Program, Source, sparkngin, until};

fn drain(dir: &Path, kafka: &Kafka, more: &[&str]) -> Output {
    let mut command = sparkngin();
    command.args(["ring", "drain"]).arg(dir).args(["--kafka", &kafka.servers()]).args(more);
    command.output().unwrap()
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
}

/// A copy of a ring's directory, as another machine has it.
fn copy(source: &Source) -> Dir {
    let dir = Dir::new();
    fs::copy(source.dir.path().join("ring.1"), dir.path().join("ring.1")).unwrap();
    dir
}

#[test]
fn a_copy_is_drained_once_the_ring_in_use_is_refused_and_a_drained_file_goes_when_asked() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    let mut sent = source.events("clicks", 500);
    source.drained();
    program.kill();
    sent.extend(source.events("clicks", 2000));
    source.events("nowhere", 3);
    sent.extend(source.events("clicks", 100));
    source.stop_publishing();
    assert!(said(&drain(source.dir.path(), &kafka, &[]), 1).contains("it is in use: stop nginx"));
    let there = copy(&source);

    let text = said(&drain(there.path(), &kafka, &[]), 1);
    let dead = "3 events are in the dead letter and not in their topics; the last one since ";
    assert!(text.contains(dead), "{text}");
    let books = "2100 events in Kafka, 3 dead, 0 lost, 0 uncertain, nothing is left\n";
    assert!(text.contains(books), "{text}");
    let tally = kafka.tally("clicks", sent.len());
    assert_eq!(tally.len(), sent.len());
    assert!(sent.iter().all(|sg| tally[sg] == 1), "each once");
    assert_eq!(kafka.read("sparkngin.dead", 3).len(), 3);

    let text = said(&drain(there.path(), &kafka, &[]), 0);
    assert!(text.contains(": 0 events in Kafka, 0 dead, "), "{text}");
    assert_eq!(kafka.read("clicks", sent.len()).len(), sent.len(), "nothing new");
    let dir = there.path().display().to_string();
    let audit = sparkngin()
        .args(["audit", "--kafka", &kafka.servers(), "--topic", "clicks", "--ring", &dir])
        .output()
        .unwrap();
    assert!(said(&audit, 0).contains(": 2600 in Kafka + 3 dead\n"));
    let whole = sparkngin().args(["ring", "verify", &dir]).output().unwrap();
    said(&whole, 0);

    said(&drain(there.path(), &kafka, &["--delete"]), 0);
    assert!(!there.path().join("ring.1").exists());
    assert!(said(&drain(there.path(), &kafka, &[]), 1).contains("no ring in"));
}

#[test]
fn what_was_overwritten_is_noted_and_counted_as_the_subscriber_would_have() {
    let mut source = Source::with(4, Overflow::Overwrite);
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    let program = Program::subscribe(&source, &kafka, &[]);
    source.events("clicks", 100);
    source.drained();
    program.kill();
    source.events("clicks", 5000);
    source.stop_publishing();
    let there = copy(&source);
    let text = said(&drain(there.path(), &kafka, &[]), 0);
    let number = |what: &str| -> u64 {
        let before = text.split(what).next().unwrap();
        before.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let (delivered, lost) = (number(" events in Kafka"), number(" lost"));
    assert!(lost > 500 && delivered + lost == 5000, "{text}");
    let dir = there.path().display().to_string();
    let audit = sparkngin()
        .args(["audit", "--json", "--kafka", &kafka.servers(), "--topic", "clicks", "--ring", &dir])
        .output()
        .unwrap();
    let audit: serde_json::Value = serde_json::from_str(&said(&audit, 0)).unwrap();
    let stream = &audit["streams"][0];
    assert_eq!((&stream["lost"], &stream["ring"]["lost"]), (&lost.into(), &lost.into()));
    assert_eq!(stream["ring"]["acked"], 5100);
}

#[test]
fn a_kafka_that_is_away_is_waited_for_and_term_leaves_the_rest_for_another_time() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    until("a name in the ring", || Some(source.books()));
    let sent: HashSet<String> = source.events("clicks", 300).into_iter().collect();
    source.stop_publishing();
    let there = copy(&source);
    let mut command = sparkngin();
    // Nobody is there.
    command.args(["ring", "drain"]).arg(there.path()).args(["--kafka", "127.0.0.1:1"]);
    let mut child = command.spawn().unwrap();
    until("it waits", || {
        let map = fs::read_to_string(format!("/proc/{}/maps", child.id())).ok()?;
        map.contains("ring.1").then_some(())
    });
    assert!(child.try_wait().unwrap().is_none());
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(killed.unwrap().success());
    let ended = until("its end", || child.try_wait().unwrap());
    // Before it hears signals they end it as they do anybody.
    assert!(ended.code().is_none_or(|code| code == 1), "{ended}");
    said(&drain(there.path(), &kafka, &[]), 0);
    let there: HashSet<String> = kafka.tally("clicks", 300).into_keys().collect();
    assert_eq!(there, sent);
}

#[test]
fn what_makes_no_sense_is_told() {
    let source = Source::new();
    let kafka = Kafka::new(&[]);
    let there = copy(&source);
    let feed = said(&drain(there.path(), &kafka, &["--feed", "ipc:///x"]), 2);
    assert!(feed.contains("unexpected argument '--feed'"), "{feed}");
    let name = said(&drain(there.path(), &kafka, &["--name", "other"]), 1);
    assert!(name.contains("it never had a subscriber \"other\"; it has"), "{name}");
    assert!(said(&drain(Path::new("/nowhere"), &kafka, &[]), 1).contains("/nowhere"));
}

#[test]
fn a_file_of_another_machine_that_lost_its_power_is_drained_and_its_ends_are_unknown() {
    let mut source = Source::new();
    let kafka = Kafka::new(&["clicks", "sparkngin.dead"]);
    until("a name in the ring", || Some(source.books()));
    let sent = source.events("clicks", 300);
    source.stop_publishing();
    let there = copy(&source);
    // Another boot's id, and the superblock's sum over it.
    let path = there.path().join("ring.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[64] ^= 1;
    let sum = u64::from(crc32c::crc32c(&bytes[..120]));
    bytes[120..128].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let text = said(&drain(there.path(), &kafka, &[]), 0);
    let books =
        "300 events in Kafka, 0 dead, 0 lost, 0 uncertain, 1 streams whose end is not known";
    assert!(text.contains(books), "{text}");
    let tally = kafka.tally("clicks", sent.len());
    assert!(tally.len() == sent.len() && sent.iter().all(|sg| tally[sg] == 1));
    let text = said(&drain(there.path(), &kafka, &[]), 0);
    assert!(text.contains(": 0 events in Kafka, "), "{text}");
}
