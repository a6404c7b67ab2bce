//! How long a subscriber's events took, from nginx's receipt to Kafka's acknowledgement: what it says of its last minute.

use serde::{Deserialize, Serialize};

/// What stands for a time of more than 8,000 s, us.
pub const LONGER: u64 = 10_000_000_000;

/// How many events were acknowledged in the last minute, and what share of them took so long at most, in us, or [`LONGER`].
/// Without events all is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// How many.
    pub events: u64,
    /// Half of them.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
}

impl Took {
    /// The shares, each with its seconds; nothing without events.
    pub fn shares(&self) -> [(f64, Option<f64>); 4] {
        let all = [(0.5, self.p50), (0.9, self.p90), (0.99, self.p99), (0.999, self.p999)];
        all.map(|(share, us)| (share, (self.events > 0).then_some(us as f64 / 1e6)))
    }
}
