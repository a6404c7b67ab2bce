//! The rules of a conversation, one by one: who is heard, what may be acknowledged, when it ends.

use std::time::{Duration, Instant};

use sparkngin_core::feed::{
    Ack, AckCursor, Beat, Client, Due, Fault, Have, Heard, Hello, Hole, Incoming, Message, Packet,
    Peer, Place, Reason, Session, SessionId, Sessions, Settings, Shelf, State, Why,
};
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::record::{self, Record, Seed, Torn};
use sparkngin_core::took::Took;

#[path = "feed_sessions/books.rs"]
mod books;
#[path = "feed_sessions/edges.rs"]
mod edges;

const REGION: Region = Region(7);
const STREAM: Stream = Stream(2);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn peer(n: u8) -> Peer {
    Peer::anybody(vec![0, n])
}

fn shelf(acked: u64, last: u64) -> Shelf {
    let place = Place { acked: Seq(acked), lost: 10, dead: 20, uncertain: 30, ..Place::default() };
    Shelf { region: REGION, state: State::Open, streams: vec![(STREAM, Seq(last), place)] }
}

fn hello(have: Vec<Have>) -> Hello {
    let from = Some("elsewhere".to_owned());
    Hello { v: 1, name: "kafka".to_owned(), window: 5000, from, have }
}

fn records(first: u64, count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for seq in first..first + count {
        let record = Record { seq: Seq(seq), received: 1, bytes: &[b'x'; 76] };
        record::write(Seed::new(REGION, STREAM), record, &mut out);
    }
    out
}

/// The one stream's place in an ACK.
fn cursor(seq: u64, [lost, dead, uncertain]: [u64; 3]) -> AckCursor {
    let (region, stream, seq) = (REGION, STREAM, Seq(seq));
    AckCursor { region, stream, seq, lost, dead, uncertain, open: false }
}

/// Opens a session of the first name; what is sent then, the WELCOME first.
fn let_in(
    sessions: &mut Sessions,
    peer: &Peer,
    hello: &Hello,
    id: SessionId,
    shelves: &[Shelf],
    now: Instant,
) -> Vec<Packet> {
    let (session, welcome) = Session::open(peer, hello, id, shelves, now);
    [welcome].into_iter().chain(sessions.admit(0, session)).collect()
}

/// A publisher with one name whose session 1, of peer 1, was sent records up to 40 of a stream acknowledged up to 12.
struct Publisher {
    sessions: Sessions,
    now: Instant,
}

impl Publisher {
    fn new() -> Publisher {
        let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
        let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[shelf(12, 40)], now);
        let session = sessions.get_mut(0).unwrap();
        session.batch(REGION, STREAM, 28, records(13, 28));
        Publisher { sessions, now }
    }

    fn hears(&mut self, peer: &Peer, message: Message) -> Heard {
        self.sessions.receive(peer, &message.frames(vec![]), self.now)
    }

    fn acks(&mut self, from: &Peer, id: u64, seq: u64, counts: [u64; 3]) -> Heard {
        let cursors = vec![cursor(seq, counts)];
        self.hears(from, Message::Ack(Ack { session: SessionId(id), cursors }))
    }
}

