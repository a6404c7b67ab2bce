//! The body of `/status`: one JSON object, made from what lies in the ring, so any worker can answer. No path, key,
//! address or topic name is in it. Its keys are stable: docs/protocol.md lists them, new ones may be added.

use serde_json::{Map, Value, json};
use sparkngin_core::ring::{
    Books, Difference, Holder, Ledger, LeftAlone, Origin, Overflow, Refusals, Ring,
};
use sparkngin_core::took::{BOUNDS, Spread, Took};

use crate::figures::{Figures, Held, Known};
use crate::verdict::verdict;

/// The object, as text.
pub fn json(figures: &Figures<'_>) -> String {
    let older = figures.older.iter().map(|(ring, ledger)| older_object(ring, ledger));
    let mut object = json!({
        "sparkngin": env!("CARGO_PKG_VERSION"),
        "server": figures.host.server,
        "ring": figures.ring.as_ref().map(|(ring, ledger)| ring_object(ring, ledger)),
        "publisher": null,
        "workers": figures.workers().iter().map(|one| worker(figures, one)).collect::<Value>(),
        "subscribers": figures.subscribers().map(|held| subscriber(figures, held)).collect::<Value>(),
        "access": null,
        "refused": null,
        "recent": recent(figures),
        "wrong": verdict(figures).1,
        "live": null,
        "older": older.collect::<Value>(),
        "left_alone": figures.found.left_alone.iter().map(left_alone).collect::<Value>(),
    });
    // While there is none to write to, the newest of those that are drained knows who publishes.
    if let Some(known) = &figures.known {
        object["publisher"] = publisher(figures, known);
        object["live"] = live(figures, &known.ledger);
        object["access"] = json!({ "lost": known.ledger.traffic_lost });
        object["refused"] = refused(known.ledger.refusals);
    }
    object.to_string()
}

/// A ring that takes no events any more.
fn older_object(ring: &Ring, ledger: &Ledger) -> Value {
    let why = match ring.origin() {
        _ if ledger.poisoned => "poisoned",
        Origin::Earlier { clean: true } => "boot",
        Origin::Earlier { clean: false } => "power",
        Origin::Here => "newer",
    };
    let held = ledger.subscribers.iter().filter(|held| held.active).map(|held| {
        json!({
            "name": held.name.as_str(),
            "in_kafka": held.books.delivered,
            "in_ring": held.books.in_ring,
            "lost": held.books.lost,
            "dead_lettered": held.books.dead,
            "uncertain": held.books.uncertain,
            "uncertain_open": held.books.uncertain_open,
        })
    });
    json!({
        "number": ring.number(),
        "region": ledger.region.to_string(),
        "why": why,
        "committed": ledger.committed,
        "subscribers": held.collect::<Value>(),
    })
}

fn left_alone(left: &LeftAlone) -> Value {
    let why = match left.why {
        Difference::NotARing => "not_a_ring",
        Difference::Short { .. } => "cut_off",
        Difference::Layout(_) => "layout",
        Difference::Copy => "copy",
        Difference::Unreadable(_) => "unreadable",
    };
    json!({ "number": left.number, "why": why })
}

fn ring_object(ring: &Ring, ledger: &Ledger) -> Value {
    let (geometry, blocks) = (ring.geometry(), ledger.blocks);
    json!({
        "region": ledger.region.to_string(),
        "policy": match ledger.policy {
            Some(Overflow::Overwrite) => Some("overwrite"),
            Some(Overflow::Reject) => Some("reject"),
            None => None,
        },
        "bytes": u64::from(geometry.blocks) * u64::from(geometry.block_bytes),
        "block_bytes": geometry.block_bytes,
        "blocks": {
            "total": geometry.blocks,
            "free": blocks.free,
            "open": blocks.open,
            "sealed": blocks.sealed,
        },
        "streams": ledger.streams.len(),
        "writers": ring.holders().ok().map(|all| all.len()),
        "committed": ledger.committed,
        "heartbeats": ledger.heartbeats,
        "readable": ledger.readable,
        "poisoned": ledger.poisoned,
        "syncs_refused": ring.refused(),
    })
}

