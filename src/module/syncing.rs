//! Syncing, as one worker sees it: a thread that it hosts brings the ring to the disk, or another worker's does. Whoever
//! comes first does it, but who publishes or leaves only when nobody else has for a while.

use std::io;
use std::time::Duration;

use sparkngin_core::id::Region;
use sparkngin_core::ring::{Ring, Syncer, Writer};
use sparkngin_publisher::Handle;

use crate::lead::tell;
use crate::log::{Level, Throttle};

/// How long nobody must have done it before one does who would rather not, ms.
const RELUCTANCE: u64 = 300;
/// The same for one that cannot know how the last sync ended: it would give up the file, and one of the others may know, which
/// looks once a second.
const DEAF: u64 = 4000;
/// How long who stopped does not try again, ms.
const STAND_BACK: u64 = 500;

/// One worker's part in it.
pub struct Syncing {
    interval: Duration,
    /// It hosts the thread ...
    thread: Option<(Region, Handle)>,
    /// ... or would: opened early, it hears of each error that anybody's sync meets.
    candidate: Option<Candidate>,
    free_since: Option<u64>,
    not_before: u64,
    /// It has asked its thread to stop, so that others may.
    offered: bool,
    failures: Throttle,
}

struct Candidate {
    ring: Ring,
    durable: bool,
}

impl Syncing {
    /// Nothing done yet.
    pub fn new(interval: Duration) -> Syncing {
        Syncing {
            interval,
            thread: None,
            candidate: None,
            free_since: None,
            not_before: 0,
            offered: false,
            failures: Throttle::default(),
        }
    }

    /// Whether to look again soon: nobody does it.
    pub fn eager(&self) -> bool {
        self.thread.is_none() && self.free_since.is_some()
    }

    /// One look: at the thread that runs here, or at whoever does it. `writer` is that of the ring that is written to.
    pub fn turn(&mut self, writer: Option<&Writer>, reluctant: bool, now: u64) {
        let region = writer.map(|writer| writer.ring().region());
        if let Some((of, thread)) = &self.thread {
            tell(thread.lines());
            if thread.is_finished() {
                self.stop();
                self.not_before = now + STAND_BACK;
            } else if region != Some(*of) {
                // What is not written to any more must not be kept from being removed.
                thread.stop();
            } else if !reluctant {
                self.offered = false;
            } else if !self.offered
                && writer.is_some_and(|writer| !writer.is_alone().unwrap_or(true))
            {
                thread.stop();
                self.offered = true;
            }
            return;
        }
        let Some(writer) = writer else {
            self.candidate = None;
            return;
        };
        if now < self.not_before {
            return;
        }
        if let Err(error) = self.look(writer, reluctant, now) {
            self.failures.count(Level::Error, now, "later", 1, || {
                format!("the ring cannot be synced: {error}")
            });
            self.not_before = now + STAND_BACK;
        }
    }

    fn look(&mut self, writer: &Writer, reluctant: bool, now: u64) -> io::Result<()> {
        writer.remind();
        let ring = writer.ring();
        let known = self.candidate.take().filter(|known| known.ring.region() == ring.region());
        let candidate = match known {
            Some(known) => known,
            None => Candidate {
                ring: ring.again().map_err(io::Error::other)?,
                durable: ring.is_durable()?,
            },
        };
        let wanted = candidate.durable && !ring.view().poisoned();
        if !wanted || candidate.ring.is_synced()? {
            self.free_since = None;
            self.candidate = Some(candidate);
            return Ok(());
        }
        let since = *self.free_since.get_or_insert(now);
        let patience = match candidate.ring.hears() {
            false => DEAF,
            true if reluctant => RELUCTANCE,
            true => 0,
        };
        if now < since + patience {
            self.candidate = Some(candidate);
            return Ok(());
        }
        let Candidate { ring, durable } = candidate;
        match Syncer::try_take(ring)? {
            Ok(syncer) => {
                self.free_since = None;
                // Alone it goes on until somebody comes.
                self.offered = reluctant && !writer.is_alone()?;
                let thread = sparkngin_publisher::sync(syncer, self.interval)?;
                self.thread = Some((writer.ring().region(), thread));
            }
            Err(ring) => self.candidate = Some(Candidate { ring, durable }),
        }
        Ok(())
    }

    /// Ends the thread that runs here, and waits for it: for a sync at most.
    pub fn stop(&mut self) {
        if let Some((_, thread)) = self.thread.take() {
            thread.stop();
            tell(thread.join());
        }
    }
}
