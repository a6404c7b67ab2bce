//! The body of `/status`: one JSON object, made from what lies in the ring, so any worker can answer. No path, key,
//! address or topic name is in it. Its keys are stable: docs/protocol.md lists them, new ones may be added.

use serde_json::{Value, json};
use sparkngin_core::ring::{
    Books, Difference, Found, Lease, Ledger, LeftAlone, Origin, Overflow, PublisherState, Ring,
    SubscriberBooks, SubscriberState,
};

/// What the host knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The server, such as `nginx/1.22.1`.
    pub server: String,
    /// Facts of the host's own, as members of the object: (key, value).
    pub more: Vec<(String, Value)>,
}

/// The object, as text; `now` in ns since 1970. `ring` is the one that takes events, if there is one; `others` is what
/// lies beside it. The books are those of all of them together, and of those
/// that are gone.
pub fn json(ring: Option<&Ring>, others: &Found, host: &Host, now: u64) -> String {
    // One whose books are carried on is just about to go.
    let all = ring.into_iter().chain(&others.rings);
    let carried: Vec<u64> = all.map(Ring::carried_last).collect();
    let older = others.rings.iter().filter(|ring| !carried.contains(&ring.number()));
    let older: Vec<(&Ring, Ledger)> = older.map(|ring| (ring, Ledger::read(ring))).collect();
    let mut object = json!({
        "sparkngin": env!("CARGO_PKG_VERSION"),
        "server": host.server,
        "ring": null,
        "publisher": null,
        "subscribers": [],
        "access": null,
        "live": null,
        "older": older.iter().map(|(ring, ledger)| older_object(ring, ledger)).collect::<Value>(),
        "left_alone": others.left_alone.iter().map(left_alone).collect::<Value>(),
    });
    if let Some(ring) = ring {
        object["ring"] = ring_object(ring, &Ledger::read(ring));
    }
    // While there is none to write to, the newest of those that are drained knows who publishes.
    if let Some(known) = ring.or(others.rings.last()) {
        let (mut ledger, state) = (Ledger::read(known).with_carried(), known.state());
        let region = ledger.region;
        for (_, other) in older.into_iter().filter(|(_, other)| other.region != region) {
            add(&mut ledger, &other.with_carried());
        }
        object["publisher"] = publisher(known, &state, now);
        object["subscribers"] = subscribers(&ledger, &state, now);
        object["live"] = live(&ledger);
        object["access"] = json!({ "lost": ledger.traffic_lost });
    }
    for (key, value) in &host.more {
        object[key] = value.clone();
    }
    object.to_string()
}

/// The books of an older ring to those of the newest.
fn add(ledger: &mut Ledger, older: &Ledger) {
    ledger.live = ledger.live.and(older.live);
    ledger.traffic_lost += older.traffic_lost;
    for held in &mut ledger.subscribers {
        if let Some(same) = older.subscribers.iter().find(|other| other.name == held.name) {
            held.books = held.books.and(same.books);
        }
    }
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
        "committed": ledger.committed,
        "readable": ledger.readable,
        "poisoned": ledger.poisoned,
        "syncs_refused": ring.refused(),
    })
}

fn publisher(ring: &Ring, state: &PublisherState, now: u64) -> Value {
    json!({
        "present": Lease::is_held(ring.dir()).unwrap_or(false),
        "epoch": state.epoch,
        "last_turn_ms": ago(state.last_turn, now),
    })
}

fn subscribers(ledger: &Ledger, state: &PublisherState, now: u64) -> Value {
    let active = ledger.subscribers.iter().filter(|s| s.active);
    active
        .map(|held| {
            let seen = state.subscribers.iter().find(|s| s.name == held.name);
            subscriber(held, seen, now)
        })
        .collect()
}

fn subscriber(held: &SubscriberBooks, seen: Option<&SubscriberState>, now: u64) -> Value {
    let Books { committed, delivered, in_ring, lost, ahead, dead, uncertain, uncertain_open } =
        held.books;
    let connected = seen.and_then(|s| s.connected);
    json!({
        "name": held.name.as_str(),
        "connected": connected.is_some(),
        "connected_ms": connected.and_then(|at| ago(at, now)),
        "last_beat_ms": seen.and_then(|s| ago(s.last_beat, now)),
        "last_ack_ms": seen.and_then(|s| ago(s.last_ack, now)),
        "holds_ring_full_ms": seen.and_then(|s| s.holds_since).and_then(|at| ago(at, now)),
        "lag": in_ring + ahead,
        "committed": committed,
        "in_kafka": delivered,
        "in_ring": in_ring,
        "lost": lost,
        "dead_lettered": dead,
        "uncertain": uncertain,
        "uncertain_open": uncertain_open,
    })
}

fn live(ledger: &Ledger) -> Value {
    let Books { committed, delivered, in_ring, lost, uncertain, .. } = ledger.live;
    json!({
        "committed": committed,
        "passed": delivered,
        "in_ring": in_ring,
        "lost": lost,
        "uncertain": uncertain,
        "dropped": ledger.live_dropped,
    })
}

/// How long ago something was, in ms; nothing when it never was.
fn ago(then: u64, now: u64) -> Option<u64> {
    (then != 0).then(|| now.saturating_sub(then) / 1_000_000)
}
