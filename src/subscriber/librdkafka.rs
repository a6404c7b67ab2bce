//! What rdkafka has no safe call for, or a slow one: librdkafka's event queue of a client, and messages by their topic's handle.
//!
//! Of the queue: how many events lie in it, and a byte to a socket when it is no longer empty. With them the loop polls the
//! producer itself, when there is something to hear: no thread that polls on a suspicion, and no lock on the way of a report.
//!
//! rdkafka's own call to send names the topic: then librdkafka looks it up at each message, along the list of all topics and
//! under its client's lock, and rdkafka makes a text of C of each name. Here a topic is looked up once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use rdkafka::bindings::{
    RD_KAFKA_MSG_F_COPY, rd_kafka_header_add, rd_kafka_headers_destroy, rd_kafka_headers_new,
    rd_kafka_headers_t, rd_kafka_producev, rd_kafka_queue_destroy, rd_kafka_queue_get_main,
    rd_kafka_queue_io_event_enable, rd_kafka_queue_length, rd_kafka_queue_t, rd_kafka_resp_err_t,
    rd_kafka_t, rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t, rd_kafka_vtype_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::backlog::Ticket;
use crate::fault::{self, Fault};
use crate::gate::{GateNo, Gates, Taken};
use crate::kafka::{Note, Outgoing};
use crate::slab::{Place, Slabs};
use crate::tag::Tag;

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

/// Topics kept at most: twice as many as are used at a time.
const MOST: usize = 2 * crate::topics::MOST;
/// Messages at most, those that wait behind gates and those that librdkafka has: its queue takes as many.
const FULL: usize = 100_000;
/// Bytes of slabs above which messages are copied: a message that stays unreported holds 64 KiB.
const LENT: usize = 16 << 20;
/// Bytes of messages that wait, at most.
const WAITING: usize = 128 << 20;

/// What lies in no slab is not sent as something else: the producer is given up, and all of it sent again.
const NOT_THERE: RDKafkaErrorCode = RDKafkaErrorCode::State;

/// Hands messages to one client. It must be dropped before that client.
pub struct Sender {
    client: *mut rd_kafka_t,
    topics: RefCell<HashMap<Box<str>, Rc<Topic>>>,
    /// None: each message is copied, and handed over at once.
    lent: Option<RefCell<Lent>>,
}

/// What librdkafka reads until it reports it, and what waits to be read.
struct Lent {
    slabs: Slabs,
    gates: Gates<Waiting>,
    /// The largest message that the client takes.
    most: usize,
    /// A message failed: what waits must not overtake it, and is given up.
    failed: bool,
}

/// What a client that is lent to takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message (`message.max.bytes`).
    pub message: usize,
    /// Bytes of a request to one partition (`batch.size`).
    pub batch: usize,
}

/// A topic's handle, and its partitions' gates.
struct Topic {
    handle: NonNull<rd_kafka_topic_t>,
    gates: RefCell<Vec<Option<GateNo>>>,
}

/// A message behind a gate.
struct Waiting {
    topic: Rc<Topic>,
    partition: i32,
    ticket: Ticket,
    value: Kept,
    key: Option<Box<[u8]>>,
    timestamp: Option<i64>,
    headers: Headers,
}

/// A value that waits.
enum Kept {
    Slab(Place),
    /// Slabs hold too much already: it will be copied.
    Own(Option<Box<[u8]>>),
}

/// Headers that no message owns yet.
struct Headers(*mut rd_kafka_headers_t);

/// What a message of librdkafka's is made of.
struct Parts<'a> {
    partition: i32,
    value: Option<&'a [u8]>,
    /// The value is read where it lies, until the message is reported.
    lent: bool,
    key: Option<&'a [u8]>,
    timestamp: Option<i64>,
    opaque: usize,
}

impl Sender {
    /// For this client. With limits it lends: librdkafka reads messages where they lie here and has no more of a partition
    /// than one request takes; then [`Sender::settle`] must see each note.
    pub fn new<C: ClientContext>(client: &Client<C>, limits: Option<Limits>) -> Sender {
        let lent = limits.map(|Limits { message, batch }| {
            let gates = Gates::new(batch.min(message) / 10 * 9);
            RefCell::new(Lent { slabs: Slabs::default(), gates, most: message, failed: false })
        });
        Sender { client: client.native_ptr(), topics: RefCell::default(), lent }
    }

    /// Hands a message over, or has it wait for those before it. Tickets grow.
    ///
    /// # Errors
    /// What librdkafka says.
    pub fn send(&self, message: &Outgoing<'_>, ticket: Ticket) -> Result<(), RDKafkaErrorCode> {
        let known = self.topics.borrow().get(message.topic).cloned();
        let topic = match known {
            Some(topic) => topic,
            None => self.topic(message.topic)?,
        };
        match &self.lent {
            None => self.copy(&topic, message, ticket as usize),
            Some(lent) => self.lend(&topic, message, ticket, &mut lent.borrow_mut()),
        }
    }

