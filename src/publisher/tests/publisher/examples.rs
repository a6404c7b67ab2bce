//! The example programs in Python, as a stranger would run them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use sparkngin_core::ring::Overflow;

use crate::rig::{PATIENCE, Rig, event, until};

/// A running example and its lines; it ends with this value.
struct Example {
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Example {
        let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
        // The system's own interpreter: pyzmq is installed for that one.
        let mut child = Command::new("/usr/bin/python3")
            .arg(path)
            .args(args)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("/usr/bin/python3 with pyzmq");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|l| send.send(l))
        });
        Example { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.next()).expect("a line of JSON")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_live_reader_prints_topic_and_event() {
    for gzip in [false, true] {
        let rig = Rig::new(16);
        let mut writer = rig.writer();
        writer.append(1, &event("clicks", "one")).expect("room");
        writer.append(2, &event("views", "two")).expect("room");
        writer.append(3, &event("clicks", "three")).expect("room");
        let mut settings = rig.settings(Overflow::Overwrite, &[]);
        settings.gzip = gzip;
        let _publisher = rig.publish(settings);
        let reader = Example::start("live_reader.py", &[&rig.live(), "cl"]);
        for expected in ["one", "three"] {
            let line = reader.next();
            let (topic, json) = line.split_once(' ').expect("topic and event");
            assert_eq!(topic, "clicks");
            assert_eq!(crate::rig::data(json.as_bytes()), expected);
        }
    }
}

#[test]
fn the_durable_subscriber_prints_every_event_and_acknowledges_what_it_printed() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["lines"]));
    let subscriber = Example::start("durable_subscriber.py", &[&rig.feed(), "lines"]);
    let mut sent = 0;
    let mut send = |count: u32| {
        for _ in 0..count {
            writer.append(1, &event("t", &sent.to_string())).expect("room");
            sent += 1;
        }
    };
    let mut seen = 0;
    let mut take = |subscriber: &Example, count: u32| {
        for _ in 0..count {
            let line = subscriber.json();
            assert_eq!(line["data"]["data"], seen.to_string());
            seen += 1;
            assert_eq!(line["sg"], format!("{}-0-{seen}", rig.ring.region()));
        }
    };
    send(100);
    take(&subscriber, 100);
    until("acknowledged", || (rig.books("lines").books.delivered == 100).then_some(()));
    // Another publisher: it says HELLO again by itself.
    drop(publisher);
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["lines"]));
    send(100);
    take(&subscriber, 100);
    until("acknowledged", || (rig.books("lines").books.delivered == 200).then_some(()));
    // Another one of it: it goes on where the ring says, and the first one leaves, refused.
    let second = Example::start("durable_subscriber.py", &[&rig.feed(), "lines"]);
    let mut first = subscriber;
    let status = until("fenced", || first.child.try_wait().expect("its status"));
    assert_eq!(status.code(), Some(1));
    send(100);
    take(&second, 100);
    drop(publisher);
}

#[test]
fn the_durable_subscriber_counts_what_was_overwritten() {
    let rig = Rig::new(8);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Overwrite, &["lines"]));
    until("a publisher", || (rig.ring.state().epoch == 1).then_some(()));
    for n in 0..10_000 {
        writer.append(1, &event("t", &n.to_string())).expect("room");
    }
    let lost = rig.books("lines").books.lost;
    assert!(lost > 0);
    let subscriber = Example::start("durable_subscriber.py", &[&rig.feed(), "lines"]);
    for n in lost..10_000 {
        assert_eq!(subscriber.json()["data"]["data"], n.to_string());
    }
    let books =
        until("acknowledged", || Some(rig.books("lines").books).filter(|books| books.in_ring == 0));
    assert_eq!((books.lost, books.delivered), (lost, 10_000 - lost));
}