fn publisher(figures: &Figures<'_>, known: &Known) -> Value {
    json!({
        "present": known.present,
        "epoch": known.state.epoch,
        "process": known.state.process,
        "last_turn_ms": ms(figures.ago(known.state.last_turn)),
        "feed_deaf_ms": ms(figures.feed_deaf()),
    })
}

fn worker(figures: &Figures<'_>, (ring, holder): &(u64, Holder)) -> Value {
    json!({
        "ring": ring,
        "stream": holder.stream.0,
        "process": holder.process,
        "since_ms": ms(figures.ago(holder.since)),
        "leaving_ms": ms(holder.leaving.and_then(|since| figures.ago(since))),
        "publishes": figures.publishes(holder),
        "stored": holder.last.0,
    })
}

fn subscriber(figures: &Figures<'_>, held: Held<'_>) -> Value {
    let Books { committed, delivered, in_ring, lost, dead, uncertain, uncertain_open, .. } =
        held.books.books;
    let heartbeats = held.books.books.heartbeats;
    let (connected, state) = (held.connected(), held.state);
    let ago = |then: Option<u64>| ms(then.and_then(|then| figures.ago(then)));
    json!({
        "name": held.books.name.as_str(),
        "connected": connected.is_some(),
        "connected_ms": ago(connected),
        "last_beat_ms": ago(state.map(|s| s.last_beat)),
        "last_ack_ms": ago(state.map(|s| s.last_ack)),
        "holds_ring_full_ms": ago(state.and_then(|s| s.holds_since)),
        "took": held.took().map(took),
        "lag": held.lag(),
        "lag_ms": ago(held.books.oldest),
        "committed": committed,
        "in_kafka": delivered,
        "heartbeats": heartbeats,
        "in_ring": in_ring,
        "lost": lost,
        "dead_lettered": dead,
        "uncertain": uncertain,
        "uncertain_open": uncertain_open,
    })
}

/// How long its events took, ms; nothing for a share of none.
fn took(took: Took) -> Value {
    let shares = took.shares();
    let share = |n: usize| shares[n].1.map(|seconds| seconds * 1000.0);
    json!({
        "events": took.events,
        "p50_ms": share(0),
        "p90_ms": share(1),
        "p99_ms": share(2),
        "p999_ms": share(3),
        "spread": took.spread.map(|spread| spread_object(&spread)),
    })
}

fn spread_object(spread: &Spread) -> Value {
    let bounds = BOUNDS.iter().map(|us| Some(*us as f64 / 1000.0)).chain([None]);
    let steps = bounds.zip(spread.counts).map(|(ms, events)| json!({ "ms": ms, "events": events }));
    json!({
        "events": spread.total(),
        "sum_ms": spread.sum as f64 / 1000.0,
        "steps": steps.collect::<Value>(),
    })
}

fn refused(refusals: Refusals) -> Value {
    let each = refusals.each().map(|(why, count)| (why.word().to_owned(), count.into()));
    Value::Object(each.collect::<Map<_, _>>())
}

/// The last ten minutes, as far as somebody published.
fn recent(figures: &Figures<'_>) -> Value {
    let past = &figures.past;
    let delivered = figures.subscribers().enumerate().map(|(n, held)| {
        let count = past.sum(|tick| tick.delivered.get(n).copied().unwrap_or(0));
        (held.books.name.to_string(), count.into())
    });
    json!({
        "seconds": past.seconds(),
        "taken": past.sum(|tick| tick.taken),
        "heartbeats": past.sum(|tick| tick.heartbeats),
        "refused": past.sum(|tick| tick.refused),
        "lost": past.sum(|tick| tick.lost),
        "in_kafka": Value::Object(delivered.collect::<Map<_, _>>()),
        "taken_per_second": past.rate(|tick| tick.taken),
        "lasts_ms": figures.lasts().map(|ns| ns / 1_000_000),
    })
}

fn live(figures: &Figures<'_>, ledger: &Ledger) -> Value {
    let Books { committed, delivered, in_ring, lost, uncertain, .. } = ledger.live;
    json!({
        "committed": committed,
        "passed": delivered,
        "in_ring": in_ring,
        "overwritten": lost,
        "uncertain": uncertain,
        "dropped": ledger.live_dropped,
        "deaf_ms": ms(figures.live_deaf()),
    })
}

fn ms(ns: Option<u64>) -> Option<u64> {
    ns.map(|ns| ns / 1_000_000)
}
