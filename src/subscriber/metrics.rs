//! What `/metrics` says: the view as Prometheus reads it. Counters count from this process' start. Labels are the
//! subscriber's name and its feeds, so nothing that comes makes a series.

use sparkngin_core::exposition::{Exposition, Kind};

use crate::latency::Shown;
use crate::view::{FeedView, View};

impl View {
    /// Prometheus' text.
    pub fn metrics(&self) -> String {
        let mut out = Exposition::default();
        self.feed_metrics(&mut out);
        self.own_metrics(&mut out);
        let families = [
            (
                "sparkngin_delivery_seconds",
                "From nginx's receipt of an event to Kafka's acknowledgement.",
            ),
            (
                "sparkngin_delivery_recent_seconds",
                "The same, of the last minute: how long a share of its events took at most.",
            ),
        ];
        latency(&mut out, ("subscriber", &self.name), families, &self.latency.shown());
        out.finish()
    }

    fn feed_metrics(&self, out: &mut Exposition) {
        type Number = fn(&FeedView) -> u64;
        let families: [(&'static str, Kind, &str, Number); 12] = [
            ("sparkngin_feed_up", Kind::Gauge, "Whether the feed's session is open.", |f| {
                f.in_session.into()
            }),
            ("sparkngin_feed_sessions_total", Kind::Counter, "Sessions opened.", |f| f.sessions),
            (
                "sparkngin_feed_taken_events_total",
                Kind::Counter,
                "Events taken from the feed, but for heartbeats.",
                |f| f.totals.taken,
            ),
            (
                "sparkngin_feed_delivered_events_total",
                Kind::Counter,
                "Events Kafka reported, but for heartbeats.",
                |f| f.totals.delivered,
            ),
            (
                "sparkngin_feed_taken_heartbeats_total",
                Kind::Counter,
                "Heartbeats taken from the feed.",
                |f| f.totals.taken_heartbeats,
            ),
            (
                "sparkngin_feed_delivered_heartbeats_total",
                Kind::Counter,
                "Heartbeats Kafka reported.",
                |f| f.totals.delivered_heartbeats,
            ),
            (
                "sparkngin_feed_dead_lettered_events_total",
                Kind::Counter,
                "Events in the dead letter.",
                |f| f.totals.dead,
            ),
            (
                "sparkngin_feed_lost_events_total",
                Kind::Counter,
                "Events overwritten unread.",
                |f| f.totals.lost,
            ),
            (
                "sparkngin_feed_uncertain_events_total",
                Kind::Counter,
                "Events perhaps lost with the power.",
                |f| f.totals.uncertain,
            ),
            (
                "sparkngin_feed_repeated_events_total",
                Kind::Counter,
                "Events taken twice: duplicates with equal sg.",
                |f| f.totals.repeated,
            ),
            (
                "sparkngin_feed_known_events_total",
                Kind::Counter,
                "Events that the cursors in Kafka had already.",
                |f| f.totals.known,
            ),
            (
                "sparkngin_feed_window_bytes",
                Kind::Gauge,
                "Bytes taken and not acknowledged.",
                |f| f.in_flight,
            ),
        ];
        for (name, kind, help, number) in families {
            out.family(name, kind, help);
            for feed in &self.feeds {
                let labels = [("subscriber", self.name.as_str()), ("feed", &feed.endpoint)];
                out.row(&labels, number(feed));
            }
        }
    }

    fn own_metrics(&self, out: &mut Exposition) {
        let condition = &self.condition;
        let kafka = self.kafka_unready().is_none();
        let families = [
            (
                "sparkngin_ready",
                Kind::Gauge,
                "Whether events get through.",
                self.unready().is_none().into(),
            ),
            (
                "sparkngin_kafka_up",
                Kind::Gauge,
                "Whether Kafka takes events, as far as is known.",
                kafka.into(),
            ),
            (
                "sparkngin_open_events",
                Kind::Gauge,
                "Events taken whose fate is open.",
                self.open as u64,
            ),
            (
                "sparkngin_topic_waiting_events",
                Kind::Gauge,
                "Events that wait for their topic.",
                condition.waiting as u64,
            ),
            (
                "sparkngin_kafka_unreported_events",
                Kind::Gauge,
                "Events given to Kafka that it has not reported.",
                condition.out as u64,
            ),
            (
                "sparkngin_kafka_sent_again_events_total",
                Kind::Counter,
                "Events sent twice: some may be duplicates with equal sg.",
                condition.sent_again,
            ),
            (
                "sparkngin_kafka_producers_renewed_total",
                Kind::Counter,
                "Kafka clients made because one failed.",
                condition.renewed,
            ),
        ];
        for (name, kind, help, value) in families {
            out.family(name, kind, help).row(&[("subscriber", &self.name)], value);
        }
    }
}

/// A histogram since the start, and a summary of the last minute; of each its name and what it is.
pub fn latency(
    out: &mut Exposition,
    own: (&str, &str),
    [all, recent]: [(&'static str, &str); 2],
    shown: &Shown,
) {
    out.family(all.0, Kind::Histogram, all.1).histogram(own, &shown.all);
    out.family(recent.0, Kind::Summary, recent.1);
    for (share, at) in &shown.shares {
        out.row(&[own, ("quantile", &share.to_string())], at);
    }
    let (count, sum) = shown.recent;
    out.part("_sum", &[own], sum).part("_count", &[own], count);
}

#[cfg(test)]
mod tests {
    use crate::view::tests::view;

    #[test]
    fn metrics_are_prometheus_text_with_the_books_per_feed() {
        let mut view = view();
        view.latency.count(3_000_000);
        let text = view.metrics();
        let delivered =
            "sparkngin_feed_delivered_events_total{subscriber=\"kafka\",feed=\"ipc://a\\\"b\"} 3\n";
        assert!(text.contains(delivered), "{text}");
        let bucket = "sparkngin_delivery_seconds_bucket{subscriber=\"kafka\",le=\"0.005\"} 1\n";
        assert!(text.contains(bucket), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("sparkngin_") && name.ends_with('}'), "{line}");
            value.parse::<f64>().unwrap();
        }
    }
}
