//! A producer of librdkafka that keeps the promise: idempotent, acks=all, without gaps, without a time-out of its own.
//!
//! A message goes in with a ticket, a [`Note`] with that ticket comes out, always. The loop is woken when there are notes
//! and takes them itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
    PurgeConfig,
};

use crate::backlog::{Batching, Blame, Fault, Ticket};
use crate::kafka_queue::EventQueue;
use crate::wake::Waker;

/// The largest message the client lets through; what the broker or the topic allows is theirs to say.
const MESSAGE_BYTES: &str = "20971520";
/// Messages in the producer, at most.
const QUEUE_MESSAGES: &str = "200000";
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
    ("transactional.id", "the program uses no transactions"),
    ("partitioner", "the partition is a function of key or stream, so that duplicates meet"),
    ("partitioner_cb", "the partition is a function of key or stream, so that duplicates meet"),
    ("sticky.partitioning.linger.ms", "the partition is a function of key or stream"),
    ("compression.codec", "that is --compression"),
    ("compression.type", "that is --compression"),
    ("linger.ms", "it is 5 ms, which acknowledgements wait for"),
    ("queue.buffering.max.ms", "it is 5 ms, which acknowledgements wait for"),
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
}

/// What a producer says.
#[derive(Debug)]
pub enum Note {
    /// A message's end.
    Report(Ticket, Result<(), Fault>),
    /// Nothing more goes through this producer.
    Fatal(String),
    /// No broker answers.
    Down(String),
    /// Something is wrong that may pass: the words for a person.
    Trouble(String),
}

/// What became of an attempt to hand a message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// The producer has it; a note will come.
    Yes,
    /// Its queue is full: again after the next notes.
    Full,
    /// It will not be taken, and this is why. No note will come.
    No(Fault),
    /// The producer is broken.
    Broken(String),
}

/// One message, borrowed.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// ms since 1970.
    pub timestamp: i64,
    /// Headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// One producer. Dropping it is right only when every ticket was reported.
pub struct Producer {
    events: EventQueue,
    /// Empty only while it is dropped.
    inner: Option<BaseProducer<Desk>>,
    notes: Arc<Mutex<Vec<Note>>>,
}

/// Where librdkafka's callbacks land, while the producer is polled.
struct Desk {
    notes: Arc<Mutex<Vec<Note>>>,
}

impl Access {
    /// Servers, the compression of batches, and the properties of `-X`.
    ///
    /// # Errors
    /// A sentence: a property that is not the caller's to set, or that librdkafka does not know.
    pub fn new(
        servers: &str,
        compression: &str,
        properties: &[(String, String)],
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
        let access = Access { common, compression: compression.to_owned() };
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

    fn producing(&self, batching: Batching) -> ClientConfig {
        let mut config = self.common.clone();
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
            Batching::Many => config.set("linger.ms", "5"),
            Batching::Single => config.set("linger.ms", "0").set("batch.num.messages", "1"),
        };
        config
    }
}

impl Producer {
    /// Makes one. `waker` is woken when it has notes.
    ///
    /// # Errors
    /// What librdkafka says: a configuration that cannot be, or no more threads.
    pub fn new(access: &Access, batching: Batching, waker: &Waker) -> Result<Producer, String> {
        let notes = Arc::default();
        let desk = Desk { notes: Arc::clone(&notes) };
        let config = access.producing(batching);
        let inner = BaseProducer::from_config_and_context(&config, desk);
        let inner = inner.map_err(|error| match error {
            KafkaError::ClientCreation(text) => text,
            other => other.to_string(),
        })?;
        let wake = waker.socket().map_err(|error| format!("no descriptor: {error}"))?;
        let events = EventQueue::new(inner.client(), wake.into());
        Ok(Producer { events, inner: Some(inner), notes })
    }

    /// Hands a message over; it is copied.
    pub fn send(&self, message: &Outgoing<'_>, ticket: Ticket) -> Handed {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for &(key, value) in message.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(message.topic, ticket as usize)
                .partition(message.partition)
                .timestamp(message.timestamp)
                .payload(message.value)
                .headers(headers);
        if let Some(key) = message.key {
            record = record.key(key);
        }
        let Some(inner) = &self.inner else { return Handed::Full };
        let Err((error, _)) = inner.send(record) else { return Handed::Yes };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Handed::Full,
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::State) => {
                Handed::Broken(self.why_fatal().unwrap_or_else(|| error.to_string()))
            }
            _ => Handed::No(fault(&error)),
        }
    }

    /// Takes the notes; `into` must be empty.
    pub fn notes(&self, into: &mut Vec<Note>) {
        let Some(inner) = &self.inner else { return };
        while !self.events.is_empty() {
            inner.poll(Duration::ZERO);
        }
        std::mem::swap(&mut *lock(&self.notes), into);
        // rdkafka hands an error out without saying whether it is the end.
        if into.iter().any(|note| matches!(note, Note::Trouble(_))) {
            into.extend(self.why_fatal().map(Note::Fatal));
        }
    }

    /// Gives up what is only queued; `all` gives up what is on its way, too, and may have arrived. Each is reported, by
    /// and by: librdkafka's threads are not waited for.
    pub fn purge(&self, all: bool) {
        let purge = PurgeConfig::default().queue().non_blocking();
        if let Some(inner) = &self.inner {
            inner.purge(if all { purge.inflight() } else { purge });
        }
    }

    fn why_fatal(&self) -> Option<String> {
        self.inner.as_ref()?.client().fatal_error().map(|(_, text)| text)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let inner = self.inner.take();
        // It waits for librdkafka's threads, which may take a while: not the loop's time. Without a thread, it is.
        let _ = thread::Builder::new().name("kafka-end".to_owned()).spawn(move || drop(inner));
    }
}

