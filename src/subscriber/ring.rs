//! `sparkngin ring status|dump|verify DIR`: what a ring holds, in use or left behind. Reads only, and takes no lock.

mod verify;

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering, binary};
use sparkngin_core::id::{EventId, Seq, Stream};
use sparkngin_core::record::{Record, Seed, Slice};
use sparkngin_core::ring::{Books, Ledger, Looker, Name, Next, Overflow, Ring};

use crate::args;
use crate::letter::hex;
use crate::report::clock;

/// Bytes looked at in one go.
const ROOM: usize = 1024 * 1024;

/// Does what was asked.
///
/// # Errors
/// A sentence: no directory, no ring in it, or stdout is gone.
pub fn run(args: &args::Ring) -> Result<(), String> {
    let done = match args {
        args::Ring::Drain(_) => unreachable!("drain.rs does it"),
        args::Ring::Verify { path, json } => return verify::run(path, *json),
        args::Ring::Status { dir, json } => status(dir, *json),
        args::Ring::Dump { dir, raw, unacked } => {
            let name = unacked.as_ref().map(|name| name.parse::<Name>());
            let name = name.transpose().map_err(|error| format!("--unacked: {error}"))?;
            dump(dir, *raw, name.as_ref())
        }
    };
    match done {
        // Who reads along has had enough: `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| error.to_string()),
    }
}

fn open(dir: &Path) -> io::Result<Vec<Ring>> {
    readable(dir)?;
    let rings = Ring::open_all(dir).map_err(|error| io::Error::other(error.to_string()))?;
    if rings.is_empty() {
        return Err(io::Error::other(format!("no ring in {}", dir.display())));
    }
    Ok(rings)
}

/// Whoever only looks needs no more than this of a directory, and is told no more.
fn readable(dir: &Path) -> io::Result<()> {
    let failed = |error| io::Error::other(format!("cannot read \"{}\": {error}", dir.display()));
    std::fs::read_dir(dir).map(drop).map_err(failed)
}

#[derive(Serialize)]
struct Status {
    file: String,
    region: String,
    policy: Option<&'static str>,
    epoch: u64,
    poisoned: bool,
    /// Seconds since a publisher last looked; absent if none ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_seen: Option<f64>,
    block_bytes: u32,
    blocks_free: u32,
    blocks_open: u32,
    blocks_sealed: u32,
    committed: u64,
    readable: u64,
    live_dropped: u64,
    streams: Vec<StreamStatus>,
    subscribers: Vec<SubscriberStatus>,
}

#[derive(Serialize)]
struct StreamStatus {
    stream: u16,
    last: u64,
    oldest: u64,
}

#[derive(Serialize)]
struct SubscriberStatus {
    name: String,
    /// It holds events back.
    active: bool,
    committed: u64,
    in_kafka: u64,
    in_ring: u64,
    lost: u64,
    dead: u64,
    uncertain: u64,
    uncertain_open: bool,
}

fn status(dir: &Path, json: bool) -> io::Result<()> {
    let all: Vec<Status> = open(dir)?.iter().map(look).collect();
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        return writeln!(out);
    }
    for ring in all {
        writeln!(out, "{}  region {}  epoch {}", ring.file, ring.region, ring.epoch)?;
        let policy = ring.policy.unwrap_or("policy not said yet");
        let seen = ring.publisher_seen.map_or("never".to_owned(), |s| format!("{s:.1} s ago"));
        let poisoned =
            if ring.poisoned { "  POISONED: a sync failed, nothing is written to it" } else { "" };
        writeln!(out, "  {policy}  publisher seen {seen}{poisoned}")?;
        writeln!(
            out,
            "  blocks of {} KiB: {} free, {} open, {} sealed",
            ring.block_bytes / 1024,
            ring.blocks_free,
            ring.blocks_open,
            ring.blocks_sealed
        )?;
        writeln!(out, "  events: {} committed, {} still readable", ring.committed, ring.readable)?;
        for s in ring.streams {
            writeln!(out, "  stream {}: last {}, oldest readable {}", s.stream, s.last, s.oldest)?;
        }
        for s in ring.subscribers {
            let held = if s.active { "" } else { " (no longer configured, holds nothing back)" };
            let open = if s.uncertain_open { "+" } else { "" };
            writeln!(
                out,
                "  subscriber {}{held}: {} committed = {} in Kafka + {} in ring + {} lost + {} dead + {}{open} uncertain",
                s.name, s.committed, s.in_kafka, s.in_ring, s.lost, s.dead, s.uncertain
            )?;
        }
    }
    Ok(())
}

fn look(ring: &Ring) -> Status {
    let ledger = Ledger::read(ring);
    let now = clock();
    let seen = (ledger.last_turn > 0).then(|| now.saturating_sub(ledger.last_turn) as f64 / 1e9);
    let subscriber = |name: &Name, active: bool, books: &Books| SubscriberStatus {
        name: name.as_str().to_owned(),
        active,
        committed: books.committed,
        in_kafka: books.delivered,
        in_ring: books.in_ring,
        lost: books.lost,
        dead: books.dead,
        uncertain: books.uncertain,
        uncertain_open: books.uncertain_open,
    };
    let streams = ledger.streams.iter().filter(|s| s.last > Seq(0)).map(|s| StreamStatus {
        stream: s.stream.0,
        last: s.last.0,
        oldest: s.oldest.0,
    });
    Status {
        file: ring.path().display().to_string(),
        region: ledger.region.to_string(),
        policy: ledger.policy.map(|policy| match policy {
            Overflow::Overwrite => "overwrite",
            Overflow::Reject => "reject",
        }),
        epoch: ledger.epoch,
        poisoned: ledger.poisoned,
        publisher_seen: seen,
        block_bytes: ring.geometry().block_bytes,
        blocks_free: ledger.blocks.free,
        blocks_open: ledger.blocks.open,
        blocks_sealed: ledger.blocks.sealed,
        committed: ledger.committed,
        readable: ledger.readable,
        live_dropped: ledger.live_dropped,
        streams: streams.collect(),
        subscribers: ledger
            .subscribers
            .iter()
            .map(|s| subscriber(&s.name, s.active, &s.books))
            .collect(),
    }
}

