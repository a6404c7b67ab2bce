//! One record, read and handed over: to the producer, to a waiting room, or to the dead letter.

use std::time::Instant;

use crate::access::Access;
use crate::backlog::{Batching, Ticket};
use crate::fault::Blame;
use crate::kafka::{Handed, Note, Outgoing, Producer};
use crate::letter::{self, LetterFile, Letters, Reason};
use crate::rooms::{Order, Rooms};
use crate::route::{self, Route};
use crate::sink::Parcel;
use crate::topics::{Topics, Verdict};
use crate::wake::Waker;

/// One record on its way.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The record.
    pub parcel: Parcel,
    /// Its place among all that came.
    pub order: Order,
    /// What it goes as.
    pub as_: As,
}

/// What a record goes as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum As {
    /// What it is.
    Event,
    /// An event that tries whether its topic still refuses.
    Probe,
    /// A dead letter.
    Letter(Reason),
}

/// What became of an attempt to send one.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// The producer has it.
    Out,
    /// There is no room now, or no place for letters.
    Full,
    /// It is in a room, or a letter in the file.
    Aside,
    /// It must go as this.
    Letter(Reason),
    /// It is a letter that its place does not take, and this is why.
    Refused(String),
    /// The producer is broken.
    Broken(String),
}

/// The hands.
pub struct Post {
    access: Access,
    route: Route,
    letters: Letters,
    file: Option<LetterFile>,
    /// Letters that are in the file's buffer.
    written: Vec<Parcel>,
    producer: Producer,
    waker: Waker,
    value: Vec<u8>,
}

impl Post {
    /// Makes the first producer, and opens the file of letters.
    ///
    /// # Errors
    /// A sentence: what librdkafka or the system says of the configuration.
    pub fn new(
        access: Access,
        route: Route,
        letters: Letters,
        waker: Waker,
    ) -> Result<Post, String> {
        let file = match &letters {
            Letters::File(path) => Some(
                LetterFile::open(path)
                    .map_err(|e| format!("--dead-letter file:{}: {e}", path.display()))?,
            ),
            Letters::Topic(_) => None,
        };
        let producer = Producer::new(&access, Batching::Many, &waker)?;
        let (written, value) = (Vec::new(), Vec::new());
        Ok(Post { access, route, letters, file, written, producer, waker, value })
    }

    /// Records that are not sent yet, and those that are sent again, become what this says.
    pub fn go_by(&mut self, route: Route) {
        self.route = route;
    }

    /// A new producer; the old one must have reported everything.
    ///
    /// # Errors
    /// What librdkafka says.
    pub fn renew(&mut self, batching: Batching) -> Result<(), String> {
        self.producer = Producer::new(&self.access, batching, &self.waker)?;
        Ok(())
    }

    /// The producer.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// How to reach Kafka.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Takes the producer's notes; `into` must be empty.
    pub fn notes(&self, into: &mut Vec<Note>) {
        self.producer.notes(into);
    }

    /// See [`Producer::purge`].
    pub fn purge(&self, all: bool) {
        self.producer.purge(all);
    }

    /// Where letters go.
    pub fn letters(&self) -> &Letters {
        &self.letters
    }

    /// The topic that a record names, if it is an event.
    pub fn topic_of(&self, parcel: &Parcel) -> Option<String> {
        let record = parcel.record().ok()?;
        let routed = self.route.read(parcel.id(), &record).ok()?;
        Some(routed.topic().to_owned())
    }

    /// Hands one over.
    pub fn put(
        &mut self,
        sending: &mut Sending,
        ticket: Ticket,
        topics: &mut Topics,
        rooms: &mut Rooms,
        now: Instant,
    ) -> Put {
        match &sending.as_ {
            As::Letter(reason) => self.letter(&sending.parcel, reason, ticket, topics),
            _ => self.event(sending, ticket, topics, rooms, now),
        }
    }

