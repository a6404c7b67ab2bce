//! The same rules at their edges: one more, one less, and what must change nothing.

use sparkngin_core::feed::{FROM_MAX, Garbage, HEADER_MAX, Lost, Uncertain};

use super::*;

fn asking() -> (Client, Instant) {
    let settings = Settings { name: "kafka".to_owned(), window: 5000, from: None };
    let (mut client, now) = (Client::new(settings), Instant::now());
    client.connected(now);
    assert!(matches!(client.due(now), Some(Due::Send(Message::Hello(_)))));
    (client, now)
}

fn lost(id: u64, from: u64, to: u64) -> Packet {
    let (session, region, stream) = (SessionId(id), REGION, STREAM);
    let (from, to, hours, reason) = (Seq(from), Seq(to), (1, 1), "overwritten".to_owned());
    let message = Message::Lost(Lost { session, region, stream, from, to, hours, reason });
    Packet { to: peer(1), message, body: vec![] }
}

fn uncertain(id: u64, from: u64, to: Option<u64>) -> Packet {
    let (session, region, stream) = (SessionId(id), REGION, STREAM);
    let (from, to) = (Seq(from), to.map(Seq));
    let message = Message::Uncertain(Uncertain { session, region, stream, from, to, since: 1 });
    Packet { to: peer(1), message, body: vec![] }
}

