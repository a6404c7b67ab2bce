//! The queue: events that have no fate yet, in the order in which they were sent. No threads, no time.
//!
//! What is under way stays in it until it was answered, at its front; so the front is always the oldest event without a
//! fate, and what is under way counts for the bound.

use crate::answer::{Fate, Refusal};
use crate::event::Unsent;
use std::collections::VecDeque;

/// What has become of events since the client was made. `queued` is those without a fate yet; they, `stored`, `refused` and
/// `dropped` together are all that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the queue, or under way.
    pub queued: u64,
    /// Answered with success.
    pub stored: u64,
    /// Given up because the server will never take them.
    pub refused: u64,
    /// Given up because the queue was full, or because the client was closed before they were answered: some of the latter
    /// may be stored even so.
    pub dropped: u64,
    /// Sent once more, each time counted: this many may be there twice at most.
    pub repeated: u64,
    /// Requests that were made.
    pub requests: u64,
}

/// Bounded by the number of events and by their bytes.
pub(crate) struct Queue {
    lines: VecDeque<(u64, String)>, // each with its number, which rises
    bytes: usize,
    next: u64, // the number of the event that comes next
    limits: (usize, usize),
    pub(crate) counts: Counts,
}

/// The front of the queue as a body: `count` lines, the first of which has the number `first`.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) count: usize,
    pub(crate) body: Vec<u8>,
}

impl Queue {
    /// For so many events and bytes.
    pub(crate) fn new(events: usize, bytes: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            next: 0,
            limits: (events, bytes),
            counts: Counts::default(),
        }
    }

    /// Whether there is room for a line of this length. An empty queue takes any.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.lines.is_empty()
            || (self.lines.len() < self.limits.0 && self.bytes + bytes < self.limits.1)
    }

    /// Takes a line, or drops and counts it.
    pub(crate) fn push(&mut self, line: String) -> Result<(), Unsent> {
        if !self.has_room(line.len()) {
            self.counts.dropped += 1;
            return Err(Unsent::Full { events: self.lines.len(), bytes: self.bytes });
        }
        self.bytes += line.len() + 1;
        self.lines.push_back((self.next, line));
        self.next += 1;
        Ok(())
    }

    /// How many events there are, and their bytes with line ends.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.lines.len(), self.bytes)
    }

    /// The number of the event that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the oldest event; of the next one, if there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.lines.front().map_or(self.next, |&(number, _)| number)
    }

    /// How many of the events before this number have no fate yet.
    pub(crate) fn unsettled(&self, before: u64) -> usize {
        self.lines.partition_point(|(number, _)| *number < before)
    }

    /// The front, at least one event and else within both bounds.
    pub(crate) fn front(&self, events: usize, bytes: usize) -> Option<Batch> {
        let mut body = Vec::new();
        let mut count = 0;
        for (_, line) in self.lines.iter().take(events) {
            if count > 0 && body.len() + line.len() >= bytes {
                break;
            }
            body.extend_from_slice(line.as_bytes());
            body.push(b'\n');
            count += 1;
        }
        let &(first, _) = self.lines.front()?;
        Some(Batch { first, count, body })
    }

    /// What became of a batch: each event leaves, but those that are to be sent again. Gives what is refused. A batch that was
    /// abandoned meanwhile counts for nothing.
    pub(crate) fn settle(&mut self, batch: &Batch, fates: Vec<Fate>) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.lines.front().is_none_or(|&(number, _)| number != batch.first) {
            return refusals;
        }
        let mut again = Vec::new();
        for ((number, line), fate) in self.lines.drain(..batch.count).zip(fates) {
            let bytes = line.len() + 1;
            match fate {
                Fate::Again => {
                    self.counts.repeated += 1;
                    again.push((number, line));
                    continue;
                }
                Fate::Stored => self.counts.stored += 1,
                Fate::Refused { status, error } => {
                    self.counts.refused += 1;
                    refusals.push(Refusal { event: line, status, error });
                }
            }
            self.bytes -= bytes;
        }
        for event in again.into_iter().rev() {
            self.lines.push_front(event);
        }
        refusals
    }

    /// Gives up all that is there; how many.
    pub(crate) fn abandon(&mut self) -> usize {
        let count = self.lines.len();
        self.counts.dropped += count as u64;
        self.bytes = 0;
        self.lines.clear();
        count
    }

    /// The counts as they are now.
    pub(crate) fn counted(&self) -> Counts {
        Counts { queued: self.lines.len() as u64, ..self.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: &[&str]) -> Queue {
        let mut queue = Queue::new(10, 1000);
        for line in lines {
            queue.push((*line).into()).unwrap();
        }
        queue
    }

    fn body(queue: &Queue, events: usize, bytes: usize) -> String {
        String::from_utf8(queue.front(events, bytes).unwrap().body).unwrap()
    }

    #[test]
    fn a_batch_is_the_front_within_both_bounds_and_never_empty() {
        let queue = with(&["aaaa", "bbbb", "cccc"]);
        assert_eq!(body(&queue, 2, 1000), "aaaa\nbbbb\n");
        assert_eq!(body(&queue, 9, 10), "aaaa\nbbbb\n");
        assert_eq!(body(&queue, 9, 9), "aaaa\n");
        assert_eq!(body(&queue, 9, 1), "aaaa\n");
        assert!(Queue::new(1, 1).front(9, 9).is_none());
    }

    #[test]
    fn what_is_sent_again_stays_in_front_and_in_order() {
        let mut queue = with(&["a", "b", "c", "d", "e"]);
        let batch = queue.front(4, 1000).unwrap();
        let refused = Fate::Refused { status: 400, error: "no".into() };
        let refusals = queue.settle(&batch, vec![Fate::Stored, Fate::Again, refused, Fate::Again]);
        assert_eq!(refusals, [Refusal { event: "c".into(), status: 400, error: "no".into() }]);
        assert_eq!(body(&queue, 9, 1000), "b\nd\ne\n");
        assert_eq!((queue.size(), queue.oldest(), queue.next()), ((3, 6), 1, 5));
        assert_eq!(
            (queue.unsettled(1), queue.unsettled(2), queue.unsettled(4), queue.unsettled(5)),
            (0, 1, 2, 3)
        );
        let counts = Counts { queued: 3, stored: 1, refused: 1, repeated: 2, ..Counts::default() };
        assert_eq!(queue.counted(), counts);
    }

    #[test]
    fn beyond_its_bounds_the_newest_is_dropped_and_counted() {
        let mut queue = Queue::new(2, 8);
        queue.push("long enough for eight".into()).unwrap();
        assert!(queue.push("x".into()).is_err());
        let batch = queue.front(1, 1).unwrap();
        queue.settle(&batch, vec![Fate::Stored]);
        queue.push("a".into()).unwrap();
        queue.push("b".into()).unwrap();
        let full = queue.push("c".into()).unwrap_err();
        assert_eq!(full.to_string(), "the queue is full: 2 events, 4 bytes");
        assert_eq!(
            queue.counted(),
            Counts { queued: 2, stored: 1, dropped: 2, ..Counts::default() }
        );
    }

    #[test]
    fn an_answer_that_comes_after_the_end_counts_for_nothing() {
        let mut queue = with(&["a", "b"]);
        let batch = queue.front(2, 1000).unwrap();
        assert_eq!(queue.abandon(), 2);
        queue.settle(&batch, vec![Fate::Stored, Fate::Stored]);
        assert_eq!(queue.counted(), Counts { dropped: 2, ..Counts::default() });
        assert_eq!((queue.oldest(), queue.unsettled(queue.next())), (2, 0));
    }
}
