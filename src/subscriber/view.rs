//! What the loop lets others see of it: a value, copied now and then.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sparkngin_core::id::{Region, Seq, Stream};

use crate::flight::Totals;
use crate::sink::Condition;

/// A loop that did not turn for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// One feed.
#[derive(Clone, Debug, Default)]
pub struct FeedView {
    /// Its endpoint.
    pub endpoint: String,
    /// A session is open.
    pub in_session: bool,
    /// Why not, if that is known.
    pub why_not: Option<String>,
    /// Bytes of the window in use.
    pub in_flight: u64,
    /// What was counted.
    pub totals: Totals,
    /// Sessions opened.
    pub sessions: u64,
    /// Each stream: all up to the first seq has a fate, all up to the second was taken.
    pub streams: Vec<(Region, Stream, Seq, Seq)>,
}

impl FeedView {
    /// A feed of which nothing is known yet.
    pub fn closed(endpoint: &str) -> FeedView {
        FeedView { endpoint: endpoint.to_owned(), ..FeedView::default() }
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct View {
    /// When the loop last turned.
    pub turned: Instant,
    /// The subscriber's name.
    pub name: String,
    /// Its feeds.
    pub feeds: Vec<FeedView>,
    /// Records whose fate is open.
    pub open: usize,
    /// How the sink is.
    pub condition: Condition,
}

/// The view where all threads see it.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<View>>);

impl Board {
    /// Shows this.
    pub fn new(view: View) -> Board {
        Board(Arc::new(Mutex::new(view)))
    }

    /// The view.
    pub fn see(&self) -> MutexGuard<'_, View> {
        // It is written by whole fields: whatever the writer died of, it can be read.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// All feeds together.
    pub fn totals(&self) -> Totals {
        self.feeds.iter().fold(Totals::default(), |sum, feed| sum + feed.totals)
    }

    /// Why events do not get through, if they do not.
    pub fn unready(&self) -> Option<String> {
        let feed = self.feeds.iter().find(|feed| !feed.in_session).map(|feed| {
            let why = feed.why_not.as_deref().unwrap_or("nobody publishes there");
            format!("{}: {why}", feed.endpoint)
        });
        feed.or_else(|| self.condition.unready.clone())
    }

    /// Whether the loop turns.
    pub fn alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.turned) < STUCK
    }

    /// Prometheus' text. Counters count from this process' start.
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        self.feed_metrics(&mut out);
        self.stream_metrics(&mut out);
        self.own_metrics(&mut out);
        out
    }

    fn feed_metrics(&self, out: &mut String) {
        type Number = fn(&FeedView) -> u64;
        let families: [(&str, &str, &str, Number); 10] = [
            ("up", "gauge", "1 if the feed's session is open", |f| f.in_session.into()),
            ("sessions_total", "counter", "sessions opened", |f| f.sessions),
            ("taken_total", "counter", "records taken from the feed", |f| f.totals.taken),
            ("in_kafka_total", "counter", "records Kafka reported", |f| f.totals.delivered),
            ("dead_total", "counter", "records in the dead letter", |f| f.totals.dead),
            ("lost_total", "counter", "events overwritten unread", |f| f.totals.lost),
            ("uncertain_total", "counter", "events perhaps lost with the power", |f| {
                f.totals.uncertain
            }),
            ("repeated_total", "counter", "records taken twice: duplicates with equal sg", |f| {
                f.totals.repeated
            }),
            ("known_total", "counter", "records that the cursors in Kafka had already", |f| {
                f.totals.known
            }),
            ("window_bytes", "gauge", "bytes taken and not acknowledged", |f| f.in_flight),
        ];
        for (name, kind, help, number) in families {
            let row = |feed: &FeedView| (label("feed", &feed.endpoint), number(feed));
            family(out, name, kind, help, self.feeds.iter().map(row));
        }
    }

    fn stream_metrics(&self, out: &mut String) {
        type Number = fn(&(Region, Stream, Seq, Seq)) -> u64;
        let families: [(&str, &str, Number); 2] = [
            ("acked_seq", "the stream's cursor", |row| row.2.0),
            ("taken_seq", "the last seq taken of the stream", |row| row.3.0),
        ];
        for (name, help, number) in families {
            let rows = self.feeds.iter().flat_map(|feed| {
                let feed_label = label("feed", &feed.endpoint);
                feed.streams.iter().map(move |row| {
                    let labels = format!("{feed_label},region=\"{}\",stream=\"{}\"", row.0, row.1);
                    (labels, number(row))
                })
            });
            family(out, name, "gauge", help, rows);
        }
    }

    fn own_metrics(&self, out: &mut String) {
        let (open, waiting) = (self.open as u64, self.condition.waiting as u64);
        let unreported = self.condition.out as u64;
        let (again, renewed) = (self.condition.sent_again, self.condition.renewed);
        let families = [
            ("open_records", "gauge", "records taken whose fate is open", open),
            ("waiting_records", "gauge", "records that wait for their topic", waiting),
            (
                "unreported_records",
                "gauge",
                "records given to Kafka that it has not reported",
                unreported,
            ),
            (
                "sent_again_total",
                "counter",
                "records sent twice: some may be duplicates with equal sg",
                again,
            ),
            (
                "producers_renewed_total",
                "counter",
                "Kafka clients made because one failed",
                renewed,
            ),
            ("ready", "gauge", "1 if events get through", self.unready().is_none().into()),
        ];
        for (name, kind, help, value) in families {
            family(out, name, kind, help, [(label("name", &self.name), value)]);
        }
    }
}