/// The next ACK's place of the one stream.
fn acked(client: &mut Client, now: Instant) -> Option<AckCursor> {
    match client.due(now) {
        Some(Due::Send(Message::Ack(ack))) => Some(ack.cursors[0]),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_whose_connection_is_gone_waits_for_the_next_one() {
    let (mut client, now) = subscriber();
    assert_eq!(client.name(), "kafka");
    client.disconnected();
    assert!(!client.in_session());
    assert_eq!((client.due(now + ms(9000)), client.wait(now)), (None, None));
    client.connected(now);
    assert_eq!(client.wait(now), Some(ms(0)));
}

#[test]
fn a_client_that_was_shut_out_makes_a_new_connection_after_a_second_whatever_is_gone_meanwhile() {
    let (mut client, now) = subscriber();
    client.shut_out(now);
    client.disconnected();
    assert_eq!(client.wait(now), Some(ms(1000)));
    assert_eq!(client.due(now + ms(999)), None);
    assert_eq!(client.due(now + ms(1000)), Some(Due::Reconnect(Why::ShutOut)));
    let (mut client, now) = subscriber();
    give(&mut client, refuse(Reason::Fenced, Some(1)), now).unwrap();
    client.shut_out(now);
    client.disconnected();
    assert_eq!((client.due(now + ms(9000)), client.wait(now)), (None, None), "fenced for good");
    client.contest(now);
    assert!(client.wait(now).is_some());
}

#[test]
fn what_is_in_flight_counts_until_it_is_done_and_what_is_done_is_due_at_once() {
    let (mut client, now) = subscriber();
    assert_eq!(client.in_flight(), 0);
    give(&mut client, batch(1, 13, 4, records(13, 4)), now).unwrap();
    assert_eq!(client.in_flight(), 4 * 104 + 256);
    assert_eq!(client.wait(now), Some(ms(300)));
    client.done(REGION, STREAM, Seq(15));
    assert_eq!(client.in_flight(), 4 * 104 + 256, "a message counts until all of it is done");
    assert_eq!(client.wait(now), Some(ms(0)));
    assert_eq!(acked(&mut client, now).map(|c| c.seq), Some(Seq(15)));
    client.done(REGION, STREAM, Seq(16));
    assert_eq!(client.in_flight(), 0);
    client.done(REGION, STREAM, Seq(14));
    assert_eq!(acked(&mut client, now).map(|c| c.seq), Some(Seq(16)), "done never goes back");
    client.done(REGION, STREAM, Seq(16));
    assert_eq!(acked(&mut client, now), None, "nothing new");
}

#[test]
fn a_client_waits_for_an_answer_to_its_hello_for_3_s() {
    let (client, now) = asking();
    assert_eq!(client.wait(now), Some(ms(3000)));
    assert_eq!(client.wait(now + ms(2000)), Some(ms(1000)));
}

#[test]
fn holes_of_a_session_that_is_not_open_are_nothing() {
    let (mut client, now) = subscriber();
    for packet in [lost(9, 13, 20), uncertain(9, 13, Some(20)), uncertain(9, 13, None)] {
        assert!(matches!(give(&mut client, packet, now), Ok(Incoming::Nothing)));
    }
    assert!(matches!(give(&mut client, lost(1, 13, 20), now), Ok(Incoming::Lost { .. })));
}

#[test]
fn a_refusal_that_answers_nothing_that_was_said_changes_nothing() {
    let (mut client, now) = asking();
    assert!(matches!(give(&mut client, refuse(Reason::Session, None), now), Ok(Incoming::Nothing)));
    assert_eq!(client.wait(now), Some(ms(3000)), "it still waits for a WELCOME");
    let (mut client, now) = subscriber();
    for reason in [Reason::Name, Reason::Key] {
        assert!(matches!(give(&mut client, refuse(reason, None), now), Ok(Incoming::Nothing)));
    }
    assert!(client.in_session());
}

#[test]
fn of_a_hole_the_part_that_is_new_counts_and_one_beyond_the_next_number_is_a_fault() {
    let (mut client, now) = subscriber();
    let taken = |it: Result<Incoming<Vec<u8>>, Fault>| match it {
        Ok(Incoming::Lost { from, to, .. }) => Some((from.0, Some(to.0))),
        Ok(Incoming::Uncertain { from, to, .. }) => Some((from.0, to.map(|to| to.0))),
        Ok(Incoming::Nothing) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(taken(give(&mut client, lost(1, 11, 14), now)), Some((13, Some(14))));
    assert_eq!(taken(give(&mut client, lost(1, 13, 14), now)), None, "known");
    assert_eq!(taken(give(&mut client, lost(1, 14, 15), now)), Some((15, Some(15))));
    assert_eq!(taken(give(&mut client, uncertain(1, 15, Some(17)), now)), Some((16, Some(17))));
    assert_eq!(taken(give(&mut client, uncertain(1, 17, None), now)), Some((18, None)));
    assert_eq!(taken(give(&mut client, uncertain(1, 18, None), now)), None, "told already");
    client.done(REGION, STREAM, Seq(17));
    let end = acked(&mut client, now).unwrap();
    assert_eq!((end.seq, end.lost, end.uncertain, end.open), (Seq(17), 3, 2, true));
    for packet in [lost(1, 14, 20), uncertain(1, 14, Some(20)), uncertain(1, 14, None)] {
        let (mut client, now) = subscriber();
        assert!(matches!(
            give(&mut client, packet, now),
            Err(Fault::Gap { first: Seq(14), expected: Seq(13), .. })
        ));
    }
    let (mut client, now) = subscriber();
    assert_eq!(taken(give(&mut client, uncertain(1, 13, None), now)), Some((13, None)));
}

#[test]
fn an_open_end_is_acknowledged_only_when_all_before_it_is_done() {
    let (mut client, now) = subscriber();
    give(&mut client, batch(1, 13, 2, records(13, 2)), now).unwrap();
    give(&mut client, uncertain(1, 15, None), now).unwrap();
    assert_eq!(acked(&mut client, now).map(|c| (c.seq.0, c.open)), Some((12, false)));
    client.done(REGION, STREAM, Seq(14));
    assert_eq!(acked(&mut client, now).map(|c| (c.seq.0, c.open)), Some((14, true)));
}

#[test]
fn only_what_was_taken_and_is_not_done_can_be_a_dead_letter() {
    let (mut client, now) = subscriber();
    give(&mut client, batch(1, 13, 4, records(13, 4)), now).unwrap();
    client.done(REGION, STREAM, Seq(14));
    for seq in [13, 14, 17, 18] {
        client.dead(REGION, STREAM, Seq(seq));
    }
    client.dead(REGION, STREAM, Seq(16));
    client.dead(REGION, STREAM, Seq(15));
    client.dead(REGION, STREAM, Seq(15));
    give(&mut client, batch(1, 17, 2, records(17, 2)), now).unwrap();
    client.done(REGION, STREAM, Seq(18));
    let at = acked(&mut client, now).unwrap();
    assert_eq!((at.seq.0, at.lost, at.dead, at.uncertain), (18, 0, 2, 0));
}

#[test]
fn a_dead_letter_that_is_told_twice_counts_once_also_beside_another_one() {
    let (mut client, now) = subscriber();
    give(&mut client, batch(1, 13, 4, records(13, 4)), now).unwrap();
    for seq in [13, 14, 14, 13, 15, 14] {
        client.dead(REGION, STREAM, Seq(seq));
    }
    client.done(REGION, STREAM, Seq(16));
    assert_eq!(acked(&mut client, now).map(|c| c.dead), Some(3));
}

#[test]
fn the_hole_after_the_4096th_asks_for_a_welcome() {
    let (mut client, now) = subscriber();
    let mut next = 13;
    for hole in 1..=4097 {
        assert!(client.in_session(), "{hole}");
        give(&mut client, batch(1, next, 2, records(next, 2)), now).unwrap();
        client.dead(REGION, STREAM, Seq(next));
        client.done(REGION, STREAM, Seq(next + 1));
        assert_eq!(acked(&mut client, now).map(|c| c.dead), (hole <= 4096).then_some(hole));
        next += 2;
    }
    assert!(!client.in_session());
}

#[test]
fn what_a_message_may_hold_is_taken_to_the_last_byte() {
    let read = |hello: Hello| Message::read(&[Message::Hello(hello).header()]);
    let with = |name: usize, from: usize| {
        let from = Some("f".repeat(from));
        Hello { name: "n".repeat(name), from, ..hello(vec![]) }
    };
    assert!(read(with(63, FROM_MAX)).is_ok());
    assert!(matches!(read(with(64, 1)), Err(Garbage::Senseless(_))));
    assert!(matches!(read(with(0, 1)), Err(Garbage::Senseless(_))));
    for from in [FROM_MAX + 1, FROM_MAX + 2] {
        assert!(matches!(read(with(1, from)), Err(Garbage::Senseless(_))));
    }
    let beat = Message::Beat(Beat { session: SessionId(1), leaving: false, took: None }).header();
    let padded = |bytes: usize| {
        let mut frame = beat.clone();
        frame.resize(bytes, b' ');
        Message::read(&[frame])
    };
    assert!(padded(HEADER_MAX).is_ok());
    assert!(matches!(padded(HEADER_MAX + 1), Err(Garbage::TooLarge { .. })));
}

#[test]
fn a_new_session_goes_on_from_the_books_it_was_opened_with() {
    let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
    let place = Place { open: true, ..shelf(12, 40).streams[0].2 };
    let books = Shelf { streams: vec![(STREAM, Seq(40), place)], ..shelf(12, 40) };
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[books], now);
    assert!(sessions.get(0).unwrap().ends(REGION, STREAM), "another session told it");
    let mut publisher = Publisher { sessions, now };
    assert_eq!(refused(&publisher.acks(&peer(1), 1, 11, [0; 3])), Reason::Session, "backwards");
}

#[test]
fn the_same_place_may_be_acknowledged_again_and_each_stream_once_in_a_message() {
    let mut publisher = Publisher::new();
    let all_in_one = |lost: u64, dead: u64, uncertain: u64| {
        matches!(
            Publisher::new().acks(&peer(1), 1, 20, [lost, dead, uncertain]),
            Heard::Acked { .. }
        )
    };
    assert!(all_in_one(8, 0, 0) && all_in_one(0, 8, 0) && all_in_one(3, 3, 2));
    assert!(!all_in_one(9, 0, 0) && !all_in_one(0, 9, 0) && !all_in_one(3, 3, 3));
    for _ in 0..2 {
        assert!(matches!(publisher.acks(&peer(1), 1, 40, [1, 1, 1]), Heard::Acked { .. }));
    }
    for counts in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
        let mut publisher = Publisher::new();
        publisher.acks(&peer(1), 1, 30, [1, 1, 1]);
        assert_eq!(refused(&publisher.acks(&peer(1), 1, 40, counts)), Reason::Session);
    }
    let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
    let (two, now) = (Stream(3), Instant::now());
    let books = Shelf {
        streams: vec![shelf(12, 40).streams[0], (two, Seq(9), Place::default())],
        ..shelf(12, 40)
    };
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[books], now);
    let session = sessions.get_mut(0).unwrap();
    session.batch(REGION, STREAM, 8, records(13, 8));
    session.batch(REGION, two, 8, records(1, 8));
    let at = |stream, seq| {
        let (region, seq, open) = (REGION, Seq(seq), false);
        AckCursor { region, stream, seq, lost: 0, dead: 0, uncertain: 0, open }
    };
    let ack =
        Message::Ack(Ack { session: SessionId(1), cursors: vec![at(two, 8), at(STREAM, 20)] });
    let mut publisher = Publisher { sessions, now };
    let Heard::Acked { moved, .. } = publisher.hears(&peer(1), ack) else { panic!("refused") };
    assert_eq!([moved[0].place.acked, moved[1].place.acked], [Seq(8), Seq(20)]);
}

