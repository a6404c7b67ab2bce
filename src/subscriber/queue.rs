//! All records that the sink answers for: those not yet looked at, those with the producer, those that wait for a topic.
//!
//! ```text
//!   batches -> intake -> backlog -> producer -> reports
//!                         | ^
//!                         v |    a topic that is not decided yet
//!                        rooms
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::backlog::Backlog;
use crate::flight::FeedNo;
use crate::letter::Reason;
use crate::parked::Parked;
use crate::post::{As, Sending};
use crate::rooms::{Order, Rooms};
use crate::sink::{Batch, Parcel, Parcels};
use crate::topics::{Topics, Verdict};

/// Rooms are looked through this often, for the grace that passes.
const ROUNDS: Duration = Duration::from_secs(1);

/// The records.
#[derive(Debug)]
pub struct Queue {
    /// With the producer, or next to go there.
    pub backlog: Backlog<Sending>,
    /// Waiting for their topics.
    pub rooms: Rooms,
    /// Letters that their place refuses.
    pub parked: Parked<Sending>,
    /// Neither settled nor in a room.
    pub moving: Moving,
    intake: VecDeque<Parcels>,
    came: Order,
    /// When the rooms are looked through next.
    rounds: Instant,
}

impl Queue {
    /// Nothing came yet. `patience` and `transactional` are the backlog's.
    pub fn new(patience: Duration, transactional: bool, now: Instant) -> Queue {
        Queue {
            backlog: Backlog::new(patience, transactional),
            rooms: Rooms::default(),
            parked: Parked::default(),
            intake: VecDeque::new(),
            moving: Moving::default(),
            came: 0,
            rounds: now,
        }
    }

    /// Records came.
    pub fn take(&mut self, batch: Batch) {
        self.moving.add(batch.feed, (batch.records.body.len() - batch.records.skip) as u64);
        self.intake.push_back(Parcels::new(batch));
    }

    /// Puts the next record that came into the backlog; false if there is none.
    pub fn bring(&mut self) -> bool {
        while let Some(parcels) = self.intake.front_mut() {
            if let Some(parcel) = parcels.next() {
                self.came += 1;
                self.backlog.push(Sending { parcel, order: self.came, as_: As::Event });
                return true;
            }
            self.intake.pop_front();
        }
        false
    }

    /// The rooms are to be looked through at the next turn.
    pub fn look_soon(&mut self, now: Instant) {
        self.rounds = now;
    }

    /// Lets out of the rooms who need wait no longer. Gives why the others wait, if it is a topic's fault.
    pub fn look_into_rooms(&mut self, topics: &mut Topics, now: Instant) -> Option<String> {
        if now < self.rounds || self.rooms.len() == 0 {
            return None;
        }
        self.rounds = now + ROUNDS;
        let mut waiting = None;
        for topic in self.rooms.topics() {
            while let Some(first) = self.rooms.first(&topic) {
                let as_ = match topics.verdict(&topic, first.came(), now) {
                    Verdict::Wait => break,
                    Verdict::Send { .. } => As::Event,
                    Verdict::Probe => As::Probe,
                    Verdict::Letter(text) => As::Letter(Reason::new(text)),
                };
                self.let_out(&topic, as_);
            }
            waiting = waiting.or(topics.away(&topic).map(str::to_owned));
        }
        waiting
            .filter(|_| self.rooms.len() > 0)
            .map(|why| format!("{why}: {} records wait", self.rooms.len()))
    }

    /// The letter that may try again now goes back to the others.
    pub fn retry_letter(&mut self, now: Instant) {
        if let Some(sending) = self.parked.retry(now) {
            self.backlog.push(sending);
        }
    }

    /// A letter was taken: those that wait follow.
    pub fn letters_work(&mut self) {
        for sending in self.parked.open() {
            self.backlog.push(sending);
        }
    }

    /// A feed's records that wait through a topic's fault become letters, unless it is an older one, with the producer,
    /// that holds the window.
    pub fn hurry(&mut self, topics: &Topics, feed: FeedNo) {
        let mine = |sending: &&Sending| sending.parcel.feed() == feed;
        let sent = self.backlog.open().find(mine).map(|sending| sending.order);
        if self.rooms.oldest(feed).is_none_or(|waits| sent.is_some_and(|sent| sent < waits)) {
            return;
        }
        for topic in self.rooms.topics() {
            let Some(why) = topics.away(&topic) else { continue };
            let text = format!("{why}, and the window was needed");
            for (order, parcel) in self.rooms.leave_all(&topic, feed) {
                let as_ = As::Letter(Reason::new(text.clone()));
                self.send(Sending { parcel, order, as_ });
            }
        }
    }

    fn let_out(&mut self, topic: &str, as_: As) {
        if let Some((order, parcel)) = self.rooms.leave(topic) {
            self.send(Sending { parcel, order, as_ });
        }
    }

    fn send(&mut self, sending: Sending) {
        self.moving.add(sending.parcel.feed(), sending.parcel.bytes());
        self.backlog.push(sending);
    }
}

/// Bytes on their way, by feed.
#[derive(Debug, Default)]
pub struct Moving(Vec<u64>);

impl Moving {
    /// A feed's bytes.
    pub fn of(&self, feed: FeedNo) -> u64 {
        self.0.get(usize::from(feed.0)).copied().unwrap_or_default()
    }

    /// A record has its fate, or waits.
    pub fn leave(&mut self, parcel: &Parcel) {
        if let Some(bytes) = self.0.get_mut(usize::from(parcel.feed().0)) {
            *bytes = bytes.saturating_sub(parcel.bytes());
        }
    }

    fn add(&mut self, feed: FeedNo, bytes: u64) {
        let at = usize::from(feed.0);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] += bytes;
    }
}