fn refused(heard: &Heard) -> Reason {
    match heard {
        Heard::Refused { packet: Packet { message: Message::Refused(refused), .. }, .. } => {
            refused.reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn an_acknowledgement_moves_the_cursor_and_adds_its_counts_to_those_at_welcome() {
    let mut publisher = Publisher::new();
    for (seq, counts) in [(20, [1, 0, 2]), (20, [1, 0, 2]), (40, [1, 5, 2])] {
        let Heard::Acked { who: 0, moved } = publisher.acks(&peer(1), 1, seq, counts) else {
            panic!("{seq} is refused")
        };
        let [lost, dead, uncertain] = [10 + counts[0], 20 + counts[1], 30 + counts[2]];
        let place = Place { acked: Seq(seq), lost, dead, uncertain, ..Place::default() };
        assert_eq!(moved[0].place, place);
    }
}

#[test]
fn what_was_gone_before_a_new_name_read_it_and_was_not_held_is_told_apart_and_is_not_lost() {
    let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
    let place = Place { acked: Seq(12), start: Seq(12), unheld: Seq(20), ..Place::default() };
    let shelf =
        Shelf { region: REGION, state: State::Open, streams: vec![(STREAM, Seq(40), place)] };
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[shelf], now);
    let session = sessions.get_mut(0).unwrap();
    let told = |session: &mut Session| {
        let hole = Hole::Lost { to: Seq(25), hours: (1, 2) };
        let Message::Lost(lost) = session.hole(REGION, STREAM, hole).message else { panic!() };
        (lost.from.0, lost.to.0, lost.reason)
    };
    session.batch(REGION, STREAM, 3, records(13, 3));
    assert_eq!(told(session), (16, 20, "freed".to_owned()));
    assert_eq!(told(session), (21, 25, "overwritten".to_owned()));
    let mut publisher = Publisher { sessions, now };
    // Half of the one hole, all of it, half of the other, all.
    for (seq, told, start, lost) in
        [(18, 3, 15, 0), (20, 5, 17, 0), (22, 7, 17, 2), (25, 10, 17, 5)]
    {
        let heard = publisher.acks(&peer(1), 1, seq, [told, 0, 0]);
        let Heard::Acked { moved, .. } = heard else { panic!("{heard:?}") };
        let expected = Place { acked: Seq(seq), start: Seq(start), lost, ..place };
        assert_eq!(moved[0].place, expected);
    }
}

#[test]
fn what_a_session_before_told_as_not_held_is_not_lost_either_as_long_as_nothing_held_is_acknowledged()
 {
    let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
    let place = Place { acked: Seq(12), start: Seq(12), unheld: Seq(20), ..Place::default() };
    let shelf =
        Shelf { region: REGION, state: State::Open, streams: vec![(STREAM, Seq(40), place)] };
    let have = Have { region: REGION, stream: STREAM, seq: Seq(18), bytes: 100 };
    let_in(&mut sessions, &peer(1), &hello(vec![have]), SessionId(1), &[shelf], now);
    let mut publisher = Publisher { sessions, now };
    let heard = publisher.acks(&peer(1), 1, 18, [4, 0, 0]);
    let Heard::Acked { moved, .. } = heard else { panic!("{heard:?}") };
    assert_eq!(moved[0].place, Place { acked: Seq(18), start: Seq(16), ..place });
    publisher.sessions.get_mut(0).unwrap().batch(REGION, STREAM, 22, records(19, 22));
    let heard = publisher.acks(&peer(1), 1, 40, [4, 1, 0]);
    let Heard::Acked { moved, .. } = heard else { panic!("{heard:?}") };
    assert_eq!(moved[0].place, Place { acked: Seq(40), start: Seq(16), dead: 1, ..place });
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_or_backwards_or_miscounted_ends_the_session() {
    for (seq, counts, why) in [
        (41, [0; 3], "sent up to 40"),
        (u64::MAX, [0; 3], "sent up to 40"),
        (15, [0; 3], "acknowledged up to 16"),
        (11, [0; 3], "acknowledged up to 16"),
        (20, [9, 0, 0], "counts 9 in 8 records"),
        (20, [u64::MAX, 1, 0], "overflow"),
        (20, [1, 0, 0], "counts go back"),
    ] {
        let mut publisher = Publisher::new();
        publisher.acks(&peer(1), 1, 16, [2, 0, 0]);
        let heard = publisher.acks(&peer(1), 1, seq, counts);
        assert_eq!(refused(&heard), Reason::Session);
        let Heard::Refused { why: Some(said), ended: Some(0), .. } = heard else {
            panic!("{heard:?}")
        };
        assert!(said.contains(why), "{said} does not say {why}");
        assert!(publisher.sessions.get(0).is_none());
    }
}

#[test]
fn one_bad_place_in_an_acknowledgement_spoils_all_of_it() {
    let mut publisher = Publisher::new();
    let good = cursor(20, [0; 3]);
    for bad in
        [AckCursor { stream: Stream(9), ..good }, AckCursor { region: Region(9), ..good }, good]
    {
        let message = Message::Ack(Ack { session: SessionId(1), cursors: vec![good, bad] });
        assert_eq!(refused(&publisher.hears(&peer(1), message)), Reason::Session);
        publisher = Publisher::new();
    }
}

#[test]
fn an_acknowledgement_counts_only_from_the_connection_that_opened_the_session() {
    let mut publisher = Publisher::new();
    let heard = publisher.acks(&peer(2), 1, 20, [0; 3]);
    assert_eq!(refused(&heard), Reason::Session);
    // The number of another one's session opens nothing, and closes nothing either.
    assert!(matches!(publisher.acks(&peer(1), 1, 20, [0; 3]), Heard::Acked { .. }));
}

#[test]
fn a_newer_hello_of_a_name_fences_the_older_session_and_tells_it_by_whom() {
    let mut publisher = Publisher::new();
    let Heard::Hello { who: 0, hello } = publisher.hears(&peer(2), Message::Hello(hello(vec![])))
    else {
        panic!("no hello")
    };
    let now = publisher.now;
    let books = [shelf(12, 40)];
    let packets = let_in(&mut publisher.sessions, &peer(2), &hello, SessionId(2), &books, now);
    let Message::Refused(told) = &packets[1].message else { panic!("{packets:?}") };
    assert_eq!((&packets[1].to, told.reason), (&peer(1), Reason::Fenced));
    assert_eq!((told.session, told.other.as_deref()), (Some(SessionId(1)), Some("elsewhere")));
    assert_eq!(packets[0].to, peer(2));
    assert_eq!(refused(&publisher.acks(&peer(1), 1, 20, [0; 3])), Reason::Session);
    // The new one was sent nothing yet.
    assert_eq!(refused(&publisher.acks(&peer(2), 2, 20, [0; 3])), Reason::Session);
}

#[test]
fn the_same_connection_that_says_hello_again_is_not_told_that_it_is_fenced() {
    let mut publisher = Publisher::new();
    let now = publisher.now;
    let books = [shelf(12, 40)];
    let packets =
        let_in(&mut publisher.sessions, &peer(1), &hello(vec![]), SessionId(2), &books, now);
    assert_eq!(packets.len(), 1);
}

#[test]
fn a_session_goes_on_after_the_larger_of_acked_and_have() {
    let have = |seq| vec![Have { region: REGION, stream: STREAM, seq: Seq(seq), bytes: 100 }];
    for (said, goes_on_after) in [(0, 12), (12, 12), (11, 12), (13, 13), (40, 40), (41, 12)] {
        let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
        let hello = hello(have(said));
        let books = [shelf(12, 40)];
        let_in(&mut sessions, &peer(1), &hello, SessionId(1), &books, Instant::now());
        let session = sessions.get(0).unwrap();
        assert_eq!(session.sent(REGION, STREAM), Seq(goes_on_after), "have {said}");
        let room = if goes_on_after > 12 { 4900 } else { 5000 };
        assert_eq!(session.room(), Some(room), "what it has is part of the window");
    }
}

#[test]
fn nothing_is_sent_beyond_the_window_and_an_acknowledgement_opens_it_again() {
    let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
    let now = Instant::now();
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[shelf(0, 999)], now);
    let session = sessions.get_mut(0).unwrap();
    session.batch(REGION, STREAM, 40, records(1, 40));
    assert_eq!(session.room(), Some(5000 - 40 * 104 - 256));
    session.batch(REGION, STREAM, 10, records(41, 10));
    assert_eq!(session.room(), None);
    let mut publisher = Publisher { sessions, now };
    assert!(matches!(publisher.acks(&peer(1), 1, 45, [0; 3]), Heard::Acked { .. }));
    // A message counts until all of it is acknowledged.
    assert_eq!(publisher.sessions.get(0).unwrap().room(), Some(5000 - 10 * 104 - 256));
    assert!(matches!(publisher.acks(&peer(1), 1, 50, [0; 3]), Heard::Acked { .. }));
    assert_eq!(publisher.sessions.get(0).unwrap().room(), Some(5000));
}

#[test]
fn holes_take_of_the_window_too() {
    let mut publisher = Publisher::new();
    let session = publisher.sessions.get_mut(0).unwrap();
    let before = session.room().unwrap();
    session.hole(REGION, STREAM, Hole::Lost { to: Seq(90), hours: (1, 1) });
    assert_eq!(session.room(), Some(before - 256));
    assert_eq!(session.sent(REGION, STREAM), Seq(90));
}

#[test]
fn an_uncertain_end_is_told_once_a_session_until_it_is_acknowledged() {
    let mut publisher = Publisher::new();
    let session = publisher.sessions.get_mut(0).unwrap();
    assert!(!session.ends(REGION, STREAM));
    session.hole(REGION, STREAM, Hole::Uncertain { to: None, since: 3 });
    assert!(session.ends(REGION, STREAM));
    assert_eq!(session.sent(REGION, STREAM), Seq(40));
    let (region, stream, seq) = (REGION, STREAM, Seq(40));
    let cursor = AckCursor { region, stream, seq, lost: 0, dead: 0, uncertain: 0, open: true };
    let ack = Message::Ack(Ack { session: SessionId(1), cursors: vec![cursor] });
    let Heard::Acked { moved, .. } = publisher.hears(&peer(1), ack) else { panic!("refused") };
    assert!(moved[0].place.open);
}

#[test]
fn an_unknown_name_an_unknown_session_and_garbage_are_refused_and_harm_nobody() {
    let mut publisher = Publisher::new();
    let stranger = Hello { name: "other".to_owned(), ..hello(vec![]) };
    assert_eq!(refused(&publisher.hears(&peer(9), Message::Hello(stranger))), Reason::Name);
    let beat = Message::Beat(Beat { session: SessionId(99), leaving: false, took: None });
    assert_eq!(refused(&publisher.hears(&peer(9), beat)), Reason::Session);
    let now = publisher.now;
    for frames in [vec![vec![1, 2, 3]], vec![], vec![b"{}".to_vec(), vec![]]] {
        let heard = publisher.sessions.receive(&peer(9), &frames, now);
        assert_eq!(refused(&heard), Reason::Session);
        assert!(matches!(heard, Heard::Refused { ended: None, why: Some(_), .. }));
    }
    assert!(publisher.sessions.get(0).is_some());
    let heard = publisher.sessions.receive(&peer(1), &[b"{"], now);
    assert!(matches!(heard, Heard::Refused { ended: Some(0), .. }), "its own ends it: {heard:?}");
}

#[test]
fn another_version_is_refused_with_those_that_are_served() {
    let mut publisher = Publisher::new();
    let heard =
        publisher.sessions.receive(&peer(9), &[br#"{"type":"HELLO","v":2}"#], publisher.now);
    let Heard::Refused { packet, .. } = heard else { panic!("{heard:?}") };
    let Message::Refused(refused) = packet.message else { panic!() };
    assert_eq!((refused.reason, refused.serves), (Reason::Version, Some((1, 1))));
}

#[test]
fn beats_go_out_each_200_ms_and_3_s_of_silence_end_a_session() {
    let mut publisher = Publisher::new();
    let start = publisher.now;
    assert_eq!(publisher.sessions.wait(start), Some(ms(200)));
    assert!(publisher.sessions.due(start + ms(149)).packets.is_empty());
    assert_eq!(publisher.sessions.due(start + ms(200)).packets.len(), 1);
    assert!(publisher.sessions.due(start + ms(349)).packets.is_empty());
    assert_eq!(publisher.sessions.wait(start + ms(349)), Some(ms(51)));
    assert_eq!(publisher.sessions.due(start + ms(350)).packets.len(), 1, "for who is awake anyhow");
    publisher.now = start + ms(2000);
    let beat = Message::Beat(Beat { session: SessionId(1), leaving: false, took: None });
    assert_eq!(publisher.hears(&peer(1), beat), Heard::Beat);
    assert!(publisher.sessions.due(start + ms(4999)).silent.is_empty());
    assert_eq!(publisher.sessions.due(start + ms(5000)).silent, [0]);
    assert_eq!(publisher.sessions.wait(start + ms(5000)), None, "nothing ticks without a session");
}

#[test]
fn what_a_session_said_last_of_how_long_its_events_took_is_known_until_it_ends() {
    let mut publisher = Publisher::new();
    let says = |publisher: &mut Publisher, id, took: Option<Took>| {
        let beat = Beat { session: SessionId(id), leaving: false, took: took.map(Box::new) };
        publisher.hears(&peer(1), Message::Beat(beat));
        publisher.sessions.get(0).and_then(Session::took)
    };
    let took = |events| Some(Took { events, ..Took::default() });
    assert_eq!(says(&mut publisher, 1, None), None);
    assert_eq!(says(&mut publisher, 1, took(5)), took(5));
    assert_eq!(says(&mut publisher, 1, None), took(5), "a BEAT without it says nothing else");
    assert_eq!(says(&mut publisher, 9, took(7)), took(5), "another session's is nobody's");
    assert_eq!(says(&mut publisher, 1, took(0)), took(0));
}

#[test]
fn who_says_that_it_leaves_ends_its_session_and_no_other_and_its_successor_fences_nobody() {
    let mut publisher = Publisher::new();
    let leaving = |id| Message::Beat(Beat { session: SessionId(id), leaving: true, took: None });
    assert_eq!(refused(&publisher.hears(&peer(9), leaving(1))), Reason::Session);
    assert!(publisher.sessions.get(0).is_some(), "a number that it did not open is nothing");
    let left = Heard::Left { who: 0, from: Some("elsewhere".to_owned()) };
    assert_eq!(publisher.hears(&peer(1), leaving(1)), left);
    assert!(!publisher.sessions.any());
    let (now, books) = (publisher.now, [shelf(12, 40)]);
    let packets =
        let_in(&mut publisher.sessions, &peer(2), &hello(vec![]), SessionId(2), &books, now);
    assert_eq!(packets.len(), 1, "nobody is told that another one took over");
}

#[test]
fn a_session_goes_on_in_a_stream_that_it_was_not_told_of_only_from_a_new_cursor() {
    let publisher = Publisher::new();
    let session = publisher.sessions.get(0).expect("a session");
    let moved = Place { acked: Seq(5), ..Place::default() };
    let unheld = Place { unheld: Seq(5), ..Place::default() };
    let (other, new) = (Region(9), Place::default());
    assert!(session.knows(REGION, STREAM, &moved) && session.knows(other, STREAM, &new));
    for place in [moved, unheld, Place { open: true, ..new }] {
        assert!(!session.knows(other, STREAM, &place), "{place:?}");
    }
}

/// A client whose session 1 is open, on a stream of which 12 are acknowledged.
fn subscriber() -> (Client, Instant) {
    let settings = Settings { name: "kafka".to_owned(), window: 5000, from: None };
    let (mut client, now) = (Client::new(settings), Instant::now());
    client.connected(now);
    welcome(&mut client, 1, 12, now);
    (client, now)
}

fn welcome(client: &mut Client, id: u64, acked: u64, now: Instant) {
    let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO is due") };
    let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
    let books = [shelf(acked, 99)];
    let mut packets = let_in(&mut sessions, &peer(1), &hello, SessionId(id), &books, now);
    assert!(matches!(give(client, packets.remove(0), now), Ok(Incoming::Welcome(_))));
}

fn give(client: &mut Client, packet: Packet, now: Instant) -> Result<Incoming<Vec<u8>>, Fault> {
    client.receive(packet.message.frames(packet.body), now)
}

fn batch(id: u64, first: u64, count: u64, body: Vec<u8>) -> Packet {
    let (session, region, stream) = (SessionId(id), REGION, STREAM);
    let (first, count) = (Seq(first), count as u32);
    let batch = sparkngin_core::feed::Batch { session, region, stream, first, count };
    Packet { to: peer(1), message: Message::Batch(batch), body }
}

#[test]
fn a_client_says_in_each_beat_how_long_its_events_took_once_it_was_told() {
    let (mut client, mut at) = subscriber();
    let took = Took { events: 3, p50: 100, ..Took::default() };
    for took in [None, Some(took), Some(took)] {
        took.into_iter().for_each(|took| client.tell(took));
        let beat = Beat { session: SessionId(1), leaving: false, took: took.map(Box::new) };
        at += client.wait(at).unwrap();
        let Some(Due::Send(said)) = client.due(at) else { panic!("no BEAT is due") };
        assert_eq!(said, Message::Beat(beat));
    }
}

fn refuse(reason: Reason, id: Option<u64>) -> Packet {
    let refused = sparkngin_core::feed::Refused::for_reason(reason, id.map(SessionId));
    Packet { to: peer(1), message: Message::Refused(refused), body: vec![] }
}

#[test]
fn a_client_takes_each_number_once_and_names_what_it_took_in_the_next_hello() {
    let (mut client, now) = subscriber();
    let Ok(Incoming::Batch(got)) = give(&mut client, batch(1, 13, 4, records(13, 4)), now) else {
        panic!("not taken")
    };
    assert_eq!((got.first, got.last(), got.slice().count()), (Seq(13), Seq(16), 4));
    // All of it again: nothing. Half of it again: the other half.
    assert!(matches!(
        give(&mut client, batch(1, 13, 4, records(13, 4)), now),
        Ok(Incoming::Nothing)
    ));
    let Ok(Incoming::Batch(got)) = give(&mut client, batch(1, 15, 4, records(15, 4)), now) else {
        panic!("not taken")
    };
    let seqs: Vec<_> = got.slice().map(|record| record.unwrap().seq.0).collect();
    assert_eq!(seqs, [17, 18]);
    assert!(got.again().eq(got.slice().map(Result::unwrap)), "the same, without their sums");
    client.connected(now);
    let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO") };
    let bytes = 2 * (4 * 104 + 256);
    assert_eq!(hello.have, [Have { region: REGION, stream: STREAM, seq: Seq(18), bytes }]);
}

#[test]
fn of_a_region_that_a_welcome_leaves_out_a_client_takes_nothing_twice_when_it_is_found_late() {
    let (mut client, now) = subscriber();
    give(&mut client, batch(1, 13, 4, records(13, 4)), now).expect("taken");
    client.connected(now);
    client.due(now);
    // The next publisher does not know the file, but another one.
    let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
    let other = [Shelf { region: Region(99), ..shelf(0, 0) }];
    let mut packets = let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(2), &other, now);
    give(&mut client, packets.remove(0), now).expect("a WELCOME");
    // What was taken of it is on its way, but nothing can be acknowledged there.
    assert_eq!(client.in_flight(), 4 * 104 + 256);
    client.done(REGION, STREAM, Seq(15));
    assert_eq!(client.due(now), None);
    assert!(client.wait(now) > Some(ms(0)));
    // Now it does, and as far as it knows nobody took anything.
    let all = batch(2, 1, 20, records(1, 20));
    assert!(matches!(give(&mut client, all.clone(), now + ms(500)), Ok(Incoming::Nothing)));
    let Some(Due::Send(Message::Hello(hello))) = client.due(now + ms(500)) else {
        panic!("no HELLO")
    };
    assert_eq!((hello.have[0].region, hello.have[0].seq), (REGION, Seq(16)));
    assert!(matches!(give(&mut client, all, now + ms(500)), Ok(Incoming::Nothing)));
    let books = [shelf(0, 40)];
    let mut packets = let_in(&mut sessions, &peer(1), &hello, SessionId(3), &books, now);
    give(&mut client, packets.remove(0), now + ms(500)).expect("a WELCOME");
    let Some(Due::Send(Message::Ack(ack))) = client.due(now + ms(500)) else { panic!("no ACK") };
    assert_eq!(ack.cursors[0].seq, Seq(15));
    let next = batch(3, 17, 1, records(17, 1));
    assert!(matches!(give(&mut client, next, now + ms(500)), Ok(Incoming::Batch(_))));
}

#[test]
fn a_client_that_leaves_says_so_once_and_nothing_after_it() {
    let (mut client, now) = subscriber();
    let leaving = Message::Beat(Beat { session: SessionId(1), leaving: true, took: None });
    assert_eq!(client.leave(), Some(leaving));
    assert_eq!((client.leave(), client.due(now + ms(9000)), client.wait(now)), (None, None, None));
}

#[test]
fn a_hole_without_a_reason_and_a_damaged_record_make_a_client_reconnect() {
    let torn = |mut body: Vec<u8>| {
        body[150] ^= 1;
        body
    };
    for (packet, fault) in [
        (batch(1, 14, 1, records(14, 1)), "gap"),
        (batch(1, 13, 2, torn(records(13, 2))), "torn"),
        (batch(1, 13, 3, records(13, 2)), "count"),
        (batch(1, 13, 1, records(13, 2)), "count"),
        (batch(1, 13, 1, vec![]), "count"),
        (batch(1, 13, 2, records(14, 2)), "torn"),
    ] {
        let (mut client, now) = subscriber();
        let was = match give(&mut client, packet.clone(), now) {
            Err(Fault::Gap { .. }) => "gap",
            Err(Fault::Torn { torn: Torn::Crc | Torn::Seq, .. }) => "torn",
            Err(Fault::Count { .. }) => "count",
            other => panic!("{other:?}"),
        };
        assert_eq!(was, fault, "{packet:?}");
        assert_eq!(client.due(now), None, "not as fast as it can");
        assert_eq!(client.due(now + ms(200)), Some(Due::Reconnect(Why::Fault)));
        client.connected(now);
        let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO") };
        assert_eq!(hello.have[0].seq, Seq(12), "nothing of it counts");
    }
}

#[test]
fn messages_of_a_session_that_is_not_open_are_nothing() {
    let (mut client, now) = subscriber();
    let old = [
        batch(9, 13, 1, records(13, 1)),
        refuse(Reason::Session, Some(9)),
        refuse(Reason::Fenced, Some(9)),
    ];
    for packet in old {
        assert!(matches!(give(&mut client, packet, now), Ok(Incoming::Nothing)));
    }
    assert!(client.in_session());
}

#[test]
fn a_client_answers_each_beat_and_needs_no_waking_of_its_own() {
    let (mut client, now) = subscriber();
    let beat = Message::Beat(Beat { session: SessionId(1), leaving: false, took: None });
    assert!(client.receive(beat.frames(vec![]), now + ms(90)).is_ok());
    assert_eq!(client.due(now + ms(90)), None, "it has said HELLO a moment ago");
    assert!(client.receive(beat.frames(vec![]), now + ms(200)).is_ok());
    assert_eq!(client.due(now + ms(200)), Some(Due::Send(beat)));
    assert_eq!(client.due(now + ms(200)), None, "once");
    assert_eq!(client.wait(now + ms(200)), Some(ms(300)), "the next one is answered sooner");
}

#[test]
fn a_client_beats_alone_each_300_ms_and_reconnects_after_3_s_of_silence() {
    let (mut client, now) = subscriber();
    assert_eq!(client.wait(now), Some(ms(300)));
    assert_eq!(client.due(now + ms(299)), None);
    let beat = Message::Beat(Beat { session: SessionId(1), leaving: false, took: None });
    assert_eq!(client.due(now + ms(300)), Some(Due::Send(beat.clone())));
    assert_eq!(client.due(now + ms(300)), None);
    assert!(client.receive(beat.frames(vec![]), now + ms(1000)).is_ok());
    client.due(now + ms(3999));
    assert_eq!(client.due(now + ms(3999)), None);
    assert_eq!(client.due(now + ms(4000)), Some(Due::Reconnect(Why::Silence)));
    assert_eq!(client.wait(now + ms(4000)), None, "the socket is at work");
}

#[test]
fn a_hello_that_nobody_answers_for_3_s_makes_a_new_connection() {
    let settings = Settings { name: "kafka".to_owned(), window: 1, from: None };
    let (mut client, now) = (Client::new(settings), Instant::now());
    client.connected(now);
    assert!(matches!(client.due(now), Some(Due::Send(Message::Hello(_)))));
    assert_eq!(client.due(now + ms(2999)), None);
    assert_eq!(client.due(now + ms(3000)), Some(Due::Reconnect(Why::Silence)));
}

#[test]
fn refused_for_its_session_it_says_hello_at_once_but_not_as_fast_as_it_can() {
    let (mut client, mut now) = subscriber();
    now += ms(300);
    assert!(give(&mut client, refuse(Reason::Session, Some(1)), now).is_ok());
    welcome(&mut client, 2, 12, now);
    assert!(give(&mut client, refuse(Reason::Session, Some(2)), now).is_ok());
    assert_eq!(client.due(now), None);
    welcome(&mut client, 3, 12, now + ms(200));
}

#[test]
fn refused_for_its_name_it_asks_each_second_and_for_its_version_never_again() {
    let settings = Settings { name: "kafka".to_owned(), window: 1, from: None };
    let (mut client, now) = (Client::new(settings), Instant::now());
    client.connected(now);
    client.due(now);
    for reason in [Reason::Name, Reason::Key] {
        assert!(matches!(give(&mut client, refuse(reason, None), now), Ok(Incoming::Refused(_))));
        assert_eq!(client.due(now + ms(999)), None);
        assert!(matches!(client.due(now + ms(1000)), Some(Due::Send(Message::Hello(_)))));
    }
    assert!(matches!(
        give(&mut client, refuse(Reason::Version, None), now),
        Ok(Incoming::Refused(_))
    ));
    client.connected(now);
    assert_eq!((client.due(now + ms(9000)), client.wait(now)), (None, None));
}

#[test]
fn a_fenced_client_never_says_anything_again() {
    let (mut client, now) = subscriber();
    assert!(matches!(
        give(&mut client, refuse(Reason::Fenced, Some(1)), now),
        Ok(Incoming::Refused(_))
    ));
    client.connected(now);
    assert_eq!(client.due(now + ms(9000)), None);
    // Unless who can tell finds that it is this one that is to go on.
    client.contest(now + ms(9000));
    assert!(matches!(client.due(now + ms(9000)), Some(Due::Send(Message::Hello(_)))));
    client.contest(now + ms(9000));
    assert_eq!(client.due(now + ms(9000)), None);
}

#[test]
fn what_is_done_is_acknowledged_with_counts_since_welcome_wherever_the_next_welcome_stands() {
    let (mut client, now) = subscriber();
    let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[shelf(12, 99)], now);
    let session = sessions.get_mut(0).unwrap();
    let lost = session.hole(REGION, STREAM, Hole::Lost { to: Seq(20), hours: (1, 1) });
    assert!(matches!(give(&mut client, lost, now), Ok(Incoming::Lost { from: Seq(13), .. })));
    assert!(give(&mut client, batch(1, 21, 4, records(21, 4)), now).is_ok());
    client.dead(REGION, STREAM, Seq(22));
    client.dead(REGION, STREAM, Seq(23));
    let acked = |client: &mut Client| match client.due(now) {
        Some(Due::Send(Message::Ack(ack))) => {
            let c = ack.cursors[0];
            (c.seq.0, [c.lost, c.dead, c.uncertain])
        }
        other => panic!("{other:?}"),
    };
    client.done(REGION, STREAM, Seq(20));
    assert_eq!(acked(&mut client), (20, [8, 0, 0]));
    client.done(REGION, STREAM, Seq(99));
    assert_eq!(acked(&mut client), (24, [8, 2, 0]), "never beyond what was taken");
    assert_eq!(client.in_flight(), 0);
    // The publisher may have stored neither of them, the first one, or both.
    for (stored, counts) in [(12, Some([8, 2, 0])), (20, Some([0, 2, 0])), (24, None)] {
        client.connected(now);
        welcome(&mut client, stored, stored, now);
        match counts {
            Some(counts) => assert_eq!(acked(&mut client), (24, counts)),
            None => assert_eq!(client.due(now), None),
        }
    }
}

#[test]
fn a_client_with_thousands_of_dead_letters_asks_for_a_welcome_that_lets_it_forget_them() {
    let (mut client, now) = subscriber();
    let (mut next, mut asked) = (13, false);
    while !asked && next < 20_000 {
        assert!(give(&mut client, batch(1, next, 10, records(next, 10)), now).is_ok());
        for dead in (next..next + 10).step_by(2) {
            client.dead(REGION, STREAM, Seq(dead));
        }
        next += 10;
        client.done(REGION, STREAM, Seq(next - 1));
        while let Some(due) = client.due(now + ms(100)) {
            assert!(matches!(due, Due::Send(Message::Ack(_))), "{due:?}");
        }
        asked = !client.in_session();
    }
    assert!(asked && next > 8192, "{next}");
    let Some(Due::Send(Message::Hello(_))) = client.due(now + ms(1000)) else { panic!("no HELLO") };
}

#[test]
fn a_name_with_a_key_is_for_who_has_it_and_one_without_for_who_has_proved_nothing() {
    let names = || vec!["kafka".to_owned(), "open".to_owned()];
    let user = |user: Option<&str>| Peer { user: user.map(str::to_owned), ..peer(1) };
    for (name, who, may) in [
        ("kafka", Some("kafka"), true),
        ("kafka", Some("open"), false),
        ("kafka", None, false),
        ("open", None, true),
        ("open", Some("kafka"), false),
    ] {
        let mut sessions = Sessions::keyed(names(), vec![true, false]);
        let hello = Message::Hello(Hello { name: name.to_owned(), ..hello(vec![]) });
        match sessions.receive(&user(who), &hello.frames(vec![]), Instant::now()) {
            Heard::Hello { .. } => assert!(may, "{who:?} as {name}"),
            heard => {
                assert!(!may, "{who:?} as {name}");
                assert_eq!(refused(&heard), Reason::Key);
            }
        }
    }
}

#[test]
fn an_acknowledgement_with_another_key_on_the_same_connection_counts_for_nothing() {
    let mut publisher = Publisher::new();
    let thief = Peer { user: Some("thief".to_owned()), ..peer(1) };
    assert_eq!(refused(&publisher.acks(&thief, 1, 40, [0; 3])), Reason::Session);
    assert!(matches!(publisher.acks(&peer(1), 1, 40, [0; 3]), Heard::Acked { .. }), "it goes on");
}

#[test]
fn a_caller_that_keeps_the_books_acknowledges_by_totals_though_it_was_ahead_of_what_it_took() {
    let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
    let settings = Settings { name: "kafka".to_owned(), window: 5000, from: None };
    let mut client = Client::with_books_kept(settings);
    client.connected(now);
    let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO") };
    let welcome =
        let_in(&mut sessions, &peer(1), &hello, SessionId(1), &[shelf(12, 40)], now).remove(0);
    client.receive(welcome.message.frames(vec![]), now).unwrap();
    // The caller knows from elsewhere: up to 20, of which one more is lost and two more are dead.
    let place = Place { acked: Seq(20), lost: 11, dead: 22, uncertain: 30, ..Place::default() };
    client.done_with(REGION, STREAM, place);
    assert_eq!(client.due(now), None, "nothing of it was taken");
    let mut acknowledged = |count: u64, first: u64| {
        let session = sessions.get_mut(0).unwrap();
        let packet = session.batch(REGION, STREAM, count as u32, records(first, count));
        client.receive(packet.message.frames(packet.body), now).unwrap();
        let Some(Due::Send(ack)) = client.due(now) else { panic!("no ACK") };
        let frames = ack.frames(vec![]);
        let Heard::Acked { moved, .. } = sessions.receive(&peer(1), &frames, now) else {
            panic!("refused")
        };
        let place = moved[0].place;
        (place.acked.0, [place.lost, place.dead, place.uncertain])
    };
    assert_eq!(acknowledged(4, 13), (16, [10, 20, 30]), "the counts come with the last of them");
    assert_eq!(acknowledged(8, 17), (20, [11, 22, 30]));
}
