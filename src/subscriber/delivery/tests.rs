//! What takes an hour in life, or must not end before it is full: here the time is an argument. The Kafka is librdkafka's
//! mock.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use sparkngin_core::feed::{Records, RegionState, SessionId, State, Welcome};
use sparkngin_core::format::{Fields, Format, Rendering};
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::record::{self, Record, Seed};

use super::Delivery;
use crate::access::Access;
use crate::cursor_topic::{self, Owner};
use crate::delivery::ExactPlan;
use crate::flight::{FeedNo, Hole, Place};
use crate::letter::{Letters, Told};
use crate::places::Key;
use crate::plan::Plan;
use crate::route::{Route, Stamp};
use crate::sink::{Batch, Report, Sink};
use crate::topics::{Allowed, Topics};
use crate::transaction::Transactional;
use crate::wake::{self, Wakes};

/// Ten times what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const GONE: Key = (Region(9), Stream(3));
const HERE: Key = (Region(1), Stream(0));

fn plan(access: &Access) -> Plan {
    let delimiter = Default::default();
    let rendering = Rendering { format: Format::Json, delimiter, fields: Fields::All };
    let (topic, id) = ("cursors".to_owned(), "id".to_owned());
    let (interval, owner) = (Duration::from_millis(1), Owner::this_process());
    let own = Transactional { id, topic, interval, owner };
    let names = vec!["cursors".to_owned(), "dead".to_owned()];
    Plan {
        access: access.clone(),
        route: Route { rendering, key: None, stamp: Stamp::Received },
        topics: Topics::new(Allowed::Existing, false, PATIENCE, names),
        letters: Letters::Topic("dead".to_owned()),
        patience: PATIENCE,
        exact: Some(ExactPlan { own, endpoints: vec!["f".to_owned()], most: 1 << 20 }),
    }
}

/// Lets it work, `later` than it is, until `done` says so.
fn turn(sink: &mut Delivery, later: Duration, mut done: impl FnMut(&Delivery, &[Report]) -> bool) {
    let (start, mut reports) = (Instant::now(), Vec::new());
    while !done(sink, &reports) {
        sink.turn(Instant::now() + later, &mut reports);
        assert!(start.elapsed() < PATIENCE, "in time");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn mock(topics: &[&str]) -> MockCluster<'static, DefaultProducerContext> {
    let kafka = MockCluster::new(1).unwrap();
    for topic in topics {
        kafka.create_topic(topic, 1, 1).unwrap();
    }
    kafka
}

/// A delivery whose first transaction is open, with a session that knows one region; and when that began.
fn begin(plan: Plan) -> (Delivery, Wakes, Instant) {
    let (waker, wakes) = wake::pair().unwrap();
    let now = Instant::now();
    let mut sink = Delivery::new(plan, waker, now).unwrap();
    turn(&mut sink, Duration::ZERO, |sink, _| sink.wants_feeds());
    let here = RegionState { region: HERE.0, state: State::Open, streams: Vec::new() };
    let welcome = Welcome { v: 1, session: SessionId(1), regions: vec![here] };
    sink.welcome(FeedNo(0), &welcome, now);
    (sink, wakes, now)
}

#[test]
fn the_cursor_of_a_region_that_its_feed_leaves_out_is_deleted_from_the_topic_after_an_hour() {
    for (minutes, kept) in [(59, true), (61, false)] {
        let kafka = mock(&["cursors", "dead"]);
        let servers = kafka.bootstrap_servers();
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        let (key, text) = (cursor_topic::key("id", GONE), r#"{"v":1,"seq":7,"feed":"f"}"#);
        producer.send(BaseRecord::to("cursors").key(&key).payload(text)).map_err(|e| e.0).unwrap();
        producer.flush(PATIENCE).unwrap();

        let access = Access::new(&servers, "none", &[], Some("id")).unwrap();
        let (mut sink, _wakes, now) = begin(plan(&access));
        // A forgotten one goes with the next transaction: that of a note, here.
        let later = Duration::from_secs(60 * minutes);
        let (from, to, hole) = (Seq(1), Seq(5), Hole::Lost);
        let told = Told { region: HERE.0, stream: HERE.1, hole, from, to };
        let place = Place { lane: 0, at: 0 };
        sink.take(Batch::hole(FeedNo(0), place, now + later, told, "lost"));
        turn(&mut sink, later, |_, reports| !reports.is_empty());
        let found = cursor_topic::read(&access, "cursors", "id").unwrap().cursors;
        let has = |key| found.iter().any(|cursor| cursor.key == key);
        assert_eq!((has(HERE), has(GONE)), (true, kept), "after {minutes} minutes");
    }
}

#[test]
fn a_transaction_that_fills_the_producer_is_committed_whole_and_the_rest_comes_after_it() {
    // Records that the producer holds at most, and some more.
    let (full, all) = (100_000, 100_500);
    let kafka = mock(&["cursors", "dead", "clicks"]);
    let access = Access::new(&kafka.bootstrap_servers(), "lz4", &[], Some("id")).unwrap();
    let mut plan = plan(&access);
    if let Some(exact) = &mut plan.exact {
        // It is closed when the test says that it is time.
        (exact.own.interval, exact.most) = (Duration::from_secs(3600), 1 << 30);
    }
    let (mut sink, _wakes, now) = begin(plan);
    kafka.broker_down(-1).unwrap();
    // A time stamp and a topic: an event as it lies in the ring.
    let (mut body, bytes) = (Vec::new(), b"\x01\x03\x08\0\0\0\0\0\0\0\0\x07\x06clicks");
    for seq in 1..=all {
        let record = Record { seq: Seq(seq), received: 1, bytes };
        record::write(Seed::new(HERE.0, HERE.1), record, &mut body);
    }
    let (region, stream) = HERE;
    let records = Records { region, stream, first: Seq(1), count: all as u32, body, skip: 0 };
    sink.take(Batch::new(FeedNo(0), Place { lane: 0, at: 0 }, now, records));
    turn(&mut sink, Duration::ZERO, |sink, _| sink.condition().out == full);
    let mut turns = 100;
    turn(&mut sink, Duration::ZERO, |_, _| {
        turns -= 1;
        turns == 0
    });
    assert_eq!(sink.condition().out, full, "it takes no more");
    kafka.broker_up(-1).unwrap();
    // The time of the first transaction is over, then that of the one with the rest.
    for (hours, count) in [(2, full), (4, all as usize - full)] {
        let later = Duration::from_secs(3600 * hours);
        turn(&mut sink, later, |_, reports| reports.len() == count);
    }
    let found = cursor_topic::read(&access, "cursors", "id").unwrap().cursors;
    let expected = format!(r#""seq":{all},"lost":0,"dead":0"#);
    assert!(found.iter().any(|cursor| cursor.place.text("f").contains(&expected)), "{found:?}");
}
