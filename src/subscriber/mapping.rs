//! What can be changed while the subscriber runs: which topics events may go to, and what becomes of them.

use std::time::Duration;

use crate::config::{Settings, Target};
use crate::route::Route;
use crate::topics::Allowed;

/// What records become, and where they may go.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// What they become.
    pub route: Route,
    /// Where they may go; None where there are no topics.
    pub rules: Option<Rules>,
}

/// Which topics there may be.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Those events may go to.
    pub allowed: Allowed,
    /// Missing ones are made.
    pub create: bool,
    /// How long records wait for one.
    pub grace: Duration,
}

impl From<Settings> for Mapping {
    fn from(settings: Settings) -> Mapping {
        let rules = match settings.target {
            Target::Kafka(kafka) => {
                Some(Rules { allowed: kafka.allowed, create: kafka.create, grace: kafka.grace })
            }
            Target::Lines(_) => None,
        };
        Mapping { route: settings.route, rules }
    }
}
