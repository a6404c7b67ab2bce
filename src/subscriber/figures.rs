//! What `/status` of an nginx, and the pages of a subscriber, say: read once, for all who show it elsewhere.

use std::time::Duration;

use serde_json::Value;

use crate::ask::Url;

/// What answers is something else.
const STRANGER: &str = "what answers is not Sparkngin, or another version";

/// What to say of something else, and where it was asked at a page in place of the location, what was meant.
fn stranger(url: &Url) -> String {
    match url.location() {
        Some(location) => format!("{STRANGER}: give the location, as {location}"),
        None => STRANGER.to_owned(),
    }
}

/// What an nginx says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nginx {
    /// What is wrong now, in sentences, the worst first.
    pub wrong: Vec<String>,
    /// Events stored a second, over the last minute.
    pub rate: Option<f64>,
    /// Events refused in the last ten minutes.
    pub refused: u64,
    /// Events lost in the last ten minutes.
    pub lost: u64,
    /// The ring's file, and how many events were stored in it, but for heartbeats.
    pub committed: Option<(String, u64)>,
    /// The ring's blocks, and how many of them hold events.
    pub blocks: Option<(u64, u64)>,
    /// For how long the ring has room.
    pub lasts: Option<Duration>,
    /// Somebody publishes.
    pub published: bool,
    /// Those that hold events.
    pub subscribers: Vec<Held>,
}

/// A subscriber, as nginx sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// It has a session.
    pub connected: bool,
    /// Events that it has not acknowledged.
    pub lag: u64,
    /// For how long the oldest of them has been waiting.
    pub behind: Duration,
    /// Events that it has acknowledged, but for heartbeats.
    pub delivered: u64,
    /// Seconds that half of the last minute's events took at most, and 99 % of them; None without events.
    pub took: Option<(f64, f64)>,
}

impl Nginx {
    /// Asks one.
    ///
    /// # Errors
    /// Why nothing is known of it.
    pub fn ask(url: &Url, patience: Duration) -> Result<Nginx, String> {
        let answer = url.get("status", patience);
        let answer = answer.map_err(|error| format!("does not answer: {error}"))?;
        match answer.status {
            403 => Err("may not be asked from here".to_owned()),
            _ => serde_json::from_str(&answer.body)
                .ok()
                .and_then(|status| Nginx::read(&status))
                .ok_or_else(|| stranger(url)),
        }
    }

    /// Reads a `/status`. None where a figure is missing.
    pub fn read(status: &Value) -> Option<Nginx> {
        let wrong = status["wrong"].as_array()?.iter().map(|text| Some(text.as_str()?.to_owned()));
        let recent = &status["recent"];
        let blocks = match status["ring"]["blocks"].as_object() {
            None => None,
            Some(blocks) => {
                let (total, free) = (blocks["total"].as_u64()?, blocks["free"].as_u64()?);
                Some((total, total.checked_sub(free)?))
            }
        };
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let ring = &status["ring"];
        // An older nginx does not tell them apart.
        let heartbeats = number(&ring["heartbeats"]);
        let traffic = ring["committed"].as_u64().map(|all| all.saturating_sub(heartbeats));
        let committed = ring["region"].as_str().map(str::to_owned).zip(traffic);
        let ms = |value: &Value| Some(value.as_f64()? / 1000.0);
        let held = |held: &Value| {
            Some(Held {
                name: held["name"].as_str()?.to_owned(),
                connected: held["connected"].as_bool().unwrap_or(false),
                lag: held["lag"].as_u64()?,
                behind: Duration::from_millis(number(&held["lag_ms"])),
                delivered: number(&held["in_kafka"]).saturating_sub(number(&held["heartbeats"])),
                took: ms(&held["took"]["p50_ms"]).zip(ms(&held["took"]["p99_ms"])),
            })
        };
        Some(Nginx {
            wrong: wrong.collect::<Option<_>>()?,
            rate: recent["taken_per_second"].as_f64(),
            refused: recent["refused"].as_u64()?,
            lost: recent["lost"].as_u64()?,
            committed,
            blocks,
            lasts: recent["lasts_ms"].as_u64().map(Duration::from_millis),
            published: status["publisher"]["present"].as_bool().unwrap_or(false),
            subscribers: status["subscribers"]
                .as_array()?
                .iter()
                .map(held)
                .collect::<Option<_>>()?,
        })
    }

    /// How full the ring is, %.
    pub fn percent(&self) -> Option<f64> {
        self.blocks.map(|(total, used)| used as f64 * 100.0 / total.max(1) as f64)
    }
}

