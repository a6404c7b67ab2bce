//! A producer of librdkafka that keeps the promise: idempotent, acks=all, without gaps, without a time-out of its own.
//!
//! A message goes in with a ticket, a [`Note`] with that ticket comes out, always. The loop is woken when there are notes
//! and takes them itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
    PurgeConfig,
};

use crate::access::Access;
use crate::backlog::{Batching, Ticket};
use crate::fault::{self, Blame, Fault};
use crate::librdkafka::{EventQueue, Limits, Sender};
use crate::wake::Waker;

/// What a producer says.
#[derive(Debug)]
pub enum Note {
    /// Kafka has these.
    Delivered {
        /// The first one.
        first: Ticket,
        /// How many, one ticket after another.
        count: u64,
    },
    /// A message's other end.
    Failed(Ticket, Fault),
    /// Nothing more goes through this producer.
    Fatal(String),
    /// No broker answers.
    Down(String),
    /// Something is wrong that may pass: the words for a person.
    Trouble(String),
    /// A topic that a transaction may not write to, and why: nothing of the transaction will be there.
    Barred {
        /// The topic.
        topic: String,
        /// In Kafka's words.
        why: String,
    },
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
    /// The value; none deletes what has this key in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// ms since 1970; none is now.
    pub timestamp: Option<i64>,
    /// Headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// One producer. Dropping it is right only when every ticket was reported.
pub struct Producer {
    /// Empty only while it is dropped, before its client.
    events: Option<EventQueue>,
    /// Empty only while it is dropped, before its client.
    sender: Option<Sender>,
    /// Empty only while it is dropped.
    inner: Option<Arc<BaseProducer<Desk>>>,
    notes: Arc<Mutex<Vec<Note>>>,
}

/// Where librdkafka's callbacks land, while the producer is polled.
pub struct Desk {
    notes: Arc<Mutex<Vec<Note>>>,
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
        let events = Some(EventQueue::new(inner.client(), wake.into()));
        // A transaction's end waits for nobody but librdkafka, on another thread; and what travels alone waits for nobody.
        let lends = access.transactional_id().is_none() && batching == Batching::Many;
        let limits = lends.then(|| limits(&config));
        let sender = Some(Sender::new(inner.client(), limits));
        Ok(Producer { events, sender, inner: Some(Arc::new(inner)), notes })
    }

    /// Hands a message over; it is not read after this returns. Tickets grow.
    pub fn send(&self, message: &Outgoing<'_>, ticket: Ticket) -> Handed {
        let Some(sender) = &self.sender else { return Handed::Full };
        let Err(code) = sender.send(message, ticket) else { return Handed::Yes };
        let error = KafkaError::MessageProduction(code);
        match code {
            RDKafkaErrorCode::QueueFull => Handed::Full,
            RDKafkaErrorCode::Fatal | RDKafkaErrorCode::State => {
                Handed::Broken(self.why_fatal().unwrap_or_else(|| error.to_string()))
            }
            _ => Handed::No(fault::of(&error)),
        }
    }

    /// Takes the notes; `into` must be empty.
    pub fn notes(&self, into: &mut Vec<Note>) {
        let Some(inner) = &self.inner else { return };
        while self.events.as_ref().is_some_and(|events| !events.is_empty()) {
            inner.poll(Duration::ZERO);
        }
        std::mem::swap(&mut *lock(&self.notes), into);
        self.sender.iter().for_each(|sender| sender.settle(into));
        // rdkafka hands an error out without saying whether it is the end.
        if into.iter().any(|note| matches!(note, Note::Trouble(_))) {
            into.extend(self.why_fatal().map(Note::Fatal));
        }
    }

    /// Gives up what is only queued; `all` gives up what is on its way, too, and may have arrived. Each is reported, by
    /// and by: librdkafka's threads are not waited for.
    pub fn purge(&self, all: bool) {
        if let Some(sender) = &self.sender {
            lock(&self.notes).extend(sender.give_up());
        }
        let purge = PurgeConfig::default().queue().non_blocking();
        if let Some(inner) = &self.inner {
            inner.purge(if all { purge.inflight() } else { purge });
        }
    }

