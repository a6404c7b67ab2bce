//! The body of `/metrics`: the figures of `/status` as Prometheus reads them. Labels are files, names of the configuration
//! and words of ours, so no client makes a series.
//!
//! Counters of a file have its number, and go with it: a sum over files would fall when one is removed.

use sparkngin_core::exposition::{Exposition, Kind};
use sparkngin_core::ring::{Ledger, Ring, SubscriberBooks};

use crate::figures::{Figures, Held};

/// The text.
pub fn text(figures: &Figures<'_>) -> String {
    let mut out = Exposition::default();
    out.family("sparkngin_info", Kind::Gauge, "Versions of the module and of its server.")
        .row(&[("version", env!("CARGO_PKG_VERSION")), ("server", &figures.host.server)], 1);
    let accepts = u8::from(figures.host.refuses.is_none());
    let help = "Whether an event sent now would be stored.";
    out.single("sparkngin_accepting", Kind::Gauge, help, accepts);
    ring(&mut out, figures);
    files(&mut out, figures);
    publisher(&mut out, figures);
    subscribers(&mut out, figures);
    books(&mut out, figures);
    out.finish()
}

/// The file that takes events.
fn ring(out: &mut Exposition, figures: &Figures<'_>) {
    let help = "Files that take no events any more, and are drained.";
    out.single("sparkngin_rings_draining", Kind::Gauge, help, figures.older.len());
    let help = "Files of a ring's name that nobody touches.";
    out.single("sparkngin_rings_left_alone", Kind::Gauge, help, figures.found.left_alone.len());
    let Some((ring, ledger)) = &figures.ring else { return };
    let (geometry, blocks) = (ring.geometry(), ledger.blocks);
    let bytes = u64::from(geometry.blocks) * u64::from(geometry.block_bytes);
    out.single("sparkngin_ring_size_bytes", Kind::Gauge, "Bytes of all blocks.", bytes);
    out.family("sparkngin_ring_blocks", Kind::Gauge, "Blocks of the ring, by state.");
    for (state, count) in [("free", blocks.free), ("open", blocks.open), ("sealed", blocks.sealed)]
    {
        out.row(&[("state", state)], count);
    }
    let help = "Events that can still be read, acknowledged or not.";
    out.single("sparkngin_ring_readable_events", Kind::Gauge, help, ledger.readable);
    let help = "Streams that had a writer: so many workers wrote at a time, at most.";
    out.single("sparkngin_ring_streams", Kind::Gauge, help, ledger.streams.len());
    if let Ok(writers) = ring.holders() {
        let help = "Workers that can write now, those that a reload leaves behind too.";
        out.single("sparkngin_ring_writers", Kind::Gauge, help, writers.len());
    }
    let help = "Whether the disk refuses syncs, and with them the level disk.";
    out.single("sparkngin_ring_syncs_refused", Kind::Gauge, help, u8::from(ring.refused()));
}

