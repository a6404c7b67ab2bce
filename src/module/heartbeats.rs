//! How many events a worker believes to be heartbeats. Whoever sends them is not known: what there is more of is traffic.

/// In a second. Each `sparkngin heartbeat` sends one a second at most.
const A_SECOND: u32 = 10;

/// Those of this second.
#[derive(Debug, Default)]
pub struct Heartbeats {
    second: u64,
    count: u32,
}

impl Heartbeats {
    /// Whether what looks like one, received at `received` (ns since 1970), is believed to be one.
    pub fn believes(&mut self, received: u64) -> bool {
        let second = received / 1_000_000_000;
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= A_SECOND
    }
}
