//! The closed books, for people and for machines.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::books::{Closed, Count, Hour, RingStream};
use super::letters::Found;
use super::topics::Extent;

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The topics that were read.
    pub topics: Vec<Topic>,
    /// The dead letters.
    pub letters: Found,
    /// Each stream.
    pub streams: Vec<Closed>,
    /// Where events are missing: how many topics of Kafka were not to be read.
    pub unnamed: usize,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    name: String,
    partitions: usize,
    /// Some partition does not begin at 0: Kafka has deleted records.
    shortened: bool,
    /// Records read.
    pub records: u64,
    /// Of these, without a header `sg`: none of ours.
    pub foreign: u64,
}

impl Topic {
    /// Nothing was read yet.
    pub fn new(name: &str, extents: &[Extent]) -> Topic {
        let shortened = extents.iter().any(|extent| extent.from > 0);
        let (name, partitions) = (name.to_owned(), extents.len());
        Topic { name, partitions, shortened, records: 0, foreign: 0 }
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Topic { name, partitions, records, .. } = self;
        write!(
            out,
            "topic {name}: {}, {}",
            of(*partitions as u64, "partition"),
            of(*records, "record")
        )?;
        if self.foreign > 0 {
            write!(out, ", {} without \"sg\"", self.foreign)?;
        }
        if self.shortened {
            write!(out, ", older ones were deleted by Kafka")?;
        }
        writeln!(out)
    }

    fn json(&self) -> Value {
        let Topic { name, partitions, shortened, records, foreign } = self;
        json!({"topic": name, "partitions": partitions, "shortened": shortened, "records": records, "foreign": foreign})
    }
}

impl Report {
    /// How many events nothing explains.
    pub fn missing(&self) -> u64 {
        self.sum(|stream| stream.count.missing)
    }

    fn sum(&self, number: fn(&Closed) -> u64) -> u64 {
        self.streams.iter().fold(0, |sum: u64, stream| sum.saturating_add(number(stream)))
    }

    /// Why the books do not balance, if they do not.
    pub fn verdict(&self, exactly_once: bool) -> Option<String> {
        let mut faults = Vec::new();
        let mut fault = |count: u64, what: &str| {
            if count > 0 {
                faults.push(format!("{} {what}", of(count, "event")));
            }
        };
        fault(self.missing(), "missing");
        fault(self.sum(|s| s.out_of_order), "out of order");
        fault(self.sum(|s| s.ring_short), "fewer than the ring counts as delivered");
        let duplicates = self.sum(|s| s.duplicates);
        if exactly_once && duplicates > 0 {
            faults.push(of(duplicates, "duplicate"));
        }
        (!faults.is_empty()).then(|| format!("unexplained: {}", faults.join(", ")))
    }

    /// A line for each topic, the dead letter, and each stream; then what is unexplained.
    ///
    /// # Errors
    /// What the system says.
    pub fn text(&self, out: &mut impl Write) -> io::Result<()> {
        for topic in &self.topics {
            topic.text(out)?;
        }
        let Found { events, holes } = self.letters;
        writeln!(out, "dead letter: {}, {} told of", of(events, "event"), of(holes, "hole"))?;
        for stream in &self.streams {
            stream_text(stream, out)?;
        }
        let in_kafka = self.sum(|stream| stream.count.in_kafka);
        let balanced = if self.verdict(false).is_none() { ", nothing is unexplained" } else { "" };
        let streams = of(self.streams.len() as u64, "stream");
        writeln!(out, "{streams}, {} in Kafka{balanced}", of(in_kafka, "event"))?;
        if self.unnamed > 0 {
            let others = of(self.unnamed as u64, "other topic");
            writeln!(
                out,
                "Kafka has {others}: events whose topics were not named with --topic are counted as missing"
            )?;
        }
        Ok(())
    }

