//! `/status` for people: one page that needs nothing else. Without scripts it comes anew every 5 s; with them its parts
//! are replaced each 2 s, and who listens to it hears only what has changed at the top.
//!
//! Whatever is not ours is escaped; style and script are let run by their hashes alone, see [`POLICY`].

mod bars;
mod plot;

use std::fmt::Write;

use crate::figures::Figures;
use crate::verdict::{Grade, verdict};
use crate::words::{bytes, count, duration, rate, short};
use bars::bars;
use plot::plot;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
/// Workers that are shown.
const WORKERS: usize = 64;
/// The Content-Security-Policy that belongs to the page: the hashes are those of page.css and page.js (`t/page.t` has them).
pub const POLICY: &str = concat!(
    "default-src 'none'; style-src 'sha256-",
    "SDa74zobC/2PB350u+uyaHAVGkC+pEIACcbgHUto4jQ=",
    "'; script-src 'sha256-",
    "bqEQGXn5XL5xUPxT5msSbkYz+dNmExiKuSDnr9I5Qdk=",
    "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);

/// The page.
pub fn html(figures: &Figures<'_>) -> String {
    let (grade, wrong) = verdict(figures);
    let (word, class) = match grade {
        Grade::Well => ("well", "well"),
        Grade::Ill => ("look", "ill"),
        Grade::Bad => ("bad", "bad"),
    };
    let mut out = String::with_capacity(32 * 1024);
    // Writing to a String does not fail, here and below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{word}: Sparkngin</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Sparkngin</h1>\n<p id=\"verdict\" role=\"status\" class=\"{class}\">"
    );
    match wrong.split_first() {
        None => out.push_str("All is well."),
        Some((first, more)) => {
            out.push_str(&escape(first));
            for text in more {
                let _ = write!(out, "<span>{}</span>", escape(text));
            }
        }
    }
    out.push_str("</p>\n<main id=\"all\">\n");
    plots(&mut out, figures);
    ring(&mut out, figures);
    subscribers(&mut out, figures);
    took(&mut out, figures);
    books(&mut out, figures);
    refused(&mut out, figures);
    processes(&mut out, figures);
    let _ = write!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

fn plots(out: &mut String, figures: &Figures<'_>) {
    let past = &figures.past;
    out.push_str("<h2>Events a second, the last ten minutes</h2>\n<div class=\"plots\">\n");
    plot(out, "in", "In", &past.rates(|tick| tick.taken));
    for (n, held) in figures.subscribers().enumerate() {
        let title = match held.books.name.as_str() {
            "kafka" => "To Kafka".to_owned(),
            name => format!("To {}", escape(name)),
        };
        let delivered = past.rates(|tick| tick.delivered.get(n).copied().unwrap_or(0));
        plot(out, "kafka", &title, &delivered);
    }
    plot(out, "refused", "Refused", &past.rates(|tick| tick.refused));
    plot(out, "lost", "Lost", &past.rates(|tick| tick.lost));
    out.push_str("</div>\n");
}

fn ring(out: &mut String, figures: &Figures<'_>) {
    out.push_str("<h2>The ring</h2>\n");
    let Some((ring, ledger)) = &figures.ring else {
        out.push_str("<p>There is none that takes events.</p>\n");
        return;
    };
    let (total, free) = (ring.geometry().blocks, ledger.blocks.free);
    let used = total.saturating_sub(free);
    let percent = f64::from(used) / f64::from(total.max(1)) * 100.0;
    let size = bytes(u64::from(total) * u64::from(ring.geometry().block_bytes));
    let _ = write!(
        out,
        "<p>{percent:.0} % full: {} of {} blocks hold events, of {size}.</p>\n\
         <meter min=\"0\" max=\"{total}\" high=\"{}\" optimum=\"0\" value=\"{used}\" aria-label=\"How full the ring is\">{percent:.0} %</meter>\n<p>{}</p>\n",
        count(used.into()),
        count(total.into()),
        total / 5 * 4,
        lasts(figures),
    );
}

/// For how long there is room, if nothing is acknowledged from now on.
fn lasts(figures: &Figures<'_>) -> String {
    match (figures.lasts(), figures.past.seconds()) {
        (Some(left), _) => {
            let left = duration(left);
            format!("At the rate of the last minutes it lasts {left}, if nothing is acknowledged from now on.")
        }
        (None, 0) => "For how long it lasts can be said when somebody has published for 12 s.".to_owned(),
        (None, _) => "No block was filled in the last ten minutes: at this rate it lasts for longer than can be said.".to_owned(),
    }
}

fn subscribers(out: &mut String, figures: &Figures<'_>) {
    out.push_str("<h2>Subscribers</h2>\n");
    if figures.subscribers().next().is_none() {
        out.push_str("<p>None is configured: nothing holds events back.</p>\n");
        return;
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<tr><th scope=\"col\">Name</th><th scope=\"col\">State</th><th scope=\"col\">Behind, events</th>\
         <th scope=\"col\">Behind, time</th><th scope=\"col\">Last acknowledged</th></tr>\n",
    );
    for held in figures.subscribers() {
        let ago = |then: Option<u64>| then.and_then(|then| figures.ago(then)).map(duration);
        let state = match ago(held.connected()) {
            Some(time) => format!("connected for {time}"),
            None => "away".to_owned(),
        };
        let ack =
            ago(held.state.map(|s| s.last_ack)).map_or("never".to_owned(), |ago| ago + " ago");
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{state}</td><td>{}</td><td>{}</td><td>{ack}</td></tr>",
            escape(held.books.name.as_str()),
            count(held.lag()),
            ago(held.books.oldest).unwrap_or_else(|| "0 s".to_owned()),
        );
    }
    out.push_str("</table></div>\n");
}

