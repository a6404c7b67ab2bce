//! Which topics events may go to, which exist with how many partitions, and which must be waited for.
//!
//! Pure: a listing of the cluster comes in, verdicts go out. Neither an outsider's invented topics nor a missing one
//! may stop the others: invented ones are decided by one listing, waiting ones by a time, and the number is limited.

mod known;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::mapping::Rules;

use self::known::{Creation, Known, PROBE, missing};

/// Topics that events go to, at most: each costs the client and the brokers memory.
pub const MOST: usize = 1_000;
/// Listings at most one in this time while something waits.
const LISTING: Duration = Duration::from_secs(1);
/// And one in this time when nothing does: partitions are added now and then.
const REFRESH: Duration = Duration::from_secs(60);
/// A topic that no record asked for in this time takes no place any more.
const IDLE: Duration = Duration::from_secs(600);
/// A topic that the cluster will not make is asked for again after this time: rights and policies change.
const RETRY: Duration = Duration::from_secs(60);

/// Which topics events may go to.
#[derive(Clone, Debug)]
pub enum Allowed {
    /// Whatever exists and does not begin with `_`.
    Existing,
    /// These.
    Listed(Vec<Pattern>),
}

/// One entry of `--topics`.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Exactly this name.
    Name(String),
    /// Names that match this, whole.
    Matches(Regex),
}

/// What to do with a record for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It exists.
    Send {
        /// How many partitions it has.
        partitions: i32,
    },
    /// It refuses records: this one, alone, tries whether it still does.
    Probe,
    /// Not yet decided: keep the record, ask again after the next listing or creation.
    Wait,
    /// It may not, or cannot, go there.
    Letter(String),
}

/// Everything known about topics.
#[derive(Debug)]
pub struct Topics {
    allowed: Allowed,
    create: bool,
    grace: Duration,
    /// The program's own topics, of letters and cursors: events may not name them.
    own: Vec<String>,
    cluster: HashMap<String, i32>,
    /// When the question was asked that the last listing answered.
    listed: Option<Instant>,
    /// The same, unless Kafka was silent since.
    answered: Option<Instant>,
    asked: Option<Instant>,
    /// Something was made: the next listing is due at once.
    due: bool,
    used: HashMap<String, Known>,
}

impl Topics {
    /// Nothing is known yet.
    pub fn new(allowed: Allowed, create: bool, grace: Duration, own: Vec<String>) -> Topics {
        Topics {
            allowed,
            create,
            grace,
            own,
            cluster: HashMap::new(),
            listed: None,
            answered: None,
            asked: None,
            due: false,
            used: HashMap::new(),
        }
    }

    /// From now on these rules hold, for records that wait, too.
    pub fn go_by(&mut self, rules: Rules) {
        (self.allowed, self.create, self.grace) = (rules.allowed, rules.create, rules.grace);
        let mut used = std::mem::take(&mut self.used);
        used.retain(|topic, _| self.forbidden(topic).is_none());
        self.used = used;
        self.due = true;
    }

    /// What to do with a record for this topic, which came at `came`.
    pub fn verdict(&mut self, topic: &str, came: Instant, now: Instant) -> Verdict {
        if let Some(known) = self.used.get_mut(topic) {
            // What a listing said before the record came may be otherwise by now.
            let told = self.listed.is_some_and(|listed| listed >= came);
            return known.verdict(self.create, self.grace, told, now);
        }
        if let Some(reason) = self.forbidden(topic) {
            return Verdict::Letter(reason);
        }
        if let Some(&partitions) = self.cluster.get(topic) {
            return self.admit(topic, Known::Open { partitions, wanted: now });
        }
        let Some(listed) = self.listed else { return Verdict::Wait };
        if matches!(self.allowed, Allowed::Existing) && !self.create {
            // Nobody promised that this topic will ever be: one listing that is younger than the record decides.
            let decided = listed >= came;
            return if decided { Verdict::Letter(missing(topic)) } else { Verdict::Wait };
        }
        let create = if self.create { Creation::Wanted } else { Creation::Not };
        self.admit(topic, Known::missing(topic, now, create))
    }

