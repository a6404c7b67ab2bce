//! `--delivery exactly-once`: the sink's records go in transactions, each with the cursors that it moves.
//!
//! ```text
//!            cursors read        time, size, end          all handed over        committed
//!   Starting ------------> Open -----------------> Closing -------------> Committing -----> Open
//!      ^                     any failure: a new producer, which undoes what is open            |
//!      +----------------------------------------------------------------------------------------+
//! ```
//!
//! A record that was sent counts when its transaction is committed; until then the backlog keeps it. After a failure the
//! cursors are read again: what they have is done, whatever was heard of it, and the rest goes again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sparkngin_core::feed::{self, Welcome};
use sparkngin_core::id::Seq;

use crate::flight::{Fate, FeedNo, Hole};
use crate::kafka::{Handed, Outgoing};
use crate::letter::Told;
use crate::place::Done;
use crate::places::{Key, Places};
use crate::post::{As, Post, Sending};
use crate::report::Seldom;
use crate::sink::{End, Parcel, Report};
use crate::transaction::{NO_RECORD, Said, Transactional, Transactions};
use crate::wake::Waker;

use super::Delivery;

/// What an exactly-once delivery begins with.
#[derive(Clone, Debug)]
pub struct ExactPlan {
    /// Whose transactions.
    pub own: Transactional,
    /// The feeds' endpoints, by their numbers.
    pub endpoints: Vec<String>,
    /// A transaction with so many bytes is committed at once.
    pub most: u64,
}

/// Who is fenced waits so long before it looks who has the id now.
const COURTESY: Duration = Duration::from_secs(5);

/// Who has asked whether the id is still its own does not ask again for so long: of two that each have an id one must end.
const CONTEST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The topic of cursors is not known to exist.
    Idle,
    Starting,
    Open,
    Closing,
    Committing,
    /// The next producer begins anew.
    Broken,
}

/// The transactions of a delivery.
pub(super) struct Exact {
    plan: ExactPlan,
    pub(super) places: Places,
    hands: Transactions,
    phase: Phase,
    /// Another process may have the id by now.
    again: bool,
    /// Until then another one that fenced this one has time to say so.
    courtesy: Option<Instant>,
    /// When it was asked last whether the id is still this process's.
    contested: Option<Instant>,
    /// The cursors were read once: feeds may be heard.
    ready: bool,
    /// Cursors that are still to be handed over.
    writing: VecDeque<(Key, Option<String>)>,
    /// When the first record went into the open transaction, and how many bytes did.
    opened: Option<Instant>,
    bytes: u64,
    /// The open transaction is to be committed without waiting for its time.
    soon: bool,
    over: Option<End>,
    waker: Waker,
}

impl Exact {
    pub(super) fn new(plan: ExactPlan, post: &Post, waker: Waker) -> Result<Exact, String> {
        let hands = Transactions::new(post.producer(), post.access(), &plan.own, waker.clone())?;
        Ok(Exact {
            plan,
            places: Places::default(),
            hands,
            phase: Phase::Idle,
            again: false,
            courtesy: None,
            contested: None,
            ready: false,
            writing: VecDeque::new(),
            opened: None,
            bytes: 0,
            soon: false,
            over: None,
            waker,
        })
    }