fn took(out: &mut String, figures: &Figures<'_>) {
    let told = figures
        .subscribers()
        .filter_map(|held| Some((held.books.name.as_str(), held.took()?)))
        .collect::<Vec<_>>();
    if told.is_empty() {
        return;
    }
    out.push_str(
        "<h2>From receipt to Kafka's acknowledgement, the last minute</h2>\n<div class=\"scroll\"><table>\n<tr><th scope=\"col\">Name</th>\
         <th scope=\"col\">Events</th><th scope=\"col\">Half within</th><th scope=\"col\">90 %</th><th scope=\"col\">99 %</th>\
         <th scope=\"col\">99.9 %</th></tr>\n",
    );
    for (name, took) in &told {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td>",
            escape(name),
            count(took.events)
        );
        for (_, seconds) in took.shares() {
            let time = seconds.map_or("none".to_owned(), |seconds| short((seconds * 1e6) as u64));
            let _ = write!(out, "<td>{time}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n<div class=\"plots\">\n");
    for (name, spread) in told.iter().filter_map(|(name, took)| Some((name, took.spread?))) {
        bars(out, &escape(name), &spread);
    }
    out.push_str(
        "</div>\n<p class=\"dim\">Of each event, as the subscriber says; what two machines' clocks differ by is in it.</p>\n",
    );
}

fn books(out: &mut String, figures: &Figures<'_>) {
    if figures.subscribers().next().is_none() {
        return;
    }
    out.push_str(
        "<h2>The books</h2>\n<div class=\"scroll\"><table>\n<tr><th scope=\"col\">Name</th><th scope=\"col\">Stored</th>\
         <th scope=\"col\">= in Kafka</th><th scope=\"col\">+ in the ring</th><th scope=\"col\">+ lost</th>\
         <th scope=\"col\">+ dead-lettered</th><th scope=\"col\">+ uncertain</th></tr>\n",
    );
    for held in figures.subscribers() {
        let b = &held.books.books;
        let open = if b.uncertain_open { " and perhaps more" } else { "" };
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(held.books.name.as_str()));
        for number in [b.committed, b.delivered, b.in_ring, b.lost, b.dead] {
            let _ = write!(out, "<td>{}</td>", count(number));
        }
        let _ = writeln!(out, "<td>{}{open}</td></tr>", count(b.uncertain));
    }
    out.push_str(
        "</table></div>\n<p class=\"dim\">While events move, the sum may be a moment old.</p>\n",
    );
}

