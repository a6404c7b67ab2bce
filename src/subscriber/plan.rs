//! What a delivery begins with.

use std::time::Duration;

use crate::access::Access;
use crate::config::KafkaSettings;
use crate::delivery::ExactPlan;
use crate::letter::Letters;
use crate::route::Route;
use crate::topics::Topics;

/// What is needed to begin.
#[derive(Debug)]
pub struct Plan {
    /// How to reach Kafka.
    pub access: Access,
    /// What records become.
    pub route: Route,
    /// Which topics there may be.
    pub topics: Topics,
    /// Where letters go.
    pub letters: Letters,
    /// How long a record that the broker refuses alone, for a reason that need not be its own, is tried again.
    pub patience: Duration,
    /// Each record is to be there once, for who reads what is committed.
    pub exact: Option<ExactPlan>,
}

impl Plan {
    /// The plan of these settings. `endpoints` are the feeds', `window` is in bytes.
    pub fn new(kafka: KafkaSettings, route: Route, endpoints: Vec<String>, window: u64) -> Plan {
        let mut own = vec![kafka.cursors];
        if let Letters::Topic(topic) = &kafka.letters {
            own.push(topic.clone());
        }
        let exact = kafka.exact.map(|own| ExactPlan { own, endpoints, most: window / 2 });
        Plan {
            access: kafka.access,
            route,
            topics: Topics::new(kafka.allowed, kafka.create, kafka.grace, own),
            letters: kafka.letters,
            patience: kafka.grace,
            exact,
        }
    }
}
