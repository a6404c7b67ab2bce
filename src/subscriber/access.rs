//! How to reach Kafka, and how a producer is set: the properties that keep the promise are not the caller's.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use crate::backlog::Batching;

/// The largest message the client lets through; what the broker or the topic allows is theirs to say.
const MESSAGE_BYTES: &str = "20971520";
/// Messages in the producer, at most.
const QUEUE_MESSAGES: &str = "100000";
/// A topic that was listed, and is gone now, fails its messages after this time: they wait here, not in the client.
const PROPAGATION_MS: &str = "5000";
/// Where partitions were added, the producer knows it after this time at the latest.
const METADATA_MS: &str = "60000";
/// One request at a time to each broker. A new producer may have several on their way to a partition; when the first is
/// refused for a reason that passes, the broker, which knows nothing of this producer yet, takes the second one though
/// its numbers do not begin at 0, and librdkafka then reports the first as delivered, too: it is not there.
const IN_FLIGHT: &str = "1";
/// KiB in the producer, at most.
const QUEUE_KIB: &str = "131072";

/// Properties that `-X` may not set, and why.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "that is --kafka"),
    ("metadata.broker.list", "that is --kafka"),
    ("enable.idempotence", "without it a retry makes duplicates that nobody can see"),
    ("acks", "only what all in-sync replicas have counts as delivered"),
    ("request.required.acks", "only what all in-sync replicas have counts as delivered"),
    ("enable.gapless.guarantee", "without it later records overtake one that failed"),
    ("message.timeout.ms", "a message waits for Kafka as long as it takes"),
    ("delivery.timeout.ms", "a message waits for Kafka as long as it takes"),
    ("message.send.max.retries", "a message is tried as long as it takes"),
    ("retries", "a message is tried as long as it takes"),
    ("max.in.flight", "with more than 1 a refused request may count as delivered"),
    (
        "max.in.flight.requests.per.connection",
        "with more than 1 a refused request may count as delivered",
    ),
    ("delivery.report.only.error", "what is not reported is never acknowledged"),
    ("queuing.strategy", "records keep their order"),
    ("enabled_events", "the program takes reports its own way"),
    ("topic.metadata.propagation.max.ms", "a topic that is gone waits here, not in the client"),
    ("topic.metadata.refresh.interval.ms", "added partitions are to be found within a minute"),
    ("transactional.id", "that is --transactional-id"),
    ("isolation.level", "cursors are read as they were committed"),
    ("enable.partition.eof", "cursors are read to their end"),
    ("enable.auto.commit", "the program commits no offsets"),
    ("group.id", "the program joins no group"),
    ("partitioner", "the partition is a function of key or stream, so that duplicates meet"),
    ("partitioner_cb", "the partition is a function of key or stream, so that duplicates meet"),
    ("sticky.partitioning.linger.ms", "the partition is a function of key or stream"),
    ("compression.codec", "that is --compression"),
    ("compression.type", "that is --compression"),
    ("linger.ms", "it is 2 ms, which acknowledgements wait for"),
    ("queue.buffering.max.ms", "it is 2 ms, which acknowledgements wait for"),
    ("queue.buffering.max.messages", "the queue is bounded as the window needs it"),
    ("queue.buffering.max.kbytes", "the queue is bounded as the window needs it"),
    ("queue.buffering.backpressure.threshold", "the queue is bounded as the window needs it"),
    ("batch.num.messages", "after a refusal it must be 1"),
    ("allow.auto.create.topics", "topics are made by --create-topics or not at all"),
    ("log.queue", "the program takes the client's log lines itself"),
    ("test.mock.num.brokers", "that is `sparkngin mock-kafka`"),
];

/// How to reach Kafka, checked.
#[derive(Clone, Debug)]
pub struct Access {
    common: ClientConfig,
    compression: String,
    transactional: Option<String>,
}

