//! Waiting rooms: records whose topic is not decided yet, a room for each topic, in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use crate::flight::FeedNo;
use crate::sink::Parcel;

/// A record's place among all that came, rising.
pub type Order = u64;

/// All rooms; an empty one is none.
#[derive(Debug, Default)]
pub struct Rooms {
    rooms: HashMap<String, BTreeMap<Order, Parcel>>,
    count: usize,
}

impl Rooms {
    /// Records that wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether somebody waits for this topic.
    pub fn has(&self, topic: &str) -> bool {
        self.rooms.contains_key(topic)
    }

    /// The topics that are waited for.
    pub fn topics(&self) -> Vec<String> {
        self.rooms.keys().cloned().collect()
    }

    /// Lets a record wait.
    pub fn enter(&mut self, topic: &str, order: Order, parcel: Parcel) {
        // The name is copied only for a new room.
        let room = match self.rooms.get_mut(topic) {
            Some(room) => room,
            None => self.rooms.entry(topic.to_owned()).or_default(),
        };
        if room.insert(order, parcel).is_none() {
            self.count += 1;
        }
    }

    /// The oldest of a room.
    pub fn first(&self, topic: &str) -> Option<&Parcel> {
        self.rooms.get(topic)?.values().next()
    }

    /// The place of the oldest of a feed.
    pub fn oldest(&self, feed: FeedNo) -> Option<Order> {
        let first = |room: &BTreeMap<Order, Parcel>| {
            room.iter().find(|(_, parcel)| parcel.feed() == feed).map(|(order, _)| *order)
        };
        self.rooms.values().filter_map(first).min()
    }

    /// Takes the oldest of a room.
    pub fn leave(&mut self, topic: &str) -> Option<(Order, Parcel)> {
        let room = self.rooms.get_mut(topic)?;
        let left = room.pop_first();
        if room.is_empty() {
            self.rooms.remove(topic);
        }
        self.count -= usize::from(left.is_some());
        left
    }

    /// Takes everyone of a feed out of a room.
    pub fn leave_all(&mut self, topic: &str, feed: FeedNo) -> Vec<(Order, Parcel)> {
        let Some(room) = self.rooms.remove(topic) else { return Vec::new() };
        let (left, stay): (BTreeMap<_, _>, BTreeMap<_, _>) =
            room.into_iter().partition(|(_, parcel)| parcel.feed() == feed);
        self.count -= left.len();
        if !stay.is_empty() {
            self.rooms.insert(topic.to_owned(), stay);
        }
        left.into_iter().collect()
    }
}
