//! What rdkafka has no safe call for, or a slow one: librdkafka's event queue of a client, and messages by their topic's handle.
//!
//! Of the queue: how many events lie in it, and a byte to a socket when it is no longer empty. With them the loop polls the
//! producer itself, when there is something to hear: no thread that polls on a suspicion, and no lock on the way of a report.
//!
//! rdkafka's own call to send names the topic: then librdkafka looks it up at each message, along the list of all topics and
//! under its client's lock, and rdkafka makes a text of C of each name. Here a topic is looked up once. A handle keeps what
//! the client knew of its topic, so the first refusal that is the topic's fault is asked again with a new one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use rdkafka::bindings::{
    RD_KAFKA_MSG_F_COPY, rd_kafka_header_add, rd_kafka_headers_destroy, rd_kafka_headers_new,
    rd_kafka_headers_t, rd_kafka_producev, rd_kafka_queue_destroy, rd_kafka_queue_get_main,
    rd_kafka_queue_io_event_enable, rd_kafka_queue_length, rd_kafka_queue_t, rd_kafka_resp_err_t,
    rd_kafka_t, rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t, rd_kafka_vtype_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::backlog::Ticket;
use crate::fault::{self, Blame};
use crate::kafka::Outgoing;

/// The queue. It must be dropped before its client.
pub struct EventQueue {
    queue: *mut rd_kafka_queue_t,
    /// Written to by librdkafka's threads, so it must stay open as long as they know it.
    _wake: OwnedFd,
}

impl EventQueue {
    /// The main queue of a client; `wake`, which must not block, gets a byte when the queue becomes non-empty after a poll.
    pub fn new<C: ClientContext>(client: &Client<C>, wake: OwnedFd) -> EventQueue {
        // SAFETY: the client is alive, and the reference that this returns is ours until `drop` gives it back.
        let queue = unsafe { rd_kafka_queue_get_main(client.native_ptr()) };
        let byte = [0_u8];
        // SAFETY: the queue is alive; the payload is copied before this returns; the descriptor is open until `drop`
        // has taken it away from the queue.
        unsafe {
            rd_kafka_queue_io_event_enable(queue, wake.as_raw_fd(), byte.as_ptr().cast(), 1);
        }
        EventQueue { queue, _wake: wake }
    }

    /// Whether no event lies in it.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive until `drop`.
        unsafe { rd_kafka_queue_length(self.queue) == 0 }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; -1 takes the descriptor away from it under the queue's own lock.
        unsafe { rd_kafka_queue_io_event_enable(self.queue, -1, std::ptr::null(), 0) };
        // SAFETY: this gives back the one reference that `new` got; nobody uses it any more.
        unsafe { rd_kafka_queue_destroy(self.queue) };
    }
}

/// Handles kept at most: twice as many as topics are used at a time.
const MOST: usize = 2 * crate::topics::MOST;

/// Hands messages to one client. It must be dropped before that client.
pub struct Sender {
    client: *mut rd_kafka_t,
    topics: RefCell<HashMap<Box<str>, Topic>>,
}

/// A topic's handle.
struct Topic(NonNull<rd_kafka_topic_t>);

/// Headers that no message owns yet.
struct Headers(*mut rd_kafka_headers_t);

impl Sender {
    /// For this client.
    pub fn new<C: ClientContext>(client: &Client<C>) -> Sender {
        Sender { client: client.native_ptr(), topics: RefCell::default() }
    }

    /// Hands a message over; it is copied.
    ///
    /// # Errors
    /// What librdkafka says.
    pub fn send(&self, message: &Outgoing<'_>, ticket: Ticket) -> Result<(), RDKafkaErrorCode> {
        let mut topics = self.topics.borrow_mut();
        if let Some(topic) = topics.get(message.topic) {
            let sent = self.put(topic, message, ticket);
            let old = |code: &RDKafkaErrorCode| {
                fault::of(&KafkaError::MessageProduction(*code)).blame == Blame::Topic
            };
            if !sent.as_ref().is_err_and(old) {
                return sent;
            }
            topics.remove(message.topic);
        }
        if topics.len() >= MOST {
            topics.clear();
        }
        let topic = self.topic(message.topic).ok_or(RDKafkaErrorCode::InvalidTopic)?;
        let sent = self.put(&topic, message, ticket);
        if sent.is_ok() {
            topics.insert(message.topic.into(), topic);
        }
        sent
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client outlives the sender; the name is copied, and NULL stands for the client's own settings.
        let topic = unsafe { rd_kafka_topic_new(self.client, name.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(Topic)
    }

    fn put(
        &self,
        topic: &Topic,
        message: &Outgoing<'_>,
        ticket: Ticket,
    ) -> Result<(), RDKafkaErrorCode> {
        use rd_kafka_vtype_t as Is;
        let headers = Headers::new(message.headers)?;
        let bytes = |of: Option<&[u8]>| match of {
            None => (ptr::null::<c_void>(), 0),
            Some(bytes) => (bytes.as_ptr().cast(), bytes.len()),
        };
        let ((value, value_len), (key, key_len)) = (bytes(message.value), bytes(message.key));
        // SAFETY: client and handle are alive; each kind is followed by what the C API takes for it; value and key are
        // copied; on success the message owns the headers.
        let error = unsafe {
            rd_kafka_producev(
                self.client,
                Is::RD_KAFKA_VTYPE_RKT,
                topic.0.as_ptr(),
                Is::RD_KAFKA_VTYPE_PARTITION,
                message.partition,
                Is::RD_KAFKA_VTYPE_MSGFLAGS,
                RD_KAFKA_MSG_F_COPY,
                Is::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                Is::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                Is::RD_KAFKA_VTYPE_OPAQUE,
                ticket as *mut c_void,
                Is::RD_KAFKA_VTYPE_TIMESTAMP,
                message.timestamp.unwrap_or(0),
                Is::RD_KAFKA_VTYPE_HEADERS,
                headers.0,
                Is::RD_KAFKA_VTYPE_END,
            )
        };
        match error {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                std::mem::forget(headers);
                Ok(())
            }
            error => Err(error.into()),
        }
    }
}

impl Headers {
    fn new(all: &[(&str, &[u8])]) -> Result<Headers, RDKafkaErrorCode> {
        if all.is_empty() {
            return Ok(Headers(ptr::null_mut()));
        }
        // SAFETY: makes a list with room for so many; it never fails.
        let headers = Headers(unsafe { rd_kafka_headers_new(all.len()) });
        for (name, value) in all {
            let (name_len, value_len) = (name.len() as isize, value.len() as isize);
            let (name, value) = (name.as_ptr().cast(), value.as_ptr().cast());
            // SAFETY: the list is ours; name and value are copied, by their lengths.
            let error = unsafe { rd_kafka_header_add(headers.0, name, name_len, value, value_len) };
            if error != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(error.into());
            }
        }
        Ok(headers)
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: no message took them.
            unsafe { rd_kafka_headers_destroy(self.0) };
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: this gives back the one reference that `rd_kafka_topic_new` gave; the client is alive.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}
