//! What a worker says of itself: the health in a line or two, and the status with all its numbers.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use ngx::ffi::NGINX_VER;
use sparkngin_core::ring::{Found, Lease, PublisherState, Refused, Ring, Tenant};
use sparkngin_publisher::figures::{Figures, Host, is_published};
use sparkngin_publisher::{metrics, page, status};

use crate::answer::Answer;
use crate::worker::Worker;

/// What an event has at least to fit, for the answer that one sent now would be taken: a small one.
const SMALL: usize = 1024;

/// 200 while an event sent now would be accepted, and in a second line what is away; else 503 and the reason.
pub fn imok(worker: &mut Worker) -> Answer {
    if let Some(why) = refuses(worker) {
        return Answer::text(503, format!("{why}\n"));
    }
    let Some(ring) = worker.store.ring() else {
        return Answer::text(503, "there is no ring\n".into());
    };
    let mut text = String::from("imok\n");
    let (now, state) = (now(), ring.state());
    let published = is_published(Lease::is_held(ring.dir()).unwrap_or(false), &state, now);
    let away = away(published, &state);
    // Writing to a String does not fail.
    if !away.is_empty() {
        let _ = writeln!(text, "away: {}", away.join(", "));
    }
    // Who listens, and who says why it cannot.
    let (named, log) = match worker.lead {
        Some(_) => ("in \"sparkngin_listen\"", "error.log"),
        None => ("of \"sparkngin publish\"", "its log"),
    };
    for (what, whose, since) in
        [("not fed", "the feed", state.feed_deaf), ("not live", "live", state.live_deaf)]
    {
        if let Some(since) = since.filter(|_| published) {
            let ago = now.saturating_sub(since) / 1_000_000_000;
            let _ = writeln!(
                text,
                "{what}: the address of {whose} {named} cannot be listened at for {ago} s, {log} says why"
            );
        }
    }
    if ring.refused() {
        let failed = ring.failed_before();
        let _ = writeln!(
            text,
            "not synced: the disk refuses syncs, {failed} failed in a row; the level \"disk\" is answered with 503"
        );
    }
    if state.removed > 0 || ring.is_removed() {
        text.push_str(
            "removed: a ring's file was removed while it is used, what is in it is lost if nginx ends before it has gone out; error.log names it\n",
        );
    }
    let found = others(worker);
    if !found.rings.is_empty() {
        let names: Vec<String> = found.rings.iter().map(draining).collect();
        let _ = writeln!(text, "draining: {}", names.join(", "));
    }
    if Tenant::all(worker.store.dir()).is_ok_and(|all| all.len() > 1) {
        text.push_str("shared: another nginx uses the ring's directory, error.log names it\n");
    }
    for left in &found.left_alone {
        let _ = writeln!(text, "left alone: ring.{}, {}", left.number, left.why);
    }
    Answer::text(200, text)
}

/// Why an event sent now would not be stored, if so.
fn refuses(worker: &mut Worker) -> Option<String> {
    let writer = match worker.store.writer() {
        Ok(writer) => writer,
        Err(why) => return Some(why.to_owned()),
    };
    match writer.would_take(SMALL) {
        Ok(()) => None,
        Err(refused @ Refused::Full { .. }) => {
            Some(format!("{refused}{}", held_for(&writer.ring().state(), now())))
        }
        Err(_) => Some("the ring can not be written to".to_owned()),
    }
}

/// A file that is drained, in words.
fn draining(ring: &Ring) -> String {
    let poisoned = if ring.state().poisoned { " (poisoned)" } else { "" };
    format!("ring.{}{poisoned}", ring.number())
}

/// The files beside the worker's own.
fn others(worker: &Worker) -> Found {
    let own = worker.store.ring().map(Ring::number);
    // A directory that cannot be read has its line in error.log.
    let mut found = Ring::look_at_all(worker.store.dir()).unwrap_or_default();
    found.rings.retain(|ring| Some(ring.number()) != own);
    found
}

/// The publisher, and subscribers by name, that are not there.
fn away(published: bool, state: &PublisherState) -> Vec<String> {
    let mut away = Vec::new();
    if !published {
        away.push("publisher".into());
    }
    for subscriber in state.subscribers.iter().filter(|subscriber| subscriber.connected.is_none()) {
        away.push(format!("subscriber \"{}\"", subscriber.name));
    }
    away
}

/// For how long somebody has held the ring full, in words.
fn held_for(state: &PublisherState, now: u64) -> String {
    let holds = state.subscribers.iter().filter_map(|subscriber| subscriber.holds_since).min();
    holds.map(|at| format!(" for {} s", now.saturating_sub(at) / 1_000_000_000)).unwrap_or_default()
}

/// ns since 1970
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// All the numbers, of the ring as it is now.
pub fn status(worker: &mut Worker) -> Answer {
    Answer::json(show(worker, status::json) + "\n")
}

/// The same, as people read them.
pub fn page(worker: &mut Worker) -> Answer {
    Answer::page(show(worker, page::html))
}

/// The same, as Prometheus reads them.
pub fn metrics(worker: &mut Worker) -> Answer {
    Answer::metrics(show(worker, metrics::text))
}

fn show(worker: &mut Worker, render: impl FnOnce(&Figures<'_>) -> String) -> String {
    let server = NGINX_VER.to_str().unwrap_or("nginx").into();
    let names = worker.waiting.names().to_vec();
    let host = Host { server, refuses: refuses(worker), publishes: worker.lead.is_some(), names };
    let others = others(worker);
    render(&Figures::look(host, worker.store.ring(), &others, now()))
}