#[test]
fn a_full_window_has_no_room_and_one_with_a_byte_left_has() {
    let hello = |window| Hello { window, ..hello(vec![]) };
    for (window, room) in [(104 + 256, None), (104 + 256 + 1, Some(1)), (104 + 255, None)] {
        let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
        let_in(&mut sessions, &peer(1), &hello(window), SessionId(1), &[shelf(12, 40)], now);
        let session = sessions.get_mut(0).unwrap();
        session.batch(REGION, STREAM, 1, records(13, 1));
        assert_eq!(session.room(), room, "{window}");
    }
}

#[test]
fn of_two_parts_that_were_not_held_both_move_the_start() {
    let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
    let place = Place { acked: Seq(12), start: Seq(12), unheld: Seq(20), ..Place::default() };
    let books = Shelf { streams: vec![(STREAM, Seq(40), place)], ..shelf(12, 40) };
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &[books], now);
    let session = sessions.get_mut(0).unwrap();
    session.hole(REGION, STREAM, Hole::Lost { to: Seq(14), hours: (1, 1) });
    session.batch(REGION, STREAM, 2, records(15, 2));
    session.hole(REGION, STREAM, Hole::Lost { to: Seq(19), hours: (1, 1) });
    session.batch(REGION, STREAM, 4, records(20, 4));
    let mut publisher = Publisher { sessions, now };
    // 13, 14, 17, 18, 19 were not held; one of 20 to 23 is a loss that somebody else was told of.
    let heard = publisher.acks(&peer(1), 1, 23, [6, 0, 0]);
    let Heard::Acked { moved, .. } = heard else { panic!("{heard:?}") };
    assert_eq!((moved[0].place.start, moved[0].place.lost), (Seq(17), 1));
}

