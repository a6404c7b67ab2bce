//! The body of `/status`: one JSON object, made from what lies in the ring, so any worker can answer. No path, key,
//! address or topic name is in it. Its keys are stable: docs/protocol.md lists them, new ones may be added.

use serde_json::{Value, json};
use sparkngin_core::ring::{
    Books, Lease, Ledger, Overflow, PublisherState, Ring, SubscriberBooks, SubscriberState,
};

/// What the host knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The server, such as `nginx/1.22.1`.
    pub server: String,
    /// Facts of the host's own, as members of the object: (key, value).
    pub more: Vec<(String, Value)>,
}

/// The object, as text; `now` in ns since 1970. Without a ring it says so.
pub fn json(rings: &[&Ring], host: &Host, now: u64) -> String {
    let mut object = json!({
        "sparkngin": env!("CARGO_PKG_VERSION"),
        "server": host.server,
        "ring": null,
        "publisher": null,
        "subscribers": [],
        "live": null,
    });
    if let Some(ring) = rings.last() {
        let (ledger, state) = (Ledger::read(ring), ring.state());
        object["ring"] = ring_object(ring, &ledger);
        object["publisher"] = publisher(ring, &state, now);
        object["subscribers"] = subscribers(&ledger, &state, now);
        object["live"] = live(&ledger);
    }
    for (key, value) in &host.more {
        object[key] = value.clone();
    }
    object.to_string()
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
