//! Those who wait for the events of one ring file: in the order of their commits, so whoever is first is done first.

use std::collections::BTreeMap;

use sparkngin_core::id::Region;
use sparkngin_core::ring::{Configuration, Reach, Waiter};

use crate::answer::Late;
use crate::doorbell::{Doorbell, Rung};
use crate::level::Level;
use crate::waiting::{End, Over, Wait};

/// A line. Its keys are the tickets of those who wait.
pub struct Line {
    waiter: Waiter,
    /// Without one there is still the tick.
    _bell: Option<Doorbell>,
    durable: bool,
    disk: BTreeMap<u64, Wait>,
    kafka: BTreeMap<u64, Wait>,
    /// How far the subscribers were at the last look.
    before: Reach,
}

impl Line {
    /// Nobody waits. `durable`: a sync brings the events to a disk.
    pub fn new(waiter: Waiter, durable: bool, rung: Rung) -> Line {
        let bell = waiter.bell_again().ok().and_then(|fifo| Doorbell::hang(fifo.into(), rung));
        let (disk, kafka) = (BTreeMap::new(), BTreeMap::new());
        Line { waiter, _bell: bell, durable, disk, kafka, before: Reach::default() }
    }

    /// The ring file.
    pub fn region(&self) -> Region {
        self.waiter.region()
    }

    /// Whether a sync brings the events to a disk.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Before an event is stored that somebody will wait for: what is lost by now is none of it.
    pub fn expect(&mut self, own: &Configuration) {
        if self.kafka.is_empty() {
            self.before = self.waiter.reach(own).unwrap_or_default();
        }
    }

    /// Somebody waits, whose event is stored.
    pub fn add(&mut self, ticket: u64, wait: Wait, own: &Configuration, over: &mut Over) {
        let first = self.len() == 0;
        let place = if wait.level == Level::Disk { &mut self.disk } else { &mut self.kafka };
        place.insert(ticket, wait);
        if first {
            // For the others the flag is set, or somebody has taken it and rung.
            self.waiter.bell().arm();
            self.collect(own, over);
        }
    }

    /// Finds whose wait is over.
    pub fn look(&mut self, own: &Configuration, now: u64, over: &mut Over) {
        self.waiter.bell().clear();
        if self.len() == 0 {
            return;
        }
        self.waiter.bell().arm();
        self.collect(own, over);
        for place in [&mut self.disk, &mut self.kafka] {
            let late = place.iter().filter(|(_, wait)| wait.deadline <= now);
            let late: Vec<u64> = late.map(|(ticket, _)| *ticket).collect();
            for ticket in late {
                if let Some(wait) = place.remove(&ticket) {
                    let (synced, level) = (self.waiter.synced() >= wait.kept.last(), wait.level);
                    let reached = if self.durable && synced { Level::Disk } else { Level::Ring };
                    let why =
                        if level == Level::Disk { Late::Unsynced } else { Late::Unacknowledged };
                    over.insert(ticket, (wait, End::Late(why, reached)));
                }
            }
        }
    }

    fn collect(&mut self, own: &Configuration, over: &mut Over) {
        // In this order: what was synced before the file was poisoned counts.
        let (poisoned, synced) = (self.waiter.poisoned(), self.waiter.synced());
        while let Some(first) = self.disk.first_entry() {
            let end = match first.get().kept.last() <= synced {
                true => End::Reached,
                false if poisoned => End::Late(Late::Failed, Level::Ring),
                false => break,
            };
            let (ticket, wait) = first.remove_entry();
            over.insert(ticket, (wait, end));
        }
        let Some(reach) = self.waiter.reach(own) else { return };
        let whole = reach.whole_since(&self.before);
        let end = if whole { End::Reached } else { End::Late(Late::Lost, Level::Ring) };
        while let Some(first) = self.kafka.first_entry() {
            if first.get().kept.last() > reach.acked {
                break;
            }
            let (ticket, wait) = first.remove_entry();
            over.insert(ticket, (wait, end));
        }
        self.before = reach;
    }

    /// Somebody does not wait any more.
    pub fn forget(&mut self, ticket: u64) {
        self.disk.remove(&ticket);
        self.kafka.remove(&ticket);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.disk.len() + self.kafka.len()
    }

    /// The nearest deadline.
    pub fn nearest(&self) -> Option<u64> {
        self.disk.values().chain(self.kafka.values()).map(|wait| wait.deadline).min()
    }
}
