//! How many events took how long, as bars: one for each bound, from left to right.

use std::fmt::Write;

use sparkngin_core::took::{BOUNDS, COUNTS, Spread};

use crate::words::{count, short};

/// The drawing's own units.
const WIDTH: usize = 10;
const HEIGHT: f64 = 60.0;
/// What there is can be seen, however little it is.
const LEAST: f64 = 1.0;

/// A figure with what its bars say in words, of a subscriber.
pub fn bars(out: &mut String, name: &str, spread: &Spread) {
    let total = spread.total();
    let mean = spread.sum.checked_div(total).map_or("none yet".to_owned(), |mean| {
        format!("{} events, {} on average", count(total), short(mean))
    });
    // Writing to a String does not fail, here and below.
    let _ = write!(
        out,
        "<figure class=\"spread\"><figcaption>{name}, since it began: <b>{mean}</b></figcaption>\
         <svg viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}, how long events took since it began: {mean}{}\"><path d=\"",
        WIDTH * COUNTS,
        in_words(spread),
    );
    let most = spread.counts.iter().copied().max().unwrap_or(0) as f64;
    for (n, events) in spread.counts.iter().enumerate().filter(|(_, events)| **events > 0) {
        let high = (*events as f64 / most * HEIGHT).max(LEAST);
        let _ = write!(out, "M{} {HEIGHT}v-{high:.1}h{}v{high:.1}z", n * WIDTH, WIDTH - 1);
    }
    out.push_str("\"/></svg><div class=\"axis\" aria-hidden=\"true\"><span></span>");
    for us in BOUNDS.iter().step_by(3) {
        let _ = write!(out, "<span>{}</span>", round(*us));
    }
    out.push_str("</div></figure>\n");
}

/// The bars, for who hears them.
fn in_words(spread: &Spread) -> String {
    let mut text = String::new();
    let total = spread.total() as f64;
    for (n, events) in spread.counts.iter().enumerate().filter(|(_, events)| **events > 0) {
        // Cut off: what is not all is less than 100.
        let percent = (*events as f64 / total * 1000.0).floor() / 10.0;
        let (sign, percent) = if percent < 0.1 { ("under ", 0.1) } else { ("", percent) };
        let bound = match BOUNDS.get(n) {
            Some(us) => format!("up to {}", round(*us)),
            None => "longer".to_owned(),
        };
        let _ = write!(text, "; {sign}{percent:.1} % {bound}");
    }
    text
}

/// A bound, in its own unit.
fn round(us: u64) -> String {
    match us {
        0..1_000_000 => format!("{} ms", us as f64 / 1e3),
        us => format!("{} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_a_bar_that_is_seen_and_its_words_say_the_same() {
        let mut spread = Spread { sum: 8_000_000, ..Spread::default() };
        for (us, count) in [(2000, 3994), (900_000, 5), (u64::MAX, 1)] {
            spread.add(us, count);
        }
        let mut out = String::new();
        bars(&mut out, "kafka", &spread);
        assert!(
            out.contains("kafka, since it began: <b>4,000 events, 2 ms on average</b>"),
            "{out}"
        );
        let words = "; 99.8 % up to 2.5 ms; 0.1 % up to 1 s; under 0.1 % longer\"";
        assert!(out.contains(words), "{out}");
        let drawn = " d=\"M10 60v-60.0h9v60.0zM90 60v-1.0h9v1.0zM210 60v-1.0h9v1.0z\"";
        assert!(out.contains(drawn), "{out}");
        assert!(out.contains("<span>1 ms</span><span>10 ms</span>"), "{out}");
        assert!(out.ends_with("<span>100 s</span><span>1000 s</span></div></figure>\n"), "{out}");
    }

    #[test]
    fn without_events_there_is_none() {
        let mut out = String::new();
        bars(&mut out, "kafka", &Spread::default());
        assert!(out.contains("<b>none yet</b>") && out.contains(" d=\"\""), "{out}");
    }
}
