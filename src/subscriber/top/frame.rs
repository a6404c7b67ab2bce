//! What was seen -> lines, of a terminal's width: parts are put on lines as they fit, and what is too long is cut.

use super::{Place, Seen};
use crate::figures::{Held, Nginx, Subscriber};

/// Cells of the ring's bar.
const BAR: usize = 20;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Head,
    Well,
    Wrong,
}

/// How frames are written.
pub struct Frame {
    /// With colours.
    pub colours: bool,
}

type Part = (Tone, String);

impl Frame {
    /// The lines, for a terminal of so many columns and rows.
    pub fn text(&self, places: &[Place], (columns, rows): (usize, usize)) -> Vec<String> {
        let ill = places.iter().filter(|place| !is_well(&place.seen)).count();
        let state = match (places.is_empty(), ill) {
            (true, _) => (Tone::Plain, "asking".to_owned()),
            (_, 0) => (Tone::Well, "all is well".to_owned()),
            (_, ill) => (Tone::Wrong, format!("{ill} of {} not well", places.len())),
        };
        let mut lines =
            self.fill(0, vec![(Tone::Head, "sparkngin top".to_owned()), state], columns);
        for place in places {
            let (head, rest) = parts(place);
            lines.extend(self.fill(0, head, columns));
            for parts in rest {
                lines.extend(self.fill(2, parts, columns));
            }
        }
        if lines.len() > rows {
            let more = format!("... {} more lines", lines.len() - rows.saturating_sub(1));
            lines.truncate(rows.saturating_sub(1));
            lines.extend(self.fill(0, vec![(Tone::Plain, more)], columns));
        }
        lines
    }

    /// Parts on lines: as many on one as fit, two spaces between them; the lines behind the first are set in.
    fn fill(&self, indent: usize, parts: Vec<Part>, columns: usize) -> Vec<String> {
        let most = columns.saturating_sub(1);
        let (indent, again) = (indent.min(most), 4.min(most));
        let (mut lines, mut line) = (Vec::new(), " ".repeat(indent));
        let (mut width, mut begun) = (indent, false);
        for (tone, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let text = shown(&text);
            let long = text.chars().count();
            if begun && width.saturating_add(2 + long) > columns {
                lines.push(std::mem::replace(&mut line, " ".repeat(again)));
                (width, begun) = (again, false);
            }
            if begun {
                line.push_str("  ");
                width += 2;
            }
            let room = columns.saturating_sub(width);
            let cut: String = text.chars().take(room).collect();
            width += cut.chars().count();
            line.push_str(&self.toned(tone, &cut));
            begun = true;
        }
        lines.push(line);
        lines
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Head => "1",
            Tone::Well => "32",
            Tone::Wrong => "1;31",
            Tone::Plain => "",
        };
        match self.colours && !code.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// What comes from elsewhere moves no cursor.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn is_well(seen: &Seen) -> bool {
    match seen {
        Seen::Nginx(seen) => seen.as_ref().is_ok_and(|nginx| nginx.wrong.is_empty()),
        Seen::Subscriber(seen) => seen.as_ref().is_ok_and(|own| own.unready.is_none()),
    }
}

/// The first line of a place, and those below it.
fn parts(place: &Place) -> (Vec<Part>, Vec<Vec<Part>>) {
    let mut head = vec![(Tone::Head, place.text.clone())];
    let mut state = |wrong: &[String], well: &str| match wrong.is_empty() {
        true => head.push((Tone::Well, well.to_owned())),
        false => head.extend(wrong.iter().map(|text| (Tone::Wrong, text.clone()))),
    };
    let rest = match &place.seen {
        Seen::Nginx(Err(why)) | Seen::Subscriber(Err(why)) => {
            state(std::slice::from_ref(why), "");
            Vec::new()
        }
        Seen::Nginx(Ok(nginx)) => {
            state(&nginx.wrong, "well");
            of_nginx(nginx, place)
        }
        Seen::Subscriber(Ok(own)) => {
            let why = own.unready.iter().map(|why| format!("waiting: {why}")).collect::<Vec<_>>();
            state(&why, "ready");
            of_subscriber(own, place)
        }
    };
    (head, rest)
}

fn plain(parts: impl IntoIterator<Item = String>) -> Vec<Part> {
    parts.into_iter().map(|text| (Tone::Plain, text)).collect()
}