impl Access {
    /// Servers, the compression of batches, the properties of `-X`, and the transactional id of producers that have one.
    ///
    /// # Errors
    /// A sentence: a property that is not the caller's to set, or that librdkafka does not know.
    pub fn new(
        servers: &str,
        compression: &str,
        properties: &[(String, String)],
        transactional: Option<&str>,
    ) -> Result<Access, String> {
        let mut common = ClientConfig::new();
        common.set_log_level(RDKafkaLogLevel::Warning);
        common.set("client.id", "sparkngin");
        for (name, value) in properties {
            // librdkafka takes a topic's property with this before it, too.
            let bare = name.strip_prefix("topic.").unwrap_or(name);
            if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == name || *ours == bare) {
                return Err(format!("\"{name}\" cannot be set: {why}"));
            }
            common.set(name, value);
        }
        common.set("bootstrap.servers", servers);
        common.set("allow.auto.create.topics", "false");
        let access = Access {
            common,
            compression: compression.to_owned(),
            transactional: transactional.map(str::to_owned),
        };
        match access.producing(Batching::Many).create_native_config() {
            Ok(_) => Ok(access),
            // The value may be a secret.
            Err(KafkaError::ClientConfig(_, text, _, value)) => {
                Err(text.replace(&format!("\"{value}\""), "\"...\""))
            }
            Err(other) => Err(other.to_string()),
        }
    }

    /// The configuration that all clients share; no topic is made by asking for it.
    pub fn common(&self) -> &ClientConfig {
        &self.common
    }

    /// The bootstrap servers.
    pub fn servers(&self) -> &str {
        self.common.get("bootstrap.servers").unwrap_or_default()
    }

    /// The transactional id, if producers have one.
    pub fn transactional_id(&self) -> Option<&str> {
        self.transactional.as_deref()
    }

    /// For a client that reads a topic to its end: what is committed, or everything.
    pub fn reading(&self, committed: bool) -> ClientConfig {
        let mut config = self.common.clone();
        let isolation = if committed { "read_committed" } else { "read_uncommitted" };
        config
            .set("isolation.level", isolation)
            // It is assigned its partitions and commits nothing: no group is ever joined.
            .set("group.id", self.transactional_id().unwrap_or("sparkngin"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "10");
        config
    }

    /// For a producer that batches so.
    pub fn producing(&self, batching: Batching) -> ClientConfig {
        let mut config = self.common.clone();
        if let Some(id) = &self.transactional {
            config.set("transactional.id", id);
        }
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            .set("max.in.flight.requests.per.connection", IN_FLIGHT)
            .set("topic.metadata.propagation.max.ms", PROPAGATION_MS)
            .set("topic.metadata.refresh.interval.ms", METADATA_MS)
            .set("compression.type", &self.compression)
            .set("queue.buffering.max.messages", QUEUE_MESSAGES)
            .set("queue.buffering.max.kbytes", QUEUE_KIB);
        if self.common.get("message.max.bytes").is_none() {
            config.set("message.max.bytes", MESSAGE_BYTES);
        }
        match batching {
            // More makes requests fewer, and each acknowledgement later.
            Batching::Many => config.set("linger.ms", "2"),
            Batching::Single => config.set("linger.ms", "0").set("batch.num.messages", "1"),
        };
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_promise_cannot_be_set_and_the_reason_is_said() {
        for (name, _) in OURS {
            let set = [((*name).to_owned(), "1".to_owned())];
            let error = Access::new("127.0.0.1:1", "lz4", &set, None).unwrap_err();
            assert!(error.starts_with(&format!("\"{name}\" cannot be set: ")), "{error}");
        }
        for name in ["topic.acks", "topic.message.timeout.ms"] {
            let set = [(name.to_owned(), "1".to_owned())];
            let error = Access::new("127.0.0.1:1", "lz4", &set, None).unwrap_err();
            assert!(error.starts_with(&format!("\"{name}\" cannot be set: ")), "{error}");
        }
        let own = [("socket.keepalive.enable".to_owned(), "true".to_owned())];
        Access::new("127.0.0.1:1", "lz4", &own, None).unwrap();
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_refused_in_its_words() {
        let set = [("no.such.property".to_owned(), "1".to_owned())];
        let error = Access::new("127.0.0.1:1", "lz4", &set, None).unwrap_err();
        assert!(error.contains("no.such.property"), "{error}");
    }
}