    /// Whether Kafka knows a younger producer of its transactional id, or took its transaction for given up.
    pub fn is_fenced(&self) -> bool {
        let fatal = self.inner.as_ref().and_then(|inner| inner.client().fatal_error());
        fatal.is_some_and(|(code, _)| is_fencing(code))
    }

    /// The client itself, for calls that block, on a thread of their own.
    pub fn client(&self) -> Option<Arc<BaseProducer<Desk>>> {
        self.inner.clone()
    }

    fn why_fatal(&self) -> Option<String> {
        self.inner.as_ref()?.client().fatal_error().map(|(_, text)| text)
    }
}

/// What a client of this configuration takes; librdkafka's own numbers where it says nothing.
fn limits(config: &ClientConfig) -> Limits {
    let number = |name, default| config.get(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (message, batch) =
        (number("message.max.bytes", 1_000_000), number("batch.size", 1_000_000));
    Limits { message, batch }
}

/// Whether an error says that a younger producer is known, or the transaction was taken for given up.
pub fn is_fencing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// Hands a message to a client; it is copied.
///
/// # Errors
/// What librdkafka says.
pub fn hand_over(
    client: &BaseProducer<Desk>,
    message: &Outgoing<'_>,
    ticket: Ticket,
) -> Result<(), KafkaError> {
    let mut record =
        BaseRecord::<[u8], [u8], usize>::with_opaque_to(message.topic, ticket as usize)
            .partition(message.partition);
    record.key = message.key;
    record.payload = message.value;
    record.timestamp = message.timestamp;
    if !message.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for &(key, value) in message.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        record.headers = Some(headers);
    }
    client.send(record).map_err(|(error, _)| error)
}

impl Drop for Producer {
    fn drop(&mut self) {
        drop(self.events.take());
        let lent = self.sender.take().map(Sender::end);
        // In this order: what was lent goes last.
        let end = (self.inner.take(), lent);
        // It waits for librdkafka's threads, which may take a while: not the loop's time. Without a thread, it is.
        let _ = thread::Builder::new().name("kafka-end".to_owned()).spawn(move || drop(end));
    }
}

fn lock(notes: &Mutex<Vec<Note>>) -> MutexGuard<'_, Vec<Note>> {
    // A vector is whole whatever its holder died of.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Desk {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
        // No report and no error names the topic for which a transaction fails: this line alone does.
        if let ("ADDPARTS", Some((topic, why))) = (facility, barred(text)) {
            lock(&self.notes).push(Note::Barred { topic: topic.to_owned(), why: why.to_owned() });
        }
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
        let ticket = ticket as Ticket;
        let mut notes = lock(&self.notes);
        match result {
            Ok(_) => match notes.last_mut() {
                // A batch of one partition is reported in order.
                Some(Note::Delivered { first, count })
                    if first.checked_add(*count) == Some(ticket) =>
                {
                    *count += 1;
                }
                _ => notes.push(Note::Delivered { first: ticket, count: 1 }),
            },
            Err((error, message)) => {
                let mut fault = fault::of(error);
                if fault.blame == Blame::Topic {
                    fault.text = format!("{} ({})", fault.text, message.topic());
                }
                notes.push(Note::Failed(ticket, fault));
            }
        }
    }
}

/// The topic and the reason in librdkafka's `Failed to add partition "TOPIC" [N] to transaction: REASON`.
fn barred(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("Failed to add partition \"")?;
    let (topic, rest) = rest.split_once('"')?;
    let (_, why) = rest.split_once("to transaction: ")?;
    // Anything else is not the topic's fault, or another topic's.
    why.contains("authorization failed").then_some((topic, why))
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

/// A client whose complaints say nothing that its answers do not.
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

impl ProducerContext<NoCustomPartitioner> for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_that_fails_a_transaction_is_read_from_the_line_that_names_it() {
        let line = |why: &str| {
            format!(
                "[thrd:main]: 127.0.0.1:9092/1: Failed to add partition \"a.b\" [3] to transaction: {why}"
            )
        };
        let no = "Broker: Topic authorization failed";
        assert_eq!(barred(&line(no)), Some(("a.b", no)));
        assert_eq!(barred(&line("Broker: Operation not attempted")), None);
        assert_eq!(barred(&line("Broker: Invalid transaction state")), None);
        assert_eq!(barred("something else"), None);
    }
}
