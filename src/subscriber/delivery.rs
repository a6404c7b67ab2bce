//! Kafka as a sink: the loop's side of `queue`, `topics`, `cluster` and `post`.
//!
//! What is kept of a record is a reference into the batch it came in; it is read again each time it is sent.

use std::time::{Duration, Instant};

use crate::backlog::{Batching, Finding, Step};
use crate::cluster::{Answer, Cluster};
use crate::flight::{Fate, FeedNo};
use crate::kafka::Note;
use crate::letter::{LARGEST, Letters, Reason};
use crate::plan::Plan;
use crate::post::{As, Post, Put};
use crate::queue::Queue;
use crate::report::Seldom;
use crate::sink::{Batch, Condition, Report, Sink};
use crate::topics::Topics;
use crate::wake::Waker;

/// While reports are collected: how often the queue is purged anew, since what is tried again goes back into it.
const PURGE: Duration = Duration::from_millis(100);
/// What is on its way then gets so long to be reported; after that it is given up, and may have arrived.
const COLLECT: Duration = Duration::from_secs(10);
/// The topic of letters that the cluster will not make is asked for again after this time.
const LETTERS: Duration = Duration::from_secs(60);
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
    /// The cluster was listed and there is a place for letters.
    begun: bool,
    /// It had begun once: then nothing is hopeless.
    ever_begun: bool,
    /// The topic of letters is not asked for before this time.
    letters_again: Option<Instant>,
    down: Option<String>,
    hopeless: Option<String>,
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
        let post = Post::new(plan.access, plan.route, plan.letters, waker)?;
        Ok(Delivery {
            post,
            topics: plan.topics,
            queue: Queue::new(plan.patience, now),
            cluster,
            notes: Vec::new(),
            answers: Vec::new(),
            listing: None,
            creating: false,
            collecting: None,
            renewed: 0,
            begun: false,
            ever_begun: false,
            letters_again: None,
            down: Some("Kafka has not answered yet".to_owned()),
            hopeless: None,
            closed: false,
            seldom: Seldom::default(),
        })
    }

    fn hear_cluster(&mut self, now: Instant) {
        let mut answers = std::mem::take(&mut self.answers);
        self.cluster.answers(&mut answers);
        for answer in answers.drain(..) {
            self.queue.look_soon(now);
            self.creating &= matches!(answer, Answer::Listed(_) | Answer::Silent(_));
            match answer {
                Answer::Listed(topics) => {
                    let asked = self.listing.take().unwrap_or(now);
                    if self.down.take().is_some() {
                        tracing::info!(topics = topics.len(), "Kafka answers");
                    }
                    self.topics.list(topics, asked);
                    self.look_for_letters(now);
                }
                Answer::Silent(why) => {
                    self.listing = None;
                    self.topics.silent();
                    self.down(now, format!("Kafka does not answer: {why}"));
                }
                Answer::Created(topic) => {
                    tracing::info!(topic, "made a topic");
                    self.topics.made();
                }
                // Who may make it but not see it would list and make as fast as can be: the next listing tells.
                Answer::Exists => {}
                Answer::NotCreated { topic, why, final_ } => {
                    self.topics.not_created(&topic, &why, final_, now);
                    if final_ && *self.post.letters() == Letters::Topic(topic.clone()) {
                        let why = format!("--dead-letter topic:{topic} cannot be made: {why}");
                        self.letters_again = Some(now + LETTERS);
                        self.hopeless = (!self.ever_begun).then_some(why);
                    }
                    self.seldom
                        .warn(now, "create", || format!("topic \"{topic}\" was not made: {why}"));
                }
            }
        }
        self.answers = answers;
    }

    /// The topic of letters is there before anything is sent, or Kafka is asked to make it.
    fn look_for_letters(&mut self, now: Instant) {
        self.begun = match self.post.letters() {
            Letters::Topic(topic) => self.topics.partitions(topic).is_some(),
            Letters::File(_) => true,
        };
        self.ever_begun |= self.begun;
        if self.letters_again.is_some_and(|at| now < at) {
            return;
        }
        if let (false, Letters::Topic(topic)) = (self.begun, self.post.letters()) {
            self.cluster.create(topic.clone(), Some(LARGEST));
        }
    }

    /// Whether something waits for Kafka's next answer: a producer that brings nothing through, too.
    fn waits(&self) -> bool {
        let Queue { backlog, rooms, parked, .. } = &self.queue;
        let stuck = backlog.failures() > 0 || parked.why().is_some();
        stuck || rooms.len() > 0 || !self.begun || self.down.is_some()
    }

    fn ask_cluster(&mut self, now: Instant) {
        if self.listing.is_none() && self.topics.wants_listing(self.waits(), now) {
            self.listing = Some(now);
            self.cluster.list();
        }
        // One at a time, so that a thousand invented names keep no listing waiting.
        if !self.creating {
            if let Some(topic) = self.topics.wants_creation() {
                self.creating = true;
                self.cluster.create(topic, None);
            }
        }
    }

    fn down(&mut self, now: Instant, why: String) {
        self.seldom.warn(now, "down", || why.clone());
        self.down = Some(why);
    }

    fn hear_producer(&mut self, now: Instant, reports: &mut Vec<Report>) {
        let mut notes = std::mem::take(&mut self.notes);
        self.post.notes(&mut notes);
        let mut lettered = false;
        for note in notes.drain(..) {
            match note {
                Note::Report(ticket, outcome) => {
                    if outcome.is_ok() && self.down.take().is_some() {
                        tracing::info!("Kafka takes records again");
                    }
                    let (post, topics) = (&self.post, &mut self.topics);
                    let Queue { backlog, moving, .. } = &mut self.queue;
                    let seldom = &mut self.seldom;
                    backlog.report(ticket, outcome, |sending| {
                        let parcel = &sending.parcel;
                        let fate = match &sending.as_ {
                            As::Letter(reason) => {
                                lettered = true;
                                // Here they all come by, whichever way they became letters.
                                if parcel.told().is_none() {
                                    seldom.warn(now, "dead", || {
                                        let id = parcel.id();
                                        format!("{id} is in the dead letter: {}", reason.text)
                                    });
                                }
                                Fate::Dead
                            }
                            As::Event | As::Probe => Fate::Delivered,
                        };
                        if let (As::Probe, Some(topic)) = (&sending.as_, post.topic_of(parcel)) {
                            tracing::info!(topic, "the topic takes records again");
                            topics.works(&topic);
                        }
                        moving.leave(parcel);
                        reports.push(parcel.report(fate));
                    });
                }
                Note::Fatal(why) => {
                    self.seldom.warn(now, "fatal", || format!("the producer ended: {why}"));
                    self.queue.backlog.fail();
                }
                Note::Down(why) => self.down(now, format!("Kafka is away: {why}")),
                Note::Trouble(why) => tracing::debug!(why, "librdkafka"),
            }
        }
        self.notes = notes;
        if lettered {
            self.queue.letters_work();
        }
    }

    fn collect(&mut self, now: Instant) {
        let (since, purged) = self.collecting.unwrap_or((now, now));
        if self.collecting.is_none() || now.duration_since(purged) >= PURGE {
            self.post.purge(now.duration_since(since) >= COLLECT);
            self.collecting = Some((since, now));
        }
    }

    fn judge(&mut self, now: Instant) {
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
            self.topics.refused(&topic, why, now);
            self.seldom
                .warn(now, "topic", || format!("topic \"{topic}\": {why}; its records wait"));
        }
    }

    fn letter_refused(&mut self, why: &str, now: Instant) {
        self.seldom.warn(now, "letter", || format!("the dead letter: {why}"));
        self.queue.parked.refused(why, now);
    }

    fn renew(&mut self, batching: Batching, now: Instant) {
        match self.post.renew(batching) {
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

    /// Sends what is held, then what is new, until the producer is full.
    fn send(&mut self, now: Instant) {
        while self.send_held(now) && self.queue.backlog.has_room() && self.queue.bring() {}
    }

    /// False if the producer takes no more.
    fn send_held(&mut self, now: Instant) -> bool {
        let Queue { backlog, rooms, moving, parked, .. } = &mut self.queue;
        while let Some((ticket, sending)) = backlog.next() {
            if matches!(sending.as_, As::Letter(_)) && parked.holds(sending.order) {
                parked.wait(sending.order, sending.clone());
                backlog.withdraw(ticket);
                continue;
            }
            let put = self.post.put(sending, ticket, &mut self.topics, rooms, now);
            match put {
                Put::Out => backlog.handed(ticket),
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
        true
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
            Step::Send if self.waits() => now + PAUSE,
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
        self.hear_producer(now, reports);
        if self.closed {
            return None;
        }
        self.ask_cluster(now);
        if let Some(why) = self.queue.look_into_rooms(&mut self.topics, now) {
            self.seldom.warn(now, "waiting", || why);
        }
        self.queue.retry_letter(now);
        match self.queue.backlog.step(now) {
            Step::Send if self.ever_begun => self.send(now),
            Step::Send | Step::Rest(_) => {}
            Step::Collect => self.collect(now),
            Step::Judge => self.judge(now),
            Step::Replace(batching) => self.renew(batching, now),
        }
        let settled = self.post.sync_letters(|parcel| reports.push(parcel.report(Fate::Dead)));
        if let Err(error) = settled {
            self.seldom.warn(now, "letter", || format!("the dead letter's file: {error}"));
        }
        Some(self.next_turn(now))
    }

    fn condition(&self) -> Condition {
        let failures = self.queue.backlog.failures();
        let stuck = (failures > 0)
            .then(|| format!("{failures} producers in a row brought nothing through"));
        let refused = self.queue.parked.why().map(|why| format!("the dead letter refuses: {why}"));
        let no_letters = (!self.begun).then(|| "there is no dead letter yet".to_owned());
        Condition {
            unready: self.down.clone().or(stuck).or(no_letters).or(refused),
            out: self.queue.backlog.out(),
            waiting: self.queue.rooms.len() + self.queue.parked.len(),
            sent_again: self.queue.backlog.again(),
            renewed: self.renewed,
        }
    }

    fn hopeless(&self) -> Option<String> {
        self.hopeless.clone()
    }

    fn moving(&self, feed: FeedNo) -> u64 {
        self.queue.moving.of(feed)
    }

    fn hurry(&mut self, feed: FeedNo) {
        self.queue.hurry(&self.topics, feed);
    }

    fn close(&mut self) {
        self.closed = true;
    }
}