fn lock(notes: &Mutex<Vec<Note>>) -> MutexGuard<'_, Vec<Note>> {
    // A vector is whole whatever its holder died of.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Desk {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        lock(&self.notes).push(match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => Note::Down(reason.to_owned()),
            _ => Note::Trouble(reason.to_owned()),
        });
    }
}

impl ProducerContext<NoCustomPartitioner> for Desk {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, message)) => {
                let mut fault = fault(error);
                if fault.blame == Blame::Topic {
                    fault.text = format!("{} ({})", fault.text, message.topic());
                }
                Err(fault)
            }
        };
        lock(&self.notes).push(Note::Report(ticket as Ticket, outcome));
    }
}

/// librdkafka's own log, for who asks for it: what it means for the records is said by our own lines.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => {
            tracing::trace!(target: "librdkafka", "{facility}: {text}");
        }
        _ => tracing::debug!(target: "librdkafka", "{facility}: {text}"),
    }
}

/// Whose fault an error is.
fn fault(error: &KafkaError) -> Fault {
    use RDKafkaErrorCode as Code;
    let Some(code) = error.rdkafka_error_code() else {
        return Fault { blame: Blame::Broker, text: error.to_string() };
    };
    let blame = match code {
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidTimestamp
        | Code::UnsupportedForMessageFormat
        | Code::PolicyViolation => Blame::Record,
        Code::TopicAuthorizationFailed
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::InvalidTopic => Blame::Topic,
        Code::PurgeQueue
        | Code::PurgeInflight
        | Code::Fatal
        | Code::GaplessGuarantee
        // A topic's new partitions were listed, and this producer did not hear of them yet: the next one will.
        | Code::UnknownPartition
        | Code::MessageTimedOut
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::State
        | Code::Outdated
        | Code::Retry
        | Code::Inconsistent
        | Code::Fenced
        | Code::Authentication
        | Code::SSL
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced
        | Code::NotLeaderForPartition
        | Code::LeaderNotAvailable
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::ThrottlingQuotaExceeded
        | Code::ClusterAuthorizationFailed => Blame::Circumstance,
        _ => Blame::Broker,
    };
    Fault { blame, text: code.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_promise_cannot_be_set_and_the_reason_is_said() {
        for (name, _) in OURS {
            let set = [((*name).to_owned(), "1".to_owned())];
            let error = Access::new("127.0.0.1:1", "lz4", &set).unwrap_err();
            assert!(error.starts_with(&format!("\"{name}\" cannot be set: ")), "{error}");
        }
        for name in ["topic.acks", "topic.message.timeout.ms"] {
            let set = [(name.to_owned(), "1".to_owned())];
            let error = Access::new("127.0.0.1:1", "lz4", &set).unwrap_err();
            assert!(error.starts_with(&format!("\"{name}\" cannot be set: ")), "{error}");
        }
        let own = [("socket.keepalive.enable".to_owned(), "true".to_owned())];
        Access::new("127.0.0.1:1", "lz4", &own).unwrap();
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_refused_in_its_words() {
        let set = [("no.such.property".to_owned(), "1".to_owned())];
        let error = Access::new("127.0.0.1:1", "lz4", &set).unwrap_err();
        assert!(error.contains("no.such.property"), "{error}");
    }

    #[test]
    fn only_what_a_broker_says_of_a_record_is_blamed_on_records() {
        let blame = |code| fault(&KafkaError::MessageProduction(code)).blame;
        assert_eq!(blame(RDKafkaErrorCode::MessageSizeTooLarge), Blame::Record);
        assert_eq!(blame(RDKafkaErrorCode::TopicAuthorizationFailed), Blame::Topic);
        assert_eq!(blame(RDKafkaErrorCode::PurgeQueue), Blame::Circumstance);
        // The client's own list of partitions is older than the listing that counted them.
        assert_eq!(blame(RDKafkaErrorCode::UnknownPartition), Blame::Circumstance);
        assert_eq!(blame(RDKafkaErrorCode::Unknown), Blame::Broker);
    }
}