/// Appends one family of numbers. Writing to a String cannot fail.
fn family(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    rows: impl IntoIterator<Item = (String, u64)>,
) {
    let _ = writeln!(out, "# HELP sparkngin_{name} {help}\n# TYPE sparkngin_{name} {kind}");
    for (labels, value) in rows {
        let _ = writeln!(out, "sparkngin_{name}{{{labels}}} {value}");
    }
}

impl std::ops::Add for Totals {
    type Output = Totals;

    fn add(self, other: Totals) -> Totals {
        Totals {
            taken: self.taken + other.taken,
            delivered: self.delivered + other.delivered,
            dead: self.dead + other.dead,
            lost: self.lost + other.lost,
            uncertain: self.uncertain + other.uncertain,
            repeated: self.repeated + other.repeated,
            known: self.known + other.known,
        }
    }
}

fn label(name: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let totals = Totals { taken: 5, delivered: 3, dead: 1, ..Totals::default() };
        let feed = FeedView {
            endpoint: "ipc://a\"b".into(),
            in_session: true,
            totals,
            streams: vec![(Region(1), Stream(2), Seq(4), Seq(5))],
            ..FeedView::default()
        };
        View {
            turned: Instant::now(),
            name: "kafka".into(),
            feeds: vec![feed],
            open: 1,
            condition: Condition::default(),
        }
    }

    #[test]
    fn metrics_are_prometheus_text_with_the_books_per_feed() {
        let text = view().metrics();
        assert!(text.contains("sparkngin_in_kafka_total{feed=\"ipc://a\\\"b\"} 3\n"), "{text}");
        assert!(
            text.contains("region=\"00000000000000000000000000000001\",stream=\"2\"} 4\n"),
            "{text}"
        );
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("sparkngin_") && name.ends_with('}'), "{line}");
            value.parse::<u64>().unwrap();
        }
    }

    #[test]
    fn it_is_ready_only_with_every_session_open_and_a_willing_sink() {
        let mut view = view();
        assert_eq!(view.unready(), None);
        view.condition.unready = Some("Kafka is away".into());
        assert_eq!(view.unready().as_deref(), Some("Kafka is away"));
        view.feeds[0].in_session = false;
        view.feeds[0].why_not = Some("refused".into());
        assert!(view.unready().unwrap().ends_with("refused"));
    }
}
