//! How far a stream has come with everybody who is named: what a worker waits for that answers only when its event is
//! in Kafka.

use super::configuration::{Configuration, Written};
use super::cursor;
use super::layout::NAMES;
use super::memory::Memory;
use super::view::View;
use crate::id::{Seq, Stream};

/// Up to where all named subscribers have acknowledged a stream, and how many of its events each was told to be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Everything up to here is acknowledged by everybody.
    pub acked: Seq,
    /// By place, of these the lost and the uncertain.
    holes: [u64; NAMES],
}

impl Reach {
    /// As it is now, over the names in force. None while one of `own`, by which the caller was configured, is not in
    /// force, unless a newer configuration left it out; and while nobody is named.
    pub(super) fn of<M: Memory>(
        view: &View<M>,
        stream: Stream,
        own: &Configuration,
    ) -> Option<Reach> {
        let written = Written::read(view);
        let in_force = |name| written.active().any(|(_, active)| active == name);
        let newer = written.configured_at > own.configured_at;
        if !newer && !own.subscribers.iter().all(in_force) {
            return None;
        }
        let mut holes = [0; NAMES];
        let mut acked = None;
        for (place, _) in written.active() {
            let cursor = cursor::read(view, stream, place + 1);
            holes[place] = cursor.lost + cursor.uncertain;
            acked = Some(acked.map_or(cursor.acked, |least: Seq| least.min(cursor.acked)));
        }
        acked.map(|acked| Reach { acked, holes })
    }

    /// Whether nobody was told of a hole since `before`: then each event from there to here was delivered to everybody,
    /// or is in the dead letter.
    pub fn whole_since(&self, before: &Reach) -> bool {
        self.holes.iter().zip(&before.holes).all(|(now, before)| now <= before)
    }
}