    fn copy(
        &self,
        topic: &Topic,
        message: &Outgoing<'_>,
        opaque: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let &Outgoing { partition, value, key, timestamp, .. } = message;
        let parts = Parts { partition, value, lent: false, key, timestamp, opaque };
        self.put(topic, &parts, &mut Headers::new(message.headers)?)
    }

    fn lend(
        &self,
        topic: &Rc<Topic>,
        message: &Outgoing<'_>,
        ticket: Ticket,
        lent: &mut Lent,
    ) -> Result<(), RDKafkaErrorCode> {
        let Lent { slabs, gates, most, failed } = lent;
        let &Outgoing { partition, value, key, timestamp, .. } = message;
        let bytes = wire_size(message);
        if gates.held() >= FULL || gates.waiting_bytes() >= WAITING || *failed {
            return Err(RDKafkaErrorCode::QueueFull);
        }
        let mut headers = Headers::new(message.headers)?;
        let gate = topic.gate(partition, gates);
        let waits = gate.filter(|gate| !gates.is_open(*gate, bytes));
        let place = value.filter(|_| slabs.held() < LENT).map(|value| slabs.put(ticket, value));
        if let Some(gate) = waits {
            if bytes > *most {
                // As it would say itself, but for all that would go down with it then.
                place.inspect(|_| slabs.leave(ticket, 1));
                return Err(RDKafkaErrorCode::MessageSizeTooLarge);
            }
            let value = place.map_or_else(|| Kept::Own(value.map(Box::from)), Kept::Slab);
            let (topic, key) = (Rc::clone(topic), key.map(Box::from));
            let waiting = Waiting { topic, partition, ticket, value, key, timestamp, headers };
            gates.wait(gate, bytes, waiting);
            return Ok(());
        }
        let opaque = Tag { ticket, gate, lent: place.is_some() }.pack();
        let value = match place {
            Some(place) => Some(slabs.get(place).ok_or(NOT_THERE)?),
            None => value,
        };
        let lent = place.is_some();
        let parts = Parts { partition, value, lent, key, timestamp, opaque };
        if let Err(code) = self.put(topic, &parts, &mut headers) {
            place.inspect(|_| slabs.leave(ticket, 1));
            return Err(code);
        }
        gate.inspect(|gate| gates.passed(*gate, bytes));
        Ok(())
    }

    /// Of a sender that lends: the notes' numbers become tickets, what they report is read no more, and what waited for it
    /// goes out. A new round begins.
    pub fn settle(&self, notes: &mut Vec<Note>) {
        let Some(lent) = &self.lent else { return };
        let Lent { slabs, gates, failed, .. } = &mut *lent.borrow_mut();
        gates.begin_round();
        for note in notes.iter_mut() {
            let (number, count) = match note {
                Note::Delivered { first, count } => (first, *count),
                Note::Failed(ticket, _) => {
                    *failed = true;
                    (ticket, 1)
                }
                _ => continue,
            };
            let tag = Tag::unpack(*number as usize);
            *number = tag.ticket;
            tag.gate.inspect(|gate| gates.reported(*gate, count as usize));
            if tag.lent {
                slabs.leave(tag.ticket, count);
            }
        }
        gates.release(|gate, waiting| {
            let Waiting { topic, partition, ticket, value, key, timestamp, headers } = waiting;
            if *failed {
                return Taken::Full;
            }
            let (value, lent) = match value {
                Kept::Slab(place) => (slabs.get(*place).map(Some).ok_or(NOT_THERE), true),
                Kept::Own(value) => (Ok(value.as_deref()), false),
            };
            let opaque = Tag { ticket: *ticket, gate: Some(gate), lent }.pack();
            let (partition, timestamp, key) = (*partition, *timestamp, key.as_deref());
            let put = value.and_then(|value| {
                let parts = Parts { partition, value, lent, key, timestamp, opaque };
                self.put(topic, &parts, headers)
            });
            match put {
                Ok(()) => Taken::Yes,
                Err(RDKafkaErrorCode::QueueFull) => Taken::Full,
                Err(code) => {
                    if lent {
                        slabs.leave(*ticket, 1);
                    }
                    *failed = true;
                    notes.push(Note::Failed(*ticket, fault_of(code)));
                    Taken::No
                }
            }
        });
    }

    /// Gives up what waits; what becomes of each is for [`Sender::settle`] to see.
    pub fn give_up(&self) -> Vec<Note> {
        let Some(lent) = &self.lent else { return Vec::new() };
        let fault = fault_of(RDKafkaErrorCode::PurgeQueue);
        let mut lent = lent.borrow_mut();
        let given_up = lent.gates.drain().map(|Waiting { ticket, value, .. }| {
            let tag = Tag { ticket, gate: None, lent: matches!(value, Kept::Slab(_)) };
            Note::Failed(tag.pack() as Ticket, fault.clone())
        });
        given_up.collect()
    }

