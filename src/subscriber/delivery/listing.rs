//! What the cluster says: which topics there are, the program's own among them, and those that are made.

use std::time::{Duration, Instant};

use crate::cluster::{Answer, New};
use crate::cursor_topic;
use crate::letter::{self, Letters};
use crate::queue::Queue;

use super::Delivery;

/// Topics that are made at once.
const AT_ONCE: usize = 100;
/// That Kafka is away is said this often.
const REMIND: Duration = Duration::from_secs(10);
/// A topic of the program's own that the cluster will not make is asked for again after this time.
const OWN: Duration = Duration::from_secs(60);

impl Delivery {
    pub(super) fn hear_cluster(&mut self, now: Instant) {
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
                    self.look_for_own(now);
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
                    if let (true, Some(flag)) = (final_, self.flag_of(&topic)) {
                        self.own_again = Some(now + OWN);
                        let why = format!("{flag}{topic} cannot be made: {why}");
                        self.hopeless = (!self.ever_begun).then_some(why);
                    }
                    self.seldom
                        .warn(now, "create", || format!("topic \"{topic}\" was not made: {why}"));
                }
            }
        }
        self.answers = answers;
    }

    /// The program's own topics, and how they are made.
    fn own_topics(&self) -> Vec<New> {
        let letters = match self.post.letters() {
            Letters::Topic(topic) => Some((topic.as_str(), &letter::CONFIG[..])),
            Letters::File(_) => None,
        };
        let cursors = self.exact.as_ref().map(|exact| (exact.topic(), &cursor_topic::CONFIG[..]));
        let new =
            |(topic, config): (&str, &[_])| New { topic: topic.into(), config: config.into() };
        letters.into_iter().chain(cursors).map(new).collect()
    }

    /// The flag that names a topic of the program's own.
    fn flag_of(&self, topic: &str) -> Option<&'static str> {
        match self.post.letters() {
            Letters::Topic(letters) if letters == topic => Some("--dead-letter topic:"),
            _ if self.exact.as_ref()?.topic() == topic => Some("--cursors "),
            _ => None,
        }
    }

    /// The program's own topics are there before anything is sent, or Kafka is asked to make them.
    fn look_for_own(&mut self, now: Instant) {
        let mut missing = self.own_topics();
        missing.retain(|new| self.topics.partitions(&new.topic).is_none());
        self.begun = missing.is_empty();
        self.ever_begun |= self.begun;
        self.missing =
            missing.first().map(|new| format!("topic \"{}\" is not there yet", new.topic));
        if !self.begun && self.own_again.is_none_or(|at| at <= now) {
            self.cluster.create(missing);
        }
    }

    /// Whether something waits for Kafka's next answer: a producer that brings nothing through, too.
    pub(super) fn waits(&self) -> bool {
        let Queue { backlog, rooms, parked, .. } = &self.queue;
        let stuck = backlog.failures() > 0 || parked.why().is_some();
        stuck || rooms.len() > 0 || !self.begun || self.down.is_some()
    }

    pub(super) fn ask_cluster(&mut self, now: Instant) {
        if self.listing.is_none() && self.topics.wants_listing(self.waits(), now) {
            self.listing = Some(now);
            self.cluster.list();
        }
        if !self.creating {
            let wanted = std::iter::from_fn(|| self.topics.wants_creation()).take(AT_ONCE);
            let new: Vec<New> = wanted.map(|topic| New { topic, config: Vec::new() }).collect();
            if !new.is_empty() {
                self.creating = true;
                self.cluster.create(new);
            }
        }
    }

    pub(super) fn down(&mut self, now: Instant, why: String) {
        let why = format!("{}: {why}", self.post.access().servers());
        // At once when it begins, then now and then: it may be away for hours.
        let again = if self.down.is_some() { REMIND } else { Duration::from_secs(1) };
        self.seldom.warn_once_in(again, now, "down", || why.clone());
        self.down = Some(why);
    }
}
