//! The topic of cursors: its keys, and reading it to its end. docs/protocol.md has its format.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use sparkngin_core::id::Stream;

use crate::access::Access;
use crate::cluster::{code, is_mock, wait_for};
use crate::kafka::Quiet;
use crate::place::Place;
use crate::places::{Cursor, Key};

/// How the topic is made: only the last cursor of each stream is kept, and segments are small enough that old ones
/// really go.
pub const CONFIG: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("max.message.bytes", "20971520"),
];
/// How long Kafka may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// And for all that is in the topic, as long as something comes.
const READING: Duration = Duration::from_secs(60);
/// Between two looks at the topic's end.
const LOOK: Duration = Duration::from_millis(20);

/// Who has a transactional id: whoever began last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// A number that no other process has.
    pub instance: String,
    /// Where it runs, for people.
    pub from: String,
}

impl Owner {
    /// This process.
    pub fn this_process() -> Owner {
        let process = std::process::id();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Owner {
            instance: format!("{:x}-{process}", now.as_nanos()),
            from: format!("process {process}"),
        }
    }
}

/// What the topic has of one transactional id.
#[derive(Debug, Default)]
pub struct Contents {
    /// The cursors.
    pub cursors: Vec<Cursor>,
    /// Who wrote last that the id is its own.
    pub owner: Option<Owner>,
}

/// The key of a stream's cursor.
pub fn key(id: &str, (region, stream): Key) -> String {
    format!("{id}/{region}-{stream}")
}

/// The key of an id's owner.
pub fn owner_key(id: &str) -> String {
    format!("{id}/owner")
}

