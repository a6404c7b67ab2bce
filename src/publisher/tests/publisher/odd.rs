//! What nobody should send, on both sockets: it is refused, it is said, and the others do not notice.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use sparkngin_core::feed::{Ack, AckCursor, Due, Hello, Message, Reason};
use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::Overflow;

use crate::rig::{Reader, Rig, Subscriber, complaints, event, fill, until};

#[test]
fn an_acknowledgement_beyond_what_was_sent_frees_nothing_and_ends_the_session() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    fill(&mut writer, b"one", 10);
    let context = zmq::Context::new();
    let socket = context.socket(zmq::DEALER).expect("a socket");
    socket.set_rcvtimeo(10_000).expect("a time-out");
    socket.set_linger(0).expect("linger");
    socket.connect(&rig.feed()).expect("connected");
    let say = |message: Message| socket.send_multipart(message.frames(vec![]), 0).expect("sent");
    let hear = || Message::read(&socket.recv_multipart(0).expect("in time")).expect("a message");
    let hello = Hello { v: 1, name: "kafka".into(), window: 100_000, from: None, have: vec![] };
    say(Message::Hello(hello));
    let Message::Welcome(welcome) = hear() else { panic!("no WELCOME") };
    let Message::Batch(batch) = hear() else { panic!("no BATCH") };
    let (region, stream) = (batch.region, Stream(0));
    let cursor =
        AckCursor { region, stream, seq: Seq(11), lost: 0, dead: 0, uncertain: 0, open: false };
    say(Message::Ack(Ack { session: welcome.session, cursors: vec![cursor] }));
    let refused = until("refused", || match hear() {
        Message::Refused(refused) => Some(refused),
        _ => None,
    });
    assert_eq!((refused.reason, refused.session), (Reason::Session, Some(welcome.session)));
    assert_eq!(rig.books("kafka").books.delivered, 0);
    let said = complaints(&publisher);
    assert!(said.iter().any(|line| line.contains("an ACK of 11, sent up to 10")), "{said:?}");
}

#[test]
fn garbage_and_truncated_frames_on_the_feed_disturb_nobody() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.until("welcome", |s| (s.welcomes == 1).then_some(()));
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::DEALER).expect("a socket");
    stranger.set_linger(0).expect("linger");
    stranger.connect(&rig.feed()).expect("connected");
    let ack = r#"{"type":"ACK","session":"0000000000000000","cursors":[]}"#;
    for frames in [
        vec![vec![]],
        vec![vec![0xFF; 1000]],
        vec![b"{\"type\":\"HELLO\"".to_vec()],
        vec![br#"{"type":"HELLO","v":9}"#.to_vec()],
        vec![br#"{"type":"HELLO","v":1,"name":"nobody","window":1}"#.to_vec()],
        vec![ack.into(), vec![1; 10], vec![2; 10], vec![3; 10], vec![4; 10]],
        vec![vec![b'['; 100_000]],
    ] {
        stranger.send_multipart(frames, 0).expect("sent");
    }
    // Frames above the limit cost the peer its connection; so do bytes that are no ZMTP.
    stranger.send(vec![b' '; 1_000_000], 0).expect("sent");
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xFF; 10], &[0; 5000]] {
        let mut raw = UnixStream::connect(rig.dir.join("feed.sock")).expect("connected");
        let _ = raw.write_all(bytes);
    }
    fill(&mut writer, b"one", 100);
    subscriber.take_all(100);
    assert_eq!((subscriber.welcomes, subscriber.refused.len()), (1, 0));
    let said = until("it is said", || Some(complaints(&publisher)).filter(|said| !said.is_empty()));
    assert!(said.len() < 4, "not a line for each: {said:?}");
}

#[test]
fn a_flood_of_garbage_delays_nobody_for_long() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::DEALER).expect("a socket");
    stranger.set_linger(0).expect("linger");
    stranger.connect(&rig.feed()).expect("connected");
    for n in 0..20_000u32 {
        let _ = stranger.send(&n.to_le_bytes()[..], zmq::DONTWAIT);
    }
    fill(&mut writer, b"one", 100);
    subscriber.take_all(100);
}

#[test]
fn garbage_on_the_live_port_disturbs_nobody() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("its number").port();
    drop(free);
    let mut settings = rig.settings(Overflow::Overwrite, &[]);
    settings.live = format!("tcp://127.0.0.1:{port}");
    let _publisher = rig.publish(settings);
    let reader = Reader::new(&format!("tcp://127.0.0.1:{port}"), &["a"]);
    writer.append(1, &event("a", "before")).expect("room");
    assert_eq!(reader.data(1), ["before"]);
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xFF; 10], &[0; 5000], &[1; 100_000]] {
        let mut raw = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let _ = raw.write_all(bytes);
    }
    // What a peer of the right protocol should not say: a subscription above 1 KB, and messages.
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::XSUB).expect("a socket");
    stranger.set_linger(0).expect("linger");
    stranger.connect(&format!("tcp://127.0.0.1:{port}")).expect("connected");
    for message in [vec![1; 5000], vec![2; 100], vec![], vec![0], vec![7; 2000]] {
        let _ = stranger.send(message, zmq::DONTWAIT);
    }
    writer.append(1, &event("a", "after")).expect("room");
    assert_eq!(reader.data(1), ["after"]);
}

#[test]
fn a_stopped_subscriber_is_let_go_after_3_s_and_comes_back_by_itself() {
    let rig = Rig::new(16);
    let mut writer = rig.writer();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.until("welcome", |s| (s.welcomes == 1).then_some(()));
    // Nothing is said from here on: no turn, no BEAT.
    let said = until("it is let go", || complaints(&publisher).pop());
    assert!(said.contains("was silent for 3 s"), "{said}");
    until("it is noted", || rig.ring.state().subscribers[0].connected.is_none().then_some(()));
    fill(&mut writer, b"one", 100);
    subscriber.take_all(100);
    subscriber.assert_in_order();
    assert_eq!(subscriber.client.due(std::time::Instant::now()), None::<Due>);
}
