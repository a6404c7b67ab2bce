//! What is known of one topic: that it is there, that it is missing and whether somebody makes it, or that it refuses
//! records; and how long that has been so.

use std::time::{Duration, Instant};

use super::Verdict;

/// One record tries a refusing topic again after this time.
pub(super) const PROBE: Duration = Duration::from_secs(5);

/// The state of a topic.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Open {
        partitions: i32,
        /// When a record last asked for it.
        wanted: Instant,
    },
    /// Not in the cluster.
    Missing {
        since: Instant,
        /// How long listings said so, without the times in which Kafka did not answer.
        away: Duration,
        /// When a record last asked for it.
        wanted: Instant,
        reason: String,
        create: Creation,
    },
    /// In the cluster, and refusing records.
    Refused {
        since: Instant,
        /// As a missing one's.
        away: Duration,
        reason: String,
        probe: Instant,
    },
}

/// How far the making of a missing topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    Not,
    Wanted,
    Asked,
    /// It was not made; wanted again after the next listing.
    Failed,
    /// The cluster will not make it; wanted again after this time.
    Later(Instant),
}

impl Known {
    /// Missing since now.
    pub(super) fn missing(topic: &str, now: Instant, create: Creation) -> Known {
        let reason = missing(topic);
        Known::Missing { since: now, away: Duration::ZERO, wanted: now, reason, create }
    }

    /// What to do with a record for it. `told`: a listing that is younger than the record says so.
    pub(super) fn verdict(
        &mut self,
        create: bool,
        grace: Duration,
        told: bool,
        now: Instant,
    ) -> Verdict {
        match self {
            Known::Open { partitions, wanted } => {
                *wanted = now;
                Verdict::Send { partitions: *partitions }
            }
            Known::Missing { away, wanted, reason, create: creation, .. } => {
                *wanted = now;
                if create && *creation == Creation::Not {
                    *creation = Creation::Wanted;
                }
                let making = matches!(creation, Creation::Wanted | Creation::Asked);
                match *away >= grace && told && !making {
                    true => Verdict::Letter(reason.clone()),
                    false => Verdict::Wait,
                }
            }
            // Even after the grace: or nobody would find out that it takes records again.
            Known::Refused { probe, .. } if *probe <= now => {
                *probe = now + PROBE;
                Verdict::Probe
            }
            Known::Refused { away, reason, .. } if *away >= grace => {
                Verdict::Letter(reason.clone())
            }
            Known::Refused { .. } => Verdict::Wait,
        }
    }

    /// Kafka answered `before`, and again now.
    pub(super) fn count(&mut self, before: Option<Instant>, asked: Instant) {
        if let (
            Some(before),
            Known::Missing { away, since, .. } | Known::Refused { away, since, .. },
        ) = (before, self)
        {
            *away += asked.saturating_duration_since(before.max(*since));
        }
    }

    /// A listing came: what was not made may be asked for again.
    pub(super) fn create_again(&mut self, now: Instant) {
        if let Known::Missing { create, .. } = self {
            match create {
                Creation::Failed => *create = Creation::Wanted,
                Creation::Later(at) if *at <= now => *create = Creation::Wanted,
                _ => {}
            }
        }
    }
}

/// Why a record for a missing topic waits.
pub(super) fn missing(topic: &str) -> String {
    format!("topic \"{topic}\" does not exist")
}