    /// The partitions of a topic that exists, whether or not events may go there.
    pub fn partitions(&self, topic: &str) -> Option<i32> {
        self.cluster.get(topic).copied()
    }

    /// The cluster's topics, whole, as they were asked for at `asked`.
    pub fn list(&mut self, topics: impl IntoIterator<Item = (String, i32)>, asked: Instant) {
        self.cluster = topics.into_iter().filter(|(_, partitions)| *partitions > 0).collect();
        self.listed = Some(asked);
        let before = self.answered.replace(asked);
        for (topic, known) in &mut self.used {
            match (self.cluster.get(topic), &*known) {
                (Some(&partitions), Known::Open { wanted, .. } | Known::Missing { wanted, .. }) => {
                    *known = Known::Open { partitions, wanted: *wanted };
                }
                (None, Known::Open { .. } | Known::Refused { .. }) => {
                    // Made again only if a record asks for it: perhaps it was deleted for good.
                    *known = Known::missing(topic, asked, Creation::Not);
                }
                (Some(_), Known::Refused { .. }) | (None, Known::Missing { .. }) => {
                    known.count(before, asked);
                }
            }
            known.create_again(asked);
        }
        // Names nobody asks for any more take no place.
        let unused = self.grace.max(RETRY);
        self.used.retain(|_, known| match known {
            Known::Missing { wanted, .. } => asked.saturating_duration_since(*wanted) <= unused,
            Known::Open { wanted, .. } => asked.saturating_duration_since(*wanted) <= IDLE,
            Known::Refused { .. } => true,
        });
    }

    /// Kafka did not answer: no topic is at fault for this time.
    pub fn silent(&mut self) {
        self.answered = None;
    }

    /// A topic was made.
    pub fn made(&mut self) {
        self.due = true;
    }

    /// True, at most once a second, when a listing is due; `waiting` says whether records wait.
    pub fn wants_listing(&mut self, waiting: bool, now: Instant) -> bool {
        let pause = if waiting || self.listed.is_none() { LISTING } else { REFRESH };
        let due = self.due || self.asked.is_none_or(|at| now.duration_since(at) >= pause);
        if due {
            self.asked = Some(now);
            self.due = false;
        }
        due
    }

    /// A topic that is to be made now, each one once.
    pub fn wants_creation(&mut self) -> Option<String> {
        self.used.iter_mut().find_map(|(topic, known)| match known {
            Known::Missing { create: create @ Creation::Wanted, .. } => {
                *create = Creation::Asked;
                Some(topic.clone())
            }
            _ => None,
        })
    }

    /// The cluster did not make it; it is asked again after the next listing, or rarely when it will not.
    pub fn not_created(&mut self, topic: &str, why: &str, final_: bool, now: Instant) {
        if let Some(Known::Missing { reason, create, .. }) = self.used.get_mut(topic) {
            *reason = format!("{} and was not made: {why}", missing(topic));
            *create = if final_ { Creation::Later(now + RETRY) } else { Creation::Failed };
        }
    }

    /// Kafka refuses records for this topic: they wait from now on, or from when it first did.
    pub fn refused(&mut self, topic: &str, why: &str, now: Instant) {
        if let Some(Known::Refused { .. } | Known::Missing { .. }) = self.used.get(topic) {
            return;
        }
        let reason = format!("topic \"{topic}\": {why}");
        let (away, probe) = (Duration::ZERO, now + PROBE);
        let refused = Known::Refused { since: now, away, reason, probe };
        self.used.insert(topic.to_owned(), refused);
    }

    /// The record that tried again was taken: the topic is open.
    pub fn works(&mut self, topic: &str, now: Instant) {
        if let (Some(known), Some(&partitions)) =
            (self.used.get_mut(topic), self.cluster.get(topic))
        {
            *known = Known::Open { partitions, wanted: now };
        }
    }

    /// Why records for this topic wait, if it is the topic's fault: Kafka answered the last question, the topic was
    /// not there, or refused records, and nobody is making it just now.
    pub fn away(&self, topic: &str) -> Option<&str> {
        let (listed, asked) = (self.listed?, self.asked);
        if asked.is_some_and(|at| at > listed) {
            return None;
        }
        match self.used.get(topic)? {
            Known::Missing { create: Creation::Wanted | Creation::Asked, .. } => None,
            Known::Missing { since, reason, .. } | Known::Refused { since, reason, .. } => {
                (listed >= *since).then_some(reason.as_str())
            }
            Known::Open { .. } => None,
        }
    }

