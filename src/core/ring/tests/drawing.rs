//! The drawings beside the code, and those in docs/protocol.md, say what the code does.

use crate::id::Stream;
use crate::ring::cursor::Cursor;
use crate::ring::layout::*;
use crate::ring::refusals::Why;
use crate::ring::word::{BlockState, Fill, Phase};
use crate::took::COUNTS;
use crate::{id::Seq, record};

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");
const LAYOUT: &str = include_str!("../layout.rs");
const WORD: &str = include_str!("../word.rs");
const RECORD: &str = include_str!("../../record.rs");

const GEOMETRY: Geometry = Geometry { blocks: 10, block_bytes: 8192, slots: 256 };

/// The first drawing of a file's head, as text.
fn drawing(source: &str) -> String {
    let lines = source.lines().skip_while(|l| *l != "//! ```text").skip(1);
    let lines = lines.take_while(|l| *l != "//! ```");
    lines
        .map(|l| l.trim_start_matches("//!").strip_prefix(' ').unwrap_or("").to_owned() + "\n")
        .collect()
}

#[test]
fn the_protocol_page_has_the_same_drawings_as_the_code() {
    for source in [LAYOUT, WORD] {
        assert!(PROTOCOL.contains(&drawing(source)), "{}", drawing(source));
    }
    let record = drawing(RECORD).lines().nth(1).unwrap().to_owned();
    let fields = record.split('|').map(str::trim).filter(|f| !f.is_empty() && *f != "zeros");
    for field in fields {
        assert!(PROTOCOL.contains(field), "{field}");
    }
    assert_eq!((record::HEADER, record::size(1)), (24, 32));
}