fn refused(out: &mut String, figures: &Figures<'_>) {
    let Some(known) = &figures.known else { return };
    out.push_str(
        "<h2>Refused since the ring's file was made</h2>\n<div class=\"scroll\"><table>\n<tr>",
    );
    for (why, _) in known.ledger.refusals.each() {
        let _ = write!(out, "<th scope=\"col\">{}</th>", why.word());
    }
    out.push_str("<th scope=\"col\">traffic lost</th></tr>\n<tr>");
    for (_, number) in known.ledger.refusals.each() {
        let _ = write!(out, "<td>{}</td>", count(number));
    }
    let _ = writeln!(out, "<td>{}</td></tr>\n</table></div>", count(known.ledger.traffic_lost));
}

fn processes(out: &mut String, figures: &Figures<'_>) {
    out.push_str("<h2>Publisher and workers</h2>\n");
    workers(out, figures);
    out.push_str("<ul>\n");
    if let Some(known) = &figures.known {
        let ago = figures
            .ago(known.state.last_turn)
            .map_or("never".to_owned(), |ns| duration(ns) + " ago");
        let state = if figures.is_published() { "is there" } else { "is away" };
        let process = known.state.process.map_or(String::new(), |own| format!(", process {own},"));
        let epoch = count(known.state.epoch);
        let _ = writeln!(
            out,
            "<li>The publisher{process} {state}; it looked {ago}, and is number {epoch} of this file.</li>"
        );
    }
    if let Some((_, ledger)) = &figures.ring {
        let streams = count(ledger.streams.len() as u64);
        let _ = writeln!(
            out,
            "<li>{streams} streams had a writer: so many workers wrote at a time, at most.</li>"
        );
    }
    if let Some(taken) = figures.past.rate(|tick| tick.taken) {
        let _ =
            writeln!(out, "<li>{} events a second came in over the last minute.</li>", rate(taken));
    }
    let heartbeats = figures.past.sum(|tick| tick.heartbeats);
    if heartbeats > 0 {
        let _ = writeln!(
            out,
            "<li>{} heartbeats came in over the last ten minutes: they are in the books, and in none of the rates.</li>",
            count(heartbeats)
        );
    }
    for (ring, ledger) in &figures.older {
        let left: u64 = ledger
            .subscribers
            .iter()
            .filter(|held| held.active)
            .map(|held| held.books.in_ring)
            .max()
            .unwrap_or(0);
        let _ = writeln!(
            out,
            "<li>ring.{} is drained: {} events are left.</li>",
            ring.number(),
            count(left)
        );
    }
    let _ = write!(
        out,
        "</ul>\n<footer>Sparkngin {}, {}. The same as JSON for who does not ask for HTML, for Prometheus at <code>metrics</code>.</footer>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&figures.host.server)
    );
}

/// Who can write, as many as one looks through.
fn workers(out: &mut String, figures: &Figures<'_>) {
    let all = figures.workers();
    if all.is_empty() {
        out.push_str("<p>No worker can write now.</p>\n");
        return;
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<tr><th scope=\"col\">Worker</th><th scope=\"col\">State</th><th scope=\"col\">Publishes</th>\
         <th scope=\"col\">Writes to</th><th scope=\"col\">Stored in its stream</th></tr>\n",
    );
    for (ring, one) in all.iter().take(WORKERS) {
        let own = one.process.map_or("unknown".to_owned(), |own| format!("process {own}"));
        let ago = |since| {
            figures.ago(since).map_or(String::new(), |ns| " for ".to_owned() + &duration(ns))
        };
        let state = match one.leaving {
            Some(since) => format!("leaving{}", ago(since)),
            None => format!("active{}", ago(one.since)),
        };
        let publishes = if figures.publishes(one) { "yes" } else { "no" };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{own}</th><td>{state}</td><td>{publishes}</td><td>ring.{ring}, stream {}</td><td>{}</td></tr>",
            one.stream,
            count(one.last.0),
        );
    }
    out.push_str("</table></div>\n");
    if let Some(more) = all.len().checked_sub(WORKERS).filter(|more| *more > 0) {
        let _ = writeln!(out, "<p>And {} more.</p>", count(more as u64));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
