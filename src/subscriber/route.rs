//! A record -> its topic, key, partition, time and value. Pure: the same record gives the same answer in any process.
//!
//! The partition is a function of the record and the number of partitions alone, so what is sent again after a crash
//! comes to the same partition, where a consumer can see the repeated `sg`.

use std::borrow::Cow;

use sparkngin_core::event::Event;
use sparkngin_core::field::FieldName;
use sparkngin_core::format::Rendering;
use sparkngin_core::format::binary::{self, Malformed};
use sparkngin_core::id::{EventId, Seq};
use sparkngin_core::record::{Record, Seed};

/// Records of one stream without a key stay together for so many seqs: batches fill, partitions still share the load.
const RUN: u64 = 1024;
/// How far a submitted time may lie before its receipt, ms: what is older Kafka may delete at once, or refuse.
const OLDEST: u64 = 7 * 24 * 3600 * 1000;
/// And how far behind it, ms.
const NEWEST: u64 = 3600 * 1000;

/// Which time a Kafka record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// When nginx received the event.
    Received,
    /// When the client says it happened, kept near the receipt.
    Submitted,
}

/// What records become.
#[derive(Clone, Debug)]
pub struct Route {
    /// The value.
    pub rendering: Rendering,
    /// The field that is the key; None: no record has one.
    pub key: Option<FieldName>,
    /// The time.
    pub stamp: Stamp,
}

/// A record that can be sent, but for the number of partitions.
#[derive(Debug)]
pub struct Routed<'a> {
    event: Event<'a>,
    id: EventId,
    received: u64,
}

