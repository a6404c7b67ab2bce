//! Messages read back from their frames, and whatever else comes is an error value.

use proptest::prelude::*;
use sparkngin_core::feed::{
    Ack, AckCursor, BATCH_BYTES, BODY_MAX, Batch, Beat, Garbage, HEADER_MAX, Have, Hello, Lost,
    MESSAGE_COST, Message, Reason, Refused, RegionState, SessionId, State, StreamState, Uncertain,
    WINDOW_MAX, Welcome,
};
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::took::{Spread, Took};

fn one_of_each() -> Vec<Message> {
    let (region, stream, session) = (Region(0xA0), Stream(3), SessionId(0xB0));
    let streams =
        vec![StreamState { stream, acked: Seq(1), last: Seq(2), lost: 3, dead: 0, uncertain: 0 }];
    vec![
        Message::Hello(Hello {
            v: 1,
            name: "kafka".into(),
            window: 9,
            from: Some("host 1".into()),
            have: vec![Have { region, stream, seq: Seq(5), bytes: 8 }],
        }),
        Message::Welcome(Welcome {
            v: 1,
            session,
            regions: vec![RegionState { region, state: State::Draining, streams }],
        }),
        Message::Batch(Batch { session, region, stream, first: Seq(6), count: 2 }),
        Message::Lost(Lost {
            session,
            region,
            stream,
            from: Seq(8),
            to: Seq(9),
            hours: (1, 2),
            reason: "overwritten".into(),
        }),
        Message::Uncertain(Uncertain {
            session,
            region,
            stream,
            from: Seq(8),
            to: None,
            since: u64::MAX,
        }),
        Message::Ack(Ack {
            session,
            cursors: vec![AckCursor {
                region,
                stream,
                seq: Seq(u64::MAX),
                lost: 1,
                dead: 2,
                uncertain: 3,
                open: true,
            }],
        }),
        Message::Beat(Beat { session, leaving: true, took: None }),
        Message::Beat(Beat {
            session,
            leaving: false,
            took: Some(Box::new(Took {
                events: 1,
                p50: 2,
                p90: 3,
                p99: 4,
                p999: u64::MAX,
                spread: None,
            })),
        }),
        Message::Beat(Beat {
            session,
            leaving: false,
            took: Some(Box::new(Took {
                spread: Some(Spread { counts: std::array::from_fn(|n| n as u64), sum: u64::MAX }),
                ..Took::default()
            })),
        }),
        Message::Refused(Refused::for_reason(Reason::Version, None)),
        Message::Refused(Refused {
            other: Some("host 2".into()),
            ..Refused::for_reason(Reason::Fenced, Some(session))
        }),
    ]
}

#[test]
fn the_limits_are_what_peers_rely_on() {
    assert_eq!([HEADER_MAX, BODY_MAX, BATCH_BYTES], [262_144, 4_194_304, 1_048_576]);
    assert_eq!([WINDOW_MAX, MESSAGE_COST], [67_108_864, 256]);
}

#[test]
fn each_message_reads_back_from_its_frames() {
    for message in one_of_each() {
        assert_eq!(Message::read(&message.frames(vec![1])), Ok(message));
    }
}

#[test]
fn regions_and_sessions_are_hex_text_and_numbers_are_numbers() {
    let region = "000000000000000000000000000000a0";
    let text = String::from_utf8(one_of_each()[2].header()).unwrap();
    let expected = format!(
        r#"{{"type":"BATCH","session":"00000000000000b0","region":"{region}","stream":3,"first":6,"count":2}}"#
    );
    assert_eq!(text, expected);
}

#[test]
fn what_a_later_minor_version_adds_is_ignored() {
    let text = br#"{"type":"BEAT","session":"00000000000000b0","mood":{"good":[1,2,null]}}"#;
    assert_eq!(
        Message::read(&[text]),
        Ok(Message::Beat(Beat { session: SessionId(0xb0), leaving: false, took: None }))
    );
}

#[test]
fn another_version_is_told_before_anything_else_of_it_is_read() {
    let hello = br#"{"type":"HELLO","v":7,"whatever":true}"#;
    assert_eq!(Message::read(&[hello]), Err(Garbage::Version(7)));
}

#[test]
fn what_is_no_message_is_an_error_that_says_why() {
    let batch = one_of_each()[2].header();
    let beat = one_of_each()[6].header();
    let header = |text: &str| vec![text.as_bytes().to_vec()];
    let hello = |name: &str, window: &str| {
        header(&format!(r#"{{"type":"HELLO","v":1,"name":"{name}","window":{window}}}"#))
    };
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![], "0 frames"),
        (vec![vec![]], "cannot be read"),
        (vec![vec![0xFF; 9]], "cannot be read"),
        (vec![batch.clone()], "1 frames"),
        (vec![batch.clone(), vec![], vec![]], "3 frames"),
        (vec![beat, vec![]], "2 frames"),
        (vec![batch, vec![0; 4 * 1024 * 1024 + 1]], "4194304 at most"),
        (vec![vec![b' '; HEADER_MAX + 1]], "262144 at most"),
        (header("{}"), "cannot be read"),
        (header(r#"{"type":"SHOUT"}"#), "cannot be read"),
        (header(r#"{"type":"BEAT","session":"b0"}"#), "16 hex digits"),
        (header(r#"{"type":"BEAT","session":"00000000000000B0"}"#), "16 hex digits"),
        (header(&"[".repeat(100_000)), "cannot be read"),
        (hello("", "1"), "name"),
        (hello(&"n".repeat(64), "1"), "name"),
        (hello("kafka", "0"), "window"),
        (hello("kafka", "-1"), "cannot be read"),
        (hello("kafka", "1e99"), "cannot be read"),
    ];
    for (frames, says) in cases {
        let error = Message::read(&frames).expect_err(says).to_string();
        assert!(error.contains(says), "{error} does not say {says}");
        assert!(error.len() < 300 && error.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    }
}

#[test]
fn ranges_that_end_before_they_start_or_run_over_are_senseless() {
    let place =
        r#""session":"00000000000000b0","region":"000000000000000000000000000000a0","stream":3"#;
    for (kind, rest) in [
        ("LOST", r#""from":5,"to":4,"hours":[1,1],"reason":"overwritten""#),
        ("LOST", r#""from":0,"to":4,"hours":[1,1],"reason":"overwritten""#),
        ("LOST", r#""from":1,"to":18446744073709551615,"hours":[1,1],"reason":"overwritten""#),
        ("UNCERTAIN", r#""from":5,"to":4,"since":1"#),
        ("BATCH", r#""first":0,"count":1"#),
        ("BATCH", r#""first":1,"count":0"#),
        ("BATCH", r#""first":18446744073709551615,"count":1"#),
    ] {
        let mut frames = vec![format!(r#"{{"type":"{kind}",{place},{rest}}}"#).into_bytes()];
        if kind == "BATCH" {
            frames.push(vec![]);
        }
        assert!(matches!(Message::read(&frames), Err(Garbage::Senseless(_))), "{kind} {rest}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)
    ) {
        let _ = Message::read(&frames);
    }

    #[test]
    fn no_damaged_message_makes_the_reader_panic(
        which in 0usize..9, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let mut header = one_of_each()[which].header();
        let at = at.index(header.len());
        if cut { header.truncate(at) } else { header[at] = byte }
        let _ = Message::read(&[header.clone()]);
        let _ = Message::read(&[header, vec![]]);
    }
}
