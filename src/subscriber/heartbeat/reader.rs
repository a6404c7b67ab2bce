//! A topic's end, read as others read it: what is committed, by no group.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::access::Access;
use crate::cluster::code;
use crate::kafka::Quiet;

/// How long one question to Kafka may take: between two of them a signal is heeded.
const ASK: Duration = Duration::from_secs(2);
/// And one wait for records.
const WAIT: Duration = Duration::from_millis(200);

/// Reads what is new in a topic.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    /// Of each partition the offset that comes next.
    next: BTreeMap<i32, i64>,
    /// The topic was seen, or was seen to be missing: partitions that come later are read from their beginning.
    looked: bool,
    /// It is to be looked at again before the next beat.
    stale: bool,
}

impl Reader {
    /// A consumer; it connects by itself, and again.
    ///
    /// # Errors
    /// What librdkafka says of the configuration.
    pub fn new(access: &Access, topic: &str) -> Result<Reader, String> {
        let mut config = access.reading(true);
        // The broker answers as soon as there is something.
        config.set("fetch.wait.max.ms", "500").set("enable.partition.eof", "false");
        if access.common().get("reconnect.backoff.max.ms").is_none() {
            config.set("reconnect.backoff.max.ms", "1000");
        }
        let consumer = BaseConsumer::from_config_and_context(&config, Quiet);
        Ok(Reader {
            consumer: consumer.map_err(|error| error.to_string())?,
            topic: topic.to_owned(),
            next: BTreeMap::new(),
            looked: false,
            stale: true,
        })
    }

    /// Finds the topic's partitions and their ends, unless they are known and nothing was missed since. A topic that is
    /// not there has none.
    ///
    /// # Errors
    /// Kafka does not say, in its words.
    pub fn look(&mut self, until: Instant, stop: &AtomicBool) -> Result<(), String> {
        while self.stale {
            let left = until.saturating_duration_since(Instant::now()).min(ASK);
            match self.try_look(left.max(WAIT)) {
                Ok(()) => self.stale = false,
                Err(error) if Instant::now() >= until || stop.load(Ordering::Relaxed) => {
                    return Err(code(error).to_string());
                }
                // Whoever is refused at once waits a moment.
                Err(_) => self.idle(until),
            }
        }
        Ok(())
    }

    fn try_look(&mut self, patience: Duration) -> Result<(), KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), patience)?;
        let mut next = BTreeMap::new();
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        for partition in topic.map_or(Ok(&[][..]), partitions)? {
            let id = partition.id();
            let offset = match (self.next.get(&id), self.looked) {
                (Some(offset), _) => *offset,
                (None, true) => 0,
                (None, false) => self.consumer.fetch_watermarks(&self.topic, id, patience)?.1,
            };
            next.insert(id, offset);
        }
        if next.keys().ne(self.next.keys()) {
            let mut list = TopicPartitionList::new();
            for (id, offset) in &next {
                list.add_partition_offset(&self.topic, *id, Offset::Offset(*offset))?;
            }
            self.consumer.assign(&list)?;
        }
        (self.next, self.looked) = (next, true);
        Ok(())
    }

    /// Waits for the record with this mark.
    ///
    /// # Errors
    /// It did not come until then; with what Kafka said meanwhile.
    pub fn find(&mut self, mark: &str, until: Instant, stop: &AtomicBool) -> Result<(), String> {
        let mut trouble = "it did not come".to_owned();
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            // The subscriber may just be making it.
            if self.next.is_empty() {
                trouble = format!("there is no topic \"{}\"", self.topic);
                if let Err(error) = self.try_look(ASK) {
                    trouble = code(error).to_string();
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(WAIT)) {
                None => {}
                Some(Err(error)) => trouble = code(error).to_string(),
                Some(Ok(message)) => {
                    self.next.insert(message.partition(), message.offset() + 1);
                    if has(&message, mark.as_bytes()) {
                        return Ok(());
                    }
                }
            }
        }
        self.stale = true;
        Err(trouble)
    }

    /// Lets a moment pass, until then at most. What comes is a late beat, or another one's.
    pub fn idle(&mut self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        if let Some(Ok(message)) = self.consumer.poll(left.min(WAIT)) {
            self.next.insert(message.partition(), message.offset() + 1);
        }
    }
}

/// A topic's partitions; a missing one has none.
fn partitions(
    topic: &MetadataTopic,
) -> Result<&[rdkafka::metadata::MetadataPartition], KafkaError> {
    match topic.error().map(RDKafkaErrorCode::from) {
        None => Ok(topic.partitions()),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(&[]),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// Whether a mark is in a record, however it is written.
fn has(message: &BorrowedMessage<'_>, mark: &[u8]) -> bool {
    let within = |bytes: &[u8]| bytes.windows(mark.len()).any(|part| part == mark);
    message.payload().is_some_and(within) || message.key().is_some_and(within)
}