    fn admit(&mut self, topic: &str, known: Known) -> Verdict {
        // Missing ones that nobody makes take no place from those that are there, and the other way round.
        let idle = |k: &Known| {
            matches!(k, Known::Missing { create: Creation::Not | Creation::Later(_), .. })
        };
        if self.used.values().filter(|k| idle(k) == idle(&known)).count() >= MOST {
            return Verdict::Letter(format!("topic \"{topic}\" would be one more than {MOST}"));
        }
        let verdict = match &known {
            Known::Open { partitions, .. } => Verdict::Send { partitions: *partitions },
            Known::Missing { .. } | Known::Refused { .. } => Verdict::Wait,
        };
        self.used.insert(topic.to_owned(), known);
        verdict
    }

    fn forbidden(&self, topic: &str) -> Option<String> {
        if self.own.iter().any(|own| own == topic) {
            return Some(format!("topic \"{topic}\" is the subscriber's own"));
        }
        match &self.allowed {
            Allowed::Existing => {
                topic.starts_with('_').then(|| format!("topic \"{topic}\" starts with \"_\""))
            }
            Allowed::Listed(patterns) => (!patterns.iter().any(|pattern| pattern.has(topic)))
                .then(|| format!("topic \"{topic}\" is not among --topics")),
        }
    }
}