    /// One JSON object.
    ///
    /// # Errors
    /// What the system says.
    pub fn json(&self, out: &mut impl Write, exactly_once: bool) -> io::Result<()> {
        let Found { events, holes } = self.letters;
        let all = json!({
            "topics": self.topics.iter().map(Topic::json).collect::<Vec<_>>(),
            "dead_letter": {"events": events, "holes": holes},
            "streams": self.streams.iter().map(stream_json).collect::<Vec<_>>(),
            "other_topics": self.unnamed,
            "unexplained": self.verdict(exactly_once),
        });
        serde_json::to_writer(&mut *out, &all)?;
        writeln!(out)
    }
}

fn stream_text(stream: &Closed, out: &mut impl Write) -> io::Result<()> {
    let ((region, number), (from, to), count) = (stream.key, stream.range, stream.count);
    write!(out, "{region}-{number}: {from} to {to}: {} in Kafka", count.in_kafka)?;
    let explained = [
        (count.dead, "dead"),
        (count.lost, "lost"),
        (count.uncertain, "uncertain"),
        (count.freed, "never held"),
        (count.in_ring, "in the ring"),
        (count.expired, "expired"),
        (count.missing, "MISSING"),
    ];
    for (events, what) in explained.into_iter().filter(|(events, _)| *events > 0) {
        write!(out, " + {events} {what}")?;
    }
    if stream.duplicates > 0 {
        write!(out, "; {}", of(stream.duplicates, "duplicate"))?;
    }
    if !stream.missing.is_empty() {
        write!(out, "; missing: {}", ranges_text(&stream.missing))?;
    }
    if !stream.late.is_empty() {
        write!(out, "; {} OUT OF ORDER: {}", stream.out_of_order, ranges_text(&stream.late))?;
    }
    if stream.ring_short > 0 {
        write!(out, "; the ring counts {} MORE as delivered", stream.ring_short)?;
    }
    writeln!(out)
}

fn stream_json(stream: &Closed) -> Value {
    let mut object = count_json(stream.count);
    let mut set = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    set("region", json!(stream.key.0.to_string()));
    set("stream", json!(stream.key.1.0));
    set("first", json!(stream.range.0));
    set("last", json!(stream.range.1));
    set("duplicates", json!(stream.duplicates));
    set("out_of_order", json!(stream.out_of_order));
    set("unexplained", json!(stream.unexplained()));
    set("missing_ranges", json!(stream.missing));
    set("out_of_order_ranges", json!(stream.late));
    set("hours", stream.hours.iter().map(|(hour, of)| hour_json(*hour, of)).collect());
    if let Some(ring) = &stream.ring {
        set("ring_short", json!(stream.ring_short));
        set("ring", ring_json(ring));
    }
    Value::Object(object)
}

fn hour_json(hour: u64, of: &Hour) -> Value {
    let mut object = count_json(of.count);
    let mut set = |name: &str, value: u64| drop(object.insert(name.to_owned(), json!(value)));
    set("hour", hour);
    set("first", of.first);
    set("last", of.last);
    set("duplicates", of.duplicates);
    Value::Object(object)
}

fn count_json(count: Count) -> Map<String, Value> {
    let Count { in_kafka, dead, lost, uncertain, freed, in_ring, expired, missing } = count;
    let rows = [
        ("in_kafka", in_kafka),
        ("dead", dead),
        ("lost", lost),
        ("uncertain", uncertain),
        ("freed", freed),
        ("in_ring", in_ring),
        ("expired", expired),
        ("missing", missing),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn ring_json(ring: &RingStream) -> Value {
    let RingStream { start, acked, last, delivered, lost, dead, uncertain, .. } = ring;
    json!({"start": start, "acked": acked, "last": last, "delivered": delivered, "lost": lost,
        "dead": dead, "uncertain": uncertain})
}

/// The first ten.
fn ranges_text(ranges: &[(u64, u64)]) -> String {
    let one = |(from, to): &(u64, u64)| match from == to {
        true => from.to_string(),
        false => format!("{from} to {to}"),
    };
    let shown: Vec<String> = ranges.iter().take(10).map(one).collect();
    let more = if ranges.len() > 10 { ", ..." } else { "" };
    shown.join(", ") + more
}

/// `1 event`, `2 events`.
fn of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
