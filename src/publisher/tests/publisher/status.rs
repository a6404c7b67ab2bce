//! What any worker shows of the publisher, the ring and the subscribers.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sparkngin_core::ring::{Found, Overflow, Ring};
use sparkngin_publisher::figures::{Figures, Host};
use sparkngin_publisher::status::json;

use crate::rig::{Rig, Subscriber, event, fill, until};

const NOW: u64 = 2_000_000_000_000_000_000;

fn shown(ring: Option<&Ring>) -> String {
    shown_by(true, ring)
}

fn shown_by(publishes: bool, ring: Option<&Ring>) -> String {
    let host = Host { server: "nginx/1.2.3".into(), refuses: None, publishes, names: vec![] };
    json(&Figures::look(host, ring, &Found::default(), NOW))
}

fn status(rig: &Rig) -> (String, Value) {
    let text = shown(Some(&rig.ring));
    let value = serde_json::from_str(&text).expect("JSON");
    (text, value)
}

/// Every key in the table of docs/protocol.md, and every part of its path.
fn documented() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).expect("docs/protocol.md");
    let (_, table) = text.split_once("\n## Status\n").expect("a section Status");
    let words =
        table.lines().filter(|l| l.starts_with('|')).flat_map(|l| l.split('`').skip(1).step_by(2));
    words.flat_map(|w| w.trim_end_matches("[]").split('.').map(str::to_owned)).collect()
}

fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            into.insert(key.clone());
            keys(value, into);
        }),
        Value::Array(all) => all.iter().for_each(|value| keys(value, into)),
        _ => {}
    }
}

#[test]
fn its_keys_are_the_documented_ones_and_its_books_close() {
    let rig = Rig::new(8);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &["kafka"]));
    until("a publisher", || (rig.ring.state().epoch == 1).then_some(()));
    fill(&mut writer, &event("secret-topic", &"x".repeat(500)), 5_000);
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.until("all of it", |s| (s.taken.len() as u64 + s.lost == 5_000).then_some(()));
    let (text, value) = subscriber.until("acknowledged", |_| {
        Some(status(&rig)).filter(|(_, value)| value["subscribers"][0]["in_ring"] == 0)
    });
    let mut found = BTreeSet::new();
    keys(&value, &mut found);
    assert_eq!(found.difference(&documented()).collect::<Vec<_>>(), Vec::<&String>::new());
    for key in
        ["holds_ring_full_ms", "dead_lettered", "last_turn_ms", "dropped", "sealed", "policy"]
    {
        assert!(found.contains(key) && documented().contains(key), "{key}");
    }
    for secret in ["secret-topic", "sgp-", "/tmp", "192.0.2.1", "a test", "sock"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let one = &value["subscribers"][0];
    let number = |key: &str| one[key].as_u64().unwrap_or_else(|| panic!("{key} in {one}"));
    assert_eq!(number("committed"), 5_000);
    assert_eq!(number("in_kafka"), subscriber.taken.len() as u64);
    assert_eq!(number("lost"), subscriber.lost);
    assert_eq!(number("in_kafka") + number("lost"), 5_000);
    assert_eq!((number("lag"), one["connected"].as_bool()), (0, Some(true)));
    assert_eq!(
        (value["publisher"]["present"].as_bool(), &value["publisher"]["epoch"]),
        (Some(true), &1.into())
    );
}

#[test]
fn without_a_ring_it_says_so() {
    let value: Value = serde_json::from_str(&shown(None)).expect("JSON");
    assert_eq!((&value["ring"], &value["publisher"]), (&Value::Null, &Value::Null));
}

#[test]
fn that_nobody_publishes_says_where_to_look_or_what_to_start() {
    let rig = Rig::new(8);
    for (publishes, wrong) in [
        (true, "Nobody publishes: error.log says why."),
        (false, "Nobody publishes: start `sparkngin publish`."),
    ] {
        let shown = shown_by(publishes, Some(&rig.ring));
        let value: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(value["wrong"], serde_json::json!([wrong]));
    }
}

#[test]
fn whom_the_host_names_and_who_publishes_in_its_place_does_not_is_told_of() {
    let rig = Rig::new(8);
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let wrong = |publishes| {
        let names = ["kafka", "other"].map(|name| name.parse().expect("a name")).to_vec();
        let host = Host { server: "nginx/1.2.3".into(), refuses: None, publishes, names };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let text = json(&Figures::look(host, Some(&rig.ring), &Found::default(), now as u64));
        serde_json::from_str::<Value>(&text).expect("JSON")["wrong"].clone()
    };
    let away = "Subscriber \"kafka\" is away.";
    let unheld =
        "Nobody holds events for \"other\": start `sparkngin publish` with --subscriber other.";
    until("it publishes", || (wrong(false) == serde_json::json!([unheld, away])).then_some(()));
    until("who publishes itself knows", || {
        (wrong(true) == serde_json::json!([away])).then_some(())
    });
}

#[test]
fn who_was_connected_to_a_killed_publisher_is_not_connected_to_the_next_one() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish_elsewhere();
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    fill(&mut writer, b"one", 1);
    subscriber.take_all(1);
    let state = || rig.ring.state().subscribers.remove(0);
    subscriber.until("connected", |_| state().connected);
    let acked = subscriber.until("acknowledged", |_| Some(state().last_ack).filter(|at| *at > 0));
    publisher.kill();
    drop(subscriber);
    assert!(state().connected.is_some(), "nobody is there to say otherwise");
    let (_, value) = status(&rig);
    assert_eq!(value["publisher"]["present"], false);
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    until("it is said", || state().connected.is_none().then_some(()));
    assert_eq!(state().last_ack, acked);
}