impl Pattern {
    /// Whether it names this topic.
    pub fn has(&self, topic: &str) -> bool {
        match self {
            Pattern::Name(name) => name == topic,
            Pattern::Matches(regex) => regex.is_match(topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(300);

    fn existing(now: Instant) -> Topics {
        let mut topics = Topics::new(Allowed::Existing, false, GRACE, vec!["dead".into()]);
        topics.list([("a".into(), 3), ("_b".into(), 1), ("dead".into(), 1)], now);
        topics
    }

    #[test]
    fn without_a_list_what_exists_is_allowed_but_for_underscores_and_the_dead_letter() {
        let now = Instant::now();
        let mut topics = existing(now);
        assert_eq!(topics.verdict("a", now, now), Verdict::Send { partitions: 3 });
        assert!(matches!(topics.verdict("_b", now, now), Verdict::Letter(_)));
        assert!(matches!(topics.verdict("dead", now, now), Verdict::Letter(_)));
    }

    #[test]
    fn new_rules_hold_for_topics_that_are_in_use_and_for_records_that_wait() {
        let now = Instant::now();
        let mut topics = existing(now);
        assert_eq!(topics.verdict("a", now, now), Verdict::Send { partitions: 3 });
        let listed = |names: &[&str]| {
            let names = names.iter().map(|name| Pattern::Name((*name).to_owned()));
            Rules { allowed: Allowed::Listed(names.collect()), create: false, grace: GRACE }
        };
        topics.go_by(listed(&["b"]));
        assert!(
            matches!(topics.verdict("a", now, now), Verdict::Letter(_)),
            "in use, and forbidden"
        );
        assert_eq!(topics.verdict("b", now, now), Verdict::Wait);
        assert_eq!(topics.wants_creation(), None);
        topics.go_by(Rules { create: true, ..listed(&["a", "b"]) });
        assert_eq!(topics.verdict("a", now, now), Verdict::Send { partitions: 3 });
        assert_eq!(topics.verdict("b", now, now), Verdict::Wait);
        assert_eq!(topics.wants_creation().as_deref(), Some("b"), "it waits, and is made now");
        assert!(matches!(topics.verdict("dead", now, now), Verdict::Letter(_)), "still its own");
    }

    #[test]
    fn an_unknown_topic_is_decided_by_a_listing_that_is_younger_than_the_record() {
        let now = Instant::now();
        let came = now + Duration::from_secs(5);
        let mut topics = existing(now);
        assert_eq!(topics.verdict("new", came, came), Verdict::Wait);
        assert!(topics.wants_listing(true, came));
        assert!(!topics.wants_listing(true, came), "at most one a second");
        topics.list([("a".into(), 3)], came);
        assert!(matches!(topics.verdict("new", came, came), Verdict::Letter(_)));
        topics.list([("a".into(), 3), ("new".into(), 2)], came);
        assert_eq!(topics.verdict("new", came, came), Verdict::Send { partitions: 2 });
    }

    #[test]
    fn before_the_first_listing_everything_legal_waits() {
        let now = Instant::now();
        let mut topics = Topics::new(Allowed::Existing, false, GRACE, vec![]);
        assert_eq!(topics.verdict("a", now, now), Verdict::Wait);
        assert!(matches!(topics.verdict("_a", now, now), Verdict::Letter(_)));
    }

    #[test]
    fn a_listed_topic_that_is_missing_waits_for_the_grace_and_no_longer() {
        let now = Instant::now();
        let names =
            vec![Pattern::Name("x".into()), Pattern::Matches(Regex::new("^(?:y.*)$").unwrap())];
        let mut topics = Topics::new(Allowed::Listed(names), false, GRACE, vec![]);
        topics.list([], now);
        assert_eq!(topics.verdict("x", now, now), Verdict::Wait);
        assert_eq!(topics.verdict("y1", now, now), Verdict::Wait);
        assert!(matches!(topics.verdict("z", now, now), Verdict::Letter(_)));
        assert_eq!(topics.verdict("x", now, now + 2 * GRACE), Verdict::Wait, "Kafka is away");
        topics.list([], now + GRACE);
        assert!(matches!(topics.verdict("x", now, now + GRACE), Verdict::Letter(_)));
        topics.list([("x".into(), 1)], now + GRACE);
        assert_eq!(topics.verdict("x", now, now + GRACE), Verdict::Send { partitions: 1 });
        topics.list([], now + GRACE);
        assert_eq!(topics.verdict("x", now, now + GRACE), Verdict::Wait, "deleted: from now on");
    }

    #[test]
    fn topics_are_made_when_asked_for_each_once_and_a_thousand_at_most() {
        let now = Instant::now();
        let mut topics = Topics::new(Allowed::Existing, true, GRACE, vec![]);
        topics.list([], now);
        for n in 0..MOST {
            assert_eq!(topics.verdict(&format!("t{n}"), now, now), Verdict::Wait);
            assert_eq!(topics.wants_creation(), Some(format!("t{n}")));
            assert_eq!(topics.wants_creation(), None);
        }
        assert!(matches!(topics.verdict("more", now, now), Verdict::Letter(_)));
        topics.not_created("t0", "policy", true, now);
        assert_eq!(topics.wants_creation(), None);
        topics.verdict("t0", now, now + GRACE - LISTING);
        topics.list([], now + GRACE);
        assert_eq!(topics.verdict("t0", now, now + GRACE), Verdict::Wait, "it is asked for again");
        assert_eq!(topics.wants_creation().as_deref(), Some("t0"));
        assert_eq!(topics.verdict("t0", now, now + GRACE), Verdict::Wait, "no answer yet");
        topics.not_created("t0", "policy", true, now + GRACE);
        let Verdict::Letter(reason) = topics.verdict("t0", now, now + GRACE) else { panic!() };
        assert!(reason.ends_with("policy"), "{reason}");
    }

    #[test]
    fn a_refused_topic_waits_though_it_exists_and_one_record_tries_again_now_and_then() {
        let now = Instant::now();
        let mut topics = existing(now);
        topics.verdict("a", now, now);
        topics.refused("a", "not authorized", now);
        topics.list([("a".into(), 3)], now);
        assert_eq!(topics.verdict("a", now, now), Verdict::Wait);
        let later = now + PROBE;
        assert_eq!(topics.verdict("a", now, later), Verdict::Probe);
        assert_eq!(topics.verdict("a", now, later), Verdict::Wait);
        topics.refused("a", "not authorized", later);
        topics.list([("a".into(), 3)], now + GRACE);
        let over = now + GRACE;
        assert_eq!(topics.verdict("a", over, over), Verdict::Probe, "else nobody would find out");
        assert!(matches!(topics.verdict("a", over, over), Verdict::Letter(_)), "since the first");
        topics.works("a", now);
        assert_eq!(topics.verdict("a", now, later), Verdict::Send { partitions: 3 });
    }

    #[test]
    fn a_missing_topic_is_at_fault_only_while_kafka_answers_and_nobody_makes_it() {
        let now = Instant::now();
        let later = now + LISTING;
        let mut topics = Topics::new(Allowed::Existing, true, GRACE, vec![]);
        topics.list([], now);
        assert_eq!(topics.verdict("new", now, now), Verdict::Wait);
        assert_eq!(topics.away("new"), None, "it will be made");
        assert_eq!(topics.wants_creation().as_deref(), Some("new"));
        topics.not_created("new", "policy", true, now);
        assert!(topics.away("new").is_some());
        assert!(topics.wants_listing(true, later));
        assert_eq!(topics.away("new"), None, "the question is not answered");
        topics.list([], later);
        assert!(topics.away("new").is_some());
    }

    #[test]
    fn the_grace_counts_only_while_kafka_answers_and_ends_by_a_listing_younger_than_the_record() {
        let now = Instant::now();
        let mut topics =
            Topics::new(Allowed::Listed(vec![Pattern::Name("x".into())]), false, GRACE, vec![]);
        topics.list([], now);
        assert_eq!(topics.verdict("x", now, now), Verdict::Wait);
        topics.silent();
        let back = now + 2 * GRACE;
        topics.list([], back);
        assert_eq!(topics.verdict("x", now, back), Verdict::Wait, "Kafka was away, not the topic");
        topics.list([], back + GRACE);
        let came = back + GRACE + LISTING;
        assert_eq!(topics.verdict("x", came, came), Verdict::Wait, "that listing is older");
        topics.list([], came);
        assert!(matches!(topics.verdict("x", came, came), Verdict::Letter(_)));
    }

    #[test]
    fn a_deleted_topic_is_made_again_only_for_a_record_and_a_missing_one_is_forgotten() {
        let now = Instant::now();
        let mut topics = Topics::new(Allowed::Existing, true, GRACE, vec![]);
        topics.list([("a".into(), 1)], now);
        assert_eq!(topics.verdict("a", now, now), Verdict::Send { partitions: 1 });
        topics.list([], now);
        assert_eq!(topics.wants_creation(), None, "nobody asks for it");
        assert_eq!(topics.verdict("a", now, now), Verdict::Wait);
        assert_eq!(topics.wants_creation().as_deref(), Some("a"));
        topics.list([], now + 2 * GRACE);
        assert_eq!(topics.used.len(), 0);
    }

    #[test]
    fn a_topic_that_nobody_asks_for_any_more_takes_no_place() {
        let now = Instant::now();
        let names = || (0..MOST + 1).map(|n| (format!("t{n}"), 1));
        let mut topics = Topics::new(Allowed::Existing, false, GRACE, vec![]);
        topics.list(names(), now);
        for (name, _) in names().take(MOST) {
            assert_eq!(topics.verdict(&name, now, now), Verdict::Send { partitions: 1 });
        }
        let last = format!("t{MOST}");
        assert!(matches!(topics.verdict(&last, now, now), Verdict::Letter(_)));
        let later = now + IDLE;
        topics.verdict("t0", later, later);
        topics.list(names(), later + LISTING);
        assert_eq!(topics.used.len(), 1, "only the one that is in use");
        assert_eq!(topics.verdict(&last, later, later), Verdict::Send { partitions: 1 });
    }

    #[test]
    fn invented_names_take_no_place_from_topics_that_are_there() {
        let now = Instant::now();
        let any = vec![Pattern::Matches(Regex::new("^(?:.*)$").unwrap())];
        let mut topics = Topics::new(Allowed::Listed(any), false, GRACE, vec![]);
        topics.list([("real".into(), 1)], now);
        for n in 0..MOST {
            assert_eq!(topics.verdict(&format!("t{n}"), now, now), Verdict::Wait);
        }
        assert!(matches!(topics.verdict("more", now, now), Verdict::Letter(_)));
        assert_eq!(topics.verdict("real", now, now), Verdict::Send { partitions: 1 });
    }
}
