//! What strangers' bytes meet, one function a door. Each may refuse them, and must not panic, grow without bound, or
//! take for ever; and what it accepts must hold what the function says.
//!
//! `cargo fuzz` runs them without an end, `src/core/tests/fuzz.rs` runs the corpora and some changed ones in each test.

use std::time::Instant;

use sparkngin_core::event::batch::{Framing, read_all};
use sparkngin_core::event::{Event, Intake, Request, Spare};
use sparkngin_core::feed::{Client, Message, Peer, Sessions, Settings};
use sparkngin_core::field::{FieldList, FieldName, HeaderFields};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering, binary};
use sparkngin_core::gzip;
use sparkngin_core::id::{EventId, Region, Seq, Stream};
use sparkngin_core::inflate::{Coding, inflate};
use sparkngin_core::ring::{Ledger, Looker, Name, Next, Ring, verify};
use sparkngin_core::time::Millis;

/// The largest event taken.
const LARGEST: usize = 64 * 1024;
const ID: EventId = EventId { region: Region(7), stream: Stream(1), seq: Seq(9) };

/// Takes a stranger's bytes.
pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: [(&str, Target); 6] = [
    ("query", query),
    ("body", body),
    ("feed", feed),
    ("ring", ring),
    ("live", live),
    ("configuration", configuration),
];

/// The query of `/log`.
pub fn query(bytes: &[u8]) {
    request(bytes, None, None);
}

/// A body: its content type up to the first line break, then the body. It may be several events, or compressed.
pub fn body(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, rest) = bytes.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    request(b"topic=a", Some(rest), Some(kind));
    several(rest, kind);
    let mut inflated = Vec::new();
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd] {
        if inflate(coding, rest, LARGEST, &mut inflated).is_ok() {
            assert!(inflated.len() <= LARGEST, "it is inflated up to the cap");
            several(&inflated, kind);
        }
    }
}

/// Each event of a body lies in the ring as if it had come alone.
fn several(body: &[u8], kind: &[u8]) {
    let intake = Intake { topic: Some(b"fallback"), max_event: LARGEST, ..Intake::default() };
    let Some(framing) = Framing::of(Some(kind), body, intake.limits.depth) else { return };
    let request = Request {
        query: b"id=i&a=%41",
        body: Some(body),
        content_type: Some(kind),
        ..Request::default()
    };
    let mut next = 0;
    let done = read_all(Spare::default(), &request, &intake, framing, |index, event| {
        assert_eq!(index, next, "they come in order");
        next += 1;
        if let Ok(event) = event {
            let mut stored = Vec::new();
            binary::encode(event, &mut stored);
            assert_eq!(stored.len(), event.encoded_len(), "its length is known");
            assert_eq!(&binary::decode(&stored).expect("what was stored can be read"), event);
        }
        Ok(())
    });
    assert!(done.is_err() || next <= intake.limits.batch);
}

/// What is taken lies in the ring, is read back as it was, and has a form in every format.
fn request(query: &[u8], body: Option<&[u8]>, content_type: Option<&[u8]>) {
    let keep = HeaderFields::default();
    let request = Request {
        query,
        body,
        content_type,
        peer: b"192.0.2.7",
        user_agent: Some(query),
        cookie: Some(query),
        headers: &[(query, query)],
        received: 1_393_671_600_500_000_000,
        ..Request::default()
    };
    let intake =
        Intake { topic: Some(b"fallback"), keep: &keep, max_event: LARGEST, ..Intake::default() };
    let Ok(event) = Event::read(&request, &intake) else { return };
    let mut stored = Vec::new();
    binary::encode(&event, &mut stored);
    let again = binary::decode(&stored).expect("what was stored can be read");
    let mut twice = Vec::new();
    binary::encode(&again, &mut twice);
    assert_eq!(stored, twice, "what was read is written as it was");
    render(&again);
}