fn of_nginx(nginx: &Nginx, place: &Place) -> Vec<Vec<Part>> {
    let rate = place.trail.rate().or(nginx.rate);
    let mut lines = vec![vec![
        (Tone::Plain, rate.map_or("in unknown".to_owned(), |rate| format!("in {rate:.1}/s"))),
        (Tone::Plain, place.trail.bars()),
        counted("refused", nginx.refused),
        counted("lost", nginx.lost),
    ]];
    if let Some(percent) = nginx.percent() {
        let full = ((percent / 100.0 * BAR as f64).round() as usize).min(BAR);
        let bar = format!("ring [{}{}]", "#".repeat(full), ".".repeat(BAR - full));
        let lasts = nginx.lasts.map(|lasts| format!("lasts {}", words(lasts.as_secs())));
        let tone = if percent >= 80.0 { Tone::Wrong } else { Tone::Plain };
        let mut line = vec![(tone, format!("{bar} {percent:.0} %"))];
        line.extend(plain(lasts));
        lines.push(line);
    }
    lines.extend(nginx.subscribers.iter().map(held));
    lines
}

fn held(held: &Held) -> Vec<Part> {
    let there = match held.connected {
        true => (Tone::Plain, format!("{} connected", held.name)),
        false => (Tone::Wrong, format!("{} away", held.name)),
    };
    let behind = held.behind.as_secs_f64();
    let lag = format!("behind {} events, {behind:.1} s", held.lag);
    let mut parts = vec![there];
    parts.extend(plain([lag, format!("in Kafka {}", held.delivered)]));
    parts.extend(held.took.into_iter().flat_map(within));
    parts
}

fn of_subscriber(own: &Subscriber, place: &Place) -> Vec<Vec<Part>> {
    let rate = place.trail.rate().map(|rate| format!("to Kafka {rate:.1}/s"));
    let (all, up) = own.feeds;
    let feeds = (if up < all { Tone::Wrong } else { Tone::Plain }, format!("feeds {up} of {all}"));
    let mut first = vec![feeds];
    first.extend(plain(rate));
    first.push((Tone::Plain, place.trail.bars()));
    first.extend(plain([format!("delivered {}", own.delivered), format!("open {}", own.open)]));
    first.push(counted("dead", own.dead));
    [first].into_iter().chain(own.took.map(|took| within(took).into())).collect()
}

/// How long half of the events took, and 99 % of them.
fn within((half, most): (f64, f64)) -> [Part; 2] {
    [format!("half within {half} s"), format!("99 % within {most} s")]
        .map(|text| (Tone::Plain, text))
}

/// What should be 0.
fn counted(what: &str, count: u64) -> Part {
    (if count > 0 { Tone::Wrong } else { Tone::Plain }, format!("{what} {count}"))
}

/// A time, in its largest unit.
fn words(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::trail::Trail;
    use super::*;

    fn places() -> Vec<Place> {
        let held = Held {
            name: "kafka".into(),
            connected: true,
            lag: 3,
            took: Some((0.004, 0.1)),
            ..Held::default()
        };
        let nginx = Nginx {
            wrong: vec!["Nobody \x1b[2J publishes.".into()],
            rate: Some(12.34),
            blocks: Some((64, 16)),
            lasts: Some(Duration::from_secs(7300)),
            subscribers: vec![held],
            ..Nginx::default()
        };
        let place = |text: &str, seen| Place { text: text.into(), seen, trail: Trail::default() };
        vec![
            place("http://a/sn/", Seen::Nginx(Ok(nginx))),
            place("http://b/sn/", Seen::Nginx(Err("does not answer: no".into()))),
            place(
                "http://c/",
                Seen::Subscriber(Ok(Subscriber { feeds: (2, 2), ..Subscriber::default() })),
            ),
        ]
    }

    #[test]
    fn a_frame_says_what_is_wrong_and_moves_no_cursor() {
        let lines = Frame { colours: false }.text(&places(), (100, 40));
        assert_eq!(lines[0], "sparkngin top  2 of 3 not well");
        assert_eq!(lines[1], "http://a/sn/  Nobody \u{fffd}[2J publishes.");
        assert_eq!(lines[2], "  in 12.3/s  refused 0  lost 0");
        assert_eq!(lines[3], "  ring [#####...............] 25 %  lasts 2 h");
        assert_eq!(
            lines[4],
            "  kafka connected  behind 3 events, 0.0 s  in Kafka 0  half within 0.004 s  99 % within 0.1 s"
        );
        assert_eq!(lines[5], "http://b/sn/  does not answer: no");
        assert_eq!(lines[6], "http://c/  ready");
        assert_eq!(lines[7], "  feeds 2 of 2  delivered 0  open 0  dead 0");
        assert!(!lines.iter().any(|line| line.contains('\x1b')));
    }

    #[test]
    fn however_small_the_terminal_is_a_frame_fits_into_it() {
        for columns in 1..120 {
            for rows in 1..30 {
                let lines = Frame { colours: false }.text(&places(), (columns, rows));
                assert!(lines.len() <= rows, "{columns} x {rows}: {lines:?}");
                assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
            }
        }
        assert!(Frame { colours: true }.text(&places(), (80, 24))[0].contains("\x1b[1;31m"));
    }
}
