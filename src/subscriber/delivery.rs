//! Kafka as a sink: the loop's side of `queue`, `topics`, `cluster` and `post`.
//!
//! What is kept of a record is a reference into the batch it came in; it is read again each time it is sent.

mod exactly;
mod listing;
mod reports;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use sparkngin_core::feed::{self, Welcome};
use sparkngin_core::id::{Region, Stream};

use crate::backlog::Step;
use crate::cluster::{Answer, Cluster};
use crate::flight::{Fate, FeedNo};
use crate::kafka::Note;
use crate::mapping::Mapping;
use crate::plan::Plan;
use crate::post::{As, Post, Put};
use crate::queue::Queue;
use crate::report::Seldom;
use crate::sink::{Batch, Condition, End, Report, Sink};
use crate::topics::Topics;
use crate::wake::Waker;

pub use exactly::ExactPlan;

use exactly::Exact;
use reports::PURGE;

/// A Kafka that takes records and reports nothing for so long is no longer taken for well.
const SILENCE: Duration = Duration::from_secs(3);
/// The longest pause while something waits that nobody will report.
const PAUSE: Duration = Duration::from_secs(1);

/// The sink.
pub struct Delivery {
    post: Post,
    topics: Topics,
    queue: Queue,
    cluster: Cluster,
    notes: Vec<Note>,
    answers: Vec<Answer>,
    /// When the question was asked that is not answered yet.
    listing: Option<Instant>,
    /// A topic is being made for events.
    creating: bool,
    /// Since when reports are collected, and when the queue was last purged.
    collecting: Option<(Instant, Instant)>,
    renewed: u64,
    /// Why the last letter became one.
    dead: Option<String>,
    /// When Kafka last reported something, or had nothing to report.
    heard: Instant,
    /// Nothing was reported for too long.
    silent: bool,
    /// Transactions, if each record is to be there once.
    exact: Option<Exact>,
    /// The cluster was listed and there is a place for letters, and one for cursors.
    begun: bool,
    /// It had begun once: then nothing is hopeless.
    ever_begun: bool,
    /// The program's own topics are not asked for before this time.
    own_again: Option<Instant>,
    down: Option<String>,
    hopeless: Option<String>,
    missing: Option<String>,
    closed: bool,
    seldom: Seldom,
}

impl Delivery {
    /// Makes the clients; they connect by themselves.
    ///
    /// # Errors
    /// A sentence: what librdkafka or the system says of the configuration.
    pub fn new(plan: Plan, waker: Waker, now: Instant) -> Result<Delivery, String> {
        let cluster = Cluster::new(&plan.access, waker.clone())?;
        let post = Post::new(plan.access, plan.route, plan.letters, waker.clone())?;
        let exact = plan.exact.map(|plan| Exact::new(plan, &post, waker)).transpose()?;
        Ok(Delivery {
            post,
            topics: plan.topics,
            queue: Queue::new(plan.patience, exact.is_some(), now),
            exact,
            cluster,
            notes: Vec::new(),
            answers: Vec::new(),
            listing: None,
            creating: false,
            collecting: None,
            renewed: 0,
            dead: None,
            heard: now,
            silent: false,
            begun: false,
            ever_begun: false,
            own_again: None,
            down: Some("Kafka has not answered yet".to_owned()),
            hopeless: None,
            missing: None,
            closed: false,
            seldom: Seldom::default(),
        })
    }

    /// Sends what is held, then what is new, until the producer is full.
    fn send(&mut self, now: Instant, reports: &mut Vec<Report>) {
        let open = |exact: &Exact| exact.is_open();
        while self.exact.as_ref().is_none_or(open)
            && self.send_held(now, reports)
            && self.queue.backlog.has_room()
            && self.queue.bring()
        {}
    }

    /// False if the producer takes no more.
    fn send_held(&mut self, now: Instant, reports: &mut Vec<Report>) -> bool {
        loop {
            if self.skip_known(reports) {
                continue;
            }
            let Queue { backlog, rooms, moving, parked, .. } = &mut self.queue;
            let Some((ticket, sending)) = backlog.next() else { return true };
            if matches!(sending.as_, As::Letter(_)) && parked.holds(sending.order) {
                parked.wait(sending.order, sending.clone());
                backlog.withdraw(ticket);
                continue;
            }
            let trial = match sending.as_ {
                As::Probe => true,
                As::Letter(_) => parked.why().is_some(),
                As::Event => false,
            };
            if trial && self.exact.as_mut().is_some_and(|exact| !exact.is_empty_for_trial()) {
                return false;
            }
            let put = self.post.put(sending, ticket, &mut self.topics, rooms, now);
            match put {
                Put::Out => {
                    let exact = self.exact.as_mut();
                    let room = exact.is_none_or(|exact| exact.sent(sending, trial, now));
                    backlog.handed(ticket);
                    if !room {
                        return false;
                    }
                }
                Put::Full => return false,
                Put::Aside => {
                    moving.leave(&sending.parcel);
                    backlog.withdraw(ticket);
                }
                Put::Letter(reason) => sending.as_ = As::Letter(reason),
                Put::Refused(why) => {
                    parked.refused(&why, now);
                    self.seldom.warn(now, "letter", || format!("the dead letter: {why}"));
                }
                Put::Broken(why) => {
                    self.seldom.warn(now, "fatal", || format!("the producer ended: {why}"));
                    backlog.fail();
                    return false;
                }
            }
        }
    }

