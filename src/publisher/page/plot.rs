//! One number over time, as a line.

use std::fmt::Write;

use crate::words::rate;

/// The drawing's own units.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 60.0;

/// A figure with what its line says in words; where nothing is known the line is broken.
pub fn plot(out: &mut String, class: &str, title: &str, rates: &[Option<f64>]) {
    let known = || rates.iter().flatten().copied();
    let most = known().fold(0.0, f64::max);
    let now = rates.last().copied().flatten().or(rates.iter().rev().nth(1).copied().flatten());
    let text = match now {
        Some(now) => format!("{} now, {} at most", rate(now), rate(most)),
        None if known().next().is_none() => "nothing is known yet".to_owned(),
        None => format!("not known now, {} at most", rate(most)),
    };
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "<figure class=\"{class}\"><figcaption>{title}: <b>{text}</b></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{title}, a second, over ten minutes: {text}\"><path d=\""
    );
    let step = WIDTH / rates.len().saturating_sub(1).max(1) as f64;
    let scale = if most > 0.0 { (HEIGHT - 4.0) / most } else { 0.0 };
    let mut down = false;
    for (n, at) in rates.iter().enumerate() {
        let Some(at) = at else {
            down = false;
            continue;
        };
        let verb = if down { 'L' } else { 'M' };
        let (x, y) = (n as f64 * step, HEIGHT - 2.0 - at * scale);
        let _ = write!(out, "{verb}{x:.1} {y:.1}");
        // A tick by itself is a point.
        if !down && rates.get(n + 1).is_none_or(Option::is_none) {
            out.push_str("h.1");
        }
        down = true;
    }
    out.push_str("\"/></svg></figure>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_broken_where_nothing_is_known_and_its_words_say_the_same() {
        let mut out = String::new();
        plot(&mut out, "in", "In", &[Some(0.0), Some(10.0), None, Some(5.0)]);
        assert!(out.contains("In: <b>5.0 now, 10 at most</b>"), "{out}");
        assert!(out.contains(" d=\"M0.0 58.0L100.0 2.0M300.0 30.0h.1\""), "{out}");
        out.clear();
        plot(&mut out, "in", "In", &[None, None]);
        assert!(out.contains("nothing is known yet") && out.contains(" d=\"\""), "{out}");
    }
}