    /// The topic of cursors.
    pub(super) fn topic(&self) -> &str {
        &self.plan.own.topic
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn is_committing(&self) -> bool {
        self.phase == Phase::Committing
    }

    pub(super) fn over(&self) -> Option<End> {
        self.over.clone()
    }

    /// Whether something may still be committed.
    pub(super) fn is_under_way(&self) -> bool {
        match self.phase {
            Phase::Open => self.places.is_touched(),
            Phase::Closing | Phase::Committing => true,
            Phase::Idle | Phase::Starting | Phase::Broken => false,
        }
    }

    /// Why nothing gets through, if it is the transactions' fault.
    pub(super) fn unready(&self) -> Option<String> {
        (!self.ready).then(|| format!("the cursors in \"{}\" are not read yet", self.topic()))
    }

    /// What its topic has refused goes into a transaction of its own: nothing else goes down with it. False while the open
    /// one has something, which is then committed at once.
    pub(super) fn is_empty_for_trial(&mut self) -> bool {
        self.soon |= self.places.is_touched();
        !self.soon
    }

    /// A record went into the transaction; false when that is as large as it may be, which after a trial it is.
    pub(super) fn sent(&mut self, sending: &Sending, trial: bool, now: Instant) -> bool {
        let parcel = &sending.parcel;
        let kind = match sending.as_ {
            As::Letter(_) => Done::Dead,
            As::Event | As::Probe => Done::Delivered,
        };
        let endpoint = endpoint(&self.plan, parcel.feed());
        let (key, range, kind) = what(parcel, kind);
        self.places.add(parcel.feed(), endpoint, key, range, kind);
        self.opened.get_or_insert(now);
        self.bytes += parcel.bytes();
        self.soon |= trial;
        !self.soon && self.bytes < self.plan.most
    }

    pub(super) fn welcome(&mut self, feed: FeedNo, welcome: &Welcome, now: Instant) {
        self.places.welcome(feed, endpoint(&self.plan, feed), welcome, now);
    }

    pub(super) fn moved(&mut self, see: &mut dyn FnMut(FeedNo, Key, feed::Place)) {
        self.places.moved(see);
    }

    /// A new producer was made.
    pub(super) fn renewed(&mut self, post: &Post) -> Result<(), String> {
        let own = &self.plan.own;
        self.hands = Transactions::new(post.producer(), post.access(), own, self.waker.clone())?;
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Another one has the id, or Kafka took the transaction for given up: the cursors tell which, in a while. Who fences
    /// back at once would end the younger one, which did not have the time to write that it is the owner.
    pub(super) fn fenced(&mut self, now: Instant, seldom: &mut Seldom) {
        self.again = true;
        self.courtesy = Some(now + COURTESY);
        let id = &self.plan.own.id;
        seldom.warn(now, "fenced", || format!("a younger producer of \"{id}\", or a transaction of more than transaction.timeout.ms: asking who has the id in 5 s"));
    }

    /// A feed has let in another one of the name. That may be one that was stopped and does not know that it is over: the
    /// owner in the topic tells, before the next producer begins. False if that was asked a moment ago.
    pub(super) fn contest(&mut self, now: Instant) -> bool {
        if self.contested.is_some_and(|at| now < at + CONTEST) {
            return false;
        }
        self.contested = Some(now);
        (self.again, self.ready) = (true, false);
        true
    }

    /// The topics are there.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.phase == Phase::Idle && self.courtesy.is_none_or(|until| until <= now) {
            self.courtesy = None;
            self.phase = Phase::Starting;
            self.hands.begin(self.again);
        }
    }

    /// When the open transaction is to be committed.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => Some(self.opened? + self.plan.own.interval),
            _ => None,
        }
    }

    pub(super) fn said(&self, into: &mut Vec<Said>) {
        self.hands.said(into);
    }

    fn open(&mut self) {
        self.phase = Phase::Open;
        (self.opened, self.bytes, self.soon) = (None, 0, false);
    }

    /// Closes the transaction when it is time, hands the cursors over, has it committed.
    ///
    /// # Errors
    /// Why the producer is broken.
    fn close(&mut self, post: &Post, ending: bool, now: Instant) -> Result<(), String> {
        let full = self.soon || self.bytes >= self.plan.most;
        let due = full || self.due().is_some_and(|due| due <= now);
        if self.phase == Phase::Open && self.places.is_touched() && (due || ending) {
            self.writing = self.places.cursors(now).into();
            self.phase = Phase::Closing;
        }
        if self.phase != Phase::Closing {
            return Ok(());
        }
        while let Some((key, value)) = self.writing.front() {
            let key = crate::cursor_topic::key(&self.plan.own.id, *key);
            let message = Outgoing {
                topic: &self.plan.own.topic,
                partition: -1,
                key: Some(key.as_bytes()),
                value: value.as_ref().map(String::as_bytes),
                timestamp: None,
                headers: &[],
            };
            match post.producer().send(&message, NO_RECORD) {
                Handed::Yes => drop(self.writing.pop_front()),
                Handed::Full => return Ok(()),
                Handed::Broken(why) => return Err(why),
                Handed::No(fault) => return Err(fault.text),
            }
        }
        self.phase = Phase::Committing;
        self.hands.commit();
        Ok(())
    }
}

/// What is done once a parcel is: its seq, or those of the hole that it is the note of.
fn what(parcel: &Parcel, kind: Done) -> (Key, (Seq, Seq), Done) {
    let id = parcel.id();
    match parcel.told() {
        Some(Told { region, stream, hole, from, to }) => {
            let kind = match hole {
                // The publisher tells the two apart by itself.
                Hole::Lost | Hole::Freed => Done::Lost,
                Hole::Uncertain => Done::Uncertain,
            };
            ((region, stream), (from, to), kind)
        }
        None => ((id.region, id.stream), (id.seq, id.seq), kind),
    }
}

