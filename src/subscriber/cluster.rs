//! What only the cluster knows or does: which topics there are, and making one. Its calls block, so a thread makes them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll, Wake, Waker as TaskWaker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{
    ClientConfig, FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext,
};

use crate::kafka::{Access, log_line};
use crate::wake::{Mailbox, Waker};

/// How long the cluster may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How the ids of librdkafka's mock clusters begin.
const MOCK: &str = "mockCluster";

/// A question.
#[derive(Debug)]
enum Ask {
    List,
    Create { topic: String, largest: Option<u32> },
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// All topics, with their numbers of partitions.
    Listed(Vec<(String, i32)>),
    /// The cluster did not answer.
    Silent(String),
    /// A topic was made.
    Created(String),
    /// A topic that was to be made is there.
    Exists,
    /// A topic was not made.
    NotCreated {
        /// Which.
        topic: String,
        /// In the cluster's words.
        why: String,
        /// It need not be asked again.
        final_: bool,
    },
}

/// The thread, from outside. It ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    asks: mpsc::Sender<Ask>,
    answers: Arc<Mailbox<Answer>>,
}

impl Cluster {
    /// Starts the thread; it connects by itself, and again.
    ///
    /// # Errors
    /// What librdkafka says of the configuration.
    pub fn new(access: &Access, waker: Waker) -> Result<Cluster, String> {
        let client = BaseProducer::from_config_and_context(access.common(), Quiet);
        let client = client.map_err(|error| error.to_string())?;
        let (asks, asked) = mpsc::channel();
        let answers = Arc::new(Mailbox::new(waker));
        let hands =
            Hands { config: access.common().clone(), client, answers: Arc::clone(&answers) };
        let named = thread::Builder::new().name("kafka-cluster".to_owned());
        named.spawn(move || hands.run(&asked)).map_err(|error| format!("no thread: {error}"))?;
        Ok(Cluster { asks, answers })
    }

    /// Asks for all topics.
    pub fn list(&self) {
        let _ = self.asks.send(Ask::List);
    }

    /// Asks for a topic to be made with the broker's defaults; `largest`: but for records up to so many bytes.
    pub fn create(&self, topic: String, largest: Option<u32>) {
        let _ = self.asks.send(Ask::Create { topic, largest });
    }

    /// Takes the answers; `into` must be empty.
    pub fn answers(&self, into: &mut Vec<Answer>) {
        self.answers.take(into);
    }
}

struct Hands {
    config: ClientConfig,
    client: BaseProducer<Quiet>,
    answers: Arc<Mailbox<Answer>>,
}

impl Hands {
    fn run(self, asked: &mpsc::Receiver<Ask>) {
        loop {
            let answer = match asked.recv_timeout(Duration::from_secs(1)) {
                Ok(Ask::List) => self.list(),
                Ok(Ask::Create { topic, largest }) => self.create(topic, largest),
                Err(RecvTimeoutError::Timeout) => {
                    // The client's log lines pile up if nobody takes them.
                    self.client.poll(Duration::ZERO);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.answers.put(answer);
        }
    }

    fn list(&self) -> Answer {
        self.client.poll(Duration::ZERO);
        match self.client.client().fetch_metadata(None, PATIENCE) {
            Ok(metadata) => {
                let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
                let counted = topics.map(|t| (t.name().to_owned(), t.partitions().len() as i32));
                Answer::Listed(counted.collect())
            }
            Err(KafkaError::MetadataFetch(code)) => Answer::Silent(code.to_string()),
            Err(other) => Answer::Silent(other.to_string()),
        }
    }

    fn create(&self, topic: String, largest: Option<u32>) -> Answer {
        let id = self.client.client().fetch_cluster_id(PATIENCE).unwrap_or_default();
        let outcome = match id.starts_with(MOCK) {
            true => self.create_by_asking(&topic),
            false => self.create_by_admin(&topic, largest),
        };
        match outcome {
            Ok(()) => Answer::Created(topic),
            Err(RDKafkaErrorCode::TopicAlreadyExists) => Answer::Exists,
            Err(code) => {
                use RDKafkaErrorCode as Code;
                // Not the replication factor: while brokers start, there are too few of them.
                let final_ = matches!(
                    code,
                    Code::TopicAuthorizationFailed
                        | Code::ClusterAuthorizationFailed
                        | Code::PolicyViolation
                        | Code::InvalidTopic
                        | Code::InvalidConfig
                        | Code::InvalidPartitions
                        | Code::InvalidRequest
                );
                Answer::NotCreated { topic, why: code.to_string(), final_ }
            }
        }
    }

    fn create_by_admin(&self, topic: &str, largest: Option<u32>) -> Result<(), RDKafkaErrorCode> {
        let admin = AdminClient::<DefaultClientContext>::from_config(&self.config);
        let admin = admin.map_err(code)?;
        // -1 leaves the numbers of partitions and replicas to the broker.
        let mut new = NewTopic::new(topic, -1, TopicReplication::Fixed(-1));
        let largest = largest.map(|bytes| bytes.to_string());
        if let Some(largest) = &largest {
            new = new.set("max.message.bytes", largest);
        }
        let options =
            AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let results = wait_for(admin.create_topics([&new], &options));
        match results {
            Ok(results) => {
                results.into_iter().try_for_each(|r| r.map(drop).map_err(|(_, code)| code))
            }
            Err(error) => Err(code(error)),
        }
    }

    /// librdkafka's mock cluster knows no CreateTopics, nor who its controller is; it makes a topic when a client that allows it asks for its
    /// metadata. A client of its own does that, so that no other one ever makes a topic by asking.
    fn create_by_asking(&self, topic: &str) -> Result<(), RDKafkaErrorCode> {
        let mut config = self.config.clone();
        config.set("allow.auto.create.topics", "true");
        let client = BaseProducer::from_config_and_context(&config, Quiet).map_err(code)?;
        let metadata = client.client().fetch_metadata(Some(topic), PATIENCE).map_err(code)?;
        match metadata.topics().iter().find(|t| t.name() == topic).and_then(|t| t.error()) {
            Some(error) => Err(RDKafkaErrorCode::from(error)),
            None => Ok(()),
        }
    }
}

/// The code in an error; those of admin calls are not among rdkafka's own.
fn code(error: KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::AdminOp(code) => code,
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
    }
}

/// A client whose complaints say nothing that the answers do not.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ProducerContext<NoCustomPartitioner> for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Runs a future on this thread: rdkafka's admin calls are futures, and nothing else here is.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = TaskWaker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