/// A record as a line.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    /// ns since 1970.
    received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Prints what can be read, and fails if something that is there cannot.
fn dump(dir: &Path, raw: bool, unacked: Option<&Name>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut damaged: u64 = 0;
    for ring in open(dir)? {
        let mut looker = Looker::new(ring);
        let streams: Vec<Stream> = looker.ring().view().streams().collect();
        for stream in streams {
            let acked = match unacked {
                None => Seq(0),
                Some(name) => match looker.cursor(name, stream) {
                    Some(cursor) => cursor.acked,
                    None => {
                        let text = format!("no subscriber \"{}\" was ever here", name.as_str());
                        return Err(io::Error::other(text));
                    }
                },
            };
            let more = dump_stream(&mut looker, stream, acked, raw, &mut out)?;
            damaged = damaged.saturating_add(more);
        }
    }
    out.flush()?;
    match damaged {
        0 => Ok(()),
        1 => Err(io::Error::other("1 event is damaged and was not printed")),
        _ => Err(io::Error::other(format!("{damaged} events are damaged and were not printed"))),
    }
}

/// Gives how many events are damaged.
fn dump_stream(
    looker: &mut Looker,
    stream: Stream,
    mut after: Seq,
    raw: bool,
    out: &mut impl Write,
) -> io::Result<u64> {
    let region = looker.ring().region();
    let seed = Seed::new(region, stream);
    let mut scan = looker.scan();
    let (mut bytes, mut damaged) = (Vec::new(), 0);
    // What was before the first block is delivered or overwritten, also where a power loss leaves that open.
    if let Some(block) = scan.of(stream).first() {
        after = after.max(block.before());
    }
    loop {
        bytes.clear();
        match looker.next(&scan, stream, after, ROOM, &mut bytes) {
            Next::Slice { first, count } => {
                for record in Slice::new(seed, first, &bytes).map_while(Result::ok) {
                    line(EventId { region, stream, seq: record.seq }, &record, raw, out)?;
                }
                after = Seq(first.0 - 1 + u64::from(count));
            }
            Next::Lost { to, .. } => after = to,
            Next::Uncertain { to: Some(to), .. } => {
                let events = to.0.saturating_sub(after.0);
                let numbers = format!("after {after}, up to {to}, {events} in all");
                eprintln!("sparkngin: {region}-{stream} is damaged {numbers}");
                damaged += events;
                after = to;
            }
            // A power loss: whatever followed was not on the disk.
            Next::Uncertain { to: None, .. } => {
                eprintln!(
                    "sparkngin: {region}-{stream}: what followed {after}, if anything, is gone"
                );
                return Ok(damaged);
            }
            Next::Void => scan = looker.scan(),
            Next::Nothing => return Ok(damaged),
        }
    }
}

fn line(id: EventId, record: &Record<'_>, raw: bool, out: &mut impl Write) -> io::Result<()> {
    let mut line =
        Line { id: id.to_string(), received: record.received, event: None, hex: None, error: None };
    let mut text = Vec::new();
    match binary::decode(record.bytes) {
        _ if raw => line.hex = Some(hex(record.bytes)),
        Ok(event) => {
            let rendering = Rendering {
                format: Format::Json,
                delimiter: Delimiter::default(),
                fields: Fields::All,
            };
            rendering.render(&event, id, &mut text);
            // A payload that is JSON stands there as it came: line breaks in it are between tokens, and a line is one line.
            text.iter_mut()
                .filter(|byte| matches!(byte, b'\n' | b'\r'))
                .for_each(|byte| *byte = b' ');
            line.event = serde_json::from_slice(&text).ok();
        }
        Err(malformed) => {
            line.hex = Some(hex(record.bytes));
            line.error = Some(malformed.to_string());
        }
    }
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparkngin_core::event::{Event, Intake, Request};
    use sparkngin_core::field::HeaderFields;
    use sparkngin_core::id::Region;

    #[test]
    fn a_payload_of_several_lines_is_dumped_in_one() {
        let body = b"{\r\n  \"a\": \"b\\nc\"\n}\n";
        let (query, body) = (b"topic=t", Some(&body[..]));
        let request = Request { query, body, peer: b"127.0.0.1", ..Request::default() };
        let keep = HeaderFields::default();
        let intake = Intake { keep: &keep, max_event: 1000, ..Intake::default() };
        let (mut stored, mut out) = (Vec::new(), Vec::new());
        binary::encode(&Event::read(&request, &intake).unwrap(), &mut stored);
        let id = EventId { region: Region(1), stream: Stream(0), seq: Seq(1) };
        let record = Record { seq: Seq(1), received: 0, bytes: &stored };
        line(id, &record, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["event"]["data"]["a"], "b\nc");
    }
}
