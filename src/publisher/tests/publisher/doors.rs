//! CURVE on both sockets: each door with the key that opens it, and with those that do not.

use sparkngin_core::feed::Reason;
use sparkngin_core::ring::Overflow;
use sparkngin_publisher::key::{PublicKey, SecretKey};
use sparkngin_publisher::{Curve, Settings};
use zmq::SocketEvent;

use crate::rig::{Keys, Reader, Rig, Subscriber, event, fill, until};

const WINDOW: u64 = 1 << 20;

type Pair = (SecretKey, PublicKey);

fn pair() -> Pair {
    SecretKey::draw().expect("libzmq has CURVE")
}

/// A publisher with the names `kafka` and `other`, a key for each.
struct Doors {
    rig: Rig,
    settings: Settings,
    server: PublicKey,
    kafka: Pair,
    other: Pair,
}

impl Doors {
    fn new() -> Doors {
        let rig = Rig::new(16);
        let (server, kafka, other) = (pair(), pair(), pair());
        let mut settings = rig.settings(Overflow::Reject, &["kafka", "other"]);
        let subscribers = vec![Some(kafka.1), Some(other.1)];
        settings.curve = Some(Curve { secret: server.0, subscribers, readers: None });
        Doors { rig, settings, server: server.1, kafka, other }
    }

    fn keys(&self, own: &Pair) -> Option<Keys> {
        Some(Keys { own: own.clone(), server: self.server })
    }

    fn subscriber(&self, name: &str, keys: Option<Keys>) -> Subscriber {
        Subscriber::with(&self.rig.feed(), name, WINDOW, keys)
    }
}

/// It hung up on us, or we on it: whoever sees first that they do not speak the same.
const HUNG_UP: SocketEvent = SocketEvent::HANDSHAKE_FAILED_NO_DETAIL;

/// What became of the first handshake of a socket that connects with these keys.
fn handshake(endpoint: &str, kind: zmq::SocketType, keys: Option<&Keys>) -> SocketEvent {
    let context = zmq::Context::new();
    let socket = context.socket(kind).expect("a socket");
    socket.set_linger(0).expect("linger");
    let failed = SocketEvent::HANDSHAKE_FAILED_AUTH as i32
        | SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32
        | SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32;
    let events = SocketEvent::HANDSHAKE_SUCCEEDED as i32 | failed;
    socket.monitor("inproc://monitor", events).expect("watched");
    let monitor = context.socket(zmq::PAIR).expect("a socket");
    monitor.set_rcvtimeo(20_000).expect("a time-out");
    monitor.connect("inproc://monitor").expect("connected");
    if let Some(keys) = keys {
        keys.set(&socket);
    }
    socket.connect(endpoint).expect("connected");
    let frames = monitor.recv_multipart(0).expect("in time");
    let event = frames[0].first_chunk::<2>().expect("an event");
    match SocketEvent::from_raw(u16::from_ne_bytes(*event)) {
        SocketEvent::HANDSHAKE_FAILED_PROTOCOL => HUNG_UP,
        event => event,
    }
}

#[test]
fn each_name_is_served_to_who_has_its_key() {
    let doors = Doors::new();
    let mut writer = doors.rig.writer();
    assert_eq!(fill(&mut writer, b"for both", 100), 100);
    let _publisher = doors.rig.publish(doors.settings.clone());
    for (name, own) in [("kafka", &doors.kafka), ("other", &doors.other)] {
        let mut subscriber = doors.subscriber(name, doors.keys(own));
        subscriber.take_all(100);
        subscriber.until("acknowledged", |_| {
            (doors.rig.books(name).books.delivered == 100).then_some(())
        });
    }
}

#[test]
fn a_key_of_another_name_is_refused_as_long_as_it_asks_and_moves_nothing() {
    let doors = Doors::new();
    let mut writer = doors.rig.writer();
    assert_eq!(fill(&mut writer, b"for kafka alone", 100), 100);
    let publisher = doors.rig.publish(doors.settings.clone());
    let mut thief = doors.subscriber("kafka", doors.keys(&doors.other));
    thief.until("refused twice", |s| (s.refused.len() >= 2).then_some(()));
    assert!(thief.refused.iter().all(|refused| refused.reason == Reason::Key));
    assert_eq!((thief.welcomes, thief.taken.len()), (0, 0));
    let said: Vec<_> = publisher.lines().into_iter().map(|(_, text)| text).collect();
    let why = "its key is that of \"other\", and it says that it is \"kafka\"";
    assert!(said.iter().any(|line| line.contains(why)), "{said:?}");
    // The same connection as itself.
    let mut honest = doors.subscriber("other", doors.keys(&doors.other));
    honest.take_all(100);
    assert_eq!(doors.rig.books("kafka").books.delivered, 0);
}

