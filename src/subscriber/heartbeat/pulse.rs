//! What is known of the beats: a colour, since when and why, and how long they took. Shown as pages and metrics, and told
//! to webhooks.

use std::time::{Duration, Instant};

use serde_json::json;
use sparkngin_core::exposition::{Exposition, Kind};

use crate::http::{AWAY, Pages};
use crate::latency::Latency;
use crate::metrics::latency;
use crate::report::clock;
use crate::view::Board;

/// A loop that is so much later than a beat may be is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Why a beat is red: a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Red {
    /// nginx did not take it.
    #[error("{0}")]
    Refused(String),
    /// It did not come out in time.
    #[error("{0}")]
    Missing(String),
    /// It was not sent, for nobody could have read it.
    #[error("Kafka does not answer: {0}")]
    Kafka(String),
}

/// The words for what became of beats, in the order in which they are counted.
const RESULTS: [&str; 4] = ["green", "refused", "missing", "kafka_away"];

/// All that is known.
#[derive(Clone, Debug)]
pub struct Pulse {
    url: String,
    topic: String,
    /// Whether the last beat was green, once there was one.
    green: Option<bool>,
    why: Option<String>,
    /// When the colour changed last, and when a beat was green, ns since 1970.
    since: u64,
    last_green: u64,
    took: Option<Duration>,
    results: [u64; RESULTS.len()],
    latency: Latency,
    /// Until when the next beat must have ended.
    due: Instant,
    patience: Duration,
}

impl Pulse {
    /// No beat yet. `patience` is how long one may take, and the time to the next.
    pub fn new(url: String, topic: String, patience: Duration) -> Pulse {
        let (now, patience) = (Instant::now(), 2 * patience + STUCK);
        Pulse {
            url,
            topic,
            green: None,
            why: None,
            since: clock(),
            last_green: 0,
            took: None,
            results: [0; RESULTS.len()],
            latency: Latency::new(now),
            due: now + patience,
            patience,
        }
    }

    /// Counts a beat; whether the colour, or the reason for red, is another one now.
    pub fn note(&mut self, beat: Result<Duration, Red>) -> bool {
        let now = Instant::now();
        let result = match &beat {
            Ok(_) => 0,
            Err(Red::Refused(_)) => 1,
            Err(Red::Missing(_)) => 2,
            Err(Red::Kafka(_)) => 3,
        };
        self.results[result] += 1;
        self.due = now + self.patience;
        self.latency.turn(now);
        let before = (self.green, self.why.take());
        if let Ok(took) = beat {
            self.latency.count(took.as_nanos() as u64);
            (self.took, self.last_green) = (Some(took), clock());
        }
        self.green = Some(beat.is_ok());
        self.why = beat.err().map(|red| red.to_string());
        if self.green != before.0 {
            self.since = clock();
        }
        (self.green, &self.why) != (before.0, &before.1)
    }

    /// Why it is not green, if it is not.
    pub fn why(&self) -> Option<&str> {
        match self.green {
            Some(true) => None,
            Some(false) => self.why.as_deref(),
            None => Some("no beat has ended yet"),
        }
    }

    fn alive(&self) -> bool {
        Instant::now() < self.due
    }

    /// What a webhook is told, as JSON; and what it was told before.
    pub fn message(&self, before: Option<bool>) -> String {
        let word = |green| if green { "green" } else { "red" };
        let object = json!({
            "source": "sparkngin heartbeat",
            "colour": word(self.why().is_none()),
            "before": before.map(word),
            "reason": self.why(),
            "since_ms": self.since / 1_000_000,
            "latency_seconds": self.took.map(|took| took.as_secs_f64()),
            "url": self.url,
            "topic": self.topic,
        });
        object.to_string()
    }

    fn metrics(&self) -> String {
        let mut out = Exposition::default();
        let own = ("url", self.url.as_str());
        let up = self.why().is_none() && self.alive();
        let help = "Whether the last beat came from nginx into Kafka in time.";
        out.family("sparkngin_heartbeat_up", Kind::Gauge, help).row(&[own], u8::from(up));
        let help = "Beats, by what became of them.";
        out.family("sparkngin_heartbeat_beats_total", Kind::Counter, help);
        for (word, count) in RESULTS.iter().zip(self.results) {
            out.row(&[own, ("result", word)], count);
        }
        let help = "When a beat was green last; 0 if none was.";
        out.family("sparkngin_heartbeat_last_green_timestamp_seconds", Kind::Gauge, help)
            .row(&[own], self.last_green as f64 / 1e9);
        let families = [
            ("sparkngin_heartbeat_seconds", "From the sending of a beat to its sight in Kafka."),
            (
                "sparkngin_heartbeat_recent_seconds",
                "The same, of the last minute: how long a share of the beats took at most.",
            ),
        ];
        let mut shown = self.latency.clone();
        shown.turn(Instant::now());
        latency(&mut out, own, families, &shown.shown());
        out.finish()
    }
}

impl Pages for Board<Pulse> {
    fn page(&self, path: &str) -> Option<(&'static str, String)> {
        let pulse = self.see().clone();
        Some(match path {
            "/healthz" | "/readyz" if !pulse.alive() => (AWAY, "the loop is stuck\n".to_owned()),
            "/healthz" => ("200 OK", "ok\n".to_owned()),
            "/readyz" => match pulse.why() {
                None => ("200 OK", "green\n".to_owned()),
                Some(why) => (AWAY, format!("red: {why}\n")),
            },
            "/metrics" => ("200 OK", pulse.metrics()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> Pulse {
        Pulse::new("http://a/".into(), "t".into(), Duration::from_secs(1))
    }

    #[test]
    fn a_change_is_told_once_and_another_reason_is_one() {
        let mut pulse = pulse();
        assert!(pulse.why().is_some(), "before the first beat nobody knows that it is green");
        assert!(pulse.note(Ok(Duration::from_millis(7))));
        assert!(!pulse.note(Ok(Duration::from_millis(8))));
        assert!(pulse.note(Err(Red::Kafka("no".into()))));
        assert!(!pulse.note(Err(Red::Kafka("no".into()))));
        assert!(pulse.note(Err(Red::Missing("late".into()))));
        assert_eq!(pulse.why(), Some("late"));
        let told: serde_json::Value = serde_json::from_str(&pulse.message(Some(true))).unwrap();
        assert_eq!((&told["colour"], &told["before"]), (&json!("red"), &json!("green")));
        assert_eq!(told["latency_seconds"], json!(0.008));
    }

    #[test]
    fn who_does_not_beat_any_more_is_not_green() {
        let mut pulse = pulse();
        pulse.note(Ok(Duration::from_millis(7)));
        assert!(pulse.metrics().contains("sparkngin_heartbeat_up{url=\"http://a/\"} 1\n"));
        pulse.due = Instant::now();
        assert!(pulse.metrics().contains("sparkngin_heartbeat_up{url=\"http://a/\"} 0\n"));
        assert_eq!(Board::new(pulse).page("/readyz").unwrap().0, AWAY);
    }
}
