//! The functions that every event passes, one at a time: `hot NAME DIRECTORY` runs one of them in `measured`, whose
//! instructions `tools/instructions` has callgrind count. The directory is for a ring.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;

use sparkngin_core::event::batch::{self, Framing};
use sparkngin_core::event::{Event, HeaderFields, Intake, Request, Spare};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering, binary};
use sparkngin_core::id::{EventId, Region, Seq, Stream};
use sparkngin_core::record::Slice;
use sparkngin_core::ring::{Configuration, Lease, Next, Overflow, Reader, Ring, Wanted, Writer};

/// Events that each function is measured with.
const EVENTS: u64 = 2000;
/// Of a batch.
const EACH: u64 = 100;
/// ns since 1970.
const RECEIVED: u64 = 1_700_000_000_123_456_789;
const QUERY: &[u8] =
    b"topic=bench&level=info&type=click&env=prod&timestamp=1700000000&ver=1&id=4711&data=hello%20world";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["query"] => query(),
        ["json"] => body(),
        ["batch"] => several(),
        ["append", dir] => append(Path::new(dir)),
        ["read", dir] => read(Path::new(dir)),
        ["render"] => render(),
        _ => {
            eprintln!("hot query|json|batch|render, or append|read DIRECTORY");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What is counted.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

fn keep() -> HeaderFields {
    HeaderFields { user_agent: true, referrer: true, ..HeaderFields::default() }
}

fn request() -> Request<'static> {
    Request {
        query: QUERY,
        peer: b"192.0.2.7",
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        received: RECEIVED,
        ..Request::default()
    }
}

/// A JSON object of so many bytes.
fn object(bytes: usize) -> String {
    let head = r#"{"topic":"bench","level":"info","type":"click","user":"u-4711","page":"/some/where","n":17,"text":""#;
    let words = "the quick brown fox jumps over the lazy dog ".repeat(1 + bytes / 40);
    format!("{}\"}}", &(head.to_owned() + &words)[..bytes - 2])
}

/// A query becomes the bytes of a record.
fn query() {
    each(&request());
}

/// A body of 1 KB of JSON becomes the bytes of a record.
fn body() {
    let (body, content_type) = (object(1024), Some(&b"application/json"[..]));
    each(&Request { query: b"", body: Some(body.as_bytes()), content_type, ..request() });
}

fn each(request: &Request<'_>) {
    let keep = keep();
    let intake = Intake { keep: &keep, ..Intake::default() };
    let (mut spare, mut bytes) = (Spare::default(), Vec::with_capacity(4096));
    measured(&mut || {
        for _ in 0..EVENTS {
            bytes.clear();
            let event = Event::read_with(std::mem::take(&mut spare), black_box(request), &intake);
            let event = event.expect("an event");
            binary::encode(&event, &mut bytes);
            spare = event.into_spare();
        }
    });
}

/// An array of 100 objects of 200 bytes becomes the bytes of 100 records.
fn several() {
    let body = format!("[{}]", vec![object(200); EACH as usize].join(","));
    let (keep, content_type) = (keep(), Some(&b"application/json"[..]));
    let intake = Intake { keep: &keep, ..Intake::default() };
    let request = Request { query: b"", body: Some(body.as_bytes()), content_type, ..request() };
    let (mut spare, mut bytes) = (Spare::default(), Vec::with_capacity(64 << 10));
    let depth = intake.limits.depth;
    measured(&mut || {
        for _ in 0..EVENTS / EACH {
            bytes.clear();
            let framing = Framing::of(content_type, body.as_bytes(), depth).expect("an array");
            let all = (std::mem::take(&mut spare), black_box(&request));
            let read = batch::read_all(all.0, all.1, &intake, framing, |_, event| {
                binary::encode(event.expect("an event"), &mut bytes);
                Ok(())
            });
            spare = read.expect("events");
        }
    });
}

/// The bytes of an event, as they lie in the ring.
fn stored() -> Vec<u8> {
    let (keep, request, mut bytes) = (keep(), request(), Vec::new());
    let intake = Intake { keep: &keep, ..Intake::default() };
    binary::encode(&Event::read(&request, &intake).expect("an event"), &mut bytes);
    bytes
}

fn ring(dir: &Path) -> Ring {
    let wanted = Wanted { dir: dir.to_owned(), bytes: 4 << 20, block_bytes: 64 << 10 };
    Ring::open_or_make(&wanted).expect("a ring")
}

/// A record goes into the ring.
fn append(dir: &Path) {
    let bytes = stored();
    let mut writer = Writer::take(ring(dir).again().expect("again")).expect("a slot");
    measured(&mut || {
        for _ in 0..EVENTS {
            writer.append(RECEIVED, black_box(&bytes)).expect("room");
        }
    });
}

/// Records come out of the ring, as the publisher takes them: a look each 500.
fn read(dir: &Path) {
    let (bytes, ring) = (stored(), ring(dir));
    let mut writer = Writer::take(ring.again().expect("again")).expect("a slot");
    let lease = Lease::try_take(dir).expect("a lock").expect("nobody's lease");
    let subscribers = vec!["kafka".parse().expect("a name")];
    let named = Configuration { policy: Overflow::Reject, subscribers, configured_at: 1 };
    let mut reader = Reader::new(ring, &lease, &named).expect("a reader");
    let (mut after, mut body) = (Seq(0), Vec::with_capacity(1 << 20));
    for _ in 0..EVENTS / 500 {
        for _ in 0..500 {
            writer.append(RECEIVED, &bytes).expect("room");
        }
        measured(&mut || {
            let scan = reader.scan();
            body.clear();
            let stream = writer.stream();
            while let Next::Slice { count, .. } =
                reader.next(&scan, stream, after, usize::MAX, &mut body)
            {
                after = Seq(after.0 + u64::from(count));
            }
            reader.free(&scan);
        });
    }
    assert_eq!(after, Seq(EVENTS));
}

/// A record becomes the JSON that Kafka gets, as the subscriber checks, reads and renders it.
fn render() {
    let (seed, bytes) = (sparkngin_core::record::Seed::new(Region(7), Stream(0)), stored());
    let mut body = Vec::new();
    for seq in 1..=EVENTS {
        let record =
            sparkngin_core::record::Record { seq: Seq(seq), received: RECEIVED, bytes: &bytes };
        sparkngin_core::record::write(seed, record, &mut body);
    }
    let rendering =
        Rendering { format: Format::Json, delimiter: Delimiter::default(), fields: Fields::All };
    let mut out = Vec::with_capacity(4096);
    measured(&mut || {
        for record in Slice::new(seed, Seq(1), black_box(&body)) {
            let record = record.expect("a record");
            let event = binary::decode(record.bytes).expect("an event");
            let id = EventId { region: Region(7), stream: Stream(0), seq: record.seq };
            out.clear();
            rendering.render(&event, id, &mut out);
        }
    });
}