fn endpoint(plan: &ExactPlan, feed: FeedNo) -> &str {
    plan.endpoints.get(usize::from(feed.0)).map_or("", String::as_str)
}

impl Delivery {
    /// What became of transactions. The producer's notes of the same time must have been heard before.
    pub(super) fn hear_transactions(
        &mut self,
        said: Vec<Said>,
        now: Instant,
        reports: &mut Vec<Report>,
    ) {
        for said in said {
            match said {
                Said::Begun(cursors) => {
                    let Some(exact) = &mut self.exact else { return };
                    tracing::info!(cursors = cursors.len(), "a transaction is open");
                    exact.places.read(cursors);
                    (exact.ready, exact.again) = (true, true);
                    exact.open();
                }
                Said::Committed => self.committed(now, reports),
                Said::Silent(why) => self.down(now, format!("waiting for Kafka: {why}")),
                Said::Failed { why, fenced } => {
                    let Some(exact) = &mut self.exact else { return };
                    exact.phase = Phase::Broken;
                    if fenced {
                        exact.fenced(now, &mut self.seldom);
                    }
                    self.queue.backlog.fail();
                    self.seldom.warn(now, "transaction", || {
                        format!("a transaction failed and counts for nothing: {why}")
                    });
                }
                Said::Unfit(why) => {
                    let Some(exact) = &mut self.exact else { return };
                    exact.over = Some(End::Wrong(why));
                }
                Said::Taken(other) => {
                    let Some(exact) = &mut self.exact else { return };
                    exact.over = Some(End::Fenced(format!(
                        "another subscriber took over the transactional id \"{}\" ({other}); subscribers of different \
                         nginx need a --transactional-id each",
                        exact.plan.own.id
                    )));
                }
            }
        }
    }

    fn committed(&mut self, now: Instant, reports: &mut Vec<Report>) {
        let Some(exact) = &mut self.exact else { return };
        exact.places.commit();
        exact.open();
        if self.down.take().is_some() {
            tracing::info!("Kafka takes records again");
        }
        let mut lettered = false;
        let mut committed = Vec::with_capacity(self.queue.backlog.inside());
        self.queue.backlog.commit(|sending| committed.push(sending.clone()));
        for sending in &committed {
            lettered |= self.settle(sending, now, reports);
        }
        if lettered {
            self.queue.letters_work();
        }
    }

    /// Commits what is there when it is time.
    pub(super) fn close_transaction(&mut self, ending: bool, now: Instant) {
        let Some(exact) = &mut self.exact else { return };
        if !self.queue.backlog.is_sending() {
            return;
        }
        if let Err(why) = exact.close(&self.post, ending, now) {
            exact.phase = Phase::Broken;
            self.queue.backlog.fail();
            self.seldom.warn(now, "transaction", || format!("cursors were not taken: {why}"));
        }
    }

    /// A record that Kafka has already needs no second way there. True if this is one.
    pub(super) fn skip_known(&mut self, reports: &mut Vec<Report>) -> bool {
        let Some(exact) = &self.exact else { return false };
        let Some((ticket, sending)) = self.queue.backlog.next() else { return false };
        let (key, range, _) = what(&sending.parcel, Done::Delivered);
        let known = exact.places.has(key, range);
        if known {
            reports.push(sending.parcel.report(Fate::Known));
            self.queue.moving.leave(&sending.parcel);
            self.queue.backlog.withdraw(ticket);
        }
        known
    }

    /// A topic that the transaction may not write to: its records wait, the others go again.
    pub(super) fn barred(&mut self, topic: &str, why: &str, now: Instant) {
        if self.exact.as_ref().is_some_and(|exact| exact.topic() == topic) {
            self.seldom.warn(now, "cursors", || format!("the cursors' topic \"{topic}\": {why}"));
        } else if *self.post.letters() == crate::letter::Letters::Topic(topic.to_owned()) {
            self.letter_refused(why, now);
        } else {
            self.topic_waits(topic, why, now);
            // Who tried in vain waits with the others for the next try.
            for sending in self.queue.backlog.open_mut().filter(|sending| sending.as_ == As::Probe)
            {
                if self.post.topic_of(&sending.parcel).as_deref() == Some(topic) {
                    sending.as_ = As::Event;
                }
            }
        }
        self.queue.backlog.fail();
    }
}
