//! What a delivery begins with.

use std::time::Duration;

use crate::access::Access;
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