/// What each file counts.
fn files(out: &mut Exposition, figures: &Figures<'_>) {
    type Number = fn(&(&Ring, Ledger)) -> u64;
    let families: [(&'static str, Kind, &str, Number); 5] = [
        (
            "sparkngin_ring_poisoned",
            Kind::Gauge,
            "Whether nothing more is written to the file.",
            |f| f.1.poisoned.into(),
        ),
        (
            "sparkngin_events_committed_total",
            Kind::Counter,
            "Events stored, but for heartbeats.",
            |f| f.1.committed.saturating_sub(f.1.heartbeats),
        ),
        (
            "sparkngin_heartbeats_committed_total",
            Kind::Counter,
            "Events stored that are beats of sparkngin heartbeat.",
            |f| f.1.heartbeats,
        ),
        (
            "sparkngin_traffic_lost_events_total",
            Kind::Counter,
            "Events of the site's own traffic that could not be stored.",
            |f| f.1.traffic_lost,
        ),
        (
            "sparkngin_live_dropped_messages_total",
            Kind::Counter,
            "Live messages that a reader may have missed.",
            |f| f.1.live_dropped,
        ),
    ];
    for (name, kind, help, number) in families {
        out.family(name, kind, help);
        for file in figures.files() {
            out.row(&[("ring", &file.0.number().to_string())], number(file));
        }
    }
    let help =
        "Events that were not stored, by reason. A body that is refused as a whole counts as one.";
    out.family("sparkngin_events_refused_total", Kind::Counter, help);
    for (ring, ledger) in figures.files() {
        for (why, count) in ledger.refusals.each() {
            out.row(&[("ring", &ring.number().to_string()), ("reason", why.word())], count);
        }
    }
}

fn publisher(out: &mut Exposition, figures: &Figures<'_>) {
    let help = "Whether a publisher holds the lease and looks.";
    out.single("sparkngin_publisher_up", Kind::Gauge, help, u8::from(figures.is_published()));
    let Some(known) = &figures.known else { return };
    let help = "How many have held the lease of this file.";
    out.single("sparkngin_publisher_elections_total", Kind::Counter, help, known.state.epoch);
    let help = "When the publisher last looked, 0 for never.";
    let at = seconds(known.state.last_turn);
    out.single("sparkngin_publisher_last_look_timestamp_seconds", Kind::Gauge, help, at);
}

/// How each subscriber is, over all files.
fn subscribers(out: &mut Exposition, figures: &Figures<'_>) {
    type Number = fn(&Figures<'_>, Held<'_>) -> f64;
    let families: [(&'static str, &str, Number); 6] = [
        ("sparkngin_subscriber_up", "Whether the subscriber is connected.", |_, held| {
            f64::from(u8::from(held.connected().is_some()))
        }),
        ("sparkngin_subscriber_lag_events", "Events not yet acknowledged.", |_, held| {
            held.lag() as f64
        }),
        (
            "sparkngin_subscriber_lag_seconds",
            "How long ago the oldest event not yet acknowledged was received, 0 without one.",
            |figures, held| seconds(held.books.oldest.and_then(|at| figures.ago(at)).unwrap_or(0)),
        ),
        (
            "sparkngin_subscriber_last_ack_timestamp_seconds",
            "When the subscriber last acknowledged something, 0 for never.",
            |_, held| seconds(held.state.map_or(0, |state| state.last_ack)),
        ),
        (
            "sparkngin_subscriber_holds_ring_full_seconds",
            "For how long the ring is full because of the subscriber, 0 if it is not.",
            |figures, held| {
                let since = held.state.and_then(|state| state.holds_since);
                seconds(since.and_then(|at| figures.ago(at)).unwrap_or(0))
            },
        ),
        (
            "sparkngin_subscriber_untold_lost_events",
            "Events overwritten before the subscriber had them, and it was not told of yet.",
            |_, held| held.books.books.ahead as f64,
        ),
    ];
    for (name, help, number) in families {
        out.family(name, Kind::Gauge, help);
        for held in figures.subscribers() {
            out.row(&[("subscriber", held.books.name.as_str())], number(figures, held));
        }
    }
    took(out, figures);
}

/// How long events took, as each subscriber says: of all since it began, and of its last minute.
fn took(out: &mut Exposition, figures: &Figures<'_>) {
    let help = "From receipt to Kafka's acknowledgement, each event since the subscriber began.";
    out.family("sparkngin_subscriber_delivery_seconds", Kind::Histogram, help);
    for held in figures.subscribers() {
        // Where nothing is told there is none: one of zeros would be a counter that began anew.
        if let Some(spread) = held.took().and_then(|took| took.spread) {
            out.histogram(("subscriber", held.books.name.as_str()), &spread);
        }
    }
    let help = "From receipt to Kafka's acknowledgement, of the last minute: what a share of the events took at most.";
    out.family("sparkngin_subscriber_delivery_recent_seconds", Kind::Summary, help);
    for held in figures.subscribers() {
        let own = ("subscriber", held.books.name.as_str());
        let took = held.took().unwrap_or_default();
        for (share, seconds) in took.shares() {
            let quantile = share.to_string();
            out.row(&[own, ("quantile", &quantile)], seconds.unwrap_or(f64::NAN));
        }
        out.part("_count", &[own], took.events);
    }
}

/// Each subscriber's books, by file: what is behind its cursor, so none of them ever falls.
fn books(out: &mut Exposition, figures: &Figures<'_>) {
    type Number = fn(&SubscriberBooks) -> u64;
    let families: [(&'static str, &str, Number); 5] = [
        (
            "sparkngin_subscriber_delivered_events_total",
            "Events acknowledged: they are in Kafka; but for heartbeats.",
            |held| held.books.delivered.saturating_sub(held.books.heartbeats),
        ),
        (
            "sparkngin_subscriber_delivered_heartbeats_total",
            "Heartbeats acknowledged: they are in Kafka.",
            |held| held.books.heartbeats,
        ),
        (
            "sparkngin_subscriber_lost_events_total",
            "Events overwritten before they were acknowledged, of which the subscriber was told.",
            |held| held.told.0,
        ),
        (
            "sparkngin_subscriber_dead_lettered_events_total",
            "Events that Kafka refused, in the dead letter.",
            |held| held.books.dead,
        ),
        (
            "sparkngin_subscriber_uncertain_events_total",
            "Events of which nobody knows whether they ever were.",
            |held| held.told.1,
        ),
    ];
    for (name, help, number) in families {
        out.family(name, Kind::Counter, help);
        for (ring, ledger) in figures.files() {
            for held in ledger.subscribers.iter().filter(|held| held.active) {
                let ring = ring.number().to_string();
                out.row(&[("subscriber", held.name.as_str()), ("ring", &ring)], number(held));
            }
        }
    }
}

/// Seconds of ns, to the ms.
fn seconds(ns: u64) -> f64 {
    (ns / 1_000_000) as f64 / 1000.0
}