#[test]
fn sessions_end_with_their_connections_or_when_the_ring_changes() {
    let mut publisher = Publisher::new();
    let names = ["kafka".to_owned()];
    assert_eq!(publisher.sessions.names(), names);
    assert!(publisher.sessions.any());
    assert_eq!(publisher.sessions.gone(&peer(2)), None);
    assert!(publisher.sessions.any());
    assert_eq!(publisher.sessions.gone(&peer(1)), Some(0));
    assert!(!publisher.sessions.any() && publisher.sessions.end(0).is_none());
    let mut publisher = Publisher::new();
    let packet = publisher.sessions.end(0).unwrap();
    let Message::Refused(told) = packet.message else { panic!() };
    assert_eq!(
        (packet.to, told.reason, told.session),
        (peer(1), Reason::Session, Some(SessionId(1)))
    );
    assert!(!publisher.sessions.any());
}

#[test]
fn an_acknowledgement_has_one_place_for_a_stream_and_another_for_that_number_in_another_region() {
    let (mut sessions, now) = (Sessions::new(vec!["kafka".to_owned()]), Instant::now());
    let shelves = [shelf(12, 40), Shelf { region: Region(8), ..shelf(12, 40) }];
    let_in(&mut sessions, &peer(1), &hello(vec![]), SessionId(1), &shelves, now);
    let session = sessions.get_mut(0).unwrap();
    session.batch(REGION, STREAM, 28, records(13, 28));
    session.batch(Region(8), STREAM, 28, records(13, 28));
    let mut publisher = Publisher { sessions, now };
    let here = cursor(20, [0; 3]);
    let mut acks = |cursors: Vec<AckCursor>| {
        publisher.hears(&peer(1), Message::Ack(Ack { session: SessionId(1), cursors }))
    };
    let heard = acks(vec![here, AckCursor { region: Region(8), ..here }]);
    let Heard::Acked { moved, .. } = heard else { panic!("{heard:?}") };
    assert_eq!(moved.len(), 2);
    let heard = acks(vec![here, AckCursor { seq: Seq(21), ..here }]);
    let Heard::Refused { why: Some(said), .. } = heard else { panic!("{heard:?}") };
    assert!(said.contains("with two places"), "{said}");
}
