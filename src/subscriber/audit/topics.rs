//! Topics -> records, in the order of offsets, from each partition's beginning to where it ended when this began. One
//! partition after another, so what is held is one fetch's bytes, however large the topics are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::access::Access;
use crate::kafka::log_line;
use crate::topics::Pattern;

/// How long Kafka may take for an answer, and how long nothing may come from a partition.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take without a word about it.
const SILENT: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_millis(100);

/// A reader of whole topics.
pub struct Topics {
    consumer: BaseConsumer<Quiet>,
    servers: String,
}

/// One partition, as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its number.
    pub partition: i32,
    /// The first offset that Kafka still has.
    pub from: i64,
    /// The offset behind the last record that is committed.
    pub to: i64,
}

/// Topics, by name.
pub type Extents = BTreeMap<String, Vec<Extent>>;

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

impl Topics {
    /// A consumer that commits nothing and sees only what is committed.
    ///
    /// # Errors
    /// What librdkafka says of the configuration.
    pub fn new(access: &Access) -> Result<Topics, String> {
        let mut config = access.common().clone();
        config
            .set("group.id", "sparkngin-audit")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "10")
            .set("queued.max.messages.kbytes", "16384");
        let consumer = BaseConsumer::from_config_and_context(&config, Quiet);
        let servers = access.servers().to_owned();
        Ok(Topics { consumer: consumer.map_err(|error| error.to_string())?, servers })
    }

    /// The topics that these patterns name, without `except`. A name that does not exist has no entry.
    ///
    /// # Errors
    /// A sentence: Kafka does not answer.
    pub fn matching(&self, patterns: &[Pattern], except: Option<&str>) -> Result<Extents, String> {
        let metadata = self.patiently(|long| self.consumer.fetch_metadata(None, long))?;
        let mut found = Extents::new();
        for topic in metadata.topics() {
            let name = topic.name();
            let is_it = |pattern: &Pattern| match pattern {
                Pattern::Name(exact) => exact == name,
                Pattern::Matches(regex) => {
                    // Kafka's own begin with `__`.
                    let other = name.starts_with("__") || Some(name) == except;
                    !other && regex.is_match(name)
                }
            };
            if topic.error().is_some() || !patterns.iter().any(is_it) {
                continue;
            }
            let mut extents = Vec::new();
            for partition in topic.partitions() {
                let partition = partition.id();
                let (from, to) =
                    self.patiently(|long| self.consumer.fetch_watermarks(name, partition, long))?;
                extents.push(Extent { partition, from, to });
            }
            found.insert(name.to_owned(), extents);
        }
        Ok(found)
    }

    /// How many topics there are besides those `found`, Kafka's own and `except`.
    ///
    /// # Errors
    /// A sentence: Kafka does not answer.
    pub fn others(&self, found: &Extents, except: Option<&str>) -> Result<usize, String> {
        let metadata = self.patiently(|long| self.consumer.fetch_metadata(None, long))?;
        let is_other = |name: &str| {
            !name.starts_with("__") && Some(name) != except && !found.contains_key(name)
        };
        Ok(metadata.topics().iter().filter(|topic| is_other(topic.name())).count())
    }

    /// Asks Kafka, and says on stderr that it waits when that takes long.
    fn patiently<T>(&self, ask: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, String> {
        let begun = Instant::now();
        let first = ask(SILENT);
        if !first.as_ref().err().is_some_and(is_late) {
            return first.map_err(silent);
        }
        eprintln!("sparkngin: {} does not answer yet, waiting for 30 s", self.servers);
        ask(PATIENCE.saturating_sub(begun.elapsed())).map_err(silent)
    }

    /// Shows each record of one partition.
    ///
    /// # Errors
    /// A sentence: for 30 s nothing came.
    pub fn read(
        &self,
        topic: &str,
        extent: &Extent,
        mut see: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), String> {
        if extent.from >= extent.to {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, extent.partition, Offset::Offset(extent.from))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| error.to_string())?;
        let mut heard = Instant::now();
        let mut trouble = String::from("nothing came");
        loop {
            match self.consumer.poll(WAIT) {
                Some(Ok(message)) => {
                    let here = (message.topic(), message.partition());
                    if here != (topic, extent.partition) {
                        continue;
                    }
                    if message.offset() < extent.to {
                        see(&message);
                    }
                    if message.offset() + 1 >= extent.to {
                        return Ok(());
                    }
                    heard = Instant::now();
                }
                // The last offsets may be marks of transactions, which nobody is shown.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => trouble = error.to_string(),
                None => {}
            }
            if heard.elapsed() > PATIENCE {
                let partition = extent.partition;
                return Err(format!("{topic}, partition {partition}: {trouble} for 30 s"));
            }
        }
    }
}

/// Whether nobody answered in time.
fn is_late(error: &KafkaError) -> bool {
    let late = [
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::OperationTimedOut,
        RDKafkaErrorCode::AllBrokersDown,
    ];
    error.rdkafka_error_code().is_some_and(|code| late.contains(&code))
}

fn silent(error: KafkaError) -> String {
    match error {
        KafkaError::MetadataFetch(code) => format!("Kafka does not answer: {code}"),
        other => format!("Kafka does not answer: {other}"),
    }
}