#[test]
fn who_has_no_key_or_one_that_nobody_knows_gets_nowhere() {
    let doors = Doors::new();
    let publisher = doors.rig.publish(doors.settings.clone());
    let feed = doors.rig.feed();
    until("it listens", || std::path::Path::new(&feed[6..]).exists().then_some(()));
    let right = doors.keys(&doors.kafka);
    let stranger = doors.keys(&pair());
    let mistaken = Some(Keys { own: doors.kafka.clone(), server: pair().1 });
    for (who, keys, expected) in [
        ("kafka", &right, SocketEvent::HANDSHAKE_SUCCEEDED),
        ("a key that nobody knows", &stranger, SocketEvent::HANDSHAKE_FAILED_AUTH),
        ("no key", &None, HUNG_UP),
        ("another server's key", &mistaken, HUNG_UP),
    ] {
        assert_eq!(handshake(&feed, zmq::DEALER, keys.as_ref()), expected, "{who}");
    }
    let said = until("it says so", || {
        publisher.lines().into_iter().map(|(_, text)| text).find(|text| text.contains("not let in"))
    });
    assert!(said.contains("at feed: its key is not known"), "{said}");
}

#[test]
fn live_is_for_who_knows_the_publishers_key_or_for_the_readers_that_are_listed() {
    let mut doors = Doors::new();
    let mut writer = doors.rig.writer();
    let reader = pair();
    for listed in [false, true] {
        if let Some(curve) = &mut doors.settings.curve {
            curve.readers = listed.then(|| vec![reader.1]);
        }
        let _publisher = doors.rig.publish(doors.settings.clone());
        let live = doors.rig.live();
        until("it listens", || std::path::Path::new(&live[6..]).exists().then_some(()));
        fill(&mut writer, &event("clicks", "seen"), 1);
        let keys = doors.keys(&reader).expect("keys");
        let curious = Reader::with(&live, &[""], |socket| keys.set(socket));
        assert_eq!(curious.data(1), ["seen"], "listed: {listed}");
        let other = handshake(&live, zmq::SUB, doors.keys(&pair()).as_ref());
        let expected = match listed {
            false => SocketEvent::HANDSHAKE_SUCCEEDED,
            true => SocketEvent::HANDSHAKE_FAILED_AUTH,
        };
        assert_eq!(other, expected, "listed: {listed}");
        let plain = handshake(&live, zmq::SUB, None);
        assert_eq!(plain, HUNG_UP, "listed: {listed}");
    }
}

#[test]
fn a_name_without_a_key_is_for_any_key_but_those_of_other_names() {
    let mut doors = Doors::new();
    if let Some(curve) = &mut doors.settings.curve {
        curve.subscribers[1] = None;
    }
    let _publisher = doors.rig.publish(doors.settings.clone());
    let mut anybody = doors.subscriber("other", doors.keys(&pair()));
    anybody.until("welcome", |s| (s.welcomes == 1).then_some(()));
    let mut named = doors.subscriber("other", doors.keys(&doors.kafka));
    named.until("refused", |s| s.refused.first().map(|r| assert_eq!(r.reason, Reason::Key)));
    let mut pretender = doors.subscriber("kafka", doors.keys(&pair()));
    pretender.until("refused", |s| s.refused.first().map(|r| assert_eq!(r.reason, Reason::Key)));
}

#[test]
fn the_largest_events_pass_through_curve() {
    let mut doors = Doors::new();
    doors.rig = Rig::with_blocks(4, 4 << 20);
    let mut writer = doors.rig.writer();
    doors.settings.live = doors.rig.live();
    doors.settings.feed = doors.rig.feed();
    let _publisher = doors.rig.publish(doors.settings.clone());
    assert_eq!(fill(&mut writer, &vec![7; 2 << 20], 3), 3);
    let mut subscriber = doors.subscriber("kafka", doors.keys(&doors.kafka));
    subscriber.take_all(3);
    assert_eq!(subscriber.taken[2].3.len(), 2 << 20);
}
