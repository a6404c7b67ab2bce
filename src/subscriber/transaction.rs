//! A producer's transactions: the calls that begin and end them wait for Kafka, so a thread makes them.
//!
//! ```text
//!   begin:  [is the topic compacted?]  [who has the id?]  fence older ones  [write: it is mine]  read the cursors  open
//!   commit: what was sent, whole  open the next
//! ```
//!
//! No call here is ever left half done: what becomes of a commit whose answer is lost the next `begin` finds in the
//! cursors. A producer that is given up aborts what it left open, as far as Kafka still lets it: nobody reads a cursor that
//! lies behind that, its own successor least of all. What a killed one left open the next producer of the id undoes.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};

use crate::access::Access;
use crate::backlog::Ticket;
use crate::cursor_topic::{self, Contents, Owner};
use crate::kafka::{Desk, Outgoing, Producer, hand_over, is_fencing};
use crate::places::Cursor;
use crate::wake::{Mailbox, Waker};

/// How long one call may wait; then it is asked whether anybody still wants it.
const CALL: Duration = Duration::from_secs(2);
/// Between two calls of which the first was not answered.
const PAUSE: Duration = Duration::from_millis(100);
/// What belongs to no record has this ticket.
pub const NO_RECORD: Ticket = usize::MAX as Ticket;

/// Whose transactions, and where cursors lie.
#[derive(Clone, Debug)]
pub struct Transactional {
    /// The transactional id.
    pub id: String,
    /// The topic of cursors.
    pub topic: String,
    /// A transaction is committed after this time, if not before.
    pub interval: Duration,
    /// This process.
    pub owner: Owner,
}

/// An answer.
#[derive(Debug)]
pub enum Said {
    /// A transaction is open, the first one of this producer; these are the cursors, all older transactions decided.
    Begun(Vec<Cursor>),
    /// The transaction is committed, the next one open.
    Committed,
    /// Kafka does not answer yet.
    Silent(String),
    /// The transaction failed, and with it the producer.
    Failed {
        /// In Kafka's words.
        why: String,
        /// Kafka knows a younger producer of the id, or took the transaction for given up.
        fenced: bool,
    },
    /// Another process has the id now: where it runs.
    Taken(String),
    /// The topic of cursors would not keep them: why.
    Unfit(String),
}

enum Ask {
    Begin { again: bool },
    Commit,
}

/// The thread, from outside. It ends when this is dropped.
#[derive(Debug)]
pub struct Transactions {
    asks: mpsc::Sender<Ask>,
    said: Arc<Mailbox<Said>>,
}

impl Transactions {
    /// For one producer.
    ///
    /// # Errors
    /// What the system says when it has no more threads.
    pub fn new(
        producer: &Producer,
        access: &Access,
        own: &Transactional,
        waker: Waker,
    ) -> Result<Transactions, String> {
        let (asks, asked) = mpsc::channel();
        let said = Arc::new(Mailbox::new(waker));
        let client = producer.client().ok_or("the producer has ended")?;
        let hands = Hands {
            client,
            access: access.clone(),
            own: own.clone(),
            said: Arc::clone(&said),
            asked,
        };
        let named = thread::Builder::new().name("kafka-commits".to_owned());
        named.spawn(move || hands.run()).map_err(|error| format!("no thread: {error}"))?;
        Ok(Transactions { asks, said })
    }

    /// Fences older producers of the id and opens a transaction; `again`: unless another process has the id since this
    /// one had it.
    pub fn begin(&self, again: bool) {
        let _ = self.asks.send(Ask::Begin { again });
    }

    /// Commits what was sent and opens the next transaction.
    pub fn commit(&self) {
        let _ = self.asks.send(Ask::Commit);
    }

    /// Takes the answers; `into` must be empty.
    pub fn said(&self, into: &mut Vec<Said>) {
        self.said.take(into);
    }
}

struct Hands {
    client: Arc<BaseProducer<Desk>>,
    access: Access,
    own: Transactional,
    said: Arc<Mailbox<Said>>,
    asked: mpsc::Receiver<Ask>,
}

/// Nobody wants an answer any more, or this is it.
enum Stop {
    Unwanted,
    Says(Said),
}

impl Hands {
    fn run(self) {
        while let Ok(ask) = self.asked.recv() {
            let outcome = match ask {
                Ask::Begin { again } => self.begin(again),
                Ask::Commit => self.commit().map(|()| Said::Committed),
            };
            match outcome {
                Ok(said) | Err(Stop::Says(said)) => self.said.put(said),
                Err(Stop::Unwanted) => break,
            }
        }
        self.abort();
    }

    /// Nobody waits for it: who cannot, because it is fenced or its commit may have got through, leaves it to Kafka.
    fn abort(&self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
        let aborted = self.client.flush(CALL).and_then(|()| self.client.abort_transaction(CALL));
        if let Err(error) = aborted {
            tracing::debug!(%error, "what was open of a transaction is left to Kafka");
        }
    }

    fn begin(&self, again: bool) -> Result<Said, Stop> {
        if again {
            let owner = self.read()?.owner;
            if let Some(other) = owner.filter(|owner| owner.instance != self.own.owner.instance) {
                return Ok(Said::Taken(other.from));
            }
        } else if let Some(why) = self.ask(|| cursor_topic::unfit(&self.access, &self.own.topic))? {
            return Ok(Said::Unfit(why));
        }
        self.insist(|| self.client.init_transactions(CALL))?;
        self.insist(|| self.client.begin_transaction())?;
        self.write_owner()?;
        self.commit()?;
        Ok(Said::Begun(self.read()?.cursors))
    }

    fn commit(&self) -> Result<(), Stop> {
        self.insist(|| self.client.commit_transaction(CALL))?;
        self.insist(|| self.client.begin_transaction())
    }

    /// Says in the topic that the id is this process's: so one that was fenced finds out by whom, and that the topic can
    /// be written is known before anything is taken.
    fn write_owner(&self) -> Result<(), Stop> {
        let key = cursor_topic::owner_key(&self.own.id);
        let value = serde_json::to_vec(&self.own.owner).unwrap_or_default();
        let message = Outgoing {
            topic: &self.own.topic,
            partition: -1,
            key: Some(key.as_bytes()),
            value: Some(&value),
            timestamp: None,
            headers: &[],
        };
        hand_over(&self.client, &message, NO_RECORD).map_err(|error| failed(&error))
    }

    fn read(&self) -> Result<Contents, Stop> {
        self.ask(|| cursor_topic::read(&self.access, &self.own.topic, &self.own.id))
    }

    /// Asks Kafka until it answers.
    fn ask<T>(&self, ask: impl Fn() -> Result<T, String>) -> Result<T, Stop> {
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(why) => self.wait(why)?,
            }
        }
    }

    /// Calls until it is done, or cannot be.
    fn insist(&self, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), Stop> {
        loop {
            match call() {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                    self.wait(error.string())?;
                }
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {
                    self.wait("records are not taken".to_owned())?;
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// A pause before the next try, as long as somebody waits for it.
    fn wait(&self, why: String) -> Result<(), Stop> {
        self.said.put(Said::Silent(why));
        match self.asked.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Disconnected) => Err(Stop::Unwanted),
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(()),
        }
    }
}

fn failed(error: &KafkaError) -> Stop {
    let (why, code) = match error {
        KafkaError::Transaction(error) => (error.string(), Some(error.code())),
        other => (other.to_string(), other.rdkafka_error_code()),
    };
    Stop::Says(Said::Failed { why, fenced: code.is_some_and(is_fencing) })
}
