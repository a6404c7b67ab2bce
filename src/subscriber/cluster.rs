//! What only the cluster knows or does: which topics there are, and making one. Its calls block, so a thread makes them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll, Wake, Waker as TaskWaker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use crate::access::Access;
use crate::kafka::Quiet;
use crate::wake::{Mailbox, Waker};

/// How long the cluster may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How the ids of librdkafka's mock clusters begin.
const MOCK: &str = "mockCluster";

/// A question.
#[derive(Debug)]
enum Ask {
    List,
    Create(Vec<New>),
}

/// A topic to be made, with the broker's defaults but for these properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// Its name.
    pub topic: String,
    /// Names and values.
    pub config: Vec<(&'static str, &'static str)>,
}

impl New {
    fn wanted(&self) -> NewTopic<'_> {
        // -1 leaves the numbers of partitions and replicas to the broker.
        let wanted = NewTopic::new(&self.topic, -1, TopicReplication::Fixed(-1));
        self.config.iter().fold(wanted, |wanted, (name, value)| wanted.set(name, value))
    }
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
        let config = access.common().clone();
        let hands = Hands { config, client, admin: None, answers: Arc::clone(&answers) };
        let named = thread::Builder::new().name("kafka-cluster".to_owned());
        named.spawn(move || hands.run(&asked)).map_err(|error| format!("no thread: {error}"))?;
        Ok(Cluster { asks, answers })
    }

    /// Asks for all topics.
    pub fn list(&self) {
        let _ = self.asks.send(Ask::List);
    }

    /// Asks for topics to be made, all at once; each is answered for.
    pub fn create(&self, topics: Vec<New>) {
        let _ = self.asks.send(Ask::Create(topics));
    }

    /// Takes the answers; `into` must be empty.
    pub fn answers(&self, into: &mut Vec<Answer>) {
        self.answers.take(into);
    }
}

struct Hands {
    config: ClientConfig,
    client: BaseProducer<Quiet>,
    /// Made when it is first needed.
    admin: Option<AdminClient<DefaultClientContext>>,
    answers: Arc<Mailbox<Answer>>,
}

impl Hands {
    fn run(mut self, asked: &mpsc::Receiver<Ask>) {
        loop {
            match asked.recv_timeout(Duration::from_secs(1)) {
                Ok(Ask::List) => self.answers.put(self.list()),
                Ok(Ask::Create(topics)) => self.create(topics),
                // The client's log lines pile up if nobody takes them.
                Err(RecvTimeoutError::Timeout) => {
                    self.client.poll(Duration::ZERO);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
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

    fn create(&mut self, topics: Vec<New>) {
        let outcomes = match is_mock(self.client.client()) {
            true => topics.iter().map(|new| self.create_by_asking(&new.topic)).collect(),
            false => self.create_by_admin(&topics),
        };
        for (New { topic, .. }, outcome) in topics.into_iter().zip(outcomes) {
            self.answers.put(match outcome {
                Ok(()) => Answer::Created(topic),
                Err(RDKafkaErrorCode::TopicAlreadyExists) => Answer::Exists,
                Err(code) => {
                    Answer::NotCreated { topic, why: code.to_string(), final_: is_final(code) }
                }
            });
        }
    }

    /// An outcome for each, in order.
    fn create_by_admin(&mut self, topics: &[New]) -> Vec<Result<(), RDKafkaErrorCode>> {
        let all = |code| topics.iter().map(|_| Err(code)).collect();
        let admin =
            match self.admin.take().map_or_else(|| AdminClient::from_config(&self.config), Ok) {
                Ok(admin) => self.admin.insert(admin),
                Err(error) => return all(code(error)),
            };
        let wanted: Vec<NewTopic<'_>> = topics.iter().map(New::wanted).collect();
        let options =
            AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        match wait_for(admin.create_topics(&wanted, &options)) {
            Ok(results) => {
                let of = |new: &New| {
                    let named = |r: &&Result<String, (String, RDKafkaErrorCode)>| match r {
                        Ok(name) | Err((name, _)) => *name == new.topic,
                    };
                    match results.iter().find(named) {
                        Some(Ok(_)) => Ok(()),
                        Some(Err((_, code))) => Err(*code),
                        None => Err(RDKafkaErrorCode::Fail),
                    }
                };
                topics.iter().map(of).collect()
            }
            Err(error) => all(code(error)),
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

/// Whether this is a mock cluster of librdkafka's, which knows no calls of administration.
pub fn is_mock<C: ClientContext>(client: &Client<C>) -> bool {
    client.fetch_cluster_id(PATIENCE).is_some_and(|id| id.starts_with(MOCK))
}

/// Whether a topic need not be asked for again soon. Not so the replication factor: while brokers start, there are too
/// few of them.
fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation
            | Code::InvalidTopic
            | Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidRequest
    )
}

/// The code in an error; those of admin calls are not among rdkafka's own.
pub fn code(error: KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::AdminOp(code) => code,
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
    }
}

/// Runs a future on this thread: rdkafka's admin calls are futures, and nothing else here is.
pub fn wait_for<F: Future>(future: F) -> F::Output {
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