#[test]
fn the_drawing_of_the_layout_has_the_places_of_the_code() {
    let drawing = drawing(LAYOUT);
    let layout = Layout::new(GEOMETRY);
    let bytes = |at: At| at.0 * 8;
    let first = layout.slot(Stream(0));
    let area = |at: usize, what: &str| {
        assert!(drawing.contains(&format!("  {at:<8} {what}")), "{at} {what}");
    };
    area(0, "superblock");
    area(bytes(EPOCH), "control words");
    area(bytes(configuration().selector()), "configuration");
    area(bytes(first.last()), "slots");
    assert_eq!(layout.slot_byte(Stream(3)), 16384 + 4096 * 3);
    assert_eq!(bytes(layout.block(0).state()), 16384 + 256 * 4096);
    assert_eq!(bytes(layout.block(1).state()) - bytes(layout.block(0).state()), 128);
    assert_eq!(
        bytes(layout.block(0).data(0)),
        (16384 + 256 * 4096 + 10 * 128usize).next_multiple_of(4096)
    );
    assert_eq!(layout.bytes() as usize, bytes(layout.block(9).data(0)) + 8192);

    let named = |number: usize, name: &str| {
        let place = format!(" {number} {name}");
        assert!(drawing.contains(&place), "{place}");
    };
    for (at, name) in [
        (EPOCH, "epoch"),
        (TICKET, "ticket"),
        (SLEEPING, "sleeping"),
        (FREED, "freed"),
        (STREAMS, "streams"),
        (POISONED, "poisoned"),
        (CLEAN, "clean"),
        (LAST_TURN, "last turn"),
        (LIVE_DROPPED, "live dropped"),
        (LAST_SYNC, "last good sync"),
        (SYNCING, "syncing"),
    ] {
        assert_eq!((bytes(at) - bytes(EPOCH)) % 128, 0);
        named((bytes(at) - bytes(EPOCH)) / 128, name);
    }
    assert_eq!((bytes(HOLDER) - bytes(EPOCH)) / 128, 11);
    for (at, name) in [(HOLDER, "holder configured at"), (HOLDERS_PROCESS, "its process")] {
        named(at.0 - HOLDER.0, name);
    }
    assert_eq!((bytes(SYNCS) - bytes(EPOCH)) / 128, 13);
    for (at, name) in [(SYNCS, "syncs, odd while one is under way"), (BEGINNINGS, "beginnings")] {
        named(at.0 - SYNCS.0, name);
    }
    assert_eq!((bytes(FAILED) - bytes(EPOCH)) / 128, 14);
    for (at, name) in [(FAILED, "failed in a row before"), (REFUSES, "the disk refuses syncs")] {
        named(at.0 - FAILED.0, name);
    }
    assert_eq!((bytes(LIVE_DEAF) - bytes(EPOCH)) / 128, 15);
    for (at, name) in [(LIVE_DEAF, "live"), (FEED_DEAF, "the feed")] {
        named(at.0 - LIVE_DEAF.0, name);
    }
    let ((since, beat), (ack, holds)) = (presence(0), progress(0));
    assert_eq!((bytes(since) - bytes(EPOCH)) / 128, 16);
    for (at, name) in [
        (since, "connected since"),
        (beat, "last BEAT"),
        (ack, "last ACK"),
        (holds, "holds the ring full since"),
        (took(0), "how long its events took is told"),
    ] {
        named(at.0 - since.0, name);
    }
    assert_eq!((bytes(spread(0)) - bytes(EPOCH)) / 128, 22);
    named(0, "how many events took how long is told");
    named(1 + COUNTS, "how long they took together, us");
    assert_eq!((bytes(REFUSED) - bytes(EPOCH)) / 128, 20);
    for why in Why::ALL {
        named(why as usize, why.word());
    }
    let slot = |at: At| bytes(at) - bytes(first.last());
    for (at, name) in [
        (first.last(), "last"),
        (first.hint(), "block claimed last"),
        (first.floor(), "hour floor"),
        (first.synced(), "synced"),
        (first.waiting(), "waiting"),
        (first.urgent(), "urgent"),
        (first.beginning(), "beginning"),
        (first.holder()[0], "holder's process"),
        (first.holder()[1], "holder since"),
        (first.holder()[2], "leaving since"),
        (first.pair(0).0, "64 pairs of words: hour, first seq"),
    ] {
        named(slot(at), name);
    }
    let heartbeats = layout.heartbeats(Stream(0)).map(slot);
    named(heartbeats.unwrap_or(0), "heartbeats: their number, the seqs of the last 128");
    assert_eq!((HEARTBEATS, layout.heartbeats(Stream(253))), (128, None));
    let (live, one) = (first.cursor(0), first.cursor(1));
    let step = slot(one.selector()) - slot(live.selector());
    named(slot(live.selector()), &format!("+ {step} x n cursor n"));
    let copy = |turn| bytes(live.copy(turn)) - bytes(live.selector());
    assert!(drawing.contains(&format!("{}, {} the two copies", copy(0), copy(1))));
    let twice = configuration();
    let copy = |turn| bytes(twice.copy(turn)) - bytes(twice.selector());
    assert!(drawing.contains(&format!("{}, {} the two copies", copy(0), copy(1))));
    let block = layout.block(0);
    for (at, name) in [
        (block.state(), "state"),
        (block.committed(), "committed"),
        (block.ticket(), "ticket"),
        (block.first(), "first seq"),
        (block.last(), "last seq, once sealed"),
    ] {
        named(at.0 - block.state().0, name);
    }
    let cursor = Cursor {
        start: Seq(0),
        acked: Seq(1),
        lost: 2,
        dead: 3,
        uncertain: 4,
        uncertain_open: true,
        unheld: Seq(6),
        heartbeats: 7,
    };
    assert_eq!(cursor.words(), [0, 1, 2, 3, 4, 1, 6, 7]);
}

#[test]
fn the_drawing_of_the_packed_words_has_the_bits_of_the_code() {
    let all =
        BlockState { phase: Phase::Sealed, slot: Stream(u16::MAX), ..BlockState::from(u64::MAX) };
    assert_eq!(u64::from(all), 2 << 62 | u64::from(u16::MAX) << 44 | ((1 << 44) - 1));
    assert_eq!(u64::from(Fill { used: 8, ..Fill::from(5 << 20) }), 5 << 20 | 1);
    assert!(
        drawing(WORD)
            .contains("63..62 phase (0 FREE, 1 OPEN, 2 SEALED) | 61..44 slot | 43..0 generation")
    );
    assert!(
        drawing(WORD).contains("63..20 generation                       | 19..0 bytes used / 8")
    );
}