/// Looks whether the topic keeps cursors. Kafka forgets what lies in one that is not compacted, or that is deleted from as
/// well, after a while; then a subscriber would send again what it has sent. Gives a sentence, if it does not. When Kafka
/// does not say, for want of the right to ask, the topic is taken for a good one.
///
/// # Errors
/// A sentence: Kafka does not answer. It may be called again.
pub fn unfit(access: &Access, topic: &str) -> Result<Option<String>, String> {
    let admin = AdminClient::from_config_and_context(access.common(), Quiet);
    let admin = admin.map_err(|error| error.to_string())?;
    if is_mock(admin.inner()) {
        return Ok(None);
    }
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = wait_for(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
    let described = described.map_err(code).and_then(|mut all| match all.pop() {
        Some(Ok(described)) => Ok(described),
        Some(Err(code)) => Err(code),
        None => Err(RDKafkaErrorCode::Fail),
    });
    match described {
        Ok(described) => {
            let policy = described.get("cleanup.policy").and_then(|entry| entry.value.clone());
            Ok(policy.and_then(|policy| forgets(topic, &policy)))
        }
        Err(
            code @ (RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::UnsupportedVersion),
        ) => {
            tracing::warn!(topic, %code, "Kafka does not say whether the topic of cursors is compacted");
            Ok(None)
        }
        Err(code) => Err(format!("the properties of \"{topic}\": {code}")),
    }
}

/// A sentence, if Kafka forgets cursors in a topic of this `cleanup.policy`.
fn forgets(topic: &str, policy: &str) -> Option<String> {
    (policy != "compact").then(|| {
        format!(
            "--cursors {topic}: this topic has cleanup.policy={policy}, and Kafka would forget cursors in it: \
             it must be \"compact\" alone; set that, or name another topic"
        )
    })
}

/// Reads all that is committed, up to where the topic ends now. Who calls it has the id for itself: no transaction of
/// the id is open.
///
/// # Errors
/// A sentence: Kafka does not answer, or another id's transaction is open in the topic. It may be called again.
pub fn read(access: &Access, topic: &str, id: &str) -> Result<Contents, String> {
    read_within(READING, access, topic, id)
}

fn read_within(
    patience: Duration,
    access: &Access,
    topic: &str,
    id: &str,
) -> Result<Contents, String> {
    let ends = ends(access, topic)?;
    let consumer = consumer(access, true)?;
    let mut assigned = TopicPartitionList::new();
    let mut left = Vec::new();
    for (partition, end) in ends {
        // Up to here nothing is open any more: then the end of what is committed is behind it.
        let (first, stable) = watermarks(&consumer, topic, partition)?;
        if is_open(stable, end) {
            return Err(format!("a transaction of another subscriber is open in \"{topic}\""));
        }
        if first < end {
            let from = assigned.add_partition_offset(topic, partition, Offset::Beginning);
            from.map_err(|error| error.to_string())?;
            left.push(partition);
        }
    }
    consumer.assign(&assigned).map_err(|error| error.to_string())?;
    let mut reading = Reading::default();
    let start = Instant::now();
    while !left.is_empty() {
        match consumer.poll(LOOK) {
            Some(Ok(message)) => reading.take(id, &message),
            Some(Err(KafkaError::PartitionEOF(partition))) => left.retain(|p| *p != partition),
            Some(Err(error)) => tracing::debug!(%error, "reading cursors"),
            None => {}
        }
        if start.elapsed() > patience {
            return Err(format!("\"{topic}\" was not read to its end"));
        }
    }
    Ok(reading.contents())
}

/// Whether a partition that is read up to `stable`, where the first open transaction begins, ends later.
fn is_open(stable: i64, end: i64) -> bool {
    stable < end
}

/// Where each partition ends, open transactions included.
fn ends(access: &Access, topic: &str) -> Result<Vec<(i32, i64)>, String> {
    let consumer = consumer(access, false)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(|e| e.to_string())?;
    let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
    let partitions = found.map_or(0, |topic| topic.partitions().len() as i32);
    if partitions == 0 {
        return Err(format!("topic \"{topic}\" does not exist"));
    }
    (0..partitions).map(|p| Ok((p, watermarks(&consumer, topic, p)?.1))).collect()
}

fn consumer(access: &Access, committed: bool) -> Result<BaseConsumer<Quiet>, String> {
    let config = access.reading(committed);
    BaseConsumer::from_config_and_context(&config, Quiet).map_err(|error| error.to_string())
}

fn watermarks(
    consumer: &BaseConsumer<Quiet>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), String> {
    consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(|error| error.to_string())
}

/// What was read. A key has its partition, unless partitions were added: then the places are merged.
#[derive(Default)]
struct Reading {
    cursors: HashMap<(i32, Key), (Place, String)>,
    /// With the time it was written at.
    owner: Option<(i64, Owner)>,
}

impl Reading {
    fn take(&mut self, id: &str, message: &BorrowedMessage<'_>) {
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        let Some(rest) =
            key.and_then(|key| key.strip_prefix(id)).and_then(|rest| rest.strip_prefix('/'))
        else {
            return;
        };
        if rest == "owner" {
            let time = message.timestamp().to_millis().unwrap_or(0);
            let owner = message.payload().and_then(|text| serde_json::from_slice(text).ok());
            if let Some(owner) = owner.filter(|_| self.owner.as_ref().is_none_or(|o| o.0 <= time)) {
                self.owner = Some((time, owner));
            }
            return;
        }
        let Some(key) = stream(rest) else { return };
        let at = (message.partition(), key);
        match message.payload().map(Place::read) {
            Some(Some(cursor)) => drop(self.cursors.insert(at, cursor)),
            Some(None) => tracing::warn!(key = rest, "a cursor that cannot be read"),
            None => drop(self.cursors.remove(&at)),
        }
    }

    fn contents(self) -> Contents {
        let cursor = |((_, key), (place, feed))| Cursor { key, place, feed };
        let cursors = self.cursors.into_iter().map(cursor).collect();
        Contents { cursors, owner: self.owner.map(|(_, owner)| owner) }
    }
}

fn stream(text: &str) -> Option<Key> {
    let (region, stream) = text.split_once('-')?;
    Some((region.parse().ok()?, Stream(stream.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use sparkngin_core::id::Region;

    use super::*;

    /// A topic of three partitions with the cursors of some streams, all in partition 1.
    fn with_cursors<T>(streams: u16, see: impl FnOnce(&Access) -> T) -> T {
        let kafka = MockCluster::new(1).unwrap();
        kafka.create_topic("cursors", 3, 1).unwrap();
        let servers = kafka.bootstrap_servers();
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        for stream in 0..streams {
            let key = key("id", (Region(7), Stream(stream)));
            let record = BaseRecord::to("cursors").partition(1).key(&key);
            let text = r#"{"v":1,"seq":7,"feed":"f"}"#;
            producer.send(record.payload(text)).map_err(|e| e.0).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        see(&Access::new(&servers, "none", &[], Some("id")).unwrap())
    }

    #[test]
    fn a_partition_ends_where_kafka_says() {
        with_cursors(2, |access| {
            assert_eq!(ends(access, "cursors"), Ok(vec![(0, 0), (1, 2), (2, 0)]));
            let consumer = consumer(access, true).unwrap();
            assert_eq!(watermarks(&consumer, "cursors", 1), Ok((0, 2)));
        });
    }

    #[test]
    fn what_is_read_is_all_there_is_or_an_error() {
        with_cursors(5, |access| {
            assert_eq!(read(access, "cursors", "id").unwrap().cursors.len(), 5);
            let late = read_within(Duration::ZERO, access, "cursors", "id").unwrap_err();
            assert_eq!(late, "\"cursors\" was not read to its end");
        });
    }

    #[test]
    fn a_transaction_is_open_where_what_is_stable_ends_early() {
        assert_eq!(
            [(4, 5), (5, 5), (6, 5)].map(|(stable, end)| is_open(stable, end)),
            [true, false, false]
        );
    }

    #[test]
    fn only_a_topic_that_is_compacted_alone_forgets_no_cursor() {
        assert_eq!(forgets("c", "compact"), None);
        for policy in ["delete", "compact,delete"] {
            let why = forgets("c", policy).unwrap();
            assert!(
                why.starts_with(&format!("--cursors c: this topic has cleanup.policy={policy},"))
            );
        }
    }

    #[test]
    fn a_key_names_the_id_the_region_and_the_stream_and_is_read_back() {
        let at = (Region(0xabc), Stream(7));
        let key = key("sparkngin.kafka", at);
        assert_eq!(key, "sparkngin.kafka/00000000000000000000000000000abc-7");
        assert_eq!(stream(key.strip_prefix("sparkngin.kafka/").unwrap()), Some(at));
        assert_eq!(stream("owner"), None);
        assert_eq!(owner_key("sparkngin.kafka"), "sparkngin.kafka/owner");
    }
}
