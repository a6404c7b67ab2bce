//! What the producer says: reports that settle records, failures that are judged, and the next producer.

use std::time::{Duration, Instant};

use crate::backlog::{Batching, Finding, Ticket};
use crate::flight::Fate;
use crate::kafka::Note;
use crate::letter::Reason;
use crate::post::{As, Sending};
use crate::queue::Queue;
use crate::sink::Report;
use crate::transaction::NO_RECORD;

use super::Delivery;

/// While reports are collected: how often the queue is purged anew, since what is tried again goes back into it.
pub(super) const PURGE: Duration = Duration::from_millis(100);
/// What is on its way then gets so long to be reported; after that it is given up, and may have arrived.
const COLLECT: Duration = Duration::from_secs(10);

impl Delivery {
    /// Hears the reports and whatever else the producer has to say.
    pub(super) fn hear_producer(&mut self, now: Instant, reports: &mut Vec<Report>) {
        let mut notes = std::mem::take(&mut self.notes);
        self.post.notes(&mut notes);
        let mut lettered = false;
        for note in notes.drain(..) {
            match note {
                Note::Delivered { first, count } => {
                    self.heard = now;
                    if self.down.take().is_some() {
                        tracing::info!("Kafka takes records again");
                    }
                    lettered |= self.delivered(first, count, now, reports);
                }
                Note::Failed(ticket, fault) => {
                    self.heard = now;
                    if ticket == NO_RECORD {
                        let why = &fault.text;
                        self.seldom.warn(now, "cursors", || format!("a cursor was refused: {why}"));
                    }
                    self.queue.backlog.report(ticket, Err(fault), |_| ());
                }
                Note::Fatal(why) => {
                    self.seldom.warn(now, "fatal", || format!("the producer ended: {why}"));
                    self.queue.backlog.fail();
                }
                Note::Down(why) => self.down(now, format!("Kafka is away: {why}")),
                Note::Barred { topic, why } => self.barred(&topic, &why, now),
                Note::Trouble(why) => tracing::debug!(why, "librdkafka"),
            }
        }
        self.notes = notes;
        if lettered {
            self.queue.letters_work();
        }
    }

    /// Kafka has so many records from `first` on; true if a letter is among them.
    fn delivered(
        &mut self,
        first: Ticket,
        count: u64,
        now: Instant,
        reports: &mut Vec<Report>,
    ) -> bool {
        let Queue { backlog, moving, .. } = &mut self.queue;
        let mut others = Vec::new();
        for ticket in (0..count).map_while(|n| first.checked_add(n)) {
            backlog.report(ticket, Ok(()), |sending| match sending.as_ {
                As::Event => {
                    moving.leave(&sending.parcel);
                    reports.push(sending.parcel.report(Fate::Delivered));
                }
                _ => others.push(sending.clone()),
            });
        }
        let mut lettered = false;
        for other in &others {
            lettered |= self.settle(other, now, reports);
        }
        lettered
    }

    /// A record has its fate; true if it is a letter.
    pub(super) fn settle(
        &mut self,
        sending: &Sending,
        now: Instant,
        reports: &mut Vec<Report>,
    ) -> bool {
        let parcel = &sending.parcel;
        self.queue.moving.leave(parcel);
        match &sending.as_ {
            As::Letter(reason) => {
                // Here they all come by, whichever way they became letters.
                if parcel.told().is_none() {
                    self.dead = Some(reason.text.clone());
                    self.seldom.warn(now, "dead", || {
                        let id = parcel.id();
                        format!("{id} is in the dead letter: {}", reason.text)
                    });
                }
                reports.push(parcel.report(Fate::Dead));
                return true;
            }
            As::Probe => {
                if let Some(topic) = self.post.topic_of(parcel) {
                    tracing::info!(topic, "the topic takes records again");
                    self.topics.works(&topic, now);
                }
            }
            As::Event => {}
        }
        reports.push(parcel.report(Fate::Delivered));
        false
    }

    /// Has the reports come in of what the producer will not bring through.
    pub(super) fn collect(&mut self, now: Instant) {
        let (since, purged) = self.collecting.unwrap_or((now, now));
        if self.collecting.is_none() || now.duration_since(purged) >= PURGE {
            self.post.purge(now.duration_since(since) >= COLLECT);
            self.collecting = Some((since, now));
        }
    }

    /// All reports are in: finds out who is to blame.
    pub(super) fn judge(&mut self, now: Instant) {
        self.collecting = None;
        let before = self.queue.backlog.again();
        for finding in self.queue.backlog.findings(now) {
            match finding {
                Finding::Poison(ticket, why) => {
                    let Some(sending) = self.queue.backlog.message(ticket) else { continue };
                    let id = sending.parcel.id();
                    match &sending.as_ {
                        As::Letter(reason) => match reason.shorter() {
                            Some(reason) => sending.as_ = As::Letter(reason),
                            None => self.queue.parked.refused(&why, now),
                        },
                        _ => sending.as_ = As::Letter(Reason::new(why.clone())),
                    }
                    self.seldom.warn(now, "poison", || {
                        format!("{id} was refused alone, it goes to the dead letter: {why}")
                    });
                }
                Finding::Topic(ticket, why) => self.topic_refuses(ticket, &why, now),
            }
        }
        let backlog = &self.queue.backlog;
        let (failed, failures) = (backlog.again() - before, backlog.failures());
        self.seldom.warn(now, "again", || {
            format!("a new producer sends {failed} records again, in order; {failures} before it brought nothing through")
        });
    }

    fn topic_refuses(&mut self, ticket: u64, why: &str, now: Instant) {
        let Some(sending) = self.queue.backlog.message(ticket) else { return };
        if matches!(sending.as_, As::Letter(_)) {
            // Perhaps its topic was deleted: a listing tells, and has it made again.
            self.letter_refused(why, now);
            return;
        }
        sending.as_ = As::Event;
        if let Some(topic) = self.post.topic_of(&sending.parcel) {
            self.topic_waits(&topic, why, now);
        }
    }

    /// Kafka does not take a topic's records.
    pub(super) fn topic_waits(&mut self, topic: &str, why: &str, now: Instant) {
        self.topics.refused(topic, why, now);
        self.seldom.warn(now, "topic", || format!("topic \"{topic}\": {why}; its records wait"));
    }

    /// The dead letter does not take a letter.
    pub(super) fn letter_refused(&mut self, why: &str, now: Instant) {
        self.seldom.warn(now, "letter", || format!("the dead letter: {why}"));
        self.queue.parked.refused(why, now);
    }

    /// Makes the next producer, which batches so.
    pub(super) fn renew(&mut self, batching: Batching, now: Instant) {
        if let Some(exact) = self.exact.as_mut().filter(|_| self.post.producer().is_fenced()) {
            exact.fenced(now, &mut self.seldom);
        }
        let made = self.post.renew(batching).and_then(|()| match &mut self.exact {
            Some(exact) => exact.renewed(&self.post),
            None => Ok(()),
        });
        match made {
            Ok(()) => {
                self.renewed += 1;
                self.queue.backlog.begin();
            }
            Err(why) => {
                self.queue.backlog.not_renewed(now);
                self.seldom.warn(now, "renew", || format!("no producer: {why}"));
            }
        }
    }
}
