//! The feed as docs/protocol.md shows it is the feed as this code speaks it, byte for byte.

use std::collections::BTreeSet;

use sparkngin_core::feed::{Batch, Client, Due, Incoming, Message, Settings};
use sparkngin_core::format::binary;
use sparkngin_core::id::EventId;
use sparkngin_core::record::{Seed, Slice};

fn section() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).expect("docs/protocol.md");
    let (_, feed) = text.split_once("\n## Feed\n").expect("a section Feed");
    feed.split("\n## ").next().expect("it has an end").to_owned()
}

fn headers() -> Vec<String> {
    section().lines().filter(|line| line.starts_with("{\"type\"")).map(str::to_owned).collect()
}

fn batch() -> (Batch, Vec<u8>) {
    let message = headers().into_iter().find(|h| h.contains("BATCH")).expect("a BATCH");
    let Ok(Message::Batch(batch)) = Message::read(&[message.as_bytes(), &[]]) else {
        panic!("not a BATCH")
    };
    // The body's lines: hex digits, then two spaces or more, then what they are.
    let section = section();
    let (_, body) = section.split_once("body of the BATCH above:").expect("a body");
    let lines = body.lines().skip_while(|l| *l != "```text").skip(1).take_while(|l| *l != "```");
    let hex = |line: &str| line.trim().split("  ").next().unwrap_or_default().replace(' ', "");
    let digits: String = lines.map(hex).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (batch, (0..digits.len()).step_by(2).map(byte).collect())
}

#[test]
fn each_message_of_the_page_is_read_and_written_as_it_stands_there() {
    let mut kinds = BTreeSet::new();
    for header in headers() {
        let mut frames = vec![header.clone().into_bytes()];
        if header.contains("BATCH") {
            frames.push(vec![]);
        }
        let message = Message::read(&frames).unwrap_or_else(|e| panic!("{header}: {e}"));
        assert_eq!(String::from_utf8(message.header()).expect("UTF-8"), header);
        kinds.insert(header.split('"').nth(3).expect("a type").to_owned());
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn the_body_of_the_page_is_the_event_of_the_page() {
    let (batch, body) = batch();
    let seed = Seed::new(batch.region, batch.stream);
    let records: Result<Vec<_>, _> = Slice::new(seed, batch.first, &body).collect();
    let records = records.expect("a record that passes its checksum");
    assert_eq!((records.len(), body.len()), (1, 96));
    assert_eq!(records[0].received, 1_393_671_600_500_000_000);
    let event = binary::decode(records[0].bytes).expect("an event");
    assert_eq!(event.topic(), b"clicks");
    let id = EventId { region: batch.region, stream: batch.stream, seq: records[0].seq };
    assert_eq!(id.to_string(), "0123456789abcdef0123456789abcdef-3-17");
}

#[test]
fn a_client_takes_the_conversation_of_the_page_from_its_first_to_its_last_message() {
    let settings = Settings { name: "kafka".into(), window: 1 << 24, from: None };
    let (mut client, now) = (Client::new(settings), std::time::Instant::now());
    client.connected(now);
    assert!(matches!(client.due(now), Some(Due::Send(Message::Hello(_)))));
    let (_, body) = batch();
    let mut brought = Vec::new();
    for header in headers() {
        // Of a program that starts: all up to 16 is acknowledged.
        let header = header.replace("\"acked\":12", "\"acked\":16");
        let mut frames = vec![header.clone().into_bytes()];
        match header.split('"').nth(3) {
            Some("HELLO" | "ACK") => continue,
            // The subscriber's own, and its last word.
            Some("BEAT") if header.contains("took") || header.contains("leaving") => continue,
            Some("BATCH") => frames.push(body.clone()),
            _ => {}
        }
        let incoming = client.receive(frames, now).unwrap_or_else(|e| panic!("{header}: {e}"));
        brought.push(match incoming {
            Incoming::Welcome(_) => "WELCOME",
            Incoming::Batch(_) => "BATCH",
            Incoming::Lost { .. } => "LOST",
            Incoming::Uncertain { .. } => "UNCERTAIN",
            Incoming::Refused(_) => "REFUSED",
            Incoming::Nothing => "BEAT",
        });
    }
    assert_eq!(brought, ["WELCOME", "BATCH", "LOST", "UNCERTAIN", "BEAT", "REFUSED"]);
}
