//! What the loop lets others see of it: a value, copied now and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::flight::Totals;
use crate::latency::Latency;
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
    /// How long events took.
    pub latency: Latency,
}

/// The view, or whatever else there is to see, where all threads see it.
#[derive(Clone, Debug)]
pub struct Board<T = View>(Arc<Mutex<T>>);

impl<T> Board<T> {
    /// Shows this.
    pub fn new(view: T) -> Board<T> {
        Board(Arc::new(Mutex::new(view)))
    }

    /// The view.
    pub fn see(&self) -> MutexGuard<'_, T> {
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
        feed.or_else(|| self.kafka_unready().map(str::to_owned))
    }

    /// Why Kafka takes nothing, if that is so.
    pub fn kafka_unready(&self) -> Option<&str> {
        self.condition.unready.as_deref()
    }

    /// Whether the loop turns.
    pub fn alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.turned) < STUCK
    }
}

impl std::ops::Add for Totals {
    type Output = Totals;

    fn add(self, other: Totals) -> Totals {
        Totals {
            taken: self.taken + other.taken,
            delivered: self.delivered + other.delivered,
            taken_heartbeats: self.taken_heartbeats + other.taken_heartbeats,
            delivered_heartbeats: self.delivered_heartbeats + other.delivered_heartbeats,
            dead: self.dead + other.dead,
            lost: self.lost + other.lost,
            uncertain: self.uncertain + other.uncertain,
            repeated: self.repeated + other.repeated,
            known: self.known + other.known,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A view with one feed, in session, and an event whose fate is open.
    pub fn view() -> View {
        let totals = Totals {
            taken: 5,
            delivered: 3,
            taken_heartbeats: 2,
            delivered_heartbeats: 2,
            dead: 1,
            ..Totals::default()
        };
        let feed = FeedView {
            endpoint: "ipc://a\"b".into(),
            in_session: true,
            totals,
            ..FeedView::default()
        };
        View {
            turned: Instant::now(),
            name: "kafka".into(),
            feeds: vec![feed],
            open: 1,
            condition: Condition::default(),
            latency: Latency::new(Instant::now()),
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