    fn event(
        &mut self,
        sending: &mut Sending,
        ticket: Ticket,
        topics: &mut Topics,
        rooms: &mut Rooms,
        now: Instant,
    ) -> Put {
        let Sending { parcel, order, as_ } = sending;
        let record = match parcel.record() {
            // What is to be noted is its text.
            Ok(record) if parcel.told().is_some() => {
                return dead(String::from_utf8_lossy(record.bytes));
            }
            Ok(record) => record,
            Err(torn) => return dead(torn),
        };
        let routed = match self.route.read(parcel.id(), &record) {
            Ok(routed) => routed,
            Err(malformed) => return dead(malformed),
        };
        let topic = routed.topic();
        let mut verdict = match &as_ {
            As::Probe => Verdict::Probe,
            // Who comes later queues behind who waits.
            _ if rooms.has(topic) => Verdict::Wait,
            _ => topics.verdict(topic, parcel.came(), now),
        };
        if verdict == Verdict::Probe {
            *as_ = As::Probe;
            let there = topics.partitions(topic);
            verdict = there.map_or(Verdict::Wait, |partitions| Verdict::Send { partitions });
        }
        let partitions = match verdict {
            Verdict::Send { partitions } => partitions,
            Verdict::Letter(reason) => return dead(reason),
            Verdict::Wait | Verdict::Probe => {
                rooms.enter(topic, *order, parcel.clone());
                return Put::Aside;
            }
        };
        let key = self.route.key(&routed);
        self.value.clear();
        self.route.value(&routed, &mut self.value);
        let sg = parcel.id().text();
        let own = ("sg", sg.bytes());
        let all: Vec<_>;
        let headers = match routed.headers() {
            none if none.len() == 0 => &[own][..],
            some => {
                all = std::iter::once(own).chain(some).collect();
                &all
            }
        };
        let message = Outgoing {
            topic,
            partition: route::partition(key.as_deref(), parcel.seed(), record.seq, partitions),
            key: key.as_deref(),
            value: Some(&self.value),
            timestamp: Some(self.route.timestamp(&routed)),
            headers,
        };
        match self.producer.send(&message, ticket) {
            Handed::Yes => Put::Out,
            Handed::Full => Put::Full,
            Handed::Broken(why) => Put::Broken(why),
            Handed::No(fault) if fault.blame == Blame::Topic => {
                topics.refused(topic, &fault.text, now);
                rooms.enter(topic, *order, parcel.clone());
                Put::Aside
            }
            Handed::No(fault) if fault.blame == Blame::Circumstance => Put::Broken(fault.text),
            // The client itself refuses, so nothing else went down with it: the record is alone.
            Handed::No(fault) => dead(fault.text),
        }
    }

    fn letter(&mut self, parcel: &Parcel, reason: &Reason, ticket: Ticket, topics: &Topics) -> Put {
        let record = parcel.record().ok();
        let received = record.map_or(0, |record| record.received);
        let routed = record.and_then(|record| self.route.read(parcel.id(), &record).ok());
        self.value.clear();
        match (&routed, record) {
            (Some(routed), _) => self.route.value(routed, &mut self.value),
            (None, Some(record)) => self.value.extend_from_slice(record.bytes),
            (None, None) => {}
        }
        let named = routed.as_ref().map_or("", |routed| routed.topic());
        let topic = match (&self.letters, &mut self.file) {
            (Letters::Topic(topic), _) => topic,
            (Letters::File(_), Some(file)) => {
                match parcel.told() {
                    Some(told) => file.note(told, received, &reason.text),
                    None => file.add(parcel.id(), received, named, &reason.text, &self.value),
                }
                self.written.push(parcel.clone());
                return Put::Aside;
            }
            (Letters::File(_), None) => return Put::Full,
        };
        let Some(partitions) = topics.partitions(topic) else {
            return Put::Refused(format!("topic \"{topic}\" does not exist"));
        };
        let (id, full) = (parcel.id().text(), self.value.len().to_string());
        let told = parcel.told().map(|told| told.to_string());
        let mut headers = vec![(letter::REASON, reason.text.as_bytes())];
        match &told {
            // Without `sg`: it is nobody's duplicate.
            Some(told) => headers.push((letter::HOLE, told.as_bytes())),
            None => headers.extend([("sg", id.bytes()), (letter::TOPIC, named.as_bytes())]),
        }
        // What had to be made smaller goes without.
        if let (Some(routed), None) = (&routed, reason.cut) {
            headers.extend(routed.headers());
        }
        if reason.cut.is_some_and(|bytes| bytes < self.value.len()) {
            headers.push((letter::CUT, full.as_bytes()));
        }
        self.value.truncate(reason.cut.unwrap_or(usize::MAX));
        let message = Outgoing {
            topic,
            partition: route::partition(None, parcel.seed(), parcel.id().seq, partitions),
            key: None,
            value: Some(&self.value),
            timestamp: Some(i64::try_from(received / 1_000_000).unwrap_or(i64::MAX)),
            headers: &headers,
        };
        match self.producer.send(&message, ticket) {
            Handed::Yes => Put::Out,
            Handed::Full => Put::Full,
            Handed::Broken(why) => Put::Broken(why),
            Handed::No(fault) if fault.blame == Blame::Record => {
                reason.shorter().map_or(Put::Refused(fault.text), Put::Letter)
            }
            Handed::No(fault) if fault.blame == Blame::Circumstance => Put::Broken(fault.text),
            Handed::No(fault) => Put::Refused(fault.text),
        }
    }

    /// Whether letters wait for their file.
    pub fn has_letters(&self) -> bool {
        !self.written.is_empty()
    }

    /// Syncs the file of letters; only then `settle` gets the records that are in it.
    ///
    /// # Errors
    /// What the system says; they stay for another try.
    pub fn sync_letters(&mut self, settle: impl FnMut(Parcel)) -> std::io::Result<()> {
        if let (false, Some(file)) = (self.written.is_empty(), &mut self.file) {
            file.sync()?;
            self.written.drain(..).for_each(settle);
        }
        Ok(())
    }
}

fn dead(why: impl ToString) -> Put {
    Put::Letter(Reason::new(why.to_string()))
}