/// What a subscriber says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscriber {
    /// Why events do not get through, if they do not.
    pub unready: Option<String>,
    /// Its feeds, and how many of them have a session.
    pub feeds: (u64, u64),
    /// Events that Kafka reported since it began.
    pub delivered: u64,
    /// Events in the dead letter since then.
    pub dead: u64,
    /// Events taken whose fate is open.
    pub open: u64,
    /// Seconds that half of the last minute's events took at most, and 99 % of them; None without events.
    pub took: Option<(f64, f64)>,
}

impl Subscriber {
    /// Asks one.
    ///
    /// # Errors
    /// Why nothing is known of it.
    pub fn ask(url: &Url, patience: Duration) -> Result<Subscriber, String> {
        let get =
            |name| url.get(name, patience).map_err(|error| format!("does not answer: {error}"));
        let (ready, metrics) = (get("readyz")?, get("metrics")?);
        let unready = match ready.status {
            200 => None,
            503 => Some(ready.body.trim().to_owned()),
            _ => return Err(STRANGER.to_owned()),
        };
        let seen = Subscriber::read(&metrics.body).ok_or_else(|| STRANGER.to_owned())?;
        Ok(Subscriber { unready, ..seen })
    }

    /// Reads its metrics. None where one is missing.
    fn read(metrics: &str) -> Option<Subscriber> {
        let sum = |name: &str| {
            let values = rows(metrics, name, "");
            (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
        };
        let up = rows(metrics, "sparkngin_feed_up", "");
        let share = |share| share_of_last_minute(metrics, share);
        let (half, most) = (share("0.5")?, share("0.99")?);
        Some(Subscriber {
            unready: None,
            feeds: (up.len() as u64, up.iter().filter(|up| **up > 0.0).count() as u64),
            delivered: sum("sparkngin_feed_delivered_events_total")?,
            dead: sum("sparkngin_feed_dead_lettered_events_total")?,
            open: sum("sparkngin_open_events")?,
            took: (!half.is_nan() && !most.is_nan()).then_some((half, most)),
        })
    }
}

/// The seconds that this share of a subscriber's last minute took at most; NaN without events.
pub fn share_of_last_minute(metrics: &str, share: &str) -> Option<f64> {
    let label = format!("quantile=\"{share}\"");
    rows(metrics, "sparkngin_delivery_recent_seconds", &label).first().copied()
}

/// The values of a family's rows that have this among their labels.
fn rows(metrics: &str, name: &str, label: &str) -> Vec<f64> {
    let row = |line: &str| {
        let labels = line.strip_prefix(name).filter(|rest| rest.starts_with('{'))?;
        labels.contains(label).then(|| labels.rsplit_once(' ')?.1.parse().ok()).flatten()
    };
    metrics.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_read_and_one_without_a_figure_is_none() {
        let mut status = json!({
            "wrong": ["Nobody publishes."],
            "recent": { "taken_per_second": 12.34, "refused": 1, "lost": 2, "lasts_ms": null },
            "ring": { "blocks": { "total": 64, "free": 48 } },
            "publisher": { "present": true },
            "subscribers": [{ "name": "kafka", "connected": true, "lag": 3, "lag_ms": 1300, "in_kafka": 9, "heartbeats": 2,
                "took": { "events": 3, "p50_ms": 4.0, "p99_ms": 1500.0 } }],
        });
        let seen = Nginx::read(&status).unwrap();
        assert_eq!((seen.percent(), seen.rate, seen.lasts), (Some(25.0), Some(12.34), None));
        assert_eq!(seen.subscribers[0].behind, Duration::from_millis(1300));
        assert_eq!(
            (seen.subscribers[0].delivered, seen.subscribers[0].took),
            (7, Some((0.004, 1.5)))
        );
        status["ring"] = Value::Null;
        assert_eq!(Nginx::read(&status).unwrap().blocks, None);
        status["subscribers"][0]["lag"] = Value::Null;
        assert_eq!(Nginx::read(&status), None);
        assert_eq!(Nginx::read(&json!({})), None);
    }

    #[test]
    fn metrics_are_read_as_the_subscriber_writes_them() {
        let mut view = crate::view::tests::view();
        let seen = Subscriber::read(&view.metrics()).unwrap();
        assert_eq!((seen.feeds, seen.delivered, seen.dead, seen.open), ((1, 1), 3, 1, 1));
        assert_eq!(seen.took, None);
        view.latency.count(3_000_000);
        assert_eq!(Subscriber::read(&view.metrics()).unwrap().took, Some((0.003, 0.003)));
        assert_eq!(Subscriber::read("up 1\n"), None);
    }
}
