//! What is wrong now, in sentences for a person, the worst first.

use std::cmp::Reverse;

use sparkngin_core::ring::Name;

use crate::figures::{Figures, Held};
use crate::words::{count, duration};

/// A subscriber that is there and acknowledges nothing for so long though events wait does not get through, ns.
const STUCK: u64 = 10_000_000_000;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing is wrong.
    Well,
    /// Events are taken, and something needs to be looked at.
    Ill,
    /// Events are not taken, or were lost.
    Bad,
}

/// What is wrong, the worst first; nothing when all is well.
pub fn verdict(figures: &Figures<'_>) -> (Grade, Vec<String>) {
    let mut wrong: Vec<(Grade, String)> = Vec::new();
    if let Some(why) = &figures.host.refuses {
        wrong.push((Grade::Bad, format!("Events are refused: {why}.")));
    }
    let lost = figures.past.sum(|tick| tick.lost);
    if lost > 0 {
        wrong.push((Grade::Bad, format!("{} lost in the last ten minutes.", events(lost))));
    }
    if figures.ring.as_ref().is_some_and(|(ring, _)| ring.refused()) {
        wrong.push((Grade::Bad, "The disk refuses syncs: look at it now.".to_owned()));
    }
    if figures.removed() {
        let text = "A ring's file was removed while it is used: what is in it is lost if nginx ends before it has gone out, \
            error.log names it.";
        wrong.push((Grade::Bad, text.to_owned()));
    }
    if figures.known.is_some() && !figures.is_published() {
        let next =
            if figures.host.publishes { "error.log says why" } else { "start `sparkngin publish`" };
        wrong.push((Grade::Ill, format!("Nobody publishes: {next}.")));
    }
    wrong.extend(unheld(figures).map(|text| (Grade::Ill, text)));
    for (who, whose, deaf) in [
        ("Subscribers cannot connect", "the feed's", figures.feed_deaf()),
        ("Nobody can read live", "its", figures.live_deaf()),
    ] {
        let said = |ns| {
            let long = duration(ns);
            let log =
                if figures.host.publishes { "error.log" } else { "the log of `sparkngin publish`" };
            format!("{who}: {whose} address cannot be listened at for {long}, {log} says why.")
        };
        wrong.extend(deaf.map(|ns| (Grade::Ill, said(ns))));
    }
    wrong.extend(
        figures
            .subscribers()
            .filter_map(|held| of_subscriber(figures, held))
            .map(|text| (Grade::Ill, text)),
    );
    for (ring, ledger) in &figures.older {
        if ledger.poisoned {
            let number = ring.number();
            wrong.push((
                Grade::Ill,
                format!("ring.{number} is poisoned and drained: look at the disk."),
            ));
        }
    }
    if figures.shared {
        let text = "Another nginx uses the ring's directory, and each replaces the other's subscribers: error.log names it.";
        wrong.push((Grade::Ill, text.to_owned()));
    }
    for left in &figures.found.left_alone {
        wrong.push((Grade::Ill, format!("ring.{} is left alone: {}.", left.number, left.why)));
    }
    wrong.sort_by_key(|(grade, _)| Reverse(*grade));
    let grade = wrong.first().map_or(Grade::Well, |(grade, _)| *grade);
    (grade, wrong.into_iter().map(|(_, text)| text).collect())
}

/// Whom the host names, and who publishes in its place does not.
fn unheld(figures: &Figures<'_>) -> impl Iterator<Item = String> {
    let elsewhere = !figures.host.publishes && figures.is_published();
    let held = |name: &Name| figures.subscribers().any(|held| held.books.name == *name);
    let names = figures.host.names.iter().filter(move |name| elsewhere && !held(name));
    names.map(|name| {
        format!("Nobody holds events for \"{name}\": start `sparkngin publish` with --subscriber {name}.")
    })
}

fn of_subscriber(figures: &Figures<'_>, held: Held<'_>) -> Option<String> {
    // What was overwritten waits no more.
    let (name, waits) = (&held.books.name, held.books.books.in_ring);
    let oldest = held.books.oldest.and_then(|at| figures.ago(at));
    let wait = match oldest {
        Some(ns) if waits == 1 => format!("; 1 event waits, for {}", duration(ns)),
        Some(ns) if waits > 0 => {
            format!("; {} wait, the oldest for {}", events(waits), duration(ns))
        }
        _ => String::new(),
    };
    if held.connected().is_none() {
        return Some(format!("Subscriber \"{name}\" is away{wait}."));
    }
    let silent = held.state.is_none_or(|s| figures.ago(s.last_ack).is_none_or(|ns| ns > STUCK));
    let stuck = oldest.is_some_and(|ns| ns > STUCK) && silent;
    stuck.then(|| format!("Subscriber \"{name}\" acknowledges nothing: look at its Kafka{wait}."))
}

fn events(number: u64) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} event{plural}", count(number))
}
