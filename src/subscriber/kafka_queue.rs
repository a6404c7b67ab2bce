//! librdkafka's event queue of one client: how many events lie in it, and a byte to a socket when it is no longer empty.
//!
//! rdkafka has no safe call for either. With them the loop polls the producer itself, when there is something to hear:
//! no thread that polls on a suspicion, and no lock on the way of a report.

use std::os::fd::{AsRawFd, OwnedFd};

use rdkafka::bindings::{
    rd_kafka_queue_destroy, rd_kafka_queue_get_main, rd_kafka_queue_io_event_enable,
    rd_kafka_queue_length, rd_kafka_queue_t,
};
use rdkafka::client::{Client, ClientContext};

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