fn render(event: &Event<'_>) {
    for format in [Format::Json, Format::Plain, Format::Binary, Format::Envelope] {
        for fields in [Fields::All, Fields::Listed(FieldList::default_live())] {
            let rendering = Rendering { format, delimiter: Delimiter::default(), fields };
            let mut out = Vec::new();
            rendering.render(event, ID, &mut out);
            if matches!(format, Format::Json | Format::Envelope) {
                serde_json::from_slice::<serde::de::IgnoredAny>(&out).expect("it is JSON");
            }
        }
    }
}

/// Two frames, the second one behind the first NUL: as the publisher hears them, and as a subscriber does.
pub fn feed(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let frames: Vec<Vec<u8>> = match end {
        Some(end) => vec![bytes[..end].to_vec(), bytes[end + 1..].to_vec()],
        None => vec![bytes.to_vec()],
    };
    if let Ok(message) = Message::read(&frames) {
        let header = message.header();
        let mut again = frames.clone();
        again[0] = header;
        assert_eq!(Message::read(&again).ok(), Some(message), "a message reads back");
    }
    let now = Instant::now();
    let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
    let _ = sessions.receive(&Peer::anybody(b"1".to_vec()), &frames, now);
    let mut client =
        Client::new(Settings { name: "kafka".to_owned(), window: 1 << 20, from: None });
    client.connected(now);
    while client.due(now).is_some() {}
    let _ = client.receive(frames, now);
    assert!(client.in_flight() <= 2 * LARGEST as u64 + bytes.len() as u64);
}

/// A ring's file as somebody left it.
pub fn ring(bytes: &[u8]) {
    let who = format!("fuzz-ring-{}-{:?}", std::process::id(), std::thread::current().id());
    let dir = std::env::temp_dir().join(who);
    std::fs::create_dir_all(&dir).expect("a directory for one file");
    std::fs::write(dir.join("ring.1"), bytes).expect("room for one file");
    let found = verify(&dir.join("ring.1")).expect("it can be opened");
    let opened = Ring::open_all(&dir);
    assert_eq!(opened.is_ok(), found.region.is_some(), "they agree on what is a ring");
    for ring in opened.into_iter().flatten() {
        let ledger = Ledger::read(&ring);
        assert!(ledger.streams.len() <= 65_536);
        let mut looker = Looker::new(ring);
        let scan = looker.scan();
        for stream in (0..ledger.streams.len().min(16)).map(|n| Stream(n as u16)) {
            walk(&mut looker, &scan, stream);
        }
    }
    let _ = std::fs::remove_dir_all(dir);
}

/// Goes on in every stream, and comes to an end.
fn walk(looker: &mut Looker, scan: &sparkngin_core::ring::Scan, stream: Stream) {
    let (mut after, mut out) = (Seq(0), Vec::new());
    for _ in 0..1000 {
        out.clear();
        let before = after;
        match looker.next(scan, stream, after, 4096, &mut out) {
            Next::Slice { first, count } => after = Seq(first.0 + u64::from(count) - 1),
            Next::Lost { to, .. } | Next::Uncertain { to: Some(to), .. } => after = to,
            Next::Uncertain { to: None, .. } | Next::Nothing | Next::Void => return,
        }
        assert!(after > before, "it goes on");
    }
}

/// What a live reader gets: perhaps compressed, perhaps binary.
pub fn live(bytes: &[u8]) {
    if let Ok(inflated) = gzip::inflate(bytes, LARGEST) {
        assert!(inflated.len() <= LARGEST, "it is inflated up to the cap");
    }
    if let Ok(event) = binary::decode(bytes) {
        let mut again = Vec::new();
        binary::encode(&event, &mut again);
        binary::decode(&again).expect("it reads back");
    }
}

/// The words of a configuration.
pub fn configuration(bytes: &[u8]) {
    let _ = FieldList::parse(bytes.split(|byte| *byte == b' '));
    let _ = FieldName::parse(bytes);
    let _ = Millis::parse(bytes);
    if let Ok(delimiter) = Delimiter::parse(bytes) {
        assert_eq!(delimiter.bytes(), bytes, "it is the one that was said");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = text.parse::<Format>();
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string().parse(), Ok(id), "an id reads back");
    }
}