impl Route {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Malformed`], when its bytes are no event.
    pub fn read<'a>(&self, id: EventId, record: &Record<'a>) -> Result<Routed<'a>, Malformed> {
        let event = binary::decode(record.bytes)?;
        Ok(Routed { event, id, received: record.received })
    }

    /// The key, if this event has one.
    pub fn key<'r>(&self, routed: &'r Routed<'_>) -> Option<Cow<'r, [u8]>> {
        let value = routed.event.get(self.key.as_ref()?)?;
        Some(value.bytes())
    }

    /// The time of the Kafka record, ms since 1970.
    pub fn timestamp(&self, routed: &Routed<'_>) -> i64 {
        let received = routed.received / 1_000_000;
        let ms = match (self.stamp, routed.event.submitted()) {
            (Stamp::Submitted, Some(at)) => {
                at.0.clamp(received.saturating_sub(OLDEST), received + NEWEST)
            }
            _ => received,
        };
        i64::try_from(ms).unwrap_or(i64::MAX)
    }

    /// Appends the value: of a CloudEvent its data alone, as the Kafka binding has it, whose attributes are headers.
    pub fn value(&self, routed: &Routed<'_>, out: &mut Vec<u8>) {
        if routed.event.is_cloud() {
            out.extend_from_slice(routed.event.data().map_or(&[], |(_, data)| data));
            return;
        }
        self.rendering.render(&routed.event, routed.id, out);
    }
}

impl Routed<'_> {
    /// The Kafka headers that the event brings along.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        // A header that was read back has a name that is a text.
        let text = |name| std::str::from_utf8(name).unwrap_or_default();
        self.event.headers().map(move |(name, value)| (text(name), value))
    }

    /// The topic that the event names.
    pub fn topic(&self) -> &str {
        // A stored event's topic is a legal one, and those are ASCII.
        std::str::from_utf8(self.event.topic()).unwrap_or_default()
    }
}

/// The partition: with a key the one the Java client takes, without one by stream and seq.
pub fn partition(key: Option<&[u8]>, seed: Seed, seq: Seq, partitions: i32) -> i32 {
    let n = u64::from(partitions.max(1).unsigned_abs());
    let number = match key {
        Some(key) => u64::from(murmur2(key) & 0x7fff_ffff),
        None => u64::from(seed.value()) + seq.0 / RUN,
    };
    (number % n) as i32
}

/// Kafka's own hash of keys: murmur2 with the Java client's seed.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use sparkngin_core::event::{Intake, Request};
    use sparkngin_core::field::HeaderFields;
    use sparkngin_core::format::{Delimiter, Fields, Format};
    use sparkngin_core::id::{Region, Stream};

    /// An event as it lies in the ring.
    pub fn stored(query: &str, received: u64) -> Vec<u8> {
        let keep = HeaderFields::default();
        let request =
            Request { query: query.as_bytes(), peer: b"127.0.0.1", received, ..Request::default() };
        let intake = Intake { topic: None, keep: &keep, max_event: 1 << 20, ..Intake::default() };
        let mut out = Vec::new();
        binary::encode(&Event::read(&request, &intake).unwrap(), &mut out);
        out
    }

    /// All fields as JSON.
    pub fn json() -> Route {
        let rendering = Rendering {
            format: Format::Json,
            delimiter: Delimiter::default(),
            fields: Fields::All,
        };
        Route { rendering, key: None, stamp: Stamp::Received }
    }

    fn routed<T>(
        route: &Route,
        query: &str,
        received: u64,
        see: impl FnOnce(&Routed<'_>) -> T,
    ) -> T {
        let bytes = stored(query, received);
        let id = EventId { region: Region(1), stream: Stream(2), seq: Seq(3) };
        let record = Record { seq: Seq(3), received, bytes: &bytes };
        see(&route.read(id, &record).unwrap())
    }

    #[test]
    fn a_keys_partition_is_the_java_clients() {
        // What org.apache.kafka.common.utils.Utils.murmur2 gives for these.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn without_a_key_a_streams_run_stays_together_and_runs_go_round_all_partitions() {
        let seed = Seed::new(Region(7), Stream(1));
        let at = |seq| partition(None, seed, Seq(seq), 4);
        assert_eq!(at(1024), at(2047));
        let mut seen: Vec<i32> = (0..4).map(|run| at(run * 1024)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
        assert_eq!(at(5000), (((u64::from(seed.value())) + 5000 / 1024) % 4) as i32);
    }

    #[test]
    fn the_partition_depends_on_nothing_but_key_or_id_and_count() {
        let seed = |stream| Seed::new(Region(7), Stream(stream));
        let keyed = partition(Some(b"user-1"), seed(1), Seq(1), 12);
        assert_eq!(keyed, partition(Some(b"user-1"), seed(2), Seq(99_999), 12));
        assert_eq!(keyed, (murmur2(b"user-1") & 0x7fff_ffff) as i32 % 12);
    }

    #[test]
    fn topic_key_and_value_come_from_the_event() {
        let mut route = json();
        route.key = Some(FieldName::parse(b"user").unwrap());
        routed(&route, "topic=clicks&user=u%201&data=hi", 5_000_000, |r| {
            assert_eq!(r.topic(), "clicks");
            assert_eq!(route.key(r).as_deref(), Some(&b"u 1"[..]));
            let mut value = Vec::new();
            route.value(r, &mut value);
            let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!((value["data"].as_str(), value["user"].as_str()), (Some("hi"), Some("u 1")));
        });
        routed(&route, "topic=clicks", 5_000_000, |r| assert_eq!(route.key(r), None));
    }

    #[test]
    fn a_submitted_time_stays_within_a_week_before_and_an_hour_after_receipt() {
        let received = 1_700_000_000_000_u64;
        let mut route = json();
        route.stamp = Stamp::Submitted;
        let at = |ms: u64| {
            let query = format!("topic=t&timestamp={ms}");
            routed(&route, &query, received * 1_000_000, |r| route.timestamp(r))
        };
        let week = 7 * 24 * 3_600_000;
        assert_eq!(at(received - 5), received as i64 - 5);
        assert_eq!(at(received - week - 1), (received - week) as i64);
        assert_eq!(at(received + 3_600_001), received as i64 + 3_600_000);
        route.stamp = Stamp::Received;
        let query = format!("topic=t&timestamp={}", received - 5);
        let stamp = routed(&route, &query, received * 1_000_000, |r| route.timestamp(r));
        assert_eq!(stamp, received as i64);
    }
}