    fn next_turn(&mut self, now: Instant) -> Instant {
        match self.queue.backlog.step(now) {
            Step::Rest(until) => until.min(now + PAUSE),
            Step::Collect => now + PURGE,
            Step::Judge | Step::Replace(_) => now,
            Step::Send if self.post.has_letters() => now + PAUSE,
            // Full, and nobody will say when it is not: a place for letters is missing.
            Step::Send if !self.queue.backlog.has_room() && self.queue.backlog.out() == 0 => {
                now + PAUSE
            }
            Step::Send if self.waits() || self.queue.backlog.out() > 0 => now + PAUSE,
            Step::Send => now + 10 * PAUSE,
        }
    }
}

impl Sink for Delivery {
    fn take(&mut self, batch: Batch) {
        self.queue.take(batch);
    }

    fn turn(&mut self, now: Instant, reports: &mut Vec<Report>) -> Option<Instant> {
        self.hear_cluster(now);
        // Taken before the producer's notes: what a commit answers for was noted before it was answered.
        let mut said = Vec::new();
        self.exact.iter().for_each(|exact| exact.said(&mut said));
        self.hear_producer(now, reports);
        self.hear_transactions(said, now, reports);
        let commits = self.exact.as_ref().is_some_and(Exact::is_committing);
        if self.queue.backlog.out() == 0 && !commits {
            self.heard = now;
        }
        self.silent = now.duration_since(self.heard) >= SILENCE;
        if self.closed {
            self.close_transaction(true, now);
            return None;
        }
        self.ask_cluster(now);
        if let (true, Some(exact)) = (self.ever_begun, &mut self.exact) {
            exact.begin(now);
        }
        if let Some(why) = self.queue.look_into_rooms(&mut self.topics, now) {
            self.seldom.warn(now, "waiting", || why);
        }
        self.queue.retry_letter(now);
        match self.queue.backlog.step(now) {
            Step::Send if self.ever_begun => {
                self.send(now, reports);
                self.close_transaction(false, now);
            }
            Step::Send | Step::Rest(_) => {}
            Step::Collect => self.collect(now),
            Step::Judge => self.judge(now),
            Step::Replace(batching) => self.renew(batching, now),
        }
        let settled = self.post.sync_letters(|parcel| reports.push(parcel.report(Fate::Dead)));
        if let Err(error) = settled {
            self.seldom.warn(now, "letter", || format!("the dead letter's file: {error}"));
        }
        let due = self.exact.as_ref().and_then(Exact::due);
        let next = self.next_turn(now);
        Some(due.map_or(next, |due| due.min(next)))
    }

    fn condition(&self) -> Condition {
        let failures = self.queue.backlog.failures();
        let stuck = (failures > 0)
            .then(|| format!("{failures} producers in a row brought nothing through"));
        let refused = self.queue.parked.why().map(|why| format!("the dead letter refuses: {why}"));
        let missing = self.missing.clone().filter(|_| !self.begun);
        let silent = self.silent.then(|| {
            let servers = self.post.access().servers();
            format!("{servers}: Kafka has reported nothing for {} s", SILENCE.as_secs())
        });
        let unread = self.exact.as_ref().and_then(Exact::unready);
        let sent = self.queue.backlog.out() + self.queue.backlog.inside();
        Condition {
            unready: self.down.clone().or(silent).or(stuck).or(missing).or(unread).or(refused),
            out: match &self.exact {
                Some(exact) if !exact.is_under_way() => 0,
                _ => sent,
            },
            waiting: self.queue.rooms.len() + self.queue.parked.len(),
            sent_again: self.queue.backlog.again(),
            renewed: self.renewed,
            dead: self.dead.clone(),
        }
    }

    fn over(&self) -> Option<End> {
        let hopeless = self.hopeless.clone().map(End::Wrong);
        hopeless.or_else(|| self.exact.as_ref()?.over())
    }

    fn wants_feeds(&self) -> bool {
        self.exact.as_ref().is_none_or(Exact::is_ready)
    }

    fn welcome(&mut self, feed: FeedNo, welcome: &Welcome, now: Instant) {
        if let Some(exact) = &mut self.exact {
            exact.welcome(feed, welcome, now);
        }
    }

    fn contest(&mut self, now: Instant) -> bool {
        let contests = self.exact.as_mut().is_some_and(|exact| exact.contest(now));
        if contests {
            self.queue.backlog.fail();
        }
        contests
    }

    fn keeps_books(&self) -> bool {
        self.exact.is_some()
    }

    fn moved(&mut self, see: &mut dyn FnMut(FeedNo, (Region, Stream), feed::Place)) {
        if let Some(exact) = &mut self.exact {
            exact.moved(see);
        }
    }

    fn moving(&self, feed: FeedNo) -> u64 {
        self.queue.moving.of(feed)
    }

    fn hurry(&mut self, feed: FeedNo) {
        self.queue.hurry(&self.topics, feed);
    }

    fn adapt(&mut self, mapping: Mapping) {
        self.post.go_by(mapping.route);
        if let Some(rules) = mapping.rules {
            self.topics.go_by(rules);
        }
    }

    fn close(&mut self) {
        self.closed = true;
    }
}
