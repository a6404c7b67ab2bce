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
use crate::fault::{self, Blame, Fault};
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

/// Hands messages to one client. It must be dropped before that client.
pub struct Sender {
    client: *mut rd_kafka_t,
    topics: RefCell<HashMap<Rc<str>, Rc<Topic>>>,
    /// None: each message is copied, and handed over at once.
    lent: Option<RefCell<Lent>>,
}

/// What librdkafka reads until it reports it, and what waits to be read.
#[derive(Default)]
struct Lent {
    slabs: Slabs,
    gates: Gates<Waiting>,
}

/// A topic: the handle is replaced when the topic was, its partitions' gates stay.
struct Topic {
    name: Rc<str>,
    handle: RefCell<Handle>,
    gates: RefCell<Vec<Option<GateNo>>>,
}

/// A topic's handle.
struct Handle(NonNull<rd_kafka_topic_t>);

/// A message behind a gate.
struct Waiting {
    topic: Rc<Topic>,
    partition: i32,
    ticket: Ticket,
    value: Place,
    key: Option<Box<[u8]>>,
    timestamp: Option<i64>,
    headers: Headers,
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
    /// For this client. If it lends, librdkafka reads messages where they lie here and never has more of a partition than
    /// one request takes; then [`Sender::settle`] must see each note.
    pub fn new<C: ClientContext>(client: &Client<C>, lends: bool) -> Sender {
        let lent = lends.then(RefCell::default);
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
        let Lent { slabs, gates } = lent;
        let &Outgoing { partition, key, timestamp, .. } = message;
        let gate = topic.gate(partition, gates);
        let bytes = size(message);
        if gates.held() >= FULL {
            return Err(RDKafkaErrorCode::QueueFull);
        }
        let open = gate.is_none_or(|gate| gates.is_open(gate, bytes));
        if open && (slabs.held() >= LENT || message.value.is_none()) {
            self.copy(topic, message, Tag { ticket, gate, lent: false }.pack())?;
        } else if open {
            let mut headers = Headers::new(message.headers)?;
            let value = slabs.put(ticket, message.value.unwrap_or_default());
            let opaque = Tag { ticket, gate, lent: true }.pack();
            let value = Some(slabs.get(value));
            let parts = Parts { partition, value, lent: true, key, timestamp, opaque };
            let sent = self.put(topic, &parts, &mut headers);
            sent.inspect_err(|_| slabs.leave(ticket, 1))?;
        } else if let Some(gate) = gate {
            let headers = Headers::new(message.headers)?;
            let value = slabs.put(ticket, message.value.unwrap_or_default());
            let (topic, key) = (Rc::clone(topic), key.map(Box::from));
            gates.wait(gate, Waiting { topic, partition, ticket, value, key, timestamp, headers });
            return Ok(());
        }
        gate.inspect(|gate| gates.passed(*gate, bytes));
        Ok(())
    }

    /// Of a sender that lends: the notes' numbers become tickets, what they report is read no more, and what waited for it
    /// goes out. A new round begins.
    pub fn settle(&self, notes: &mut Vec<Note>) {
        let Some(lent) = &self.lent else { return };
        let Lent { slabs, gates } = &mut *lent.borrow_mut();
        gates.begin_round();
        for note in notes.iter_mut() {
            let (number, count) = match note {
                Note::Delivered { first, count } => (first, *count),
                Note::Failed(ticket, _) => (ticket, 1),
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
            let tag = Tag { ticket: *ticket, gate: Some(gate), lent: true };
            let (value, key) = (slabs.get(*value), key.as_deref());
            let (lent, opaque) = (true, tag.pack());
            let bytes = value.len() + key.map_or(0, <[u8]>::len) + FRAMING;
            let (partition, timestamp, value) = (*partition, *timestamp, Some(value));
            let parts = Parts { partition, value, lent, key, timestamp, opaque };
            match self.put(topic, &parts, headers) {
                Ok(()) => Taken::Yes(bytes),
                Err(RDKafkaErrorCode::QueueFull) => Taken::Full,
                Err(code) => {
                    slabs.leave(*ticket, 1);
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
        let number = |ticket| Tag { ticket, gate: None, lent: true }.pack() as Ticket;
        let mut lent = lent.borrow_mut();
        lent.gates.drain().map(|w| Note::Failed(number(w.ticket), fault.clone())).collect()
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
        let handle = RefCell::new(self.handle(name)?);
        let topic = Rc::new(Topic { name: name.into(), handle, gates: RefCell::default() });
        topics.insert(Rc::clone(&topic.name), Rc::clone(&topic));
        Ok(topic)
    }

    fn handle(&self, name: &str) -> Result<Handle, RDKafkaErrorCode> {
        let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client outlives the sender; the name is copied, and NULL stands for the client's own settings.
        let topic = unsafe { rd_kafka_topic_new(self.client, name.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(Handle).ok_or(RDKafkaErrorCode::InvalidTopic)
    }

    /// Hands a message over; on success it owns the headers. A refusal that is the topic's fault is asked again with a new
    /// handle: the old one keeps what the client knew of the topic.
    fn put(
        &self,
        topic: &Topic,
        parts: &Parts<'_>,
        headers: &mut Headers,
    ) -> Result<(), RDKafkaErrorCode> {
        let sent = self.produce(&topic.handle.borrow(), parts, headers);
        if sent.as_ref().is_err_and(|code| fault_of(*code).blame == Blame::Topic) {
            let handle = self.handle(&topic.name)?;
            topic.handle.replace(handle);
            return self.produce(&topic.handle.borrow(), parts, headers);
        }
        sent
    }

    fn produce(
        &self,
        topic: &Handle,
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
                topic.0.as_ptr(),
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

/// Bytes that a record takes in a request beside its key and value, about.
const FRAMING: usize = 90;

fn size(message: &Outgoing<'_>) -> usize {
    message.value.map_or(0, <[u8]>::len) + message.key.map_or(0, <[u8]>::len) + FRAMING
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

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: this gives back the one reference that `rd_kafka_topic_new` gave; the client is alive.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}