    /// Ends it; what it lent must outlive the client.
    pub fn end(mut self) -> Option<Slabs> {
        self.lent.take().map(|lent| lent.into_inner().slabs)
    }

    fn topic(&self, name: &str) -> Result<Rc<Topic>, RDKafkaErrorCode> {
        let mut topics = self.topics.borrow_mut();
        if topics.len() >= MOST {
            match &self.lent {
                None => topics.clear(),
                Some(lent) => topics.retain(|_, topic| !topic.leave(&mut lent.borrow_mut().gates)),
            }
        }
        let text = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client outlives the sender; the name is copied, and NULL stands for the client's own settings.
        let handle = unsafe { rd_kafka_topic_new(self.client, text.as_ptr(), ptr::null_mut()) };
        let handle = NonNull::new(handle).ok_or(RDKafkaErrorCode::InvalidTopic)?;
        let topic = Rc::new(Topic { handle, gates: RefCell::default() });
        topics.insert(name.into(), Rc::clone(&topic));
        Ok(topic)
    }

    /// Hands a message over; on success it owns the headers.
    fn put(
        &self,
        topic: &Topic,
        parts: &Parts<'_>,
        headers: &mut Headers,
    ) -> Result<(), RDKafkaErrorCode> {
        use rd_kafka_vtype_t as Is;
        let bytes = |of: Option<&[u8]>| match of {
            None => (ptr::null::<c_void>(), 0),
            Some(bytes) => (bytes.as_ptr().cast(), bytes.len()),
        };
        let ((value, value_len), (key, key_len)) = (bytes(parts.value), bytes(parts.key));
        let flags = if parts.lent { 0 } else { RD_KAFKA_MSG_F_COPY };
        // SAFETY: client and handle are alive; each kind is followed by what the C API takes for it; the key is copied, and
        // a value that is not lies in a slab until `settle` hears its report, or beyond the client's end; on
        // success the message owns the headers.
        let error = unsafe {
            rd_kafka_producev(
                self.client,
                Is::RD_KAFKA_VTYPE_RKT,
                topic.handle.as_ptr(),
                Is::RD_KAFKA_VTYPE_PARTITION,
                parts.partition,
                Is::RD_KAFKA_VTYPE_MSGFLAGS,
                flags,
                Is::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                Is::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                Is::RD_KAFKA_VTYPE_OPAQUE,
                parts.opaque as *mut c_void,
                Is::RD_KAFKA_VTYPE_TIMESTAMP,
                parts.timestamp.unwrap_or(0),
                Is::RD_KAFKA_VTYPE_HEADERS,
                headers.0,
                Is::RD_KAFKA_VTYPE_END,
            )
        };
        match error {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                headers.0 = ptr::null_mut();
                Ok(())
            }
            error => Err(error.into()),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Without `end` nobody waits for the client: it may read on.
        if let Some(lent) = self.lent.take() {
            std::mem::forget(lent.into_inner().slabs);
        }
    }
}

impl Topic {
    /// A partition's gate; none when there are too many.
    fn gate(&self, partition: i32, gates: &mut Gates<Waiting>) -> Option<GateNo> {
        let at = usize::try_from(partition).ok()?;
        let mut mine = self.gates.borrow_mut();
        if mine.len() <= at {
            mine.resize(at + 1, None);
        }
        mine[at] = mine[at].or_else(|| gates.add());
        mine[at]
    }

    /// Gives its gates back, if all are idle; whether it did.
    fn leave(&self, gates: &mut Gates<Waiting>) -> bool {
        let mut mine = self.gates.borrow_mut();
        let idle = mine.iter().flatten().all(|gate| gates.is_idle(*gate));
        if idle {
            mine.drain(..).flatten().for_each(|gate| gates.give_back(gate));
        }
        idle
    }
}

/// Bytes that a message takes in a request, at most: as librdkafka counts them for `message.max.bytes`.
fn wire_size(message: &Outgoing<'_>) -> usize {
    /// Lengths, attributes and differences to the batch's own.
    const FRAMING: usize = 36;
    let counted = |text: &[u8]| text.len() + varint(text.len());
    let headers =
        message.headers.iter().map(|(name, value)| counted(name.as_bytes()) + counted(value));
    let bytes = |of: Option<&[u8]>| of.map_or(0, <[u8]>::len);
    FRAMING + bytes(message.key) + bytes(message.value) + headers.sum::<usize>()
}

/// Bytes of a length, with a sign and seven bits in each.
fn varint(length: usize) -> usize {
    let bits = usize::BITS - (2 * length).leading_zeros();
    bits.max(1).div_ceil(7) as usize
}

fn fault_of(code: RDKafkaErrorCode) -> Fault {
    fault::of(&KafkaError::MessageProduction(code))
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
        unsafe { rd_kafka_topic_destroy(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_a_byte_for_each_seven_bits_and_its_sign() {
        let lengths = [0, 63, 64, 8191, 8192, 1 << 20];
        assert_eq!(lengths.map(varint), [1, 1, 2, 2, 3, 4]);
    }
}
